"""Finds out how the dates of a column are written; `building` and `mixture` ask.

Some hundred texts tell which formats may be meant; then all of them must be of one. Numbers are
dates where the name of the column or their regularity says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule._command.dates import ISO, PLACE_OF_MONTH, UNITS, pattern_of, seconds_of
from chainrule._command.identifiers import is_key_name
from chainrule._command.source import number_text

__all__ = ["find_formats", "find_in_numbers", "formats_of", "has_foreign_month", "sample_of"]

_SAMPLE = 200

# In the order of preference where more than one reads all texts. Only "/" puts months first more
# often than days: in tables from America, and by pandas' own default.
_DATES = (
    *("%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%m.%d.%Y", "%d-%m-%Y", "%m-%d-%Y"),
    *("%Y/%m/%d", "%Y.%m.%d", "%Y-%m-%d", "%d. %m. %Y"),
    *("%m/%d/%y", "%d/%m/%y", "%d.%m.%y", "%m.%d.%y", "%d-%m-%y", "%m-%d-%y"),
    *("%y/%m/%d", "%y.%m.%d", "%y-%m-%d"),
    *("%b %d, %Y", "%b %d %Y", "%d %b %Y", "%d-%b-%Y", "%d/%b/%Y", "%d. %b %Y", "%d%b%Y"),
    *("%d %b, %Y", "%d %b %y", "%d-%b-%y", "%d%b%y", "%Y-%b-%d", "%Y %b %d"),
    *("%a, %d %b %Y", "%a %d %b %Y", "%a, %b %d, %Y", "%a %b %d %Y"),
    *("%m/%Y", "%b %Y", "%b-%Y", "%Y %b", "%Y-%b"),
)
# Of two digits each, or they are as likely the numbers of versions and sections.
_PADDED = tuple(date for date in _DATES if re.fullmatch("%[dmy][.-]%[dm][.-]%[dmy]", date))
_CLOCKS = (
    *("%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%H.%M.%S", "%H.%M"),
    *("%I:%M %p", "%I:%M:%S %p", "%I:%M:%S.%f %p", "%I %p"),
    *("%I.%M.%S %p", "%I.%M.%S.%f %p"),  # Oracle's
)
_TIMES = (*_CLOCKS, *(f"{clock} %z" for clock in _CLOCKS))
# 18.30 is a number.
_NO_TIMES_ALONE = ("%H.%M", "%H.%M %z")
_JOINTS = (", ", " ", "T", ":")
_SECONDS = re.compile(r"[:.]%S(\.%f)?")
# Where the time is not behind the date, as in C's ctime, or has no colons.
_WHOLE = (
    *("%a %b %d %H:%M:%S %Y", "%a %b %d %H:%M:%S %z %Y"),
    *("%Y%m%dT%H%M%S", "%Y%m%dT%H%M%S%z", "%Y%m%dT%H%M", "%Y%m%d %H%M%S", "%Y%m%d %H%M"),
    *("%Y%m%d %H:%M:%S", "%Y%m%d %H:%M"),
)

_FOREIGN = re.compile(
    r"(?:\d{1,2}[.\s/-]+(?:de )?)?([^\W\d_]{3,})[.\s/-]+(?:de )?(?:\d{1,2},? )?(?:19|20)\d\d"
)

_COMPACT = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_YEARS_OF_COMPACT = (1800, 2200)
_SECONDS_OF_1990, _SECONDS_OF_2100 = 631_152_000, 4_102_444_800
_TIME_WORDS = {"date", "day", "time", "datetime", "timestamp", "epoch", "ts", "unix", "unixtime"}
_UNIT_WORDS = {"ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
# One number in 27 of eight digits is a day; one in 60 is a whole minute.
_FEWEST_DAYS, _FEWEST_MINUTES = 5, 10


def sample_of(texts: Sequence[str]) -> Sequence[str]:
    """Return some hundred of them, from all over."""
    return texts[:: max(1, len(texts) // _SAMPLE)]


def find_formats(
    texts: Sequence[str], *, with_times: bool = True
) -> dict[str, npt.NDArray[np.float64]]:
    """Return the formats that read every one of some texts, the likeliest first, with the seconds.

    Parameters
    ----------
    texts : sequence of str
        Without missing values.
    with_times : bool
        Whether times of day alone are looked for, too.
    """
    sample = sample_of(texts)
    found: dict[str, None] = {}
    for text in sample:
        formats = formats_of(text, with_times=with_times)
        if not formats:
            return {}
        found |= dict.fromkeys(formats)
    left = [each for each in found if seconds_of(sample, each) is not None]
    left = [each for each in left if not any(_says_less(each, other) for other in left)]
    every = {each: seconds_of(texts, each) for each in sorted(left, key=_preference)}
    read = {each: seconds for each, seconds in every.items() if seconds is not None}
    # 22/11/26 begins with a year where its third number takes more values than the first.
    of_year_first = [each for each in read if each.startswith("%y")]
    others = [each for each in read if "%y" in each and each not in of_year_first]
    if of_year_first and others:
        most = max(_n_days(read[each]) for each in others)
        is_last = _n_days(read[of_year_first[0]]) <= most
        read = {each: read[each] for each in (others if is_last else of_year_first)}
    return read


def _n_days(seconds: npt.NDArray[np.float64]) -> int:
    """Return how many days of the month there are among some dates."""
    days = np.floor(seconds / 86_400).astype(np.int64).astype("datetime64[D]")
    return len(np.unique(days - days.astype("datetime64[M]")))


def formats_of(text: str, *, with_times: bool = True) -> tuple[str, ...]:
    """Return the formats that a text is written in."""
    text = text.strip()
    if seconds_of([text]) is not None:
        return (ISO,)
    found = [each for each in _WHOLE if _reads(each, text)]
    for date in _DATES:
        match = pattern_of(date)[0].match(text)
        if match is None or (date in _PADDED and match.end() != 8):
            continue
        end = match.end()
        if end == len(text):
            found.append(date)
        joint = next((each for each in _JOINTS if text.startswith(each, end)), None)
        if joint is not None:
            rest = text[end + len(joint) :].lstrip()
            found += [f"{date}{joint}{time}" for time in _TIMES if _reads(time, rest)]
    if with_times:
        found += [time for time in _TIMES if time not in _NO_TIMES_ALONE and _reads(time, text)]
    return tuple(each for each in found if seconds_of([text], each) is not None)


def _reads(date_format: str, text: str) -> bool:
    return pattern_of(date_format, exactly=True)[0].fullmatch(text) is not None


def _says_less(date_format: str, other: str) -> bool:
    """Return whether another format is the same with seconds, or with fractions of them."""
    alike = _SECONDS.sub("", other) == _SECONDS.sub("", date_format)
    return alike and len(other) > len(date_format)


def _preference(date_format: str) -> int:
    places = [i for i, date in enumerate(_DATES) if date_format.startswith(date)]
    return max(places, key=lambda i: len(_DATES[i])) if places else len(_DATES)


def has_foreign_month(text: str) -> bool:
    """Return whether a text looks like a date whose month has a name that is not English."""
    match = _FOREIGN.fullmatch(text.strip())
    return match is not None and match[1].lower() not in PLACE_OF_MONTH


# --- numbers -------------------------------------------------------------------------------------


def find_in_numbers(
    name: str, values: npt.NDArray[Any], told: str | None = None
) -> tuple[str, str] | None:
    """Return the format of dates that are written as numbers, and what says so; None for others.

    `told` is a format that needs no other evidence than that the numbers are in it. Single years
    are none, and neither is what only lies in the range of dates, as identifiers, prices and
    counts may.
    """
    present = values[np.isfinite(values)]
    if len(present) == 0 or _range_of(present[0]) is None:
        return None
    low, high = present.min(), present.max()
    date_format = _range_of(low)
    if date_format is None or date_format != _range_of(high):
        return None
    named = _is_time_name(name, date_format) or date_format == told
    if date_format in UNITS:
        return _since_1970(name, present, date_format, named)
    if (present != np.floor(present)).any():
        return None
    distinct = np.unique(present)
    if not named and (len(distinct) < _FEWEST_DAYS or is_key_name(name)):
        return None
    if seconds_of([number_text(value) for value in distinct], date_format) is None:
        return None
    what = "days" if date_format == _COMPACT[8] else "times"
    return date_format, f"each of its {len(distinct):,} numbers is one of the calendar's {what}"


def _range_of(value: float) -> str | None:
    for n_digits, date_format in _COMPACT.items():
        scale = 10.0 ** (n_digits - 4)
        if _YEARS_OF_COMPACT[0] * scale <= value < _YEARS_OF_COMPACT[1] * scale:
            return date_format
    for unit, scale in UNITS.items():
        if _SECONDS_OF_1990 * scale <= value <= _SECONDS_OF_2100 * scale:
            return unit
    return None


def _since_1970(
    name: str, values: npt.NDArray[Any], unit: str, named: bool
) -> tuple[str, str] | None:
    if named:
        return unit, "all are between 1990 and 2100, in a column of that name"
    # Whole minutes that are not merely round numbers, as prices are.
    minute = 60 * UNITS[unit]
    thousand = 1000 * UNITS[unit]
    if is_key_name(name) or (values % minute != 0).any() or (values % thousand == 0).all():
        return None
    if len(np.unique(values)) < _FEWEST_MINUTES:
        return None
    return unit, "all are whole minutes between 1990 and 2100"


def _is_time_name(name: str, date_format: str) -> bool:
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)]
    # Two billion in wall_time_ns are a duration.
    if _UNIT_WORDS.get(words[-1] if words else "", date_format) != date_format:
        return False
    return not _TIME_WORDS.isdisjoint(words) or words[1:][-1:] == ["at"]
