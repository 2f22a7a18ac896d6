"""The state of a training, except its model and its data, from its first step to its last."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._callbacks import Plateau
from ._history import History
from ._schedules import ReduceOnPlateau

if TYPE_CHECKING:
    import numpy.typing as npt

    from ._evaluation import Dataset
    from ._network import Network
    from ._settings import Settings


class TrainingState:
    """Settings, optimizer, counts, the place in the epoch, and the history of a training.

    A model keeps the state of its last fit, which may be resumed. The state refers to neither model
    nor data, so that these live no longer than their users.
    """

    def __init__(self, network: Network, settings: Settings, threads: int) -> None:
        self.settings = settings
        self.history = History(precision=settings.precision)
        schedule = settings.optimizer.schedule()
        self.needs_epochs = schedule.needs_epochs
        self.plateau_schedule = (
            PlateauSchedule(schedule) if isinstance(schedule, ReduceOnPlateau) else None
        )
        kind = _core.Trainer32 if network.dtype == np.float32 else _core.Trainer64
        self.core = kind(
            network._network,
            settings.loss.spec(),
            settings.optimizer.spec(),
            schedule.spec(),
            settings.l1,
            settings.l2,
            settings.penalize_biases,
            settings.divide_penalties,
            settings.clip_norm or 0.0,
            settings.clip_value or 0.0,
            settings.seed,
            settings.shards or 0,
        )
        self.core.precision = settings.precision
        self.core.threads = threads
        # Of the unfinished epoch, beside core.progress: which rows it walks, and seconds so far.
        self.epoch_key: int | None = None
        self.epoch_seconds = 0.0
        self.epoch_penalty = 0.0  # of the last finished epoch: the sum of penalty * weight
        self._lowest = Lowest()

    def steps_done(self, key: int) -> int:
        """Return the steps of the unfinished epoch, 0 if it does not walk the rows of `key`."""
        return self.core.progress[1] if self.epoch_key == key else 0

    def begin(self, key: int) -> None:
        """Resume the unfinished epoch if it walks the rows of `key`; otherwise restart it."""
        if self.steps_done(key) == 0:
            self.core.progress = (0, 0, 0.0, 0.0, 0.0)
            self.epoch_seconds = 0.0
        self.epoch_key = key

    def best_of_losses(self) -> int | None:
        """Return the history's epoch of the lowest loss, reading only new epochs."""
        return self._lowest.epoch(self.history)


class PlateauSchedule:
    """The part of :class:`ReduceOnPlateau` that depends on the course of the training."""

    def __init__(self, schedule: ReduceOnPlateau) -> None:
        self._schedule = schedule
        self.plateau = Plateau(schedule.min_delta)

    def after(self, loss: float, scale: float) -> tuple[tuple[float, int], float]:
        """Return the plateau's state after an epoch with this loss, and the scale of the rate."""
        plateau = Plateau(self._schedule.min_delta)
        plateau.state = self.plateau.state
        plateau.update(loss)
        if plateau.epochs < self._schedule.patience:
            return plateau.state, scale
        plateau.epochs = 0
        lowest = self._schedule.min_learning_rate / self._schedule.learning_rate
        return plateau.state, max(scale * self._schedule.factor, lowest)


class Lowest:
    """Follows the lowest loss of a history that grows: an epoch costs the same in a long one."""

    def __init__(self) -> None:
        self._losses: list[float] | None = None
        self._seen = 0
        self._best: int | None = None

    def epoch(self, history: History) -> int | None:
        """Return the epoch of the lowest loss, as :meth:`History.best_of_losses` does."""
        losses = history.validation_loss or history.loss
        if losses is self._losses and self._seen == len(losses) - 1:
            if self._best is None or losses[-1] < losses[self._best - 1]:
                self._best = len(losses)
        elif losses is not self._losses or self._seen != len(losses):
            self._best = history.best_of_losses()
        self._losses, self._seen = losses, len(losses)
        return self._best


def key_of_rows(data: Dataset, batch_size: int, shuffle: bool) -> int:
    """Return a checksum that identifies a fit over the same rows in the same batches.

    It covers 64 rows at most, so that it costs a fit nothing: it distinguishes data sets, but does
    not detect every change of one.
    """
    rows = np.linspace(0, len(data.x) - 1, min(len(data.x), 64)).astype(np.int64)
    key = zlib.crc32(repr((data.x.shape, batch_size, shuffle)).encode())
    arrays: tuple[npt.NDArray[Any] | None, ...] = data
    for array in arrays:
        if array is not None:
            key = zlib.crc32(array[rows].tobytes(), key)
    return key
