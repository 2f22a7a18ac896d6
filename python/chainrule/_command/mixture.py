"""Columns of text that mostly read as numbers or as dates: refused, or said; `table` asks."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from chainrule._command.building import Built
from chainrule._command.date_finding import formats_of, has_foreign_month, sample_of
from chainrule._command.dates import in_words, to_number
from chainrule._command.errors import quoted
from chainrule._command.report import count
from chainrule._command.source import Column, Source, fail_at
from chainrule._command.strays import DECIMAL_COMMAS, NUMBERS, Strays

__all__ = ["examine_text"]

# Where fewer texts of a sample look like dates, most of the rows are none.
_LEAST_SHARE = 0.3


def examine_text(source: Source, name: str, built: Built, with_dates: bool) -> str | None:
    """Return what to say of dates that are left as text, or None; also if not `with_dates`.

    Raises
    ------
    UsageError
        If most of a column of text reads as numbers, or as dates: more likely a slip.
    """
    column = built.columns[name]
    if name in built.strays:
        return _examine_strays(source, name, built.strays[name], with_dates)
    if column.kind != "categorical" or not column.categories:
        return None
    texts = column.categories
    of_text = np.bincount(column.values[column.values >= 0], minlength=len(texts))
    _refuse_numbers(source, name, column, of_text)
    if not with_dates:
        return None
    looks = [_looks_like_date(text) for text in sample_of(texts)]
    if sum(looks) < _LEAST_SHARE * len(looks):
        return None
    return _examine_dates(source, name, column, of_text)


def _examine_strays(source: Source, name: str, strays: Strays, with_dates: bool) -> str | None:
    """Do the same for a column with more texts than are kept."""
    if strays.first is None or strays.n_fits <= strays.n_others:
        return None
    row, text = strays.first
    others = f" ({count(strays.n_others, 'row')} of {strays.n_fits + strays.n_others:,})"
    if strays.of in (NUMBERS, DECIMAL_COMMAS):
        _fail_at_no_number(source, row, name, strays.of, others)
    if not with_dates:
        return None
    if not formats_of(text, with_times=False):
        _fail_at_no_date(source, row, name, others)
    return f"{quoted(name)} holds dates of more than one format, {quoted(text)} in another"


def _refuse_numbers(source: Source, name: str, column: Column, of_text: npt.NDArray[Any]) -> None:
    texts = column.categories
    is_number = np.array([not np.isnan(to_number(text)) for text in texts])
    has_comma = np.array([not np.isnan(to_number(text.replace(",", ".", 1))) for text in texts])
    for what, fits in ((NUMBERS, is_number), (DECIMAL_COMMAS, has_comma)):
        n_fits = int(of_text[fits].sum())
        n_others = int(of_text.sum()) - n_fits
        if what == DECIMAL_COMMAS:
            # A spreadsheet's numbers, each of which would be a name.
            fits = is_number | ~has_comma
        if fits.all() or n_fits <= n_others:
            continue
        if what == NUMBERS and has_comma.all():
            what = DECIMAL_COMMAS
        others = f" ({count(n_others, 'row')} of {len(column.values):,})"
        _fail_at_no_number(source, _first_row(column, ~fits), name, what, others)


def _fail_at_no_number(source: Source, row: int, name: str, what: str, others: str) -> NoReturn:
    text = source.text(row, name)
    choice = f"--categorical {quoted(name)}"
    fail_at(
        source,
        row,
        name,
        f"is text in a column of {what}"
        + (
            f"; write decimals with a point, or give {choice}"
            if what == DECIMAL_COMMAS
            else f"{others}; correct it, or give --missing {quoted(text)} or {choice}"
        ),
    )


def _examine_dates(
    source: Source, name: str, column: Column, of_text: npt.NDArray[Any]
) -> str | None:
    texts = column.categories
    formats = [formats_of(text, with_times=False) for text in texts]
    is_date = np.array([bool(found) for found in formats])
    is_foreign = ~is_date & np.array([has_foreign_month(text) for text in texts])
    if is_foreign.any() and (is_date | is_foreign).all():
        return (
            f"{quoted(name)} is taken for text: the months of its dates, as "
            f"{quoted(texts[int(np.argmax(is_foreign))])}, have no English names"
        )
    n_dates = int(of_text[is_date].sum())
    n_others = int(of_text.sum()) - n_dates
    if n_dates <= n_others:
        return None
    if not is_date.all():
        others = f" ({count(n_others, 'row')} of {len(column.values):,})"
        _fail_at_no_date(source, _first_row(column, ~is_date), name, others)
    rows_of: dict[str, int] = {}
    for found, n_rows in zip(formats, of_text.tolist(), strict=True):
        for each in found:
            rows_of[each] = rows_of.get(each, 0) + n_rows
    most = max(rows_of, key=rows_of.__getitem__)
    first = next(i for i, found in enumerate(formats) if most in found)
    second = next((i for i, found in enumerate(formats) if most not in found), None)
    if second is None:
        return None  # as --date-format none says
    return (
        f"{quoted(name)} is taken for text: its dates are of more than one format, as "
        f"{quoted(texts[first])} ({in_words(most)}) and {quoted(texts[second])} "
        f"({in_words(formats[second][0])})"
    )


def _fail_at_no_date(source: Source, row: int, name: str, others: str) -> NoReturn:
    text = source.text(row, name)
    # A 30th of February is no other text either.
    what = "is not a date," if text[:1].isdigit() else "is text"
    fail_at(
        source,
        row,
        name,
        f"{what} in a column of dates{others}; correct it, or give --missing {quoted(text)} or "
        f"--categorical {quoted(name)}",
    )


def _looks_like_date(text: str) -> bool:
    return bool(formats_of(text, with_times=False)) or has_foreign_month(text)


def _first_row(column: Column, of_categories: npt.NDArray[np.bool_]) -> int:
    return int(np.argmax(np.append(of_categories, False)[column.values]))
