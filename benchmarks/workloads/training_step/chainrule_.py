"""The package itself: whole epochs in C++, and step by step from Python."""

import numpy as np

import chainrule as cr

from ..workloads import LEARNING_RATE, SEED, Task


class Chainrule:
    """``Trainer.fit``, which shuffles by itself: ``Task.order`` is its order of the first epoch."""

    def __init__(self, task: Task, threads: int):
        self.task = task
        workload = task.workload
        self.model = cr.MLP(list(workload.widths), activation=workload.activation)
        self.model.parameters[:] = task.parameters
        self.trainer = cr.Trainer(
            self.model,
            loss=workload.loss,
            optimizer=cr.Adam(LEARNING_RATE),
            seed=SEED,
            threads=threads,
        )

    def run(self, orders: list[np.ndarray]) -> None:
        """Train as many epochs as there are orders."""
        self.trainer.fit(
            self.task.X,
            self.task.y,
            batch_size=self.task.workload.batch_size,
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
        X, y, batch_size = self.task.X, self.task.y, self.task.workload.batch_size
        for order in orders:
            for start in range(0, len(order), batch_size):
                batch = order[start : start + batch_size]
                self.trainer.step(X[batch], y[batch])
