"""What a training says of itself where a progress bar would be garbage: files, pipes."""

from __future__ import annotations

from types import TracebackType

import chainrule as cr
from chainrule._bar import make_bar
from chainrule._command.report import Report, duration

__all__ = ["EpochBar", "EpochLog"]

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


class EpochBar(cr.Callback):
    """One bar, with the time left, for the epochs of many short trainings.

    Parameters
    ----------
    n_epochs : int
        Of all trainings together.
    shown : bool
    """

    def __init__(self, n_epochs: int, *, shown: bool) -> None:
        self._bar = make_bar(
            total=n_epochs, disable=not shown, leave=False, unit="epoch", dynamic_ncols=True
        )

    def __enter__(self) -> EpochBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()

    def on_epoch_end(self, state: cr.Progress) -> None:
        """Count an epoch."""
        self._bar.update()
