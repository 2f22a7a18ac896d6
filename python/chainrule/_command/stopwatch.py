"""Takes times, and tells whether other programs took the processors meanwhile."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from types import TracebackType

__all__ = ["Stopwatch", "range_in_words", "spread_is_wide"]

# An idle machine gives a computing thread at least 99% of the time, and quartiles of ratios that
# differ by 10%; one program more than processors takes a third of it, or half.
_MOST_WAITING = 0.1
_WIDEST_SPREAD = 1.5
# Less says nothing: the system itself takes some ms now and then, and Windows counts a thread's
# time in pieces of 16 ms.
_SHORTEST_SECONDS = 0.02
_FEWEST_PIECES = 20
_FEWEST_ROUNDS = 4


class Stopwatch:
    """Adds up the times of blocks: ``with stopwatch: ...``.

    The blocks are to compute in the calling thread, which then waits for a processor alone.

    Attributes
    ----------
    seconds : float
        Of all blocks.
    last : float
        Of the last one.
    """

    def __init__(self) -> None:
        self.seconds = self.last = 0.0
        self._computing = 0.0  # time that the calling thread had a processor

    def __enter__(self) -> Stopwatch:
        self._began = time.perf_counter(), time.thread_time()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        now = time.perf_counter(), time.thread_time()
        self.last = now[0] - self._began[0]
        self.seconds += self.last
        self._computing += now[1] - self._began[1]

    @property
    def waiting(self) -> float:
        """Share of the time that the calling thread had no processor, in [0, 1]."""
        piece = time.get_clock_info("thread_time").resolution
        if self.seconds < max(_SHORTEST_SECONDS, _FEWEST_PIECES * piece):
            return 0.0
        return min(max(1.0 - self._computing / self.seconds, 0.0), 1.0)

    @property
    def is_busy(self) -> bool:
        """Whether other programs kept the processors busy."""
        return self.waiting > _MOST_WAITING


def spread_is_wide(ratios: Sequence[float]) -> bool:
    """Return whether ratios of some rounds differ by more than an idle machine lets them."""
    if len(ratios) < _FEWEST_ROUNDS:
        return False
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return high > _WIDEST_SPREAD * low


def range_in_words(ratios: Sequence[float]) -> str:
    """Return what ratios lie between: "4.6 to 5.1"."""
    return f"{min(ratios):.1f} to {max(ratios):.1f}"
