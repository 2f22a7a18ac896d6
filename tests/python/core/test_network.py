"""The network without its training: construction, numbers, prediction, gradients."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from bounds import assert_close, same_bits
from test_activations import FORMULAS
from thread_cases import on_variant

import chainrule as cr
from chainrule import _core


def numpy_outputs(model, x):
    """Compute the outputs of a model without normalization layer by layer, in float64."""
    y = x.astype(np.float64)
    for layer, w, b in zip(model.layers, model.weights, model.biases, strict=True):
        z = y @ w.astype(np.float64) + (0.0 if b is None else b.astype(np.float64))
        y = FORMULAS[layer.activation.name](z)
    return y


def test_layers_by_size():
    model = cr.MLP(
        [4, 8, np.int64(6), 3],
        activation=cr.Activation("leaky_relu", negative_slope=0.2),
        output_activation="tanh",
        dropout=0.25,
        norm="layer",
    )
    hidden = {"activation": cr.Activation("leaky_relu", negative_slope=0.2), "dropout": 0.25}
    assert model.layers == (
        cr.Dense(8, norm="layer", initializer="he_uniform", **hidden),
        cr.Dense(6, norm="layer", initializer="he_uniform", **hidden),
        cr.Dense(3, "tanh", initializer="glorot_uniform"),
    )
    assert (model.in_features, model.out_features) == (4, 3)
    assert model.dtype == np.float32
    assert model.seed == 0
    assert model.history is None


def test_layers_may_mix():
    model = cr.MLP([4, cr.Dense(5, "gelu", bias=False, norm="batch"), 6, cr.Dense(2)])
    assert [layer.activation.name for layer in model.layers] == ["gelu", "relu", "identity"]
    assert model.n_parameters == (4 * 5 + 2 * 5) + (5 * 6 + 6) + (6 * 2 + 2)
    assert model.biases[0] is None
    assert model.running_statistics.shape == (10,)
    assert (model.running_statistics == np.repeat([0, 1], 5)).all()


@pytest.mark.parametrize("activation", _core.activations())
def test_initializers_suit_the_activation(activation):
    he = {"relu", "leaky_relu", "gelu", "gelu_tanh", "silu", "mish", "elu", "softplus"}
    want = "he_uniform" if activation in he else "glorot_uniform"
    want = "lecun_normal" if activation == "selu" else want
    assert cr.MLP([2, cr.Dense(3, activation)]).layers[0].initializer == want
    assert cr.MLP([2, 3, 1], initializer="zeros").layers[0].initializer == "zeros"


def test_views_are_of_one_buffer(dtype):
    model = cr.MLP([3, cr.Dense(4, "relu", norm="layer"), cr.Dense(2, bias=False)], dtype=dtype)
    flat = model.parameters
    assert flat.dtype == dtype
    assert flat.shape == (model.n_parameters,) == (3 * 4 + 4 + 4 + 4 + 4 * 2,)
    assert [w.shape for w in model.weights] == [(3, 4), (4, 2)]
    flat[:] = np.arange(flat.size)
    assert same_bits(model.weights[0], np.arange(12, dtype=dtype).reshape(3, 4))
    assert same_bits(model.biases[0], np.arange(12, 16, dtype=dtype))
    assert same_bits(model.weights[1], np.arange(24, 32, dtype=dtype).reshape(4, 2))
    model.weights[1][0, 1] = -5
    model.biases[0][2] = -6
    assert flat[25] == -5
    assert flat[14] == -6
    assert model.parameters[25] == -5
    assert model.gradient.shape == flat.shape


def test_views_keep_the_model_alive():
    weights = cr.MLP([3, 4], initializer="torch_linear").weights[0]
    model = cr.MLP([3, 4], initializer="torch_linear")
    del model
    assert np.isfinite(weights).all()
    assert weights.any()


def test_first_parameters(dtype):
    model = cr.MLP([5, 6, 2], norm="batch", dtype=dtype, seed=3)
    assert not model.biases[0].any()
    scale_and_shift = model.parameters[5 * 6 + 6 : 5 * 6 + 18]
    assert (scale_and_shift == np.repeat([1, 0], 6)).all()
    assert same_bits(
        model.parameters, cr.MLP([5, 6, 2], norm="batch", dtype=dtype, seed=3).parameters
    )
    assert not same_bits(
        model.weights[0], cr.MLP([5, 6, 2], norm="batch", dtype=dtype, seed=4).weights[0]
    )
    bias = cr.MLP([100, 50], initializer="torch_linear", dtype=dtype).biases[0]
    assert bias.any()
    assert np.abs(bias).max() <= 0.1


def test_initialize_draws_anew(dtype, rng):
    model = cr.MLP([5, 6, 2], norm="batch", dtype=dtype, seed=3)
    first = model.parameters.copy()
    x, y = rng.normal(size=(20, 5)), rng.normal(size=(20, 2))
    model.fit(x, y, loss="mse", epochs=1)
    assert not same_bits(model.parameters, first)
    assert not (model.running_statistics == np.repeat([0, 1], 6)).all()
    model.initialize()
    assert same_bits(model.parameters, first)
    assert (model.running_statistics == np.repeat([0, 1], 6)).all()
    model.initialize(4)
    assert model.seed == 4
    assert same_bits(
        model.parameters, cr.MLP([5, 6, 2], norm="batch", dtype=dtype, seed=4).parameters
    )
    with pytest.raises(ValueError, match="resume must be False before the first fit"):
        model.fit(x, y, loss="mse", resume=True)
    with pytest.raises(ValueError, match="seed must be an integer >= 0, got -1"):
        model.initialize(-1)


@pytest.mark.parametrize("how", ["copy", "copy.copy", "copy.deepcopy", "pickle"])
def test_copies_are_independent(how, dtype, rng):
    model = cr.MLP([5, cr.Dense(6, cr.Activation("elu", alpha=2.0), norm="batch"), 2], dtype=dtype)
    x = rng.normal(size=(20, 5))
    model.fit(x, rng.normal(size=(20, 2)), loss="mse", epochs=1)
    other = {
        "copy": lambda: model.copy(),
        "copy.copy": lambda: copy.copy(model),
        "copy.deepcopy": lambda: copy.deepcopy(model),
        "pickle": lambda: pickle.loads(pickle.dumps(model)),
    }[how]()
    assert isinstance(other, cr.MLP)
    assert other.layers == model.layers
    assert (other.dtype, other.seed) == (model.dtype, model.seed)
    assert same_bits(other.parameters, model.parameters)
    assert same_bits(other.running_statistics, model.running_statistics)
    outputs = model.predict(x)
    assert same_bits(other.predict(x), outputs)
    other.parameters[:] = 0
    assert same_bits(model.predict(x), outputs)


def test_repr_says_it_all():
    model = cr.MLP([2, cr.Dense(3, "relu"), 1], seed=5, dtype="float64")
    text = repr(model)
    assert text == "MLP([2, Dense(3, activation='relu'), Dense(1)], dtype='float64', seed=5)"
    assert text.endswith("dtype='float64', seed=5)")
    again = eval(text, {name: getattr(cr, name) for name in ("MLP", "Dense", "Activation")})
    assert again.layers == model.layers
    assert same_bits(again.parameters, model.parameters)


@pytest.mark.parametrize(
    "layer",
    [
        cr.Dense(3),
        cr.Dense(3, "relu", 0.5, "layer", False, "zeros"),
        cr.Dense(3, cr.Activation("leaky_relu", negative_slope=0.2)).resolved(),
        cr.Dense(3, "selu", initializer="orthogonal"),
    ],
)
def test_the_repr_of_a_layer_makes_it_again(layer):
    names = {"Dense": cr.Dense, "Activation": cr.Activation}
    assert eval(repr(layer), names) == layer
    model = cr.MLP([2, layer, 1])
    assert eval(repr(model), {**names, "MLP": cr.MLP}).layers == model.layers


@pytest.mark.parametrize("activation", _core.activations())
def test_predict_is_the_formula(activation, variant, dtype, rng):
    model = cr.MLP([7, 16, 9, 3], activation=activation, dtype=dtype, seed=1)
    for n_rows in (1, 2, 33, 300):
        x = rng.normal(size=(n_rows, 7)).astype(dtype)
        want = numpy_outputs(model, x)
        assert_close(model.predict(x), want, np.abs(want).max(), 400, activation)
        assert same_bits(model(x), model.predict(x))


def test_training_forward_and_predict_agree_without_dropout(variant, dtype, rng):
    model = cr.MLP([7, 16, 3], activation="silu", norm="layer", dtype=dtype)
    x = rng.normal(size=(50, 7))
    assert same_bits(model.forward(x), model.predict(x))
    assert same_bits(model.forward(x, training=True), model.predict(x))


def test_batch_norm_gathers_statistics(variant, dtype, rng):
    model = cr.MLP([3, cr.Dense(4, "identity", norm="batch")], dtype=dtype)
    x = rng.normal(2, 3, (30, 3)).astype(dtype)
    z = x.astype(np.float64) @ model.weights[0].astype(np.float64)
    outputs = model.forward(x, training=True)
    np.testing.assert_allclose(outputs.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(outputs.std(axis=0), 1, atol=1e-4)
    running = np.concatenate([0.1 * z.mean(axis=0), 0.9 + 0.1 * z.var(axis=0, ddof=1)])
    rtol = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(model.running_statistics, running, rtol=rtol, atol=rtol)
    before = model.running_statistics.copy()
    want = (z - before[:4]) / np.sqrt(before[4:] + 1e-5)
    np.testing.assert_allclose(model.predict(x), want, rtol=rtol * 10, atol=rtol * 10)
    model.forward(x)
    model.loss_and_gradient(x, outputs, loss="mse", training=True)
    assert same_bits(model.running_statistics, before)


def test_dropout_is_for_training(variant, dtype):
    model = cr.MLP([1, cr.Dense(5000, dropout=0.3)], dtype=dtype, seed=11)
    model.weights[0][:] = 1
    x = np.ones((2, 1))
    assert (model.predict(x) == 1).all()
    assert (model.forward(x) == 1).all()
    outputs = model.forward(x, training=True, step=7)
    want = cr.kernels.dropout_mask((2, 5000), 0.3, seed=11, step=7, dtype=dtype)
    assert same_bits(outputs, want)
    assert same_bits(model.forward(x, training=True, step=7), want)
    first = model.forward(x, training=True)
    assert not same_bits(model.forward(x, training=True), first)
    model.initialize()
    model.weights[0][:] = 1
    assert same_bits(model.forward(x, training=True), first)


@pytest.mark.parametrize("norm", [None, "layer", "batch"])
def test_forward_and_backward_are_the_gradient(norm, variant, dtype, rng):
    model = cr.MLP([5, 8, 6, 3], activation="gelu", norm=norm, dropout=0.2, dtype=dtype)
    x, y = rng.normal(size=(17, 5)), rng.normal(size=(17, 3))
    for training in (False, True):
        _, gradient = model.loss_and_gradient(x, y, loss="mse", training=training, step=3)
        grad_x = model.input_gradient(x, y, loss="mse", training=training, step=3)
        outputs = model.forward(x, training=training, step=3)
        _, grad_outputs = cr.kernels.mse(outputs, np.asarray(y, dtype))
        assert same_bits(model.backward(grad_outputs), grad_x)
        assert same_bits(model.gradient, gradient)


def test_backward_needs_forward(rng):
    model = cr.MLP([5, 3])
    x, y = rng.normal(size=(4, 5)), np.zeros((4, 3))
    with pytest.raises(RuntimeError, match="backward must follow forward"):
        model.backward(y)
    model.forward(x)
    for bad in (y[:3], y[:, :2]):
        with pytest.raises(ValueError, match=r"grad_outputs must be .* shape \(4, 3\)"):
            model.backward(bad)
    with pytest.raises(ValueError, match=r"got nan at grad_outputs\[0, 0\]"):
        model.backward(np.full((4, 3), np.nan))
    assert model.backward(y).shape == (4, 5)
    model.fit(x, y, loss="mse", epochs=1)
    with pytest.raises(RuntimeError, match="backward must follow forward"):
        model.backward(y)


def test_sum_and_mean(variant, rng):
    model = cr.MLP([5, 8, 3], dtype="float64")
    x, y = rng.normal(size=(17, 5)), rng.normal(size=(17, 3))
    mean, gradient = model.loss_and_gradient(x, y, loss="mse")
    total, total_gradient = model.loss_and_gradient(x, y, loss="mse", reduction="sum")
    assert total == pytest.approx(mean * 51, rel=1e-13)
    np.testing.assert_allclose(total_gradient, gradient * 51, rtol=1e-12, atol=1e-12)
    row = model.input_gradient(x[3:4], y[3:4], loss="mse", reduction="sum")
    whole = model.input_gradient(x, y, loss="mse", reduction="sum")
    assert same_bits(row, whole[3:4])


def test_penalties(variant, rng):
    model = cr.MLP([5, 8, 3], norm="layer", dtype="float64", initializer="torch_linear")
    x, y = rng.normal(size=(17, 5)), rng.normal(size=(17, 3))
    value, gradient = model.loss_and_gradient(x, y, loss="mse")
    weights = np.zeros(model.n_parameters, bool)
    weights[: 5 * 8] = weights[5 * 8 + 3 * 8 : -3] = True
    for everything in (False, True):
        penalized = weights | everything
        with_penalty, with_gradient = model.loss_and_gradient(
            x, y, loss="mse", l1=0.3, l2=0.5, penalize_biases=everything
        )
        w = np.where(penalized, model.parameters, 0)
        added = 0.3 * np.abs(w).sum() + 0.25 * (w**2).sum()
        assert with_penalty - value == pytest.approx(added, rel=1e-12)
        want = 0.3 * np.sign(w) + 0.5 * w
        np.testing.assert_allclose(with_gradient - gradient, want, rtol=1e-12, atol=1e-13)


def test_gradient_is_a_copy(rng):
    model = cr.MLP([5, 3])
    x, y = rng.normal(size=(4, 5)), np.zeros((4, 3))
    _, first = model.loss_and_gradient(x, y, loss="mse")
    kept = first.copy()
    model.loss_and_gradient(x, y + 1, loss="mse")
    assert same_bits(first, kept)
    assert not same_bits(model.gradient, kept)


def test_threads_may_predict_at_once(variant, rng):
    model = cr.MLP([20, 64, 64, 5], activation="tanh", norm="batch")
    x = rng.normal(size=(600, 20)).astype(np.float32)
    want = model.predict(x)
    with ThreadPoolExecutor(8) as pool:
        for got in pool.map(on_variant(variant, lambda _: model.predict(x)), range(64)):
            assert same_bits(got, want)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: cr.MLP(5), TypeError, "layers must be a sequence of sizes and Dense layers, got"),
        (lambda: cr.MLP("53"), TypeError, "layers must be a sequence .* got str"),
        (lambda: cr.MLP([]), ValueError, "the number of inputs and at least one layer, got 0 it"),
        (lambda: cr.MLP([5]), ValueError, "the number of inputs and at least one layer, got 1 it"),
        (lambda: cr.MLP([5, 0]), ValueError, r"layers\[1\] must be an integer >= 1, got 0"),
        (lambda: cr.MLP([0, 5]), ValueError, r"layers\[0\] must be an integer >= 1, got 0"),
        (lambda: cr.MLP([5.0, 5]), TypeError, r"layers\[0\] must be an integer, got float 5.0"),
        (lambda: cr.MLP([5, True]), TypeError, r"layers\[1\] must be an integer, got bool"),
        (lambda: cr.MLP([cr.Dense(5), 5]), TypeError, r"layers\[0\] must be an integer, got Den"),
        (lambda: cr.MLP([5, "relu"]), TypeError, r"layers\[1\] must be an integer, got str"),
        (lambda: cr.MLP([5, 3], activation="rleu"), ValueError, "activation must be one of .*'rel"),
        (lambda: cr.MLP([5, 3], activation="Tanh"), ValueError, "did you mean 'tanh'"),
        (lambda: cr.MLP([5, 3], activation=None), TypeError, "activation must be one of .* NoneTy"),
        (lambda: cr.MLP([5, 3], output_activation="x"), ValueError, "output_activation must be"),
        (lambda: cr.MLP([5, 3], dropout=1), ValueError, "dropout must be .* < 1, got 1"),
        (lambda: cr.MLP([5, 3], dropout="a"), TypeError, "dropout must be .* got str 'a'"),
        (lambda: cr.MLP([5, 3], norm="group"), ValueError, "norm must be one of 'layer', 'batch'"),
        (lambda: cr.MLP([5, 3], initializer="he_norm"), ValueError, "did you mean 'he_nor"),
        (lambda: cr.MLP([5, 3], dtype="float16"), ValueError, "'float32' or 'float64', got 'float"),
        (lambda: cr.MLP([5, 3], dtype="double!"), ValueError, "dtype must be 'float32' or"),
        (lambda: cr.MLP([5, 3], dtype=int), ValueError, "dtype must be 'float32' or 'float64'"),
        (lambda: cr.MLP([5, 3], seed=-1), ValueError, "seed must be an integer >= 0, got -1"),
        (lambda: cr.MLP([5, 3], seed=2**64), ValueError, "seed must be an integer <= 184467"),
        (lambda: cr.MLP([5, 3], seed=1.5), TypeError, "seed must be an integer, got float 1.5"),
        (lambda: cr.MLP([5, 3], seed=None), TypeError, "seed must be an integer, got NoneType"),
        (lambda: cr.MLP([2**40, 2**40]), ValueError, r"layers must have fewer than 2\*\*63 bytes"),
        (lambda: cr.MLP([2**62, 2, 3]), ValueError, r"layers must have fewer than 2\*\*63 bytes"),
        (lambda: cr.MLP([2**64, 2]), ValueError, r"layers\[0\] must be an integer <= 92233720"),
        (lambda: cr.Dense(5, bias=0), TypeError, "bias must be True or False, got int 0"),
        (lambda: cr.Activation("relu", alpha=1), TypeError, "'relu' has no parameter, got 'alpha'"),
        (
            lambda: cr.Activation("elu", negative_slope=1),
            TypeError,
            "'elu' has the parameter 'alpha', got 'negative_slope'",
        ),
        (lambda: cr.Activation("elu", alpha=-1), ValueError, "alpha must be .* >= 0, got -1"),
        (lambda: cr.Activation("swish"), ValueError, "activation must be one of 'identity', "),
    ],
)
def test_construction_is_checked(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"reduction": "none"}, ValueError, "reduction must be one of 'mean', 'sum', got 'none'"),
        ({"l1": -1}, ValueError, "l1 must be a finite number >= 0, got -1"),
        ({"l2": np.inf}, ValueError, "l2 must be a finite number >= 0, got inf"),
        ({"penalize_biases": 1}, TypeError, "penalize_biases must be True or False, got int 1"),
        ({"training": None}, TypeError, "training must be True or False, got NoneType"),
        ({"step": -1}, ValueError, "step must be an integer >= 0, got -1"),
        ({"loss": "l2"}, ValueError, "loss must be one of 'mse'"),
        ({"sample_weight": [1, 1, 1]}, ValueError, r"sample_weight must be .* shape \(4,\)"),
    ],
)
def test_gradient_arguments_are_checked(arguments, error, message):
    model = cr.MLP([5, 3])
    with pytest.raises(error, match=message):
        model.loss_and_gradient(np.ones((4, 5)), np.ones((4, 3)), **{"loss": "mse", **arguments})
