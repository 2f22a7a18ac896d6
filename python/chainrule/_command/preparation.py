"""From the user's file to the arrays that a network trains on; `train` calls it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule._command.dates import ISO, in_words, is_time
from chainrule._command.encoding import DateStep, Encoding, Step, fit_step
from chainrule._command.errors import UsageError, quoted
from chainrule._command.marks import note
from chainrule._command.pipeline import format_of
from chainrule._command.recipe import VALIDATION_FRACTION, n_folds
from chainrule._command.report import count
from chainrule._command.source import Column
from chainrule._command.split import Split, split_rows
from chainrule._command.table import Choices, Table, read_table
from chainrule._command.target import (
    Target,
    Task,
    check_target,
    fit_target,
    infer_task,
    usable_rows,
    with_statistics,
)

__all__ = ["ColumnNote", "Part", "Prepared", "prepare"]


@dataclass(frozen=True)
class Part:
    """Rows for one purpose.

    Attributes
    ----------
    X : ndarray of float32, shape (n_rows, n_features)
    y : ndarray, shape (n_rows,)
        Labels, or values in the target's own units.
    """

    X: npt.NDArray[np.float32]
    y: npt.NDArray[Any]


@dataclass(frozen=True)
class ColumnNote:
    """What is said of a column: type, missing values, distinct texts, what is made of it.

    `date_format` is None except for dates that are not written as ISO's.
    """

    name: str
    kind: str
    n_missing: int
    n_distinct: int | None
    encoded: str
    date_format: str | None

    def in_words(self) -> str:
        """Say its type: "numeric", "date (%d/%m/%Y, day first)"."""
        return self.kind if self.date_format is None else f"{self.kind} ({self.date_format})"


@dataclass
class Prepared:
    """All that a training starts from, and what to say about it.

    `folds` of the rows to train on choose the weight decay; if it is 0, the rows of `validation`
    do, and say when to stop.
    """

    n_rows: int
    unusable: dict[str, int]
    columns: list[ColumnNote]
    left_out: dict[str, str]
    target: Target
    reason: str
    encoding: Encoding
    train: Part
    validation: Part
    held_out: Part
    folds: int
    how_split: str
    notes: list[str] = field(default_factory=list)


def prepare(
    path: str,
    target_name: str | None,
    choices: Choices,
    task: Task | None,
    test_fraction: float,
    seed: int,
    time_column: str | None,
) -> Prepared:
    """Read a table, divide its rows, and learn from the training rows how to encode the columns.

    Raises
    ------
    UsageError
        For everything that keeps the table from being trained on.
    """
    table = read_table(path, target_name, choices, time_column)
    assert target_name is not None
    column = table.columns[target_name]
    check_target(table.source, column, target_name, task)
    if task is None:
        task, reason = infer_task(column, target_name)
    else:
        reason = "--task says so"
    rows = usable_rows(column)
    unusable = {"without a target": table.n_rows - len(rows)}
    time = None
    if time_column is not None:
        rows, time = _by_time(table, rows, time_column)
        unusable["without a time"] = table.n_rows - len(rows) - unusable["without a target"]
    if len(rows) < 2:
        raise UsageError(f"{path}: {count(len(rows), 'row')} of {table.n_rows:,} can be used")
    target = fit_target(table.source, column, target_name, task, rows)
    y = target.encode(column)
    folds = n_folds(len(rows)) if time is None else 0
    aside = 0.0 if folds else VALIDATION_FRACTION
    split = split_rows(rows, y[rows], len(target.classes), test_fraction, aside, seed, time)
    target = with_statistics(target, y[split.train])
    steps, left_out = _fit_steps(table, target_name, time_column, split)
    encoding = Encoding(steps)
    parts = [
        Part(encoding.encode(table.columns, part, len(part)), y[part])
        for part in (split.train, split.validation, split.held_out)
    ]
    return Prepared(
        n_rows=table.n_rows,
        unusable={why: n for why, n in unusable.items() if n},
        columns=[_note(name, table.columns[name], step) for name, step in steps.items()],
        left_out={**table.left_out, **left_out},
        target=target,
        reason=reason,
        encoding=encoding,
        train=parts[0],
        validation=parts[1],
        held_out=parts[2],
        folds=min(folds, len(split.train)),
        how_split=split.how,
        notes=[
            *table.notes,
            *_marks(table, target),
            *split.notes,
            *(_by_chance(steps) if time is None else []),
        ],
    )


def _marks(table: Table, target: Target) -> list[str]:
    marked = table.source.marked
    return [note(marked, of_classes=target.kind == "categorical")] if marked else []


def _by_chance(steps: dict[str, Step]) -> list[str]:
    """Say that rows of all times are held out where a column could divide them by time."""
    dates = [
        name
        for name, step in steps.items()
        if isinstance(step, DateStep) and not is_time(step.date_format)
    ]
    if not dates:
        return []
    option = f"--time-column {shlex.quote(dates[0])}"
    return [f"held out at random; {option} holds out the last rows"]


def _by_time(
    table: Table, rows: npt.NDArray[np.intp], name: str
) -> tuple[npt.NDArray[np.intp], tuple[str, npt.NDArray[np.float64]]]:
    column = table.columns[name]
    if column.kind not in ("date", "numeric"):
        # Such as two formats in one column.
        why = "".join(f"; {note}" for note in table.notes if note.startswith(f"{quoted(name)} "))
        raise UsageError(
            f"--time-column {quoted(name)} of {table.source.path} holds {column.kind} values; "
            f"expected dates, or numbers (--date-format says how dates are written){why}"
        )
    rows = rows[np.isfinite(column.values[rows])]
    return rows, (name, column.values[rows])


def _fit_steps(
    table: Table, target: str, time: str | None, split: Split
) -> tuple[dict[str, Step], dict[str, str]]:
    steps: dict[str, Step] = {}
    left_out = {}
    for name, column in table.columns.items():
        if name == target:
            continue
        try:
            step = fit_step(column.take(split.train), orders_rows=name == time)
        except OverflowError:
            raise UsageError(
                f"{table.source.path}: column {quoted(name)} holds numbers that are too large to "
                "be standardized"
            ) from None
        if step is not None:
            steps[name] = step
        elif name == time:
            left_out[name] = "it divides the rows"
        else:
            left_out[name] = "it holds one value in every row to train on"
    if not steps:
        raise UsageError(f"{table.source.path} has no column to learn {quoted(target)} from")
    return steps, left_out


def _note(name: str, column: Column, step: Step) -> ColumnNote:
    distinct = len(column.categories) if column.kind == "categorical" else None
    date_format = None if format_of(step) == ISO else in_words(format_of(step))
    n_missing = int(column.missing().sum())
    return ColumnNote(name, column.kind, n_missing, distinct, step.in_words(), date_format)
