"""How good a model is, in one number: accumulated over blocks of rows, in float64."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from ._typing import Floats, Labels


class Score(Protocol):
    """Accumulates a score over blocks of rows."""

    def add(self, outputs: Floats, targets: Floats | Labels, weights: Floats | None) -> None:
        """Take in a block of rows."""

    def value(self) -> float:
        """Return the score of all the rows so far."""


class Accuracy:
    """Weighted share of right predictions.

    Parameters
    ----------
    binary : bool
        True: each element by itself, by the side of 1/2 on which it is (of 0 for a logit). False:
        each row, by its class; rows of probabilities count as their most probable class.
    """

    def __init__(self, *, binary: bool) -> None:
        self._binary = binary
        self._right = 0.0
        self._weight = 0.0

    def add(self, outputs: Floats, targets: Floats | Labels, weights: Floats | None) -> None:
        """Take in a block of rows."""
        right: npt.NDArray[Any]
        if self._binary:
            right = ((outputs > 0) == (targets > 0.5)).mean(axis=1)
        else:
            classes = targets.argmax(axis=1) if targets.ndim == 2 else targets
            right = outputs.argmax(axis=1) == classes
        if weights is None:
            self._right += float(right.sum(dtype=np.float64))
            self._weight += len(right)
        else:
            self._right += float(np.dot(right.astype(np.float64), weights.astype(np.float64)))
            self._weight += float(weights.sum(dtype=np.float64))

    def value(self) -> float:
        """Return the accuracy of all the rows so far."""
        return self._right / self._weight


class Determination:
    """Weighted coefficient of determination R^2, averaged over the target columns.

    A column without spread counts 1 when it is predicted exactly, else 0.

    Parameters
    ----------
    prediction : callable
        From a block of outputs to predictions of the targets.
    """

    def __init__(self, prediction: Callable[[Floats], Floats]) -> None:
        self._prediction = prediction
        self._weight = 0.0
        self._mean: Any = 0.0
        self._spread: Any = 0.0
        self._residual: Any = 0.0

    def add(self, outputs: Floats, targets: Floats | Labels, weights: Floats | None) -> None:
        """Take in a block of rows."""
        values = targets.astype(np.float64)
        rows = np.ones(len(values)) if weights is None else weights.astype(np.float64)
        weight = float(rows.sum())
        if weight == 0.0:
            return
        # Blocks are merged by their means and spreads: sums of squares would cancel.
        mean = rows @ values / weight
        spread = rows @ (values - mean) ** 2
        total = self._weight + weight
        step = mean - self._mean if self._weight else mean
        self._spread = self._spread + spread
        if self._weight:
            self._spread = self._spread + step**2 * (self._weight * weight / total)
        self._mean = self._mean + step * (weight / total)
        self._weight = total
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            errors = self._prediction(outputs).astype(np.float64) - values
            self._residual = self._residual + rows @ errors**2

    def value(self) -> float:
        """Return R^2 of all the rows so far."""
        constant = self._spread == 0.0
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            share = self._residual / np.where(constant, 1.0, self._spread)
            columns = np.where(constant, np.where(self._residual == 0.0, 1.0, 0.0), 1.0 - share)
        return float(columns.mean())
