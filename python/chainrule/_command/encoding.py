"""From columns to the matrix that a network takes: one small step for each column, as plain data.

scikit-learn's transformers learn the numbers; the steps hold and apply them, with the arithmetic of
those transformers. A step is applied the same way in training, after loading and to one row, and
what is saved of it is JSON.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from chainrule._command.dates import ISO, is_time
from chainrule._command.source import Column, Kind

__all__ = [
    "DAY",
    "LIMIT",
    "PERIODS",
    "CategoryStep",
    "DateStep",
    "Encoding",
    "NumberStep",
    "Step",
    "fit_step",
]

Matrix: TypeAlias = npt.NDArray[np.float32]

# Beyond so many standard deviations a number is a slip or says no more than "very large". One such
# cell would else move a prediction, or a step of the training, by as much.
LIMIT = 10.0
_MOST_CATEGORIES = 32

DAY = 86_400.0
_YEAR = 365.2425 * DAY
_WEEK = 7 * DAY
PERIODS = {"year": _YEAR, "week": _WEEK, "day": DAY}


@dataclass(frozen=True)
class NumberStep:
    """A number: `fill` for missing values, standardized, clipped.

    Attributes
    ----------
    kind : {"numeric", "boolean"}
    fill, mean, scale : float
        In the column's own units.
    has_indicator : bool
        Whether a second feature says which values were missing.
    """

    kind: Kind
    fill: float
    mean: float
    scale: float
    has_indicator: bool

    @property
    def width(self) -> int:
        """How many features it makes."""
        return 1 + self.has_indicator

    def encode(self, column: Column, out: Matrix) -> None:
        """Write the features of a column's values into `out`, shape (n_rows, width)."""
        missing = ~np.isfinite(column.values)
        values = np.where(missing, self.fill, column.values)
        values -= self.mean
        values /= self.scale
        np.clip(values, -LIMIT, LIMIT, out=values)
        out[:, 0] = values
        if self.has_indicator:
            out[:, 1] = missing

    def in_words(self) -> str:
        """Say what it does."""
        indicator = "; and whether it is missing" if self.has_indicator else ""
        return f"mean {self.mean:.4g}, deviation {self.scale:.4g}{indicator}"


@dataclass(frozen=True)
class DateStep:
    """A date: the trend as a number of days, and circles for what comes again.

    Attributes
    ----------
    trend : NumberStep or None
        Of days since 1970, or since midnight for times of day; None for the column that orders
        the rows, whose later values were never seen in training.
    circles : tuple of {"year", "week", "day"}
        Each makes a sine and a cosine, 0 for missing values.
    date_format : str
        How its dates are written where they are text.
    """

    trend: NumberStep | None
    circles: tuple[str, ...]
    date_format: str = ISO
    kind: Kind = "date"

    @property
    def width(self) -> int:
        """How many features it makes."""
        return (0 if self.trend is None else self.trend.width) + 2 * len(self.circles)

    def encode(self, column: Column, out: Matrix) -> None:
        """Write the features of a column's values into `out`, shape (n_rows, width)."""
        start = 0
        if self.trend is not None:
            start = self.trend.width
            self.trend.encode(Column("numeric", column.values / DAY), out[:, :start])
        seconds = np.where(np.isfinite(column.values), column.values, np.nan)
        for circle in self.circles:
            angle = seconds * (2 * np.pi / PERIODS[circle])
            out[:, start] = np.nan_to_num(np.sin(angle), nan=0.0)
            out[:, start + 1] = np.nan_to_num(np.cos(angle), nan=0.0)
            start += 2

    def in_words(self) -> str:
        """Say what it does."""
        what = "time of day" if is_time(self.date_format) else "days"
        parts = [] if self.trend is None else [f"{what}, standardized"]
        if self.circles:
            parts.append(
                f"circle{'s' if len(self.circles) > 1 else ''} of {', '.join(self.circles)}"
            )
        return "; ".join(parts)


