"""The automatic number of threads against one: it must never be slower.

Networks 64-w-w-10 over hidden widths and batch sizes, trained by whole epochs (``fit``), step by
step from Python (``step``) or only predicting (``predict``). In each pass a point is timed with
threads=None, threads=1, and threads=1 again. Points where automatic looks slower are taken again in
three times as many passes; the largest ratio of one thread to itself among these is the noise, and
automatic is slower where its ratio to one thread is beyond 1 + noise.
"""

import argparse

import numpy as np

import chainrule as cr

from . import networks
from .timing import Run, clocked, measure, numbers

WIDTHS = [8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512]
BATCH_SIZES = [1 << i for i in range(11)]
KINDS = ("fit", "step", "predict")
LEAST_NOISE = 0.02


def make(kind: str, width: int, batch_size: int, threads: int | None) -> Run:
    """Prepare what is timed."""
    if kind == "fit":
        return networks.epochs(networks.hidden(width), batch_size, threads)[0]
    X, y = networks.data(batch_size)
    trainer = networks.trainer(networks.hidden(width), threads)
    if kind == "step":
        return clocked(lambda: trainer.step(X, y))
    return clocked(lambda: trainer.model.predict(X, threads=threads))


def sweep(options: argparse.Namespace) -> dict:
    """Measure all points, then once more those where automatic looked slower."""
    points = [
        {"kind": kind, "width": width, "batch_size": batch_size}
        for kind in options.kinds
        for width in options.widths
        for batch_size in options.batch_sizes
    ]

    def take(chosen: list[dict], passes: int) -> None:
        makers = [lambda p=p: [make(**p, threads=t) for t in (None, 1, 1)] for p in chosen]
        measured = measure(makers, passes, options.budget)
        for point, (automatic, one, again) in zip(chosen, measured, strict=True):
            found[tuple(point.values())] = {
                "microseconds_one": float(np.median(one) * 1e6),
                "ratio": float(np.median(automatic / one)),
                "noise": float(abs(np.median(again / one) - 1)),
            }

    found: dict[tuple, dict] = {}
    take(points, options.passes)
    suspects = [p for p in points if found[tuple(p.values())]["ratio"] > 1 + LEAST_NOISE]
    if suspects:
        take(suspects, 3 * options.passes)
    results = [point | found[tuple(point.values())] for point in points]
    noise = max([LEAST_NOISE, *(found[tuple(point.values())]["noise"] for point in suspects)])
    return {"threads": cr.runtime.num_threads(), "noise": noise, "results": results}


def report(result: dict) -> str:
    """Ratios of the two slowest and the fastest of each kind, then the verdict."""
    limit = 1 + result["noise"]
    lines = [
        f"threads=None ({result['threads']}) over threads=1; threads=1 over itself is within "
        f"{limit:.3f}",
        "| call | points | median | fastest | slowest | slower than one thread |",
        "|---|---|---|---|---|---|",
    ]
    kinds = dict.fromkeys(entry["kind"] for entry in result["results"])
    n_slower = 0
    for kind in kinds:
        entries = [entry for entry in result["results"] if entry["kind"] == kind]
        values = [entry["ratio"] for entry in entries]
        slower = [
            f"{e['width']} x {e['batch_size']} ({e['ratio']:.2f})"
            for e in entries
            if e["ratio"] > limit
        ]
        n_slower += len(slower)
        lines.append(
            f"| {kind} | {len(values)} | {np.median(values):.2f} | {min(values):.2f} | "
            f"{max(values):.2f} | {', '.join(slower) or '-'} |"
        )
    lines.append(f"slower at {n_slower} points" if n_slower else "never slower")
    return "\n".join(lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this sweep."""
    parser.add_argument("--widths", type=numbers, default=WIDTHS, help="as in 8,16-20")
    parser.add_argument("--batch-sizes", type=numbers, default=BATCH_SIZES)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--budget", type=float, default=3e-3, help="seconds of one timing")
