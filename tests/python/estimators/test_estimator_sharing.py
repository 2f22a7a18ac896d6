"""Estimators shared by threads, and by callbacks of their own fits: a call sees one fit, whole."""

import copy
import pickle
import threading
import warnings

import numpy as np
import pytest
from bounds import same_bits
from estimator_cases import CANCER, DIABETES, DIGITS, WINE, classifier, fitted, regressor
from scipy.sparse import csr_matrix
from traces import interrupt_at

from chainrule.estimators import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

WORDS = np.array(["barolo", "grignolino", "barbera d'asti"])

# Two fits that differ in columns, in classes and their type, in outputs and in the loss.
FITS = {
    "classifier": (
        lambda: classifier(max_iter=2),
        (WINE[0], WORDS[WINE[1]]),
        (DIGITS[0][:200], DIGITS[1][:200]),
    ),
    "labels": (
        lambda: classifier(max_iter=2),
        (WINE[0], np.eye(3, dtype=int)[WINE[1]]),
        (CANCER[0], CANCER[1]),
    ),
    "regressor": (
        lambda: regressor(max_iter=2),
        DIABETES,
        (WINE[0], np.column_stack([WINE[1], WINE[1] > 1]).astype(float)),
    ),
}

METHODS = {
    "predict": lambda model, X, y: model.predict(X),
    "predict_proba": lambda model, X, y: model.predict_proba(X),
    "predict_log_proba": lambda model, X, y: model.predict_log_proba(X),
    "input_gradient": lambda model, X, y: model.input_gradient(X, *gradient_target(y)),
    "score": lambda model, X, y: model.score(X, y),
    "sparse": lambda model, X, y: model.predict(csr_matrix(X)),
    "pickle": lambda model, X, y: pickle.loads(pickle.dumps(model)).predict(X),
    "copy": lambda model, X, y: copy.deepcopy(model).predict(X),
}


def gradient_target(y):
    return () if y.ndim == 1 else (1,)


def cases():
    for name in FITS:
        for method in METHODS:
            if name == "regressor" and "proba" in method:
                continue
            yield name, method


class Refitting:
    """Features that, when they are read, have the estimator fitted to other ones by a thread."""

    def __init__(self, X, refit):
        self._X = X
        self._refit = refit
        self.n_reads = 0
        self.shape = X.shape

    def __len__(self):
        return len(self._X)

    def __array__(self, dtype=None, copy=None):
        self.n_reads += 1
        if self.n_reads == 1:
            thread = threading.Thread(target=self._refit)
            thread.start()
            thread.join()
        return np.array(self._X, dtype)


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "score"])
def test_a_refit_in_the_middle_of_a_call_does_not_reach_it(name, method):
    if name == "regressor" and "proba" in method:
        return
    make, first, second = FITS[name]
    model = make().fit(*first)
    want = METHODS[method](model, *first)
    X = Refitting(first[0], lambda: model.fit(*second))
    got = METHODS[method](model, X, first[1])
    assert X.n_reads > 0
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(model.predict(second[0]), make().fit(*second).predict(second[0]))


