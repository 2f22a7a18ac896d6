"""scikit-learn's own checks of estimators: all of them, none expected to fail."""

import os
from functools import partial
from unittest import SkipTest

# Read by scipy when it is imported; without it the checks of array namespaces would not run.
os.environ["SCIPY_ARRAY_API"] = "1"

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

from chainrule.estimators import MLPClassifier, MLPRegressor

# The one check that does not apply: scikit-learn's classifier has no decision_function either.
NOT_APPLICABLE = "MLPClassifier does not have a decision_function method."


# In a list, for pytest. What scikit-learn 1.7 makes of them, with parametrize_with_checks, is a
# generator, which pytest 9 warns of.
CHECKS = [
    pair
    for estimator in (MLPClassifier(), MLPRegressor())
    for pair in estimator_checks_generator(estimator, legacy=True)
]


def name_of(value):
    while isinstance(value, partial):
        value = value.func
    return getattr(value, "__name__", type(value).__name__)


# Their rows are 100 +- 1.
@pytest.mark.filterwarnings("ignore::chainrule.ScaleWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("estimator", "check"), CHECKS, ids=name_of)
def test_scikit_learn_checks(estimator, check):
    try:
        check(estimator)
    except SkipTest as reason:
        if str(reason) != NOT_APPLICABLE:
            raise AssertionError("a check that applies was skipped") from reason


@pytest.mark.parametrize(("kind", "fewest"), [(MLPClassifier, 55), (MLPRegressor, 50)])
def test_there_are_as_many_checks_as_for_theirs(kind, fewest):
    assert sum(isinstance(estimator, kind) for estimator, _ in CHECKS) >= fewest
