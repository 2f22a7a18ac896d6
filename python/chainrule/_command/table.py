"""A whole file as compact columns, with what was found out about their types; `train` reads it.

What a column holds is told over all rows. Where chunks tell different things the column is text
after all, and the file is read again for its words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chainrule._command.errors import UsageError, quoted
from chainrule._command.header import require_column
from chainrule._command.identifiers import identifies_rows, is_saved_index
from chainrule._command.imports import FOR_TRAINING, import_all
from chainrule._command.lines import is_date, to_number
from chainrule._command.marks import Marks
from chainrule._command.report import count
from chainrule._command.source import Chunk, Column, Kind, Source, fail_at, open_source

__all__ = ["MIN_ROWS", "Choices", "Table", "read_table"]

# Below this a held-out part of a fifth is one row, and its score says nothing.
MIN_ROWS = 10

_NO_NAME = "it has no name, as a saved row index"

# More distinct texts than that are names or free text, and would fill the memory.
_MOST_TEXTS = 20_000


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
    """

    ignore: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    not_missing: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()


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
    forced: dict[str, Kind] = dict.fromkeys(choices.categorical, "categorical")
    if choices.not_missing:
        forced[target] = "categorical"
    import_all(*FOR_TRAINING)
    n_rows, builders = _read(source, wanted, forced)
    if n_rows == 0:
        raise UsageError(f"{path} holds names of columns and no rows")
    columns = {name: builders.pop(name).finish() for name in wanted}
    for name, column in columns.items():
        if name not in forced:
            _refuse_mixture(source, name, column)
    if n_rows < MIN_ROWS:
        raise UsageError(
            f"{path} has too few rows: {n_rows}; at least {MIN_ROWS} are needed to train on some "
            "and hold out others"
        )
    notes = _take_infinite_for_missing(columns, target)
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


def _read(
    source: Source, wanted: list[str], forced: dict[str, Kind]
) -> tuple[int, dict[str, _Builder]]:
    """Read the file, and again if a column turns out to be text after its first chunk."""
    while True:
        builders = {name: _Builder() for name in wanted}
        n_rows = 0
        for chunk in source.chunks(wanted, forced):
            n_rows += chunk.n_rows
            for name in wanted:
                builders[name].add(chunk, chunk.columns.pop(name))
        conflicts = [name for name, builder in builders.items() if builder.conflict]
        if not conflicts:
            return n_rows, builders
        forced = {**forced, **dict.fromkeys(conflicts, "categorical")}


class _Builder:
    """Puts the chunks of a column together; texts share one list."""

    def __init__(self) -> None:
        self.conflict = False
        self._kind: Kind = "empty"
        self._parts: list[Column] = []
        self._codes: dict[str, int] = {}

    def add(self, chunk: Chunk, part: Column) -> None:
        if self.conflict or self._kind == "unsupported":
            return
        if part.kind == "empty" or part.kind == self._kind:
            pass
        elif self._kind == "empty":
            self._kind = part.kind
        else:
            self.conflict = True
            self._parts.clear()
            return
        if part.kind == "categorical":
            codes = [self._codes.setdefault(text, len(self._codes)) for text in part.categories]
            if len(self._codes) > _MOST_TEXTS:
                self._kind = "unsupported"
                self._parts.clear()
                return
            table = np.array([*codes, -1], np.int32)
            part = Column("categorical", table[part.values])
        self._parts.append(part)

    def finish(self) -> Column:
        if self._kind == "unsupported":
            n_texts = len(self._codes)
            reason = f"more than {_MOST_TEXTS:,} distinct texts" if n_texts else "type"
            return Column("unsupported", np.empty(0), [reason])
        if self._kind != "categorical":
            parts = [part.values for part in self._parts]
            self._parts.clear()
            return Column(self._kind, np.concatenate(parts) if parts else np.empty(0))
        # In alphabetical order, whatever the order of the rows.
        names = sorted(self._codes)
        order = np.empty(len(names) + 1, np.int32)
        order[[self._codes[name] for name in names]] = np.arange(len(names))
        order[-1] = -1
        values = [
            order[part.values]
            if part.kind == "categorical"
            else np.full(len(part.values), -1, np.int32)
            for part in self._parts
        ]
        self._parts.clear()
        return Column("categorical", np.concatenate(values), names)


def _refuse_mixture(source: Source, name: str, column: Column) -> None:
    """Raise UsageError if text mostly reads as numbers, or as dates: more likely a slip."""
    if column.kind != "categorical" or not column.categories:
        return
    texts = column.categories
    of_category = np.bincount(column.values[column.values >= 0], minlength=len(texts))
    is_number = np.array([not np.isnan(to_number(text)) for text in texts])
    has_comma = np.array([not np.isnan(to_number(text.replace(",", ".", 1))) for text in texts])
    is_day = np.array([is_date(text) for text in texts])
    for what, fits in (("numbers", is_number), ("dates", is_day), ("decimal commas", has_comma)):
        n_fits = int(of_category[fits].sum())
        n_others = int(of_category.sum()) - n_fits
        if what == "decimal commas":
            # A spreadsheet's numbers, which as text would be so many names.
            fits = is_number | ~has_comma
        if fits.all() or n_fits <= n_others:
            continue
        row = int(np.argmax(np.append(~fits, False)[column.values]))
        text = source.text(row, name)
        comma = what == "decimal commas" or (what == "numbers" and has_comma.all())
        choice = f"--categorical {quoted(name)}"
        others = f"{count(n_others, 'row')} of {len(column.values):,}"
        fail_at(
            source,
            row,
            name,
            "is text in a column of "
            + (f"{what}; " if what == "decimal commas" else f"{what} ({others}); ")
            + (
                f"write decimals with a point, or give {choice}"
                if comma
                else f"correct it, or give --missing {quoted(text)} or {choice}"
            ),
        )


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
