"""Estimators in a precision: bits of the network's own training, fits that go on, what is kept."""

import pickle

import numpy as np
import pytest
import scipy.sparse
from bounds import same_bits
from estimator_cases import DIABETES, WINE, classifier, fitted, regressor
from file_bytes import put_together, take_apart
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import chainrule as cr
from chainrule._precision import PRECISIONS
from chainrule.estimators import MLPClassifier, MLPRegressor

SPLIT = ("bf16x6", "bf16x3", "bf16")
X_WINE, Y_WINE = WINE[0].astype(np.float32), WINE[1]
X_DIABETES, Y_DIABETES = DIABETES[0].astype(np.float32), DIABETES[1]
DATA = {"classifier": (X_WINE, Y_WINE), "regressor": (X_DIABETES, Y_DIABETES)}
MAKE = {"classifier": classifier, "regressor": regressor}
KINDS = pytest.mark.parametrize("kind", MAKE)


def weights(model):
    return model.model_.parameters.tobytes()


def state(model):
    """Return all that is in an estimator, but for what a clock has measured."""
    model.history_.seconds = model.history_.steps_per_second = [0.0] * len(model.history_.loss)
    return pickle.dumps(model)


# --- bits ----------------------------------------------------------------------------------------

# scikit-learn's loss of a regression is half of the core's: L-BFGS's tolerance says so.
TRAININGS = {
    "adam": (
        MLPClassifier(dropout=0.1),
        {"loss": "cross_entropy", "optimizer": cr.Adam(epsilon_hat=True)},
    ),
    "sgd": (
        MLPClassifier(solver="sgd", norm="batch"),
        {"loss": "cross_entropy", "optimizer": cr.SGD(1e-3, 0.9, nesterov=True)},
    ),
    "lbfgs": (
        MLPClassifier(solver="lbfgs"),
        {"loss": "cross_entropy", "optimizer": cr.LBFGS(gradient_tolerance=1e-4)},
    ),
    "regressor": (
        MLPRegressor(optimizer=cr.RMSprop(1e-3), loss="huber", norm="layer"),
        {"loss": "huber", "optimizer": cr.RMSprop(1e-3)},
    ),
}


@pytest.mark.parametrize("precision", SPLIT)
@pytest.mark.parametrize("name", TRAININGS)
def test_a_fit_has_the_bits_of_the_networks_own(name, precision):
    estimator, settings = TRAININGS[name]
    X, y = DATA["regressor" if name == "regressor" else "classifier"]
    rows = len(X) if name == "lbfgs" else 50
    # The core draws all weights with this activation, so that the start is that of the seed.
    model = clone(estimator).set_params(
        hidden_layer_sizes=(24, 16),
        activation="gelu",
        alpha=0.1,
        batch_size=rows,
        max_iter=5,
        random_state=3,
        precision=precision,
    )
    fitted(model, X, y)
    made = model.model_
    network = cr.MLP([X.shape[1], *made.layers], seed=made.seed)
    history = network.fit(
        X,
        y.astype(np.float32) if name == "regressor" else y,
        **settings,
        l2=0.1,
        divide_penalties=True,
        batch_size=rows,
        epochs=5,
        seed=made.recipe["seed"],
        precision=precision,
    )
    assert same_bits(made.parameters, network.parameters)
    assert same_bits(made.running_statistics, network.running_statistics)
    assert model.history_.loss == history.loss
    assert model.history_.precision == made.precision == made.recipe["precision"] == precision


@KINDS
def test_precisions_differ(kind):
    reached = {
        precision: weights(fitted(MAKE[kind](max_iter=3, precision=precision), *DATA[kind]))
        for precision in (None, *PRECISIONS)
    }
    assert reached[None] == reached["float32"] == reached["auto"]  # small layers
    assert len(set(reached.values())) == 4


def test_auto_is_that_of_each_layers_size(rng):
    X = rng.normal(size=(60, 520)).astype(np.float32)
    y = (X[:, 0] > 0) + 0
    models = {
        precision: fitted(
            classifier(hidden_layer_sizes=(512,), max_iter=2, precision=precision), X, y
        )
        for precision in ("auto", "float32")
    }
    auto = models["auto"].model_
    assert auto.precision == models["auto"].history_.precision == "auto"
    assert not same_bits(auto.parameters, models["float32"].model_.parameters)
    hidden = cr.MLP([520, auto.layers[0]], precision="bf16x6")
    hidden.weights[0][:], hidden.biases[0][:] = auto.weights[0], auto.biases[0]
    last = cr.MLP([512, auto.layers[1]])
    last.weights[0][:], last.biases[0][:] = auto.weights[1], auto.biases[1]
    assert same_bits(auto.predict(X), last.predict(hidden.predict(X)))


