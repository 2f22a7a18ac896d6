"""Makes tqdm's bars, which an interrupt must not find half made."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

__all__ = ["make_bar"]


def make_bar(**options: Any) -> Any:
    """Return ``tqdm(**options)``, interrupted only before or after.

    tqdm starts a thread of its own on the way; stopped there, it prints tracebacks when its parts
    are removed, besides the KeyboardInterrupt that the caller takes care of.

    Raises
    ------
    ImportError
        Without tqdm.
    """
    from tqdm import tqdm

    with _interrupts_wait():
        return tqdm(**options)


@contextlib.contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Hold Ctrl-C back until the end of the block, where its handler is called."""
    handler = signal.getsignal(signal.SIGINT)
    # Python delivers signals in its main thread alone, which alone may change handlers.
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda *call: held.append(call))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if held:
        handler(*held[-1])