@pytest.mark.parametrize(("name", "method"), list(cases()))
def test_calls_beside_refits_have_the_bits_of_one_of_the_fits(name, method):
    make, *data = FITS[name]
    call = METHODS[method]
    want = [call(make().fit(*given), *given) for given in data]
    model = make().fit(*data[0])
    results, problems = [0, 0], []
    is_over = threading.Event()

    def call_all_the_time():
        while not is_over.is_set():
            for i, (X, y) in enumerate(data):
                try:
                    got = call(model, X, y)
                except ValueError as error:
                    # Of the other fit: it has other columns, and single classes.
                    if "features" not in str(error) and "target must be" not in str(error):
                        problems.append(error)
                    continue
                except RuntimeError as error:
                    if "must wait: another thread" not in str(error):
                        problems.append(error)
                    continue
                except BaseException as error:
                    problems.append(error)
                    continue
                results[i] += 1
                if not np.array_equal(got, want[i]):
                    problems.append((i, got))

    threads = [threading.Thread(target=call_all_the_time) for _ in range(2)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for thread in threads:
            thread.start()
        n_fits = 0
        try:
            while n_fits < 6 or (0 in results and n_fits < 500):
                model.fit(*data[n_fits % 2])
                n_fits += 1
        finally:
            is_over.set()
            for thread in threads:
                thread.join()
    assert not problems
    assert min(results) > 0


def test_others_see_the_last_fit_until_the_next_has_ended_and_callbacks_the_present_one():
    make, first, second = FITS["classifier"]
    model = make().fit(*first)
    before = model.predict_proba(first[0])
    seen = []

    def callback(state):
        own = model.predict_proba(second[0]).shape
        elsewhere = []
        thread = threading.Thread(target=lambda: elsewhere.append(model.predict_proba(first[0])))
        thread.start()
        thread.join()
        seen.append((own, same_bits(elsewhere[0], before), model.score(*second)))

    model.set_params(callbacks=[callback]).fit(*second)
    n_second = len(second[0])
    assert [(shape, same) for shape, same, _ in seen] == [((n_second, 10), True)] * 2
    assert seen[-1][2] == model.score(*second)


# --- fits at a time ------------------------------------------------------------------------------

INNER = {
    "fit": lambda model, X, y: model.fit(X, y),
    "partial_fit": lambda model, X, y: model.partial_fit(X, y),
    "set_params": lambda model, X, y: model.set_params(alpha=1.0),
}


def elsewhere(call, *args):
    """Return what a call raises in another thread."""
    raised = []

    def run():
        try:
            call(*args)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised


@pytest.mark.parametrize("outer", ["fit", "partial_fit"])
@pytest.mark.parametrize("inner", INNER)
def test_one_fit_at_a_time(outer, inner):
    said = []

    def callback(state):
        try:
            INNER[inner](model, *DIABETES)
        except RuntimeError as error:
            said.append(str(error))
        said.extend(str(error) for error in elsewhere(INNER[inner], model, *DIABETES))

    model = MLPRegressor(max_iter=1, callbacks=[callback], random_state=0)
    getattr(model, outer)(*DIABETES)
    assert said == [
        f"{inner} must not be called by a callback of a fit of the same estimator",
        f"{inner} must wait: another thread is fitting this estimator",
    ]
    alone = MLPRegressor(max_iter=1, random_state=0).fit(*DIABETES)
    assert same_bits(model.model_.parameters, alone.model_.parameters)
    # And none is at work any more.
    model.set_params(callbacks=None).fit(*DIABETES).partial_fit(*DIABETES)


def test_an_exception_of_a_callback_ends_the_fit_for_all():
    class EnoughError(Exception):
        pass

    def callback(state):
        if state.epoch == 2:
            raise EnoughError

    model = regressor(callbacks=[callback])
    with pytest.raises(EnoughError):
        model.fit(*DIABETES)
    assert (model.n_iter_, len(model.loss_curve_), len(model.history_.loss)) == (2, 2, 2)
    assert same_bits(
        model.model_.parameters, fitted(regressor(max_iter=2), *DIABETES).model_.parameters
    )
    fitted(model.set_params(callbacks=None), *DIABETES)


GUARDS = ("fitting", "_publish", "scaled_targets", "put_into", "_renew_trainer")


@pytest.mark.parametrize("warm_start", [False, True])
def test_an_interrupt_at_any_line_leaves_a_fit_in_the_units_of_y(warm_start, rng):
    """Raised at each line that guards a fit, or brings its network back from other units."""
    X, y = rng.normal(size=(20, 3)), rng.normal(1e6, 1e4, 20)
    arguments = {"batch_size": 10, "standardize": True, "warm_start": warm_start}

    def interrupted_at(line):
        model = regressor(max_iter=1, hidden_layer_sizes=2, **arguments).fit(X, y)
        before = model.predict(X)
        n_lines = interrupt_at(line, lambda code: code.co_name in GUARDS, lambda: model.fit(X, y))
        return model, before, n_lines

    _, _, n_lines = interrupted_at(0)
    assert n_lines > 40
    for line in range(1, n_lines + 1):
        model, before, _ = interrupted_at(line)
        np.testing.assert_allclose(model.predict(X), before, rtol=0.1, err_msg=str(line))
        assert elsewhere(model.fit, X, y) == [], line


class Asking:
    """A callback that has another thread ask, and takes a copy of its own."""

    def __init__(self, call):
        self.call = call
        self.said = []
        self.copies = []

    def __getstate__(self):
        return {"call": None, "said": [], "copies": []}

    def on_epoch_end(self, state):
        if self.call is not None:
            self.said.extend(str(error) for error in elsewhere(self.call))
            self.copies.append(pickle.loads(pickle.dumps(self.model)))


@pytest.mark.parametrize("what", ["a copy or a pickle", "save"])
def test_copies_by_others_wait_for_what_trains_the_same_network(what, tmp_path):
    model = regressor(max_iter=1, warm_start=True)
    asking = Asking(
        (lambda: model.save(tmp_path / "file")) if what == "save" else lambda: pickle.dumps(model)
    )
    asking.model = model
    model.fit(*DIABETES).set_params(callbacks=[asking]).fit(*DIABETES)
    assert asking.said == [f"{what} must wait: another thread is fitting this estimator"]
    # The callback's own has the epoch that was done.
    assert same_bits(asking.copies[0].model_.parameters, model.model_.parameters)
    assert asking.copies[0].loss_curve_ == model.loss_curve_
    # A fit that begins anew leaves the last one alone: others copy that.
    before = model.predict(DIABETES[0])
    asking.call = lambda: asking.copies.append(copy.deepcopy(model))
    model.set_params(warm_start=False, random_state=1).fit(*DIABETES)
    others, own = asking.copies[1:]
    assert same_bits(others.predict(DIABETES[0]), before)
    assert same_bits(own.predict(DIABETES[0]), model.predict(DIABETES[0]))
    assert len(asking.said) == 1


def test_input_gradients_at_a_time_are_right_or_refused():
    model = classifier(max_iter=2).fit(*DIGITS)
    parts = np.array_split(DIGITS[0], 4)
    want = [model.input_gradient(part) for part in parts]
    probabilities = model.predict_proba(DIGITS[0])
    right, problems = [0] * len(parts), []

    def work(i):
        for _ in range(40):
            try:
                if not same_bits(model.input_gradient(parts[i]), want[i]):
                    problems.append(i)
                right[i] += 1
            except RuntimeError as error:
                if "must wait" not in str(error):
                    problems.append(error)
            if not same_bits(model.predict_proba(DIGITS[0]), probabilities):
                problems.append("predict")

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(parts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert sum(right) > 0


def test_input_gradients_of_a_network_in_training_are_refused():
    said = []

    def callback(state):
        said.extend(str(error) for error in elsewhere(model.input_gradient, DIABETES[0]))

    model = regressor(max_iter=1).fit(*DIABETES)
    model.model_.fit(*DIABETES, loss="mse", epochs=1, callbacks=[callback])
    assert said == ["input_gradient must wait: another thread is training this model"]


# --- fits that fail ------------------------------------------------------------------------------


def broken(X):
    X = X.copy()
    X[3, 1] = np.nan
    return X


X_WINE, Y_WINE = WINE
FAILURES = {
    "features": ({}, lambda fit: fit(broken(X_WINE), Y_WINE)),
    "targets": ({}, lambda fit: fit(X_WINE, Y_WINE + 0.5)),
    "rows": ({}, lambda fit: fit(X_WINE, Y_WINE[1:])),
    "weights": ({}, lambda fit: fit(X_WINE, Y_WINE, sample_weight=-np.ones(178))),
    "class weights": ({"class_weight": {"z": 1}}, lambda fit: fit(X_WINE, Y_WINE)),
    "callbacks": ({"callbacks": [3]}, lambda fit: fit(X_WINE, Y_WINE)),
    "optimizer": ({"optimizer": "lbfgs", "dropout": 0.5}, lambda fit: fit(X_WINE, Y_WINE)),
    "batches": ({"optimizer": "lbfgs", "batch_size": 7}, lambda fit: fit(X_WINE, Y_WINE)),
    "precision": ({"precision": "bf16"}, lambda fit: fit(X_WINE, Y_WINE)),
}


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("name", FAILURES)
def test_what_is_refused_changes_nothing(name, method):
    parameters, call = FAILURES[name]
    new = MLPClassifier(**parameters)
    with pytest.raises((ValueError, TypeError)):
        call(getattr(new, method))
    assert vars(new).keys() == new.get_params().keys()
    # Neither what an earlier fit of other columns has left.
    model = classifier(max_iter=2).fit(*CANCER)
    model.set_params(**parameters)
    before, weights = vars(model).copy(), model.model_.parameters.copy()
    history = model._trainer.history
    with pytest.raises((ValueError, TypeError)):
        call(getattr(model, method))
    assert vars(model).keys() == before.keys()
    assert all(value is before[key] for key, value in vars(model).items())
    assert same_bits(model.model_.parameters, weights)
    assert model._trainer.history is history


def test_a_refused_warm_start_leaves_the_weights_of_standardized_targets():
    X, y = DIABETES
    model = regressor(max_iter=2, warm_start=True, standardize=True).fit(X, y * 3e4 + 7)
    before = model.model_.parameters.copy()
    with pytest.raises(TypeError, match=r"callbacks\[1\] must be a function"):
        model.set_params(callbacks=[3]).fit(X, y * 0.37)  # which there and back rounds
    assert same_bits(model.model_.parameters, before)


def test_one_row_is_too_few_for_batch_normalization():
    X, y = DIABETES
    model = regressor(norm="batch")
    with pytest.raises(ValueError, match="at least 2 rows to train with batch normalization"):
        model.partial_fit(X[:1], y[:1])
    assert not hasattr(model, "model_")
    model.partial_fit(X[:2], y[:2])
    before = pickle.dumps(model)
    with pytest.raises(ValueError, match="at least 2 rows to train with batch normalization"):
        model.partial_fit(X[:1], y[:1])
    assert pickle.dumps(model) == before


def test_a_fit_leaves_nothing_of_an_earlier_one_of_another_kind():
    model = classifier(max_iter=2, early_stopping=True).fit(*WINE, eval_set=WINE)
    fresh = classifier(max_iter=2, solver="lbfgs").fit(*CANCER)
    model.set_params(**fresh.get_params()).fit(*CANCER)
    assert vars(model).keys() == vars(fresh).keys()


def test_a_warm_start_may_begin_with_early_stopping_and_after_lbfgs():
    model = classifier(solver="lbfgs", max_iter=2, warm_start=True).fit(*WINE)
    fitted(model.set_params(solver="adam"), *WINE)
    assert len(model.loss_curve_) == 2
    fitted(model.set_params(early_stopping=True), *WINE)
    assert len(model.loss_curve_) == 4
    assert len(model.validation_scores_) == 2


# --- arrays in the place of the weights ----------------------------------------------------------


def test_weights_that_were_put_in_place_are_checked():
    model = regressor(max_iter=2).fit(*DIABETES)
    before = model.model_.parameters.copy()
    views = list(model.coefs_)
    for wrong, message in (
        (
            [views[0], np.ones((1, 1))],
            r"coefs_\[1\] must be of shape \(16, 1\), got shape \(1, 1\)",
        ),
        ([np.ones_like(views[0]), np.full((16, 1), np.nan)], r"coefs_\[1\] contains NaN"),
        ([np.ones_like(views[0])], "coefs_ must hold 2 arrays, got 1"),
    ):
        model.coefs_ = wrong
        for call in (
            lambda: model.predict(DIABETES[0]),
            lambda: model.partial_fit(*DIABETES),
            lambda: pickle.dumps(model),
        ):
            with pytest.raises(ValueError, match=message):
                call()
        assert same_bits(model.model_.parameters, before)
    # A list that is given stays as it is, and the estimator's views are of the network again.
    given = [np.ones_like(view) for view in views]
    model.coefs_ = given
    predictions = model.predict(DIABETES[0])
    assert (given[0] == 1).all()
    assert not np.shares_memory(given[0], model.coefs_[0])
    model.model_.weights[0][:] = 2
    assert (model.coefs_[0] == 2).all()
    assert not np.array_equal(model.predict(DIABETES[0]), predictions)


def test_weights_given_before_the_first_fit_are_where_it_begins():
    done = regressor(max_iter=1, solver="sgd", shuffle=False).fit(*DIABETES)
    for way in ("partial_fit", "fit"):
        model = regressor(max_iter=1, solver="sgd", shuffle=False, warm_start=True)
        model.coefs_ = [coefs.copy() for coefs in done.coefs_]
        model.intercepts_ = [intercepts.copy() for intercepts in done.intercepts_]
        getattr(model, way)(*DIABETES)
        want = regressor(max_iter=1, solver="sgd", shuffle=False, warm_start=True).fit(*DIABETES)
        fitted(want, *DIABETES)
        assert same_bits(model.model_.parameters, want.model_.parameters)
    model = regressor()
    model.coefs_ = done.coefs_
    with pytest.raises(ValueError, match="coefs_ and intercepts_ must be given together"):
        model.partial_fit(*DIABETES)
    model.intercepts_ = done.intercepts_
    with pytest.raises(ValueError, match=r"coefs_\[0\] must be of shape \(13, 16\)"):
        model.partial_fit(*WINE)
