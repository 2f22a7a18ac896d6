"""Whether this commit is slower than another: two builds, timed in turns, in one run.

    pip install --no-deps --target OTHER path/to/the/other/tree
    python -m benchmarks.gate OTHER                 # seconds

CI's stage `gate` does that for the commit that `.ci/baseline` names. Each build runs in its own
process, both on one processor. A round times each task once in both builds, which take turns to go
first. The best time of all rounds counts: other work on the machine only adds to a time. A task
that is slower by more than the limit is measured again, and fails if it is slower each time.

Tasks call what users do and what has long been there, so that an older build can run them.
"""

import argparse
import contextlib
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

LIMIT = 1.15
ROUNDS = 15
REPEATS = 2  # of what is beyond the limit

Task = Callable[[], float]


def tasks(cr: Any) -> dict[str, Task]:
    """Return what is timed: each returns a number that both builds must agree on."""
    rng = np.random.default_rng(0)

    def fit(batch_size: int, widths: list[int], activation: str, epochs: int) -> Task:
        X = rng.normal(size=(16 * batch_size, widths[0])).astype(np.float32)
        Y = rng.normal(size=(len(X), widths[-1])).astype(np.float32)

        def run() -> float:
            model = cr.MLP(widths, activation=activation, seed=0)
            history = model.fit(
                X,
                Y,
                loss="mse",
                optimizer=cr.Adam(1e-3),
                batch_size=batch_size,
                epochs=epochs,
                threads=1,
            )
            return float(history.loss[-1])

        return run

    a, b = (rng.normal(size=(512, 512)).astype(np.float32) for _ in range(2))
    out = np.empty_like(a)

    def product() -> float:
        for _ in range(10):
            cr.kernels.dense_forward(a, b, out=out, threads=1)
        return float(np.square(out, dtype=np.float64).sum())

    return {
        "rl": fit(64, [17, 64, 64, 6], "tanh", 30),
        "tabular": fit(256, [32, 128, 128, 1], "relu", 8),
        "product": product,
    }


def serve(folder: str) -> None:
    """Time the tasks that standard input names, with the package in a folder."""
    sys.path.insert(0, folder)
    import chainrule as cr

    if not Path(cr.__file__).resolve().is_relative_to(Path(folder).resolve()):
        raise SystemExit(f"{folder} has no package chainrule")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    named = tasks(cr)
    print(json.dumps(list(named)), flush=True)
    for line in sys.stdin:
        task = named[line.strip()]
        start = time.perf_counter()
        value = task()
        print(json.dumps([time.perf_counter() - start, value]), flush=True)


class Build:
    """A process that times tasks with one build."""

    def __init__(self, folder: str) -> None:
        # Nothing forces a variant.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("CHAINRULE_")}
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.tasks: list[str] = self._read()

    def time(self, task: str) -> tuple[float, float]:
        """Return the seconds that a task took and its result."""
        assert self._process.stdin is not None
        self._process.stdin.write(task + "\n")
        self._process.stdin.flush()
        seconds, value = self._read()
        return seconds, value

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.close()
            raise SystemExit(f"a build ended with exit code {self._process.returncode}")
        return json.loads(line)


def ratio(base: Build, head: Build, task: str, rounds: int) -> float:
    """Return (best time of head / best time of base); their results must agree."""
    values = [build.time(task)[1] for build in (base, head)]  # not timed: caches are cold
    if not math.isclose(*values, rel_tol=1e-2):
        raise SystemExit(f"{task}: the builds disagree, {values[0]} and {values[1]}")
    best = {base: math.inf, head: math.inf}
    for i in range(rounds):
        for build in (base, head) if i % 2 else (head, base):
            best[build] = min(best[build], build.time(task)[0])
    print(
        f"{task:8} {best[base] * 1e3:9.2f} {best[head] * 1e3:9.2f} {best[head] / best[base]:7.3f}"
    )
    return best[head] / best[base]


def main(arguments: list[str] | None = None) -> int:
    """Compare, print a table, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("baseline", help="folder with the other build of the package chainrule")
    parser.add_argument("--head", help="folder with this one's; default: what Python imports")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--limit", type=float, default=LIMIT)
    options = parser.parse_args(arguments)
    if options.head is None:
        import chainrule

        options.head = str(Path(chainrule.__file__).parents[1])
    with contextlib.ExitStack() as stack:
        base, head = (
            stack.enter_context(contextlib.closing(Build(folder)))
            for folder in (options.baseline, options.head)
        )
        print("task       base, ms  head, ms   ratio")
        slow = base.tasks
        for _ in range(1 + REPEATS):
            slow = [t for t in slow if ratio(base, head, t, options.rounds) > options.limit]
            if not slow:
                return 0
        print(f"slower by more than {options.limit}, {1 + REPEATS} times: {', '.join(slow)}")
        return 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2])
    else:
        sys.exit(main())
