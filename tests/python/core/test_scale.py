"""What is said of columns that a network hardly learns by, and that the cure it names is one."""

import copy
import pickle
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
from bounds import same_bits
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import chainrule as cr
from chainrule._scale import odd_columns
from chainrule.estimators import MLPClassifier, MLPRegressor

N_ROWS = 1000


def draw(rng):
    """Return columns by name: those that need a cure, and those that need none."""
    rare = rng.random((N_ROWS, 3)) < [0.3, 0.01, 0.001]
    spiked = np.where(rng.random(N_ROWS) < 0.02, 0.0, 255.0)
    good = {
        "standard": rng.normal(size=N_ROWS),
        "unit": rng.random(N_ROWS),
        "percent": rng.uniform(0, 100, N_ROWS),
        "pixels": rng.integers(0, 256, N_ROWS),
        "corner": spiked,
        "nearly all": (~rare[:, 2]).astype(float),
        "constant": np.full(N_ROWS, 1e9),
        "zero": np.zeros(N_ROWS),
        "latitude": rng.normal(35.6, 2.1, N_ROWS),
        **{f"rare{i}": rare[:, i].astype(float) for i in range(3)},
    }
    odd = {
        "population": rng.lognormal(7, 0.7, N_ROWS),
        "year": rng.integers(1990, 2020, N_ROWS),
        "time": 1.6e9 + rng.uniform(0, 1e7, N_ROWS),
        "kelvin": rng.normal(293, 10, N_ROWS),
        "longitude": rng.normal(-119.6, 2.0, N_ROWS),
        "meters": rng.normal(0, 1e-6, N_ROWS),
        "share": rng.uniform(0, 1e-3, N_ROWS),
        "huge": rng.normal(0, 1e300, N_ROWS),
    }
    return good, odd


def names(columns, dtype="float64"):
    found = odd_columns(np.column_stack(list(columns.values())).astype(dtype))
    return [] if found is None else [list(columns)[j] for j in found.indices]


def test_which_columns_are_named(rng):
    good, odd = draw(rng)
    assert names(good) == []
    assert names(good, "float32") == []
    assert names(odd) == list(odd)
    assert names(good | odd) == list(odd)
    assert names({name: odd[name] for name in odd if name != "huge"}, "float32") == list(odd)[:-1]


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        (datasets.load_wine, ["proline"]),
        (datasets.load_breast_cancer, ["mean area", "worst area"]),
        (datasets.load_digits, []),
        (datasets.load_iris, []),
        (datasets.load_diabetes, []),
    ],
)
def test_real_data(load, expected):
    data = load()
    assert names(dict(zip(data.feature_names, data.data.T, strict=True))) == expected


def test_few_rows_and_many_columns(rng):
    assert odd_columns(np.full((1, 3), 1e6)) is None  # there is nothing that varies
    wide = rng.normal(size=(9, 100_000))
    wide[:, 77_777] *= 1e5
    assert odd_columns(wide).indices.tolist() == [77_777]
    tall = np.zeros((100_000, 1))
    tall[::2] = 1e5
    assert odd_columns(tall + 1).indices.tolist() == [0]


# --- the core ------------------------------------------------------------------------------------


