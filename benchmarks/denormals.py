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
from .worker import AbsentError, Worker
from .workloads import training_step

# name -> title, file and class
_COMPETITORS = {
    "chainrule": ("chainrule", "chainrule_", "Chainrule"),
    "numpy": ("NumPy", "numpy_", "Numpy"),
    "torch_no_flush": ("PyTorch", "torch_", "TorchNoFlush"),
    "torch": ("PyTorch, set_flush_denormal(True)", "torch_", "Torch"),
}


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.denormals", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=machine.n_cpus())
    parser.add_argument(
        "--competitors",
        type=lambda text: text.split(","),
        default=list(_COMPETITORS),
        metavar="NAMES",
    )
    options = parser.parse_args(arguments)
    shape = training_step.SHAPES["deep"]
    epochs = max(1, options.steps // (10 * shape.n_batches))  # of a tenth of the steps
    steps = epochs * shape.n_batches
    print(f"| {10 * steps} steps | first {steps}, s | last {steps}, s | ratio |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "task.npz")
        training_step.make_task(shape.name, "float32").save(path)
        for name in options.competitors:
            title, *place = _COMPETITORS[name]
            with Worker("training_step", *place, shape.name, path, options.threads) as worker:
                try:
                    worker.wait_until_ready()
                except AbsentError as absent:
                    print(f"| {title} | {absent} | | |")
                    continue
                tenths = [worker.train(epochs) for _ in range(10)]
            ratio = tenths[-1] / tenths[0]
            row = f"{tenths[0]:.2f} | {tenths[-1]:.2f} | {ratio:.2f}"
            print(f"| {title} | {row} |", flush=True)


if __name__ == "__main__":
    main()
