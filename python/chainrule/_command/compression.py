"""Opens a text table as the bytes it holds: plain, or compressed, which its first bytes say.

`lines.py` and `delimited.py` read through it, from the start each time and in pieces, so that a
compressed table takes no more memory than a plain one. Whatever is wrong with an archive is a
UsageError, wherever in the file it is found.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import sys
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Any

from chainrule._command.errors import UsageError, quoted, require

__all__ = ["check_whole", "compression_of", "open_bytes", "without_compression_ending"]

# First bytes, and the name that people know.
_READ = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"PK\3\4", "zip"),
    (b"PK\5\6", "zip"),  # without a member
)
_NOT_READ = (
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x04\x22\x4d\x18", "compressed by lz4"),
    (b"\x1f\x9d", "compressed by compress"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook"),
)
_ENDINGS = (".gz", ".bz2", ".xz", ".zst", ".zip")
_PIECE = 1 << 18
_TAR = slice(257, 262)  # where a tar archive says "ustar"


def compression_of(start: bytes) -> str | None:
    """Return the name of the compression that a file's first bytes tell, or None."""
    name = next((name for sign, name in _READ if start.startswith(sign)), None)
    # BZh is the start of a word, too: after it, the size of blocks and a block or the end.
    if name == "bzip2" and start[4:10] not in (b"1AY&SY", b"\x17rE8P\x90"):
        return None
    return name


def without_compression_ending(name: str) -> str:
    """Return the name of a file without what says how it is compressed."""
    ending = next((ending for ending in _ENDINGS if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)]


@contextlib.contextmanager
def open_bytes(path: str) -> Iterator[IO[bytes]]:
    """Open a table's bytes.

    Raises
    ------
    UsageError
        If the file is an archive that is damaged, or that holds something else than one text.
    """
    with contextlib.ExitStack() as opened:
        file: IO[bytes] = opened.enter_context(open(path, "rb"))
        start = file.read(10)
        file.seek(0)
        for sign, what in _NOT_READ:
            if start.startswith(sign):
                raise UsageError(f"{path} is {what}; save the table as CSV in UTF-8")
        compression = compression_of(start)
        if compression is None:
            yield file
            return
        with _errors(path, compression):
            stream = opened.enter_context(_decompressed(path, file, compression))
        reader = io.BufferedReader(_Checked(path, compression, stream), _PIECE)
        _refuse_other_than_text(path, compression, reader.peek(_TAR.stop))
        yield reader


def check_whole(path: str) -> None:
    """Raise UsageError if a file is a damaged archive, which explains what made no sense."""
    with open_bytes(path) as file:
        while isinstance(file, io.BufferedReader) and isinstance(file.raw, _Checked):
            if not file.read(_PIECE):
                return


def _decompressed(path: str, file: IO[bytes], compression: str) -> Any:
    if compression == "gzip":
        return gzip.GzipFile(fileobj=file, mode="rb")
    if compression == "bzip2":
        return bz2.BZ2File(file)
    if compression == "xz":
        return lzma.LZMAFile(file)
    if compression == "zip":
        return _only_member(path, zipfile.ZipFile(file))
    if sys.version_info >= (3, 14):
        from compression import zstd

        return zstd.ZstdFile(file)
    require(f"reading {path} (zstd)", ["pyarrow"])
    import pyarrow as pa

    return pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd")


def _only_member(path: str, archive: zipfile.ZipFile) -> IO[bytes]:
    names = archive.namelist()
    if "xl/workbook.xml" in names:
        raise UsageError(f"{path} is an Excel workbook; save the table as CSV in UTF-8")
    # Folders, and what macOS keeps beside each file.
    files = [name for name in names if not name.endswith("/") and not name.startswith("__MACOSX/")]
    if len(files) != 1:
        shown = f" ({', '.join(map(quoted, files[:3]))}{', ...' * (len(files) > 3)})"
        raise UsageError(
            f"{path} is a zip archive of {len(files)} files{shown if files else ''}; expected one "
            "table, as CSV in UTF-8"
        )
    if archive.getinfo(files[0]).flag_bits & 1:
        raise UsageError(f"{path} is a zip archive with a password; unpack it first")
    return archive.open(files[0])


def _refuse_other_than_text(path: str, compression: str, start: bytes) -> None:
    from chainrule._command.columnar import format_of

    inside = format_of(start)
    if inside is not None:
        raise UsageError(
            f"{path} is compressed by {compression} and holds {inside}, which is compressed by "
            "itself; unpack it first"
        )
    if compression_of(start[:10]) is not None:
        raise UsageError(f"{path} is compressed twice; unpack it once")
    if start[_TAR] == b"ustar":
        raise UsageError(f"{path} holds a tar archive, expected a table; unpack it first")


@contextlib.contextmanager
def _errors(path: str, compression: str) -> Iterator[None]:
    """Turn what the libraries raise for a damaged archive into a UsageError."""
    damage = (EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, ValueError)
    try:
        yield
    except NotImplementedError as error:  # a method of zip that Python has not
        raise UsageError(f"{path} ({compression}) cannot be read: {error}") from None
    except damage as error:
        whole = "is cut short: its end is missing" if _is_cut(error) else f"is damaged: {error}"
        raise UsageError(f"{path} ({compression} by its first bytes) {whole}") from None


def _is_cut(error: Exception) -> bool:
    said = str(error).lower()
    return isinstance(error, EOFError) or any(word in said for word in ("truncated", "end-of-str"))


class _Checked(io.RawIOBase):
    """A stream of decompressed bytes whose errors name the file."""

    def __init__(self, path: str, compression: str, stream: Any) -> None:
        self._path = path
        self._compression = compression
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _errors(self._path, self._compression):
            piece = self._stream.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)
