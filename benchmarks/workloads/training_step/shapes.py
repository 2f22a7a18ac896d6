"""The eight shapes that count, with data of the right shape for each."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...numpy_reference import Layer, NumpyMLP

LEARNING_RATE = 1e-3
SEED = 0


def step_flops(widths: Sequence[int], batch_size: int) -> float:
    """Operations of a step's products: forward, weights' gradient, inputs' but the first."""
    products = [a * b for a, b in itertools.pairwise(widths)]
    return 2.0 * batch_size * (3 * sum(products) - products[0])


@dataclass(frozen=True)
class Shape:
    """One network, trained with Adam."""

    name: str
    batch_size: int
    widths: tuple[int, ...]
    activation: str
    loss: str
    n_batches: int  # of one epoch
    epochs: int  # of one timed round, so that a round takes NumPy 150 ms or one step

    @property
    def n_steps(self) -> int:
        """Steps of one timed round."""
        return self.n_batches * self.epochs

    @property
    def flops(self) -> float:
        """Operations of one step's products."""
        return step_flops(self.widths, self.batch_size)

    def layers(self) -> list[Layer]:
        """Layers of the NumPy reference."""
        hidden = [Layer(width, self.activation) for width in self.widths[1:-1]]
        return [*hidden, Layer(self.widths[-1])]


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("rl", 64, (17, 64, 64, 6), "tanh", "mse", 64, 24),
        Shape("tabular", 256, (32, 128, 128, 1), "relu", "mse", 32, 10),
        Shape("digits", 200, (64, 100, 10), "relu", "cross_entropy", 9, 90),
        Shape("mnist", 128, (784, 256, 128, 10), "relu", "cross_entropy", 16, 6),
        Shape("deep", 256, (128, *[256] * 8, 10), "relu", "cross_entropy", 10, 2),
        Shape("mid", 512, (784, 512, 512, 10), "relu", "cross_entropy", 6, 2),
        Shape("wide", 1024, (1024, 1024, 1024, 1024), "relu", "mse", 2, 1),
        Shape("huge", 1024, (2048, 4096, 4096, 256), "relu", "mse", 1, 1),
    )
}


@dataclass(frozen=True)
class Task:
    """What every competitor gets: a shape, its data, initial parameters, and a first epoch."""

    shape: Shape
    X: np.ndarray  # (n_rows, in_features)
    y: np.ndarray  # (n_rows,) labels, or (n_rows, out_features)
    parameters: np.ndarray  # flat: weight (in, out) and bias of each layer
    order: np.ndarray  # (n_rows,) rows of the first epoch
    precision: str  # of chainrule's products

    @classmethod
    def make(
        cls,
        shape: Shape,
        dtype: str = "float32",
        order: Callable[[int], np.ndarray] | None = None,
        precision: str | None = None,
    ) -> "Task":
        """Draw the data and the parameters, the same on every call, and take ``order(n_rows)``."""
        X, y = make_data(shape)
        network = NumpyMLP(shape.widths[0], shape.layers(), seed=SEED)
        order = order or np.random.default_rng(SEED).permutation
        y = y if y.dtype == np.int32 else y.astype(dtype)
        parameters = network.parameters.astype(dtype)
        return cls(shape, X.astype(dtype), y, parameters, order(len(X)), precision or dtype)

    def save(self, path: Path) -> None:
        """Write the arrays for other processes."""
        names = ("X", "y", "parameters", "order", "precision")
        np.savez(path, **{name: getattr(self, name) for name in names})

    @classmethod
    def load(cls, shape: Shape, path: Path) -> "Task":
        """Read what ``save`` wrote."""
        with np.load(path) as arrays:
            found = [arrays[name] for name in ("X", "y", "parameters", "order")]
            return cls(shape, *found, str(arrays["precision"]))

    def split(self, parameters: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Weight and bias of each layer as views of a flat vector of parameters."""
        blocks, offset = [], 0
        widths = self.shape.widths
        for fan_in, fan_out in itertools.pairwise(widths):
            end = offset + fan_in * fan_out
            weight = parameters[offset:end].reshape(fan_in, fan_out)
            blocks.append((weight, parameters[end : end + fan_out]))
            offset = end + fan_out
        return blocks


def make_data(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Handwritten digits for ``digits``; else a random two-layer teacher and noise."""
    if shape.name == "digits":
        from sklearn.datasets import load_digits

        X, y = load_digits(return_X_y=True)
        return (X / 16.0).astype(np.float32), y.astype(np.int32)
    generator = np.random.default_rng(SEED)
    n_rows = shape.batch_size * shape.n_batches
    n_in, n_out = shape.widths[0], shape.widths[-1]
    X = generator.standard_normal((n_rows, n_in), dtype=np.float32)
    hidden = np.tanh(X @ generator.standard_normal((n_in, 16), dtype=np.float32) / n_in**0.5)
    y = hidden @ generator.standard_normal((16, n_out), dtype=np.float32)
    y += 0.1 * generator.standard_normal(y.shape, dtype=np.float32)
    if shape.loss == "cross_entropy":
        return X, y.argmax(axis=1).astype(np.int32)
    return X, y
