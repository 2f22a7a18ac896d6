"""How much each column matters: by how much R² falls, or the log loss rises, when it is shuffled.

L. Breiman, "Random Forests", Machine Learning 45 (2001). scikit-learn's function of that name
shuffles one feature at a time; a column here may have made several, which belong together.
"""

from __future__ import annotations

import numpy as np

import chainrule as cr
from chainrule._command.encoding import Encoding
from chainrule._command.preparation import Part
from chainrule._command.scores import quality
from chainrule._command.target import Target

__all__ = ["MOST_ROWS", "permutation_importance"]

MOST_ROWS = 5000
_FEWEST_ROWS = 100
_REPEATS = 5
# Multiplications of all predictions together, some ten seconds: columns times parameters grows with
# the square of the columns.
_MOST_WORK = 5e11


def permutation_importance(
    model: cr.MLP, encoding: Encoding, target: Target, part: Part, seed: int, threads: int
) -> dict[str, tuple[float, float]]:
    """Return mean and standard deviation of the harm done, by column, greatest first.

    Parameters
    ----------
    model : MLP
    encoding : Encoding
    target : Target
    part : Part
        Held-out rows; of more than 5,000, fewer for some hundred columns and more, so many drawn
        from the seed.
    seed : int
    threads : int
    """
    rng = np.random.default_rng(seed)
    X, y = part.X, part.y
    work_of_row = _REPEATS * len(encoding.steps) * model.n_parameters
    n_rows = min(MOST_ROWS, max(_FEWEST_ROWS, int(_MOST_WORK / work_of_row)))
    if len(y) > n_rows:
        rows = rng.choice(len(y), n_rows, replace=False)
        X, y = X[rows], y[rows]
    whole = quality(target, model.predict(X, threads=threads), y)
    found = {}
    for name, features in encoding.slices().items():
        shuffled = X.copy()
        falls = []
        for _ in range(_REPEATS):
            shuffled[:, features] = X[rng.permutation(len(X)), features]
            falls.append(whole - quality(target, model.predict(shuffled, threads=threads), y))
        found[name] = (float(np.mean(falls)), float(np.std(falls)))
    return dict(sorted(found.items(), key=lambda item: -item[1][0]))
