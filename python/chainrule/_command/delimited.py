"""Reads CSV and other delimited text, chunk by chunk, through pandas."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from chainrule._command.compression import check_whole, open_bytes
from chainrule._command.dates import seconds_of, to_number
from chainrule._command.errors import UsageError, quoted
from chainrule._command.lines import (
    Record,
    find_format,
    find_record,
    find_uneven_record,
    not_text_error,
)
from chainrule._command.marks import Marks
from chainrule._command.source import Chunk, Column, Kind

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DelimitedSource"]

# A chunk is held as text, as what pandas makes of it, and as columns: some 100 MB.
_CELLS_OF_CHUNK = 2_000_000

_TRUE = frozenset({"True", "TRUE", "true"})  # to pandas, too
_BOOLEANS = _TRUE | {"False", "FALSE", "false"}


class DelimitedSource:
    """A text file in UTF-8 with a header line, separated by commas, semicolons or tabs."""

    def __init__(self, path: str, marks: Marks) -> None:
        self.path = path
        self.marked: dict[str, int] = {}
        self._format = find_format(path)
        self._width = len(self._format.header)
        # Where every line ends in delimiters, nothing is behind them; `chunks` checks that.
        n_named = max((i + 1 for i, name in enumerate(self._format.header) if name), default=0)
        self.names = self._format.header[: n_named or self._width]
        self._marks = marks

    def chunks(self, columns: Collection[str], kinds: Mapping[str, Kind]) -> Iterator[Chunk]:
        """Read the file from its start."""
        as_text = {name: str for name in columns if kinds.get(name) == "categorical"}
        positions = [(name, self.names.index(name)) for name in columns]
        marks = {name: self._marks.of(name) for name in columns}
        self.marked = {}
        start = 0
        may_be_short = False
        for frame in self._frames(as_text):
            may_be_short = may_be_short or bool(frame.iloc[:, -1].isna().any())
            for position in range(len(self.names), self._width):
                if frame.iloc[:, position].notna().any():
                    raise UsageError(
                        f"{self.path}: column {position + 1} has no name in the header"
                    )
            found = {
                name: _column(
                    frame.iloc[:, position],
                    marks[name],
                    forced=name in as_text,
                    counts=self.marked if name == self._marks.target else None,
                )
                for name, position in positions
            }
            yield Chunk(start, len(frame), found)
            start += len(frame)
        # To pandas, cells that a row lacks at its end are missing values.
        uneven = find_uneven_record(self.path, self._format, exactly=True) if may_be_short else None
        if uneven is not None:
            raise self._uneven(uneven)

    def place(self, row: int, name: str | None = None) -> str:
        """Return file, line and column of a row."""
        where = f"{self.path}, line {find_record(self.path, self._format, row).line}"
        return where if name is None else f"{where}, column {quoted(name)}"

    def text(self, row: int, name: str) -> str:
        """Return the text of a cell."""
        cells = find_record(self.path, self._format, row).cells
        position = self.names.index(name)
        return cells[position] if position < len(cells) else ""

    def _frames(self, as_text: Mapping[str, type]) -> Iterator[pd.DataFrame]:
        import pandas as pd

        # Later versions read every number to the last bit, and warn of the option.
        exactly: Any = {"float_precision": "round_trip"} if pd.__version__ < "3" else {}
        positions = {self.names.index(name): kind for name, kind in as_text.items()}
        # Words for missing values in the target are counted, so pandas must leave them.
        na_values: Any = {
            i: [text for text in self._marks.of(name) if name != self._marks.target or _blank(text)]
            for i, name in enumerate(self.names)
        }
        na_values |= {i: [""] for i in range(len(self.names), self._width)}
        try:
            with warnings.catch_warnings():
                # Rows longer than the header are only a warning to pandas, which would cut them.
                warnings.simplefilter("error", pd.errors.ParserWarning)
                with (
                    open_bytes(self.path) as file,
                    pd.read_csv(
                        file,
                        sep=self._format.delimiter,
                        encoding="utf-8-sig",
                        skipinitialspace=True,
                        header=0,
                        names=list(range(self._width)),
                        index_col=False,
                        dtype=positions,
                        keep_default_na=False,
                        na_values=na_values,
                        **exactly,
                        low_memory=False,  # one type for a column of a chunk
                        chunksize=max(1000, _CELLS_OF_CHUNK // self._width),
                    ) as reader,
                ):
                    yield from reader
        except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
            uneven = find_uneven_record(self.path, self._format)
            if uneven is not None:
                raise self._uneven(uneven) from None
            raise UsageError(f"{self.path} cannot be read: {str(error).strip()}") from None
        except UnicodeDecodeError as error:
            raise not_text_error(self.path, error) from None

    def _uneven(self, record: Record) -> UsageError:
        check_whole(self.path)
        return UsageError(
            f"{self.path}, line {record.line}: {len(record.cells)} fields, "
            f"but the header has {self._width}"
        )


def _column(
    series: pd.Series[Any], marks: Collection[str], *, forced: bool, counts: dict[str, int] | None
) -> Column:
    """Return what a column of a chunk holds, text as written if `forced`; add to `counts`."""
    import pandas as pd

    if not forced:
        if pd.api.types.is_bool_dtype(series):
            return Column("boolean", series.to_numpy(np.float64))
        if pd.api.types.is_numeric_dtype(series):
            values = series.to_numpy(np.float64)
            return Column("empty" if np.isnan(values).all() else "numeric", values)
    codes, distinct = pd.factorize(series)
    texts = [str(value).strip() for value in distinct]
    # What is blank in quotes, or a word for missing values among blanks, pandas leaves; and every
    # such word in a chunk of words and integers above 2^64.
    kept = [i for i, text in enumerate(texts) if text not in marks]
    if len(kept) < len(texts):
        if counts is not None:
            for i, n in enumerate(np.bincount(codes[codes >= 0], minlength=len(texts)).tolist()):
                if texts[i] in marks and texts[i]:
                    counts[texts[i]] = counts.get(texts[i], 0) + n
        places = np.full(len(texts) + 1, -1)
        places[kept] = np.arange(len(kept))
        codes, texts = places[codes], [texts[i] for i in kept]
    if not forced:
        if not texts:
            return Column("empty", np.full(len(codes), np.nan))
        # Beside missing values they come as objects, or as text.
        if _BOOLEANS.issuperset(texts):
            return Column("boolean", _spread(codes, [text in _TRUE for text in texts]))
        # Numbers such as 1e999 come as text in some versions of pandas.
        numbers = [] if np.isnan(to_number(texts[0])) else [to_number(text) for text in texts]
        if numbers and not np.isnan(numbers).any():
            # Marks as other numbers write them, which pandas sees in columns of numbers alone.
            marked = np.isin(numbers, [to_number(mark) for mark in marks])
            return Column("numeric", _spread(codes, np.where(marked, np.nan, numbers)))
        seconds = seconds_of(texts)
        if seconds is not None:
            return Column("date", _spread(codes, seconds))
    known = {text: code for code, text in enumerate(sorted(set(texts)))}
    table = np.array([known[text] for text in texts] + [-1], np.int32)
    return Column("categorical", table[codes], list(known))


def _blank(text: str) -> bool:
    """Return whether a mark is no word: a number, too, which pandas knows as written otherwise."""
    return text == "" or not np.isnan(to_number(text))


def _spread(codes: npt.NDArray[Any], values: Any) -> npt.NDArray[np.float64]:
    table = np.append(np.asarray(values, np.float64), np.nan)
    values_of_rows: npt.NDArray[np.float64] = table[codes]  # code -1, missing, is the last
    return values_of_rows
