"""Where the command writes: places checked before the work starts, files replaced whole."""

from __future__ import annotations

import os
from collections.abc import Iterable

from chainrule._command.errors import CommandError, UsageError
from chainrule._files.storage import replace_file

__all__ = ["check_output", "check_place", "write_file"]


def check_place(path: str, option: str) -> bool:
    """Return whether `path` exists.

    Raises
    ------
    UsageError
        If it does not, and no file can be written there.
    """
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise UsageError(f"{option} {path}: there is no folder {folder}")
    exists = os.path.lexists(path)
    if not exists and not os.access(folder, os.W_OK):
        raise UsageError(f"{option} {path}: the folder {folder} cannot be written to")
    return exists


def check_output(path: str, option: str, *, force: bool, inputs: Iterable[str]) -> None:
    """Raise UsageError unless `path` may be written: new or with --force, and never an input."""
    if not check_place(path, option):
        return
    if os.path.isdir(path):
        raise UsageError(f"{option} {path}: it is a folder")
    for read in inputs:
        if os.path.exists(path) and os.path.samefile(path, read):
            raise UsageError(f"{option} {path}: it is the file to read, which is never written to")
    if not force:
        raise UsageError(
            f"{option} {path}: it exists; give --force to replace it, or another {option}"
        )


def write_file(path: str, content: bytes, *, force: bool = True) -> None:
    """Write a file whole; a full disk or Ctrl-C leaves the older one as it was.

    Raises
    ------
    CommandError
        If it cannot be written.
    """
    try:
        replace_file(path, [content], overwrite=force)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from None
