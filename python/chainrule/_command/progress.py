"""What a training says of itself where a progress bar would be garbage: files, pipes."""

from __future__ import annotations

from types import TracebackType
from typing import Any, TypeVar

import chainrule as cr
from chainrule._bar import FORM, make_bar
from chainrule._command.report import Report, duration

__all__ = ["EpochBar", "EpochLog", "ReferenceBar"]

_Bar = TypeVar("_Bar", bound="_Closing")
_LINES, _LINES_OF_SEVERAL = 10, 4


class EpochLog(cr.Callback):
    """Prints a line for some of the epochs, with the time that is left at most.

    Parameters
    ----------
    report : Report
    score_name : str
        What the validation score is called.
    what : str
        Of which training, when there are several, which then print fewer lines each.
    """

    def __init__(self, report: Report, score_name: str, what: str = "") -> None:
        self._report = report
        self._score_name = score_name
        self._what = f" ({what})" if what else ""
        self._lines = _LINES_OF_SEVERAL if what else _LINES

    def on_epoch_end(self, state: cr.Progress) -> None:
        """Print the epochs that are multiples of a tenth, and the last."""
        every = -(-state.epochs // self._lines)
        if state.epoch % every and state.epoch < state.epochs:
            return
        left = state.seconds / state.epoch * (state.epochs - state.epoch)
        ends = f", {duration(left)} left" if left >= 1 else ""
        self._report.field(
            f"epoch {state.epoch}/{state.epochs}",
            f"loss {state.loss:.4g}, {self._score_name} {state.validation_score:.4f}"
            f"{ends}{self._what}",
        )
        self._report.flush()


class _Closing:
    """A bar that the block of a ``with`` statement closes."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def __enter__(self: _Bar) -> _Bar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()


class EpochBar(_Closing, cr.Callback):
    """One bar, with the time left, for the epochs of many short trainings.

    Parameters
    ----------
    n_epochs : int
        Of all trainings together.
    shown : bool
    """

    def __init__(self, n_epochs: int, *, shown: bool) -> None:
        super().__init__(
            make_bar(
                total=n_epochs, disable=not shown, leave=False, unit="epoch", dynamic_ncols=True
            )
        )

    def on_epoch_end(self, state: cr.Progress) -> None:
        """Count an epoch."""
        self._bar.update()


class ReferenceBar(_Closing):
    """A bar like that of a fit for the epochs of the NumPy reference.

    Parameters
    ----------
    n_epochs : int
    shown : bool
    """

    def __init__(self, n_epochs: int, *, shown: bool) -> None:
        super().__init__(
            make_bar(
                total=n_epochs,
                disable=not shown,
                dynamic_ncols=True,
                bar_format=FORM,
                desc="NumPy: ",
            )
        )
        self._n_epochs = n_epochs

    def show(self, epoch: int, loss: float) -> None:
        """Show the numbers of an epoch."""
        shown = {"epoch": f"{epoch}/{self._n_epochs}", "loss": f"{loss:.4g}"}
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update()
