"""One estimator, several threads: each call sees one complete fit.

A fit works on a twin of the estimator; a single assignment publishes all its changes. A reader
first copies the attributes in a single read, and uses only the copy. Called by the estimators'
base.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from ._scaling import in_units_of_y, is_in_other_units

if TYPE_CHECKING:
    from collections.abc import Iterator

# Attributes: of an estimator, its fit in progress; of a twin, whether the fit changed it.
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

    A callback sees the state of the fit that calls it; all other callers see the last fit that
    ended.
    """
    state = vars(estimator).copy()
    fit = state.pop(_FIT, None)
    if fit is not None and fit.is_own():
        return in_units_of_y(fit.twin)
    return _twin(estimator, state)


@contextlib.contextmanager
def fitting(estimator: Any, what: str) -> Iterator[Any]:
    """Yield the twin to fit; at the end the estimator takes all its changes at once.

    If the fit raises, the estimator takes nothing unless :func:`mark_changed` was called.

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
    """Publish the changes of a fit even if it raises: it took steps, or recorded an epoch."""
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
    """Publish the changes of a fit in one assignment."""
    nothing = object()
    gone = {_FIT, *(before.keys() - after.keys())}
    made = {
        name: value
        for name, value in after.items()
        if before.get(name, nothing) is not value and name != _CHANGED
    }
    # Attributes that other threads set meanwhile stay.
    present = vars(estimator).copy()
    estimator.__dict__ = {n: value for n, value in present.items() if n not in gone} | made
