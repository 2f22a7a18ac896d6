"""Pictures written as PNG: known again by a mark, so that only they are replaced."""

from __future__ import annotations

from chainrule._command.errors import UsageError
from chainrule._command.outputs import check_place

__all__ = ["check_picture_path", "mark"]

_MARK_WITHIN = 1024  # bytes of the file's start


def mark(kind: str) -> str:
    """Return what is written into pictures of a kind; a file without it is not ours to replace."""
    return f"chainrule {kind}"


def check_picture_path(path: str, option: str, kind: str) -> bool:
    """Return whether `path` holds an older picture of that kind, which will be replaced.

    Raises
    ------
    UsageError
        If no picture can be written there, or something else would be overwritten.
    """
    if not path.lower().endswith(".png"):
        raise UsageError(f"{option} {path}: expected a name that ends in .png")
    if not check_place(path, option):
        return False
    try:
        with open(path, "rb") as file:
            ours = mark(kind).encode() in file.read(_MARK_WITHIN)
    except OSError as error:
        raise UsageError(f"{option} {path}: {error.strerror}") from None
    if not ours:
        raise UsageError(
            f"{option} {path}: the file exists and is no {kind} of chainrule; "
            f"move it away or give another {option} PATH"
        )
    return True
