"""What is predicted: the task, inferred from the target, and its own numbers or classes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from chainrule._command.errors import UsageError, quoted
from chainrule._command.source import Column, Source, fail_at, texts_of

__all__ = [
    "Target",
    "Task",
    "check_target",
    "fit_target",
    "infer_task",
    "usable_rows",
    "with_statistics",
]

Task: TypeAlias = Literal["classification", "regression"]

# Whole numbers with at most this many distinct values, each in five rows, are taken for labels.
_MOST_NUMERIC_CLASSES = 20
_ROWS_PER_NUMERIC_CLASS = 5
_MOST_CLASSES = 1000
_LEAST_INEXACT = 2.0**53  # from here on float64 does not hold every whole number


@dataclass(frozen=True)
class Target:
    """The target column, as the network knows it.

    Attributes
    ----------
    name : str
    task : {"classification", "regression"}
    kind : {"numeric", "boolean", "categorical"}
        Of the column in the training table.
    classes : tuple of str
        In the order of the outputs; empty in regression.
    frequencies : tuple of float
        Share of each class in the training rows: the trivial prediction.
    mean, scale : float
        Of the training rows, in the target's own units; 0 and 1 in classification.
    """

    name: str
    task: Task
    kind: Literal["numeric", "boolean", "categorical"]
    classes: tuple[str, ...] = ()
    frequencies: tuple[float, ...] = ()
    mean: float = 0.0
    scale: float = 1.0

    @property
    def n_outputs(self) -> int:
        """Width of the network's last layer."""
        return len(self.classes) or 1

    @property
    def loss(self) -> str:
        """Name of the loss."""
        return "cross_entropy" if self.classes else "mse"

    def encode(self, column: Column) -> npt.NDArray[Any]:
        """Return labels, -1 where missing or unknown, or values in own units, NaN where missing."""
        if not self.classes:
            return np.where(np.isfinite(column.values), column.values, np.nan)
        texts = texts_of(column)
        places = {name: place for place, name in enumerate(self.classes)}
        table = np.array([places.get(text, -1) for text in texts.categories] + [-1], np.int64)
        labels: npt.NDArray[np.int64] = table[texts.values]
        return labels

    def standardize(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """Return values in own units as the network's targets, shape (n_rows, 1)."""
        return ((values - self.mean) / self.scale).astype(np.float32).reshape(-1, 1)

    def values(self, outputs: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return the network's outputs as values in own units, shape (n_rows,)."""
        return outputs[:, 0].astype(np.float64) * self.scale + self.mean


def infer_task(column: Column, name: str) -> tuple[Task, str]:
    """Return the task that a target calls for, and the reason in words."""
    said = f"target {quoted(name)} holds"
    if column.kind == "boolean":
        return "classification", f"{said} true and false"
    if column.kind == "categorical":
        return "classification", f"{said} {len(column.categories):,} distinct text values"
    present = column.values[np.isfinite(column.values)]
    distinct = np.unique(present)
    most = min(_MOST_NUMERIC_CLASSES, max(2, len(present) // _ROWS_PER_NUMERIC_CLASS))
    if len(distinct) <= most and bool(np.all(distinct == np.floor(distinct))):
        return "classification", f"{said} whole numbers of {len(distinct)} distinct values"
    return "regression", f"{said} {len(distinct):,} distinct numbers"


def usable_rows(column: Column) -> npt.NDArray[np.intp]:
    """Return the rows whose target is known: not missing, and finite."""
    usable = column.values >= 0 if column.kind == "categorical" else np.isfinite(column.values)
    return np.flatnonzero(usable)


def check_target(source: Source, column: Column, name: str, task: Task | None) -> None:
    """Raise UsageError if a target cannot be predicted, or not so."""
    where = f"target {quoted(name)} of {source.path}"
    if column.kind == "empty":
        raise UsageError(f"{where} has no value in any row")
    if column.kind == "unsupported":
        reason = "a type" if column.categories == ["type"] else column.categories[0]
        raise UsageError(f"{where} has {reason}, which cannot be predicted")
    if column.kind == "date":
        raise UsageError(f"{where} holds dates, which cannot be predicted; give a number instead")
    if task == "regression" and column.kind == "categorical":
        row = int(usable_rows(column)[0]) if len(usable_rows(column)) else 0
        fail_at(source, row, name, "is text; --task regression needs a target of numbers")


def fit_target(
    source: Source, column: Column, name: str, task: Task, rows: npt.NDArray[np.intp]
) -> Target:
    """Return the target with its classes, or with mean and scale by the usable rows.

    Raises
    ------
    UsageError
        If there is nothing to learn or too much to tell apart.
    """
    where = f"target {quoted(name)} of {source.path}"
    assert column.kind in ("numeric", "boolean", "categorical")
    used = column.take(rows)
    if task == "regression":
        values = used.values
        if values.min() == values.max():
            raise UsageError(f"{where} is {values[0]:g} in every row: there is nothing to learn")
        return Target(name, task, column.kind)
    if column.kind == "numeric" and np.abs(used.values).max() >= _LEAST_INEXACT:
        raise UsageError(
            f"{where} holds numbers of 2^53 and more, which are not told apart as classes; give "
            f"--categorical {quoted(name)} if they are names, --task regression if not"
        )
    texts = texts_of(used)
    counts = np.bincount(texts.values, minlength=len(texts.categories))
    classes = [name for name, n in zip(texts.categories, counts, strict=True) if n]
    n_single = int((counts == 1).sum())
    hint = "; numbers to predict call for --task regression" if column.kind == "numeric" else ""
    if len(classes) == 1:
        raise UsageError(
            f"{where} holds one class only, {quoted(classes[0])}: there is nothing to tell apart"
        )
    if len(classes) > _MOST_CLASSES or 2 * n_single > len(classes):
        raise UsageError(
            f"{where} holds {len(classes):,} classes in {len(rows):,} rows, {n_single:,} of them "
            f"in one row: too little to learn from{hint}"
        )
    return Target(name, task, column.kind, tuple(classes))


def with_statistics(target: Target, y: npt.NDArray[Any]) -> Target:
    """Return the target with what the training rows say: frequencies, or mean and scale."""
    from sklearn.preprocessing import StandardScaler

    if target.classes:
        counts = np.bincount(y, minlength=len(target.classes))
        return replace(target, frequencies=tuple((counts / len(y)).tolist()))
    with np.errstate(over="ignore", invalid="ignore"):
        scaler = StandardScaler().fit(y.reshape(-1, 1))
    mean, scale = float(scaler.mean_[0]), float(scaler.scale_[0])
    if not (np.isfinite(mean) and np.isfinite(scaler.var_[0])):
        raise UsageError(
            f"target {quoted(target.name)} holds numbers that are too large to be standardized"
        )
    return replace(target, mean=mean, scale=scale)
