"""Whole training steps of the eight shapes: chainrule and its competitors, as ratios to NumPy.

    python -m benchmarks.compare --shapes rl,tabular,digits --threads 1
    python -m benchmarks.compare --competitors numpy,chainrule,torch,sklearn --json result.json

Each competitor trains in a process of its own. First all of them train one epoch of the same
batches from the same weights; one that ends elsewhere fails the run. Then they take turns for some
rounds, and a ratio is the median over the rounds of the quotients of one round. See README.md.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np

from . import machine
from .competitors import COMPETITORS
from .worker import Worker
from .workloads import SEED, WORKLOADS, Task, Workload

# Two float32 runs of one epoch may differ by this part of the way that the weights went. Adam's
# first steps have the size of the learning rate however small the gradient is, so its rounding
# near zero shows in the weights: up to 0.004 for PyTorch, 0.01 for the epsilon of scikit-learn,
# 0.03 for NumPy itself on another number of threads.
TOLERANCE = 0.05

# Thread pools of OpenMP and OpenBLAS spin for some milliseconds when their work is done.
PAUSE_SECONDS = 0.05


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark and print its table; 1 when weights differ."""
    options = _parse(arguments)
    results = []
    for threads in options.threads:
        for shape in options.shapes:
            result = compare(WORKLOADS[shape], options.competitors, threads, options.rounds)
            results.append(result)
            print(_progress(result), file=sys.stderr, flush=True)
    print(table(results, options.competitors))
    if options.json:
        report = {"machine": machine.describe(), "rounds": options.rounds, "results": results}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return int(any(entry.get("differs") for r in results for entry in r["competitors"].values()))


def compare(workload: Workload, names: list[str], threads: int, rounds: int) -> dict:
    """Check and time the competitors on one workload."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        task = Task.make(workload, _first_order())
        task_path = Path(folder, "task.npz")
        task.save(task_path)
        workers = {
            name: stack.enter_context(Worker(name, workload.name, task_path, threads))
            for name in names
        }
        entries: dict[str, dict] = {name: {} for name in names}
        reached = None
        for name, worker in workers.items():
            if worker.absent:
                entries[name]["absent"] = worker.absent
                continue
            path = Path(folder, "weights.npy")
            worker.check(path)
            weights = np.load(path)
            reached = weights if reached is None else reached
            entries[name]["distance"] = distance(weights, reached, task.parameters)
            if not entries[name]["distance"] <= TOLERANCE:
                entries[name]["differs"] = True
        running = {n: w for n, w in workers.items() if "distance" in entries[n]}
        running = {n: w for n, w in running.items() if "differs" not in entries[n]}
        if names[0] not in running:
            raise SystemExit(f"{names[0]} cannot run: {entries[names[0]]}")
        times: dict[str, list[float]] = {name: [] for name in running}
        for _ in range(rounds):
            for name, worker in running.items():
                time.sleep(PAUSE_SECONDS)
                seconds = worker.seconds(workload.epochs, warm_up=1)
                times[name].append(seconds / workload.n_steps * 1e6)
        for name, values in times.items():
            ratios = [first / value for first, value in zip(times[names[0]], values, strict=True)]
            entries[name] |= {
                "microseconds": statistics.median(values),
                "ratio": statistics.median(ratios),
                "ratio_range": [min(ratios), max(ratios)],
                "versions": workers[name].versions,
            }
    return {"shape": workload.name, "threads": threads, "competitors": entries}


def table(results: list[dict], names: list[str]) -> str:
    """Lay out ratios as Markdown; the first competitor's column is its time."""
    lines = [
        "| shape | threads | " + " | ".join([f"{names[0]}, us", *names[1:]]) + " |",
        "|---|---|" + "---|" * len(names),
    ]
    for result in results:
        cells = []
        for name in names:
            entry = result["competitors"][name]
            if "absent" in entry:
                cells.append("absent")
            elif "differs" in entry:
                cells.append(f"differs ({entry['distance']:.1e})")
            elif name == names[0]:
                cells.append(f"{entry['microseconds']:.0f}")
            else:
                cells.append(f"{entry['ratio']:.2f}x")
        lines.append(f"| {result['shape']} | {result['threads']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _first_order():
    """Return the function that orders the rows of chainrule's first epoch; None without it."""
    try:
        from chainrule import kernels
    except ImportError:
        return None
    return partial(kernels.permutation, seed=SEED)


def distance(weights: np.ndarray, reached: np.ndarray, start: np.ndarray) -> float:
    """Difference of two results as a part of the way from the start."""
    return float(np.linalg.norm(weights - reached) / np.linalg.norm(reached - start))


def _progress(result: dict) -> str:
    entries = result["competitors"].items()
    parts = [
        f"{name} {entry['microseconds']:.0f} us" for name, entry in entries if "ratio" in entry
    ]
    return f"{result['shape']}, {result['threads']} threads: " + ", ".join(parts)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    def one_of(known):
        def parse(text):
            names = text.split(",")
            for name in names:
                if name not in known:
                    raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
            return names

        return parse

    def counts(text):
        return [machine.n_cpus() if part == "all" else int(part) for part in text.split(",")]

    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--shapes", type=one_of(WORKLOADS), default=list(WORKLOADS))
    parser.add_argument(
        "--competitors",
        type=one_of(COMPETITORS),
        default=["numpy", "chainrule", "torch", "sklearn"],
        help="the first is what the others are compared with",
    )
    parser.add_argument("--threads", type=counts, default=counts("1,all"), help="as in 1,all")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, help="file to write")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
