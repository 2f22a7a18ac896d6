"""Products of bf16 terms: the same bits everywhere, gradients, errors, and what keeps a precision.

tests/cpp/test_bf16_product.cpp compares single products with their definition.
"""

import copy
import pickle

import numpy as np
import pytest
from bounds import same_bits

import chainrule as cr
from chainrule._precision import PRECISIONS

SPLIT = ("bf16x6", "bf16x3", "bf16")
# Unit roundoffs of the terms that are kept, and of float32.
KEPT = {"bf16x6": 2.0**-24, "bf16x3": 2.0**-16, "bf16": 2.0**-8}
FUSED = [name for name in cr.runtime.variants() if name != "baseline"]
LAYERS = [
    20,
    cr.Dense(70, "gelu", dropout=0.1, norm="layer"),
    cr.Dense(33, "relu"),
    cr.Dense(40, "tanh", norm="batch"),
    5,
]
LAYERS_WITHOUT_DROPOUT = [20, 70, cr.Dense(40, "tanh", norm="layer"), 5]


@pytest.fixture
def data(rng):
    X = rng.normal(size=(300, 20)).astype(np.float32)
    return X, (X[:, 0] > 0) + 2 * (X[:, 1] > 0)


def train(data, precision, layers=LAYERS, **settings):
    model = cr.MLP(layers, seed=3)
    settings = {"batch_size": 70, "epochs": 2, "loss": "cross_entropy"} | settings
    model.fit(*data, precision=precision, **settings)
    return model


def state(model):
    return model.parameters.tobytes(), model.running_statistics.tobytes()


# --- bits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "lbfgs"])
def test_trainings_have_the_same_bits_on_every_variant_and_number_of_threads(
    data, precision, optimizer
):
    layers, rows = (LAYERS, 70) if optimizer != "lbfgs" else (LAYERS_WITHOUT_DROPOUT, 300)
    reached = set()
    for variant in FUSED:
        for threads in (1, 2, 3):
            with cr.runtime.use_variant(variant):
                model = train(
                    data, precision, layers, optimizer=optimizer, batch_size=rows, threads=threads
                )
            reached.add(state(model))
    assert len(reached) == 1


def test_precisions_differ(data):
    assert len({state(train(data, precision)) for precision in PRECISIONS}) == 4  # auto: float32


def test_auto_is_that_of_each_layers_size(rng):
    X = rng.normal(size=(40, 600)).astype(np.float32)
    wide = rng.normal(size=(600, 512)).astype(np.float32)
    for w, same in ((wide, "bf16x6"), (wide[:, :511].copy(), "float32")):
        auto = cr.kernels.dense_forward(X, w, precision="auto")
        assert same_bits(auto, cr.kernels.dense_forward(X, w, precision=same))
        grad = rng.normal(size=auto.shape).astype(np.float32)
        gradients = cr.kernels.dense_backward(grad, X, w, precision="auto")
        wanted = cr.kernels.dense_backward(grad, X, w, precision=same)
        assert all(same_bits(*pair) for pair in zip(gradients, wanted, strict=True))


@pytest.mark.parametrize("precision", SPLIT)
def test_outputs_of_a_row_do_not_depend_on_the_others(data, precision, variant):
    model = train(data, precision)
    X = data[0]
    whole = model.predict(X)
    for rows in (slice(0, 1), slice(7, 8), slice(10, 42), slice(100, 133)):
        assert same_bits(model.predict(X[rows]), whole[rows])


@pytest.mark.parametrize("precision", SPLIT)
def test_steps_by_hand_are_those_of_a_fit(data, precision):
    X, y = data
    fitted = train(data, precision, shuffle=False, epochs=1)
    model = cr.MLP(LAYERS, seed=3)
    trainer = cr.Trainer(model, loss="cross_entropy", precision=precision)
    for start in range(0, len(X), 70):
        trainer.step(X[start : start + 70], y[start : start + 70])
    assert state(model) == state(fitted)
    assert model.precision == precision


@pytest.mark.parametrize("precision", SPLIT)
def test_a_fit_that_resumes_has_the_same_bits(data, precision):
    whole = train(data, precision, epochs=4)
    model = train(data, precision, epochs=2)
    model.fit(*data, loss="cross_entropy", batch_size=70, epochs=2, resume=True)
    assert state(model) == state(whole)


@pytest.mark.parametrize("precision", SPLIT)
def test_large_batches_go_through_in_parts(rng, precision):
    X = rng.normal(size=(9000, 24)).astype(np.float32)
    y = X[:, :3]
    reached = {
        state(
            train((X, y), precision, [24, 700, 3], loss="mse", batch_size=9000, epochs=1, threads=n)
        )
        for n in (1, 2)
    }
    assert len(reached) == 1


