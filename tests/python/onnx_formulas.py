"""What onnxruntime computes for the activations of an exported network, over Rounded arrays.

The formulas of exported graphs, with the errors of onnxruntime's own functions: its tanh is good to
6 units of 1 and its sigmoid to 4 (measured in float32 on 2 million numbers in [-30, 30]: 5.5 and
2.8), for both are rational approximations that are cut off; exp, log and erf are good to the last
bits.
"""

import math

import golden_formulas as formulas
import numpy as np
from golden_rounding import Arithmetic, Rounded, erf, exp, log, maximum, sigmoid, tanh, where

SINGLE = Arithmetic(np.float32).unit


def _with_error(y, units):
    return Rounded(y.arithmetic, y.value, y.error + units * y.arithmetic.unit)


def runtime_tanh(x):
    return _with_error(tanh(x), 6)


def runtime_sigmoid(x):
    return _with_error(sigmoid(x), 4)


def _expm1(x):
    x = x.clamped(-np.inf, 0.0)
    if x.arithmetic.unit == SINGLE:
        return exp(x) - 1.0
    return runtime_tanh(0.5 * x) * (exp(x) + 1.0)


def _elu(x, alpha, scale):
    return where(x.value > 0, scale * x, scale * (alpha * _expm1(x)))


def _selu(x, _):
    constant = x.arithmetic.constant
    return _elu(x, constant(formulas.SELU_ALPHA), constant(formulas.SELU_SCALE))


def _normal_cdf(x):
    scaled = x * x.arithmetic.constant(math.sqrt(0.5))
    if x.arithmetic.unit == SINGLE:
        return 0.5 * (1.0 + erf(scaled))
    # exp(-x^2 / 2) times a polynomial of 24 coefficients: their roundings, of terms that add up
    # to no more than 4 times the value.
    y = 0.5 * (1.0 + erf(scaled))
    units = 4 * 2 * 24 + x.value**2
    return Rounded(y.arithmetic, y.value, y.error + y.arithmetic.unit * units * np.abs(y.value))


def _gelu_tanh(x, _):
    constant = x.arithmetic.constant
    inner = constant(0.044715) * (x * x) * x + x
    return 0.5 * x * (1.0 + runtime_tanh(constant(math.sqrt(2 / math.pi)) * inner))


def _silu(x, _):
    if x.arithmetic.unit == SINGLE:
        return x * runtime_sigmoid(x)
    z = exp(-abs(x))
    return where(x.value > 0, x, x * z) / (z + 1.0)


def _softplus(x, _):
    z = exp(-abs(x))
    zero = x.arithmetic.exact(np.zeros_like(x.value))
    return maximum(x, zero) + log(z + 1.0)


ACTIVATIONS = {
    **{name: forward for name, (forward, _) in formulas.ACTIVATIONS.items()},
    "elu": lambda x, alpha: _elu(x, x.arithmetic.constant(alpha), 1.0),
    "selu": _selu,
    "gelu": lambda x, _: x * _normal_cdf(x),
    "gelu_tanh": _gelu_tanh,
    "silu": _silu,
    "sigmoid": lambda x, _: runtime_sigmoid(x),
    "tanh": lambda x, _: runtime_tanh(x),
    "softplus": _softplus,
}
