"""Where the command writes: places checked before the work starts, files replaced whole."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from chainrule._command.errors import CommandError, UsageError, quoted, reason_of_path
from chainrule._files.storage import replace_file

__all__ = ["check_output", "check_place", "write_file"]


def check_place(path: str, option: str) -> bool:
    """Return whether `path` exists.

    Raises
    ------
    UsageError
        If no file can be written there.
    """
    if not os.path.basename(path):
        raise UsageError(f"{option} {quoted(path)}: expected the name of a file")
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise UsageError(f"{option} {path}: there is no folder {folder}")
    # A link is followed, and a file is written beside the one that it replaces.
    try:
        target = os.path.realpath(path)
        mode = os.stat(target).st_mode
        exists = True
    except FileNotFoundError:
        exists = False
    except (OSError, ValueError) as error:  # too long, links in a circle, a NUL
        raise UsageError(
            f"{option} {path!r} cannot be written: {reason_of_path(path, error)}"
        ) from None
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise UsageError(
            f"{option} {path}: it is a link into {folder}, and there is no such folder"
        )
    if exists and stat.S_ISDIR(mode):
        raise UsageError(f"{option} {path}: it is a folder")
    if exists and not stat.S_ISREG(mode):
        raise UsageError(f"{option} {path}: it is a pipe or a device, expected a file")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"{option} {path}: the folder {folder} cannot be written to")
    return exists


def check_output(path: str, option: str, *, force: bool, inputs: Iterable[str]) -> None:
    """Raise UsageError unless `path` may be written: new or with --force, and never an input."""
    if not check_place(path, option):
        return
    for read in inputs:
        if os.path.samefile(path, read):
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
