"""Every kernel of ``chainrule.kernels`` beside the same operation of the NumPy reference.

    pytest benchmarks/test_kernels.py -k float32           # 2 minutes
    pytest benchmarks/test_kernels.py --benchmark-disable  # each once, compared: seconds

One group of the table is one kernel; the number in parentheses is the ratio to the fastest. Both
write into buffers made beforehand and are compared before they are timed.
"""

from collections.abc import Callable

import numpy as np
import pytest

import chainrule as cr
from chainrule import _core, kernels

from . import numpy_reference as reference
from .numpy_reference import activations, layer
from .numpy_reference.losses import reduce_loss

SHAPE = (256, 128)  # 32,768 elements: a float32 array of them fits in a second-level cache
N_PARAMETERS = 50_000
CLASSES = 10

Call = Callable[[], tuple]
Pair = tuple[Call, Call]  # NumPy, chainrule; each returns what it computed


def normal(dtype, *shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def math_function(name: str, dtype: str) -> Pair:
    x = normal(dtype, *SHAPE)
    if name.startswith("log"):
        np.abs(x, out=x)
    out = np.empty_like(x)
    own = {"erf": reference.erf}
    for function in (activations.sigmoid, activations.softplus):
        own[function.__name__] = lambda x, function=function: function(x, out)
    function = own.get(name) or (lambda x: getattr(np, name)(x, out=out))
    other = np.empty_like(x)
    kernel = getattr(kernels, name)
    return lambda: (function(x),), lambda: (kernel(x, out=other),)


def activation_forward(name: str, dtype: str) -> Pair:
    x = normal(dtype, *SHAPE)
    out, other = np.empty_like(x), np.empty_like(x)
    activation = reference.ACTIVATIONS[name]
    kernel = getattr(kernels, f"{name}_forward")

    def with_numpy():
        activation.forward(x, out, activation.default_parameter)
        return (out,)

    return with_numpy, lambda: (kernel(x, out=other),)


def activation_backward(name: str, dtype: str) -> Pair:
    x, grad = normal(dtype, *SHAPE), normal(dtype, *SHAPE, seed=1)
    y, out, other = np.empty_like(x), np.empty_like(x), np.empty_like(x)
    activation = reference.ACTIVATIONS[name]
    parameter = activation.default_parameter
    activation.forward(x, y, parameter)
    saved = x if _core.activations()[name]["saved"] == "input" else y
    kernel = getattr(kernels, f"{name}_backward")

    def with_numpy():
        activation.derivative(x, y, out, parameter)
        return (np.multiply(out, grad, out=out),)

    return with_numpy, lambda: (kernel(grad, saved, out=other),)


def loss(name: str, dtype: str) -> Pair:
    outputs = normal(dtype, SHAPE[0], CLASSES)
    targets = np.abs(normal(dtype, SHAPE[0], CLASSES, seed=1))
    parameters = {}
    if name == "cross_entropy":
        targets = np.random.default_rng(2).integers(0, CLASSES, SHAPE[0]).astype(np.int32)
    elif name == "binary_cross_entropy":
        targets = (targets > 0.5).astype(dtype)
    elif name == "gaussian_nll":
        targets = targets[:, : CLASSES // 2].copy()
    elif name == "quantile":
        parameters["levels"] = (0.1, 0.9)
        targets = targets[:, : CLASSES // 2].copy()
    grad, other = np.empty_like(outputs), np.empty_like(outputs)
    function, kernel = reference.LOSSES[name], getattr(kernels, name)

    def with_numpy():
        value = reduce_loss(*function(outputs, targets, grad, **parameters), grad)
        return value, grad

    return with_numpy, lambda: kernel(outputs, targets, out=other, **parameters)


def optimizer(name: str, dtype: str) -> Pair:
    start, gradient = normal(dtype, N_PARAMETERS), normal(dtype, N_PARAMETERS, seed=1)
    options = {"learning_rate": 1e-3} | ({"momentum": 0.9} if name == "sgd" else {})
    chosen = reference.OPTIMIZERS[name](**options)
    parameters, updated = start.copy(), start.copy()
    bound = chosen.bind(parameters, gradient, decayed=[parameters])
    states = kernels.optimizer_states(getattr(cr, type(chosen).__name__)(**options), updated)
    kernel = getattr(kernels, f"{name}_step")

    def with_numpy():
        bound.step()
        return (parameters,)

    def with_chainrule():
        kernel(updated, gradient, states, 1, **options)
        return (updated,)

    return with_numpy, with_chainrule


def dense_forward(activation: str, dtype: str) -> Pair:
    x, w, b = normal(dtype, *SHAPE), normal(dtype, SHAPE[1], 256), normal(dtype, 256)
    out, other = np.empty((SHAPE[0], 256), dtype), np.empty((SHAPE[0], 256), dtype)
    function = reference.ACTIVATIONS[activation]

    def with_numpy():
        np.matmul(x, w, out=out)
        np.add(out, b, out=out)
        function.forward(out, out, function.default_parameter)
        return (out,)

    return with_numpy, lambda: (kernels.dense_forward(x, w, b, activation, other),)


def dense_backward(_: str, dtype: str) -> Pair:
    x, w = normal(dtype, *SHAPE), normal(dtype, SHAPE[1], 256)
    grad = normal(dtype, SHAPE[0], 256)
    shapes = (x.shape, w.shape, 256)
    out = [np.empty(shape, dtype) for shape in shapes]
    other = [np.empty(shape, dtype) for shape in shapes]
    ones = np.ones(SHAPE[0], dtype)

    def with_numpy():
        np.matmul(grad, w.T, out=out[0])
        np.matmul(x.T, grad, out=out[1])
        np.matmul(ones, grad, out=out[2])
        return out

    def with_chainrule():
        kernels.dense_backward(grad, x, w, grad_x=other[0], grad_w=other[1], grad_b=other[2])
        return other

    return with_numpy, with_chainrule


def norm_forward(name: str, dtype: str) -> Pair:
    x, scale, shift = normal(dtype, *SHAPE), normal(dtype, SHAPE[1]), normal(dtype, SHAPE[1])
    normalized, out, other = np.empty_like(x), np.empty_like(x), np.empty_like(x)
    kernel = getattr(kernels, f"{name}_norm_forward")

    def with_numpy():
        layer.standardize(x, {"layer": 1, "batch": 0}[name], normalized)
        np.multiply(normalized, scale, out=out)
        return (np.add(out, shift, out=out),)

    def with_chainrule():
        kernel(x, scale, shift, out=other)
        return (other,)

    return with_numpy, with_chainrule


def norm_backward(name: str, dtype: str) -> Pair:
    x, grad, scale = normal(dtype, *SHAPE), normal(dtype, *SHAPE, seed=1), normal(dtype, SHAPE[1])
    axis = {"layer": 1, "batch": 0}[name]
    normalized, out = np.empty_like(x), np.empty_like(x)
    inverse_deviation = layer.standardize(x, axis, normalized)[2]
    flat = inverse_deviation.ravel()
    ones = np.ones(SHAPE[0], dtype)
    kernel = getattr(kernels, f"{name}_norm_backward")

    def with_numpy():
        grad_scale = np.einsum("ij,ij->j", grad, normalized)
        grad_shift = ones @ grad
        np.multiply(grad, scale, out=out)
        layer.standardize_backward(out, normalized, inverse_deviation, axis)
        return out, grad_scale, grad_shift

    return with_numpy, lambda: tuple(kernel(grad, normalized, flat, scale))


FAMILIES: dict[Callable[[str, str], Pair], list[str]] = {
    dense_forward: ["identity", "relu", "tanh"],
    dense_backward: ["identity"],
    activation_forward: list(_core.activations()),
    activation_backward: list(_core.activations()),
    loss: list(_core.losses()),
    optimizer: list(reference.OPTIMIZERS),
    norm_forward: ["layer", "batch"],
    norm_backward: ["layer", "batch"],
    math_function: list(_core.math_functions()),
}
CASES = [(family, name) for family, names in FAMILIES.items() for name in names]
TOLERANCES = {"float32": {"rtol": 2e-5, "atol": 1e-5}, "float64": {"rtol": 1e-10, "atol": 1e-10}}


@pytest.mark.benchmark(max_time=0.25, min_rounds=20)
@pytest.mark.parametrize("implementation", ["numpy", "chainrule"])
@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize(
    ("family", "name"), CASES, ids=[f"{family.__name__}-{name}" for family, name in CASES]
)
def test_kernel(benchmark, family, name, dtype, implementation):
    with_numpy, with_chainrule = family(name, dtype)
    for expected, got in zip(with_numpy(), with_chainrule(), strict=True):
        np.testing.assert_allclose(got, expected, **TOLERANCES[dtype])
    benchmark.group = f"{family.__name__} {name} {dtype}"
    benchmark(with_numpy if implementation == "numpy" else with_chainrule)


@pytest.mark.benchmark(max_time=0.25, min_rounds=20, group="dropout mask float32")
@pytest.mark.parametrize("implementation", ["numpy", "chainrule"])
def test_dropout_mask(benchmark, implementation):
    out = np.empty(SHAPE, np.float32)
    masks = reference.RandomMasks()

    def with_numpy():
        masks(0, 0, 0.25, out)

    def with_chainrule():
        kernels.dropout_mask(SHAPE, 0.25, seed=0, out=out)

    benchmark(with_numpy if implementation == "numpy" else with_chainrule)
    np.testing.assert_allclose(np.unique(out), [0.0, 1.0 / 0.75], rtol=1e-6)