def test_predictions_are_in_the_precision_of_the_fit():
    X, y = DATA["regressor"]
    model = fitted(regressor(precision="bf16"), X, y)
    outputs = model.model_.predict(X, precision="bf16")
    assert not same_bits(outputs, model.model_.predict(X, precision="float32"))
    sparse = scipy.sparse.csr_matrix(X)
    gradient = model.input_gradient(X)
    for asked in ("bf16", "float32", None, "bf16x6"):
        model.set_params(precision=asked)  # of the next fit
        assert same_bits(model.predict(X), outputs[:, 0])
        assert same_bits(model.predict(sparse), outputs[:, 0])
        assert same_bits(model.input_gradient(X), gradient)
    model.model_.precision = "float32"
    assert not same_bits(model.predict(X), outputs[:, 0])
    assert not same_bits(model.input_gradient(X), gradient)


def test_a_fit_that_ends_before_its_first_step_has_made_a_network_in_its_precision(monkeypatch):
    def fit(trainer, *args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(cr.Trainer, "fit", fit)
    with pytest.warns(UserWarning, match="interrupted by user"):
        model = regressor(precision="bf16").fit(*DATA["regressor"])
    assert model.model_.precision == model.history_.precision == "bf16"


# --- fits that go on -----------------------------------------------------------------------------


@KINDS
def test_a_warm_start_takes_the_present_precision(kind):
    X, y = DATA[kind]
    model = fitted(MAKE[kind](warm_start=True, max_iter=3, precision="bf16"), X, y)
    same, other = pickle.loads(pickle.dumps(model)), pickle.loads(pickle.dumps(model))
    fitted(same, X, y)
    fitted(other.set_params(precision=None), X, y)
    assert same.model_.precision == same.history_.precision == "bf16"
    assert other.model_.precision == other.history_.precision == "float32"
    assert weights(same) != weights(other)
    # Both are what a fit of another estimator with these weights is.
    for again, precision in ((same, "bf16"), (other, None)):
        fresh = fitted(MAKE[kind](warm_start=True, max_iter=3, precision=precision), X, y)
        fresh.model_.parameters[:] = model.model_.parameters
        assert weights(fitted(fresh, X, y)) == weights(again)


@KINDS
def test_partial_fit_in_another_precision_starts_the_optimizer_anew(kind):
    X, y = DATA[kind]
    model = fitted(MAKE[kind](max_iter=3, batch_size=50, precision="bf16x3"), X, y)
    trainer = model._trainer
    assert model.partial_fit(X, y)._trainer is trainer
    assert len(model.loss_curve_) == 4
    network = model.model_.copy()
    model.set_params(precision="bf16").partial_fit(X, y)
    assert model.model_.precision == model.history_.precision == "bf16"
    assert len(model.history_.loss) == 1
    settings = {**vars(trainer._settings), "seed": model._trainer.seed, "precision": "bf16"}
    network.fit(X, np.asarray(y, np.float32), batch_size=50, epochs=1, **settings)
    assert same_bits(network.parameters, model.model_.parameters)


def test_the_dtypes_own_name_is_the_default():
    X, y = DATA["regressor"]
    model = regressor().partial_fit(X, y)
    trainer = model._trainer
    assert model.set_params(precision="float32").partial_fit(X, y)._trainer is trainer
    wide = [regressor(precision=name).partial_fit(*DIABETES) for name in (None, "float64")]
    assert weights(wide[0]) == weights(wide[1])
    assert wide[1].history_.precision == "float64"
    trainer = wide[1]._trainer
    assert wide[1].set_params(precision=None).partial_fit(*DIABETES)._trainer is trainer


# --- errors --------------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("precision", PRECISIONS)
def test_float64_refuses_the_others(kind, precision):
    X, y = DATA[kind]
    message = f"precision must be 'float64' for dtype float64, got '{precision}'; products of bf16"
    new = MAKE[kind](precision=precision)
    for data in ((X.astype(np.float64), y), (X.tolist(), y)):
        with pytest.raises(ValueError, match=message):
            new.fit(*data)
    with pytest.raises(ValueError, match=message):
        new.set_params(dtype="float64").fit(X, y)
    assert not {"model_", "classes_", "_n_targets", "history_"} & vars(new).keys()
    fitted(new.set_params(dtype="float32"), X.astype(np.float64), y)
    assert new.model_.precision == precision
    model = fitted(MAKE[kind](max_iter=2, dtype="float64"), X, y)
    model.set_params(precision=precision)
    before = state(model)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    with pytest.raises(ValueError, match=message):
        model.partial_fit(X, y)
    assert state(model) == before
    with pytest.raises(ValueError, match=message):
        model.set_params(warm_start=True).fit(X, y)
    assert state(model.set_params(warm_start=False)) == before


@KINDS
def test_wrong_names_are_refused(kind):
    X, y = DATA[kind]
    model = fitted(MAKE[kind](max_iter=2, precision="bf16"), X, y)
    for value in ("bf16x7", 16, "FLOAT32"):
        before = state(model.set_params(precision=value))
        with pytest.raises(ValueError, match=r"'precision' parameter of MLP\w+ must be .*bf16x3"):
            model.fit(X, y)
        assert state(model) == before
    before = state(model.set_params(precision="float64"))
    with pytest.raises(ValueError, match=r"precision must be one of 'float32', .*got 'float64'"):
        model.fit(X, y)
    assert state(model) == before


# --- keeping -------------------------------------------------------------------------------------
# Files, pickles and copies of fits in a precision are among the cases of test_estimator_files.py
# and test_estimator_ecosystem.py.


@KINDS
def test_what_is_kept_has_both_the_parameter_and_that_of_the_fit(kind, tmp_path):
    X, y = DATA[kind]
    model = fitted(MAKE[kind](max_iter=2, precision="bf16"), X, y)
    model.set_params(precision=np.str_("bf16x3"))
    model.save(tmp_path / "file")
    others = [type(model).load(tmp_path / "file"), pickle.loads(pickle.dumps(model))]
    model.partial_fit(X, y)
    for other in others:
        assert other.precision == "bf16x3"
        assert other.model_.precision == other.history_.precision == "bf16"
        other.partial_fit(X, y)
        assert other.model_.precision == other.history_.precision == "bf16x3"
        assert weights(other) == weights(model)


def without_precision(fields):
    """Take the precision out of nested fields."""
    fields.pop("precision", None)
    for value in fields.values():
        if isinstance(value, dict):
            without_precision(value)


@KINDS
@pytest.mark.parametrize("version", ["1", "2"])
def test_files_from_before_the_parameter_have_the_dtypes_own(kind, version, tmp_path):
    X, y = DATA[kind]
    path = tmp_path / "file"
    model = fitted(MAKE[kind](max_iter=2), X, y)
    model.save(path)
    header, data = take_apart(path.read_bytes())
    header["__metadata__"]["format_version"] = version
    content = header["__metadata__"]["content"]
    if version == "1":  # had no precision anywhere
        without_precision(content)
    else:
        del content["parameters"]["precision"]
    path.write_bytes(put_together(header, data))
    again = type(model).load(path)
    assert again.get_params() == model.get_params()
    assert again.model_.precision == "float32"
    assert same_bits(again.predict(X), model.predict(X))
    again.partial_fit(X, y)
    assert again._trainer.epoch == 3
    assert weights(again) == weights(model.partial_fit(X, y))


@KINDS
def test_pickles_from_before_the_parameter_have_the_dtypes_own(kind):
    X, y = DATA[kind]
    model = fitted(MAKE[kind](max_iter=2), X, y)
    values = pickle.loads(pickle.dumps(model.__getstate__()))
    without_precision(values)
    del vars(values["history_"])["precision"]
    old = object.__new__(type(model))
    old.__setstate__(values)
    assert old.get_params() == model.get_params()
    assert old.model_.precision == "float32"
    assert same_bits(old.predict(X), model.predict(X))
    assert weights(old.partial_fit(X, y)) == weights(model.partial_fit(X, y))
    unfitted = MAKE[kind]().__getstate__()
    del unfitted["precision"]
    old = object.__new__(type(model))
    old.__setstate__(unfitted)
    assert old.get_params() == MAKE[kind]().get_params()


@KINDS
def test_a_search_over_precisions(kind):
    X, y = DATA[kind]
    names = np.array(["float32", "bf16x6", "bf16"])
    search = GridSearchCV(MAKE[kind](), {"precision": names}, cv=3)
    fitted(search, X, y)
    best = search.best_estimator_
    assert best.model_.precision == best.history_.precision == search.best_params_["precision"]
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    twin = clone(best)
    assert twin.precision == best.precision
    assert weights(fitted(twin, X, y)) == weights(best)
