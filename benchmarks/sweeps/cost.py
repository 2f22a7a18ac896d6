"""Time per operation of whole training steps, over batch sizes and hidden widths: no cliffs.

Epochs of networks 64-w-w-10. Operations are those of the products, so that small batches pay for
the optimizer and narrow layers for what is done once per element. A cliff is a point whose time per
operation is more than LIMIT times that of half the batch, or of half the width. Where parameters
and moments outgrow a cache, small batches pay for reading them from the next one: a cliff of the
machine's, which shows between the widths whose sizes stand on its two sides.

``--add FILE`` takes points from an earlier run of a part of them, since the largest take minutes.
``--chart FILE.png`` draws all points.
"""

import argparse
import json
from pathlib import Path

import numpy as np

import chainrule as cr

from ..workloads.training_step.shapes import step_flops
from . import chart, networks
from .timing import Run, measure, numbers

LIMIT = 1.3
WIDTHS = [1 << i for i in range(3, 13)]
BATCH_SIZES = [1 << i for i in range(17)]
SLOW = 0.5  # seconds of a step that is timed in one pass only


def sweep(options: argparse.Namespace) -> dict:
    """Measure the points, add earlier ones, find the cliffs."""
    results = [
        entry
        for path in options.add
        for entry in json.loads(path.read_text(encoding="utf-8"))["results"]
    ]
    points = [(w, b) for w in options.widths for b in options.batch_sizes]
    n_steps: dict[tuple[int, int], int] = {}

    def maker(width: int, batch_size: int) -> list[Run]:
        run, steps = networks.epochs(networks.hidden(width), batch_size, options.threads)
        n_steps[width, batch_size] = steps
        return [run]

    if points:
        makers = [lambda p=p: maker(*p) for p in points]
        seconds = np.nanmedian(measure(makers, options.passes, options.budget, SLOW)[:, 0], axis=1)
        for point, value in zip(points, seconds, strict=True):
            step = float(value) / n_steps[point]
            work = step_flops(networks.hidden(point[0]), point[1])
            results.append(
                {
                    "threads": options.threads or cr.runtime.num_threads(),
                    "width": point[0],
                    "batch_size": point[1],
                    "microseconds": step * 1e6,
                    "gflops": work / step / 1e9,
                }
            )
    result = {"limit": LIMIT, "results": results, "cliffs": cliffs(results)}
    if options.chart:
        chart.draw(result, options.chart)
    return result


def cliffs(results: list[dict]) -> list[dict]:
    """Points that cost more than LIMIT times what the next smaller ones cost."""
    gflops = {(e["threads"], e["width"], e["batch_size"]): e["gflops"] for e in results}
    found = []
    for (threads, width, batch_size), value in gflops.items():
        for smaller in ((threads, width // 2, batch_size), (threads, width, batch_size // 2)):
            ratio = gflops.get(smaller, 0.0) / value
            if ratio > LIMIT:
                names = ("threads", "width", "batch_size")
                point = dict(zip(names, (threads, width, batch_size), strict=True))
                found.append(point | {"than": list(smaller[1:]), "ratio": ratio})
    return found


def report(result: dict) -> str:
    """Speeds at some batch sizes, then the cliffs."""
    results = result["results"]
    batches = sorted({entry["batch_size"] for entry in results})
    shown = batches[:: max(1, len(batches) // 8)]
    lines = [
        "| threads | width | " + " | ".join(f"batch {b:,}" for b in shown) + " |",
        "|---|---|" + "---|" * len(shown),
    ]
    speeds = {(e["threads"], e["width"], e["batch_size"]): e["gflops"] for e in results}
    for threads, width in sorted({(e["threads"], e["width"]) for e in results}):
        cells = [
            f"{speeds[threads, width, b]:.3g}" if (threads, width, b) in speeds else ""
            for b in shown
        ]
        lines.append(f"| {threads} | {width:,} | " + " | ".join(cells) + " |")
    lines.append("GFLOP/s of whole training steps of 64-w-w-10")
    for cliff in result["cliffs"]:
        lines.append(
            f"cliff: {cliff['threads']} threads, width {cliff['width']}, batch "
            f"{cliff['batch_size']} costs {cliff['ratio']:.2f} times as much per operation as "
            f"width {cliff['than'][0]}, batch {cliff['than'][1]}"
        )
    if not result["cliffs"]:
        lines.append(f"no cliff: no ratio beyond {result['limit']}")
    return "\n".join(lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this sweep."""
    parser.add_argument("--widths", type=numbers, default=WIDTHS, help="as in 8,16 or none")
    parser.add_argument("--batch-sizes", type=numbers, default=BATCH_SIZES)
    parser.add_argument("--threads", type=int, help="default: automatic")
    parser.add_argument("--add", type=Path, nargs="+", default=[], metavar="FILE")
    parser.add_argument("--chart", type=Path, help="PNG to write; needs matplotlib")
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--budget", type=float, default=5e-3, help="seconds of one timing")
