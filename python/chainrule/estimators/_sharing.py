"""One estimator, several threads: each call sees one fit, whole.

A fit works on a twin of the estimator, which it fills; all that it changed goes back in a single
assignment. Whoever reads an estimator takes a copy of its attributes first, in a single reading,
and looks at nothing else. Called by the estimators' base.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from ._scaling import in_units_of_y, is_in_other_units

if TYPE_CHECKING:
    from collections.abc import Iterator

# Where an estimator holds the fit that is at work on it, and a twin what that fit has to say.
_FIT = "_fit_at_work"
_CHANGED = "_is_changed"


class _Fit(NamedTuple):
    thread: int
    process: int
    twin: Any

    def is_own(self) -> bool:
        """Return whether the present thread is the one that fits (a callback calls)."""
        return self.thread == threading.get_ident()

    def is_over(self) -> bool:
        """Return whether the fit belongs to a process of which this one is a fork without it."""
        return self.process != os.getpid() and not self.is_own()


def snapshot(estimator: Any) -> Any:
    """Return an estimator with the present attributes, which no other thread replaces.

    A callback sees what the fit around it has come to; all others the last fit that ended.
    """
    state = vars(estimator).copy()
    fit = state.pop(_FIT, None)
    if fit is not None and fit.is_own():
        return in_units_of_y(fit.twin)
    return _twin(estimator, state)


@contextlib.contextmanager
def fitting(estimator: Any, what: str) -> Iterator[Any]:
    """Yield the twin to fit; at the end the estimator takes all that the fit changed, at once.

    When the fit raises, nothing is taken unless :func:`mark_changed` was called.

    Raises
    ------
    RuntimeError
        When there is a fit of the estimator already, around a callback or in another thread.
    """
    twin = _twin(estimator, {})
    own = _Fit(threading.get_ident(), os.getpid(), twin)
    attributes = vars(estimator)
    try:
        present = attributes.setdefault(_FIT, own)
        if present is not own:
            if not present.is_over():
                raise _refusal(present, what)
            attributes[_FIT] = own
        before = attributes.copy()
        del before[_FIT]
        vars(twin).update(before)
        is_whole = False
        try:
            yield twin
            is_whole = True
        finally:
            # An interrupt may have come before the network was back in the units of y.
            if (is_whole or _CHANGED in vars(twin)) and not is_in_other_units(twin):
                _publish(estimator, before, vars(twin))
    finally:
        if vars(estimator).get(_FIT) is own:
            del vars(estimator)[_FIT]


def mark_changed(twin: Any) -> None:
    """Let what a fit left be taken though it raises: steps were done, or an epoch recorded."""
    vars(twin)[_CHANGED] = True


def refuse_during_fit(estimator: Any, what: str) -> None:
    """Raise RuntimeError while the estimator is fitted, around a callback or by another thread."""
    fit = vars(estimator).get(_FIT)
    if fit is not None and not fit.is_over():
        raise _refusal(fit, what)


def refuse_in_training(estimator: Any, what: str) -> None:
    """Raise RuntimeError while another thread makes the first fit, or trains the last one on."""
    state = vars(estimator).copy()
    fit = state.get(_FIT)
    if fit is None or fit.is_own() or fit.is_over():
        return
    model = state.get("model_")
    if model is None or model is vars(fit.twin).get("model_"):
        raise _refusal(fit, what)


def _refusal(fit: _Fit, what: str) -> RuntimeError:
    if fit.is_own():
        return RuntimeError(
            f"{what} must not be called by a callback of a fit of the same estimator"
        )
    return RuntimeError(f"{what} must wait: another thread is fitting this estimator")


def _twin(estimator: Any, state: dict[str, Any]) -> Any:
    twin = object.__new__(type(estimator))
    twin.__dict__ = state
    return twin


def _publish(estimator: Any, before: dict[str, Any], after: dict[str, Any]) -> None:
    """Put what a fit changed in the place of what there was, in one assignment."""
    nothing = object()
    gone = {_FIT, *(before.keys() - after.keys())}
    made = {
        name: value
        for name, value in after.items()
        if before.get(name, nothing) is not value and name != _CHANGED
    }
    # What others have set meanwhile stays.
    present = vars(estimator).copy()
    estimator.__dict__ = {n: value for n, value in present.items() if n not in gone} | made
