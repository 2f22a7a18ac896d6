"""Reads a CSV file record by record: its delimiter and header, and the line of a given row.

`delimited.py` calls it. pandas, which reads the numbers, does not know on which line a row stood:
blank lines are left out, and a quoted cell may hold line ends.
"""

from __future__ import annotations

import csv
import difflib
import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from chainrule._command.compression import check_whole, open_bytes
from chainrule._command.errors import UsageError, reason_of_path

__all__ = [
    "Format",
    "Record",
    "check_path",
    "find_format",
    "find_record",
    "find_uneven_record",
    "not_text_error",
]

_DELIMITERS = (",", ";", "\t")
_LONGEST_CELL = 1 << 24


class _FieldError(UsageError):
    """Quotes that do not fit the delimiter."""


@dataclass(frozen=True)
class Format:
    """How a file is written: what separates its cells, and the names in its header."""

    delimiter: str
    header: tuple[str, ...]


@dataclass(frozen=True)
class Record:
    """One row of a file as text, with the number of the line (from 1) that it starts on."""

    line: int
    cells: tuple[str, ...]


def check_path(path: str) -> None:
    """Raise UsageError unless `path` is a file that can be read and is not empty."""
    if os.path.isdir(path):
        raise UsageError(f"{path} is a folder, expected a table")
    try:
        # What comes through a pipe is gone when it is read for the second time.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise UsageError(
                f"{path} is a pipe or a device, expected a file: it is read repeatedly"
            )
        with open(path, "rb") as file:
            if not file.read(1):
                raise UsageError(f"{path} is empty, expected a table with a header line")
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist{_similar_file(path)}") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path!r} cannot be read: {reason_of_path(path, error)}") from None


def _similar_file(path: str) -> str:
    folder, name = os.path.split(path)
    try:
        close = difflib.get_close_matches(name, os.listdir(folder or "."), n=1)
    except OSError:
        return ""
    return f"; did you mean {os.path.join(folder, close[0])}?" if close else ""


def find_format(path: str) -> Format:
    """Return the delimiter that splits the header into most cells, and the header.

    Raises
    ------
    UsageError
        If the file is not text in UTF-8 or holds only blank lines.
    """
    best: Format | None = None
    problem: UsageError | None = None
    for delimiter in _DELIMITERS:
        try:
            record = next(_records(path, delimiter), None)
        except _FieldError as error:  # quoted names with another delimiter between them
            problem = problem or error
            continue
        if record is None:
            raise UsageError(f"{path} holds only blank lines, expected a header line")
        header = tuple(name.strip() for name in record.cells)
        if best is None or len(header) > len(best.header):
            best = Format(delimiter, header)
    if best is None:
        assert problem is not None
        raise problem
    return best


def find_record(path: str, file_format: Format, row: int) -> Record:
    """Return the record of data row `row` (from 0, the header not counted)."""
    for i, record in enumerate(_records(path, file_format.delimiter)):
        if i == row + 1:
            return record
    raise UsageError(f"{path} changed while it was read")


def find_uneven_record(path: str, file_format: Format, *, exactly: bool = False) -> Record | None:
    """Return the first record with more cells than the header, or with fewer too if `exactly`."""
    width = len(file_format.header)
    for record in _records(path, file_format.delimiter):
        if len(record.cells) > width or (exactly and len(record.cells) < width):
            return record
    return None


def not_text_error(path: str, error: UnicodeDecodeError) -> UsageError:
    """Return the error for a file that is no CSV, or is one in another encoding."""
    check_whole(path)
    return UsageError(
        f"{path} is not text in UTF-8: byte 0x{error.object[error.start]:02x} cannot be read; "
        "save the table as CSV in UTF-8"
    )


def _records(path: str, delimiter: str) -> Iterator[Record]:
    csv.field_size_limit(_LONGEST_CELL)
    # The codec drops the byte-order mark that spreadsheets write first.
    with (
        open_bytes(path) as raw,
        io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as file,
    ):
        reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True, strict=True)
        start = 1
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                reason = "a quoted cell has no end" if "end of data" in str(error) else str(error)
                raise _FieldError(f"{path}, line {start}: {reason}") from None
            except UnicodeDecodeError as error:
                raise not_text_error(path, error) from None
            # As pandas: a line without a cell or with blanks alone is no row.
            if len(cells) > 1 or (cells and cells[0].strip()):
                yield Record(start, tuple(cells))
            start = reader.line_num + 1
