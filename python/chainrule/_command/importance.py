"""How much each column matters: by how much R² falls, or the log loss rises, when it is shuffled.

L. Breiman, "Random Forests", Machine Learning 45 (2001). scikit-learn's function of that name
shuffles one feature at a time; a column here may have made several, which belong together.

The work grows with the square of the columns. It is bounded by sizes, never by the clock: of many
columns only those are shuffled that the outputs change with most, by their gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

import chainrule as cr
from chainrule._command.encoding import Encoding
from chainrule._command.preparation import Part
from chainrule._command.scores import quality
from chainrule._command.target import Target

__all__ = ["Importance", "permutation_importance"]

_MOST_ROWS = 5000
_FEWEST_ROWS = 250  # below that, a part of the columns is shuffled
_FEWEST_COLUMNS = 20
_REPEATS = 5
# Multiplications of all predictions together, some ten seconds.
_MOST_WORK = 2.5e11


@dataclass(frozen=True)
class Importance:
    """What shuffling did.

    Attributes
    ----------
    harm : dict of str to tuple of float
        Mean and standard deviation over the shuffles, by column, greatest mean first.
    n_columns : int
        Of the model; `harm` may hold fewer.
    n_rows : int
        Held-out rows that it was measured on.
    """

    harm: dict[str, tuple[float, float]]
    n_columns: int
    n_rows: int

    def in_words(self) -> str:
        """Say which columns and rows were taken."""
        rows = f"{self.n_rows:,} held-out rows"
        if len(self.harm) == self.n_columns:
            return rows
        return (
            f"{len(self.harm):,} of {self.n_columns:,} columns, those whose gradient is greatest; "
            f"{rows}"
        )


def permutation_importance(
    model: cr.MLP, encoding: Encoding, target: Target, part: Part, seed: int, threads: int
) -> Importance:
    """Measure the harm of shuffling each column, or of those that matter most.

    Parameters
    ----------
    model : MLP
    encoding : Encoding
    target : Target
    part : Part
        Held-out rows; of many, or for many columns, so many drawn from the seed.
    seed : int
    threads : int
    """
    rng = np.random.default_rng(seed)
    X, y = part.X, part.y
    slices = encoding.slices()
    predictions = _MOST_WORK / (_REPEATS * model.n_parameters)  # columns times rows
    most_rows = min(len(y), _MOST_ROWS)
    n_rows = min(most_rows, max(_FEWEST_ROWS, int(predictions / len(slices))))
    n_columns = min(len(slices), max(_FEWEST_COLUMNS, int(predictions / n_rows)))
    if len(y) > n_rows:
        rows = rng.choice(len(y), n_rows, replace=False)
        X, y = X[rows], y[rows]
    names = list(slices)
    if n_columns < len(names):
        strength = _output_changes(model, X, slices, rng, threads)
        chosen = np.sort(np.argsort(-strength, kind="stable")[:n_columns])
        names = [names[place] for place in chosen]
    whole = quality(target, model.predict(X, threads=threads), y)
    shuffled = X.copy()
    found = {}
    for name in names:
        features = slices[name]
        falls = []
        for _ in range(_REPEATS):
            shuffled[:, features] = X[rng.permutation(len(X)), features]
            falls.append(whole - quality(target, model.predict(shuffled, threads=threads), y))
        shuffled[:, features] = X[:, features]
        found[name] = (float(np.mean(falls)), float(np.std(falls)))
    harm = dict(sorted(found.items(), key=lambda item: -item[1][0]))
    return Importance(harm, len(slices), len(y))


def _output_changes(
    model: cr.MLP,
    X: npt.NDArray[np.float32],
    slices: dict[str, slice],
    rng: np.random.Generator,
    threads: int,
) -> npt.NDArray[np.float64]:
    """Return by column how much the outputs change with it, to first order.

    The mean over the rows of the squared gradient of the outputs, times the variance of the
    feature. One backward pass with random signs stands for one for each output: their mixed terms
    cancel on average (M. F. Hutchinson, Communications in Statistics 19, 1990).
    """
    outputs = model.forward(X, threads=threads)
    signs = rng.choice(np.array([-1.0, 1.0], np.float32), outputs.shape)
    gradient = model.backward(signs, threads=threads)
    of_feature = np.mean(np.square(gradient, dtype=np.float64), axis=0)
    of_feature *= np.var(X, axis=0, dtype=np.float64)
    return np.array([of_feature[features].sum() for features in slices.values()])
