"""Activations and elementary functions as kernels, against float64 formulas of NumPy and SciPy."""

import numpy as np
import pytest
import scipy.special as special
from bounds import assert_close, same_bits

import chainrule as cr
from chainrule import _core

SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
SIZES = [0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 257]


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


FORMULAS = {
    "identity": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x, a=0.01: np.where(x > 0, x, a * x),
    "elu": lambda x, a=1.0: np.where(x > 0, x, a * np.expm1(np.minimum(x, 0))),
    "selu": lambda x: SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0))),
    "gelu": lambda x: x * special.ndtr(x),
    "gelu_tanh": gelu_tanh,
    "silu": lambda x: x * special.expit(x),
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "sigmoid": special.expit,
    "tanh": np.tanh,
    "softplus": lambda x: np.logaddexp(0, x),
}
MATH = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "sigmoid": special.expit,
    "erf": special.erf,
    "softplus": lambda x: np.logaddexp(0, x),
}
PARAMETERS = {"leaky_relu": {"negative_slope": 0.3}, "elu": {"alpha": 1.7}}


def forward(name):
    return getattr(cr.kernels, f"{name}_forward")


def backward(name):
    return getattr(cr.kernels, f"{name}_backward")


def saved_of(name, x, y):
    return x if _core.activations()[name]["saved"] == "input" else y


def derivative(name, x, **parameter):
    """Central differences of the float64 formula: fourth order, away from kinks."""
    f = FORMULAS[name]
    h = 1e-3
    values = parameter.values()
    near = f(x + h, *values) - f(x - h, *values)
    far = f(x + 2 * h, *values) - f(x - 2 * h, *values)
    return (8 * near - far) / (12 * h)


def test_every_activation_has_a_formula_here():
    assert set(FORMULAS) == set(_core.activations())
    assert set(MATH) == set(_core.math_functions())


@pytest.mark.parametrize("with_parameter", [False, True])
@pytest.mark.parametrize("name", _core.activations())
def test_forward_is_the_formula(name, with_parameter, variant, dtype, rng):
    parameter = PARAMETERS.get(name, {}) if with_parameter else {}
    for size in SIZES:
        x = rng.normal(scale=4, size=size).astype(dtype)
        want = FORMULAS[name](x.astype(np.float64), *parameter.values())
        got = forward(name)(x, **parameter)
        # gelu and its like multiply x with a number below 1 that was rounded on its own scale.
        assert_close(got, want, np.abs(want) + np.abs(x) * 0.5, 8, name)


@pytest.mark.parametrize("name", _core.activations())
def test_backward_is_the_derivative(name, variant, dtype, rng):
    parameter = PARAMETERS.get(name, {})
    for size in SIZES:
        x = rng.uniform(0.1, 5, size).astype(dtype) * rng.choice([-1, 1], size).astype(dtype)
        grad = rng.normal(size=size).astype(dtype)
        y = forward(name)(x, **parameter)
        got = backward(name)(grad, saved_of(name, x, y), **parameter)
        want = grad.astype(np.float64) * derivative(name, x.astype(np.float64), **parameter)
        tolerance = 1e-5 if dtype == "float32" else 1e-9  # of the differences, in float64
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)
        assert got.dtype == dtype


def test_derivatives_at_the_kink(variant, dtype):
    zero = np.zeros(3, dtype)
    one = np.ones(3, dtype)
    assert (cr.kernels.relu_backward(one, zero) == 0).all()
    assert (cr.kernels.leaky_relu_backward(one, zero, negative_slope=0.25) == 0.25).all()
    assert (cr.kernels.identity_backward(one, zero) == 1).all()


@pytest.mark.parametrize("name", MATH)
def test_elementary_functions(name, variant, dtype, rng):
    for size in SIZES:
        x = rng.normal(scale=3, size=size).astype(dtype)
        if name.startswith("log"):
            x = np.abs(x) + np.asarray(1e-3, dtype)
        want = MATH[name](x.astype(np.float64))
        assert_close(getattr(cr.kernels, name)(x), want, want, 3, name)


@pytest.mark.parametrize("name", MATH)
def test_elementary_functions_at_the_ends(name, variant, dtype):
    x = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0], dtype)
    with np.errstate(all="ignore"):
        want = MATH[name](x)
    got = getattr(cr.kernels, name)(x)
    finite = np.isfinite(want)
    np.testing.assert_array_equal(got[~finite], want[~finite])
    assert_close(got[finite], want[finite].astype(np.float64), want[finite].astype(np.float64), 1)
    known = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got)[known], np.signbit(want)[known])


@pytest.mark.parametrize("name", _core.activations())
def test_shapes_and_places(name, variant, dtype, rng):
    x = rng.normal(size=(3, 4, 5)).astype(dtype)
    y = forward(name)(x)
    assert y.shape == x.shape
    assert y.dtype == dtype
    assert same_bits(forward(name)(x[1, 2, 3:4]), y[1, 2, 3:4])
    assert same_bits(forward(name)(x[:, ::-2]), np.ascontiguousarray(y[:, ::-2]))
    out = np.empty_like(x)
    assert forward(name)(x, out) is out
    assert same_bits(out, y)
    in_place = x.copy()
    forward(name)(in_place, out=in_place)
    assert same_bits(in_place, y)
    grad = rng.normal(size=x.shape).astype(dtype)
    saved = saved_of(name, x, y)
    want = backward(name)(grad, saved)
    for place in (0, 1):
        arrays = [grad.copy(), saved.copy()]
        backward(name)(*arrays, out=arrays[place])
        assert same_bits(arrays[place], want)


def test_functions_look_written_out():
    function = cr.kernels.leaky_relu_backward
    assert function.__name__ == "leaky_relu_backward"
    assert function.__module__ == "chainrule.kernels"
    assert str(cr.kernels.elu_forward.__signature__).startswith("(x: 'npt.ArrayLike', out:")
    assert "alpha=1.0" in str(cr.kernels.elu_forward.__signature__)
    assert "negative_slope : float, default 0.01" in function.__doc__
    assert set(dir(cr.kernels)) >= {f"{name}_forward" for name in _core.activations()}


def test_parameters_are_checked():
    with pytest.raises(TypeError, match="unexpected keyword argument 'alpha'"):
        cr.kernels.relu_forward([1.0], alpha=1.0)
    with pytest.raises(ValueError, match="alpha must be a finite number >= 0, got -1"):
        cr.kernels.elu_forward([1.0], alpha=-1.0)
    with pytest.raises(TypeError, match="negative_slope must be a finite number >= 0, got str"):
        cr.kernels.leaky_relu_forward([1.0], negative_slope="0.1")
    with pytest.raises(ValueError, match=r"saved must have shape \(2,\), got shape \(3,\)"):
        cr.kernels.tanh_backward([1.0, 2.0], [1.0, 2.0, 3.0])
