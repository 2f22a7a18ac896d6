"""Makes what a network trains on out of a table: the task, the held-out split, the scaling.

The split and the scalers are scikit-learn's. Scalers are fit on the training rows alone: the
held-out rows must not be known to anything but the score.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from chainrule._command.errors import UsageError, quoted
from chainrule._command.lines import to_number
from chainrule._command.table import Table

__all__ = ["Dataset", "Task", "infer_task", "load_digits", "prepare_table"]

Task: TypeAlias = Literal["classification", "regression"]

# Whole numbers with at most so many distinct values, each in five rows, are taken for labels.
_MOST_NUMERIC_CLASSES = 20
_ROWS_PER_NUMERIC_CLASS = 5

_GRAY_LEVELS = 16


@dataclass(frozen=True)
class Dataset:
    """Arrays ready for `MLP.fit`, and what to say about them.

    Attributes
    ----------
    name : str
    task : {"classification", "regression"}
    reason : str
        Why this task, to follow "because"; "" when there is nothing to say.
    scaling : str
        How the features were scaled.
    X_train, X_held_out : ndarray of float32, shape (n_rows, n_features)
    y_train, y_held_out : ndarray
        int64 labels (n_rows,), or float32 standardized values (n_rows, 1).
    classes : tuple of str
        Names of the labels; empty in regression.
    target_scale : float
        Standard deviation of the target in its own units; 1 in classification.
    notes : tuple of str
        What was done to the table that the user should know.
    """

    name: str
    task: Task
    reason: str
    scaling: str
    X_train: npt.NDArray[np.float32]
    X_held_out: npt.NDArray[np.float32]
    y_train: npt.NDArray[Any]
    y_held_out: npt.NDArray[Any]
    classes: tuple[str, ...]
    target_scale: float = 1.0
    notes: tuple[str, ...] = ()

    @property
    def n_outputs(self) -> int:
        """Width of the network's last layer."""
        return len(self.classes) if self.task == "classification" else 1

    @property
    def score_name(self) -> str:
        """What `History.validation_score` holds, in words."""
        return "held-out accuracy" if self.task == "classification" else "held-out R^2"

    @property
    def baseline(self) -> float:
        """Held-out accuracy of the commonest training class; NaN in regression."""
        if self.task == "regression":
            return float("nan")
        commonest = np.bincount(self.y_train).argmax()
        return float(np.mean(self.y_held_out == commonest))


def load_digits(test_fraction: float, seed: int) -> Dataset:
    """Return scikit-learn's handwritten digits: 1,797 pictures of 8 x 8 gray levels."""
    from sklearn.datasets import load_digits as sklearn_digits

    X, y = sklearn_digits(return_X_y=True)
    train, held_out = _split_rows(y, test_fraction, seed, n_classes=10)
    # One scale for all pixels: standardizing would blow up the noise of the nearly blank ones.
    X = (X / _GRAY_LEVELS).astype(np.float32)
    return Dataset(
        name="scikit-learn's handwritten digits",
        task="classification",
        reason="",
        scaling=f"gray levels divided by {_GRAY_LEVELS}",
        X_train=X[train],
        X_held_out=X[held_out],
        y_train=y[train],
        y_held_out=y[held_out],
        classes=tuple(str(digit) for digit in range(10)),
    )


def prepare_table(table: Table, task: Task | None, test_fraction: float, seed: int) -> Dataset:
    """Return the data set of the user's table.

    Parameters
    ----------
    table : Table
    task : {"classification", "regression"} or None
        None: told from the target.
    test_fraction : float
        Part of the rows to hold out, in (0, 1).
    seed : int
        Seed of the split.

    Raises
    ------
    UsageError
        If the target does not fit the task or there are too few rows of a class.
    """
    if task is None:
        task, reason = infer_task(table)
    else:
        reason = "of --task"
    classes: tuple[str, ...] = ()
    target_scale = 1.0
    y: npt.NDArray[Any]
    y_train: npt.NDArray[Any]
    y_held_out: npt.NDArray[Any]
    if task == "classification":
        y, classes = _encode_labels(table)
        train, held_out = _split_rows(y, test_fraction, seed, n_classes=len(classes))
        y_train, y_held_out = y[train], y[held_out]
    else:
        y = _numeric_target(table)[:, None]
        train, held_out = _split_rows(y, test_fraction, seed)
        y_train, y_held_out, target_scale = _standardize(y[train], y[held_out])
    X_train, X_held_out, _ = _standardize(table.features[train], table.features[held_out])
    if not all(np.isfinite(part).all() for part in (X_train, X_held_out, y_train, y_held_out)):
        raise UsageError(f"{table.path}: numbers are too large to be standardized")
    return Dataset(
        name=table.path,
        task=task,
        reason=reason,
        scaling="standardized by the training rows",
        X_train=X_train,
        X_held_out=X_held_out,
        y_train=y_train,
        y_held_out=y_held_out,
        classes=classes,
        target_scale=target_scale,
        notes=table.notes,
    )


