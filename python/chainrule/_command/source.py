"""What every format gives: names of columns, and chunks of rows as compact columns.

`delimited.py` and `columnar.py` are sources; `table.py` puts their chunks together, `predict.py`
takes them one by one. Of text, only which value each row has is kept, as a code.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NoReturn, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from chainrule._command.dates import ISO
from chainrule._command.errors import UsageError, quoted
from chainrule._command.header import check_header, check_names
from chainrule._command.lines import check_path
from chainrule._command.marks import Marks

__all__ = [
    "Chunk",
    "Column",
    "Kind",
    "Source",
    "dated",
    "fail_at",
    "number_text",
    "open_source",
    "texts_of",
]

Kind: TypeAlias = Literal["numeric", "boolean", "date", "categorical", "empty", "unsupported"]


@dataclass
class Column:
    """The values of a column, over a chunk or over a whole table.

    Attributes
    ----------
    kind : {"numeric", "boolean", "date", "categorical", "empty", "unsupported"}
        "empty": every value is missing. "unsupported": of a type that holds none of these.
    values : ndarray, shape (n_rows,)
        float64 with NaN for missing values: numbers, 0 and 1, seconds since 1970 (UTC), or since
        midnight for times of day. For "categorical" int32: positions in `categories`, -1 for
        missing values.
    categories : list of str
        Distinct, of "categorical" alone.
    date_format : str
        How its dates were written, of "date" alone; `ISO` for types that hold dates.
    """

    kind: Kind
    values: npt.NDArray[Any]
    categories: list[str] = field(default_factory=list)
    date_format: str = ISO

    def missing(self) -> npt.NDArray[np.bool_]:
        """Return which values are missing."""
        return self.values < 0 if self.kind == "categorical" else np.isnan(self.values)

    def take(self, rows: Any) -> Column:
        """Return the values of some rows."""
        return replace(self, values=self.values[rows])


@dataclass(frozen=True)
class Chunk:
    """Some consecutive rows.

    Attributes
    ----------
    start : int
        The first row's number, from 0.
    n_rows : int
    columns : dict of str to Column
    """

    start: int
    n_rows: int
    columns: dict[str, Column]


class Source(Protocol):
    """A file that holds a table."""

    path: str
    names: tuple[str, ...]
    # Words taken for a missing target, and how often, in what was read of the file; of text alone.
    marked: dict[str, int]

    def chunks(self, columns: Collection[str], kinds: Mapping[str, Kind]) -> Iterator[Chunk]:
        """Read the file from its start.

        Parameters
        ----------
        columns : collection of str
            Those to read.
        kinds : mapping of str to Kind
            Columns named "categorical" here keep their text as written, even when it is numbers.

        Raises
        ------
        UsageError
            For what cannot be read; at the end of the file for rows that lack cells.
        """

    def place(self, row: int, name: str | None = None) -> str:
        """Return where a row (from 0) is, as "a.csv, line 3, column 'x'"."""

    def text(self, row: int, name: str) -> str:
        """Return the text of a cell."""


def open_source(path: str, marks: Marks | None = None) -> Source:
    """Return the source for a file: Parquet and Arrow are told by their content.

    Parameters
    ----------
    path : str
    marks : Marks, optional
        What stands for a missing value.

    Raises
    ------
    UsageError
        If the file cannot be read, or its names of columns cannot be used.
    """
    from chainrule._command import columnar, delimited

    check_path(path)
    marks = marks or Marks()
    with open(path, "rb") as file:
        start = file.read(8)
    kind = columnar.format_of(start)
    source: Source
    if kind is None:
        source = delimited.DelimitedSource(path, marks)
        check_header(path, source.names)
    else:
        source = columnar.ColumnarSource(path, kind, marks.more)
    check_names(path, source.names)
    return source


def fail_at(source: Source, row: int, name: str, problem: str) -> NoReturn:
    """Raise the UsageError that names file, line, column and text of a cell."""
    raise UsageError(f"{source.place(row, name)}: {quoted(source.text(row, name))} {problem}")


def number_text(value: float) -> str:
    """Return a number as people write it: without a point when it is whole."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def texts_of(column: Column) -> Column:
    """Return a column as a categorical one."""
    if column.kind == "categorical":
        return column
    present = ~np.isnan(column.values)
    distinct, inverse = np.unique(column.values[present], return_inverse=True)
    codes = np.full(len(column.values), -1, np.int32)
    codes[present] = inverse
    if column.kind == "boolean":
        return Column("categorical", codes, [str(bool(value)) for value in distinct])
    return Column("categorical", codes, [number_text(value) for value in distinct])


def dated(column: Column, seconds: npt.NDArray[np.float64], date_format: str) -> Column:
    """Return a column of text as dates, whose seconds are given for each of its categories."""
    # Code -1, missing, is the last.
    return Column("date", np.append(seconds, np.nan)[column.values], date_format=date_format)
