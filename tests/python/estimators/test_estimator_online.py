"""What a call costs: of partial fits constant work and few bytes, of sparse rows few dense ones.

And after a fit nothing of its data is kept.
"""

import gc
import pickle
import tracemalloc
import weakref
from contextlib import suppress

import numpy as np
import pytest
from bounds import same_bits
from estimator_cases import DIABETES, WINE, classifier, fitted, regressor
from scipy import sparse
from traces import python_calls

import chainrule as cr
from chainrule.estimators import MLPClassifier, MLPRegressor

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::chainrule.ScaleWarning"),
]

KINDS = pytest.mark.parametrize("kind", ["classifier", "regressor"])
FIT = {
    "classifier": (MLPClassifier, np.array([1]), {"classes": [0, 1]}),
    "regressor": (MLPRegressor, np.array([0.5]), {}),
}


@KINDS
def test_a_partial_fit_costs_the_same_however_many_were_before_it(kind, tmp_path):
    make, y, classes = FIT[kind]
    X = np.array([[0.1, -0.2, 0.3]])
    model = make(hidden_layer_sizes=4, random_state=0).partial_fit(X, y, **classes)

    def state(n_calls):
        while len(model.loss_curve_) < n_calls:
            model.partial_fit(X, y)
        model.save(tmp_path / "file")
        sizes = len(pickle.dumps(model)), (tmp_path / "file").stat().st_size
        return python_calls(lambda: model.partial_fit(X, y)), *sizes

    early, late = state(9), state(399)
    assert abs(late[0] - early[0]) <= 10  # a walk over what was before would make 390
    # Counts have more digits by then.
    assert late[1] - early[1] <= 8 * 390 + 50
    assert late[2] - early[2] <= 8 * 390 + 100
    assert (model.t_, model.n_iter_, len(model.loss_curve_)) == (400, 1, 400)
    assert len(model.history_.loss) == 1
    again = pickle.loads(pickle.dumps(model))
    assert again.loss_curve_ == model.loss_curve_
    assert all(type(loss) is float for loss in again.loss_curve_)


@pytest.mark.parametrize("is_weighted", [False, True], ids=["plain", "weighted"])
def test_partial_fits_have_the_bits_of_one_training(is_weighted):
    """Shuffles, batches, penalties and moments go on from call to call."""
    X, y = DIABETES
    weights = np.linspace(0.5, 2, len(X)) if is_weighted else None
    model = regressor(batch_size=64, alpha=0.1)
    model.partial_fit(X, y, sample_weight=weights)
    start = regressor(max_iter=1, batch_size=64, alpha=0.1).fit(X, y, sample_weight=weights)
    assert same_bits(model.model_.parameters, start.model_.parameters)
    for _ in range(3):
        model.partial_fit(X, y, sample_weight=weights)
    whole = fitted(regressor(max_iter=4, batch_size=64, alpha=0.1), X, y, sample_weight=weights)
    assert same_bits(model.model_.parameters, whole.model_.parameters)
    assert model.loss_curve_ == whole.loss_curve_
    assert model.history_.loss == whole.history_.loss[-1:]


class EndsAt(cr.Callback):
    every_n_steps = 1

    def __init__(self, step, error):
        self.step, self.error = step, error

    def on_step_end(self, state):
        if state.step == self.step and self.error is not None:
            raise self.error
        return state.step == self.step


@pytest.mark.filterwarnings("ignore:Training interrupted")
@pytest.mark.parametrize("error", [None, KeyboardInterrupt(), ZeroDivisionError()], ids=repr)
def test_a_partial_fit_that_ended_within_its_epoch_is_finished_by_the_next(error, tmp_path):
    X, y = DIABETES[0][:90], DIABETES[1][:90]
    whole, parts = (regressor(batch_size=20, norm="batch") for _ in "ab")
    whole.partial_fit(X, y).partial_fit(X, y)
    parts.partial_fit(X, y).set_params(callbacks=[EndsAt(8, error)])
    with suppress(ZeroDivisionError):
        parts.partial_fit(X, y)
    assert parts._trainer.step_count == 8
    parts.set_params(callbacks=None).save(tmp_path / "file")
    for again in (MLPRegressor.load(tmp_path / "file"), pickle.loads(pickle.dumps(parts)), parts):
        again.partial_fit(X, y)
        assert again._trainer.step_count == 10
        assert same_bits(again.model_.parameters, whole.model_.parameters)
        assert same_bits(again.model_.running_statistics, whole.model_.running_statistics)
        assert again.loss_curve_ == whole.loss_curve_


def test_callbacks_of_partial_fits_count_epochs_on():
    seen = []
    model = regressor(callbacks=[lambda state: seen.append((state.epoch, len(state.history.loss)))])
    for _ in range(3):
        model.partial_fit(*DIABETES)
    assert seen == [(1, 1), (2, 1), (3, 1)]


# --- sparse rows ---------------------------------------------------------------------------------

N_ROWS, N_FEATURES = 600, 20_000  # 92 MiB when dense


def peak_of(function):
    """Return the result, and the most bytes that a call has in use at a time."""
    tracemalloc.start()
    try:
        result = function()
        return result, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def wide():
    rng = np.random.default_rng(0)
    X = sparse.random(N_ROWS, N_FEATURES, 1e-4, "csr", random_state=rng)
    few = X[:40]
    model = MLPClassifier(hidden_layer_sizes=2, max_iter=1, random_state=0)
    return model.fit(few, np.arange(40) % 2), X


