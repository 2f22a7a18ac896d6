"""Callbacks, which watch a training and may end it, and early stopping."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from . import _arguments
from ._checkpoint import Checkpoint
from ._repr import number

if TYPE_CHECKING:
    from ._history import History
    from ._mlp import MLP
    from ._training import Trainer


@dataclass(frozen=True, repr=False)
class Progress:
    """The state of a training, which callbacks receive.

    Attributes
    ----------
    model : MLP
        The model in training; its parameters may be read, evaluated and copied.
    trainer : Trainer
        The trainer.
    history : History
        The finished epochs, including the current one at its end.
    epoch : int
        The current epoch, counted from 1 since the training began.
    epochs : int
        The epoch after which this fit ends.
    step : int
        Steps taken since the training began.
    steps_per_epoch : int
        Steps of a complete epoch.
    loss : float
        Mean training loss over the rows that the epoch has visited.
    validation_loss : float or None
        Of the validation data, at the end of an epoch.
    validation_score : float or None
        Of the validation data, at the end of an epoch.
    learning_rate : float
        Of the last step.
    seconds : float
        Time since the fit began.
    """

    model: MLP
    trainer: Trainer
    history: History
    epoch: int
    epochs: int
    step: int
    steps_per_epoch: int
    loss: float
    validation_loss: float | None
    validation_score: float | None
    learning_rate: float
    seconds: float

    def __repr__(self) -> str:
        shown = {
            "epoch": f"{self.epoch}/{self.epochs}",
            "step": self.step,
            "loss": number(self.loss),
        }
        if self.validation_loss is not None:
            shown["validation loss"] = number(self.validation_loss)
        if self.validation_score is not None:
            shown["validation score"] = number(self.validation_score)
        shown["learning rate"] = number(self.learning_rate)
        return f"<Progress: {', '.join(f'{name} {value}' for name, value in shown.items())}>"


class Callback:
    """Base of callbacks: override the methods you need. A function acts as `on_epoch_end`.

    Attributes
    ----------
    every_n_steps : int or None
        Call `on_step_end` if the number of steps taken is a multiple of this; None: never.

    Examples
    --------
    >>> import chainrule as cr
    >>> class StopBelow(cr.Callback):
    ...     def __init__(self, loss):
    ...         self.loss = loss
    ...     def on_epoch_end(self, state):
    ...         return state.loss < self.loss
    >>> model = cr.MLP([1, 1])
    >>> model.fit([[0.0], [1.0]], [0.0, 1.0], loss="mse", callbacks=[StopBelow(10.0)]).stop_reason
    'callback'
    """

    every_n_steps: int | None = None

    def on_epoch_end(self, state: Progress) -> bool | None:
        """React to the end of an epoch.

        Parameters
        ----------
        state : Progress
            The state of the training.

        Returns
        -------
        bool or None
            True ends the training.
        """
        return None

    def on_step_end(self, state: Progress) -> bool | None:
        """React to the end of a step, every `every_n_steps` steps.

        Parameters
        ----------
        state : Progress
            The state of the training.

        Returns
        -------
        bool or None
            True ends the training within the epoch, which the history then omits.
        """
        return None


@dataclass(frozen=True)
class EarlyStopping:
    """End a training that no longer improves, and restore its best epoch.

    Parameters
    ----------
    patience : int, default 10
        The training ends after this many epochs without improvement; at least 1.
    min_delta : float, default 0.0
        Only a change by more than this is an improvement; at least 0.
    monitor : {"loss", "score"}, default "loss"
        The value to watch: the validation loss (training loss without validation data), or the
        validation score.
    restore_best : bool, default True
        At the end, whatever ended the training, restore the parameters and running statistics of
        the best epoch. An exception, Ctrl-C included, leaves those of the last step.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.EarlyStopping(patience=5)
    EarlyStopping(patience=5, min_delta=0.0, monitor='loss', restore_best=True)
    """

    patience: int = 10
    min_delta: float = 0.0
    monitor: Literal["loss", "score"] = "loss"
    restore_best: bool = True

    def __post_init__(self) -> None:
        values = {
            "patience": _arguments.integer(self.patience, "patience", 1),
            "min_delta": _arguments.number(self.min_delta, "min_delta", minimum=0.0),
            "monitor": _arguments.one_of(self.monitor, ("loss", "score"), "monitor"),
            "restore_best": _arguments.boolean(self.restore_best, "restore_best"),
        }
        for field, value in values.items():
            object.__setattr__(self, field, value)


class Plateau:
    """Counts the epochs since a value last improved on the best by more than `min_delta`."""

    def __init__(self, min_delta: float, *, higher_is_better: bool = False) -> None:
        self._min_delta = min_delta
        self._sign = -1.0 if higher_is_better else 1.0
        self._best = math.inf
        self.epochs = 0

    @property
    def state(self) -> tuple[float, int]:
        """The best value (of a score with its sign changed) and the epochs since then."""
        return self._best, self.epochs

    @state.setter
    def state(self, value: tuple[float, int]) -> None:
        self._best, self.epochs = value

    def update(self, value: float) -> bool:
        """Take in the value of an epoch; return whether it is the best. NaN never is."""
        better = self._sign * value < self._best - self._min_delta
        if better:
            self._best = self._sign * value
            self.epochs = 0
        else:
            self.epochs += 1
        return better


class Callbacks:
    """The callbacks of a fit, checked, in the order in which they were given."""

    def __init__(self, callbacks: Iterable[Any]) -> None:
        if isinstance(callbacks, str) or not isinstance(callbacks, Iterable):
            raise TypeError(
                "callbacks must be a sequence of functions and Callback objects, "
                f"got {_arguments.type_name(callbacks)}"
            )
        self._epoch: list[Callable[[Progress], object]] = []
        self._step: list[tuple[int, Callable[[Progress], object]]] = []
        self.checkpoints: list[Checkpoint] = []
        for i, callback in enumerate(callbacks):
            self._add(callback, f"callbacks[{i}]")

    def _add(self, callback: Any, argument: str) -> None:
        if isinstance(callback, Checkpoint):
            self.checkpoints.append(callback)
            return
        on_epoch_end = getattr(callback, "on_epoch_end", None)
        on_step_end = getattr(callback, "on_step_end", None)
        if isinstance(callback, type) or not (on_epoch_end or on_step_end or callable(callback)):
            raise TypeError(
                f"{argument} must be a function or an object with on_epoch_end or on_step_end, "
                f"got {callback!r}"
            )
        if on_epoch_end is None and on_step_end is None:
            on_epoch_end = callback
        if on_epoch_end is not None:
            self._epoch.append(on_epoch_end)
        every = getattr(callback, "every_n_steps", None)
        if on_step_end is None or getattr(on_step_end, "__func__", None) is Callback.on_step_end:
            return
        if every is None:
            if not _states(callback, "every_n_steps"):
                raise ValueError(
                    f"{argument}.every_n_steps must be an integer >= 1 for on_step_end "
                    "(or None: never), got none"
                )
            return
        every = _arguments.integer(every, f"{argument}.every_n_steps", 1)
        self._step.append((every, on_step_end))

    def steps_until_due(self, step: int) -> int | None:
        """Return the number of steps until a callback is due; None if none ever is."""
        return min((every - step % every for every, _ in self._step), default=None)

    def is_due(self, step: int) -> bool:
        """Return whether a callback is to be called after `step` steps."""
        return any(step % every == 0 for every, _ in self._step)

    def step_end(self, step: int, state: Callable[[], Progress]) -> bool:
        """Call the callbacks due after `step` steps; return whether one asks to stop."""
        due = [call for every, call in self._step if step % every == 0]
        return bool(due) and _any_stops(due, state())

    def epoch_end(self, state: Callable[[], Progress]) -> bool:
        """Call the callbacks due at the end of an epoch; return whether one asks to stop."""
        return bool(self._epoch) and _any_stops(self._epoch, state())


def _states(callback: object, attribute: str) -> bool:
    """Whether an object or its class, other than the base of callbacks, has the attribute."""
    places = (callback, *(cls for cls in type(callback).__mro__ if cls is not Callback))
    return any(attribute in getattr(place, "__dict__", {}) for place in places)


def _any_stops(calls: list[Callable[[Progress], object]], state: Progress) -> bool:
    # All are called, so that what one sees does not depend on the others. Only a bool counts: a
    # function that happens to return something does not stop the training.
    answers = [call(state) for call in calls]
    return any(isinstance(answer, bool | np.bool_) and bool(answer) for answer in answers)
