"""Checks of scalar arguments and names: each returns the plain Python value or raises.

Every message reads "<argument> must be <expected>, got <given>".
"""

from __future__ import annotations

import difflib
import math
import numbers
import operator
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

INT64_MAX = 2**63 - 1
MOST_THREADS = 1024  # of one call; as in the compiled module
MOST_SHARDS = 1024  # of one batch
_LONGEST_TEXT = 60  # of a value in a message


def type_name(value: object) -> str:
    """Name of the type of `value`, as error messages give it."""
    return type(value).__name__


def described(value: object) -> str:
    """Type and, where that is short, text of a value, as error messages give it."""
    if value is None:
        return "NoneType"
    try:
        text = repr(value)
    except Exception:  # of the caller's class, or of an integer with thousands of digits
        return type_name(value)
    return type_name(value) if len(text) > _LONGEST_TEXT else f"{type_name(value)} {text}"


def one_of(value: object, choices: Iterable[str], argument: str) -> str:
    """Check that `value` is one of the names `choices`."""
    names = list(choices)
    if isinstance(value, str) and value in names:
        return str(value)  # of numpy.str_, which files would not take, too
    listed = ", ".join(repr(name) for name in names)
    if not isinstance(value, str):
        raise TypeError(f"{argument} must be one of {listed}, got {type_name(value)}")
    close = difflib.get_close_matches(value[:_LONGEST_TEXT].lower(), names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"{argument} must be one of {listed}, got {value[:_LONGEST_TEXT]!r}{hint}")


def integer(
    value: object, argument: str, minimum: int | None = None, maximum: int = INT64_MAX
) -> int:
    """Check an integer: a Python or NumPy one, no bool, no float."""
    if isinstance(value, bool | np.bool_):
        raise TypeError(f"{argument} must be an integer, got {type_name(value)}")
    try:
        result = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{argument} must be an integer, got {described(value)}") from None
    if minimum is not None and result < minimum:
        raise ValueError(f"{argument} must be an integer >= {minimum}, got {_digits(result)}")
    if result > maximum:
        raise ValueError(f"{argument} must be an integer <= {maximum}, got {_digits(result)}")
    return result


def _digits(value: int) -> str:
    # Python refuses to write out thousands of digits.
    bits = value.bit_length()
    return str(value) if bits <= 256 else f"one of {bits} bits"


def number(
    value: object,
    argument: str,
    *,
    minimum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    maximum: float | None = None,
) -> float:
    """Check a finite real number within bounds: Python's, NumPy's, no bool, no string."""
    bounds = [
        f"{sign} {bound:g}"
        for sign, bound in ((">=", minimum), (">", above), ("<", below), ("<=", maximum))
        if bound is not None
    ]
    expected = " ".join(["a finite number", " and ".join(bounds)]).strip()
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise TypeError(f"{argument} must be {expected}, got {described(value)}")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    fits = (
        math.isfinite(result)
        and (minimum is None or result >= minimum)
        and (above is None or result > above)
        and (below is None or result < below)
        and (maximum is None or result <= maximum)
    )
    if not fits:
        raise ValueError(f"{argument} must be {expected}, got {result:g}")
    return result


def optional_number(value: object, argument: str, *, above: float) -> float:
    """Check a number above a bound; None becomes 0.0, which the compiled module reads as "none"."""
    return 0.0 if value is None else number(value, argument, above=above)


def boolean(value: object, argument: str) -> bool:
    """Check a bool: Python's or NumPy's, nothing merely true or false."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{argument} must be True or False, got {described(value)}")
    return bool(value)


def threads(value: object, argument: str = "threads") -> int:
    """Check a number of threads; None becomes 0, which the compiled module reads as "automatic"."""
    return 0 if value is None else integer(value, argument, 1, MOST_THREADS)


def shards(value: object, *, mixes_rows: bool) -> int | None:
    """Check a number of shards, for a network whose layers may mix the rows of a batch."""
    if value is None:
        return None
    result = integer(value, "shards", 1, MOST_SHARDS)
    if mixes_rows and result > 1:
        raise ValueError(
            "shards must be None or 1 with batch normalization, whose statistics are of all rows, "
            f"got {result}"
        )
    return result


def seed(value: object, argument: str = "seed") -> int:
    """Check a seed: the key of a Philox generator, 64 bits."""
    return integer(value, argument, minimum=0, maximum=2**64 - 1)


def numbers_tuple(
    value: object, argument: str, *, minimum: float | None = None, **bounds: float
) -> tuple[float, ...]:
    """Check a non-empty sequence of numbers within bounds."""
    if isinstance(value, np.ndarray) and value.ndim == 1:
        value = value.tolist()
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f"{argument} must be a sequence of numbers, got {type_name(value)}")
    if not value:
        raise ValueError(f"{argument} must hold at least one number, got none")
    return tuple(
        number(item, f"{argument}[{i}]", minimum=minimum, **bounds) for i, item in enumerate(value)
    )


def path(value: object, argument: str = "path") -> str:
    """Check the path of a file, given as str or os.PathLike."""
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{argument} must be a str or os.PathLike, got {type_name(value)}")
    return os.fsdecode(value)


def float_dtype(value: Any, argument: str = "dtype") -> np.dtype[Any]:
    """Check a floating-point type: float32 or float64, in native byte order."""
    try:
        # A None is told apart: NumPy takes it for float64.
        dtype = None if value is None else np.dtype(value)
    except Exception:  # NumPy's are of many kinds
        dtype = None
    for kind in (np.dtype(np.float32), np.dtype(np.float64)):
        if dtype is not None and dtype == kind:
            return kind
    text = isinstance(value, str | np.dtype | type)
    given = repr(str(value)[:_LONGEST_TEXT]) if text else described(value)
    raise ValueError(f"{argument} must be 'float32' or 'float64', got {given}")
