"""What every format gives: names of columns, and chunks of rows as compact columns.

`delimited.py` and `columnar.py` are sources; `table.py` puts their chunks together, `predict.py`
takes them one by one. Of text, only which value each row has is kept, as a code.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from chainrule._command.errors import UsageError, quoted
from chainrule._command.header import check_header, check_names
from chainrule._command.lines import check_path
from chainrule._command.marks import Marks

__all__ = [
    "Chunk",
    "Column",
    "Kind",
    "Source",
    "as_kind",
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
        float64 with NaN for missing values: numbers, 0 and 1, seconds since 1970 (UTC). For
        "categorical" int32: positions in `categories`, -1 for missing values.
    categories : list of str
        Distinct, of "categorical" alone.
    """

    kind: Kind
    values: npt.NDArray[Any]
    categories: list[str] = field(default_factory=list)

    def missing(self) -> npt.NDArray[np.bool_]:
        """Return which values are missing."""
        return self.values < 0 if self.kind == "categorical" else np.isnan(self.values)

    def take(self, rows: Any) -> Column:
        """Return the values of some rows."""
        return Column(self.kind, self.values[rows], self.categories)


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


def as_kind(source: Source, name: str, chunk: Chunk, kind: Kind) -> Column:
    """Return a column of a chunk as the kind that a model knows it by.

    Raises
    ------
    UsageError
        If the column holds something else; names line and text.
    """
    column = chunk.columns[name]
    if column.kind == kind:
        return column
    if column.kind == "unsupported":
        raise UsageError(
            f"{source.path}, column {quoted(name)}: its type cannot be used; expected {kind} values"
        )
    if column.kind == "empty":
        if kind == "categorical":
            return Column(kind, np.full(chunk.n_rows, -1, np.int32))
        return Column(kind, column.values)
    if kind == "categorical":
        return texts_of(column)
    both = {column.kind, kind}
    if both == {"numeric", "boolean"}:
        wrong = ~np.isin(column.values, (0.0, 1.0)) & ~np.isnan(column.values)
        if kind == "numeric" or not wrong.any():
            return Column(kind, column.values)
        row = int(np.argmax(wrong))
    else:
        row = _first_misfit(column, kind)
    what = {"numeric": "a number", "boolean": "true or false", "date": "a date as 2026-11-22"}
    fail_at(source, chunk.start + row, name, f"is not {what[kind]}, as the column held in training")


def _first_misfit(column: Column, kind: Kind) -> int:
    from chainrule._command.lines import seconds_of, to_number

    if column.kind == "categorical":
        readers: dict[Kind, Callable[[str], bool]] = {
            "numeric": lambda text: not np.isnan(to_number(text)),
            "date": lambda text: seconds_of([text]) is not None,
            "boolean": lambda text: text.lower() in ("true", "false"),
        }
        fits = readers[kind]
        misfit = np.array([*(not fits(text) for text in column.categories), False])
        rows = np.flatnonzero(misfit[column.values])
        if len(rows):
            return int(rows[0])
    return int(np.argmax(~column.missing()))
