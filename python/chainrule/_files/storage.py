"""Files that are read and replaced as a whole; called by container.py.

A new file is written beside the old one under a temporary name, synchronized to the disk, and
renamed: at any moment the path holds the complete old file or the complete new one. A temporary
file is locked while a process writes to it. The lock distinguishes it from the file of a killed
process, which the next writer of the same file removes. On Windows, where an open file can be
neither removed nor replaced, the open file is the lock.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from .._errors import ModelFileError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_T = TypeVar("_T")

# Temporary names of one file: the number of processes that can write it at a time.
_NAMES = 16
# A longer name leaves no room for the characters that a temporary name adds.
_LONGEST_NAME = 200
# On a file system without locks, a temporary file that was not written to for this long, in
# seconds, is abandoned.
_ABANDONED_AFTER = 3600.0
# On Windows a writer must close its temporary file before it renames it: one that is closed and
# was not written to for this long is abandoned.
_CLOSED_AFTER = 10.0
# On Windows, how long to wait for readers to close the file that is to be replaced.
_PATIENCE = 2.0
# Without it, Windows would write a carriage return before every line feed.
_BINARY = getattr(os, "O_BINARY", 0)


def read_file(path: str) -> bytes:
    """Return the bytes of a file, by one read: later changes of the file do not matter."""
    # Opening a pipe would wait for a writer.
    if not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path):
        raise ModelFileError(path, "is not a regular file")

    def read() -> bytes:
        with open(path, "rb", buffering=0) as file:
            return file.read()

    return _patiently(read)


def replace_file(
    path: str,
    pieces: Iterable[bytes | memoryview],
    *,
    afterwards: Callable[[], tuple[int, bytes]] | None = None,
    overwrite: bool = True,
) -> None:
    """Write the pieces to a file, in order, then the bytes of `afterwards` at its offset.

    It follows a link and keeps the permissions of an old file. If it raises, the old file is
    unchanged (unless only the folder could not be synchronized: then the new file is in place), and
    no temporary file is left.
    """
    target = os.path.realpath(path)
    old_mode = _mode_of_replaceable(path, target, overwrite)
    folder, name = os.path.split(target)
    if fcntl is None:
        _replace_on_windows(folder, name, pieces, afterwards, overwrite)
        return
    folder_handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        handle, temporary = _create_temporary(folder, name)
        try:
            if old_mode is not None:
                os.fchmod(handle, old_mode)
            _fill(handle, pieces, afterwards)
            _rename(temporary, target, overwrite)
        except BaseException:
            if _is_file_at(handle, temporary):
                os.unlink(temporary)
            raise
        finally:
            os.close(handle)
        # Until its folder is on the disk, a renamed file can come back under its old name.
        _sync_folder(folder_handle)
    finally:
        os.close(folder_handle)


def _replace_on_windows(
    folder: str,
    name: str,
    pieces: Iterable[bytes | memoryview],
    afterwards: Callable[[], tuple[int, bytes]] | None,
    overwrite: bool,
) -> None:
    """Replace a file on a system without locks, synchronized folders and permissions."""
    handle, temporary = _create_temporary(folder, name)
    try:
        try:
            _fill(handle, pieces, afterwards)
        finally:
            os.close(handle)
        # Here, unlike elsewhere, rename refuses to replace a file.
        rename = os.replace if overwrite else os.rename
        _patiently(lambda: rename(temporary, os.path.join(folder, name)))
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _patiently(call: Callable[[], _T]) -> _T:
    """Call; on Windows again for a while, when a file is refused since others have it open."""
    give_up_at = time.monotonic() + _PATIENCE
    while True:
        try:
            return call()
        except PermissionError:
            if fcntl is not None or time.monotonic() > give_up_at:
                raise
        time.sleep(0.01)


def _mode_of_replaceable(path: str, target: str, overwrite: bool) -> int | None:
    """Return the permissions of the file to replace; None when there is none."""
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(mode):
        raise FileExistsError(errno.EEXIST, "Is not a regular file", path)
    if not overwrite:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    return stat.S_IMODE(mode)


def _create_temporary(folder: str, name: str) -> tuple[int, str]:
    """Create and lock a temporary file, after removing all that nobody writes to any more."""
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    temporaries = [os.path.join(folder, f".{name}.{i}.tmp") for i in range(_NAMES)]
    for temporary in temporaries:
        _remove_if_abandoned(temporary)
    for temporary in temporaries:
        try:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
        except FileExistsError:
            continue
        if fcntl is None:
            return handle, temporary
        try:
            # Before it is locked, another process can have taken the file for an abandoned one.
            if _lock(handle) is not False and _is_file_at(handle, temporary):
                return handle, temporary
        except BaseException:
            os.close(handle)
            os.unlink(temporary)
            raise
        os.close(handle)
    raise OSError(
        errno.EBUSY, f"More than {_NAMES} processes are writing", os.path.join(folder, name)
    )


def _remove_if_abandoned(temporary: str) -> None:
    if fcntl is None:
        with contextlib.suppress(OSError):  # there is none, or somebody has it open
            if time.time() - os.stat(temporary).st_mtime > _CLOSED_AFTER:
                os.unlink(temporary)
        return
    try:
        handle = os.open(temporary, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:  # there is none, or it is another user's
        return
    try:
        is_locked = _lock(handle)
        if is_locked is None:
            is_locked = time.time() - os.fstat(handle).st_mtime > _ABANDONED_AFTER
        # Its writer may have renamed the file since it was opened here.
        if is_locked and _is_file_at(handle, temporary):
            with contextlib.suppress(PermissionError):
                os.unlink(temporary)
    finally:
        os.close(handle)


def _lock(handle: int) -> bool | None:
    """Try to lock an open file; return whether it worked, None when the file system has no locks.

    The lock ends with the process, however that ends.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_file_at(handle: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except FileNotFoundError:
        return False


def _fill(
    handle: int,
    pieces: Iterable[bytes | memoryview],
    afterwards: Callable[[], tuple[int, bytes]] | None,
) -> None:
    """Write a file and bring it to the disk."""
    for piece in pieces:
        _write_all(handle, piece)
    if afterwards is not None:
        offset, piece = afterwards()
        os.lseek(handle, offset, os.SEEK_SET)
        _write_all(handle, piece)
    os.fsync(handle)


def _write_all(handle: int, piece: bytes | memoryview) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _rename(temporary: str, target: str, overwrite: bool) -> None:
    if overwrite:
        os.replace(temporary, target)
        return
    # A link, unlike a rename, never takes the place of a file that somebody made meanwhile.
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from None
    except OSError:  # a file system without links
        if os.path.lexists(target):
            raise
        os.replace(temporary, target)
    else:
        os.unlink(temporary)


def _sync_folder(handle: int) -> None:
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems cannot.
        if error.errno != errno.EINVAL:
            raise
