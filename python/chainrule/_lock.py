"""One thread at a time may train a model; others are refused at once instead of kept waiting."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class TrainingLock:
    """Held while a model's parameters, gradient or workspace are written.

    The thread that holds it may take it again: a callback may ask for gradients while `fit` waits
    for it. What changes the training itself, `fit` above all, may not be called by one.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._in_fit = False

    def acquire(self, what: str, *, changes_training: bool = False) -> None:
        """Take the lock, or raise RuntimeError when another thread has it.

        With `changes_training`, for what would corrupt a fit, also within a fit: its callbacks run
        on the thread that holds the lock.
        """
        if not self._lock.acquire(blocking=False):
            raise RuntimeError(f"{what} must wait: another thread is training this model")
        if changes_training and self._in_fit:
            self._lock.release()
            raise RuntimeError(
                f"{what} must not be called within a fit of the same model, by a callback or a "
                "signal handler"
            )

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()

    @contextlib.contextmanager
    def hold(self, what: str, *, changes_training: bool = False) -> Iterator[None]:
        """Hold the lock within a ``with`` statement."""
        self.acquire(what, changes_training=changes_training)
        try:
            yield
        finally:
            self.release()

    @contextlib.contextmanager
    def hold_for_fit(self) -> Iterator[None]:
        """Hold the lock, and mark a fit, within a ``with`` statement."""
        with self.hold("fit", changes_training=True):
            try:
                self._in_fit = True
                yield
            finally:
                self._in_fit = False
