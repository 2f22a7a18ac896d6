"""The gradients of whole networks in float64 against central differences.

Every activation x loss x normalization x penalty. Differences are of fourth order, with steps of
1e-4; the error is the largest difference of an element, relative to the largest element.
"""

import functools

import numpy as np
import pytest

import chainrule as cr
from chainrule import _core
from chainrule._losses import as_loss

STEP = 1e-4
# How far an activation's input must be from its kink, and a residual from its: a step moves them
# by less than 1e-2.
MARGIN = 0.02
N_ROWS, N_INPUTS, N_HIDDEN = 7, 2, 3

# How a hidden layer is normalized, and whether in training: batch statistics or running ones.
NORMS = {
    "none": (None, False),
    "layer": ("layer", False),
    "batch_training": ("batch", True),
    "batch_predict": ("batch", False),
}
PENALTIES = {
    "no_penalty": {},
    "l1_l2": {"l1": 0.03, "l2": 0.05},
    "with_biases": {"l1": 0.02, "l2": 0.04, "penalize_biases": True},
}
LOSSES = {
    "mse": cr.MSE(),
    "mae": cr.MAE(),
    "huber": cr.Huber(0.5),
    "quantile": cr.Quantile([0.2, 0.7]),
    "binary_cross_entropy": cr.BinaryCrossEntropy(),
    "cross_entropy": cr.CrossEntropy(),
    "cross_entropy_smoothed": cr.CrossEntropy(0.1, class_weight=[0.5, 1.0, 2.0, 1.5]),
    "poisson": cr.Poisson(),
    "gaussian_nll": cr.GaussianNLL(),
}
N_OUTPUTS = 4
COMBINATIONS = [
    (activation, loss, norm)
    for activation in _core.activations()
    for loss in LOSSES
    for norm in NORMS
]


def test_there_are_enough_combinations():
    assert len(COMBINATIONS) >= 300
    assert {loss.name for loss in LOSSES.values()} == set(_core.losses())


def draw_model(activation, norm, training, rng):
    """Return a model and rows whose activation inputs are off the kink at 0."""
    for _ in range(1000):
        model = cr.MLP(
            [N_INPUTS, cr.Dense(N_HIDDEN, activation, norm=norm), N_OUTPUTS], dtype="float64"
        )
        # No parameter is near 0, where the l1 penalty has its kink.
        size = model.n_parameters
        model.parameters[:] = rng.uniform(0.1, 0.9, size) * rng.choice([-1, 1], size)
        model.running_statistics[:] = rng.uniform(0.5, 1.5, model.running_statistics.size)
        x = rng.normal(size=(N_ROWS, N_INPUTS))
        before = cr.MLP([N_INPUTS, cr.Dense(N_HIDDEN, "identity", norm=norm)], dtype="float64")
        before.parameters[:] = model.parameters[: before.n_parameters]
        before.running_statistics[:] = model.running_statistics
        if np.abs(before.forward(x, training=training)).min() > MARGIN:
            return model, x
    raise AssertionError("no rows off the kink")


def draw_targets(loss, outputs, rng):
    if loss.name in ("mae", "quantile", "huber"):
        n_columns = loss.n_targets(N_OUTPUTS)
        offsets = rng.uniform(0.1, 0.4, (N_ROWS, n_columns))
        offsets[::2] += 0.6  # both pieces of huber
        per_target = N_OUTPUTS // n_columns
        targets = outputs[:, ::per_target] + offsets * rng.choice([-1, 1], offsets.shape)
        residuals = np.repeat(targets, per_target, axis=1) - outputs
        near_kink = np.abs(residuals) < MARGIN
        if loss.name == "huber":
            near_kink |= np.abs(np.abs(residuals) - loss.delta) < MARGIN
        return None if near_kink.any() else targets
    if loss.name == "cross_entropy":
        return rng.integers(0, N_OUTPUTS, N_ROWS)
    if loss.name == "binary_cross_entropy":
        return rng.uniform(size=(N_ROWS, N_OUTPUTS))
    if loss.name == "poisson":
        return rng.integers(0, 5, (N_ROWS, N_OUTPUTS))
    return rng.normal(size=(N_ROWS, loss.n_targets(N_OUTPUTS)))


