"""scikit-learn's MLPClassifier and MLPRegressor."""

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from .shapes import LEARNING_RATE, Task


class Sklearn:
    """``partial_fit`` on a whole epoch, whose batches it takes in the order of the rows.

    Its squared error has another factor than "mse"; Adam divides that out. Its Adam adds epsilon
    before the bias correction, which in the first steps makes 5e-10 the others' 1e-8.
    """

    def __init__(self, task: Task, threads: int):
        # Threads come from OPENBLAS_NUM_THREADS and the like, read when NumPy was imported.
        self.task = task
        shape = task.shape
        classify = shape.loss == "cross_entropy"
        self.y = task.y if classify or task.y.shape[1] > 1 else task.y[:, 0]
        self.model = (MLPClassifier if classify else MLPRegressor)(
            hidden_layer_sizes=shape.widths[1:-1],
            activation=shape.activation,
            alpha=0.0,
            batch_size=shape.batch_size,
            learning_rate_init=LEARNING_RATE,
            epsilon=5e-10,
            shuffle=False,
        )
        if classify:
            self.model.partial_fit(task.X, self.y, classes=np.arange(shape.widths[-1]))
        else:
            self.model.partial_fit(task.X, self.y)
        # The first call draws weights and trains; put back the start and forget the moments.
        for index, (weight, bias) in enumerate(task.split(task.parameters)):
            self.model.coefs_[index][:] = weight
            self.model.intercepts_[index][:] = bias
        optimizer = self.model._optimizer
        optimizer.t = 0
        for moment in (*optimizer.ms, *optimizer.vs):
            moment[:] = 0.0

    def run(self, orders: list[np.ndarray]) -> None:
        """Train one epoch for each order."""
        for order in orders:
            self.model.partial_fit(self.task.X[order], self.y[order])

    def weights(self) -> np.ndarray:
        """Return the flat parameters."""
        blocks = zip(self.model.coefs_, self.model.intercepts_, strict=True)
        return np.concatenate([part.ravel() for block in blocks for part in block])
