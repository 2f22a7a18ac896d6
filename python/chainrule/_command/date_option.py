"""The option --date-format of `train`, `predict` and `evaluate`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from chainrule._command.dates import NONE, check_format
from chainrule._command.errors import UsageError, quoted
from chainrule._command.header import require_column

__all__ = ["Formats", "format_option", "read_formats"]

OPTION = "--date-format"


@dataclass(frozen=True)
class Formats:
    """What the user says of dates.

    Attributes
    ----------
    of_column : dict of str to str
        `NONE` for columns without dates.
    of_all : str or None
        For every other column whose dates it reads.
    """

    of_column: dict[str, str] = field(default_factory=dict)
    of_all: str | None = None

    def check(self, others: Mapping[str, Sequence[str]]) -> None:
        """Raise UsageError if another option says that a column has no dates."""
        for option, names in others.items():
            for name in names:
                if name in self.of_column:
                    raise UsageError(f"column {quoted(name)} is both {OPTION} and {option}")


def read_formats(path: str, names: tuple[str, ...], given: Sequence[str]) -> Formats:
    """Return what the values of the option say of a file with these columns.

    Parameters
    ----------
    path : str
    names : tuple of str
        Of the file's columns.
    given : sequence of str
        "COLUMN=FORMAT", or "FORMAT".

    Raises
    ------
    UsageError
        For a column that is not there, a format that is none, and what is said twice.
    """
    of_column: dict[str, str] = {}
    of_all: str | None = None
    for text in given:
        # Names may have an equals sign in them, and so may formats.
        column = max((name for name in names if text.startswith(f"{name}=")), key=len, default=None)
        before, equals, _ = text.partition("=")
        if column is None and equals and "%" not in before:
            require_column(path, names, before, OPTION)
        date_format = text if column is None else text[len(column) + 1 :]
        problem = None if column is not None and date_format == NONE else _problem(date_format)
        if problem is not None:
            raise UsageError(f"{OPTION} {quoted(text)}: {problem}")
        if (of_all if column is None else of_column.get(column)) is not None:
            whose = "all columns" if column is None else quoted(column)
            raise UsageError(f"{OPTION} says two formats of {whose}")
        if column is None:
            of_all = date_format
        else:
            of_column[column] = date_format
    return Formats(of_column, of_all)


def _problem(date_format: str) -> str | None:
    try:
        check_format(date_format)
    except ValueError as error:
        return str(error)
    return None


def format_option(name: str, date_format: str) -> str:
    """Return what to type for a column whose dates have a format."""
    return f"{OPTION} {shlex.quote(f'{name}={date_format}')}"
