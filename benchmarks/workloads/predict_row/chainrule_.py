"""The package itself: ``MLP.predict``."""

import chainrule as cr

from . import Task


class Chainrule:
    """``MLP.predict`` of an array with one row."""

    def __init__(self, task: Task, threads: int):
        widths, activation = list(task.shape.widths), task.shape.activation
        model = cr.MLP(widths, activation=activation, dtype=task.parameters.dtype)
        model.parameters[:] = task.parameters
        self.predict = model.predict
