"""Checks the names of a table's columns: that there are some, and that they have what is asked."""

from __future__ import annotations

import difflib
import math

from chainrule._command.dates import to_number
from chainrule._command.errors import UsageError, quoted

__all__ = ["check_header", "check_names", "listed", "require_column"]


def check_header(path: str, names: tuple[str, ...]) -> None:
    """Raise UsageError if the first line of a text file is no header."""
    if names and all(not math.isnan(to_number(name)) for name in names):
        raise UsageError(
            f"{path} has no header: its first line holds numbers only "
            f"({listed(names, 3)}); put a line with the column names on top"
        )


def check_names(path: str, names: tuple[str, ...]) -> None:
    """Raise UsageError unless there are names and they differ."""
    if len(names) == 0:
        raise UsageError(f"{path} has no columns")
    for i, name in enumerate(names):
        if name == "" and i > 0:
            raise UsageError(f"{path}: column {i + 1} has no name in the header")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UsageError(
            f"{path} has more than one column named {listed(repeated, 5)}; names must differ"
        )


def require_column(path: str, names: tuple[str, ...], name: str | None, option: str) -> None:
    """Raise UsageError unless `name`, which an option gave, is one of the columns."""
    columns = f"its columns are {listed([known for known in names if known], 12)}"
    if name is None:
        raise UsageError(
            f"which column of {path} is the {option.lstrip('-')}? give {option} COLUMN; {columns}"
        )
    if name not in names or name == "":
        numeric = [known for known in names if not math.isnan(to_number(known))]
        if numeric:
            columns = f"the first line holds numbers ({listed(numeric, 3)}): is the header missing?"
        raise UsageError(
            f"{path} has no column {quoted(name)}{_did_you_mean(name, names)}; {columns}"
        )


def _did_you_mean(target: str, header: tuple[str, ...]) -> str:
    folded = {name.casefold(): name for name in header if name}
    close = difflib.get_close_matches(target.casefold(), folded, n=1)
    return f" (did you mean {quoted(folded[close[0]])}?)" if close else ""


def listed(names: list[str] | tuple[str, ...], most: int) -> str:
    """Return the first names in quotes and how many more there are."""
    shown = ", ".join(quoted(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
