"""A whole file as compact columns, with what was found out about their types; `train` reads it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chainrule._command.building import build_columns
from chainrule._command.date_finding import find_in_numbers
from chainrule._command.date_option import format_option, read_formats
from chainrule._command.dates import ISO, NONE, in_words, seconds_of
from chainrule._command.errors import UsageError, quoted
from chainrule._command.header import require_column
from chainrule._command.identifiers import identifies_rows, is_saved_index
from chainrule._command.imports import FOR_TRAINING, import_all
from chainrule._command.marks import Marks
from chainrule._command.mixture import examine_text
from chainrule._command.report import count
from chainrule._command.source import Column, Source, number_text, open_source

__all__ = ["MIN_ROWS", "Choices", "Table", "read_table"]

# Below this a held-out part of a fifth is one row, and its score says nothing.
MIN_ROWS = 10

_NO_NAME = "it has no name, as a saved row index"


@dataclass(frozen=True)
class Choices:
    """What the user says about columns.

    Attributes
    ----------
    ignore : tuple of str
        Columns to leave out.
    categorical : tuple of str
        Columns whose values are names, even when they are written as numbers.
    missing : tuple of str
        Texts that stand for a missing value, besides the usual ones.
    not_missing : tuple of str
        Of the usual ones, those that are classes of the target, which then holds names.
    keep : tuple of str
        Columns to use although they look as if they identified rows.
    date_format : tuple of str
        How dates are written: "COLUMN=FORMAT", or "FORMAT" for all.
    """

    ignore: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    not_missing: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    date_format: tuple[str, ...] = ()


@dataclass
class Table:
    """A table in memory.

    Attributes
    ----------
    source : Source
        For places in errors.
    n_rows : int
    columns : dict of str to Column
        Those that can be used, in the order of the file, the target among them.
    left_out : dict of str to str
        The others, with the reason.
    notes : list of str
        What else the user should know.
    """

    source: Source
    n_rows: int
    columns: dict[str, Column]
    left_out: dict[str, str]
    notes: list[str]


def read_table(path: str, target: str | None, choices: Choices, time: str | None = None) -> Table:
    """Read a table to train on.

    Parameters
    ----------
    path : str
    target : str or None
        Name of the target column. None raises the error that lists the columns.
    choices : Choices
    time : str, optional
        Name of the column that orders the rows.

    Raises
    ------
    UsageError
        For everything that keeps the table from being trained on; names line and column.
    """
    marks = Marks(choices.missing, target, choices.not_missing)
    marks.check()
    source = open_source(path, marks)
    names = source.names
    require_column(path, names, target, "--target")
    assert target is not None
    if time is not None:
        require_column(path, names, time, "--time-column")
    for option, given in (
        ("--ignore", choices.ignore),
        ("--categorical", choices.categorical),
        ("--keep", choices.keep),
    ):
        for name in given:
            require_column(path, names, name, option)
    for name, option in (
        (target, "--target"),
        (time or target, "--time-column"),
        *((name, "--keep") for name in choices.keep),
    ):
        if name in choices.ignore:
            raise UsageError(f"column {quoted(name)} is both {option} and --ignore")
    if target in choices.keep:
        raise UsageError(f"column {quoted(target)} is both --target and --keep")
    left_out = {name: "as --ignore says" for name in names if name in choices.ignore}
    kept = {target, time, *choices.keep, *choices.categorical}
    for name in names:
        if is_saved_index(name) and name not in kept | set(left_out):
            left_out[name] = "named as a saved row index" if name else _NO_NAME
    wanted = [name for name in names if name not in left_out]
    if len(wanted) == 1:
        raise UsageError(
            f"{path} has no column but the target {quoted(target)} to learn from; columns are "
            "separated by commas, semicolons or tabs"
        )
    as_text = {*choices.categorical, *([target] if choices.not_missing else [])}
    dates = read_formats(path, names, choices.date_format)
    dates.check({"--categorical": choices.categorical, "--ignore": choices.ignore})
    import_all(*FOR_TRAINING)
    built = build_columns(source, wanted, as_text, dates, target)
    n_rows, columns = built.n_rows, built.columns
    if n_rows == 0:
        raise UsageError(f"{path} holds names of columns and no rows")
    notes = built.notes
    for name in wanted:
        if name in as_text:
            continue
        if name != target and name not in dates.of_column:
            notes += _take_numbers_for_dates(columns, name, dates.of_all)
        note = examine_text(source, name, built, dates.of_column.get(name) != NONE)
        notes += [] if note is None else [note]
    # Dates as 2026-11-22 are read before any format is.
    as_told = (dates.of_all, ISO if (dates.of_all or "").startswith("%Y-%m") else None)
    if dates.of_all is not None and not any(
        column.kind == "date" and column.date_format in as_told for column in columns.values()
    ):
        option = f"--date-format {quoted(dates.of_all)}"
        raise UsageError(f"{option}: no column of {path} has such dates")
    if n_rows < MIN_ROWS:
        raise UsageError(
            f"{path} has too few rows: {n_rows}; at least {MIN_ROWS} are needed to train on some "
            "and hold out others"
        )
    notes += _take_infinite_for_missing(columns, target)
    for name, column in list(columns.items()):
        if name in (target, time):
            continue
        reason = _useless(column)
        if reason is not None and name in choices.keep:
            raise UsageError(f"--keep {quoted(name)} of {path}: {reason}")
        if reason is not None:
            left_out[name] = reason
            del columns[name]
    features = [name for name in columns if name not in (target, time)]
    notes += _leave_out_identifiers(columns, left_out, kept, features)
    if not set(columns) - {target, time}:
        raise UsageError(
            f"{path} has no column to learn {quoted(target)} from: all others are left out"
            + "".join(f"; {quoted(name)}: {reason}" for name, reason in list(left_out.items())[:5])
        )
    return Table(source, n_rows, columns, left_out, notes)


def _take_numbers_for_dates(columns: dict[str, Column], name: str, of_all: str | None) -> list[str]:
    """Replace a column of numbers by the dates that they are; return what to say of it."""
    column = columns[name]
    values, found = column.values, None
    if column.kind == "categorical" and all(text.isdigit() for text in column.categories):
        # As Parquet may hold them. A code of -1, missing, is the last.
        numbers = np.array([*map(float, column.categories), np.nan])
        values = numbers[column.values]
    if column.kind == "numeric" or values is not column.values:
        found = find_in_numbers(name, values, of_all)
    if found is None:
        return []
    date_format, why = found
    distinct, places = np.unique(values, return_inverse=True)
    missing = np.isnan(distinct)
    seconds = np.full(len(distinct), np.nan)
    texts = [number_text(value) for value in distinct[~missing]]
    read = seconds_of(texts, date_format)
    assert read is not None
    seconds[~missing] = read
    columns[name] = Column("date", seconds[places], date_format=date_format)
    return [
        f"{quoted(name)}: numbers taken for dates, {in_words(date_format)}: {why} "
        f"({format_option(name, NONE)} keeps the numbers)"
    ]


def _take_infinite_for_missing(columns: dict[str, Column], target: str) -> list[str]:
    notes = []
    for name, column in columns.items():
        if column.kind != "numeric" or name == target:
            continue
        infinite = np.isinf(column.values)
        if infinite.any():
            column.values[infinite] = np.nan
            found = count(int(infinite.sum()), "infinite value")
            notes.append(f"{found} in column {quoted(name)} taken for missing")
    return notes


def _useless(column: Column) -> str | None:
    """Return why nothing can be learned from a column, or None."""
    if column.kind == "unsupported":
        if column.categories == ["type"]:
            return "its type cannot be used"
        return column.categories[0]
    present = column.values[~column.missing()]
    if len(present) == 0:
        return "every value is missing"
    if (present == present[0]).all() and len(present) == len(column.values):
        return "it holds one value in every row"
    return None


def _leave_out_identifiers(
    columns: dict[str, Column], left_out: dict[str, str], kept: set[str | None], features: list[str]
) -> list[str]:
    """Move columns that identify rows to those left out; return a note if one has to stay."""
    found = {name: identifies_rows(name, columns[name]) for name in features if name not in kept}
    reasons = {name: reason for name, reason in found.items() if reason is not None}
    if len(features) == 1 and reasons and columns[features[0]].kind == "numeric":
        # The x of a curve rather than a key.
        return [
            f"column {quoted(features[0])} is used, as there is no other: {reasons[features[0]]}"
        ]
    for name, reason in reasons.items():
        left_out[name] = f"{reason} (--keep {quoted(name)} uses it)"
        del columns[name]
    return []
