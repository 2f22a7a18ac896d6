"""Reads CSV and other delimited text, chunk by chunk, through pandas."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from chainrule._command.errors import UsageError, quoted
from chainrule._command.lines import (
    Record,
    find_format,
    find_record,
    find_uneven_record,
    not_text_error,
    seconds_of,
    to_number,
)
from chainrule._command.source import Chunk, Column, Kind

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DelimitedSource"]

# A chunk is held as text, as what pandas makes of it, and as columns: some 100 MB.
_CELLS_OF_CHUNK = 2_000_000


class DelimitedSource:
    """A text file in UTF-8 with a header line, separated by commas, semicolons or tabs."""

    def __init__(self, path: str, missing: Collection[str]) -> None:
        self.path = path
        self._format = find_format(path)
        self.names = self._format.header
        self._missing = sorted(missing)

    def chunks(self, columns: Collection[str], kinds: Mapping[str, Kind]) -> Iterator[Chunk]:
        """Read the file from its start."""
        as_text = {name: str for name in columns if kinds.get(name) == "categorical"}
        positions = [(name, self.names.index(name)) for name in columns]
        start = 0
        may_be_short = False
        for frame in self._frames(as_text):
            may_be_short = may_be_short or bool(frame.iloc[:, -1].isna().any())
            found = {
                name: _column(frame.iloc[:, position], forced=name in as_text)
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
        try:
            with warnings.catch_warnings():
                # Rows longer than the header are only a warning to pandas, which would cut them.
                warnings.simplefilter("error", pd.errors.ParserWarning)
                with pd.read_csv(
                    self.path,
                    sep=self._format.delimiter,
                    encoding="utf-8-sig",
                    skipinitialspace=True,
                    header=0,
                    names=list(range(len(self.names))),
                    index_col=False,
                    dtype=positions,
                    na_values=self._missing,
                    **exactly,
                    low_memory=False,  # one type for a column of a chunk
                    chunksize=max(1000, _CELLS_OF_CHUNK // len(self.names)),
                ) as reader:
                    yield from reader
        except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
            uneven = find_uneven_record(self.path, self._format)
            if uneven is not None:
                raise self._uneven(uneven) from None
            raise UsageError(f"{self.path} cannot be read: {str(error).strip()}") from None
        except UnicodeDecodeError as error:
            raise not_text_error(self.path, error) from None

    def _uneven(self, record: Record) -> UsageError:
        return UsageError(
            f"{self.path}, line {record.line}: {len(record.cells)} fields, "
            f"but the header has {len(self.names)}"
        )


def _column(series: pd.Series[Any], *, forced: bool) -> Column:
    """Return what a column of a chunk holds; text as written if `forced`."""
    import pandas as pd

    if not forced:
        if pd.api.types.is_bool_dtype(series):
            return Column("boolean", series.to_numpy(np.float64))
        if pd.api.types.is_numeric_dtype(series):
            values = series.to_numpy(np.float64)
            return Column("empty" if np.isnan(values).all() else "numeric", values)
    codes, distinct = pd.factorize(series)
    present = codes >= 0
    if not forced:
        # Booleans beside missing values come as objects.
        if len(distinct) and all(isinstance(value, bool | np.bool_) for value in distinct):
            return Column("boolean", _spread(codes, [float(value) for value in distinct]))
        # Numbers such as 1e999 come as text in some versions of pandas.
        numbers = [to_number(str(value)) for value in distinct]
        if not np.isnan(numbers).any():
            return Column("numeric", _spread(codes, numbers))
        seconds = seconds_of(str(value) for value in distinct)
        if seconds is not None:
            return Column("date", _spread(codes, seconds))
    texts = [str(value).strip() for value in distinct]
    known = {text: code for code, text in enumerate(sorted(set(texts) - {""}))}
    table = np.array([known.get(text, -1) for text in texts] + [-1], np.int32)
    return Column("categorical", table[np.where(present, codes, -1)], list(known))


def _spread(codes: npt.NDArray[Any], values: Any) -> npt.NDArray[np.float64]:
    table = np.append(np.asarray(values, np.float64), np.nan)
    values_of_rows: npt.NDArray[np.float64] = table[codes]  # code -1, missing, is the last
    return values_of_rows
