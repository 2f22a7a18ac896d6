"""The losses that the estimators report are scikit-learn's, penalty and all.

With shuffles off both take the same steps, so that each epoch's loss is of the same coefficients.
L-BFGS ends elsewhere: its loss is compared with the formula, at the coefficients of each library.
"""

import numpy as np
import pytest
from estimator_cases import CANCER, DIABETES, WINE, fitted, indicators
from scipy.special import xlogy
from sklearn import neural_network

from chainrule.estimators import MLPClassifier, MLPRegressor

X, Y = DIABETES
THREE = np.column_stack([Y, 4 - 2 * Y, np.sqrt(Y)])
POISSON = {"loss": "poisson"}
CASES = {
    "two classes": (MLPClassifier, CANCER, {}),
    "three classes": (MLPClassifier, WINE, {}),
    "labels": (MLPClassifier, indicators(), {}),
    "one target": (MLPRegressor, (X, Y), {}),
    "three targets": (MLPRegressor, (X, THREE), {}),
    "one count": (MLPRegressor, (X, Y), POISSON),
    "three counts": (MLPRegressor, (X, abs(THREE)), POISSON),
}
COMMON = {"hidden_layer_sizes": (9,), "random_state": 1, "shuffle": False, "max_iter": 6}


def pair(kind, **kwargs):
    kinds = getattr(neural_network, kind.__name__), kind
    return [each(**{**COMMON, **kwargs}) for each in kinds]


def some_weights(y, is_weighted):
    return np.random.default_rng(4).uniform(0, 3, len(y)) if is_weighted else None


@pytest.mark.parametrize("is_weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("alpha", [0.0, 1e-4, 50.0])
@pytest.mark.parametrize("name", CASES)
def test_losses_of_epochs(name, alpha, solver, is_weighted):
    kind, (x, y), parameters = CASES[name]
    weights = some_weights(y, is_weighted)
    # The last batch is short: its penalty is divided by another weight. With weights there is one
    # batch: of several, scikit-learn's mean goes by their rows, and ours by their weights.
    batch_size = len(x) if is_weighted else 50
    models = pair(kind, alpha=alpha, solver=solver, batch_size=batch_size, **parameters)
    theirs, ours = (fitted(model, x, y, weights) for model in models)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-10)
    assert ours.loss_ == ours.loss_curve_[-1]
    assert ours.best_loss_ == pytest.approx(theirs.best_loss_, rel=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_losses_of_fits_that_go_on(name):
    kind, (x, y), parameters = CASES[name]
    models = pair(kind, alpha=50.0, warm_start=True, **parameters)
    for model in models:
        fitted(model, x, y)
        fitted(model, x, y)
        model.partial_fit(x, y)
    theirs, ours = models
    assert len(ours.loss_curve_) == 13
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-10)


def loss_of(model, x, y, weights):
    """Return scikit-learn's loss of a fitted model by its definition."""
    if isinstance(model, neural_network.MLPClassifier | MLPClassifier):
        p = model.predict_proba(x)
        if y.ndim == 1:
            rows = -np.log(p[np.arange(len(y)), y])
        else:
            rows = -(np.log(p) * y + np.log1p(-p) * (1 - y)).sum(axis=1)
    else:
        y, p = y.reshape(len(y), -1), model.predict(x).reshape(len(y), -1)
        if model.loss == "poisson":
            rows = (xlogy(y, y / p) - y + p).sum(axis=1)
        else:
            rows = (0.5 * (p - y) ** 2).mean(axis=1)
    penalty = model.alpha / 2 * sum((coefs**2).sum() for coefs in model.coefs_)
    total = len(x) if weights is None else weights.sum()
    return np.average(rows, weights=weights) + penalty / total


@pytest.mark.parametrize("is_weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("alpha", [0.0, 50.0])
@pytest.mark.parametrize("name", CASES)
def test_losses_of_lbfgs(name, alpha, is_weighted):
    kind, (x, y), parameters = CASES[name]
    weights = some_weights(y, is_weighted)
    for model in pair(kind, solver="lbfgs", alpha=alpha, **parameters):
        fitted(model, x, y, weights)
        assert model.loss_ == pytest.approx(loss_of(model, x, y, weights), rel=1e-9)
