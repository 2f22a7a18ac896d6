"""One row through a trained policy network, as an agent asks for one action: time of a call.

A competitor's class has ``predict(row)``, which returns an array of its own, shape (1, n_outputs).
What is compared are the outputs of a hundred rows. A row comes from NumPy and the answer goes back
there; all calls are of the fastest kind that a library documents.
"""

import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from .. import BF16_PRECISIONS, Competitor

__all__ = ["COMPETITORS", "SHAPES", "TOLERANCES", "UNIT"]

UNIT = "call"
# Of the outputs' norm. Terms are rounded to 2**-24 in float32, to 2**-16 in bf16x3 and to 2**-9 in
# bf16; measured are 2e-7, 7e-6 and 4e-3.
TOLERANCES = {
    "float32": 1e-5,
    "float64": 1e-5,
    "bf16x6": 1e-5,
    "auto": 1e-5,
    "bf16x3": 1e-4,
    "bf16": 2e-2,
}
_CALLS = 2000  # of one round
_ROWS = 100

COMPETITORS = {
    "numpy": Competitor("NumPy", "numpy_", {"": "Numpy"}, "numpy", "numpy"),
    "chainrule": Competitor("chainrule", "chainrule_", {"": "Chainrule"}, "chainrule", "chainrule"),
    "chainrule_float32": Competitor(
        "chainrule float32",
        "chainrule_",
        {"": "ChainruleFloat32"},
        "chainrule",
        "chainrule",
        ("float32",),
        precision="float32",
        beside=BF16_PRECISIONS,
    ),
    "torch": Competitor("PyTorch", "torch_", {"": "Torch"}, "torch", "torch"),
}


@dataclass(frozen=True)
class Shape:
    """A network that predicts one row at a time."""

    name: str
    widths: tuple[int, ...]
    activation: str
    batch_size: int = 1


SHAPES = {"predict_row": Shape("predict_row", (17, 64, 64, 6), "tanh")}


@dataclass(frozen=True)
class Task:
    """Parameters, in the layout of ``MLP.parameters``, and rows."""

    shape: Shape
    X: np.ndarray  # (n_rows, in_features)
    parameters: np.ndarray
    precision: str  # of chainrule's products

    def save(self, path: Path) -> None:
        """Write the arrays for other processes."""
        np.savez(path, X=self.X, parameters=self.parameters, precision=self.precision)

    def blocks(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Weight (in, out) and bias of each layer."""
        found, offset = [], 0
        for fan_in, fan_out in pairwise(self.shape.widths):
            end = offset + fan_in * fan_out
            weight = self.parameters[offset:end].reshape(fan_in, fan_out)
            found.append((weight, self.parameters[end : end + fan_out]))
            offset = end + fan_out
        return found


def make_task(shape: str, dtype: str, precision: str | None = None) -> Task:
    """Draw parameters and rows, the same on every call."""
    network, generator = SHAPES[shape], np.random.default_rng(0)
    parts = []
    for fan_in, fan_out in pairwise(network.widths):
        parts.append(generator.standard_normal(fan_in * fan_out) / fan_in**0.5)
        parts.append(0.1 * generator.standard_normal(fan_out))
    X = generator.standard_normal((_ROWS, network.widths[0]))
    parameters = np.concatenate(parts).astype(dtype)
    return Task(network, X.astype(dtype), parameters, precision or dtype)


def load_task(shape: str, path: Path) -> Task:
    """Read a task."""
    with np.load(path) as arrays:
        return Task(SHAPES[shape], arrays["X"], arrays["parameters"], str(arrays["precision"]))


def units(shape: str) -> int:
    """Return how many calls a timed round has."""
    return _CALLS


def flops(shape: str) -> float:
    """Operations of the products of one call."""
    return 2.0 * sum(a * b for a, b in pairwise(SHAPES[shape].widths))


def check(runner, task: Task) -> np.ndarray:
    """Predict every row."""
    return np.concatenate([runner.predict(task.X[i : i + 1]) for i in range(len(task.X))])


def seconds(runner, task: Task) -> float:
    """Time of a round's calls, after a tenth of them untimed."""
    rows = [task.X[i : i + 1] for i in range(len(task.X))]
    predict = runner.predict
    for i in range(_CALLS // 10):
        predict(rows[i % len(rows)])
    start = time.perf_counter()
    for i in range(_CALLS):
        predict(rows[i % len(rows)])
    return time.perf_counter() - start


def distance(result: np.ndarray, reference: np.ndarray, task: Task) -> float:
    """Difference of two results as a part of the outputs."""
    return float(np.linalg.norm(result - reference) / np.linalg.norm(reference))
