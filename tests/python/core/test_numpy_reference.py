"""The NumPy reference is right by itself, and chainrule ends where it ends, to 1e-10 in float64."""

import math
from dataclasses import fields
from functools import partial

import numpy as np
import pytest

import chainrule as cr
from chainrule import kernels
from chainrule._benchmarks import numpy_reference as reference

N_ROWS, BATCH_SIZE, N_IN = 150, 32, 6  # 5 steps an epoch, the last batch short
EPOCHS = 40
MODEL_SEED, FIT_SEED = 11, 12  # of weights and dropout; of shuffles

ACTIVATIONS = [
    *reference.ACTIVATIONS,
    cr.Activation("leaky_relu", negative_slope=0.2),
    cr.Activation("elu", alpha=0.5),
]
LOSSES = [
    cr.MSE(),
    cr.MAE(),
    cr.Huber(delta=0.5),
    cr.Quantile(levels=(0.1, 0.5, 0.8)),
    cr.BinaryCrossEntropy(),
    cr.CrossEntropy(),
    cr.CrossEntropy(label_smoothing=0.1),
    cr.CrossEntropy(class_weight=(0.5, 1.0, 2.0, 3.0)),
    cr.CrossEntropy(label_smoothing=0.2, class_weight=(0.5, 1.0, 2.0, 3.0)),
    cr.Poisson(),
    cr.GaussianNLL(),
]
OPTIMIZERS = [
    cr.SGD(0.01),
    cr.SGD(0.01, momentum=0.9),
    cr.SGD(0.01, momentum=0.9, nesterov=True, weight_decay=0.1),
    cr.SGD(cr.Cosine(0.02, warmup_fraction=0.1)),
    cr.RMSprop(1e-3),
    cr.RMSprop(1e-3, centered=True),
    cr.RMSprop(1e-3, momentum=0.5),
    cr.RMSprop(1e-3, momentum=0.5, centered=True, weight_decay=0.1),
    cr.Adagrad(0.01),
    cr.Adagrad(0.01, initial_accumulator=0.1, weight_decay=0.1),
    cr.Adam(1e-3),
    cr.Adam(1e-3, beta1=0.8, beta2=0.99, epsilon=1e-6, amsgrad=True),
    cr.Adam(1e-3, beta2=0.99, epsilon=1e-2, epsilon_hat=True),
    cr.AdamW(1e-3, weight_decay=0.1),
    cr.NAdam(1e-3),
    cr.NAdam(1e-3, momentum_decay=0.1, weight_decay=0.1),
    cr.Lion(1e-4),
    cr.Lion(1e-4, weight_decay=1.0),
]
LIMITS = [
    {"l1": 1e-3},
    {"l2": 1e-2},
    {"l1": 1e-3, "l2": 1e-2, "penalize_biases": True},
    {"l1": 1e-3, "l2": 1e-2, "divide_penalties": True, "weighted": True},
    {"clip_norm": 0.1},
    {"clip_value": 0.01},
    {"clip_norm": 0.5, "clip_value": 0.05, "l2": 1e-2},
]


def parameters_of(settings, *without):
    return {
        field.name: getattr(settings, field.name)
        for field in fields(settings)
        if field.name not in without
    }


def reference_loss(loss):
    function = reference.LOSSES[loss.name]
    return partial(function, **parameters_of(loss)) if fields(loss) else function


def reference_optimizer(optimizer, n_epochs, steps_per_epoch):
    rate = optimizer.learning_rate
    if not isinstance(rate, float):
        values = rate.values(steps_per_epoch, n_epochs)
        rate = values.__getitem__
    return getattr(reference, type(optimizer).__name__)(
        rate, **parameters_of(optimizer, "learning_rate")
    )


