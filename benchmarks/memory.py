"""Peak resident memory of a fit, beyond what was resident before the model was made.

    python -m benchmarks.memory                       # all cases: 15 seconds, up to 1.5 GB
    python -m benchmarks.memory --cases rl,deep --json memory.json

Each case is a process of its own that makes the data, notes its resident memory, makes a model,
trains one epoch of two batches, and notes its peak. The bound is

    parameters x 4 buffers + activations + 64 MiB

The four buffers are parameters, gradient and the two moments of Adam. Activations are the arrays of
a batch that the backward pass reads: its inputs and targets as gathered, and for each layer the
output, what the activation reads if that is its argument, with a normalization the normalized
values, and with dropout the mask and the result. They are counted for MOST_ROWS rows of a larger
batch, which goes through the network in parts; most go in smaller ones, and so take less. Gradients
with respect to them are not among them, nor are copies of the weights that products are faster
with (panels): they must fit into the 64 MiB, of which the last columns say how much is taken. Batch
normalization needs all rows of a batch and has no parts: a batch of which these gradients alone
take 64 MiB is beyond the bound. Linux only.
"""

import argparse
import itertools
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import chainrule as cr
from chainrule import _core

from . import machine
from .workloads.training_step.shapes import SEED, SHAPES

MIB = 1 << 20
SPARE = 64 * MIB
N_BATCHES = 2
MOST_ROWS = 16_384  # of a part: cpp/chainrule/network/mlp_gradient.cpp


@dataclass(frozen=True)
class Case:
    """One training, with Adam in float32."""

    widths: tuple[int, ...]
    batch_size: int
    activation: str = "relu"
    loss: str = "mse"
    norm: str | None = None
    dropout: float = 0.0

    def model(self) -> cr.MLP:
        """Make the network."""
        return cr.MLP(
            list(self.widths),
            activation=self.activation,
            norm=self.norm,
            dropout=self.dropout,
            seed=SEED,
        )

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Draw features and targets in the types that need no copy."""
        generator = np.random.default_rng(SEED)
        n_rows = N_BATCHES * self.batch_size
        X = generator.standard_normal((n_rows, self.widths[0]), dtype=np.float32)
        if self.loss == "cross_entropy":
            return X, generator.integers(0, self.widths[-1], n_rows, dtype=np.int32)
        return X, generator.standard_normal((n_rows, self.widths[-1]), dtype=np.float32)

    def parameters(self) -> int:
        """Numbers that are trained."""
        n_vectors = 3 if self.norm else 1  # bias, scale, shift
        counts = [n * m + n_vectors * m for n, m in itertools.pairwise(self.widths)]
        return sum(counts) - (n_vectors - 1) * self.widths[-1]

    def n_rows(self) -> int:
        """Rows of a batch that are there at a time, at most."""
        return self.batch_size if self.norm == "batch" else min(self.batch_size, MOST_ROWS)

    def activations(self) -> int:
        """Elements, as the top of this file counts them."""
        saves_input = _core.activations()[self.activation]["saved"] == "input"
        kept = 1 + saves_input + (self.norm is not None) + 2 * (self.dropout > 0)
        n_targets = 1 if self.loss == "cross_entropy" else self.widths[-1]
        of_a_row = self.widths[0] + n_targets + kept * sum(self.widths[1:-1]) + self.widths[-1]
        return self.n_rows() * of_a_row

    def gradients(self) -> int:
        """Elements of the gradients with respect to outputs, and with a norm to its argument."""
        hidden = (1 + (self.norm is not None)) * sum(self.widths[1:-1])
        return self.n_rows() * (hidden + self.widths[-1])

    def bound(self) -> int:
        """Bytes that may be used."""
        return 4 * (4 * self.parameters() + self.activations()) + SPARE


CASES = {name: Case(w.widths, w.batch_size, w.activation, w.loss) for name, w in SHAPES.items()} | {
    "4096": Case((4096, 4096, 4096, 4096), 256),
    "batch of 65,536": Case((32, 64, 64, 1), 65536),
    "batch of 65,536, mnist": Case((784, 256, 128, 10), 65536, loss="cross_entropy"),
    "batch of 65,536, layer norm": Case(
        (64, 256, 256, 10), 65536, "gelu", norm="layer", dropout=0.1
    ),
    "batch of 8,192, wide": Case((1024, 1024, 1024, 1024), 8192),
    "gelu": Case((64, 256, 256, 10), 8192, "gelu"),
    "layer norm": Case((64, 256, 256, 10), 8192, norm="layer"),
    "batch norm": Case((64, 256, 256, 10), 8192, norm="batch"),
    "dropout": Case((64, 256, 256, 10), 8192, dropout=0.1),
    "gelu, layer norm, dropout": Case((64, 256, 256, 10), 8192, "gelu", norm="layer", dropout=0.1),
}


def resident(field: str) -> int:
    """Bytes: VmRSS is what is resident now, VmHWM its peak."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")


def train(case: Case) -> int:
    """Train in this process; bytes of the peak beyond what was resident before."""
    X, y = case.data()
    _core.all_finite(X)  # reads the kernels' code
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forgets the peak
    case.model().fit(
        X,
        y,
        loss=case.loss,
        optimizer=cr.Adam(1e-4),
        batch_size=case.batch_size,
        epochs=1,
        progress=False,
    )
    return resident("VmHWM") - before


def measure(name: str) -> dict:
    """Train a case in a fresh process."""
    case = CASES[name]
    command = [sys.executable, "-m", "benchmarks.memory", "--here", name]
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{name}: {done.stderr}")
    return {
        "case": name,
        "bytes": int(done.stdout),
        "bound": case.bound(),
        "parameters": 16 * case.parameters(),
        "activations": 4 * case.activations(),
        "gradients": 4 * case.gradients(),
    }


def report(results: list[dict]) -> str:
    """One row for each case, in MiB, then the verdict."""
    titles = "case, peak, bound, of the bound, parameters x 4, activations, of the 64, gradients"
    lines = ["| " + titles.replace(", ", " | ") + " |", "|---|" + "---|" * 7]
    for entry in results:
        counted = entry["parameters"] + entry["activations"]
        cells = [entry["bytes"], entry["bound"], entry["parameters"], entry["activations"]]
        cells += [entry["bytes"] - counted, entry["gradients"]]
        shown = [f"{cell / MIB:,.1f}" for cell in cells]
        shown.insert(2, f"{entry['bytes'] / entry['bound']:.2f}")
        lines.append(f"| {entry['case']} | {' | '.join(shown)} |")
    over = [entry["case"] for entry in results if entry["bytes"] > entry["bound"]]
    lines.append(f"beyond the bound: {'; '.join(over)}" if over else "within the bound")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), metavar="CASE")
    parser.add_argument("--json", type=Path, help="file to write")
    parser.add_argument("--here", choices=CASES, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.here:
        print(train(CASES[options.here]))
        return
    results = [measure(name) for name in options.cases]
    if options.json:
        kept = {"machine": machine.describe(), "spare": SPARE, "results": results}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print(report(results))


if __name__ == "__main__":
    main()