def warned(function):
    """Return the texts of the ScaleWarnings of a call."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", cr.ScaleWarning)
        function()
    found = [item for item in caught if issubclass(item.category, cr.ScaleWarning)]
    # They show the line that called, not one of the package.
    assert all(item.filename == __file__ for item in found)
    return [str(item.message) for item in found]


@pytest.mark.parametrize("load", [datasets.load_wine, datasets.load_breast_cancer])
def test_what_is_warned_of_trains_badly_and_the_cure_cures(load):
    X, y = load(return_X_y=True)
    n, k = X.shape[1], int(y.max()) + 1
    raw, cured = cr.MLP([n, 32, k]), cr.MLP([n, cr.Standardize(), 32, k])
    call = {"loss": "cross_entropy", "epochs": 60}
    (text,) = warned(lambda: raw.fit(X, y, **call))
    assert f"cr.MLP([{n}, cr.Standardize(), ...])" in text
    assert warned(lambda: cured.fit(X, y, **call)) == []
    scores = [model.evaluate(X, y, loss="cross_entropy").score for model in (raw, cured)]
    assert scores[0] < 0.95 < scores[1]


def test_the_text_names_five_columns(rng):
    X = rng.normal(1425, 1132, size=(60, 12))
    X[:, 3] = rng.normal(size=60)
    model = cr.MLP([12, 1])
    (text,) = warned(lambda: model.fit(X, X[:, 3], loss="mse", epochs=1))
    mean, deviation = X[:, 0].mean(), X[:, 0].std()
    assert f"11 of 12 in X have (mean +- standard deviation): column 0 ({mean:.3g} +- " in text
    assert f" +- {deviation:.3g})" in text
    assert text.count("+- ") == 6
    assert "column 3" not in text
    assert "column 5" in text
    assert " and 6 more." in text


def test_it_is_said_once(rng):
    X, y = rng.normal(1000, 100, size=(60, 2)), rng.normal(size=60)
    model = cr.MLP([2, 4, 1])
    call = {"loss": "mse", "epochs": 2}
    assert len(warned(lambda: model.fit(X, y, **call))) == 1
    assert warned(lambda: model.fit(X, y, **call, resume=True)) == []
    assert warned(lambda: model.fit(X, y, **call)) == []
    trainer = cr.Trainer(cr.MLP([2, 4, 1]), loss="mse")
    assert len(warned(lambda: trainer.fit(X, y))) == 1
    assert warned(lambda: trainer.fit(X, y)) == []
    stepped = cr.Trainer(cr.MLP([2, 4, 1]), loss="mse")
    assert warned(lambda: stepped.step(X, y)) == []
    assert warned(lambda: stepped.fit(X, y)) == []


def test_an_error_of_it_leaves_the_model_as_it_was(rng):
    X, y = rng.normal(1000, 100, size=(60, 2)), rng.normal(size=60)
    model = cr.MLP([2, 4, 1])
    before = model.parameters.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(cr.ScaleWarning):
            model.fit(X, y, loss="mse")
    assert same_bits(model.parameters, before)
    assert model.history is None


@pytest.mark.parametrize(
    ("loss", "scale", "shift", "is_warned"),
    [
        ("mse", 1e6, 0, True),
        ("mse", 1e-6, 0, True),
        ("mse", 1.0, 100, True),
        ("mae", 1e4, 0, True),
        ("huber", 1e-3, 1, True),
        (cr.Quantile([0.1, 0.9]), 1e6, 0, True),
        ("gaussian_nll", 100, 0, True),
        ("mse", 100, 200, False),
        ("gaussian_nll", 3, 5, False),
        ("mse", 0.1, 1, False),
        ("poisson", 1e4, 1e6, False),
    ],
    ids=str,
)
def test_targets(loss, scale, shift, is_warned, rng):
    X = rng.normal(size=(200, 3))
    y = scale * np.tanh(X[:, 0]) + shift
    model = cr.MLP([3, 4, 2 if loss == "gaussian_nll" or not isinstance(loss, str) else 1])
    texts = warned(lambda: model.fit(X, y, loss=loss, epochs=1))
    assert [("the scale that y has" in text) for text in texts] == [True] * is_warned


def test_labels_and_probabilities_have_no_scale(rng):
    X = rng.normal(size=(200, 3))
    model = cr.MLP([3, 2000])
    assert warned(lambda: model.fit(X, np.arange(200) * 9, loss="cross_entropy", epochs=1)) == []
    rare = np.zeros((200, 1))
    rare[0] = 1e-4
    model = cr.MLP([3, 1])
    assert warned(lambda: model.fit(X, rare, loss="binary_cross_entropy", epochs=1)) == []


# --- the estimators ------------------------------------------------------------------------------

WINE = datasets.load_wine(as_frame=True)
CALL = {"hidden_layer_sizes": 16, "max_iter": 30, "random_state": 0, "n_iter_no_change": 100}


def fitted(model, X, y, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y, **kwargs)


def test_estimators_name_columns_by_their_names():
    X, y = WINE.data, WINE.target
    (text,) = warned(lambda: fitted(MLPClassifier(**CALL), X, y))
    assert "1 of 13 in X have (mean +- standard deviation): 'proline' (747 +- 314)." in text
    assert "standardize='auto'" in text
    (text,) = warned(lambda: fitted(MLPClassifier(**CALL), X.to_numpy(), y))
    assert "column 12 (747 +- 314)" in text
    # Through what calls fit, too.
    texts = warned(lambda: fitted(make_pipeline(MLPClassifier(**CALL)), X, y))
    assert len(texts) == 1
    assert (
        warned(lambda: fitted(make_pipeline(StandardScaler(), MLPClassifier(**CALL)), X, y)) == []
    )


def test_only_a_fit_that_begins_warns():
    X, y = WINE.data.to_numpy(), WINE.target
    model = MLPClassifier(**CALL, warm_start=True)
    assert len(warned(lambda: fitted(model, X, y))) == 1
    assert warned(lambda: fitted(model, X, y)) == []
    model = MLPClassifier(**CALL)
    assert warned(lambda: model.partial_fit(X, y, classes=[0, 1, 2])) == []
    assert warned(lambda: model.partial_fit(X, y)) == []


@pytest.mark.parametrize("choice", [True, "auto"])
def test_standardize_is_a_scaler_in_front(choice):
    X, y = WINE.data.to_numpy(), WINE.target
    model = MLPClassifier(**CALL, standardize=choice)
    assert warned(lambda: fitted(model, X, y)) == []
    assert model.model_.input_layer == cr.Standardize()
    mean, factor = model.model_.input_statistics
    plain = fitted(MLPClassifier(**CALL), (X - mean) * factor, y)
    assert plain.model_.input_layer is None
    assert same_bits(model.predict_proba(X), plain.predict_proba((X - mean) * factor))
    assert same_bits(model.model_.parameters, plain.model_.parameters)
    np.testing.assert_allclose(mean, X.mean(axis=0))
    np.testing.assert_allclose(factor, 1 / X.std(axis=0))


def test_auto_leaves_alone_what_needs_nothing():
    X, y = datasets.load_digits(return_X_y=True)
    model, plain = MLPClassifier(**CALL, standardize="auto"), MLPClassifier(**CALL)
    assert warned(lambda: (fitted(model, X, y), fitted(plain, X, y))) == []
    assert model.model_.input_layer is None
    assert same_bits(model.model_.parameters, plain.model_.parameters)


def test_wine_with_the_recommended_settings():
    model = MLPClassifier(standardize="auto", max_iter=300, random_state=0)
    assert cross_val_score(model, WINE.data, WINE.target, cv=5).mean() > 0.95


def test_partial_fit_takes_the_first_rows():
    X, y = WINE.data.to_numpy()[::-1], WINE.target.to_numpy()[::-1]
    model = MLPClassifier(**CALL, standardize="auto")
    model.partial_fit(X[:90], y[:90], classes=[0, 1, 2])
    kept = np.array(model.model_.input_statistics)
    np.testing.assert_allclose(kept[0], X[:90].mean(axis=0))
    model.partial_fit(X[90:], y[90:])
    assert same_bits(np.array(model.model_.input_statistics), kept)


LOSSES = ["squared_error", "mae", "huber", cr.Quantile([0.1, 0.5, 0.9]), "gaussian_nll"]


def regression(rng, n_targets=2):
    X = rng.normal(size=(300, 4)) * [1, 1e3, 1e-3, 1] + [0, 1e4, 0, 1]
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    y = np.column_stack([np.tanh(Z[:, 0]) + Z[:, 1], Z[:, 2] * Z[:, 3]])
    return X, Z, y[:, :n_targets]


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_targets_are_standardized_around_a_fit(loss, rng):
    X, Z, y = regression(rng)
    units, shifts = np.array([1e6, 1e-6]), np.array([3e6, 0.0])
    y = (y - y.mean(axis=0)) / y.std(axis=0)
    call = CALL | {"loss": loss, "batch_size": 50}
    model = MLPRegressor(**call, standardize=True)
    assert warned(lambda: fitted(model, X, y * units + shifts)) == []
    plain = fitted(MLPRegressor(**call), Z, y)
    as_levels = (..., None) if isinstance(loss, cr.Quantile) else ...
    want = plain.predict(Z) * units[as_levels] + shifts[as_levels]
    size = np.abs(want).max(axis=0)
    assert (np.abs(model.predict(X) - want) <= 1e-8 * size).all()
    if loss == "gaussian_nll":
        got, want = (m.predict(rows, return_std=True)[1] for m, rows in ((model, X), (plain, Z)))
        np.testing.assert_allclose(got, want * units, rtol=1e-8)
    elif not isinstance(loss, cr.Quantile):
        assert model.score(X, y * units + shifts) == pytest.approx(plain.score(Z, y), abs=1e-8)
    np.testing.assert_allclose(model.loss_curve_, plain.loss_curve_, rtol=1e-8)


@pytest.mark.parametrize("unit", [1e6, 1e-6])
def test_auto_learns_targets_of_any_unit(unit, rng):
    X, _, y = regression(rng, 1)
    y = y.ravel() * unit
    call = CALL | {"learning_rate_init": 0.01, "max_iter": 60, "tol": 0}
    model, raw = MLPRegressor(**call, standardize="auto"), MLPRegressor(**call)
    (of_x, of_y) = warned(lambda: fitted(raw, X, y))
    assert "standardize='auto'" in of_x
    assert "TransformedTargetRegressor" in of_y
    assert warned(lambda: fitted(model, X, y, eval_set=(X[:90], y[:90]))) == []
    assert raw.score(X, y) < 0.1
    assert model.score(X, y) > 0.9
    assert model.evals_result_["validation_0"]["score"][-1] > 0.9
    assert model.evals_result_["validation_0"]["loss"][-1] < 0.1  # in standard units


def test_counts_are_left_as_they_are(rng):
    X = rng.normal(size=(200, 2))
    y = rng.poisson(np.exp(8 + 0.1 * X[:, 0])).astype(float)
    with_it, without = (
        fitted(MLPRegressor(**CALL, loss="poisson", standardize=choice), X, y)
        for choice in ("auto", False)
    )
    assert same_bits(with_it.predict(X), without.predict(X))


def test_a_constant_target(rng):
    X = rng.normal(size=(50, 2))
    model = fitted(MLPRegressor(**CALL, standardize=True), X, np.full(50, 1e6))
    np.testing.assert_allclose(model.predict(X), 1e6, rtol=1e-5)


def test_targets_beyond_the_dtype_are_refused(rng):
    X = rng.normal(size=(50, 2)).astype("float32")
    model = MLPRegressor(**CALL, standardize=True)
    with pytest.raises(ValueError, match="y must have means and standard deviations within"):
        model.fit(X, 1e200 * X[:, 0].astype(float))


def test_a_warm_start_begins_with_the_weights_of_the_last_fit(rng):
    X, _, y = regression(rng, 1)
    y = 1e6 * y.ravel()
    call = CALL | {"learning_rate_init": 0.01, "standardize": "auto", "tol": 0}
    model = fitted(MLPRegressor(**call, warm_start=True), X, y)
    first = model.loss_curve_[-1]
    before = model.predict(X)
    model.set_params(max_iter=1, learning_rate_init=1e-9)
    fitted(model, X, y)
    np.testing.assert_allclose(model.predict(X), before, rtol=1e-5)
    assert model.loss_curve_[-1] < 1.1 * first
    # Other units of the same network: y is standardized by what it is now.
    fitted(model, X, y / 1e3)
    np.testing.assert_allclose(model.predict(X), before, rtol=1e-3)


@pytest.mark.parametrize("loss", ["squared_error", "gaussian_nll"])
@pytest.mark.parametrize("warm_start", [False, True])
def test_calls_within_a_fit_are_in_the_units_of_y(warm_start, loss, rng):
    """A callback's are of the network so far, those of another thread of the last fit's."""
    X, _, y = regression(rng, 1)
    y = 1e6 * y.ravel()
    call = CALL | {"loss": loss, "standardize": True, "warm_start": warm_start}
    model = fitted(MLPRegressor(**call), X, y)
    before = model.predict(X)
    copies, elsewhere = [], []

    def callback(state):
        copies.append(copy.copy(model))
        assert same_bits(model.predict(X), copies[-1].predict(X))
        assert model.score(X, y) == copies[-1].score(X, y)
        thread = threading.Thread(target=lambda: elsewhere.append(model.predict(X)))
        thread.start()
        thread.join()

    fitted(model.set_params(callbacks=[callback], max_iter=3), X, y)
    assert len(elsewhere) == len(copies) == 3
    assert all(same_bits(outputs, before) for outputs in elsewhere)
    assert same_bits(copies[-1].predict(X), model.predict(X))
    assert same_bits(copies[-1].model_.parameters, model.model_.parameters)
    assert copies[-1].loss_curve_ == model.loss_curve_
    goes_on = [m.set_params(callbacks=None).partial_fit(X, y) for m in (copies[-1], model)]
    assert same_bits(goes_on[0].model_.parameters, goes_on[1].model_.parameters)


@pytest.mark.parametrize("choice", [True, False])
def test_a_fit_that_goes_on_keeps_the_layer(choice):
    X, y = StandardScaler().fit_transform(WINE.data), WINE.target
    model = fitted(MLPClassifier(**CALL, standardize=choice, warm_start=True), X, y)
    fitted(model.set_params(standardize="auto"), X, y)
    assert (model.model_.input_layer is not None) is choice
    before = model.model_.parameters.copy()
    model.set_params(standardize=not choice)
    for goes_on in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=f"standardize must be {choice} or 'auto'"):
            goes_on(X, y)
    assert same_bits(model.model_.parameters, before)


@pytest.mark.parametrize("loss", ["squared_error", "gaussian_nll"])
def test_what_is_kept_predicts_the_same(loss, tmp_path, rng):
    X, _, y = regression(rng)
    model = fitted(MLPRegressor(**CALL, loss=loss, standardize="auto"), X, 1e6 * y)
    model.save(tmp_path / "model.safetensors")
    loaded = MLPRegressor.load(tmp_path / "model.safetensors")
    pickled = pickle.loads(pickle.dumps(model))
    for again in (loaded, pickled):
        assert again.standardize == "auto"
        assert same_bits(again.predict(X), model.predict(X))
    goes_on = [m.partial_fit(X, 1e6 * y).predict(X) for m in (model, loaded, pickled)]
    assert same_bits(goes_on[0], goes_on[1])
    assert same_bits(goes_on[0], goes_on[2])


def test_old_pickles_and_copies_lack_the_parameter(rng):
    model = fitted(MLPClassifier(**CALL), rng.normal(size=(50, 2)), rng.integers(0, 2, 50))
    state = model.__getstate__()
    del state["standardize"], state["_network"]["standardizes"]
    again = MLPClassifier.__new__(MLPClassifier)
    again.__setstate__(state)
    assert again.standardize is False
    X = rng.normal(size=(5, 2))
    assert same_bits(again.predict_proba(X), model.predict_proba(X))


def test_gradients_are_with_respect_to_raw_features(rng):
    X, _, y = regression(rng, 1)
    model = fitted(MLPRegressor(**CALL, activation="tanh", standardize=True), X, 1e6 * y.ravel())
    gradient = model.input_gradient(X)
    for j, step in enumerate(1e-5 * X.std(axis=0)):
        ahead, behind = X.copy(), X.copy()
        ahead[:, j] += step
        behind[:, j] -= step
        slopes = (model.predict(ahead) - model.predict(behind)) / (2 * step)
        np.testing.assert_allclose(gradient[:, j], slopes, rtol=0, atol=1e-6 * np.abs(slopes).max())


def test_sparse_features_and_wrong_values(rng):
    import scipy.sparse

    X = scipy.sparse.random(100, 5, 0.3, random_state=0, format="csr") * 1e5
    y = rng.integers(0, 2, 100)
    model = fitted(MLPClassifier(**CALL, standardize="auto"), X, y)
    dense = fitted(MLPClassifier(**CALL, standardize="auto"), X.toarray(), y)
    assert model.model_.input_layer is not None
    assert same_bits(model.predict_proba(X), dense.predict_proba(X.toarray()))
    for wrong in ("yes", 2, None):
        with pytest.raises(ValueError, match="'standardize' parameter"):
            MLPClassifier(standardize=wrong).fit(X, y)


def test_names_of_a_table_that_is_polluted_by_numbers(rng):
    # Names that are not all strings are no names for scikit-learn.
    table = pd.DataFrame(rng.normal(1000, 10, size=(50, 2)), columns=[0, 1])
    (text,) = warned(lambda: fitted(MLPClassifier(**CALL), table, rng.integers(0, 2, 50)))
    assert "column 0 (" in text
