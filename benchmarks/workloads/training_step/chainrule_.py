"""The package itself: whole epochs in C++, and step by step from Python."""

import numpy as np

import chainrule as cr

from .shapes import LEARNING_RATE, SEED, Task


class Chainrule:
    """``Trainer.fit``, which shuffles by itself: ``Task.order`` is its order of the first epoch."""

    precision: str | None = None  # None: that of the run

    def __init__(self, task: Task, threads: int):
        # None: what CHAINRULE_NUM_THREADS allows, of which small shapes take fewer.
        self.task = task
        shape = task.shape
        self.model = cr.MLP(
            list(shape.widths),
            activation=shape.activation,
            dtype=task.parameters.dtype,
            precision=self.precision or task.precision,
        )
        self.model.parameters[:] = task.parameters
        self.trainer = cr.Trainer(
            self.model,
            loss=shape.loss,
            optimizer=cr.Adam(LEARNING_RATE),
            seed=SEED,
            threads=None,
        )

    def run(self, orders: list[np.ndarray]) -> None:
        """Train as many epochs as there are orders."""
        self.trainer.fit(
            self.task.X,
            self.task.y,
            batch_size=self.task.shape.batch_size,
            epochs=len(orders),
            progress=False,
        )

    def weights(self) -> np.ndarray:
        """Return the flat parameters."""
        return self.model.parameters


class ChainruleStep(Chainrule):
    """``Trainer.step`` on batches that NumPy gathers."""

    def run(self, orders: list[np.ndarray]) -> None:
        """Train one epoch for each order."""
        X, y, batch_size = self.task.X, self.task.y, self.task.shape.batch_size
        for order in orders:
            for start in range(0, len(order), batch_size):
                batch = order[start : start + batch_size]
                self.trainer.step(X[batch], y[batch])


class ChainruleFloat32(Chainrule):
    """The same in float32, beside a run in another precision."""

    precision = "float32"
