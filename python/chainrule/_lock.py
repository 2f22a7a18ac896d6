"""One thread at a time may train a model; others are refused at once instead of kept waiting."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class TrainingLock:
    """Held while a model's parameters, gradient or workspace are written.

    The thread that holds it may take it again: a callback may ask for gradients while `fit` waits
    for it. `fit` itself may not be nested.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._in_fit = False

    def acquire(self, what: str) -> None:
        """Take the lock, or raise RuntimeError when another thread has it."""
        if not self._lock.acquire(blocking=False):
            raise RuntimeError(f"{what} must wait: another thread is training this model")

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()

    @contextlib.contextmanager
    def hold(self, what: str) -> Iterator[None]:
        """Hold the lock within a ``with`` statement."""
        self.acquire(what)
        try:
            yield
        finally:
            self.release()

    @contextlib.contextmanager
    def fit_once(self) -> Iterator[None]:
        """Mark a fit, or raise RuntimeError within one; the lock must be held."""
        if self._in_fit:
            raise RuntimeError("fit must not be called by a callback of a fit of the same model")
        self._in_fit = True
        try:
            yield
        finally:
            self._in_fit = False
