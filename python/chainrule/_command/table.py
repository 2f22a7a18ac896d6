"""Reads the user's numeric table from a CSV file and says exactly what is wrong with it.

pandas reads the file. Only when something is wrong is the file read again by `_lines.py`, record
by record, to name the line and the text.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from chainrule._command.errors import UsageError, quoted
from chainrule._command.header import check_header, listed
from chainrule._command.lines import (
    Format,
    Record,
    check_path,
    find_format,
    find_record,
    find_uneven_record,
    not_text_error,
    to_number,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MIN_ROWS", "Table", "read_table"]

# Below this a held-out part of a fifth is one row, and its score says nothing.
MIN_ROWS = 10

_DELIMITER_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs"}


@dataclass(frozen=True)
class Table:
    """A numeric table with its target column.

    Attributes
    ----------
    path : str
        The file, as the user named it.
    format : Format
        Delimiter and header of the file.
    features : ndarray of float64, shape (n_rows, n_features)
        Finite numbers.
    feature_names : tuple of str
    target : ndarray, shape (n_rows,)
        float64, int64, bool, or object holding str; nothing is missing.
    target_name : str
    notes : tuple of str
        What was done to the table that the user should know.
    """

    path: str
    format: Format
    features: npt.NDArray[np.float64]
    feature_names: tuple[str, ...]
    target: npt.NDArray[Any]
    target_name: str
    notes: tuple[str, ...] = ()

    def find_record(self, row: int) -> Record:
        """Return the record of the file that holds row `row`."""
        return find_record(self.path, self.format, row)


def read_table(path: str, target: str | None) -> Table:
    """Read a CSV file whose columns are numeric, but for the target, which may be text.

    Parameters
    ----------
    path : str
        A text file in UTF-8 with a header line; separated by commas, semicolons or tabs.
    target : str or None
        Name of the target column. None raises the error that lists the columns.

    Returns
    -------
    Table

    Raises
    ------
    UsageError
        For everything that keeps the table from being trained on; names line and column.
    """
    check_path(path)
    return _Reader(path, find_format(path)).read(target)


class _Reader:
    """One reading of a file: every method but `read` is a step of it."""

    def __init__(self, path: str, file_format: Format) -> None:
        self.path = path
        self.format = file_format

    def read(self, target: str | None) -> Table:
        header = self.format.header
        check_header(self.path, header, target)
        assert target is not None
        frame = self._frame()
        if len(frame) == 0:
            raise UsageError(f"{self.path} holds a header and no rows")
        columns = list(range(len(header)))
        notes = []
        if self.format.delimiter != ",":
            notes.append(f"{self.path} is separated by {_DELIMITER_NAMES[self.format.delimiter]}")
        if header[0] == "":
            del columns[0]
            notes.append("left out the first column: it has no name, as a saved row index")
        target_column = header.index(target)
        features = [column for column in columns if column != target_column]
        if not features:
            raise UsageError(
                f"{self.path} has no column but the target {quoted(target)} to learn from"
            )
        self._check_missing(frame, columns)
        values = self._features(frame, features)
        if len(frame) < MIN_ROWS:
            raise UsageError(
                f"{self.path} has too few rows: {len(frame)}; at least {MIN_ROWS} are needed to "
                "train on some and hold out others"
            )
        return Table(
            path=self.path,
            format=self.format,
            features=values,
            feature_names=tuple(header[column] for column in features),
            target=self._target(frame, target_column),
            target_name=target,
            notes=tuple(notes),
        )

    def _frame(self) -> pd.DataFrame:
        import pandas as pd

        try:
            with warnings.catch_warnings():
                # Rows longer than the header are only a warning to pandas, which would cut them.
                warnings.simplefilter("error", pd.errors.ParserWarning)
                return pd.read_csv(
                    self.path,
                    sep=self.format.delimiter,
                    encoding="utf-8-sig",
                    skipinitialspace=True,
                    index_col=False,
                    low_memory=False,  # one type per column, not one per chunk
                )
        except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
            uneven = find_uneven_record(self.path, self.format)
            if uneven is not None:
                raise self._uneven(uneven) from None
            raise UsageError(f"{self.path} cannot be read: {str(error).strip()}") from None
        except UnicodeDecodeError as error:
            raise not_text_error(self.path, error) from None

    def _check_missing(self, frame: pd.DataFrame, columns: list[int]) -> None:
        missing = frame.iloc[:, columns].isna().to_numpy()
        rows = np.flatnonzero(missing.any(axis=1))
        if len(rows) == 0:
            return
        record = find_record(self.path, self.format, int(rows[0]))
        if len(record.cells) < len(self.format.header):
            raise self._uneven(record)
        column = columns[int(np.argmax(missing[rows[0]]))]
        cell = record.cells[column]
        written = f" ({quoted(cell)})" if cell else ""
        raise UsageError(
            f"{self._where(record, column)}: missing value{written}; {missing.sum():,} missing in "
            f"{len(rows):,} of {len(frame):,} rows: remove these rows or fill the values in"
        )

    def _features(self, frame: pd.DataFrame, columns: list[int]) -> npt.NDArray[np.float64]:
        features = np.empty((len(frame), len(columns)))
        text_columns: list[str] = []
        first = ""
        for i, column in enumerate(columns):
            features[:, i] = _numbers(frame.iloc[:, column])
            is_text = np.isnan(features[:, i])
            if is_text.any():
                text_columns.append(self.format.header[column])
                first = first or self._describe_text(column, is_text)
        if text_columns:
            others = text_columns[1:]
            more = f"; text also in {listed(others, 5)}" if others else ""
            raise UsageError(f"{first}{more}")
        infinite = np.argwhere(np.isinf(features))
        if len(infinite) > 0:
            raise self._infinite(int(infinite[0, 0]), columns[infinite[0, 1]])
        return features

    def _target(self, frame: pd.DataFrame, column: int) -> npt.NDArray[Any]:
        import pandas as pd

        values = frame.iloc[:, column]
        if pd.api.types.is_bool_dtype(values):
            return values.to_numpy(np.bool_)
        if pd.api.types.is_signed_integer_dtype(values):
            return values.to_numpy(np.int64)
        floats = _numbers(values)
        if np.isnan(floats).any():
            return values.astype(str).to_numpy(object)
        if np.isinf(floats).any():
            raise self._infinite(int(np.argmax(np.isinf(floats))), column)
        return floats

    def _where(self, record: Record, column: int) -> str:
        return f"{self.path}, line {record.line}, column {quoted(self.format.header[column])}"

    def _describe_text(self, column: int, is_text: npt.NDArray[np.bool_]) -> str:
        record = find_record(self.path, self.format, int(np.argmax(is_text)))
        text = record.cells[column]
        count = int(is_text.sum())
        if re.fullmatch(r"[+-]?\d+,\d+", text):
            hint = "write decimals with a point"
        elif count == is_text.size:
            hint = "every row holds text there; features must be numeric: drop or encode the column"
        else:
            hint = f"{count:,} of {is_text.size:,} rows hold text there; features must be numeric"
        return f"{self._where(record, column)}: {quoted(text)} is not a number ({hint})"

    def _infinite(self, row: int, column: int) -> UsageError:
        record = find_record(self.path, self.format, row)
        return UsageError(
            f"{self._where(record, column)}: {quoted(record.cells[column])} is infinite or too "
            "large; expected finite numbers"
        )

    def _uneven(self, record: Record) -> UsageError:
        return UsageError(
            f"{self.path}, line {record.line}: {len(record.cells)} fields, "
            f"but the header has {len(self.format.header)}"
        )


def _numbers(column: pd.Series[Any]) -> npt.NDArray[np.float64]:
    """Return a column as numbers, NaN where it holds text."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return column.to_numpy(np.float64)
    # Text, or numbers such as 1e999 that versions of pandas treat differently.
    return np.fromiter((to_number(str(cell)) for cell in column), np.float64, len(column))
