"""The estimators take the very steps of scikit-learn's own: weights agree to rounding.

Both draw the same initial weights and the same validation split from a random_state. Only their
shuffles differ, which are switched off here. What they report is in test_estimator_loss.py.
"""

import numpy as np
import pytest
from estimator_cases import CANCER, DIABETES, DIGITS, WINE, fitted, indicators
from sklearn import neural_network
from threadpoolctl import threadpool_limits

from chainrule.estimators import MLPClassifier, MLPRegressor

X_WINE, Y_WINE = WINE
MULTI = (DIABETES[0], np.column_stack([DIABETES[1], -2 * DIABETES[1] + 3, np.sqrt(DIABETES[1])]))
COMMON = {"random_state": 3, "shuffle": False, "max_iter": 15, "batch_size": 40}
SGD = {"solver": "sgd", "learning_rate_init": 0.1, "max_iter": 40, "tol": 1e-3}

# The rows do not divide into batches of 40: the penalty of the short one is another.
CASES = {
    "softmax": (MLPClassifier, WINE, {"alpha": 0.5}),
    "logistic": (MLPClassifier, CANCER, {"activation": "logistic"}),
    "tanh": (MLPClassifier, CANCER, {"activation": "tanh", "hidden_layer_sizes": (20, 10)}),
    "identity": (MLPClassifier, CANCER, {"activation": "identity"}),
    "no hidden layer": (MLPClassifier, WINE, {"hidden_layer_sizes": ()}),
    "multilabel": (MLPClassifier, indicators(), {"alpha": 0.5}),
    "multilabel sgd": (MLPClassifier, indicators(), {**SGD, "alpha": 0.5}),
    "sgd": (MLPClassifier, WINE, SGD),
    "no momentum": (MLPClassifier, WINE, {**SGD, "momentum": 0.0}),
    "plain momentum": (MLPClassifier, WINE, {**SGD, "nesterovs_momentum": False}),
    "invscaling": (MLPClassifier, WINE, {**SGD, "learning_rate": "invscaling", "power_t": 0.3}),
    "adaptive": (
        MLPClassifier,
        WINE,
        {**SGD, "learning_rate": "adaptive", "n_iter_no_change": 2, "max_iter": 100},
    ),
    "early stopping": (MLPClassifier, CANCER, {"early_stopping": True, "n_iter_no_change": 3}),
    "squared error": (MLPRegressor, DIABETES, {"alpha": 1.0}),
    "two moments": (MLPRegressor, DIABETES, {"beta_1": 0.7, "beta_2": 0.95}),
    "large epsilon": (MLPRegressor, DIABETES, {"epsilon": 1e-2, "alpha": 1.0}),
    "several targets": (MLPRegressor, MULTI, {"alpha": 1.0}),
    "several targets, sgd": (MLPRegressor, MULTI, {**SGD, "learning_rate_init": 0.02}),
    "poisson": (MLPRegressor, DIABETES, {"loss": "poisson", "alpha": 1.0}),
    "poisson, several": (MLPRegressor, (MULTI[0], abs(MULTI[1])), {"loss": "poisson"}),
    "early stopping, R^2": (MLPRegressor, DIABETES, {"early_stopping": True, "max_iter": 60}),
}


def both(kind, data, sample_weight=None, **kwargs):
    theirs = getattr(neural_network, kind.__name__)(**{**COMMON, **kwargs})
    ours = kind(**{**COMMON, **kwargs})
    return (fitted(model, *data, sample_weight=sample_weight) for model in (theirs, ours))


def assert_same_weights(theirs, ours, rtol=1e-9):
    for name in ("coefs_", "intercepts_"):
        for a, b in zip(getattr(theirs, name), getattr(ours, name), strict=True):
            assert a.shape == b.shape
            assert a.dtype == b.dtype
            np.testing.assert_allclose(b, a, rtol=rtol, atol=rtol * abs(a).max())