@functools.cache
def problem(activation, loss_name, norm_name):
    """Return a model, data off all kinks, and what to call: the same for every variant."""
    rng = np.random.default_rng([len(activation), len(loss_name), len(norm_name), 7])
    norm, training = NORMS[norm_name]
    loss = LOSSES[loss_name]
    for _ in range(1000):
        model, x = draw_model(activation, norm, training, rng)
        statistics = model.running_statistics.copy()
        targets = draw_targets(loss, model.forward(x, training=training), rng)
        model.running_statistics[:] = statistics
        if targets is not None:
            break
    else:
        raise AssertionError("no targets off the kinks")
    weights = rng.uniform(0.5, 2, N_ROWS)
    settings = {"loss": loss, "sample_weight": weights, "training": training}
    return model, x, targets, settings


def differences(function, at):
    """Return the gradient of `function` at the array `at`, which is moved and put back."""
    flat = at.reshape(-1)
    slopes = np.empty(flat.size)
    for i in range(flat.size):
        kept = flat[i]
        values = []
        for steps in (1, -1, 2, -2):
            flat[i] = kept + steps * STEP
            values.append(function())
        flat[i] = kept
        slopes[i] = (8 * (values[0] - values[1]) - (values[2] - values[3])) / (12 * STEP)
    return slopes.reshape(at.shape)


def relative_error(got, want):
    return np.abs(got - want).max() / np.abs(want).max()


@functools.cache
def best_differences(activation, loss, norm, penalty):
    """Return the loss and its differences by parameters and by inputs, on the best variant."""
    model, x, targets, settings = problem(activation, loss, norm)
    x = x.copy()

    def value():
        return model.loss_and_gradient(x, targets, **settings, **PENALTIES[penalty])[0]

    with cr.runtime.use_variant(cr.runtime.variants()[0]):
        by_inputs = differences(value, x) if penalty == "no_penalty" else None
        return value(), differences(value, model.parameters), by_inputs


# The penalties in one test: three times as many would take longer to collect than to run.
@pytest.mark.parametrize(("activation", "loss", "norm"), COMBINATIONS)
def test_gradient(activation, loss, norm, variant):
    model, x, targets, settings = problem(activation, loss, norm)
    for penalty, arguments in PENALTIES.items():
        best, by_parameters, _ = best_differences(activation, loss, norm, penalty)
        value, gradient = model.loss_and_gradient(x, targets, **settings, **arguments)
        # So that differences on this variant would be the same but for their rounding.
        assert value == pytest.approx(best, rel=1e-13), penalty
        assert relative_error(gradient, by_parameters) <= 1e-6, penalty


@pytest.mark.parametrize(("activation", "loss", "norm"), COMBINATIONS)
def test_input_gradient(activation, loss, norm, variant):
    model, x, targets, settings = problem(activation, loss, norm)
    _, _, by_inputs = best_differences(activation, loss, norm, "no_penalty")
    gradient = model.input_gradient(x, targets, **settings)
    assert relative_error(gradient, by_inputs) <= 1e-6


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("loss", LOSSES)
def test_deep_with_dropout(loss, reduction, variant, rng):
    model = cr.MLP(
        [
            N_INPUTS,
            cr.Dense(6, "tanh", dropout=0.3, norm="layer"),
            cr.Dense(5, "gelu", norm="batch", bias=False),
            cr.Dense(6, cr.Activation("elu", alpha=1.0), dropout=0.5),
            cr.Dense(N_OUTPUTS, "softplus"),
        ],
        dtype="float64",
        seed=3,
    )
    x = rng.normal(size=(11, N_INPUTS))
    chosen = as_loss(LOSSES[loss])
    targets = rng.uniform(2.5, 3.0, (11, chosen.n_targets(N_OUTPUTS)))
    if loss.startswith("cross_entropy"):
        targets = rng.integers(0, N_OUTPUTS, 11)
    elif loss == "binary_cross_entropy":
        targets -= 2.0
    settings = {"loss": chosen, "reduction": reduction, "training": True, "step": 5, "l2": 0.1}
    statistics = model.running_statistics.copy()

    def value():
        return model.loss_and_gradient(x, targets, **settings)[0]

    _, gradient = model.loss_and_gradient(x, targets, **settings)
    assert relative_error(gradient, differences(value, model.parameters)) <= 1e-6
    assert (model.running_statistics == statistics).all()
    other = model.loss_and_gradient(x, targets, **(settings | {"step": 6}))[1]
    assert not (other == gradient).all()
