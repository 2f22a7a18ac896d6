"""`Standardize()`: the bits of a network on inputs that NumPy standardized, in every walk."""

import pickle
import signal
import threading
import time

import numpy as np
import pytest
from bounds import same_bits
from thread_cases import on_variant

import chainrule as cr

N_INPUTS = 13
# Each of the walks: groups of rows, all rows at once, parts, and a norm that mixes rows.
NETWORKS = {
    "groups": ([cr.Dense(21, "gelu", dropout=0.2), 3], 1500, {}),
    "whole": ([cr.Dense(290, "tanh"), cr.Dense(230, "silu"), 3], 140, {}),
    "parts": ([cr.Dense(290, "gelu", norm="layer"), cr.Dense(230, "tanh"), 3], 4403, {}),
    "batch_norm": ([cr.Dense(30, "silu", norm="batch"), 3], 300, {}),
    "few_rows": ([cr.Dense(5, "softplus", bias=False), 3], 7, {}),
    "one_layer": ([3], 200, {}),
    "bf16x3": ([cr.Dense(80, "mish"), cr.Dense(70, "tanh"), 3], 300, {"precision": "bf16x3"}),
}
# Without FMAs in hardware, baseline takes a minute for the largest.
FMA = [name for name in cr.runtime.variants() if name != "baseline"]
RUNS = [
    (name, variant)
    for name in NETWORKS
    for variant in (cr.runtime.variants() if name != "parts" else FMA or ["baseline"])
]
FITS = [
    *((name, cr.Adam(1e-2), shuffle) for name in NETWORKS for shuffle in (True, False)),
    *((name, cr.LBFGS(), False) for name in NETWORKS if name != "groups"),  # that has dropout
]


def data(n_rows, dtype="float64", n_inputs=N_INPUTS):
    """Return columns of all sizes, the second constant, and targets."""
    rng = np.random.default_rng(n_rows)
    X = rng.normal(size=(n_rows, n_inputs)) * np.geomspace(1e-6, 1e6, n_inputs)
    X += rng.normal(size=n_inputs) * np.geomspace(1e-5, 1e7, n_inputs)
    if n_inputs > 1:
        X[:, 1] = 0.1
    return X.astype(dtype), rng.normal(size=(n_rows, 3)).astype(dtype)


def pair(name, dtype, seed=3):
    """Return a model with the layer and one without, and how many rows go with them."""
    layers, n_rows, settings = NETWORKS[name]
    if dtype == "float64":
        settings = {}
    model, plain = (
        cr.MLP([N_INPUTS, *first, *layers], dtype=dtype, seed=seed, **settings)
        for first in ([cr.Standardize()], [])
    )
    return model, plain, n_rows


def statistics(model):
    """Return means and factors of the inputs as one array."""
    return np.array(model.input_statistics)


def by_numpy(model, X):
    """Standardize rows as the layer is said to, in the model's dtype."""
    mean, factor = model.input_statistics
    return (np.asarray(X, model.dtype) - mean) * factor


# --- statistics ----------------------------------------------------------------------------------


def test_statistics_are_those_of_the_columns(dtype):
    X, _ = data(1000, dtype)
    model = cr.MLP([N_INPUTS, cr.Standardize(), 1], dtype=dtype)
    assert model.input_statistics is None
    model.standardize(X)
    mean, factor = model.input_statistics
    assert mean.dtype == factor.dtype == model.dtype
    exact = X.astype(np.longdouble)
    # Sums in double: what is left is the rounding to the dtype, and of 1000 additions.
    tolerance = np.finfo(dtype).eps + 1000 * np.finfo(np.float64).eps
    np.testing.assert_allclose(mean, exact.mean(axis=0).astype(float), rtol=tolerance)
    varies = np.arange(N_INPUTS) != 1
    spread = np.abs(exact.mean(axis=0)) / exact.std(axis=0).clip(1e-30)
    want = 1 / exact.std(axis=0)[varies]
    error = np.abs(factor[varies] * exact.std(axis=0)[varies] - 1)
    assert (error <= tolerance * np.maximum(1, spread[varies])).all(), want
    assert mean[1] == X[0, 1]
    assert factor[1] == 1.0


