"""Time of a long training, first and last steps: what denormal numbers cost.

    python -m benchmarks.denormals                 # 3,000 steps on the `deep` shape: minutes
    python -m benchmarks.denormals --steps 1500

A unit of a ReLU network that is never active has a gradient of exactly 0 from then on. Adam's
moments of its weights then shrink at every step; below 1.2e-38 in float32 many CPUs are slow on
them. Printed are the times of the first and of the last tenth of the steps.
"""

import argparse
import tempfile
from pathlib import Path

from . import machine
from .worker import Worker
from .workloads import WORKLOADS, Task

_TITLES = {
    "chainrule": "chainrule",
    "numpy": "NumPy",
    "torch_no_flush": "PyTorch",
    "torch": "PyTorch, set_flush_denormal(True)",
}


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.denormals", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=machine.n_cpus())
    parser.add_argument(
        "--competitors", type=lambda text: text.split(","), default=list(_TITLES), metavar="NAMES"
    )
    options = parser.parse_args(arguments)
    workload = WORKLOADS["deep"]
    epochs = max(1, options.steps // (10 * workload.n_batches))  # of a tenth of the steps
    steps = epochs * workload.n_batches
    print(f"| {10 * steps} steps | first {steps}, s | last {steps}, s | ratio |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "task.npz")
        Task.make(workload).save(path)
        for name in options.competitors:
            with Worker(name, workload.name, path, options.threads) as worker:
                if worker.absent:
                    print(f"| {_TITLES.get(name, name)} | absent: {worker.absent} | | |")
                    continue
                tenths = [worker.seconds(epochs, warm_up=0) for _ in range(10)]
            ratio = tenths[-1] / tenths[0]
            row = f"{tenths[0]:.2f} | {tenths[-1]:.2f} | {ratio:.2f}"
            print(f"| {_TITLES.get(name, name)} | {row} |", flush=True)


if __name__ == "__main__":
    main()
