"""Which rows train, which say when to stop, and which score: by class, at random, or by time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from chainrule._command.errors import UsageError, quoted
from chainrule._command.report import count

__all__ = ["Split", "fold_of_rows", "split_rows"]

Rows: TypeAlias = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Split:
    """Rows of the table, each in at most one part.

    Attributes
    ----------
    train, validation, held_out : ndarray of int
        To learn from; to say when to stop; to score.
    how : str
        In words.
    notes : tuple of str
    """

    train: Rows
    validation: Rows
    held_out: Rows
    how: str
    notes: tuple[str, ...] = ()


def split_rows(
    rows: Rows,
    y: npt.NDArray[Any],
    n_classes: int,
    test_fraction: float,
    validation_fraction: float,
    seed: int,
    time: tuple[str, npt.NDArray[np.float64]] | None,
) -> Split:
    """Divide the usable rows.

    Parameters
    ----------
    rows : ndarray of int
        Usable rows of the table.
    y : ndarray
        Their targets; labels if there are classes.
    n_classes : int
        0 in regression.
    test_fraction, validation_fraction : float
        Shares of all rows, and of those that are not held out; 0 where folds stand in for a part
        that says when to stop.
    seed : int
    time : tuple of str and ndarray, optional
        Name and values of the column that orders the rows; later rows are held out.

    Raises
    ------
    UsageError
        If a part would be too small.
    """
    notes: tuple[str, ...] = ()
    if time is not None:
        name, values = time
        fit, held_out = _last(values, test_fraction, f"--time-column {quoted(name)}")
        train, validation = _last(values[fit], validation_fraction, f"--time-column {quoted(name)}")
        train, validation = fit[train], fit[validation]
        how = f"the last by {quoted(name)}"
        if n_classes:
            absent = n_classes - len(np.unique(y[train]))
            if absent:
                raise UsageError(
                    f"--time-column {quoted(name)}: {count(absent, 'class', 'classes')} of the "
                    "target come only after the rows to train on"
                )
    else:
        labels = y if n_classes else None
        every = np.arange(len(rows))
        fit, held_out, n_small = _random(every, labels, test_fraction, seed)
        train, validation = fit, fit[:0]
        if validation_fraction:
            train, validation, _ = _random(fit, labels, validation_fraction, seed)
        how = f"seed {seed}{', stratified' if n_classes else ''}"
        if n_small:
            notes = (
                f"{count(n_small, 'class', 'classes')} with a single row: to train on, in no score",
            )
    if validation_fraction and len(validation) == 0:
        validation = train
        notes = (*notes, "too few rows for a part that says when to stop: those to train on do")
    _check_sizes(len(rows), len(train), len(held_out), test_fraction, n_classes)
    return Split(rows[train], rows[validation], rows[held_out], how, notes)


def fold_of_rows(
    labels: npt.NDArray[Any] | None, n_rows: int, n_folds: int, seed: int
) -> npt.NDArray[np.intp]:
    """Return the fold of each row: as many rows in each, and of each class as nearly as can be."""
    order = np.random.default_rng(seed).permutation(n_rows)
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    fold = np.empty(n_rows, np.intp)
    fold[order] = np.arange(n_rows) % n_folds
    return fold


def _random(
    rows: Rows, labels: npt.NDArray[Any] | None, fraction: float, seed: int
) -> tuple[Rows, Rows, int]:
    """Return the rows that stay, a share drawn from the seed, and how many classes had one row."""
    from sklearn.model_selection import train_test_split

    alone = rows[:0]
    n_classes = 0
    if labels is not None:
        of_class = np.bincount(labels[rows])
        is_alone = of_class[labels[rows]] == 1
        alone, rows = rows[is_alone], rows[~is_alone]
        n_classes = int((of_class > 1).sum())
    n_drawn = max(math.ceil(fraction * (len(rows) + len(alone))), n_classes)
    if len(rows) - n_drawn < max(1, n_classes):
        return np.sort(np.concatenate([rows, alone])), rows[:0], len(alone)
    stay, drawn = train_test_split(
        rows,
        test_size=n_drawn,
        random_state=seed,
        stratify=None if labels is None else labels[rows],
    )
    return np.sort(np.concatenate([stay, alone])), np.sort(drawn), len(alone)


def _last(values: npt.NDArray[np.float64], fraction: float, option: str) -> tuple[Rows, Rows]:
    """Return the earlier rows and the last share; rows of one time stay together."""
    order = np.argsort(values, kind="stable")
    first = values[order[len(values) - math.ceil(fraction * len(values))]]
    late = values >= first
    if late.all():
        raise UsageError(f"{option}: too few distinct times to divide the rows by")
    return np.flatnonzero(~late), np.flatnonzero(late)


def _check_sizes(n: int, n_train: int, n_held_out: int, fraction: float, n_classes: int) -> None:
    if n_held_out < 2 or n_train < 2 or n_train < n_classes:
        needs = f"one of each of {n_classes} classes" if n_classes > 2 else "2"
        raise UsageError(
            f"--test-fraction {fraction:g} of {n:,} usable rows leaves {n_train:,} to train on "
            f"and {n_held_out:,} to hold out; each part needs {needs}"
        )
