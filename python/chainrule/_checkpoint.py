"""When a fit writes checkpoints; _files/checkpoint.py defines them. Called by the loop."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass

from . import _arguments


@dataclass(frozen=True)
class Checkpoint:
    """Write a training to a file, from which it resumes after the process was killed.

    Pass it to :meth:`MLP.fit` among its `callbacks`. The file has everything that the rest of the
    training depends on: parameters, running statistics, the optimizer's state, counts of steps and
    epochs, the place in the epoch, schedule, early stopping with the best parameters so far,
    history. It has a checksum of the data instead of the data, and nothing of other callbacks,
    which run before it is written. Like :meth:`MLP.save`, it replaces the file atomically: a
    process killed at any moment leaves a complete file.

    A checkpoint is written at the end of an epoch if `every_epochs` have passed since the last one,
    and after a step whose number is a multiple of `every_steps`; neither before `every_seconds`
    have passed. A last one is written when the fit ends, also by a callback. A fit that an
    exception or Ctrl-C ends leaves the previous one.

    The `callbacks` of an estimator may include one, but no estimator resumes it: MLP.fit does, see
    docs/files.md. To resume an estimator, use its `save` and `partial_fit`.

    Parameters
    ----------
    path : str or os.PathLike
        The file, a separate one for each fit; an old one is replaced.
    every_epochs : int, default 1
        Epochs from one checkpoint to the next, at least 1.
    every_seconds : float, optional
        Seconds from one checkpoint to the next, at least 0; for epochs that are shorter than a
        write.
    every_steps : int, optional
        Write within epochs too, if the number of steps taken is a multiple of this, at least 1; for
        long epochs.

    See Also
    --------
    MLP.fit : Its `resume_from` takes the path.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> import chainrule as cr
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = pathlib.Path(folder.name, "training.checkpoint")
    >>> def train(model, epochs):
    ...     model.fit(
    ...         X,
    ...         X[:, 0] * X[:, 1],
    ...         loss="mse",
    ...         epochs=epochs,
    ...         callbacks=[cr.Checkpoint(path)],
    ...         resume_from=path,
    ...     )
    >>> whole, first, second = cr.MLP([2, 8, 1]), cr.MLP([2, 8, 1]), cr.MLP([2, 8, 1])
    >>> train(first, epochs=3)
    >>> train(second, epochs=8)  # resumes at the fourth epoch
    >>> len(second.history.loss)
    8
    >>> history = whole.fit(X, X[:, 0] * X[:, 1], loss="mse", epochs=8)
    >>> bool((second.parameters == whole.parameters).all())
    True
    >>> folder.cleanup()
    """

    path: str | os.PathLike[str]
    every_epochs: int = 1
    every_seconds: float | None = None
    every_steps: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", _arguments.path(self.path))
        every = _arguments.integer(self.every_epochs, "every_epochs", 1)
        object.__setattr__(self, "every_epochs", every)
        if self.every_steps is not None:
            steps = _arguments.integer(self.every_steps, "every_steps", 1)
            object.__setattr__(self, "every_steps", steps)
        if self.every_seconds is not None:
            seconds = _arguments.number(self.every_seconds, "every_seconds", minimum=0.0)
            object.__setattr__(self, "every_seconds", seconds)


class CheckpointWriter:
    """Says when the checkpoints of one fit are due.

    Parameters
    ----------
    checkpoints : iterable of Checkpoint
        The files.
    epoch : int
        Epochs that are completed when the fit begins.
    """

    def __init__(self, checkpoints: Iterable[Checkpoint], epoch: int) -> None:
        began = time.monotonic()
        self._last = dict.fromkeys(checkpoints, (epoch, began))
        # Callbacks may change the folder that relative paths begin with.
        self._paths = {checkpoint: os.path.abspath(checkpoint.path) for checkpoint in self._last}

    def steps_until_due(self, step: int) -> int | None:
        """Return after how many steps more one is due within an epoch; None: never."""
        every = (checkpoint.every_steps for checkpoint in self._last)
        return min((n - step % n for n in every if n is not None), default=None)

    def within_epoch(self, step: int) -> list[str]:
        """Return the paths to write to after a step that does not end an epoch."""
        due = [c for c in self._last if _is_multiple(step, c.every_steps) and self._has_rested(c)]
        for checkpoint in due:
            self._last[checkpoint] = (self._last[checkpoint][0], time.monotonic())
        return [self._paths[checkpoint] for checkpoint in due]

    def at_epoch_end(self, epoch: int, step: int, *, is_last: bool) -> list[str]:
        """Return the paths to write to after an epoch, or after the step that ends the fit."""
        due = []
        for checkpoint, (last_epoch, _) in self._last.items():
            is_due = epoch - last_epoch >= checkpoint.every_epochs or _is_multiple(
                step, checkpoint.every_steps
            )
            if is_last or (is_due and self._has_rested(checkpoint)):
                due.append(checkpoint)
        for checkpoint in due:
            self._last[checkpoint] = (epoch, time.monotonic())
        return [self._paths[checkpoint] for checkpoint in due]

    def _has_rested(self, checkpoint: Checkpoint) -> bool:
        every = checkpoint.every_seconds
        return every is None or time.monotonic() - self._last[checkpoint][1] >= every


def _is_multiple(step: int, every: int | None) -> bool:
    return every is not None and step % every == 0
