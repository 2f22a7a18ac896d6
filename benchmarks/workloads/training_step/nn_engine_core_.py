"""nn-engine-core: C++ and Eigen under pybind11, which records a step once and then replays it.

It starts from given weights, and its Adam, mean squared error and cross-entropy (of one-hot rows)
are the others', so its weights are compared like theirs. It computes in float32 and has no tanh.
Its threads are OpenMP's, from OMP_NUM_THREADS.

Its fastest way is ``fast_fit`` with a loader that shuffles: epochs, shuffling and gathering in C++.
The first epoch, which is compared, comes in a given order from a loader that does not shuffle; its
first batch is the one that is recorded, and trained on too.
"""

import math

import nnengine as nn
import numpy as np

from .shapes import LEARNING_RATE, Task

_NEVER = 10**9  # epochs without progress, after which it would stop


class NnEngineCore:
    """``fast_fit``, after a recorded first epoch."""

    def __init__(self, task: Task, threads: int):
        shape = task.shape
        if shape.activation != "relu":
            raise NotImplementedError(f"has no {shape.activation}")
        self.task = task
        blocks = task.split(task.parameters)
        self.model = _Network(blocks)
        classify = shape.loss == "cross_entropy"
        self.y = np.eye(shape.widths[-1], dtype=np.float32)[task.y] if classify else task.y
        loss = nn.SoftmaxCrossEntropyLoss() if classify else nn.MSELoss()
        # The compiler object alone does not keep these alive.
        self.owned = (nn.Adam(LEARNING_RATE), loss)
        self.engine = nn.JITCompiler(self.model, *self.owned)._cpp_engine
        self.loader = None

    def run(self, orders: list[np.ndarray]) -> None:
        """Train one epoch for each order; after the first call with orders of its own."""
        batch_size = self.task.shape.batch_size
        if self.loader is None:
            for order in orders:
                X, y = self.task.X[order], self.y[order]
                loader = nn.DataLoader(X, y, batch_size, shuffle=False)
                self.engine.trace_batch(loader)
                self.engine.fast_loop(loader)
            self.loader = nn.DataLoader(self.task.X, self.y, batch_size, shuffle=True)
        else:
            self.engine.fast_fit(self.loader, None, len(orders), -math.inf, _NEVER, False)

    def weights(self) -> np.ndarray:
        """Return the flat parameters."""
        return np.concatenate([part.data.ravel() for part in self.model.parameters()])


class _Network(nn.Module):
    def __init__(self, blocks: list[tuple[np.ndarray, np.ndarray]]):
        super().__init__()
        self.n_layers = len(blocks)
        for i, (weight, bias) in enumerate(blocks):
            dense = nn.DenseLayer(*weight.shape)
            for tensor, values in zip(dense.parameters(), (weight, bias[None, :]), strict=True):
                tensor.data = values
            setattr(self, f"dense{i}", dense)
            setattr(self, f"relu{i}", nn.ReLULayer())

    def forward(self, x):
        """Apply the layers; no ReLU behind the last."""
        for i in range(self.n_layers):
            x = getattr(self, f"dense{i}").forward(x)
            if i < self.n_layers - 1:
                x = getattr(self, f"relu{i}").forward(x)
        return x