def test_a_column_of_one_value_is_shifted_to_zero(dtype):
    # 1000 times 0.1 do not add up to 100: a mean by sums alone would leave a rest.
    X = np.full((1000, 2), [0.1, 1e6 + 1 / 3])
    model = cr.MLP([2, cr.Standardize(), cr.Dense(2, initializer="zeros")], dtype=dtype)
    model.standardize(X)
    model.weights[0][:] = np.eye(2)
    assert (model.predict(X) == 0).all()
    assert same_bits(model.predict(X + 1), (X + 1).astype(dtype) - X.astype(dtype))


@pytest.mark.parametrize("deviation", [1e-44, 1e-300])
def test_a_deviation_too_small_to_divide_by_counts_as_none(deviation, dtype):
    X = np.array([[0.0], [deviation]])
    model = cr.MLP([1, cr.Standardize(), 1], dtype=dtype)
    model.standardize(X)
    factor = model.input_statistics[1][0]
    assert np.isfinite(factor)
    assert factor == 1.0 or dtype == "float64"


@pytest.mark.parametrize(("dtype", "size"), [("float32", 3e38), ("float64", 1e200)])
def test_a_deviation_too_large_is_refused(dtype, size):
    model = cr.MLP([2, cr.Standardize(), 1], dtype=dtype)
    with pytest.raises(ValueError, match="column 1"):
        model.fit([[1.0, size], [2.0, -size]], [0.0, 1.0], loss="mse")
    assert model.input_statistics is None


def test_rows_of_validation_take_no_part(rng):
    X, y = rng.normal(5, 3, size=(200, 2)), rng.normal(size=200)
    model = cr.MLP([2, cr.Standardize(), 4, 1])
    model.fit(X, y, loss="mse", epochs=1, validation_fraction=0.25)
    order = np.argsort(np.random.Philox(key=0).random_raw(200), kind="stable")
    again = cr.MLP([2, cr.Standardize(), 4, 1])
    again.standardize(X[np.sort(order[:-50])])
    assert same_bits(statistics(model), statistics(again))
    whole = cr.MLP([2, cr.Standardize(), 4, 1])
    whole.standardize(X)
    assert not same_bits(statistics(model), statistics(whole))
    given = cr.MLP([2, cr.Standardize(), 4, 1])
    given.fit(X, y, loss="mse", epochs=1, validation_data=(X + 100, y))
    assert same_bits(statistics(given), statistics(whole))


# --- the walks -----------------------------------------------------------------------------------


@pytest.fixture(params=RUNS, ids=str)
def name(request):
    """Name a network, with each variant made the active one."""
    with cr.runtime.use_variant(request.param[1]):
        yield request.param[0]


def test_gradients_are_those_on_standardized_rows(name, dtype):
    model, plain, n_rows = pair(name, dtype)
    X, y = data(n_rows, dtype)
    model.standardize(X)
    Z, factor = by_numpy(model, X), model.input_statistics[1]
    call = {"loss": "huber", "training": True, "step": 5}
    value, gradient = model.loss_and_gradient(X, y, **call)
    want, want_gradient = plain.loss_and_gradient(Z, y, **call)
    assert value == want
    assert same_bits(gradient, want_gradient)
    grad_X = model.input_gradient(X, y, **call)
    assert same_bits(grad_X, plain.input_gradient(Z, y, **call) * factor)

    outputs, want_outputs = (m.forward(rows, step=5) for m, rows in ((model, X), (plain, Z)))
    assert same_bits(outputs, want_outputs)
    ones = np.ones_like(outputs)
    assert same_bits(model.backward(ones), plain.backward(ones) * factor)
    assert same_bits(model.gradient, plain.gradient)
    assert same_bits(model.predict(X), plain.predict(Z))
    assert same_bits(model.predict(X[3:4]), model.predict(X)[3:4])
    assert model.evaluate(X, y, loss="mse") == plain.evaluate(Z, y, loss="mse")


