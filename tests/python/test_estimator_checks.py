"""scikit-learn's own checks of estimators: all of them, none expected to fail."""

import os
from unittest import SkipTest

# Read by scipy when it is imported; without it the checks of array namespaces would not run.
os.environ["SCIPY_ARRAY_API"] = "1"

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from chainrule.estimators import MLPClassifier, MLPRegressor

# The one check that does not apply: scikit-learn's classifier has no decision_function either.
NOT_APPLICABLE = "MLPClassifier does not have a decision_function method."


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks([MLPClassifier(), MLPRegressor()], legacy=True)
def test_scikit_learn_checks(estimator, check):
    try:
        check(estimator)
    except SkipTest as reason:
        if str(reason) != NOT_APPLICABLE:
            raise AssertionError("a check that applies was skipped") from reason


@pytest.mark.parametrize(("estimator", "fewest"), [(MLPClassifier(), 55), (MLPRegressor(), 50)])
def test_there_are_as_many_checks_as_for_theirs(estimator, fewest):
    assert len(list(estimator_checks_generator(estimator, legacy=True))) >= fewest