@dataclass(frozen=True)
class CategoryStep:
    """Text: one feature for each frequent value, and one that the rare ones share.

    Attributes
    ----------
    frequent : tuple of (str or None)
        Values with a feature of their own; None is the missing value.
    rare : tuple of (str or None)
        Values that share one; unseen ones go with them. If there are none, an unseen value makes
        zeros.
    """

    frequent: tuple[str | None, ...]
    rare: tuple[str | None, ...]
    kind: Kind = "categorical"

    @property
    def width(self) -> int:
        """How many features it makes."""
        return len(self.frequent) + bool(self.rare)

    def encode(self, column: Column, out: Matrix) -> None:
        """Write the features of a column's values into `out`, shape (n_rows, width)."""
        places = {text: place for place, text in enumerate(self.frequent)}
        others = len(self.frequent) if self.rare else -1
        # The last one is for code -1, the missing value.
        table = np.array([places.get(text, others) for text in (*column.categories, None)])
        place = table[column.values]
        out[:] = 0
        rows = np.flatnonzero(place >= 0)
        out[rows, place[rows]] = 1

    def n_unseen(self, column: Column) -> int:
        """Return how many values are none of those seen in training; missing ones not counted."""
        known = {*self.frequent, *self.rare}
        unseen = np.array([text not in known for text in column.categories] + [False])
        return int(unseen[column.values].sum())

    def in_words(self) -> str:
        """Say what it does."""
        own = f"{len(self.frequent)} values"
        if None in self.frequent:
            own = f"{len(self.frequent) - 1} values and missing"
        return f"{own}; {len(self.rare):,} rare ones share one" if self.rare else own


Step: TypeAlias = NumberStep | DateStep | CategoryStep


def fit_step(column: Column, *, orders_rows: bool = False) -> Step | None:
    """Learn the step for a column from its values in the training rows.

    Parameters
    ----------
    column : Column
        The training rows of it.
    orders_rows : bool
        Whether the split goes by it.

    Returns
    -------
    Step or None
        None when the column says nothing about these rows.
    """
    if column.kind == "categorical":
        return _fit_categories(column)
    if column.kind != "date":
        return None if orders_rows else _fit_number(column)
    trend = None if orders_rows else _fit_number(Column("numeric", column.values / DAY))
    seconds = column.values[np.isfinite(column.values)]
    span = float(np.ptp(seconds)) if len(seconds) else 0.0
    circles = [
        name
        for name in ("year", "week")
        if span >= PERIODS[name] or (name == "week" and span >= 2 * DAY)
    ]
    if len(np.unique(seconds % DAY)) > 1:
        circles.append("day")
    if trend is None and not circles:
        return None
    return DateStep(trend, tuple(circles), column.date_format)


def _fit_number(column: Column) -> NumberStep | None:
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import StandardScaler

    values = column.values.reshape(-1, 1)
    missing = np.isnan(values)
    if missing.all():
        return None
    boolean = column.kind == "boolean"
    imputer = SimpleImputer(strategy="most_frequent" if boolean else "median")
    with np.errstate(over="ignore", invalid="ignore"):  # looked for below
        scaler = StandardScaler().fit(imputer.fit_transform(values))
    mean, scale = float(scaler.mean_[0]), float(scaler.scale_[0])
    if not (np.isfinite(mean) and np.isfinite(scaler.var_[0])):
        raise OverflowError
    if float(scaler.var_[0]) == 0.0 and not missing.any():
        return None
    kind: Kind = "boolean" if boolean else "numeric"
    return NumberStep(kind, float(imputer.statistics_[0]), mean, scale, bool(missing.any()))


def _fit_categories(column: Column) -> CategoryStep | None:
    from sklearn.preprocessing import OneHotEncoder

    names: list[str | None] = [*column.categories, None]
    # As many as all rows: where a value is rare is for max_categories to say.
    encoder = OneHotEncoder(max_categories=_MOST_CATEGORIES, handle_unknown="infrequent_if_exist")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        encoder.fit(column.values.reshape(-1, 1))
    rare = encoder.infrequent_categories_[0]
    rare_codes = [] if rare is None else [int(code) for code in rare]
    frequent = [int(code) for code in encoder.categories_[0] if int(code) not in set(rare_codes)]
    if len(frequent) + len(rare_codes) < 2:
        return None
    return CategoryStep(
        tuple(names[code] for code in frequent), tuple(names[code] for code in rare_codes)
    )


@dataclass(frozen=True)
class Encoding:
    """The steps of all columns, in the order of the features.

    Attributes
    ----------
    steps : dict of str to Step
        By the columns' names.
    """

    steps: dict[str, Step]

    @property
    def width(self) -> int:
        """How many features there are."""
        return sum(step.width for step in self.steps.values())

    def slices(self) -> dict[str, slice]:
        """Return which features each column makes."""
        found, start = {}, 0
        for name, step in self.steps.items():
            found[name] = slice(start, start + step.width)
            start += step.width
        return found

    def encode(self, columns: Mapping[str, Column], rows: Any, n_rows: int) -> Matrix:
        """Return the features of some rows, shape (n_rows, width), column by column."""
        matrix = np.empty((n_rows, self.width), np.float32)
        for name, part in self.slices().items():
            self.steps[name].encode(columns[name].take(rows), matrix[:, part])
        return matrix
