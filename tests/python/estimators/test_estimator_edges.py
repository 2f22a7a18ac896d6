"""What the estimators do where parameters meet: L-BFGS, early stopping, evaluation sets.

And where fits diverge: scikit-learn's early stopping goes back to the best weights, or to the first
where there are none, after as many epochs of NaN as there may be; without it, it raises.
"""

import warnings

import numpy as np
import pytest
from bounds import same_bits
from estimator_cases import CANCER, DIABETES, DIGITS, classifier, fitted, regressor
from sklearn import neural_network
from sklearn.exceptions import ConvergenceWarning

import chainrule as cr
from chainrule.estimators import MLPRegressor


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


# --- divergence ----------------------------------------------------------------------------------

# Rates at which a regression leaves the range of float64 in the first epoch, and in a later one.
FIRST, LATER = (
    {"solver": "adam", "learning_rate_init": 1e300},
    {
        "solver": "sgd",
        "learning_rate_init": 0.6,
    },
)
DIVERGING = {"hidden_layer_sizes": (16,), "max_iter": 8, "random_state": 0, "shuffle": False}


def regressions(**kwargs):
    return [kind(**{**DIVERGING, **kwargs}) for kind in (neural_network.MLPRegressor, MLPRegressor)]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("parameters", [FIRST, LATER], ids=["first epoch", "later"])
def test_divergence_is_an_error_without_early_stopping(parameters):
    for model in regressions(**parameters):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
                model.fit(*DIABETES)
    # Ours has the weights of the last step that was finite.
    assert all(np.isfinite(coefs).all() for coefs in model.coefs_)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("parameters", "kept"),
    [(FIRST, "those before the first epoch"), (LATER, "those of the best epoch")],
    ids=["first epoch", "later"],
)
def test_early_stopping_goes_back_when_a_fit_diverges(parameters, kept):
    theirs, ours = regressions(**parameters, early_stopping=True)
    fitted(theirs, *DIABETES)
    with pytest.warns(ConvergenceWarning, match=rf"non-finite .* in epoch \d+: .* keeps {kept}"):
        ours.fit(*DIABETES)
    for a, b in zip(
        ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    assert ours.best_validation_score_ == pytest.approx(theirs.best_validation_score_, rel=1e-6)
    # Theirs goes on with NaN until there are no more epochs.
    n_epochs = ours.n_iter_
    assert n_epochs < theirs.n_iter_ == 8
    np.testing.assert_allclose(
        ours.validation_scores_, theirs.validation_scores_[:n_epochs], rtol=1e-6
    )
    assert len(ours.loss_curve_) == n_epochs
    assert np.isnan([ours.loss_, ours.loss_curve_[-1], *theirs.loss_curve_[n_epochs:]]).all()
    assert (ours.t_, ours.best_loss_) == (n_epochs * theirs.t_ / 8, theirs.best_loss_)


def test_a_model_that_diverged_can_be_used_and_saved(tmp_path):
    model = fitted(regressor(early_stopping=True, **LATER), *DIABETES)
    model.save(tmp_path / "file")
    again = MLPRegressor.load(tmp_path / "file")
    assert same_bits(again.predict(DIABETES[0]), model.predict(DIABETES[0]))
    before = model.model_.parameters.copy()
    # A warm start that diverges at once ends where it began.
    model.set_params(warm_start=True, **FIRST)
    assert same_bits(fitted(model, *DIABETES).model_.parameters, before)
    model.set_params(solver="adam", learning_rate_init=1e-3, warm_start=False)
    assert np.isfinite(fitted(model, *DIABETES).loss_)
