"""Every width from 1 to 300: none may fall off a cliff.

The products are those of a layer with w outputs or w inputs (batch 256, the other side 128): the
forward pass, the gradient of the inputs, the gradients of weight and bias. The steps are whole
training steps of a network 64-w-w-10 and of a network 64-64-w. One thread.

Two ratios are kept under a limit. ``beside``: time per operation over its median among the widths
at most 8 away, as many on each side. ``padded``: time over that of the fastest wider layer, at most
16 wider: more than 1 says that zeros in the missing columns would have been faster. The time per
operation as it is goes up and down with whole vectors: 17 outputs take two of sixteen.
"""

import argparse
from collections.abc import Callable

import numpy as np

import chainrule as cr
from chainrule import _core

from ..workloads.training_step.shapes import step_flops
from . import networks
from .timing import SEED, Run, clocked, measure, numbers

LIMIT = 1.3
BESIDE, WIDER = 8, 16
BATCH_SIZE, OTHER = 256, 128

Maker = Callable[[int], Run]


def product(kind: str, swept: str) -> Maker:
    """One product of a layer, on arrays that are there."""

    def make(width: int) -> Run:
        shape = (OTHER, width) if swept == "outputs" else (width, OTHER)
        generator = np.random.default_rng(SEED)

        def draw(*size: int) -> np.ndarray:
            return generator.standard_normal(size, dtype=np.float32)

        x, grad, weight = draw(BATCH_SIZE, shape[0]), draw(BATCH_SIZE, shape[1]), draw(*shape)
        bias = draw(shape[1])
        if kind == "forward":
            return clocked(
                lambda: _core.dense_forward(
                    x, weight, bias, "identity", 0.0, None, grad, "float32", 1
                )
            )
        needs = (True, False) if kind == "inputs" else (False, True)
        outputs = (x.copy() if needs[0] else None, weight.copy(), bias)
        return clocked(
            lambda: _core.dense_backward(grad, x, weight, *needs, *outputs, "float32", 1)
        )

    return make


def hidden_step(width: int) -> Run:
    """Prepare a step of 64-w-w-10."""
    X, y = networks.data(BATCH_SIZE)
    trainer = networks.trainer(networks.hidden(width), 1)
    return clocked(lambda: trainer.step(X, y))


def head_step(width: int) -> Run:
    """Prepare a step of 64-64-w, which has a regression head."""
    X = networks.data(BATCH_SIZE)[0]
    y = np.random.default_rng(SEED).standard_normal((BATCH_SIZE, width), dtype=np.float32)
    model = cr.MLP([networks.N_INPUTS, 64, width], activation="relu", seed=SEED)
    trainer = cr.Trainer(model, loss="mse", optimizer=cr.Adam(1e-3), threads=1)
    return clocked(lambda: trainer.step(X, y))


SERIES: dict[str, Maker] = {
    f"{kind}, w {swept}": product(kind, swept)
    for swept in ("outputs", "inputs")
    for kind in ("forward", "inputs", "parameters")
} | {"step of 64-w-w-10": hidden_step, "step of 64-64-w": head_step}


def operations(series: str, widths: np.ndarray) -> np.ndarray:
    """Return what the time of each width is divided by."""
    if series == "step of 64-w-w-10":
        return np.array([step_flops(networks.hidden(w), BATCH_SIZE) for w in widths])
    if series == "step of 64-64-w":
        return np.array([step_flops([networks.N_INPUTS, 64, w], BATCH_SIZE) for w in widths])
    return 2 * BATCH_SIZE * OTHER * widths


def ratios(seconds: np.ndarray, work: np.ndarray) -> dict[str, np.ndarray]:
    """``beside`` and ``padded`` of each width, which follow each other without gaps."""
    cost, last = seconds / work, len(seconds) - 1
    beside, padded = np.ones_like(cost), np.ones_like(cost)
    for i in range(len(cost)):
        reach = min(BESIDE, i, last - i)
        beside[i] = cost[i] / np.median(cost[i - reach : i + reach + 1])
        if i < last:
            padded[i] = seconds[i] / seconds[i + 1 : i + 1 + WIDER].min()
    return {"beside": beside, "padded": padded}


def sweep(options: argparse.Namespace) -> dict:
    """Measure all widths, then once more those near a suspect, and judge."""
    widths = np.arange(min(options.widths), max(options.widths) + 1)
    results = []
    for name in options.series:
        make = SERIES[name]

        def timed(chosen, passes, make=make):
            makers = [lambda w=w: [make(int(w))] for w in chosen]
            return np.median(measure(makers, passes, options.budget)[:, 0], axis=1)

        seconds, work = timed(widths, options.passes), operations(name, widths)
        found = ratios(seconds, work)
        suspects = np.flatnonzero(np.maximum(*found.values()) > 0.9 * LIMIT)
        near = [abs(suspects - i).min(initial=WIDER + 1) <= WIDER for i in range(len(widths))]
        if any(near):
            seconds[near] = timed(widths[near], 2 * options.passes)
            found = ratios(seconds, work)
        results.append(
            {
                "series": name,
                "widths": widths.tolist(),
                "microseconds": (seconds * 1e6).tolist(),
                "gflops": (work / seconds / 1e9).tolist(),
            }
            | {key: value.tolist() for key, value in found.items()}
        )
    return {"limit": LIMIT, "results": results}


def report(result: dict) -> str:
    """One line for each series, then the verdict."""
    lines = ["| series | worst beside | worst padded | beyond the limit |", "|---|---|---|---|"]
    n_cliffs = 0
    for entry in result["results"]:
        widths, cells, beyond = entry["widths"], [], []
        for key in ("beside", "padded"):
            worst = int(np.argmax(entry[key]))
            cells.append(f"{entry[key][worst]:.2f} at {widths[worst]}")
            pairs = zip(widths, entry[key], strict=True)
            beyond += [f"{w} ({key} {r:.2f})" for w, r in pairs if r > result["limit"]]
        n_cliffs += len(beyond)
        lines.append(f"| {entry['series']} | {' | '.join(cells)} | {', '.join(beyond) or '-'} |")
    lines.append(f"{n_cliffs} cliffs: ratios beyond {result['limit']}" if n_cliffs else "no cliff")
    return "\n".join(lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this sweep."""
    parser.add_argument("--widths", type=numbers, default=numbers("1-300"), help="as in 1-300")
    parser.add_argument("--series", nargs="+", choices=SERIES, default=list(SERIES), metavar="NAME")
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--budget", type=float, default=4e-4, help="seconds of one timing")
