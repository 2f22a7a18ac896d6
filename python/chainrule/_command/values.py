"""Readers of option values for argparse, each of which says what it expects; values for JSON."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable
from typing import Any

from chainrule import _core

__all__ = ["activation", "file_name", "integer", "names", "number", "plain", "widths"]

_WIDEST_LAYER = 16_384


def integer(smallest: int, largest: int | None = None) -> Callable[[str], int]:
    """Return a reader of whole numbers in a range."""
    span = f"of at least {smallest}" if largest is None else f"from {smallest} to {largest}"

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = smallest - 1
        if value < smallest or (largest is not None and value > largest):
            raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number {span}")
        return value

    return read


def number(above: float, below: float, *, or_equal: bool = False) -> Callable[[str], float]:
    """Return a reader of numbers in an open range, which has its lower end if `or_equal`."""
    span = f"of at least {above:g}" if or_equal else f"above {above:g}"
    span += "" if below == math.inf else f" and below {below:g}"

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (above < value < below or (or_equal and value == above)):
            raise argparse.ArgumentTypeError(f"{text!r}: expected a number {span}")
        return value

    return read


def widths(text: str) -> tuple[int, ...]:
    """Read the widths of hidden layers."""
    if text == "none":
        return ()
    read = integer(1, _WIDEST_LAYER)
    try:
        return tuple(read(width) for width in text.split(","))
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected widths from 1 to {_WIDEST_LAYER} separated by commas, as 128,64, "
            "or none"
        ) from None


def activation(text: str) -> str:
    """Read the name of an activation."""
    known = list(_core.activations())
    if text not in known:
        raise argparse.ArgumentTypeError(f"{text!r}: expected one of {', '.join(known)}")
    return text


def names(text: str) -> tuple[str, ...]:
    """Read names separated by commas; a name that comes twice counts once."""
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if not all(found):
        raise argparse.ArgumentTypeError(f"{text!r}: expected names separated by commas")
    return found


def file_name(path: str) -> str:
    """Return the name of a file for a report, which is UTF-8; bytes that are not, escaped."""
    return os.path.basename(path).encode("utf-8", "backslashreplace").decode("utf-8")


def plain(value: Any) -> Any:
    """Return a value that JSON can hold: None for what is not finite."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
