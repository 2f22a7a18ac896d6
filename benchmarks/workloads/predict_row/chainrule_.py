"""The package itself: ``MLP.predict``."""

import chainrule as cr

from . import Task


class Chainrule:
    """``MLP.predict`` of an array with one row."""

    precision: str | None = None  # None: that of the run

    def __init__(self, task: Task, threads: int):
        widths, activation = list(task.shape.widths), task.shape.activation
        model = cr.MLP(
            widths,
            activation=activation,
            dtype=task.parameters.dtype,
            precision=self.precision or task.precision,
        )
        model.parameters[:] = task.parameters
        self.predict = model.predict


class ChainruleFloat32(Chainrule):
    """The same in float32, beside a run in another precision."""

    precision = "float32"