@pytest.mark.parametrize("name", CASES)
def test_fits_are_the_same(name):
    kind, data, parameters = CASES[name]
    theirs, ours = both(kind, data, **parameters)
    assert_same_weights(theirs, ours)
    for attribute in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_"):
        assert getattr(ours, attribute) == getattr(theirs, attribute), attribute
    X = data[0]
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-9)
    if kind is MLPClassifier:
        np.testing.assert_array_equal(ours.classes_, theirs.classes_)
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-10)
    assert ours.validation_scores_ == pytest.approx(theirs.validation_scores_)
    assert ours.best_validation_score_ == pytest.approx(theirs.best_validation_score_)


@pytest.mark.parametrize("name", ["adaptive", "several targets", "poisson, several"])
def test_losses_are_the_same(name):
    kind, data, parameters = CASES[name]
    theirs, ours = both(kind, data, **parameters)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)
    assert ours.loss_ == pytest.approx(theirs.loss_)
    assert ours.best_loss_ == pytest.approx(theirs.best_loss_)


@pytest.mark.parametrize("name", ["softmax", "multilabel", "squared error", "poisson", "sgd"])
def test_weighted_fits_are_the_same(name):
    kind, data, parameters = CASES[name]
    weights = np.random.default_rng(1).uniform(0, 3, len(data[0]))
    theirs, ours = both(kind, data, weights, **{**parameters, "n_iter_no_change": np.inf})
    assert_same_weights(theirs, ours)


def test_single_precision_stays_single():
    theirs, ours = both(MLPRegressor, (DIABETES[0].astype(np.float32), DIABETES[1]))
    assert_same_weights(theirs, ours, rtol=1e-3)
    assert ours.predict(DIABETES[0].astype(np.float32)).dtype == np.float32


def test_many_layers_and_epochs_are_the_same():
    theirs, ours = both(
        MLPClassifier, DIGITS, hidden_layer_sizes=(64, 32), max_iter=40, batch_size=128, alpha=0.1
    )
    assert ours.n_iter_ == theirs.n_iter_ == 40
    assert_same_weights(theirs, ours, rtol=1e-8)


@pytest.mark.parametrize("is_weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("parameters", [{}, SGD], ids=["adam", "sgd"])
def test_partial_fit_is_the_same(parameters, is_weighted):
    settings = COMMON | parameters
    models = neural_network.MLPClassifier(**settings), MLPClassifier(**settings)
    weights = np.random.default_rng(1).uniform(0, 3, len(X_WINE)) if is_weighted else None
    for model in models:
        for part in (slice(0, 100), slice(100, None), slice(50, 120)):
            given = None if weights is None else weights[part]
            rows = X_WINE[part], Y_WINE[part], given
            model.set_params(batch_size=len(rows[0])).partial_fit(*rows, classes=[0, 1, 2])
    assert_same_weights(*models)
    theirs, ours = models
    assert (ours.n_iter_, ours.t_) == (theirs.n_iter_, theirs.t_)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)


def test_warm_start_is_the_same():
    models = [
        kind(**COMMON | {"warm_start": True, "max_iter": 5})
        for kind in (neural_network.MLPRegressor, MLPRegressor)
    ]
    for model in models:
        for _ in range(3):
            fitted(model, *DIABETES)
    assert_same_weights(*models)
    theirs, ours = models
    assert (ours.n_iter_, ours.t_, len(ours.loss_curve_)) == (5, theirs.t_, 15)


@pytest.mark.parametrize("seed", range(3))
def test_lbfgs_finds_as_low_a_loss(seed):
    parameters = {"solver": "lbfgs", "alpha": 1.0, "max_iter": 2000, "random_state": seed}
    with threadpool_limits(1):  # BLAS's threads would spin: 7 s instead of 2
        theirs, ours = both(MLPRegressor, DIABETES, batch_size="auto", **parameters)
    assert ours.loss_ < theirs.loss_ * 1.005
    assert ours.t_ == theirs.t_ == 0
    assert not hasattr(ours, "loss_curve_")
    assert not hasattr(theirs, "loss_curve_")


def test_shuffled_fits_score_alike():
    scores = [
        [
            fitted(kind(random_state=seed, max_iter=60), X_WINE[::2], Y_WINE[::2]).score(
                X_WINE[1::2], Y_WINE[1::2]
            )
            for seed in range(5)
        ]
        for kind in (neural_network.MLPClassifier, MLPClassifier)
    ]
    assert abs(np.mean(scores[0]) - np.mean(scores[1])) < 0.02
