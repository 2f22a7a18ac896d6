"""Errors that the command prints as one line, and the check that its libraries are installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from chainrule._errors import not_installed

__all__ = [
    "FAILED",
    "INTERRUPTED",
    "USAGE",
    "CommandError",
    "UsageError",
    "printable",
    "quoted",
    "reason_of_path",
    "require",
]

FAILED = 1
USAGE = 2
INTERRUPTED = 130

_LONGEST_QUOTE = 40
_DISTRIBUTIONS = {"sklearn": "scikit-learn"}  # by import name, where the two differ


class CommandError(Exception):
    """What went wrong, in one line; the command prints it and ends with `exit_code`."""

    exit_code = FAILED


class UsageError(CommandError):
    """The user's options or the user's file cannot be used as given."""

    exit_code = USAGE


def printable(text: str) -> str:
    """Return a text on one line: a file's name may hold line ends, and codes for terminals."""
    return "".join(
        char if char >= " " and not "\x7f" <= char <= "\x9f" else repr(char)[1:-1] for char in text
    )


def quoted(text: object) -> str:
    """Return `text` in quotes, on one line, shortened: cells of a table may hold anything."""
    line = str(text)
    if len(line) > _LONGEST_QUOTE:
        line = line[: _LONGEST_QUOTE - 3] + "..."
    return repr(line)


def reason_of_path(path: str, error: OSError | ValueError) -> str:
    """Return why a path cannot be used."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    # Python's words for it differ from one version to another.
    return "a NUL in its name" if "\0" in path else str(error)


def require(what: str, modules: Sequence[str]) -> None:
    """Raise CommandError if one of `modules` is not installed.

    Parameters
    ----------
    what : str
        What needs them, as the user would type it.
    modules : sequence of str
        Import names.
    """
    absent = [
        _DISTRIBUTIONS.get(name, name) for name in modules if importlib.util.find_spec(name) is None
    ]
    if absent:
        raise CommandError(not_installed(what, *absent))