def test_few_sparse_rows_are_dense_at_a_time(wide):
    model, X = wide
    y = np.arange(N_ROWS) % 2
    want = model.model_.predict(X.toarray())
    got, peak = peak_of(lambda: model.predict_log_proba(X))
    assert peak < 2**23
    assert same_bits(got, model._link().log_probabilities(want))
    for call in (model.predict, model.predict_proba, lambda X: model.score(X, y)):
        assert peak_of(lambda call=call: call(X))[1] < 2**23
    # The gradient itself is dense.
    gradient, peak = peak_of(lambda: model.input_gradient(X[:200]))
    assert peak < gradient.nbytes + 2**24
    assert same_bits(gradient, model.input_gradient(X[:200].toarray()))


def test_sparse_evaluation_sets_but_the_last_stay_sparse(wide):
    _, X = wide
    few, y = X[:20], np.arange(20) % 2
    model = MLPClassifier(hidden_layer_sizes=2, max_iter=2, random_state=0)
    sets = [(X, np.arange(N_ROWS) % 2), (few, y)]
    record, peak = peak_of(lambda: model.fit(few, y, eval_set=sets).evals_result_)
    assert peak < 2**25
    dense = MLPClassifier(hidden_layer_sizes=2, max_iter=2, random_state=0)
    want = dense.fit(few, y, eval_set=[(X.toarray(), sets[0][1]), (few, y)]).evals_result_
    # Sums of the loss are over other blocks of rows.
    for got, other in zip(record.values(), want.values(), strict=True):
        assert got["score"] == other["score"]
        np.testing.assert_allclose(got["loss"], other["loss"], rtol=1e-13)


# --- what is kept --------------------------------------------------------------------------------

WAYS = {
    "fit": ({}, lambda model, X, y, more: model.fit(X, y)),
    "sets": ({}, lambda model, X, y, more: model.fit(X, y, eval_set=[more, more])),
    "early stopping": (
        {"early_stopping": True},
        lambda model, X, y, more: model.fit(X, y, eval_set=more),
    ),
    "a rule": (
        {"early_stopping": cr.EarlyStopping(patience=1)},
        lambda model, X, y, more: model.fit(X, y, eval_set=more),
    ),
    "lbfgs": ({"solver": "lbfgs"}, lambda model, X, y, more: model.fit(X, y, eval_set=more)),
    "partial": ({}, lambda model, X, y, more: model.partial_fit(X, y)),
    "gradient": ({}, lambda model, X, y, more: model.fit(*DIABETES).input_gradient(X)),
    "predict": ({}, lambda model, X, y, more: model.fit(*DIABETES).score(X, y)),
}


@pytest.mark.parametrize("name", WAYS)
def test_nothing_of_the_data_is_kept(name):
    parameters, call = WAYS[name]
    model = regressor(max_iter=2, **parameters)
    arrays = [np.array(part) for part in DIABETES * 2]
    kept = [weakref.ref(array) for array in arrays]
    gc.collect()
    gc.disable()
    try:
        call(model, *arrays[:2], tuple(arrays[2:]))
        del arrays
        assert [reference() is None for reference in kept] == [True] * 4
    finally:
        gc.enable()


# --- early stopping where R^2 says nothing -------------------------------------------------------


@pytest.mark.parametrize("rule", [True, cr.EarlyStopping(patience=12, monitor="score")])
def test_the_best_epoch_of_constant_held_out_targets_is_that_of_their_loss(rule):
    X, y = DIABETES
    held_out = X[300:], np.full(len(X) - 300, 2.5)
    model = regressor(early_stopping=rule, max_iter=60, learning_rate_init=0.05)
    fitted(model, X[:300], y[:300], eval_set=held_out)
    losses = model.evals_result_["validation_0"]["loss"]
    assert 0 < int(np.argmin(losses)) < len(losses) - 1  # neither the first nor the last
    best = model.model_.evaluate(*held_out, loss="mse").loss
    assert best == pytest.approx(min(losses), rel=1e-12)
    if rule is True:  # ends when scikit-learn's does: no score is better than the first
        assert model.validation_scores_ == [0.0] * 12
        assert model.best_validation_score_ == 0.0


def test_the_best_epoch_of_held_out_targets_that_vary_is_that_of_their_score():
    X, y = DIABETES
    model = regressor(early_stopping=True, max_iter=30, learning_rate_init=0.1)
    fitted(model, X[:300], y[:300], eval_set=(X[300:], y[300:]))
    assert model.validation_scores_ == model.evals_result_["validation_0"]["score"]
    assert model.score(X[300:], y[300:]) == pytest.approx(max(model.validation_scores_))
    # Rows of no weight do not count.
    weights = np.r_[np.ones(2), np.zeros(140)]
    y = np.r_[y[:300], 1.0, 1.0, y[302:]]
    fitted(model, X[:300], y[:300], eval_set=(X[300:], y[300:]), eval_sample_weight=weights)
    losses = model.evals_result_["validation_0"]["loss"]
    assert model.model_.evaluate(X[300:302], y[300:302], loss="mse").loss == pytest.approx(
        min(losses), rel=1e-12
    )


def test_warnings_point_at_who_called(recwarn):
    model = classifier(max_iter=1, batch_size=1000)
    model.fit(*WINE)
    assert len(recwarn) >= 1
    assert {warning.filename for warning in recwarn} == {__file__}
