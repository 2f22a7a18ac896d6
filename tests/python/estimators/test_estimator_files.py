"""Estimators that are saved and loaded: all that they were, and how they go on."""

import copy
import math
import pickle
import struct
import threading

import numpy as np
import pandas as pd
import pytest
from estimator_cases import CANCER, DIABETES, WINE, classifier, fitted, indicators, regressor
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from test_training import OPTIMIZERS

import chainrule as cr
from chainrule._files import container
from chainrule.estimators import MLPClassifier, MLPRegressor

COLORS = np.array(["blue", "gr\u00fcn", "red"])


def saved(model, folder):
    model.save(folder / "model.safetensors")
    return type(model).load(folder / "model.safetensors")


def assert_same(got, want, where="estimator"):
    """Compare nested values by type and by bits."""
    assert type(got) is type(want), where
    if isinstance(want, dict):
        assert [*got] == [*want] if where.startswith("dict") else {*got} == {*want}, where
        for key in want:
            assert_same(got[key], want[key], f"{where}[{key!r}]")
    elif isinstance(want, list | tuple):
        assert len(got) == len(want), where
        for i, (one, other) in enumerate(zip(got, want, strict=True)):
            assert_same(one, other, f"{where}[{i}]")
    elif isinstance(want, np.ndarray):
        assert (got.dtype, got.shape) == (want.dtype, want.shape), where
        assert got.tolist() == want.tolist() if want.dtype == object else True, where
        assert want.dtype == object or got.tobytes() == want.tobytes(), where
    elif isinstance(want, float):
        assert struct.pack("d", got) == struct.pack("d", want), where
    elif isinstance(want, cr.History):
        assert_same(vars(got), vars(want), where)
    else:
        assert got == want, where


def assert_same_estimator(got, want, X):
    assert type(got) is type(want)
    assert_same(got.get_params(deep=False), want.get_params(deep=False), "parameters")
    assert_same(got.__getstate__(), want.__getstate__())
    assert vars(got).keys() == vars(want).keys()
    assert_same(got.coefs_, want.coefs_, "coefs_")
    assert_same(got.intercepts_, want.intercepts_, "intercepts_")
    for name in ("n_features_in_", "n_outputs_", "n_layers_"):
        assert_same(getattr(got, name), getattr(want, name), name)
    assert got.coefs_[0].base is not None
    assert not np.shares_memory(got.coefs_[0], want.coefs_[0])
    if hasattr(want, "predict_proba"):
        assert_same(got.predict_proba(X), want.predict_proba(X))
    predictions = got.predict(X), want.predict(X)
    if isinstance(predictions[1], csr_matrix):
        predictions = tuple(sparse.toarray() for sparse in predictions)
    assert_same(*predictions)


def labeled(labels):
    return WINE[0], np.asarray(labels)[WINE[1]]


