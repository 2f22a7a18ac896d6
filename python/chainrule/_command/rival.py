"""scikit-learn's MLP on the same rows, for `chainrule train --compare`."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from chainrule._command.preparation import Prepared
from chainrule._command.recipe import Recipe
from chainrule._command.scores import class_scores, value_scores
from chainrule._command.stopwatch import Stopwatch

__all__ = ["train_rival"]

_ACTIVATIONS = {"relu": "relu", "tanh": "tanh", "sigmoid": "logistic", "identity": "identity"}


def train_rival(
    prepared: Prepared, recipe: Recipe, seed: int
) -> tuple[dict[str, float], dict[str, Any]]:
    """Train scikit-learn's MLP with the same hidden layers and its defaults for all else.

    It sees the rows to train on and those that say when to stop.

    Returns
    -------
    scores : dict of str to float
        On the held-out rows.
    compared : dict
        Its description, the seconds of its training, and whether the machine was busy meanwhile.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    target = prepared.target
    X = np.concatenate([prepared.train.X, prepared.validation.X])
    y = np.concatenate([prepared.train.y, prepared.validation.y])
    activation = _ACTIVATIONS.get(recipe.activation, "relu")
    kind = MLPClassifier if target.classes else MLPRegressor
    rival: Any = kind(hidden_layer_sizes=recipe.hidden, activation=activation, random_state=seed)
    stopwatch = Stopwatch()
    with stopwatch, warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # Of an interrupt it only warns, and keeps the weights that it has.
        warnings.filterwarnings("error", "Training interrupted", UserWarning)
        try:
            rival.fit(X, y if target.classes else target.standardize(y).ravel())
        except UserWarning:
            raise KeyboardInterrupt from None
    if target.classes:
        # All classes are among the training rows.
        found = class_scores(target, rival.predict_proba(prepared.held_out.X), prepared.held_out.y)
    else:
        outputs = rival.predict(prepared.held_out.X).reshape(-1, 1)
        found = value_scores(target.values(outputs), prepared.held_out.y)
    widths = ", ".join(map(str, recipe.hidden)) or "none"
    return found, {
        "description": f"scikit-learn's MLP, hidden {widths}, {activation}, its defaults",
        "seconds": stopwatch.seconds,
        "busy": stopwatch.is_busy,
    }
