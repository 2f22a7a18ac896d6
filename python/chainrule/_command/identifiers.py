"""Which columns tell rows apart and say nothing else: keys, names, row numbers; `table` asks.

A network would learn such a column by heart, or take the order of the file for a cause. Dates, and
numbers with a fraction, are never taken for one, however distinct they are.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from chainrule._command.report import count
from chainrule._command.source import Column, number_text

__all__ = ["identifies_rows", "is_key_name", "is_saved_index"]

# What pandas calls a column without a name, and pyarrow an index without one.
_SAVED_INDEX = re.compile(r"|Unnamed: 0(\.\d+)*|__index_level_\d+__")

_KEY_WORDS = {"id", "uuid", "guid", "pk"}
_KEY_NAMES = {"index", "idx", "key", "row", "rowid", "rowname", "rownames"}

# Fewer distinct texts than that may be categories, as long as some come twice.
_FEW_TEXTS = 20

# n numbers drawn from a range of r hold n (n - 1) / 2r equal pairs on average, and more if some are
# likelier than others. Where ten are expected, to find none is a chance of e^-10.
_PAIRS_EXPECTED = 10
_LEAST_INEXACT = 2.0**53
_FIRST_ROWS = 10_000  # looked at before all of a large file are sorted


def is_saved_index(name: str) -> bool:
    """Return whether a column has the name that a saved row index gets."""
    return _SAVED_INDEX.fullmatch(name) is not None


def identifies_rows(name: str, column: Column) -> str | None:
    """Return why a column is taken for one that identifies rows, or None."""
    if column.kind == "categorical":
        return _by_texts(column)
    return _by_numbers(name, column.values) if column.kind == "numeric" else None


def _by_texts(column: Column) -> str | None:
    n_rows, n_distinct = len(column.values), len(column.categories)
    n_present = n_rows - int(column.missing().sum())
    if 2 * n_distinct > n_rows and (n_distinct > _FEW_TEXTS or n_distinct == n_present):
        return f"{n_distinct:,} distinct texts in {n_rows:,} rows: a name or a key"
    return None


def _by_numbers(name: str, values: npt.NDArray[np.float64]) -> str | None:
    first = values[:_FIRST_ROWS]
    if not _are_whole(first) or len(np.unique(first)) < len(first) or not _are_whole(values):
        return None
    ordered = np.sort(values)
    gaps = np.diff(ordered)
    if (gaps == 0).any() or np.abs(ordered[[0, -1]]).max() >= _LEAST_INEXACT:
        return None
    n = len(values)
    low, high = number_text(ordered[0]), number_text(ordered[-1])
    if ordered[0] in (0, 1) and high == number_text(ordered[0] + n - 1):
        return f"it numbers the rows from {low} to {high}"
    # Numbers such as 10, 20, 30 have a range of 3.
    span = (ordered[-1] - ordered[0]) / np.gcd.reduce(gaps.astype(np.int64)) + 1
    if n * (n - 1) / (2 * span) >= _PAIRS_EXPECTED or is_key_name(name):
        rows = count(n, "row")
        return f"whole numbers from {low} to {high}, another in each of {rows}: a key"
    return None


def _are_whole(values: npt.NDArray[np.float64]) -> bool:
    """Return whether all are whole numbers, none of them missing."""
    return bool((values == np.floor(values)).all())


def is_key_name(name: str) -> bool:
    """Return whether a name is one that keys have, as order_id."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", name)
    return name.strip().lower() in _KEY_NAMES or any(
        word.lower() in _KEY_WORDS for word in (*words[:1], *words[-1:])
    )
