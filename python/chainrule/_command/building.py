"""Puts the chunks of a file together, into one column each; `table` calls it.

What a column holds is inferred over all rows. Where chunks tell different things the file is read
again: for the words of what is text after all, or for dates in the format that all of them have.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from chainrule._command.date_finding import find_formats, sample_of
from chainrule._command.date_option import Formats, format_option
from chainrule._command.dates import NONE, example, is_time, order_of, seconds_of
from chainrule._command.errors import UsageError, quoted
from chainrule._command.source import (
    Chunk,
    Column,
    Kind,
    Source,
    dated,
    fail_at,
)
from chainrule._command.strays import Strays, strays_of

__all__ = ["Built", "build_columns"]

# More distinct texts than that are names or free text, and would fill the memory.
_MOST_TEXTS = 20_000


@dataclass(frozen=True)
class Built:
    """The columns of a file.

    Attributes
    ----------
    n_rows : int
    columns : dict of str to Column
    notes : list of str
        What was assumed.
    strays : dict of str to Strays
        Of columns with more texts than are kept.
    """

    n_rows: int
    columns: dict[str, Column]
    notes: list[str]
    strays: dict[str, Strays] = field(default_factory=dict)


def build_columns(
    source: Source,
    wanted: list[str],
    as_text: Collection[str],
    given: Formats,
    target: str,
) -> Built:
    """Read a file.

    Parameters
    ----------
    source : Source
    wanted : list of str
        Columns to read.
    as_text : collection of str
        Those whose text is kept as written, even when it is numbers or dates.
    given : Formats
        What the user says of dates.
    target : str
        Column in which times of day alone are classes.

    Raises
    ------
    UsageError
        For what cannot be read, and for text that is not in the format that the user gave.
    """
    dates = {name: each for name, each in given.of_column.items() if each != NONE}
    kinds: dict[str, Kind] = dict.fromkeys((*as_text, *dates), "categorical")
    # Formats to take into account; none where text is kept.
    known: dict[str, tuple[str, ...]] = dict.fromkeys((*as_text, *given.of_column), ())
    known |= {name: (each,) for name, each in dates.items()}
    notes: dict[str, str] = {}
    while True:
        builders = {
            name: _Builder(
                name,
                known.get(name),
                given.of_all,
                is_given=name in dates,
                is_text=name in kinds,
                with_times=name != target,
            )
            for name in wanted
        }
        n_rows = 0
        for chunk in source.chunks(wanted, kinds):
            n_rows += chunk.n_rows
            for name in wanted:
                builders[name].add(source, chunk, chunk.columns.pop(name))
        again = {name: each.again for name, each in builders.items() if each.again is not None}
        if not again:
            again = _settled(builders, notes)
        if not again:
            strays = {
                name: max(each.strays, key=lambda strays: strays.n_fits)
                for name, each in builders.items()
                if each.strays
            }
            columns = {name: builders.pop(name).finish() for name in wanted}
            for name, column in columns.items():
                if column.kind == "date" and given.of_column.get(name) == NONE:
                    raise UsageError(
                        f"--date-format {quoted(f'{name}={NONE}')}: the column of {source.path} "
                        "has a type that holds dates or times"
                    )
            return Built(n_rows, columns, [*notes.values()], strays)
        for name, left in again.items():
            known[name] = left
            if not left:
                kinds[name] = "categorical"


class _Builder:
    """Puts the chunks of a column together; texts share one list.

    Attributes
    ----------
    again : tuple of str or None
        Formats with which the file is to be read again, () to keep its text.
    formats : tuple of str or None
        Those that read every text up to now; () where dates are not looked for.
    strays : list of Strays
        Of more texts than are kept; one for each way in which most of them may read.
    """

    def __init__(
        self,
        name: str,
        formats: tuple[str, ...] | None,
        preferred: str | None,
        *,
        is_given: bool,
        is_text: bool,
        with_times: bool,
    ) -> None:
        self.again: tuple[str, ...] | None = None
        self.formats = formats
        self.strays: list[Strays] = []
        self._name = name
        self._is_given = is_given
        self._preferred = preferred
        self._is_text = is_text
        self._was_told = formats is not None
        self._with_times = with_times
        self._sample: list[str] = []
        self._kind: Kind = "empty"
        self._parts: list[Column] = []
        self._codes: dict[str, int] = {}

    @property
    def kind(self) -> Kind:
        """What it holds up to now."""
        return self._kind

    def add(self, source: Source, chunk: Chunk, part: Column) -> None:
        """Take the column's values in a chunk."""
        for strays in self.strays:
            strays.add(chunk.start, part)
        if self.again is not None or self._kind == "unsupported":
            return
        if part.kind == "categorical" and self.formats != () and self._kind in ("empty", "date"):
            part = self._as_dates(source, chunk, part)
        elif part.kind == "date" and not self._is_given:
            if self.formats is None or self._is_text:
                self.formats = (part.date_format,)  # by its type where text was asked for
            elif self.formats[:1] != (part.date_format,):
                self._read_again(())
        if part.kind == "empty" or part.kind == self._kind:
            pass
        elif self._kind == "empty":
            self._kind = part.kind
        elif self.again is None:
            self._read_again(())
        if self.again is not None:
            return
        if part.kind == "categorical":
            codes = [self._codes.setdefault(text, len(self._codes)) for text in part.categories]
            if len(self._codes) > _MOST_TEXTS:
                self._let_go(chunk, part)
                return
            table = np.array([*codes, -1], np.int32)
            part = Column("categorical", table[part.values])
        self._parts.append(part)

    def _let_go(self, chunk: Chunk, part: Column) -> None:
        """Keep no texts, but count what they read as."""
        texts = list(self._codes)
        self.strays = strays_of(texts)
        for strays in self.strays:
            start = 0
            for each in self._parts:
                is_text = each.kind == "categorical"
                strays.add(start, Column(each.kind, each.values, texts if is_text else []))
                start += len(each.values)
            strays.add(chunk.start, part)
        self._kind = "unsupported"
        self._parts.clear()

    def _read_again(self, formats: tuple[str, ...]) -> None:
        self.again = formats
        self._parts.clear()

    def _as_dates(self, source: Source, chunk: Chunk, part: Column) -> Column:
        """Return a part of text as dates if all of it is in a format that those before have."""
        texts = part.categories
        if self.formats is None:
            seconds = None if self._preferred is None else seconds_of(texts, self._preferred)
            found = (
                find_formats(texts, with_times=self._with_times)
                if self._preferred is None or seconds is None
                else {self._preferred: seconds}
            )
            if not found:
                return part  # text from its start
        else:
            read = {each: seconds_of(texts, each) for each in self.formats}
            found = {each: seconds for each, seconds in read.items() if seconds is not None}
        first = next(iter(found), None)
        if self.formats is not None and first != self.formats[0]:
            self._refuse_if_given(source, chunk, part)
            # Perhaps with seconds, which those before left out; once, or it might never end.
            merged = {} if self._was_told or found else find_formats([*self._sample, *texts])
            self._read_again(tuple(found or merged))
            return part
        assert first is not None
        self.formats = tuple(found)
        self._sample += sample_of(texts)
        return dated(part, found[first], first)

    def _misfit(self, chunk: Chunk, part: Column, date_format: str) -> tuple[int, str]:
        misfit = [seconds_of([text], date_format) is None for text in part.categories]
        row = int(np.argmax(np.array([*misfit, False])[part.values]))
        return chunk.start + row, part.categories[part.values[row]]

    def _refuse_if_given(self, source: Source, chunk: Chunk, part: Column) -> None:
        if not self._is_given:
            return
        assert self.formats is not None
        (date_format,) = self.formats
        row, text = self._misfit(chunk, part, date_format)
        others = find_formats(part.categories)
        hint = f"; {format_option(self._name, next(iter(others)))} reads all" if others else ""
        what = "time" if is_time(date_format) else "date"
        fail_at(
            source,
            row,
            self._name,
            f"is not a {what} as {example(date_format)}, as --date-format says{hint}"
            + ("" if others else f"; correct it, or give --missing {quoted(text)}"),
        )

    def finish(self) -> Column:
        """Return the whole column."""
        if self._kind == "unsupported":
            n_texts = len(self._codes)
            reason = f"more than {_MOST_TEXTS:,} distinct texts" if n_texts else "type"
            return Column("unsupported", np.empty(0), [reason])
        if self._kind != "categorical":
            parts = [part.values for part in self._parts]
            self._parts.clear()
            column = Column(self._kind, np.concatenate(parts) if parts else np.empty(0))
            if self._kind == "date" and self.formats:
                column.date_format = self.formats[0]
            return column
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

    def first_of_month(self) -> bool | None:
        """Return whether all dates are a month's first as read, None if not but if read swapped."""
        values = np.concatenate([part.values for part in self._parts])
        distinct = np.unique(values[np.isfinite(values)]).astype("datetime64[s]")
        days = distinct.astype("datetime64[D]")
        months = days.astype("datetime64[M]")
        of_month = (days - months).astype(np.int64)
        of_year = months.astype(np.int64) % 12
        if of_month.any() and not of_year.any():
            return None
        return not of_month.any()


