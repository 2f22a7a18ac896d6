"""Activations of the reference: a forward pass and a derivative for each.

``forward(x, out, parameter)`` writes the activation of x. ``derivative(x, y, out, parameter)``
writes its derivative, where y is that activation; out may be y. Where ``from_output`` holds,
forward may work in place and derivative reads y alone.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

# erfc(a) * exp(a * a) for 0 <= a <= 6 as a polynomial in s = (a - 2) / (a + 2), interpolated in
# Chebyshev points with 50 digits; highest power first.
_ERFCX_FLOAT64 = (
    -2.241076675160188e-10, -2.3342165810895347e-08, -1.6101272839722278e-07,
    -4.4214581557514224e-07, -3.527850041280998e-07, 1.1944012157266764e-06,
    3.7232205841551327e-06, 1.383349639416628e-06, -1.3956788392072295e-05,
    -2.7576904833331177e-05, 2.7524635290501838e-05, 0.00017436067237315905,
    4.3555598701925234e-05, -0.0009819769828971277, -0.0008471432463274442,
    0.0069974617372043, 0.003732892404078165, -0.07897858101569082,
    0.24165819424247054, -0.42718584741395865, 0.25539567631050575,
)  # fmt: skip
_ERFCX_FLOAT32 = (
    -0.000169775414, -0.00101611704, -0.000753659719, 0.0070396327, 0.00372158614,
    -0.0789855593, 0.241658562, -0.427185579, 0.255395675,
)  # fmt: skip


def erf(x: np.ndarray) -> np.ndarray:
    """Error function; absolute error at most 5e-16 (float64) or 3e-7 (float32)."""
    coefficients = _ERFCX_FLOAT32 if x.dtype == np.float32 else _ERFCX_FLOAT64
    a = np.abs(x)
    np.minimum(a, 6.0, out=a)  # erf(6) rounds to 1
    s = (a - 2.0) / (a + 2.0)
    result = np.full_like(s, coefficients[0])
    for coefficient in coefficients[1:]:
        result *= s
        result += coefficient
    np.multiply(a, a, out=a)
    result *= np.exp(np.negative(a, out=a), out=a)
    np.subtract(1.0, result, out=result)
    return np.copysign(result, x, out=result)


@dataclass(frozen=True)
class Activation:
    """A function of one element and its derivative."""

    forward: Callable[[np.ndarray, np.ndarray, float], Any]
    derivative: Callable[[np.ndarray, np.ndarray, np.ndarray, float], Any]
    from_output: bool
    default_parameter: float = 0.0


SELU_SCALE = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717


def sigmoid(x, out):
    """1 / (1 + exp(-x)) that cannot overflow."""
    np.multiply(x, 0.5, out=out)
    np.tanh(out, out=out)
    out *= 0.5
    out += 0.5
    return out


def softplus(x, out):
    positive = np.maximum(x, 0.0)
    np.negative(np.abs(x, out=out), out=out)
    np.log1p(np.exp(out, out=out), out=out)
    out += positive
    return out


def _leaky_relu(x, out, slope):
    negative = np.minimum(x, 0.0)
    negative *= slope
    np.maximum(x, 0.0, out=out)
    out += negative


def _leaky_relu_derivative(y, out, slope):
    np.greater(y, 0.0, out=out)
    out *= 1.0 - slope
    out += slope


def _elu(x, out, alpha, scale=1.0):
    negative = np.minimum(x, 0.0)
    np.expm1(negative, out=negative)
    negative *= alpha
    np.maximum(x, 0.0, out=out)
    out += negative
    if scale != 1.0:
        out *= scale


def _elu_derivative(y, out, alpha, scale=1.0):
    positive = y > 0.0
    np.add(y, scale * alpha, out=out)
    np.copyto(out, scale, where=positive)


def _gelu(x, out, _):
    phi = erf(x * math.sqrt(0.5))
    phi += 1.0
    phi *= 0.5
    np.multiply(x, phi, out=out)


def _gelu_derivative(x, out):
    density = np.exp(-0.5 * x * x)
    density *= x
    density *= 1.0 / math.sqrt(2.0 * math.pi)
    phi = erf(x * math.sqrt(0.5))
    phi += 1.0
    phi *= 0.5
    np.add(phi, density, out=out)


def _gelu_tanh_inner(x):
    inner = x * x
    inner *= 0.044715
    inner += 1.0
    inner *= x
    inner *= math.sqrt(2.0 / math.pi)
    return np.tanh(inner, out=inner)


def _gelu_tanh(x, out, _):
    inner = _gelu_tanh_inner(x)
    inner += 1.0
    inner *= 0.5
    np.multiply(x, inner, out=out)


def _gelu_tanh_derivative(x, out):
    inner = _gelu_tanh_inner(x)
    slope = x * x
    slope *= 3.0 * 0.044715
    slope += 1.0
    slope *= x
    slope *= 0.5 * math.sqrt(2.0 / math.pi)
    slope *= 1.0 - inner * inner
    inner += 1.0
    inner *= 0.5
    np.add(inner, slope, out=out)


def _silu_derivative(x, out):
    rising = sigmoid(x, np.empty_like(x))
    np.subtract(1.0, rising, out=out)
    out *= x
    out += 1.0
    out *= rising


def _mish(x, out, _):
    np.multiply(x, np.tanh(softplus(x, np.empty_like(x))), out=out)


def _mish_derivative(x, out):
    inner = np.tanh(softplus(x, np.empty_like(x)))
    np.multiply(inner, inner, out=out)
    np.subtract(1.0, out, out=out)
    out *= x
    out *= sigmoid(x, np.empty_like(x))
    out += inner


def _sigmoid_derivative(y, out):
    np.multiply(y, 1.0 - y, out=out)


def _tanh_derivative(y, out):
    np.multiply(y, y, out=out)
    np.subtract(1.0, out, out=out)


def _softplus_derivative(y, out):
    np.negative(np.expm1(np.negative(y, out=out), out=out), out=out)


ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(
        lambda x, out, _: None if out is x else np.copyto(out, x),
        lambda x, y, out, _: out.fill(1.0),
        True,
    ),
    "relu": Activation(
        lambda x, out, _: np.maximum(x, 0.0, out=out),
        lambda x, y, out, _: np.greater(y, 0.0, out=out),
        True,
    ),
    "leaky_relu": Activation(
        _leaky_relu, lambda x, y, out, slope: _leaky_relu_derivative(y, out, slope), True, 0.01
    ),
    "elu": Activation(_elu, lambda x, y, out, alpha: _elu_derivative(y, out, alpha), True, 1.0),
    "selu": Activation(
        lambda x, out, _: _elu(x, out, SELU_ALPHA, SELU_SCALE),
        lambda x, y, out, _: _elu_derivative(y, out, SELU_ALPHA, SELU_SCALE),
        True,
    ),
    "gelu": Activation(_gelu, lambda x, y, out, _: _gelu_derivative(x, out), False),
    "gelu_tanh": Activation(_gelu_tanh, lambda x, y, out, _: _gelu_tanh_derivative(x, out), False),
    "silu": Activation(
        lambda x, out, _: np.multiply(x, sigmoid(x, np.empty_like(x)), out=out),
        lambda x, y, out, _: _silu_derivative(x, out),
        False,
    ),
    "mish": Activation(_mish, lambda x, y, out, _: _mish_derivative(x, out), False),
    "sigmoid": Activation(
        lambda x, out, _: sigmoid(x, out), lambda x, y, out, _: _sigmoid_derivative(y, out), True
    ),
    "tanh": Activation(
        lambda x, out, _: np.tanh(x, out=out), lambda x, y, out, _: _tanh_derivative(y, out), True
    ),
    "softplus": Activation(
        lambda x, out, _: softplus(x, out),
        lambda x, y, out, _: _softplus_derivative(y, out),
        True,
    ),
}
