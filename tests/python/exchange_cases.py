"""Networks, inputs and error bounds that the tests of the exchange share."""

import golden_formulas as formulas
import numpy as np
from golden_rounding import Arithmetic, Rounded

import chainrule as cr
from chainrule import _core

ACTIVATIONS = tuple(_core.activations())
NORMS = (None, "layer", "batch")
EPSILON = 1e-5


def set_numbers(model, rng, scale=1.0):
    """Give a model parameters and running statistics that all differ."""
    model.parameters[:] = scale * rng.normal(size=model.n_parameters)
    for layer, statistics in zip(model.layers, statistics_of(model), strict=True):
        if layer.norm == "batch":
            mean, variance = statistics
            mean[:] = rng.normal(size=mean.size)
            variance[:] = rng.uniform(0.5, 2.0, size=variance.size)
    return model


def statistics_of(model):
    """Return running mean and variance of each layer, None for a layer without."""
    start, found = 0, []
    for layer in model.layers:
        if layer.norm != "batch":
            found.append(None)
            continue
        n = layer.out_features
        found.append(model.running_statistics[start : start + 2 * n].reshape(2, n))
        start += 2 * n
    return found


def network(activation, norm, dtype, rng, widths=(5, 19, 17, 3)):
    """Return a network whose hidden layers have an activation and a norm, the second no bias."""
    parameters = {"leaky_relu": {"negative_slope": 0.3}, "elu": {"alpha": 1.7}}
    chosen = cr.Activation(activation, **parameters.get(activation, {}))
    first, second, last = widths[1:]
    layers = [
        cr.Dense(first, chosen, norm=norm),
        cr.Dense(second, chosen, norm=norm, bias=False),
        cr.Dense(last),
    ]
    model = set_numbers(cr.MLP([widths[0], *layers], dtype=dtype), rng)
    for weight in model.weights:
        weight /= np.sqrt(len(weight))
    return model


def vectors_of(model):
    """Return scale and shift of each layer, None for a layer without a norm."""
    flat, found = model.parameters, []
    roles = {(b["layer"], b["role"]): b for b in model._network.parameter_blocks()}
    for i, layer in enumerate(model.layers):
        if layer.norm is None:
            found.append(None)
            continue
        starts = [roles[i, role]["offset"] for role in ("scale", "shift")]
        found.append([flat[start : start + layer.out_features] for start in starts])
    return found


def bound_of_predict(model, X, activations=formulas.ACTIVATIONS):
    """Return the outputs of a network in double, with a bound on the error of its own dtype.

    `activations` are the formulas of whoever computes; by default chainrule's.
    """
    a = Arithmetic(model.dtype)
    y = a.exact(np.asarray(X, model.dtype))
    parts = zip(
        model.layers,
        model.weights,
        model.biases,
        vectors_of(model),
        statistics_of(model),
        strict=True,
    )
    for layer, weight, bias, vectors, statistics in parts:
        y = y @ a.exact(weight)
        if bias is not None:
            y = y + a.exact(bias)
        if layer.norm is not None:
            scale, shift = map(a.exact, vectors)
            if layer.norm == "layer":
                y, _ = formulas.norm_forward(y, scale, shift, EPSILON, 1)
            else:
                mean, variance = map(a.exact, statistics)
                inverse = 1.0 / formulas.sqrt(variance + a.constant(EPSILON))
                y = (y - mean) * inverse * scale + shift
        function = activations[layer.activation.name]
        forward = function[0] if isinstance(function, tuple) else function
        y = forward(y, layer.activation.parameter)
    return y


def assert_within(got, bound: Rounded, what=""):
    """Check a result against a bound; in float64 the bound's values are rounded as well."""
    got = np.asarray(got)
    assert got.shape == bound.value.shape, what
    error = bound.error * (2.0 if got.dtype == np.float64 else 1.0)
    off = np.abs(got.astype(np.float64) - bound.value)
    wrong = off > error
    assert not wrong.any(), (
        f"{what}: {wrong.sum()} of {wrong.size} off, at worst by {np.max(off - error):.3g}, "
        f"the first at {np.argwhere(wrong)[0]}: {got[wrong][0]!r} for {bound.value[wrong][0]!r}"
    )
