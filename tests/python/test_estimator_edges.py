"""What the estimators do where parameters meet: L-BFGS, early stopping, evaluation sets."""

import pytest
from estimator_cases import CANCER, DIABETES, DIGITS, classifier, fitted, regressor

import chainrule as cr


def test_lbfgs_does_not_stop_early():
    plain = fitted(classifier(solver="lbfgs", max_iter=5), *CANCER)
    for given in ({"early_stopping": True}, {"early_stopping": cr.EarlyStopping(patience=1)}):
        other = fitted(classifier(solver="lbfgs", max_iter=5, **given), *CANCER)
        assert all((a == b).all() for a, b in zip(plain.coefs_, other.coefs_, strict=True))
    record = fitted(
        regressor(solver="lbfgs", max_iter=5, early_stopping=True), *DIABETES, eval_set=DIABETES
    ).evals_result_
    assert len(record["validation_0"]["score"]) == 5


def test_the_optimizer_lbfgs_takes_all_rows():
    model = fitted(classifier(optimizer=cr.LBFGS(), max_iter=20), *DIGITS)
    assert model.history_.loss[-1] < model.history_.loss[0] / 2
    with pytest.raises(ValueError, match="batch_size must be at least the number of rows"):
        classifier(optimizer="lbfgs", batch_size=200).fit(*DIGITS)


def test_records_of_evaluation_sets_are_those_of_the_last_fit():
    model = fitted(regressor(max_iter=2), *DIABETES, eval_set=DIABETES)
    assert len(model.evals_result_["validation_0"]["loss"]) == 2
    assert not hasattr(fitted(model, *DIABETES), "evals_result_")
