"""The eight shapes that count, with data of the right shape for each."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .numpy_reference import Layer, NumpyMLP

LEARNING_RATE = 1e-3
SEED = 0


@dataclass(frozen=True)
class Workload:
    """One network, trained with Adam in float32."""

    name: str
    batch_size: int
    widths: tuple[int, ...]
    activation: str
    loss: str
    n_batches: int  # of one epoch
    epochs: int  # of one timed round, so that a round takes NumPy 50 ms or one step

    @property
    def n_steps(self) -> int:
        """Steps of one timed round."""
        return self.n_batches * self.epochs

    def layers(self) -> list[Layer]:
        """Layers of the NumPy reference."""
        hidden = [Layer(width, self.activation) for width in self.widths[1:-1]]
        return [*hidden, Layer(self.widths[-1])]


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("rl", 64, (17, 64, 64, 6), "tanh", "mse", 64, 8),
        Workload("tabular", 256, (32, 128, 128, 1), "relu", "mse", 32, 4),
        Workload("digits", 200, (64, 100, 10), "relu", "cross_entropy", 9, 30),
        Workload("mnist", 128, (784, 256, 128, 10), "relu", "cross_entropy", 16, 2),
        Workload("deep", 256, (128, *[256] * 8, 10), "relu", "cross_entropy", 10, 1),
        Workload("mid", 512, (784, 512, 512, 10), "relu", "cross_entropy", 6, 1),
        Workload("wide", 1024, (1024, 1024, 1024, 1024), "relu", "mse", 2, 1),
        Workload("huge", 1024, (2048, 4096, 4096, 256), "relu", "mse", 1, 1),
    )
}


@dataclass(frozen=True)
class Task:
    """What every competitor gets: a workload, its data, initial parameters, and a first epoch."""

    workload: Workload
    X: np.ndarray  # (n_rows, in_features) float32
    y: np.ndarray  # (n_rows,) labels, or (n_rows, out_features) float32
    parameters: np.ndarray  # flat: weight (in, out) and bias of each layer
    order: np.ndarray  # (n_rows,) rows of the first epoch

    @classmethod
    def make(cls, workload: Workload, order: Callable[[int], np.ndarray] | None = None) -> "Task":
        """Draw the data and the parameters, the same on every call, and take ``order(n_rows)``."""
        X, y = make_data(workload)
        network = NumpyMLP(workload.widths[0], workload.layers(), seed=SEED)
        order = order or np.random.default_rng(SEED).permutation
        return cls(workload, X, y, network.parameters, order(len(X)))

    def save(self, path: Path) -> None:
        """Write the arrays for other processes."""
        np.savez(path, X=self.X, y=self.y, parameters=self.parameters, order=self.order)

    @classmethod
    def load(cls, workload: Workload, path: Path) -> "Task":
        """Read what ``save`` wrote."""
        with np.load(path) as arrays:
            return cls(workload, *(arrays[name] for name in ("X", "y", "parameters", "order")))

    def split(self, parameters: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Weight and bias of each layer as views of a flat vector of parameters."""
        blocks, offset = [], 0
        widths = self.workload.widths
        for fan_in, fan_out in itertools.pairwise(widths):
            end = offset + fan_in * fan_out
            weight = parameters[offset:end].reshape(fan_in, fan_out)
            blocks.append((weight, parameters[end : end + fan_out]))
            offset = end + fan_out
        return blocks


def make_data(workload: Workload) -> tuple[np.ndarray, np.ndarray]:
    """Handwritten digits for ``digits``; else a random two-layer teacher and noise."""
    if workload.name == "digits":
        from sklearn.datasets import load_digits

        X, y = load_digits(return_X_y=True)
        return (X / 16.0).astype(np.float32), y.astype(np.int32)
    generator = np.random.default_rng(SEED)
    n_rows = workload.batch_size * workload.n_batches
    n_in, n_out = workload.widths[0], workload.widths[-1]
    X = generator.standard_normal((n_rows, n_in), dtype=np.float32)
    hidden = np.tanh(X @ generator.standard_normal((n_in, 16), dtype=np.float32) / n_in**0.5)
    y = hidden @ generator.standard_normal((16, n_out), dtype=np.float32)
    y += 0.1 * generator.standard_normal(y.shape, dtype=np.float32)
    if workload.loss == "cross_entropy":
        return X, y.argmax(axis=1).astype(np.int32)
    return X, y
