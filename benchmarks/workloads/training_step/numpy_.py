"""The pure-NumPy reference."""

import numpy as np

from ...numpy_reference import Adam, NumpyMLP, NumpyTrainer
from .shapes import LEARNING_RATE, Task


class Numpy:
    """``NumpyTrainer.fit``."""

    def __init__(self, task: Task, threads: int):
        # Threads come from OPENBLAS_NUM_THREADS and the like, read when NumPy was imported.
        self.task = task
        self.model = NumpyMLP(
            task.shape.widths[0], task.shape.layers(), dtype=task.parameters.dtype
        )
        self.model.parameters[:] = task.parameters
        self.trainer = NumpyTrainer(self.model, loss=task.shape.loss, optimizer=Adam(LEARNING_RATE))

    def run(self, orders: list[np.ndarray]) -> None:
        """Train one epoch for each order."""
        first = self.trainer.epoch
        self.trainer.fit(
            self.task.X,
            self.task.y,
            batch_size=self.task.shape.batch_size,
            epochs=len(orders),
            order=lambda epoch: orders[epoch - first],
        )

    def weights(self) -> np.ndarray:
        """Return the flat parameters."""
        return self.model.parameters
