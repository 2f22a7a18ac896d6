"""Times of many small things, taken in turns so that a slow moment of the machine hits them alike.

Every sweep measures in passes. In a pass each thing is made anew, run untimed, then timed for some
milliseconds; passes take the things in different orders. What counts is the median over passes.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np

SEED = 0

# Seconds of a run, so often
Run = Callable[[int], float]


def clocked(call: Callable[[], object]) -> Run:
    """Time calls by the wall clock."""

    def run(times: int) -> float:
        start = time.perf_counter()
        for _ in range(times):
            call()
        return time.perf_counter() - start

    return run


def seconds_of(run: Run, budget: float) -> float:
    """Seconds of one, over about ``budget`` seconds; what takes longer is timed once."""
    first = run(1)  # makes buffers
    if first > 5:
        return first
    estimate = run(1) if first < 0.05 else first
    times = max(1, round(budget / max(estimate, 1e-7)))
    return run(times) / times


def measure(
    makers: Sequence[Callable[[], Sequence[Run]]],
    passes: int,
    budget: float,
    slow: float = float("inf"),
) -> np.ndarray:
    """Seconds of each run of each group, (groups, runs of a group, passes).

    Runs of a group are timed one right after the other, in an order that turns with the passes. A
    group of more than ``slow`` seconds has one pass; its others are NaN.
    """
    generator = np.random.default_rng(SEED)
    seconds: np.ndarray | None = None
    for turn in range(passes):
        for index in generator.permutation(len(makers)):
            if turn > 0 and np.nansum(seconds[index, :, 0]) > slow:
                continue
            runs = makers[index]()
            if seconds is None:
                seconds = np.full((len(makers), len(runs), passes), np.nan)
            for offset in range(len(runs)):
                which = (turn + offset) % len(runs)
                seconds[index, which, turn] = seconds_of(runs[which], budget)
    assert seconds is not None
    return seconds


def numbers(text: str) -> list[int]:
    """Parse ``1-4,8`` to 1, 2, 3, 4, 8, and ``none`` to no number."""
    found: list[int] = []
    for part in text.split(",") if text != "none" else []:
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found
