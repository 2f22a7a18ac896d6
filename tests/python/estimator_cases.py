"""What the tests of the estimators share: real data, standardized, and small models."""

import warnings

import numpy as np
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from chainrule.estimators import MLPClassifier, MLPRegressor


def standardized(load):
    X, y = load(return_X_y=True)
    return StandardScaler().fit_transform(X), y


WINE = standardized(datasets.load_wine)
CANCER = standardized(datasets.load_breast_cancer)
DIGITS = standardized(datasets.load_digits)
DIABETES = (standardized(datasets.load_diabetes)[0], datasets.load_diabetes().target / 100)


def indicators():
    """Return wine with three labels for each row, none of which decides the others."""
    X, y = WINE
    noise = np.random.default_rng(0).normal(size=(len(X), 3))
    return X, np.column_stack([y == 0, X[:, 0] > 0, noise[:, 2] + X[:, 3] > 0]).astype(int)


def fitted(model, *args, **kwargs):
    """Fit for as long as the test has, converged or not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*args, **kwargs)


SMALL = {"hidden_layer_sizes": 16, "max_iter": 30, "learning_rate_init": 0.01, "random_state": 0}


def classifier(**kwargs):
    return MLPClassifier(**{**SMALL, **kwargs})


def regressor(**kwargs):
    return MLPRegressor(**{**SMALL, **kwargs})
