"""chainrule's formulas over Rounded arrays: their values, and how far rounding can take them."""

import math

import numpy as np
from golden_rounding import (
    DOUBLE_UNIT,
    erf,
    exp,
    expm1,
    log,
    sigmoid,
    softplus,
    sqrt,
    tanh,
    where,
)

SELU_SCALE = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717


# --- activations: name -> (forward(x, parameter), derivative(x, y, parameter)) -------------------


def normal_cdf(x):
    return 0.5 * (1.0 + erf(x * x.arithmetic.constant(math.sqrt(0.5))))


def gelu_derivative(x, _, __):
    density = x.arithmetic.constant(1 / math.sqrt(2 * math.pi)) * exp(-0.5 * (x * x))
    return x * density + normal_cdf(x)


def gelu_tanh(x):
    """Return the tanh, and the bounded x and the slope of tanh's argument."""
    a = x.arithmetic
    z = x.clamped(-10.0, 10.0)
    cubic = a.constant(0.044715) * (z * z)
    t = tanh(a.constant(math.sqrt(2 / math.pi)) * (z * cubic + z))
    slope = a.constant(math.sqrt(2 / math.pi)) * (a.constant(3 * 0.044715) * (z * z) + 1.0)
    return t, z, slope


def gelu_tanh_derivative(x, _, __):
    t, z, slope = gelu_tanh(x)
    return 0.5 * (z * (1.0 - t * t) * slope + (1.0 + t))


def silu_derivative(x, _, __):
    s = sigmoid(x)
    return s * (x * (1.0 - s) + 1.0)


def mish_parts(x):
    e = exp(x.clamped(-np.inf, 20.0))
    n = e * (e + 2.0)
    return e, n, n + 2.0


def mish_derivative(x, _, __):
    e, n, q = mish_parts(x)
    slope = (4.0 * (n + 1.0) / (q * q)) * (e / (1.0 + e))
    return x.clamped(-np.inf, 20.0) * slope + n / q


def one(x):
    return x.arithmetic.exact(np.ones_like(x.value))


def zero(x):
    return x.arithmetic.exact(np.zeros_like(x.value))


def mish_forward(x, _):
    _, n, q = mish_parts(x)
    return x * (n / q)


def elu(x, alpha, scale):
    return where(x.value > 0, x * scale, alpha * expm1(x.clamped(-np.inf, 0.0)))


def selu_constants(x):
    a = x.arithmetic
    return a.constant(SELU_SCALE * SELU_ALPHA), a.constant(SELU_SCALE)


def constant_like(x, value):
    return x.arithmetic.constant(np.full_like(x.value, value))


ACTIVATIONS = {
    "identity": (lambda x, p: x, lambda x, y, p: one(x)),
    "relu": (
        lambda x, p: where(x.value > 0, x, zero(x)),
        lambda x, y, p: where(x.value > 0, one(x), zero(x)),
    ),
    "leaky_relu": (
        lambda x, p: where(x.value > 0, x, constant_like(x, p) * x),
        lambda x, y, p: where(x.value > 0, one(x), constant_like(x, p)),
    ),
    "elu": (
        lambda x, p: elu(x, constant_like(x, p), 1.0),
        lambda x, y, p: where(x.value > 0, one(x), y + constant_like(x, p)),
    ),
    "selu": (
        lambda x, p: elu(x, *selu_constants(x)),
        lambda x, y, p: where(x.value > 0, constant_like(x, SELU_SCALE), y + selu_constants(x)[0]),
    ),
    "gelu": (lambda x, p: x * normal_cdf(x), gelu_derivative),
    "gelu_tanh": (lambda x, p: 0.5 * x * (1.0 + gelu_tanh(x)[0]), gelu_tanh_derivative),
    "silu": (lambda x, p: x * sigmoid(x), silu_derivative),
    "mish": (mish_forward, mish_derivative),
    "sigmoid": (lambda x, p: sigmoid(x), lambda x, y, p: y * (1.0 - y)),
    "tanh": (lambda x, p: tanh(x), lambda x, y, p: 1.0 - y * y),
    "softplus": (lambda x, p: softplus(x), lambda x, y, p: -expm1(-y)),
}


