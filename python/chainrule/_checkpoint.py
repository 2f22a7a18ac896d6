"""When a fit writes checkpoints; what is in them is in _files/checkpoint.py. Called by the loop."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from . import _arguments


@dataclass(frozen=True)
class Checkpoint:
    """Write a training to a file between epochs, to go on from there when the process was killed.

    Given to :meth:`MLP.fit` among its `callbacks`. The file has all that the rest of the training
    depends on: parameters, running statistics, the optimizer's state, counts of steps and epochs,
    schedule, early stopping with the best parameters so far, history; not the data, of which it
    has a checksum, and nothing of other callbacks, which are called before it is written. It is
    replaced as :meth:`MLP.save` says: killed at any moment, the process leaves a whole file.

    A checkpoint is written at the end of an epoch, when `every_epochs` and `every_seconds` have
    both passed since the last one, and at the end of the last epoch. A fit that ends in the middle
    of an epoch (by an exception, by Ctrl-C, by a callback after a step) leaves the one before.

    Among the `callbacks` of an estimator it is written too, but no estimator resumes it: MLP.fit
    does, as docs/files.md says. What an estimator's `save` writes goes on by `partial_fit`.

    Parameters
    ----------
    path : str or os.PathLike
        The file, another one for each fit; an old one is replaced.
    every_epochs : int, default 1
        Epochs from one checkpoint to the next, at least 1.
    every_seconds : float, optional
        Seconds from one checkpoint to the next, at least 0; for epochs that are shorter than it
        takes to write.

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
    >>> train(second, epochs=8)  # goes on with the fourth epoch
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", _arguments.path(self.path))
        every = _arguments.integer(self.every_epochs, "every_epochs", 1)
        object.__setattr__(self, "every_epochs", every)
        if self.every_seconds is not None:
            seconds = _arguments.number(self.every_seconds, "every_seconds", minimum=0.0)
            object.__setattr__(self, "every_seconds", seconds)


class CheckpointWriter:
    """Writes the checkpoints of one fit when they are due.

    Parameters
    ----------
    checkpoints : iterable of Checkpoint
        The files.
    epoch : int
        Epochs that are completed when the fit begins.
    save : callable
        Writes the training, as it is, to a path.
    """

    def __init__(
        self, checkpoints: Iterable[Checkpoint], epoch: int, save: Callable[[str], None]
    ) -> None:
        self._save = save
        began = time.monotonic()
        self._last = dict.fromkeys(checkpoints, (epoch, began))
        # Callbacks may change the folder that relative paths begin with.
        self._paths = {checkpoint: os.path.abspath(checkpoint.path) for checkpoint in self._last}

    def epoch_end(self, epoch: int, *, is_last: bool) -> None:
        """Write what is due after an epoch."""
        for checkpoint, (last_epoch, last_time) in self._last.items():
            passed = time.monotonic() - last_time
            is_due = epoch - last_epoch >= checkpoint.every_epochs and (
                checkpoint.every_seconds is None or passed >= checkpoint.every_seconds
            )
            if is_due or is_last:
                self._save(self._paths[checkpoint])
                self._last[checkpoint] = (epoch, time.monotonic())
