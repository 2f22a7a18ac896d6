"""One step of gradient descent on a network over Rounded arrays: what rounding can do to it.

Used by test_exchange_torch.py, where chainrule and PyTorch take the step.
"""

import golden_formulas as formulas
import numpy as np
from exchange_cases import EPSILON, statistics_of, vectors_of
from golden_rounding import Arithmetic


def bounds_of_step(model, X, y, learning_rate):
    """Return the parameters (flat) and running statistics after a step on the mean square error.

    Both as lists of Rounded, in the order of the flat buffers. The model is not changed.
    """
    a = Arithmetic(model.dtype)
    vectors, statistics = vectors_of(model), statistics_of(model)
    x, tape, running = a.exact(X), [], []
    for i, layer in enumerate(model.layers):
        weight, bias = a.exact(model.weights[i]), model.biases[i]
        z = x @ weight
        if bias is not None:
            z = z + a.exact(bias)
        saved = None
        if layer.norm is not None:
            axis = 1 if layer.norm == "layer" else 0
            z, saved = formulas.norm_forward(z, *map(a.exact, vectors[i]), EPSILON, axis)
        if layer.norm == "batch":
            mean, variance = saved[2][0], saved[3][0] * a.constant(len(X) / (len(X) - 1))
            for old, new in zip(statistics[i], (mean, variance), strict=True):
                running.append(a.constant(0.9) * a.exact(old) + a.constant(0.1) * new)
        forward, derivative = formulas.ACTIVATIONS[layer.activation.name]
        out = forward(z, layer.activation.parameter)
        slope = derivative(z, out, layer.activation.parameter)
        tape.append((x, weight, saved, slope))
        x = out
    gradient = (x - a.exact(y)) * a.constant(2.0 / y.size)
    updated = []
    for i in reversed(range(len(model.layers))):
        x, weight, saved, slope = tape[i]
        gradient = gradient * slope
        blocks = []
        if saved is not None:
            axis = 1 if model.layers[i].norm == "layer" else 0
            scale, shift = map(a.exact, vectors[i])
            gradient, grad_scale, grad_shift = formulas.norm_backward(
                gradient, *saved[:2], scale, axis
            )
            blocks = [(scale, grad_scale), (shift, grad_shift)]
        if model.biases[i] is not None:
            blocks.insert(0, (a.exact(model.biases[i]), gradient.sum(0)))
        blocks.insert(0, (weight, x.T @ gradient))
        step = a.constant(learning_rate)
        updated = [value - step * slopes for value, slopes in blocks] + updated
        gradient = gradient @ weight.T
    return updated, running


def assert_equal_within(ours, theirs, bounds, what):
    """Check two results of a computation, each of which may be off by its bound."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    value = np.concatenate([bound.value.ravel() for bound in bounds])
    error = np.concatenate([bound.error.ravel() for bound in bounds])
    # The values are right: a third computation, in double.
    unit = bounds[0].arithmetic.unit
    slack = error * (1.0 if unit > 2.0**-53 else 2.0)
    assert ours.shape == theirs.shape == value.shape, what
    assert (np.abs(ours - value) <= slack).all(), f"{what}: chainrule"
    assert (np.abs(theirs - value) <= slack).all(), f"{what}: PyTorch"
    # And tight enough to tell a wrong formula.
    assert np.median(error) < 1e4 * unit * np.abs(value).max(), what