# --- losses: name -> function(outputs, targets, **parameters) -> (elements or rows, slopes) ------


def mse(p, y):
    d = p - y
    return d * d, d + d


def mae(p, y):
    d = p - y
    return abs(d), d.sign()


def huber(p, y, delta):
    d = p - y
    delta = p.arithmetic.constant(delta)
    inside = np.abs(d.value) <= delta.value
    value = where(inside, 0.5 * (d * d), delta * (abs(d) - 0.5 * delta))
    return value, where(inside, d, d.sign() * delta)


def quantile(p, y, levels):
    tau = p.arithmetic.constant(np.tile(levels, y.shape[1]))
    error = np.repeat(y, len(levels), axis=1) - p
    level = where(error.value > 0, tau + 0.0 * error, (tau - 1.0) + 0.0 * error)
    slope = where(error.value == 0, 0.0 * level, level)
    return slope * error, -slope


def binary_cross_entropy(z, y):
    return softplus(z) - y * z, sigmoid(z) - y


def poisson(z, y):
    rate = exp(z)
    return rate - y * z, rate - y


def gaussian_nll(p, y):
    t = y.shape[1]
    d, s = p[:, :t] - y, p[:, t:]
    scaled = d * exp(-s)
    slopes = scaled.beside(0.5 * (1.0 - d * scaled))
    return 0.5 * (d * scaled + s), slopes


def cross_entropy(z, targets, label_smoothing, class_weight=None):
    a = z.arithmetic
    k = z.value.shape[1]
    epsilon = a.constant(label_smoothing)
    q = np.eye(k)[targets] if targets.ndim == 1 else targets
    q = (1.0 - epsilon) * a.exact(q) + epsilon / float(k)
    if class_weight:
        q = q * a.constant(class_weight)
    shifted = z - z.value.max(1, keepdims=True)
    e = exp(shifted)
    total = e.sum(1, keepdims=True)
    rows = (q * (log(total) - shifted)).sum(1)
    return rows, e * (q.sum(1, keepdims=True) / total) - q


LOSSES = {
    "mse": mse,
    "mae": mae,
    "huber": huber,
    "quantile": quantile,
    "binary_cross_entropy": binary_cross_entropy,
    "cross_entropy": cross_entropy,
    "poisson": poisson,
    "gaussian_nll": gaussian_nll,
}


def reduced_loss(elements, slopes, reduction, weight, class_weight):
    """Return value and gradient from the parts of a loss; weights and value sum up in double."""
    a = elements.arithmetic
    terms = 1 if elements.value.ndim == 1 else elements.value.shape[1]
    scale = 1.0 if reduction == "sum" else 1.0 / ((weight * class_weight).sum() * terms)
    shaped = weight if elements.value.ndim == 1 else weight[:, None]
    value = (a.exact(shaped) * elements).sum(unit=DOUBLE_UNIT) * scale
    return value, slopes * (a.exact(weight)[:, None] * a.constant(scale))


# --- normalization over an axis --------------------------------------------------------------


def norm_forward(x, scale, shift, epsilon, axis):
    """Return y, and the normalized x, inverse deviation, mean and biased variance."""
    a = x.arithmetic
    mean = x.mean(axis, keepdims=True)
    d = x - mean
    variance = (d * d).mean(axis, keepdims=True)
    inverse = 1.0 / sqrt(variance + a.constant(epsilon))
    normalized = d * inverse
    return normalized * scale + shift, (normalized, inverse, mean, variance)


def norm_backward(grad, normalized, inverse, scale, axis):
    g = scale * grad
    mean = g.mean(axis, keepdims=True)
    slope = (g * normalized).mean(axis, keepdims=True)
    grad_x = inverse * (g - mean - normalized * slope)
    return grad_x, (grad * normalized).sum(0), grad.sum(0)