def make_data(loss, n_rows=N_ROWS, probabilities=False):
    """Features, targets, and the number of outputs that go with the loss."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((n_rows, N_IN))
    values = np.sin(X[:, :4]) + 0.1 * rng.standard_normal((n_rows, 4))
    if loss.name == "cross_entropy":
        return X, rng.dirichlet(np.ones(4), n_rows) if probabilities else values.argmax(axis=1), 4
    if loss.name == "binary_cross_entropy":
        return X, (values > 0).astype(float), 4
    if loss.name == "poisson":
        return X, rng.poisson(np.exp(values)).astype(float), 4
    if loss.name == "gaussian_nll":
        return X, values[:, :2], 4
    if loss.name == "quantile":
        return X, values[:, :2], 2 * len(loss.levels)
    return X, values, 4


def assert_same_training(
    *,
    loss=None,
    optimizer=None,
    activation="tanh",
    norm=None,
    dropout=0.0,
    weighted=False,
    probabilities=False,
    bias=True,
    widths=(12, 9),
    n_rows=N_ROWS,
    batch_size=BATCH_SIZE,
    epochs=EPOCHS,
    standardize=False,
    **limits,
):
    # A bias before batch normalization changes nothing, and so its gradient is rounding error
    # alone. Adam divides it by its own size; this epsilon keeps the steps below 1e-13.
    optimizer = optimizer or cr.Adam(1e-3, epsilon=1e-6)
    loss = loss or cr.MSE()
    X, y, n_out = make_data(loss, n_rows, probabilities)
    weight = np.random.default_rng(6).random(len(X)) if weighted else None
    hidden = {"activation": activation, "norm": norm, "dropout": dropout, "bias": bias}
    first = [cr.Standardize()] if standardize else []
    model = cr.MLP(
        [N_IN, *first, *[cr.Dense(width, **hidden) for width in widths], n_out],
        dtype="float64",
        seed=MODEL_SEED,
    )
    if standardize:
        X = 1e3 * X - 1e4
        model.standardize(X)
    network = reference.NumpyMLP.from_model(model)
    trainer = cr.Trainer(model, loss=loss, optimizer=optimizer, seed=FIT_SEED, **limits)
    steps_per_epoch = -(-len(X) // batch_size)
    other = reference.NumpyTrainer(
        network,
        loss=reference_loss(loss),
        optimizer=reference_optimizer(optimizer, epochs, steps_per_epoch),
        masks=partial(draw_mask, MODEL_SEED),
        **limits,
    )
    before = model.parameters.copy()
    data = {"batch_size": batch_size, "epochs": epochs, "sample_weight": weight}
    history = trainer.fit(X, y, **data)
    losses = other.fit(X, y, order=partial(draw_order, FIT_SEED, len(X)), **data)
    assert trainer.step_count == other.step_count == epochs * steps_per_epoch
    assert np.abs(model.parameters - before).max() > 1e-3
    np.testing.assert_allclose(model.parameters, network.parameters, rtol=0, atol=1e-10)
    running = model.running_statistics[: len(network.running_statistics)]
    np.testing.assert_allclose(running, network.running_statistics, rtol=0, atol=1e-10)
    np.testing.assert_allclose(model.predict(X), network.predict(X), rtol=0, atol=1e-9)
    if not weighted and loss.name != "cross_entropy":
        np.testing.assert_allclose(history.loss, losses, rtol=1e-9)


def draw_mask(seed, layer, step, probability, out):
    kernels.dropout_mask(
        out.shape, probability, seed=seed, layer=layer, step=step, dtype=out.dtype, out=out
    )


def draw_order(seed, size, epoch):
    return kernels.permutation(size, seed=seed, epoch=epoch)


@pytest.mark.parametrize("norm", [None, "layer", "batch"])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_activations_train_as_in_the_reference(activation, norm):
    assert_same_training(activation=activation, norm=norm)


@pytest.mark.parametrize("norm", [None, "batch"])
def test_standardized_inputs_train_as_in_the_reference(norm):
    assert_same_training(norm=norm, standardize=True, l2=1e-2)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_losses_train_as_in_the_reference(loss, weighted):
    assert_same_training(loss=loss, weighted=weighted)


@pytest.mark.parametrize("loss", LOSSES[5:9], ids=str)
def test_probabilities_train_as_in_the_reference(loss):
    assert_same_training(loss=loss, probabilities=True, weighted=True)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_optimizers_train_as_in_the_reference(optimizer):
    assert_same_training(optimizer=optimizer, activation="relu")


@pytest.mark.parametrize("limits", LIMITS, ids=str)
def test_penalties_and_clipping_train_as_in_the_reference(limits):
    assert_same_training(activation="gelu", norm="layer", **limits)


@pytest.mark.parametrize("norm", [None, "layer", "batch"])
def test_dropout_trains_as_in_the_reference(norm):
    assert_same_training(dropout=0.3, norm=norm, activation="silu", loss=cr.CrossEntropy())


@pytest.mark.parametrize("norm", [None, "layer", "batch"])
def test_layers_without_bias_train_as_in_the_reference(norm):
    assert_same_training(bias=False, norm=norm, activation="relu")


def test_everything_at_once_trains_as_in_the_reference():
    assert_same_training(
        loss=cr.CrossEntropy(label_smoothing=0.1, class_weight=(0.5, 1.0, 2.0, 3.0)),
        optimizer=cr.AdamW(cr.OneCycle(3e-3), weight_decay=0.05, epsilon=1e-6),
        activation="mish",
        norm="batch",
        dropout=0.2,
        bias=False,  # l1 would follow the sign of its rounding error
        weighted=True,
        l1=1e-4,
        l2=1e-3,
        penalize_biases=True,
        clip_norm=0.7,
        clip_value=0.1,
    )


# Rows in groups that walk on, and in parts.
@pytest.mark.once
@pytest.mark.parametrize("widths", [(40, 33), (290, 230)])
def test_large_batches_train_as_in_the_reference(widths):
    assert_same_training(
        widths=widths,
        n_rows=5_000,
        batch_size=2_600,
        epochs=5,
        loss=cr.Huber(0.5),
        activation="gelu",
        norm="layer",
        dropout=0.2,
        weighted=True,
        clip_norm=0.5,
        l2=1e-3,
    )


# --- the reference by itself ---------------------------------------------------------------------


def test_erf_matches_the_standard_library():
    x = np.concatenate([np.linspace(-7.0, 7.0, 4001), [-0.0, 1e-30, 1e30, -np.inf, np.inf]])
    exact = np.array([math.erf(value) for value in x])
    assert np.abs(reference.erf(x) - exact).max() < 5e-16
    assert np.abs(reference.erf(x.astype(np.float32)) - exact).max() < 3e-7
    assert np.isnan(reference.erf(np.array([np.nan]))[0])


@pytest.mark.once
@pytest.mark.parametrize("norm", [None, "layer", "batch"])
@pytest.mark.parametrize("loss", LOSSES, ids=str)
@pytest.mark.parametrize("activation", reference.ACTIVATIONS)
def test_gradient_of_the_reference_matches_central_differences(activation, loss, norm):
    X, y, n_out = make_data(loss, n_rows=7)
    hidden = {"activation": activation, "norm": norm, "dropout": 0.2}
    layers = [reference.Layer(5, **hidden), reference.Layer(4, **hidden), reference.Layer(n_out)]
    network = reference.NumpyMLP(N_IN, layers, dtype="float64", seed=3)
    network.parameters += 0.1 * np.random.default_rng(4).standard_normal(network.parameters.size)
    y = reference.as_targets(y, reference_loss(loss), network.parameters.dtype)
    evaluate = partial(
        network.loss_and_gradient,
        X,
        y,
        loss=reference_loss(loss),
        sample_weight=np.linspace(0.0, 2.0, len(X)),
        l1=1e-3,
        l2=1e-2,
        training=True,
    )
    _, gradient = evaluate(masks=reference.RandomMasks(9))
    gradient = gradient.copy()
    direction = np.random.default_rng(8).standard_normal((8, gradient.size))
    start, step = network.parameters.copy(), 1e-6
    for line in direction / np.linalg.norm(direction, axis=1, keepdims=True):
        values = []
        for sign in (1.0, -1.0):
            network.parameters[:] = start + sign * step * line
            values.append(evaluate(masks=reference.RandomMasks(9))[0])
        slope = (values[0] - values[1]) / (2 * step)
        assert abs(slope - gradient @ line) < 1e-7 * np.linalg.norm(gradient)


def test_default_masks_keep_the_mean():
    mask = np.empty((1000, 100))
    reference.RandomMasks(1)(0, 0, 0.25, mask)
    assert set(np.unique(mask)) == {0.0, 1.0 / 0.75}
    assert abs(mask.mean() - 1.0) < 0.01


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_reference_learns_and_keeps_its_dtype(dtype):
    X, y, _ = make_data(cr.MSE())
    network = reference.NumpyMLP(
        N_IN, [reference.Layer(16, "relu"), reference.Layer(4)], dtype=dtype
    )
    optimizer = reference.Adam(1e-2)
    losses = network.fit(X, y, loss="mse", optimizer=optimizer, batch_size=BATCH_SIZE, epochs=30)
    assert losses[-1] < 0.2 * losses[0]
    assert network.parameters.dtype == network.predict(X).dtype == dtype


def test_callback_ends_a_fit_of_the_reference():
    X, y, _ = make_data(cr.MSE())
    network = reference.NumpyMLP(N_IN, [reference.Layer(4)])
    seen = []

    def stop(epoch, loss):
        seen.append((epoch, loss))
        return epoch == 2

    losses = network.fit(X, y, loss="mse", optimizer=reference.SGD(), epochs=9, callback=stop)
    assert [epoch for epoch, _ in seen] == [0, 1, 2]
    assert [loss for _, loss in seen] == losses