def _settled(builders: Mapping[str, _Builder], notes: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """Choose among formats that read all texts of a column; return those to read again for it."""
    again: dict[str, tuple[str, ...]] = {}
    decided = {
        order_of(each.formats[0])
        for each in builders.values()
        if each.kind == "date" and each.formats and len(each.formats) == 1
    } - {""}
    for name, builder in builders.items():
        if builder.kind != "date" or not builder.formats or len(builder.formats) < 2:
            continue
        if name in notes:
            continue
        first = builder.formats[0]
        chosen, why = first, ""
        of_order = {order_of(each): each for each in reversed(builder.formats)}
        if len(decided) == 1 and (order := next(iter(decided))) in of_order:
            chosen, why = of_order[order], ", as in other columns"
        elif order_of(first) and (is_first := builder.first_of_month()) is not False:
            swapped = {"day": "month", "month": "day"}[order_of(first)]
            if is_first or swapped in of_order:
                chosen = first if is_first else of_order[swapped]
                why = ", by which each is the first of a month"
        other = next(each for each in builder.formats if each != chosen)
        notes[name] = (
            f"{quoted(name)}: every date in it can be read in more than one way; {chosen} is "
            f"assumed{why} ({format_option(name, other)} reads it otherwise)"
        )
        if chosen != first:
            again[name] = (chosen,)
    return again