@pytest.mark.parametrize(("network", "optimizer", "shuffle"), FITS, ids=str)
def test_a_fit_is_that_on_standardized_rows(network, optimizer, shuffle):
    model, plain, n_rows = pair(network, "float32")
    X, y = data(n_rows, "float32")
    X_first = X.copy()
    call = {"loss": "mse", "optimizer": optimizer, "epochs": 2, "shuffle": shuffle}
    if isinstance(optimizer, cr.Adam):
        call["batch_size"] = max(1, n_rows // 2 - 3)
    history = model.fit(X, y, **call, validation_data=(X[:70], y[:70]))
    Z = by_numpy(model, X)
    want = plain.fit(Z, y, **call, validation_data=(Z[:70], y[:70]))
    assert (history.loss, history.validation_loss) == (want.loss, want.validation_loss)
    assert same_bits(model.parameters, plain.parameters)
    assert same_bits(X, X_first)
    # Whoever goes on with single steps gets the same too.
    losses = [cr.Trainer(m, loss="mse").step(rows, y) for m, rows in ((model, X), (plain, Z))]
    assert losses[0] == losses[1]
    assert same_bits(model.parameters, plain.parameters)


def test_gradients_match_central_differences(name):
    model, _, n_rows = pair(name, "float64")
    X, y = data(n_rows)
    model.standardize(X)
    call = {"loss": "mse", "training": True, "reduction": "sum"}
    grad_X = model.input_gradient(X, y, **call)
    deviation = 1 / model.input_statistics[1]
    rng = np.random.default_rng(0)
    direction = rng.normal(size=X.shape) * deviation
    step = 1e-5

    def loss(rows):
        return model.loss_and_gradient(rows, y, **call)[0]

    slope = sum(
        weight * loss(X + k * step * direction)
        for k, weight in ((1, 8), (-1, -8), (2, -1), (-2, 1))
    ) / (12 * step)
    want = float((grad_X * direction).sum())
    # Columns whose mean is ten times their deviation lose a digit to rounding.
    assert abs(slope - want) <= 1e-6 * np.abs(grad_X * direction).sum()


# --- the life of the statistics ------------------------------------------------------------------


def test_later_fits_keep_them_and_initialize_forgets_them(rng):
    X, y = rng.normal(5, 3, size=(50, 2)), rng.normal(size=50)
    model = cr.MLP([2, cr.Standardize(), 4, 1])
    model.fit(X, y, loss="mse", epochs=2)
    kept = statistics(model)
    model.fit(X * 100, y, loss="mse", epochs=1)
    model.fit(X * 7, y, loss="mse", epochs=1, resume=True)
    cr.Trainer(model, loss="mse").fit(X - 30, y, epochs=1)
    assert same_bits(statistics(model), kept)
    model.standardize(X * 100)
    assert not same_bits(statistics(model), kept)
    first = cr.MLP([2, cr.Standardize(), 4, 1])
    model.initialize()
    assert model.input_statistics is None
    assert same_bits(model.parameters, first.parameters)
    model.fit(X, y, loss="mse", epochs=2)
    first.fit(X, y, loss="mse", epochs=2)
    assert same_bits(model.parameters, first.parameters)


def test_resumed_and_checkpointed_fits_have_the_same_bits(tmp_path, variant):
    X, y = data(300, "float32")
    layers = [N_INPUTS, cr.Standardize(), 16, 3]
    whole, resumed, broken = (cr.MLP(layers, seed=1) for _ in range(3))
    whole.fit(X, y, loss="mse", epochs=6)
    resumed.fit(X, y, loss="mse", epochs=3)
    resumed.fit(X, y, loss="mse", epochs=3, resume=True)
    path = tmp_path / "checkpoint.safetensors"
    call = {"loss": "mse", "epochs": 6, "resume_from": path}

    def breaks_off(state):
        if state.epoch == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken.fit(X, y, **call, callbacks=[cr.Checkpoint(path), breaks_off])
    again = cr.MLP(layers, seed=1)
    again.fit(X, y, **call, callbacks=[cr.Checkpoint(path)])
    for model in (resumed, again):
        assert same_bits(model.parameters, whole.parameters)
        assert same_bits(statistics(model), statistics(whole))
    # A checkpoint of a network without the layer is none of this one's.
    plain = cr.MLP([N_INPUTS, 16, 3], seed=1)
    with pytest.raises(ValueError, match=r"input_layer must be Standardize\(\)"):
        plain.fit(X, y, **call)


@pytest.mark.parametrize("fitted", [True, False])
@pytest.mark.parametrize("norm", [None, "batch"])
def test_copies_pickles_and_files_keep_them(norm, fitted, dtype, tmp_path):
    X, y = data(60, dtype)
    model = cr.MLP([N_INPUTS, cr.Standardize(), cr.Dense(9, "relu", norm=norm), 3], dtype=dtype)
    if fitted:
        model.fit(X, y, loss="mse", epochs=2)
    path = tmp_path / "model.safetensors"
    model.save(path)
    for again in (cr.MLP.load(path), model.copy(), pickle.loads(pickle.dumps(model))):
        assert repr(again) == repr(model)
        assert again.input_layer == cr.Standardize()
        assert same_bits(again.running_statistics, model.running_statistics)
        if fitted:
            assert same_bits(statistics(again), statistics(model))
            assert same_bits(again.predict(X), model.predict(X))
        again.fit(X * 3, y, loss="mse", epochs=1)
        fresh = cr.MLP([N_INPUTS, cr.Standardize(), 1], dtype=dtype)
        fresh.standardize(X if fitted else X * 3)
        assert same_bits(statistics(again), statistics(fresh))


def test_a_model_that_is_not_fitted_is_refused(tmp_path):
    X, y = data(20, "float32")
    model = cr.MLP([N_INPUTS, cr.Standardize(), 3])
    trainer = cr.Trainer(model, loss="mse")
    before = model.parameters.copy()
    for call in (
        lambda: model.predict(X),
        lambda: model.predict(X.tolist()),
        lambda: model.predict(X, precision="bf16"),
        lambda: model.forward(X, training=True),
        lambda: model.evaluate(X, y, loss="mse"),
        lambda: model.loss_and_gradient(X, y, loss="mse"),
        lambda: model.input_gradient(X, y, loss="mse"),
        lambda: trainer.step(X, y),
        lambda: cr.exchange.to_c(model),
        lambda: cr.exchange.to_onnx(model),
    ):
        with pytest.raises(RuntimeError, match=r"call fit or standardize\(X\) before"):
            call()
    assert same_bits(model.parameters, before)
    model.standardize(X)
    assert trainer.step(X, y) > 0


def test_where_it_may_stand():
    for layers in (
        [3, 2, cr.Standardize()],
        [3, cr.Standardize(), cr.Standardize(), 1],
        [3, 4, cr.Standardize(), 1],
    ):
        place = max(i for i, item in enumerate(layers) if item == cr.Standardize())
        with pytest.raises(ValueError, match=rf"layers\[1\], got it as layers\[{place}\]"):
            cr.MLP(layers)
    with pytest.raises(ValueError, match=r"1 item besides Standardize\(\)"):
        cr.MLP([3, cr.Standardize()])
    with pytest.raises(TypeError, match=r"layers\[0\] must be an integer"):
        cr.MLP([cr.Standardize(), 3, 1])
    with pytest.raises(ValueError, match=r"layers\[2\]"):
        cr.MLP([3, cr.Standardize(), 0])
    assert "MLP([3, Standardize(), Dense(" in repr(cr.MLP([3, cr.Standardize(), 1]))
    with pytest.raises(ValueError, match=r"a model with Standardize\(\)"):
        cr.MLP([3, 1]).standardize(np.zeros((2, 3)))
    model = cr.MLP([3, cr.Standardize(), 1])
    for bad, message in (
        (np.zeros((0, 3)), "at least one row"),
        (np.zeros((2, 2)), "shape"),
        (np.full((2, 3), np.nan), "finite"),
    ):
        with pytest.raises(ValueError, match=message):
            model.standardize(bad)


# --- threads and signals -------------------------------------------------------------------------


def test_threads_predict_at_once(variant):
    X, y = data(700, "float32")
    model = cr.MLP([N_INPUTS, cr.Standardize(), 40, 3])
    model.fit(X, y, loss="mse", epochs=1)
    want = model.predict(X)
    failed = []

    def predict():
        for _ in range(20):
            if not same_bits(model.predict(X), want):
                failed.append(threading.current_thread().name)

    threads = [threading.Thread(target=on_variant(variant, predict)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_ctrl_c_in_the_pass_over_the_rows(rng):
    # Zeros cost no memory until they are read: 2^29 elements take a second.
    X = np.zeros((2**23, 64), np.float32)
    model = cr.MLP([64, cr.Standardize(), 1])

    def interrupt():
        time.sleep(0.1)
        signal.raise_signal(signal.SIGINT)

    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt)
    try:
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            model._network.standardize(X)
    finally:
        thread.join()
        signal.signal(signal.SIGINT, handler)
    assert model.input_statistics is None
    model.standardize(X[:10])
    assert model.input_statistics is not None
