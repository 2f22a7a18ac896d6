"""What the estimators have beyond scikit-learn's, and their warnings and errors."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
import scipy.sparse
from estimator_cases import (
    CANCER,
    DIABETES,
    DIGITS,
    WINE,
    classifier,
    fitted,
    indicators,
    regressor,
)
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils import compute_class_weight

import chainrule as cr
from chainrule.estimators import MLPClassifier, MLPRegressor

X_WINE, Y_WINE = WINE


# --- parameters of our own -----------------------------------------------------------------------


def test_layers_may_differ():
    model = fitted(
        classifier(
            hidden_layer_sizes=(32, 16),
            activation=["gelu", cr.Activation("leaky_relu", negative_slope=0.2)],
            dropout=[0.1, 0.0],
            norm=["layer", None],
            max_iter=100,
        ),
        *WINE,
    )
    first, second, last = model.model_.layers
    assert (first.activation.name, first.dropout, first.norm) == ("gelu", 0.1, "layer")
    assert (second.activation.parameter, second.dropout, second.norm) == (0.2, 0.0, None)
    assert (last.activation.name, last.dropout, last.norm) == ("identity", 0.0, None)
    assert model.score(*WINE) > 0.9


@pytest.mark.parametrize("argument", ["activation", "dropout", "norm"])
def test_a_sequence_has_one_value_for_each_layer(argument):
    value = {"activation": ["relu"], "dropout": [0.1], "norm": ["layer"]}[argument]
    with pytest.raises(ValueError, match=f"{argument} must be one value or one for each of the 2"):
        classifier(hidden_layer_sizes=(4, 4), **{argument: value}).fit(*WINE)


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adagrad", "adam", "adamw", "nadam"])
def test_optimizers_by_name(optimizer):
    model = fitted(classifier(optimizer=optimizer, max_iter=100), *WINE)
    assert model.loss_ < 0.9 * model.loss_curve_[0]


def test_optimizers_with_schedules_run_their_course(recwarn):
    model = classifier(
        optimizer=cr.Lion(cr.Cosine(1e-2, warmup_fraction=0.1)), n_iter_no_change=np.inf
    ).fit(*WINE)
    assert not [w for w in recwarn if w.category is ConvergenceWarning]
    assert model.n_iter_ == 30
    rates = model.history_.learning_rate
    assert rates[0] < max(rates) == pytest.approx(1e-2, rel=0.1)
    assert rates[-1] < 1e-3


def test_schedules_serve_the_solvers_of_scikit_learn():
    schedule = cr.StepDecay(0.1, every=10, factor=0.5)
    rates = fitted(
        regressor(solver="sgd", learning_rate=schedule), *DIABETES
    ).history_.learning_rate
    # Half of the mean squared error is what scikit-learn minimizes.
    np.testing.assert_allclose(rates, np.repeat([0.05, 0.025, 0.0125], 10))
    assert fitted(regressor(learning_rate=schedule), *DIABETES).history_.learning_rate[0] == 0.1


def test_reduce_on_plateau_keeps_its_floor():
    schedule = cr.ReduceOnPlateau(0.05, 0.1, patience=1, min_learning_rate=0.01, min_delta=10)
    model = fitted(regressor(solver="sgd", learning_rate=schedule), *DIABETES)
    assert model.history_.learning_rate[-1] == pytest.approx(0.005)


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "poisson", cr.Huber(delta=0.1)])
def test_losses_of_the_core(loss):
    model = fitted(regressor(loss=loss, max_iter=200), *DIABETES)
    assert model.score(*DIABETES) > 0.4


def test_quantiles_are_predicted():
    X, y = DIABETES
    levels = [0.1, 0.5, 0.9]
    model = fitted(regressor(loss=cr.Quantile(levels), max_iter=200), X, y)
    prediction = model.predict(X)
    assert prediction.shape == (len(X), 3)
    both = fitted(regressor(loss=cr.Quantile(levels)), X, np.column_stack([y, -y])).predict(X)
    assert both.shape == (len(X), 2, 3)
    share_below = (y[:, np.newaxis] <= prediction).mean(axis=0)
    np.testing.assert_allclose(share_below, levels, atol=0.1)


def test_gaussians_have_a_deviation():
    X, y = DIABETES
    model = fitted(regressor(loss="gaussian_nll", max_iter=200), X, y)
    mean, deviation = model.predict(X, return_std=True)
    np.testing.assert_array_equal(mean, model.predict(X))
    assert 0.6 < np.std((y - mean) / deviation) < 1.4
    with pytest.raises(ValueError, match="return_std must be False unless"):
        fitted(regressor(), X, y).predict(X, return_std=True)


def test_cross_entropy_of_two_classes_has_two_outputs():
    model = fitted(classifier(loss=cr.CrossEntropy(label_smoothing=0.1)), *CANCER)
    assert (model.n_outputs_, model.out_activation_) == (2, "softmax")
    assert model.score(*CANCER) > 0.95
    plain = fitted(classifier(loss="cross_entropy"), *CANCER)
    confidences = [m.predict_proba(CANCER[0]).max(axis=1).mean() for m in (model, plain)]
    assert confidences[0] < confidences[1] - 0.02


def test_one_class_against_all_others():
    model = fitted(classifier(loss="binary_cross_entropy"), *WINE)
    assert (model.n_outputs_, model.out_activation_) == (3, "logistic")
    probabilities = model.predict_proba(X_WINE)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X_WINE)), probabilities)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), model.predict(X_WINE))
    assert model.score(*WINE) > 0.9


def test_class_weight_multiplies_sample_weight():
    X, y = CANCER
    weights = np.random.default_rng(0).uniform(0.5, 2, len(y))
    of_classes = compute_class_weight("balanced", classes=np.array([0, 1]), y=y)
    by_hand = fitted(classifier(), X, y, sample_weight=weights * of_classes[y])
    for class_weight in ("balanced", dict(enumerate(of_classes))):
        model = fitted(classifier(class_weight=class_weight), X, y, sample_weight=weights)
        for ours, theirs in zip(model.coefs_, by_hand.coefs_, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match="class_weight must not be 'balanced' for partial_fit"):
        classifier(class_weight="balanced").partial_fit(X, y, classes=[0, 1])


def test_dtype_decides_over_that_of_x():
    X = X_WINE.astype(np.float32)
    for dtype, x, expected in [
        (None, X, "float32"),
        (None, X_WINE, "float64"),
        ("float32", X_WINE, "float32"),
        (np.float64, X, "float64"),
    ]:
        model = fitted(classifier(dtype=dtype), x, Y_WINE)
        assert {array.dtype.name for array in model.coefs_ + model.intercepts_} == {expected}
        assert model.predict_proba(x).dtype == expected
    with pytest.raises(ValueError, match="dtype must be 'float32' or 'float64'"):
        classifier(dtype="int8").fit(*WINE)


def test_threads_do_not_change_a_bit():
    one, two = (
        fitted(classifier(hidden_layer_sizes=(256, 128), n_threads=n, max_iter=3), *DIGITS)
        for n in (1, 2)
    )
    for a, b in zip(one.coefs_ + one.intercepts_, two.coefs_ + two.intercepts_, strict=True):
        assert a.tobytes() == b.tobytes()
    assert one.predict_proba(DIGITS[0]).tobytes() == two.predict_proba(DIGITS[0]).tobytes()


# --- evaluation sets, callbacks, early stopping --------------------------------------------------


def test_evaluation_sets_are_recorded():
    train, a, b = (slice(start, None, 3) for start in range(3))
    X, y = DIGITS
    model = fitted(classifier(), X[train], y[train], eval_set=[(X[a], y[a]), (X[b], y[b])])
    assert list(model.evals_result_) == ["validation_0", "validation_1"]
    for i, part in enumerate((a, b)):
        record = model.evals_result_[f"validation_{i}"]
        assert len(record["loss"]) == len(record["score"]) == model.n_iter_
        assert record["score"][-1] == model.score(X[part], y[part])
        p = model.predict_proba(X[part])[np.arange(len(y[part])), y[part]]
        assert record["loss"][-1] == pytest.approx(-np.log(p).mean())


@pytest.mark.parametrize("kind", ["labels", "indicators", "numbers"])
def test_early_stopping_goes_back_to_the_best_weights_on_own_data(kind):
    X, y = {"labels": WINE, "indicators": indicators(), "numbers": DIABETES}[kind]
    make = regressor if kind == "numbers" else classifier
    model = make(
        early_stopping=True, n_iter_no_change=5, max_iter=500, learning_rate_init=0.05, tol=0.0
    ).fit(X[::2], y[::2], eval_set=(X[1::2], y[1::2]))
    assert model.n_iter_ < 500
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert model.validation_scores_[-1] < model.best_validation_score_
    assert model.score(X[1::2], y[1::2]) == pytest.approx(model.best_validation_score_)
    assert model.best_loss_ is None


def test_early_stopping_of_the_core():
    X, y = CANCER
    model = classifier(
        early_stopping=cr.EarlyStopping(patience=3), max_iter=500, learning_rate_init=0.05
    ).fit(X[::2], y[::2], eval_set=(X[1::2], y[1::2]))
    losses = model.evals_result_["validation_0"]["loss"]
    assert len(losses) == int(np.argmin(losses)) + 4
    p = model.predict_proba(X[1::2])[np.arange(len(y[1::2])), y[1::2]]
    assert -np.log(p).mean() == pytest.approx(min(losses))


def test_callbacks_see_epochs_and_may_end_the_fit(recwarn):
    seen = []

    def callback(state):
        seen.append(state.loss)
        return len(seen) == 4

    model = classifier(callbacks=[callback]).fit(*WINE)
    assert model.n_iter_ == len(seen) == 4
    np.testing.assert_allclose(seen, model.loss_curve_)
    assert not recwarn


def test_progress_is_shown(capsys):
    fitted(classifier(progress=True, max_iter=2), *WINE)
    assert "100%" in capsys.readouterr().err


def test_verbose_prints_as_scikit_learn_does(capsys):
    fitted(classifier(verbose=True, max_iter=2, early_stopping=True), *WINE)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Iteration 1, loss = 1.")
    assert lines[1].startswith("Validation score: 0.")
    assert len(lines) == 4


# --- gradients -----------------------------------------------------------------------------------


def differences(function, X, step=1e-6):
    """Return central differences of a function of rows with respect to each feature."""
    result = np.empty_like(X)
    for j in range(X.shape[1]):
        moved = np.zeros(X.shape[1])
        moved[j] = step
        result[:, j] = (function(X + moved) - function(X - moved)) / (2 * step)
    return result


@pytest.mark.parametrize("loss", ["log_loss", "binary_cross_entropy"])
@pytest.mark.parametrize("data", [WINE, CANCER], ids=["three classes", "two classes"])
def test_input_gradients_of_probabilities(data, loss):
    model = fitted(classifier(activation="tanh", loss=loss), *data)
    X = data[0][:20]
    for target in model.classes_:
        expected = differences(lambda x, t=target: model.predict_proba(x)[:, t], X)
        np.testing.assert_allclose(model.input_gradient(X, target), expected, atol=1e-7)
    rows = np.arange(len(X))
    classes = model.predict(X)
    expected = differences(lambda x: model.predict_proba(x)[rows, classes], X)
    np.testing.assert_allclose(model.input_gradient(X), expected, atol=1e-7)
    with pytest.raises(ValueError, match="target must be one of"):
        model.input_gradient(X, "none")


def test_input_gradients_of_labels():
    X, y = indicators()
    model = fitted(classifier(activation="tanh"), X, y)
    expected = differences(lambda x: model.predict_proba(x)[:, 2], X[:20])
    np.testing.assert_allclose(model.input_gradient(X[:20], 2), expected, atol=1e-7)
    with pytest.raises(ValueError, match="target must be one of"):
        model.input_gradient(X)


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_input_gradients_of_predictions(loss):
    X, y = DIABETES
    model = fitted(regressor(activation="tanh", loss=loss), X, np.column_stack([y, y**2]))
    for target in (0, 1):
        expected = differences(lambda x, t=target: model.predict(x)[:, t], X[:20])
        gradient = model.input_gradient(scipy.sparse.csr_matrix(X[:20]), target)
        np.testing.assert_allclose(gradient, expected, atol=1e-5)
    with pytest.raises(ValueError, match="target must be"):
        model.input_gradient(X, 2)


# --- inputs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["csr_matrix", "csc_matrix", "csr_array", "coo_matrix"])
def test_sparse_features_give_the_same_bits(form):
    X, y = DIGITS[0].round(), DIGITS[1]
    dense, sparse = (
        fitted(classifier(max_iter=2), x, y) for x in (X, getattr(scipy.sparse, form)(X))
    )
    assert dense.coefs_[0].tobytes() == sparse.coefs_[0].tobytes()
    # More rows than are made dense at a time, and only some of them.
    many = scipy.sparse.vstack([scipy.sparse.csr_matrix(X)] * 60)
    assert many.shape[0] > 2**20 // 10
    assert sparse.predict_proba(many).tobytes() == dense.predict_proba(many.toarray()).tobytes()


def test_labels_of_any_type():
    names = np.array(["barolo", "grignolino", "barbera"])
    model = fitted(classifier(), X_WINE, names[Y_WINE])
    assert list(model.classes_) == sorted(names)
    assert set(model.predict(X_WINE)) <= set(names)
    with pytest.raises(ValueError, match="Unknown label type"):
        classifier().fit(X_WINE, np.array([1, "a"] * 89, dtype=object))


def test_indicators_stay_as_they_are():
    X, y = indicators()
    dense = fitted(classifier(), X, y)
    sparse = fitted(classifier(), X, scipy.sparse.csr_matrix(y))
    prediction = sparse.predict(X)
    assert scipy.sparse.issparse(prediction)
    np.testing.assert_array_equal(prediction.toarray(), dense.predict(X))
    assert dense.predict_proba(X).shape == y.shape
    assert dense.score(X, y) > 0.5


def test_a_class_of_one_row_does_not_prevent_a_split():
    y = Y_WINE.copy()
    y[0] = 3
    model = fitted(classifier(early_stopping=True), X_WINE, y)
    assert len(model.classes_) == 4


def test_validation_is_stratified():
    X, y = np.zeros((200, 1)), np.repeat([0, 1, 2, 3], [20, 20, 80, 80])
    model = fitted(classifier(early_stopping=True, validation_fraction=0.2, max_iter=20), X, y)
    assert model.t_ == model.n_iter_ * 160
    # All rows are predicted alike: the accuracy is the share of one class.
    assert {round(score, 9) for score in model.validation_scores_} <= {0.1, 0.4}


def test_arrays_put_in_place_of_the_weights_are_used():
    one, other = (fitted(classifier(random_state=seed), *WINE) for seed in (0, 1))
    one.coefs_ = [array.copy() for array in other.coefs_]
    one.intercepts_[0], one.intercepts_[1] = (array.copy() for array in other.intercepts_)
    assert one.predict_proba(X_WINE).tobytes() == other.predict_proba(X_WINE).tobytes()
    one.coefs_[0] *= 0
    assert (one.model_.weights[0] == 0).all()


# --- warnings and errors -------------------------------------------------------------------------


def test_convergence_is_warned_of():
    with pytest.warns(ConvergenceWarning, match=r"maximum iterations \(2\) reached and the opt"):
        classifier(max_iter=2).fit(*WINE)
    with pytest.warns(ConvergenceWarning, match="maximum iterations"):
        regressor(solver="lbfgs", max_iter=2).fit(*DIABETES)
    with pytest.warns(ConvergenceWarning, match="max_fun=3"):
        model = regressor(solver="lbfgs", max_fun=3).fit(*DIABETES)
    assert model.n_iter_ <= 4


def test_large_batches_are_clipped():
    with pytest.warns(UserWarning, match="batch_size must be at most the number of samples, 178"):
        fitted(classifier(batch_size=1000), *WINE)


def test_what_is_not_fitted_says_so():
    for model in (MLPClassifier(), MLPRegressor()):
        for method in ("predict", "input_gradient", "predict_proba", "predict_log_proba"):
            if hasattr(model, method):
                with pytest.raises(NotFittedError):
                    getattr(model, method)(X_WINE)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"hidden_layer_sizes": (4, -1)}, ValueError, "hidden_layer_sizes must be > 0"),
        ({"alpha": -1}, ValueError, "'alpha' parameter of MLPClassifier"),
        ({"solver": "newton"}, ValueError, "'solver' parameter"),
        ({"activation": "sine"}, ValueError, "'activation' parameter"),
        ({"optimizer": "ada"}, ValueError, "'optimizer' parameter"),
        ({"n_threads": 0}, ValueError, "'n_threads' parameter"),
        ({"early_stopping": True, "validation_fraction": 0.005}, ValueError, "too small"),
        ({"solver": "lbfgs", "dropout": 0.5}, ValueError, "must not be LBFGS for a model with"),
        ({"callbacks": [3]}, TypeError, r"callbacks\[1\] must be a function"),
    ],
)
def test_wrong_parameters_are_named(parameters, error, message):
    with pytest.raises(error, match=message):
        classifier(**parameters).fit(*WINE)


def test_wrong_data_is_named():
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        classifier().fit(X_WINE, X_WINE[:, 0])
    with pytest.raises(ValueError, match="Multioutput target data is not supported"):
        classifier().fit(X_WINE, np.column_stack([Y_WINE, Y_WINE]))
    with pytest.raises(ValueError, match="y must be >= 0 for the poisson loss"):
        regressor(loss="poisson").fit(X_WINE, -Y_WINE)
    with pytest.raises(ValueError, match="loss must be one for regression"):
        regressor(loss=cr.CrossEntropy()).fit(*DIABETES)
    with pytest.raises(ValueError, match="eval_set must be a tuple"):
        classifier().fit(*WINE, eval_set=X_WINE)
    with pytest.raises(ValueError, match=r"`eval_set` has classes not in"):
        classifier().fit(*WINE, eval_set=(X_WINE, Y_WINE + 1))
    with pytest.raises(ValueError, match="eval_sample_weight must be None without"):
        classifier().fit(*WINE, eval_sample_weight=Y_WINE)
    with pytest.raises(ValueError, match="features"):
        classifier().fit(*WINE, eval_set=(X_WINE[:, :3], Y_WINE))
    # Also of sets that the core does not see, all but the last.
    none = np.zeros(len(Y_WINE))
    for weights in ([none, None], [None, none]):
        place = rf"eval_sample_weight\[{1 - (weights[0] is none)}\]"
        with pytest.raises(ValueError, match=f"{place} must hold at least one positive weight"):
            classifier().fit(*WINE, eval_set=[WINE, WINE], eval_sample_weight=weights)
    with pytest.raises(ValueError, match=r"eval_sample_weight\[0\] must be >= 0 for each row"):
        classifier().fit(*WINE, eval_set=[WINE, WINE], eval_sample_weight=[none - 1, None])
    with pytest.raises(ValueError, match="sample_weight of the held-out rows must hold"):
        regressor(early_stopping=True).fit(*DIABETES, sample_weight=[1] + [0] * 441)


def test_partial_fit_wants_all_classes_at_first():
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        classifier().partial_fit(*WINE)
    model = classifier().partial_fit(*WINE, classes=[0, 1, 2, 7])
    assert model.predict_proba(X_WINE).shape == (178, 4)
    with pytest.raises(ValueError, match=r"has classes not in `self\.classes_`"):
        model.partial_fit(X_WINE, Y_WINE + 5)
    with pytest.raises(ValueError, match="classes must be those of the last call"):
        model.partial_fit(*WINE, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="does not support early_stopping"):
        classifier(early_stopping=True).partial_fit(*WINE, classes=[0, 1, 2])
    with pytest.raises(AttributeError, match="partial_fit"):
        classifier(solver="lbfgs").partial_fit(*WINE, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="does not depend on the number of epochs"):
        classifier(learning_rate=cr.Cosine(0.1)).partial_fit(*WINE, classes=[0, 1, 2])


def test_a_warm_start_wants_the_same_network():
    model = fitted(classifier(warm_start=True), *WINE)
    with pytest.raises(ValueError, match="same classes as in the previous call"):
        model.fit(X_WINE, np.minimum(Y_WINE, 1))
    with pytest.raises(ValueError, match="hidden_layer_sizes and the number of outputs"):
        model.set_params(hidden_layer_sizes=(3, 3)).fit(*WINE)


def test_divergence_is_an_error():
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
        regressor(solver="sgd", learning_rate_init=1e6).fit(*DIABETES)


def test_an_interrupt_leaves_a_model():
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    model = classifier(hidden_layer_sizes=(100,), max_iter=10**6, n_iter_no_change=np.inf)
    started = time.perf_counter()
    timer.start()
    with pytest.warns(UserWarning, match="interrupted by user"):
        model.fit(*DIGITS)
    assert time.perf_counter() - started < 5
    assert model.n_iter_ == len(model.loss_curve_) > 1
    assert model.score(*DIGITS) > 0.9


def test_without_scikit_learn_the_error_names_it():
    code = """
        import sys
        sys.modules["sklearn"] = None
        import chainrule
        try:
            import chainrule.estimators
        except ImportError as error:
            assert 'pip install "scikit-learn>=' in str(error), error
        else:
            raise AssertionError
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_importing_the_package_does_not_import_scikit_learn():
    code = "import sys, chainrule; assert not {'sklearn', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