def infer_task(table: Table) -> tuple[Task, str]:
    """Return the task that the target column calls for, and the reason in words."""
    target, name = table.target, quoted(table.target_name)
    distinct = np.unique(target)
    if target.dtype == np.bool_:
        return "classification", f"target {name} holds true and false"
    if target.dtype == object:
        _refuse_mixture(table)
        return "classification", f"target {name} holds {len(distinct):,} distinct text values"
    most = min(_MOST_NUMERIC_CLASSES, max(2, len(target) // _ROWS_PER_NUMERIC_CLASS))
    if len(distinct) <= most and bool(np.all(distinct == np.floor(distinct))):
        return (
            "classification",
            f"target {name} holds whole numbers of {len(distinct)} distinct values",
        )
    return "regression", f"target {name} holds {len(distinct):,} distinct numbers"


def _refuse_mixture(table: Table) -> None:
    """Raise UsageError if a text target mostly reads as numbers: more likely a slip."""
    text = _text_rows(table.target)
    if 0 < len(text) < len(table.target) / 2:
        raise UsageError(
            f"{_where(table, int(text[0]))}: {quoted(table.target[text[0]])} is text in a target "
            "that else holds numbers; correct it, or give --task classification"
        )


def _text_rows(target: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    return np.flatnonzero([math.isnan(to_number(cell)) for cell in target])


def _where(table: Table, row: int) -> str:
    record = table.find_record(row)
    return f"{table.path}, line {record.line}, column {quoted(table.target_name)}"


def _encode_labels(table: Table) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    from sklearn.preprocessing import LabelEncoder

    encoder = LabelEncoder()
    labels: npt.NDArray[np.int64] = encoder.fit_transform(table.target).astype(np.int64)
    classes = tuple(_class_name(value) for value in encoder.classes_)
    name = quoted(table.target_name)
    if len(classes) == 1:
        raise UsageError(
            f"target {name} of {table.path} holds one class only, {quoted(classes[0])}: "
            "there is nothing to tell apart"
        )
    counts = np.bincount(labels)
    single = np.flatnonzero(counts == 1)
    if len(single) > 0:
        row = int(np.flatnonzero(labels == single[0])[0])
        others = f", and so have {len(single) - 1:,} more classes" if len(single) > 1 else ""
        hint = "; numbers to predict call for --task regression"
        raise UsageError(
            f"{_where(table, row)}: class {quoted(classes[single[0]])} has this row only{others}; "
            "each needs at least 2, one to train on and one to hold out"
            f"{'' if table.target.dtype in (object, np.bool_) else hint}"
        )
    return labels, classes


def _class_name(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _numeric_target(table: Table) -> npt.NDArray[np.float64]:
    target = table.target
    if target.dtype == object:
        row = int(_text_rows(target)[0])
        raise UsageError(
            f"{_where(table, row)}: {quoted(target[row])} is text; "
            "--task regression needs a target of numbers"
        )
    values = target.astype(np.float64)
    if values.min() == values.max():
        raise UsageError(
            f"target {quoted(table.target_name)} of {table.path} is {values[0]:g} in every row: "
            "there is nothing to learn"
        )
    return values


def _split_rows(
    y: npt.NDArray[Any], test_fraction: float, seed: int, n_classes: int = 0
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the rows to train on and those to hold out; stratified if there are classes."""
    from sklearn.model_selection import train_test_split

    n_held_out = math.ceil(test_fraction * len(y))
    n_train = len(y) - n_held_out
    if min(n_held_out, n_train) < max(2, n_classes):
        needs = f"one of each of {n_classes} classes" if n_classes > 2 else "2"
        raise UsageError(
            f"--test-fraction {test_fraction:g} of {len(y):,} rows leaves {n_train:,} to train on "
            f"and {n_held_out:,} to hold out; each part needs {needs}"
        )
    train, held_out = train_test_split(
        np.arange(len(y)),
        test_size=n_held_out,
        random_state=seed,
        stratify=y if n_classes else None,
    )
    return train, held_out


def _standardize(
    train: npt.NDArray[np.float64], held_out: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], float]:
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    with np.errstate(over="ignore", invalid="ignore"):  # the caller looks for what is not finite
        return (
            scaler.fit_transform(train).astype(np.float32),
            scaler.transform(held_out).astype(np.float32),
            float(scaler.scale_[0]),
        )
