"""How good predictions are, beside what predicting the same for every row would give."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule._command.pipeline import probabilities
from chainrule._command.target import Target

__all__ = ["MAIN", "baseline", "confusion", "in_words", "quality", "score"]

# The score that comes first, and what it and the others are called.
MAIN = {"classification": "accuracy", "regression": "r2"}
_NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "f1_macro": "F1, mean of classes",
    "roc_auc": "area under ROC",
    "log_loss": "log loss (less is better)",
    "r2": "R²",
    "rmse": "RMSE (less is better)",
    "mae": "mean absolute error (less is better)",
}


def in_words(name: str) -> str:
    """Return what a score is called."""
    return _NAMES[name]


def score(target: Target, outputs: npt.NDArray[Any], y: npt.NDArray[Any]) -> dict[str, float]:
    """Return the scores of a network's outputs, the main one first.

    Parameters
    ----------
    target : Target
    outputs : ndarray, shape (n_rows, n_outputs)
    y : ndarray, shape (n_rows,)
        Labels, or values in own units.
    """
    if target.classes:
        return class_scores(target, probabilities(outputs), y)
    return value_scores(target.values(outputs), y)


def baseline(target: Target, y: npt.NDArray[Any]) -> dict[str, float]:
    """Return the scores of predicting the training rows' mean, or their classes' frequencies."""
    if target.classes:
        return class_scores(target, np.tile(target.frequencies, (len(y), 1)), y)
    return value_scores(np.full(len(y), target.mean), y)


def quality(target: Target, outputs: npt.NDArray[Any], y: npt.NDArray[Any]) -> float:
    """Return one number that every row matters to: minus the log loss, or R²."""
    if target.classes:
        return -_log_loss(probabilities(outputs), y)
    return _determination(target.values(outputs), y)


def class_scores(
    target: Target, shares: npt.NDArray[np.float64], y: npt.NDArray[Any]
) -> dict[str, float]:
    """Return the scores of probabilities, shape (n_rows, n_classes)."""
    from sklearn import metrics

    predicted = shares.argmax(axis=1)
    labels = np.arange(len(target.classes))
    found = {"accuracy": float(np.mean(predicted == y))}
    with warnings.catch_warnings():
        # A class that no row has, or that is never predicted, counts 0.
        warnings.simplefilter("ignore")
        found["balanced_accuracy"] = float(metrics.balanced_accuracy_score(y, predicted))
        found["f1_macro"] = float(
            metrics.f1_score(y, predicted, labels=np.unique(y), average="macro", zero_division=0)
        )
        if len(np.unique(y)) == len(labels):
            found["roc_auc"] = float(
                metrics.roc_auc_score(y, shares[:, 1])
                if len(labels) == 2
                else metrics.roc_auc_score(y, shares, multi_class="ovr", labels=labels)
            )
    found["log_loss"] = _log_loss(shares, y)
    return found


def value_scores(predicted: npt.NDArray[np.float64], y: npt.NDArray[Any]) -> dict[str, float]:
    """Return the scores of predicted values in own units."""
    errors = predicted - y
    return {
        "r2": _determination(predicted, y),
        "rmse": float(np.sqrt(np.mean(errors**2))),
        "mae": float(np.mean(np.abs(errors))),
    }


def _log_loss(shares: npt.NDArray[np.float64], y: npt.NDArray[Any]) -> float:
    own = np.clip(shares[np.arange(len(y)), y], np.finfo(np.float64).eps, 1.0)
    return float(-np.log(own).mean())


def _determination(predicted: npt.NDArray[np.float64], y: npt.NDArray[Any]) -> float:
    """Return R²; NaN when there is nothing to explain."""
    spread = float(np.sum((y - y.mean()) ** 2))
    return 1 - float(np.sum((predicted - y) ** 2)) / spread if spread > 0 else float("nan")


def confusion(target: Target, outputs: npt.NDArray[Any], y: npt.NDArray[Any]) -> list[list[int]]:
    """Return how many rows of a class (row) were taken for a class (column)."""
    n = len(target.classes)
    counts = np.bincount(y * n + outputs.argmax(axis=1), minlength=n * n)
    return [[int(cell) for cell in row] for row in counts.reshape(n, n)]