@pytest.mark.parametrize("precision", SPLIT)
def test_parts_of_a_batch_have_the_sums_of_the_whole(rng, precision):
    X = rng.normal(size=(9000, 24)).astype(np.float32)
    y = X[:, :3].copy()
    model = cr.MLP([24, 700, 3], seed=1, precision=precision)
    _, wanted = model.loss_and_gradient(X, y, loss="mse")  # in parts
    _, grad_outputs = cr.kernels.mse(model.forward(X), y)
    model.backward(grad_outputs)
    assert same_bits(model.gradient, wanted)


# --- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", SPLIT)
def test_errors_of_a_layer_are_those_of_the_terms_kept(rng, precision, variant):
    """|error| <= (3 unit of the terms + k unit of float32) sum |a b|; see docs/numerics.md."""
    for m, k, n in ((1, 1, 1), (33, 65, 47), (100, 300, 31)):
        x, w = (rng.normal(size=shape).astype(np.float32) for shape in ((m, k), (k, n)))
        exact = x.astype(np.float64) @ w.astype(np.float64)
        size = np.abs(x).astype(np.float64) @ np.abs(w).astype(np.float64)
        out = cr.kernels.dense_forward(x, w, precision=precision)
        assert (np.abs(out - exact) <= (3.03 * KEPT[precision] + k * 2.0**-24) * size).all()


def test_bf16x6_is_at_least_as_exact_as_float32(rng):
    worst = {}
    x, w = (rng.normal(size=(512, 512)).astype(np.float32) for _ in range(2))
    exact = x.astype(np.float64) @ w.astype(np.float64)
    size = np.abs(x).astype(np.float64) @ np.abs(w).astype(np.float64)
    for precision in PRECISIONS:
        out = cr.kernels.dense_forward(x, w, precision=precision)
        worst[precision] = (np.abs(out - exact) / size).max()
    assert worst["bf16x6"] <= worst["float32"]
    assert worst["float32"] < worst["bf16x3"] < worst["bf16"]


@pytest.mark.parametrize("precision", SPLIT)
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("norm", [None, "layer", "batch"])
def test_gradients_of_networks_are_those_of_float64(rng, precision, loss, norm, variant):
    """The gradient differs from float64's by some roundings of the terms that are kept.

    Relative to its norm: each of the three layers rounds its operands in both passes, and no
    activation has a kink. Central differences would drown in the rounding of bf16.
    """
    layers = [12, cr.Dense(40, "tanh", norm=norm), cr.Dense(24, "softplus", norm=norm), 4]
    X = rng.normal(size=(60, 12))
    y = rng.integers(0, 4, 60) if loss == "cross_entropy" else rng.normal(size=(60, 4))
    exact = cr.MLP(layers, dtype="float64", seed=1)
    model = cr.MLP(layers, seed=1, precision=precision)
    model.parameters[:] = exact.parameters
    exact.parameters[:] = model.parameters
    X = X.astype(np.float32)
    of_loss, wanted = exact.loss_and_gradient(X, y, loss=loss, training=True)
    value, gradient = model.loss_and_gradient(X, y, loss=loss, training=True)
    bound = 16 * max(KEPT[precision], 2.0**-24 * 16)
    assert abs(value - of_loss) <= bound * of_loss
    assert np.linalg.norm(gradient - wanted) <= bound * np.linalg.norm(wanted)
    outputs = model.forward(X)
    grad_outputs = rng.normal(size=outputs.shape).astype(np.float32)
    exact.forward(X)
    of_x, wanted_x = model.backward(grad_outputs), exact.backward(grad_outputs)
    assert np.linalg.norm(of_x - wanted_x) <= bound * np.linalg.norm(wanted_x)


@pytest.mark.parametrize("precision", SPLIT)
def test_infinities_are_those_of_float32(precision, variant):
    x = np.array([[np.inf, 1.0], [1.0, -np.inf], [np.nan, 1.0], [1.0, 2.0]], np.float32)
    w = np.array([[1.99, 1.0, -0.5, 0.0], [1.0, 1.99, 3.0, 1.0]], np.float32)
    with np.errstate(invalid="ignore"):
        wanted = x @ w
    got = cr.kernels.dense_forward(x, w, precision=precision)
    assert np.array_equal(np.isnan(got), np.isnan(wanted))
    assert np.array_equal(got[np.isinf(wanted)], wanted[np.isinf(wanted)])
    assert np.isfinite(got[3]).all()


@pytest.mark.parametrize("precision", SPLIT)
def test_the_largest_numbers_stay_finite(precision, variant):
    largest = np.finfo(np.float32).max
    out = cr.kernels.dense_forward(
        [[np.float32(largest)]], np.float32([[0.5]]), precision=precision
    )
    assert abs(out[0, 0] / (0.5 * float(largest)) - 1) <= 2 * KEPT[precision]


