"""How dates become numbers: the formats of a column's dates, and `seconds_of`, which applies one.

A format is `ISO`, one of `UNITS` (numbers since 1970), or directives as strptime has them. Whatever
wrote a date, its number is seconds since 1970 in UTC; of a time of day alone, since midnight.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

__all__ = [
    "DIRECTIVES",
    "ISO",
    "NONE",
    "PLACE_OF_MONTH",
    "TIME",
    "UNITS",
    "check_format",
    "example",
    "in_words",
    "is_time",
    "order_of",
    "pattern_of",
    "seconds_of",
    "to_number",
]

ISO = "iso"
NONE = "none"  # what the user calls a column without dates
_DAY = 86_400_000_000  # in microseconds
# As many as an int64 has bits; "Wednesday, 30. September 2026 13:05:00.123456789 +01:00" has 55.
_LONGEST = 62
_BLOCK = 16_384  # texts read at once, as 4 MB of characters and their places
TIME = "%H:%M:%S.%f"  # of types that hold a time of day
# How many of each make a second.
UNITS = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}

_MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july", "august", "september"),
    *("october", "november", "december"),
)
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
PLACE_OF_MONTH = {
    **{name: i + 1 for i, name in enumerate(_MONTHS)},
    **{name[:3]: i + 1 for i, name in enumerate(_MONTHS)},
    "sept": 9,
}

_SPACE = "[\\s\u00a0\u202f]"  # browsers write a narrow blank before AM and PM
_ZONE = "Z|UTC|GMT|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?"


def _names(names: Iterable[str]) -> str:
    # Longest first, or "jan" would end "january".
    return f"(?:{'|'.join(sorted(names, key=len, reverse=True))})\\.?"


# What each directive stands for. "0?" loses its "?" where another digit is next to it.
_PATTERNS = {
    "Y": "[0-9]{4}",
    "y": "[0-9]{2}",
    "m": "1[0-2]|0?[1-9]",
    "d": "[12][0-9]|3[01]|0?[1-9]",
    "b": _names(PLACE_OF_MONTH),
    "B": _names(PLACE_OF_MONTH),
    "H": "1[0-9]|2[0-4]|0?[0-9]",
    "I": "1[0-2]|0?[1-9]",
    "M": "[0-5][0-9]",
    "S": "[0-5][0-9]",
    "f": "[0-9]{1,18}",
    "p": "[AP]\\.?M\\.?",
    "z": _ZONE,
    "a": _names([*_WEEKDAYS, *(name[:3] for name in _WEEKDAYS)]),
    "A": _names([*_WEEKDAYS, *(name[:3] for name in _WEEKDAYS)]),
}
DIRECTIVES = tuple(_PATTERNS)
_DIGITS = frozenset("YymdHIMSf")
_FIELD = {"y": "Y", "b": "m", "B": "m", "I": "H", "A": "a"}  # what says the same
_EXAMPLES = {
    "Y": "2026",
    "y": "26",
    "m": "11",
    "d": "22",
    "b": "Nov",
    "B": "November",
    "H": "13",
    "I": "01",
    "M": "05",
    "S": "00",
    "f": "000",
    "p": "PM",
    "z": "+00:00",
    "a": "Sun",
    "A": "Sunday",
}

# A month or a day; a time of that day; its zone.
_ISO_PATTERN = re.compile(
    "([0-9]{4})-([0-9]{2})(?:-([0-9]{2})"
    "(?:[T ]([0-9]{2})(?::([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,18}))?)?)?)?"
    f"(?:\\s*({_ZONE}))?)?"
)


def to_number(cell: str) -> float:
    """Return what a cell reads as; NaN for text. 1_000 is text, though Python reads it."""
    try:
        return np.nan if "_" in cell else float(cell)
    except ValueError:
        return np.nan


def seconds_of(texts: Iterable[str], date_format: str = ISO) -> npt.NDArray[np.float64] | None:
    """Return dates as seconds since 1970, or None if a text is no date of this format.

    Parameters
    ----------
    texts : iterable of str
        Without missing values.
    date_format : str
        `ISO`, one of `UNITS`, or directives. A time without a zone is UTC. Seconds and fractions of
        them may be left out; the seventh digit of a fraction and those after it are dropped. Years
        of two digits are those from 1969 to 2068. 24:00 is the end of the day.
    """
    # Not by pandas: version 2 knows the years 1678 to 2261 alone, and takes a time without a zone
    # for one of the zone that a text before it names.
    if date_format in UNITS:
        numbers = np.array([to_number(text) for text in texts], np.float64)
        return numbers / UNITS[date_format] if np.isfinite(numbers).all() else None
    every = list(texts)
    parts = [np.empty(0)]
    for start in range(0, len(every), _BLOCK):
        block = [text.strip() for text in every[start : start + _BLOCK]]
        fields = _fields(block, *pattern_of(date_format))
        part = None if fields is None else _seconds(fields)
        if part is None:
            return None
        parts.append(part)
    return np.concatenate(parts)


def _fields(
    texts: list[str], pattern: re.Pattern[str], directives: str
) -> dict[str, npt.NDArray[np.int64]] | None:
    """Return what each directive says in each text, or None if one is not in the format.

    Where digits and separators of texts are in the same places, one match says where their
    directives are; each text matched would take ten times as long.
    """
    # The first of what is no date at all says so before anything is made of the others.
    if pattern.fullmatch(texts[0]) is None or max(map(len, texts)) > _LONGEST:
        return None
    width = max(map(len, texts))
    chars = np.array(texts, f"U{width}").view(np.uint32).reshape(len(texts), width)
    is_digit = chars - np.uint32(ord("0")) < 10
    shapes = is_digit.astype(np.int64) @ (1 << np.arange(width, dtype=np.int64))
    fields = {letter: np.zeros(len(texts), np.int64) for letter in directives}
    for shape in np.unique(shapes):
        rows = np.flatnonzero(shapes == shape)
        while len(rows):
            match = pattern.fullmatch(texts[rows[0]])
            if match is None:
                return None
            spans = [match.span(i + 1) for i in range(len(directives))]
            between = np.ones(width, bool)
            for start, end in spans:
                between[max(start, 0) : max(end, 0)] = False
            alike = (chars[rows][:, between] == chars[rows[0], between]).all(axis=1)
            for letter, (start, end) in zip(directives, spans, strict=True):
                if start < 0:
                    fields[letter][rows[alike]] = letter in "md"  # the first of them
                    continue
                found = _read(letter, chars[rows[alike], start:end])
                if found is None:
                    return None
                fields[letter][rows[alike]] = found
            rows = rows[~alike]
    return fields


def _read(letter: str, chars: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64] | None:
    """Return what a directive says in each row of characters, or None where it is another."""
    if letter in _DIGITS:
        if letter == "f":
            chars = chars[:, :6]
        values = np.zeros(len(chars), np.int64)
        for place in range(chars.shape[1]):
            values = 10 * values + (chars[:, place].astype(np.int64) - ord("0"))
        if letter == "f":
            values *= 10 ** (6 - chars.shape[1])
        return np.where(values >= 69, 1900, 2000) + values if letter == "y" else values
    words, places = np.unique(
        np.ascontiguousarray(chars).view(f"U{chars.shape[1]}")[:, 0], return_inverse=True
    )
    pattern = re.compile(_PATTERNS[letter], re.IGNORECASE)
    if not all(pattern.fullmatch(word) for word in words.tolist()):
        return None
    return np.array([_NUMBER_OF[letter](word) for word in words.tolist()], np.int64)[places]


def _minutes_of(zone: str) -> int:
    digits = zone[1:].replace(":", "")
    if not digits.isdigit():
        return 0
    minutes = 60 * int(digits[:2]) + int(digits[2:] or "0")
    return -minutes if zone[0] == "-" else minutes


def _month_of(name: str) -> int:
    return PLACE_OF_MONTH[name.rstrip(".").lower()]


_NUMBER_OF: dict[str, Callable[[str], int]] = {
    "b": _month_of,
    "B": _month_of,
    "p": lambda text: int(text[0] in "Pp"),
    "z": _minutes_of,
    "a": lambda _: 0,
    "A": lambda _: 0,
}


def _seconds(fields: dict[str, npt.NDArray[np.int64]]) -> npt.NDArray[np.float64] | None:
    """Return seconds since 1970 by the directives of texts, or None if a day does not exist."""
    n = len(next(iter(fields.values())))

    def number(*letters: str, default: int = 0) -> npt.NDArray[np.int64]:
        found = next((fields[letter] for letter in letters if letter in fields), None)
        return np.full(n, default, np.int64) if found is None else found

    hour, minute, second = number("H"), number("M"), number("S")
    if "I" in fields:
        if not ((fields["I"] >= 1) & (fields["I"] <= 12)).all():
            return None
        hour = fields["I"] % 12 + 12 * number("p")
    microseconds = 1_000_000 * (3600 * hour + 60 * minute + second) + number("f")
    if ((minute > 59) | (second > 59) | (microseconds > _DAY)).any():  # 24:00 is the last
        return None
    if "Y" in fields or "y" in fields:
        month, day = number("m", "b", "B", default=1), number("d", default=1)
        if ((month < 1) | (month > 12) | (day < 1)).any():
            return None
        months = (12 * (number("Y", "y") - 1970) + month - 1).astype("datetime64[M]")
        days = months.astype("datetime64[D]") + (day - 1)
        if (days.astype("datetime64[M]") != months).any():
            return None  # a 30th of February
        microseconds += _DAY * days.astype(np.int64)
    seconds: npt.NDArray[np.float64] = (microseconds - 60_000_000 * number("z")) / 1e6
    return seconds


# --- formats -------------------------------------------------------------------------------------


@functools.cache
def pattern_of(date_format: str, *, exactly: bool = False) -> tuple[re.Pattern[str], str]:
    """Return the pattern of a format and the directives of its groups.

    With `exactly`, seconds and their fraction must be there. ValueError for what is no format.
    """
    if date_format == ISO:
        return _ISO_PATTERN, "YmdHMSfz"
    parts = _parts_of(date_format)
    pattern, directives, open_groups = "", "", ""
    for i, part in enumerate(parts):
        before = parts[i - 1] if i else ""
        after = parts[i + 1] if i + 1 < len(parts) else ""
        if part.isspace():
            pattern += f"{_SPACE}{'*' if after in ('%p', '%z') else '+'}"
        elif len(part) == 1 or part == "%%":
            optional = not exactly and (after == "%f" or (after == "%S" and part in ":."))
            mark = "[.,]" if after == "%f" and part == "." else re.escape(part[0])
            pattern += f"(?:{mark}" if optional else mark
            open_groups += ")?" if optional else ""
        else:
            letter = part[1]
            mine = _PATTERNS[letter]
            if letter in _DIGITS and (_is_digits(before) or _is_digits(after)):
                mine = mine.replace("0?", "0")
            pattern += f"({mine})"
            directives += letter
            # ":%S.%f": the fraction goes with the seconds.
            if open_groups and not (letter == "S" and "%f" in parts[i + 1 : i + 3]):
                pattern += open_groups
                open_groups = ""
    # Numbers that a spreadsheet or pandas had as such end in ".0".
    if not exactly and all(map(_is_digits, parts)):
        pattern += "(?:\\.0*)?"
    return re.compile(pattern, re.IGNORECASE), directives


def _is_digits(part: str) -> bool:
    return part[:1] == "%" and part[1:] in _DIGITS


def _parts_of(date_format: str) -> list[str]:
    """Return directives, runs of blanks and other characters in their order."""
    parts = re.findall(r"%.|\s+|.", date_format, re.DOTALL)
    unknown = [p for p in parts if p[0] == "%" and p != "%%" and p[1:] not in _PATTERNS]
    if unknown:
        known = " ".join(f"%{letter}" for letter in DIRECTIVES)
        raise ValueError(f"{unknown[0]!r} is none of its directives, which are {known}")
    letters = [part[1] for part in parts if part[0] == "%" and part != "%%"]
    fields = [_FIELD.get(letter, letter) for letter in letters]
    twice = next((f for f in fields if fields.count(f) > 1), None)
    if twice is not None:
        raise ValueError(f"%{twice}, or what says the same, comes twice in it")
    if ("I" in letters) != ("p" in letters):
        raise ValueError("%I and %p go together")
    if "d" in fields and "m" not in fields:
        raise ValueError("it has a day and no month")
    if "m" in fields and "Y" not in fields:
        raise ValueError("it has a month and no year")
    if "Y" not in fields and "H" not in fields:
        raise ValueError("it has neither a year nor an hour")
    for finer, coarser in (("M", "H"), ("S", "M"), ("f", "S")):
        if finer in fields and coarser not in fields:
            raise ValueError(f"it has %{finer} and no %{coarser}")
    return parts


def check_format(date_format: str) -> None:
    """Raise ValueError, which says why, for what is no format."""
    if date_format not in (ISO, *UNITS):
        if "%" not in date_format:
            raise ValueError(f"expected directives as %d/%m/%Y, or {', '.join((ISO, *UNITS))}")
        pattern_of(date_format)


def is_time(date_format: str) -> bool:
    """Return whether it holds times of day alone."""
    return "%" in date_format and "%Y" not in date_format and "%y" not in date_format


def order_of(date_format: str) -> str:
    """Return "day" or "month" for which number comes first where that may be mistaken, or ""."""
    day, month = date_format.find("%d"), date_format.find("%m")
    year = max(date_format.find("%Y"), date_format.find("%y"))
    if min(day, month) < 0 or year < min(day, month):
        return ""
    return "day" if day < month else "month"


def in_words(date_format: str) -> str:
    """Return a format as people know it: "%d/%m/%Y, day first", "seconds since 1970"."""
    if date_format == ISO:
        return "ISO 8601"
    if date_format in UNITS:
        return f"{date_format} since 1970"
    order = order_of(date_format)
    return f"{date_format}, {order} first" if order else date_format


def example(date_format: str) -> str:
    """Return 13:05 of 2026-11-22 in a format, and the format in brackets unless it is ISO's."""
    if date_format == ISO:
        return "2026-11-22"
    if date_format in UNITS:
        return f"{round(1_795_352_700 * UNITS[date_format])} ({in_words(date_format)})"
    text = re.sub("%(.)", lambda match: _EXAMPLES.get(match[1], match[1]), date_format)
    return f"{text} ({date_format})"
