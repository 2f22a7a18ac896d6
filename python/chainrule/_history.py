"""The history of a training: one number of each kind per epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ._errors import not_installed
from ._repr import counted, number

if TYPE_CHECKING:
    from ._evaluation import Evaluation


@dataclass(repr=False)
class History:
    """The course of a training; each list has one item for each epoch.

    Attributes
    ----------
    loss : list of float
        Mean training loss over the rows of the epoch, with penalties, as the steps computed it.
    validation_loss : list of float
        Mean loss over the validation data after the epoch, without penalties; empty if there never
        was validation data, NaN for epochs without it.
    validation_score : list of float
        See :class:`Evaluation`; empty if the loss has no score, otherwise like `validation_loss`.
    learning_rate : list of float
        Of the last step of the epoch.
    seconds : list of float
        Time that the steps of the epoch took, in seconds; without validation.
    steps_per_second : list of float
        Steps of the epoch divided by `seconds`.
    best_epoch : int or None
        The best epoch so far, counted from 1: the one with the lowest validation loss (training
        loss without validation data), or the best one of early stopping.
    stop_reason : {"epochs", "early_stopping", "callback", "converged", "line_search"} or None
        Why the training ended; None while it runs, and if an exception ended it. L-BFGS ends
        "converged" if the gradient is within its tolerance, and "line_search" if it found no lower
        loss along its search direction: at a minimum, to the accuracy of the dtype, or where the
        loss is too steep for the allowed steps.
    precision : str or None
        Of the products; see :class:`MLP`. None for a history that no training made.
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_score: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    steps_per_second: list[float] = field(default_factory=list)
    best_epoch: int | None = None
    stop_reason: str | None = None
    precision: str | None = None

    def record(
        self,
        *,
        loss: float,
        validation: Evaluation | None,
        learning_rate: float,
        seconds: float,
        steps: int,
    ) -> None:
        """Append an epoch; the loop of :meth:`MLP.fit` calls this.

        Parameters
        ----------
        loss : float
            Mean training loss.
        validation : Evaluation or None
            Loss and score of the validation data.
        learning_rate : float
            Of the last step.
        seconds : float
            Time of the steps.
        steps : int
            Number of steps.
        """
        _append(self.validation_loss, validation and validation.loss, len(self.loss))
        _append(self.validation_score, validation and validation.score, len(self.loss))
        self.learning_rate.append(learning_rate)
        self.seconds.append(seconds)
        self.steps_per_second.append(steps / seconds if seconds > 0 else math.inf)
        self.loss.append(loss)  # last: an epoch that has a loss is whole

    def trim(self) -> int:
        """Drop what an interrupt left of an epoch that was not recorded to its end.

        Returns
        -------
        int
            The number of epochs.
        """
        n_epochs = len(self.loss)
        for values in (
            self.validation_loss,
            self.validation_score,
            self.learning_rate,
            self.seconds,
            self.steps_per_second,
        ):
            del values[n_epochs:]
        return n_epochs

    def best_of_losses(self) -> int | None:
        """Return the epoch of the lowest validation loss, or training loss without validation.

        Returns
        -------
        int or None
            The first such epoch, counted from 1; None before the first epoch.
        """
        values = self.validation_loss or self.loss
        known = [(value, epoch) for epoch, value in enumerate(values, 1) if not math.isnan(value)]
        return min(known)[1] if known else None

    def __repr__(self) -> str:
        parts = [counted(len(self.loss), "epoch")]
        last = (
            ("loss", self.loss),
            ("validation loss", self.validation_loss),
            ("validation score", self.validation_score),
        )
        parts += [f"{name} {number(values[-1])}" for name, values in last if values]
        if self.best_epoch is not None:
            parts.append(f"best epoch {self.best_epoch:,}")
        if self.stop_reason is not None:
            parts.append(f"ended by {self.stop_reason}")
        return f"<History: {', '.join(parts)}>"

    def _repr_html_(self) -> str:
        from . import _html  # for notebooks alone

        return _html.history_html(self)

    def plot(self, ax: Any = None) -> Any:
        """Draw the losses over the epochs, and scores by an axis on the right; needs Matplotlib.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default axes of a new figure.

        Returns
        -------
        matplotlib.axes.Axes
            The axes of the losses.

        Raises
        ------
        ImportError
            Without Matplotlib.
        """
        if ax is None:
            try:
                import matplotlib.pyplot as plt
            except ImportError as error:
                raise ImportError(not_installed("History.plot", "matplotlib")) from error
            _, ax = plt.subplots()
        epochs = range(1, len(self.loss) + 1)
        marker = "o" if len(epochs) == 1 else None  # a line needs two
        ax.plot(epochs, self.loss, marker=marker, label="training")
        if self.validation_loss:
            ax.plot(epochs, self.validation_loss, marker=marker, label="validation")
        if self.best_epoch is not None:
            ax.axvline(self.best_epoch, color="0.6", linestyle=":", label="best epoch")
        ax.set_xlabel("epoch")
        ax.set_ylabel("loss")
        handles, labels = ax.get_legend_handles_labels()
        if self.validation_score:
            right = ax.twinx()
            right.plot(
                epochs, self.validation_score, marker=marker, color="C2", label="validation score"
            )
            right.set_ylabel("score")
            handles, labels = (
                both + more
                for both, more in zip(
                    (handles, labels), right.get_legend_handles_labels(), strict=True
                )
            )
            # The axis drawn last covers the legends of others.
            right.legend(handles, labels, loc="center right")
        else:
            ax.legend()
        return ax


def _append(values: list[float], value: float | None, n_before: int) -> None:
    """Append to a list that stays empty until the first value; gaps are NaN."""
    if value is None:
        if values:
            values.append(math.nan)
        return
    values.extend([math.nan] * (n_before - len(values)))
    values.append(value)
