"""Checks the header line of the user's table: that there is one, and that it has the target."""

from __future__ import annotations

import difflib
import math

from chainrule._command.errors import UsageError, quoted
from chainrule._command.lines import to_number

__all__ = ["check_header", "listed"]


def check_header(path: str, header: tuple[str, ...], target: str | None) -> None:
    """Raise UsageError unless `header` has names that differ, `target` among them."""
    numeric = [name for name in header if not math.isnan(to_number(name))]
    if len(numeric) == len(header):
        raise UsageError(
            f"{path} has no header: its first line holds numbers only "
            f"({listed(header, 3)}); put a line with the column names on top"
        )
    if len(header) == 1:
        raise UsageError(
            f"{path} has a single column, {quoted(header[0])}; expected a target and at least one "
            "more, separated by commas, semicolons or tabs"
        )
    for i, name in enumerate(header):
        if name == "" and i > 0:
            raise UsageError(f"{path}: column {i + 1} has no name in the header")
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise UsageError(
            f"{path} has more than one column named {listed(repeated, 5)}; names must differ"
        )
    columns = f"its columns are {listed([name for name in header if name], 12)}"
    if target is None:
        raise UsageError(f"which column of {path} is the target? give --target COLUMN; {columns}")
    if target not in header or target == "":
        if numeric:
            hint = f"the first line holds numbers ({listed(numeric, 3)}): is the header missing?"
        else:
            hint = columns
        raise UsageError(
            f"{path} has no column {quoted(target)}{_did_you_mean(target, header)}; {hint}"
        )


def _did_you_mean(target: str, header: tuple[str, ...]) -> str:
    folded = {name.casefold(): name for name in header if name}
    close = difflib.get_close_matches(target.casefold(), folded, n=1)
    return f" (did you mean {quoted(folded[close[0]])}?)" if close else ""


def listed(names: list[str] | tuple[str, ...], most: int) -> str:
    """Return the first names in quotes and how many more there are."""
    shown = ", ".join(quoted(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