CASES = {
    "binary": (classifier(), CANCER),
    "integers": (classifier(), labeled(np.array([-5, 0, 2**40]))),
    "small integers": (classifier(), labeled(np.array([3, 7, 250], np.uint8))),
    "texts": (classifier(), labeled(COLORS)),
    "objects": (classifier(), labeled(COLORS.astype(object))),
    "wide texts": (classifier(), labeled(COLORS.astype("<U30"))),
    "floats": (classifier(), labeled(np.array([-1.0, -0.0, 2.0], np.float32))),
    "bools": (classifier(), (CANCER[0], CANCER[1] == 1)),
    "one class": (classifier(), (WINE[0], np.full(len(WINE[0]), "same"))),
    "labels": (classifier(), indicators()),
    "sparse labels": (classifier(), (indicators()[0], csr_matrix(indicators()[1]))),
    "one against all": (classifier(loss="binary_cross_entropy"), WINE),
    "float32": (classifier(), (WINE[0].astype(np.float32), WINE[1])),
    "precision": (classifier(dtype="float32", precision="bf16"), WINE),
    "shards": (regressor(shards=3, batch_size=100), DIABETES),
    "shards of NumPy": (classifier(shards=np.int64(2), solver="lbfgs"), WINE),
    "precision of NumPy": (regressor(dtype="float32", precision=np.str_("bf16x3")), DIABETES),
    "sgd": (classifier(solver="sgd", learning_rate="adaptive", tol=0.1, max_iter=60), WINE),
    "invscaling": (classifier(solver="sgd", learning_rate="invscaling"), WINE),
    "early stopping": (classifier(early_stopping=True, n_iter_no_change=np.inf), WINE),
    "own parts": (
        classifier(
            hidden_layer_sizes=(8, np.int64(7)),
            activation=["tanh", cr.Activation("elu", alpha=0.1 + 0.2)],
            alpha=np.float32(0.1),
            dropout=np.array([0.0, 0.25]),
            norm=("batch", "layer"),
            optimizer=cr.RMSprop(cr.Cosine(1e-3), momentum=0.5),
            loss=cr.CrossEntropy(0.1, [1, 2, 3]),
            early_stopping=cr.EarlyStopping(patience=3),
            class_weight={0: 1.0, np.int64(1): 2, 2: 0.1 + 0.2},
            dtype=np.float32,
            random_state=np.int32(3),
            callbacks=(),
        ),
        WINE,
    ),
    "class weights": (
        classifier(class_weight={"blue": 1, np.str_("red"): 0.5}, dtype=np.dtype("float64")),
        labeled(COLORS),
    ),
    "many weights": (classifier(class_weight=[{0: 1, 1: 2.0}] * 3), indicators()),
    "regression": (regressor(), DIABETES),
    "two targets": (regressor(), (DIABETES[0], np.column_stack([DIABETES[1]] * 2))),
    "lbfgs": (regressor(solver="lbfgs", dtype="float32", shuffle=np.False_), DIABETES),
    "counts": (regressor(loss="poisson"), (DIABETES[0], np.round(DIABETES[1]))),
    "quantiles": (regressor(loss=cr.Quantile([0.1, 0.9])), DIABETES),
    "normal": (regressor(loss="gaussian_nll", early_stopping=True), DIABETES),
    "no hidden layer": (regressor(hidden_layer_sizes=()), DIABETES),
    "plateau": (
        regressor(optimizer=cr.SGD(cr.ReduceOnPlateau(0.01, 0.5, 2, min_delta=1e9))),
        DIABETES,
    ),
    "memory": (regressor(optimizer=cr.LBFGS(history=4), max_iter=6, batch_size=442), DIABETES),
    **{
        f"optimizer {optimizer}": (regressor(optimizer=optimizer, max_iter=3), DIABETES)
        for optimizer in OPTIMIZERS
    },
}


@pytest.fixture(params=CASES, scope="module")
def case(request):
    model, data = CASES[request.param]
    return fitted(clone(model), *data), *data


def test_everything_comes_back(case, tmp_path):
    model, X, _ = case
    again = saved(model, tmp_path)
    assert_same_estimator(again, model, X)
    # A file of what was loaded is the same file.
    again.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "model.safetensors").read_bytes()
    twin = clone(again)
    assert_same(twin.get_params(), clone(model).get_params())
    assert not hasattr(twin, "coefs_")


@pytest.mark.parametrize("way", ["file", "pickle"])
def test_partial_fits_go_on_with_the_same_bits(case, way, tmp_path):
    model, X, y = case
    schedule = getattr(getattr(model.optimizer, "learning_rate", None), "needs_epochs", False)
    if not hasattr(model, "partial_fit") or model.early_stopping or schedule:
        with pytest.raises((AttributeError, ValueError), match="partial_fit"):
            saved(model, tmp_path).partial_fit(X, y)
        return
    model = copy.deepcopy(model)  # others have the fixture, too
    model.partial_fit(X, y)
    model.partial_fit(X, y)
    again = saved(model, tmp_path) if way == "file" else pickle.loads(pickle.dumps(model))
    for _ in range(4):
        model.partial_fit(X, y)
        again.partial_fit(X, y)
    assert again.loss_curve_ == model.loss_curve_
    # What a clock has measured differs.
    for one in (again, model):
        one.history_.seconds = one.history_.steps_per_second = [0.0] * len(one.history_.loss)
    assert_same_estimator(again, model, X)
    assert again.history_ is again.model_.history is again._trainer.history


