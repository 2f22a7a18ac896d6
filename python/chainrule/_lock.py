"""One thread at a time may train a model; others are refused at once instead of kept waiting."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class TrainingLock:
    """Held while a model's parameters, gradient or workspace are written.

    The thread that holds it may take it again: a callback may ask for gradients while `fit` waits
    for it. A callback may not call what changes the training itself, such as `fit`.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._fitting: int | None = None  # the thread of the fit in progress
        self._n_fits = 0

    def acquire(self, what: str, *, changes_training: bool = False) -> None:
        """Take the lock, or raise RuntimeError when another thread has it.

        With `changes_training`, for calls that would corrupt a fit, it raises within a fit too: the
        callbacks run on the thread that holds the lock.
        """
        if not self._lock.acquire(blocking=False):
            raise _busy(what)
        if changes_training and self._fitting is not None:
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
                self._fitting = threading.get_ident()
                self._n_fits += 1  # after it: `read` then misses no fit
                yield
            finally:
                self._fitting = None

    @contextlib.contextmanager
    def read(self, what: str) -> Iterator[None]:
        """Raise RuntimeError when a fit of another thread runs at any moment of the ``with``.

        Takes no lock: copies may be made at once, and never make a training step wait or fail.
        """
        n_fits = self._n_fits
        if self._fitting not in (None, threading.get_ident()):
            raise _busy(what)
        yield
        if self._n_fits != n_fits:
            raise _busy(what)


def _busy(what: str) -> RuntimeError:
    return RuntimeError(f"{what} must wait: another thread is training this model")
