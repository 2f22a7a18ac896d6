"""Columns of another file as the kinds that a model knows; `pipeline` and `evaluate` ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import numpy as np

from chainrule._command.date_finding import find_formats, find_in_numbers
from chainrule._command.date_option import format_option
from chainrule._command.dates import ISO, example, in_words, is_time, seconds_of, to_number
from chainrule._command.errors import UsageError, quoted
from chainrule._command.source import Chunk, Column, Kind, Source, dated, fail_at, texts_of

__all__ = ["as_kind"]


def as_kind(source: Source, name: str, chunk: Chunk, kind: Kind, date_format: str = ISO) -> Column:
    """Return a column of a chunk as the kind that a model knows it by.

    Parameters
    ----------
    date_format : str
        How the model knows dates as text; a type that holds dates is right in any case.

    Raises
    ------
    UsageError
        If the column holds something else; names line and text.
    """
    column = chunk.columns[name]
    if column.kind == kind == "date" and is_time(column.date_format) == is_time(date_format):
        return column
    if column.kind == kind != "date":
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
    if kind == "date" and column.kind == "categorical":
        seconds = seconds_of(column.categories, date_format)
        if seconds is not None:
            return dated(column, seconds, date_format)
    if {column.kind, kind} != {"numeric", "boolean"}:
        row = _first_misfit(column, kind, date_format)
        _refuse(source, name, chunk, row, kind, date_format)
    wrong = ~np.isin(column.values, (0.0, 1.0)) & ~np.isnan(column.values)
    if kind == "boolean" and wrong.any():
        _refuse(source, name, chunk, int(np.argmax(wrong)), kind, date_format)
    return Column(kind, column.values)


def _refuse(
    source: Source, name: str, chunk: Chunk, row: int, kind: Kind, date_format: str
) -> NoReturn:
    what = {
        "numeric": "a number",
        "boolean": "true or false",
        "date": f"a {'time' if is_time(date_format) else 'date'} as {example(date_format)}",
    }
    problem = f"is not {what[kind]}, as the column held in training"
    if kind == "date":
        problem += _other_format(name, chunk.columns[name])
    fail_at(source, chunk.start + row, name, problem)


def _first_misfit(column: Column, kind: Kind, date_format: str) -> int:
    if column.kind == "categorical":
        readers: dict[Kind, Callable[[str], bool]] = {
            "numeric": lambda text: not np.isnan(to_number(text)),
            "date": lambda text: seconds_of([text], date_format) is not None,
            "boolean": lambda text: text.lower() in ("true", "false"),
        }
        fits = readers[kind]
        misfit = np.array([*(not fits(text) for text in column.categories), False])
        rows = np.flatnonzero(misfit[column.values])
        if len(rows):
            return int(rows[0])
    return int(np.argmax(~column.missing()))


def _other_format(name: str, column: Column) -> str:
    """Say in which format the dates of a column are, if they are in one."""
    formats: tuple[str, ...] = ()
    if column.kind == "date":
        return f"; it holds {'times of day' if is_time(column.date_format) else 'dates'} here"
    values = column.values
    if column.kind == "categorical":
        formats = tuple(find_formats(column.categories))
        values = np.array([*map(to_number, column.categories)])
    if not formats and not np.isnan(values).all():
        found = find_in_numbers(name, values)
        formats = () if found is None else found[:1]
    if not formats:
        return ""
    words = " or ".join(in_words(each) for each in formats)
    return f"; here it reads as {words}: give {format_option(name, formats[0])}"
