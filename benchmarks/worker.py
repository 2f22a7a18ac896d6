"""One competitor in a process of its own: reads requests as JSON lines, answers as JSON lines.

``compare.py`` and ``denormals.py`` start it. Libraries that bring thread pools and BLAS copies of
their own then cannot disturb each other, and thread counts are set before the first import.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

# Settings by which a user could have tuned OpenBLAS down: NumPy must have its best kernels.
_UNSET = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
_THREADS = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "CHAINRULE_NUM_THREADS",
)


class Worker:
    """The parent's side of one worker process."""

    def __init__(self, competitor: str, workload: str, task_path: Path, threads: int):
        environment = {k: v for k, v in os.environ.items() if k not in _UNSET}
        environment |= dict.fromkeys(_THREADS, str(threads))
        command = [sys.executable, "-m", "benchmarks.worker"]
        self._process = subprocess.Popen(
            [*command, competitor, workload, str(task_path), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=Path(__file__).resolve().parent.parent,
        )
        answer = self._read()
        self.absent = answer.get("absent")  # why the competitor cannot run, or None
        self.versions = answer.get("versions", {})

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *exception) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def check(self, path: Path) -> None:
        """Train the task's first epoch and save the weights."""
        self._ask({"check": str(path)})

    def seconds(self, epochs: int, warm_up: int) -> float:
        """Train; seconds of ``epochs`` epochs after ``warm_up`` untimed ones."""
        return self._ask({"epochs": epochs, "warm_up": warm_up})["seconds"]

    def _ask(self, request: dict) -> dict:
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict:
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a worker ended with exit code {self._process.wait()}")
        return json.loads(line)


def main(competitor: str, workload: str, task_path: str, threads: str) -> None:
    """Answer requests until standard input ends."""
    import numpy as np

    from . import competitors
    from .workloads import WORKLOADS, Task

    try:
        make = competitors.load(competitor)
    except ImportError as error:
        _answer({"absent": str(error)})
        return
    task = Task.load(WORKLOADS[workload], Path(task_path))
    runner = make(task, int(threads))
    _answer({"versions": _versions()})
    generator = np.random.default_rng(1)
    for line in sys.stdin:
        request = json.loads(line)
        if "check" in request:
            runner.run([task.order])
            np.save(request["check"], runner.weights())
            _answer({})
            continue
        orders = [
            generator.permutation(len(task.X))
            for _ in range(request["warm_up"] + request["epochs"])
        ]
        if request["warm_up"]:
            runner.run(orders[: request["warm_up"]])
        start = time.perf_counter()
        runner.run(orders[request["warm_up"] :])
        _answer({"seconds": time.perf_counter() - start})


def _versions() -> dict[str, str]:
    names = ("numpy", "chainrule", "torch", "sklearn")
    return {n: str(sys.modules[n].__version__) for n in names if n in sys.modules}


def _answer(answer: dict) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