def test_warm_starts_go_on_with_the_same_bits(case, tmp_path):
    model, X, y = case
    model = copy.deepcopy(model).set_params(warm_start=True, max_iter=4)
    again = saved(model, tmp_path)
    fitted(model, X, y)
    fitted(again, X, y)
    for one in (again, model):
        one.history_.seconds = one.history_.steps_per_second = [0.0] * len(one.history_.loss)
    assert_same_estimator(again, model, X)


def test_names_of_features_come_back(tmp_path):
    X = pd.DataFrame(WINE[0]).add_prefix("\u00e9 ")
    model = fitted(classifier(max_iter=2), X, WINE[1])
    again = saved(model, tmp_path)
    assert_same_estimator(again, model, X)
    assert again.feature_names_in_.dtype == object
    with pytest.raises(ValueError, match="feature names"):
        again.predict(X.add_suffix("x"))


def test_records_of_evaluation_sets_come_back(tmp_path):
    X, y = DIABETES
    model = regressor(loss="quantile", early_stopping=True)
    sets = [(X[:40], y[:40]), (X[40:90], y[40:90])]
    fitted(model, X[90:], y[90:], eval_set=sets)
    assert math.isnan(model.evals_result_["validation_0"]["score"][0])
    assert_same_estimator(saved(model, tmp_path), model, X)


def test_weights_that_were_replaced_are_saved(tmp_path):
    model = fitted(classifier(max_iter=2), *WINE)
    model.coefs_[0] = np.zeros_like(model.coefs_[0])
    again = saved(model, tmp_path)
    assert not again.coefs_[0].any()
    assert_same_estimator(again, model, WINE[0])


def test_a_network_that_was_trained_apart_has_its_own_history(tmp_path):
    X, y = DIABETES
    model = fitted(regressor(max_iter=3), X, y)
    model.model_.fit(X, y, loss="mse", epochs=5)
    again = saved(model, tmp_path)
    assert_same_estimator(again, model, X)
    assert len(again.history_.loss) == len(again._trainer.history.loss) == 3
    assert len(again.model_.history.loss) == 5


def test_what_a_diverged_fit_leaves_is_saved(tmp_path):
    X, y = DIABETES
    model = regressor(solver="sgd", learning_rate_init=1e30)
    with pytest.raises(ValueError, match="non-finite"):
        model.fit(X, y)
    assert model.history_.loss == []
    assert_same_estimator(saved(model, tmp_path), model, X)