# --- what keeps a precision ----------------------------------------------------------------------


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_model_keeps_its_precision(data, precision, tmp_path):
    model = train(data, precision)
    assert model.precision == model.history.precision == model.recipe["precision"] == precision
    model.save(tmp_path / "model")
    loaded = cr.MLP.load(tmp_path / "model")
    X = data[0]
    for other in (loaded, model.copy(), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.precision == precision
        assert same_bits(other.predict(X), model.predict(X))
    assert loaded.history.precision == loaded.recipe["precision"] == precision
    again = cr.MLP(LAYERS, seed=3)
    again.fit(*data, **loaded.recipe)
    assert state(again) == state(model)


def test_names_of_numpy_are_names(data, tmp_path):
    model = train(data, np.str_("bf16x3"))
    model.save(tmp_path / "model")
    assert cr.MLP.load(tmp_path / "model").recipe["precision"] == "bf16x3"


def test_predict_takes_another_precision(data):
    model = train(data, "bf16")
    X = data[0]
    exact = model.predict(X, precision="float32")
    assert model.precision == "bf16"
    assert not same_bits(model.predict(X), exact)
    assert same_bits(model.predict(X, precision="bf16"), model.predict(X))
    model.precision = "float32"
    assert same_bits(model.predict(X), exact)
    assert same_bits(model(X), exact)


@pytest.mark.parametrize("precision", SPLIT)
def test_a_checkpoint_goes_on_in_its_precision(data, precision, tmp_path):
    path = tmp_path / "checkpoint"
    whole = train(data, precision, epochs=4)
    train(data, precision, epochs=2, callbacks=[cr.Checkpoint(path)])
    assert state(train(data, precision, epochs=4, resume_from=path)) == state(whole)
    with pytest.raises(ValueError, match=r"precision must be '?bf16\w*'?, as in the checkpoint"):
        train(data, "float32", epochs=4, resume_from=path)


def test_exported_c_computes_in_full_precision(data):
    model = train(data, "bf16")
    full = model.copy()
    full.precision = "float32"
    assert cr.exchange.to_c(model) == cr.exchange.to_c(full)


def test_shown(data):
    assert "precision" not in repr(cr.MLP([2, 1]))
    assert "precision='bf16x3'" in repr(cr.MLP([2, 1], precision="bf16x3"))


# --- errors --------------------------------------------------------------------------------------


CALLS = {
    "MLP": lambda model, X, y, p: cr.MLP([20, 5], precision=p, dtype=model.dtype),
    "fit": lambda model, X, y, p: model.fit(X, y, loss="cross_entropy", precision=p),
    "Trainer": lambda model, X, y, p: cr.Trainer(model, loss="cross_entropy", precision=p),
    "predict": lambda model, X, y, p: model.predict(X, precision=p),
    "attribute": lambda model, X, y, p: setattr(model, "precision", p),
    "dense_forward": lambda model, X, y, p: cr.kernels.dense_forward(
        X.astype(model.dtype), model.weights[0], precision=p
    ),
    "dense_backward": lambda model, X, y, p: cr.kernels.dense_backward(
        np.ones((300, 5), model.dtype), X.astype(model.dtype), model.weights[0], precision=p
    ),
}


@pytest.mark.parametrize("call", CALLS)
def test_wrong_precisions_are_refused(data, call):
    model = cr.MLP([20, 5])
    before = state(model)
    with pytest.raises(ValueError, match=r"precision must be one of 'float32', 'bf16x6', .* mean"):
        CALLS[call](model, *data, "bf16x7")
    with pytest.raises(ValueError, match=r"precision must be one of .*got 'float64'"):
        CALLS[call](model, *data, "float64")
    with pytest.raises(TypeError, match=r"precision must be one of .*got int"):
        CALLS[call](model, *data, 16)
    double = cr.MLP([20, 5], dtype="float64")
    assert double.precision == "float64"
    for precision in PRECISIONS:
        with pytest.raises(ValueError, match=r"precision must be 'float64' for dtype float64, got"):
            CALLS[call](double, *data, precision)
    CALLS[call](double, *data, "float64")
    assert state(model) == before
    assert model.precision == "float32"
    assert model.history is None


def test_attribute_refuses_none():
    model = cr.MLP([2, 1], precision="bf16")
    with pytest.raises(TypeError, match="precision must be one of its names, got NoneType"):
        model.precision = None


def test_a_fit_that_resumes_refuses_another_precision(data):
    model = train(data, "bf16x3")
    with pytest.raises(ValueError, match="precision must be 'bf16x3', as in the fit"):
        model.fit(*data, loss="cross_entropy", resume=True, precision="bf16")