def test_what_was_not_fitted_is_not_saved(tmp_path):
    for model in (MLPClassifier(), MLPRegressor()):
        with pytest.raises(NotFittedError, match=f"This {type(model).__name__} instance is not"):
            model.save(tmp_path / "file")
    half = MLPClassifier(hidden_layer_sizes=(0,))
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        half.partial_fit(*WINE, classes=[0, 1, 2])
    with pytest.raises(NotFittedError):
        half.save(tmp_path / "file")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"callbacks": [print]}, TypeError, "callbacks must be None or empty .* got .<built-in"),
        ({"callbacks": [cr.Checkpoint("c")]}, TypeError, "callbacks must be None or empty"),
        ({"random_state": np.random.RandomState(0)}, TypeError, "random_state must be an integer"),
        ({"alpha": -1.0}, ValueError, "'alpha' parameter of MLPRegressor must be"),
        ({"solver": "none"}, ValueError, "'solver' parameter of MLPRegressor must be"),
        ({"loss": type("Own", (cr.MSE,), {})()}, TypeError, "parameters.loss must be a plain"),
        ({"max_iter": 2**70}, ValueError, "parameters.max_iter must be an integer of 64 bits"),
        ({"hidden_layer_sizes": [3 + 1j]}, TypeError, r"hidden_layer_sizes\[0\] must be a plain"),
        ({"dropout": np.array([0.5], np.longdouble)}, TypeError, "dropout must hold numbers of"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_parameters_that_a_file_cannot_hold(changes, error, message, tmp_path):
    path = tmp_path / "model"
    model = fitted(regressor(max_iter=1), *DIABETES)
    model.save(path)
    before = path.read_bytes()
    with pytest.raises(error, match=message):
        model.set_params(**changes).save(path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("note", "mine", r"no attributes but its own to be saved, got \['note'\]"),
        ("n_iter_", -1, "attributes.n_iter_ must be an integer >= 0"),
        ("loss_", "low", "attributes.loss_ must hold numbers, got 'low'"),
        ("loss_curve_", [1.0, None], "attributes.loss_curve_ must hold numbers, got None"),
        ("feature_names_in_", np.array([1, "a"], object), "feature_names_in_ must hold numbers"),
    ],
)
def test_attributes_that_a_file_cannot_hold(name, value, message, tmp_path):
    model = fitted(regressor(max_iter=1), *DIABETES)
    setattr(model, name, value)
    with pytest.raises((TypeError, ValueError), match=message):
        model.save(tmp_path / "file")
    assert not list(tmp_path.iterdir())


def test_files_of_others_are_refused(tmp_path):
    path = tmp_path / "file"
    fitted(regressor(max_iter=1), *DIABETES).save(path)
    message = "must hold an MLPClassifier, got an MLPRegressor: use MLPRegressor.load"
    with pytest.raises(cr.ModelFileError, match=message):
        MLPClassifier.load(path)
    with pytest.raises(cr.ModelFileError, match="kind 'mlp', got the kind 'regressor'"):
        cr.MLP.load(path)
    fitted(classifier(max_iter=1), *WINE).save(path)
    with pytest.raises(cr.ModelFileError, match="must hold an MLPRegressor, got an MLPClassifier"):
        MLPRegressor.load(path)
    cr.MLP([1, 1]).save(path)
    with pytest.raises(cr.ModelFileError, match=r"'classifier' or 'regressor', got .* 'mlp'"):
        MLPRegressor.load(path)
    with pytest.raises(FileNotFoundError):
        MLPRegressor.load(tmp_path / "none")
    with pytest.raises(TypeError, match="path must be a str"):
        MLPRegressor.load(3)


def test_arrays_can_be_read_by_others(tmp_path):
    model = fitted(classifier(max_iter=2), *labeled(COLORS))
    model.save(tmp_path / "file")
    tensors = container.read(tmp_path / "file", "classifier").tensors
    assert_same(tensors["network.layers.0.weight"], model.coefs_[0])
    assert_same(tensors["network.layers.1.bias"], model.intercepts_[1])
    assert tensors["attributes.loss_curve_"].tolist() == model.loss_curve_


def test_an_estimator_in_training_is_not_saved_by_others(tmp_path):
    model = regressor(max_iter=3)
    refused = []

    def elsewhere():
        try:
            model.save(tmp_path / "file")
        except RuntimeError as error:
            refused.append(str(error))

    def callback(state):
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()

    fitted(model.set_params(callbacks=[callback]), *DIABETES)
    assert refused == ["save must wait: another thread is fitting this estimator"] * 3
    assert not list(tmp_path.iterdir())


def test_subclasses_load_themselves(tmp_path):
    class Own(MLPRegressor):
        pass

    model = fitted(Own(hidden_layer_sizes=3, max_iter=1), *DIABETES)
    assert_same_estimator(saved(model, tmp_path), model, DIABETES[0])
