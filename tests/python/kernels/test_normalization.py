"""Layer and batch normalization as kernels, against float64 formulas and central differences."""

import numpy as np
import pytest
from bounds import same_bits

import chainrule as cr

SHAPES = [(1, 1), (1, 5), (2, 3), (5, 1), (7, 8), (16, 17), (33, 31), (64, 65), (129, 3)]


def normalized(x, axis, epsilon=1e-5):
    mean = x.mean(axis=axis, keepdims=True)
    return (x - mean) / np.sqrt(x.var(axis=axis, keepdims=True) + epsilon)


def draw(rng, dtype, m, n):
    x = rng.normal(1.5, 2, (m, n)).astype(dtype)
    return x, rng.uniform(0.5, 2, n).astype(dtype), rng.normal(size=n).astype(dtype)


def tolerance(dtype):
    return {"rtol": 1e-5, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-12}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_forward_is_the_formula(norm, shape, variant, dtype, rng):
    x, scale, shift = draw(rng, dtype, *shape)
    axis = 1 if norm == "layer" else 0
    wide = x.astype(np.float64)
    got = getattr(cr.kernels, f"{norm}_norm_forward")(x, scale, shift)
    np.testing.assert_allclose(got.normalized, normalized(wide, axis), **tolerance(dtype))
    want = normalized(wide, axis) * scale + shift
    np.testing.assert_allclose(got.out, want, **tolerance(dtype))
    inverse = 1 / np.sqrt(wide.var(axis=axis) + 1e-5)
    np.testing.assert_allclose(got.inverse_deviation, inverse, **tolerance(dtype))
    if norm == "batch":
        np.testing.assert_allclose(got.mean, wide.mean(axis=0), **tolerance(dtype))
        np.testing.assert_allclose(got.variance, wide.var(axis=0), **tolerance(dtype))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_backward_is_the_derivative(norm, shape, variant, rng):
    x, scale, shift = draw(rng, "float64", *shape)
    grad = rng.normal(size=shape)
    axis = 1 if norm == "layer" else 0
    forward = getattr(cr.kernels, f"{norm}_norm_forward")(x, scale, shift)
    backward = getattr(cr.kernels, f"{norm}_norm_backward")
    got = backward(grad, forward.normalized, forward.inverse_deviation, scale)
    np.testing.assert_allclose(got.scale, (grad * normalized(x, axis)).sum(axis=0), 1e-11, 1e-11)
    np.testing.assert_allclose(got.shift, grad.sum(axis=0), 1e-12, 1e-12)
    for _ in range(5):
        direction = rng.normal(size=shape)

        def at(step, direction=direction):
            return (grad * scale * normalized(x + step * direction, axis)).sum()

        h = 1e-4
        slope = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
        size = np.abs(grad * scale).sum() + 1
        assert (got.x * direction).sum() == pytest.approx(slope, abs=1e-8 * size)


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_float32_gradient_is_near_float64(norm, variant, rng):
    x, scale, shift = draw(rng, "float32", 37, 19)
    grad = rng.normal(size=x.shape).astype(np.float32)
    results = []
    for kind in (np.float32, np.float64):
        arrays = [a.astype(kind) for a in (x, scale, shift)]
        forward = getattr(cr.kernels, f"{norm}_norm_forward")(*arrays)
        backward = getattr(cr.kernels, f"{norm}_norm_backward")
        results.append(
            backward(grad.astype(kind), forward.normalized, forward.inverse_deviation, arrays[1])
        )
    for single, double in zip(*results, strict=True):
        assert single.dtype == np.float32
        np.testing.assert_allclose(single, double, rtol=2e-5, atol=2e-5)


def test_large_means_do_not_cancel(variant):
    x = np.array([[1e6 + 1, 1e6 + 2, 1e6 + 3, 1e6 + 6]], np.float32)
    ones, zeros = np.ones(4, np.float32), np.zeros(4, np.float32)
    got = cr.kernels.layer_norm_forward(x, ones, zeros).out
    np.testing.assert_allclose(got, normalized(x.astype(np.float64), 1), rtol=1e-5)
    column = np.ascontiguousarray(x.T)
    got = cr.kernels.batch_norm_forward(column, ones[:1], zeros[:1]).out
    np.testing.assert_allclose(got.T, normalized(x.astype(np.float64), 1), rtol=1e-5)


def test_constant_rows_are_normalized_to_nothing(variant, dtype):
    x = np.full((3, 4), 7.0, dtype)
    for name in ("layer_norm_forward", "batch_norm_forward"):
        got = getattr(cr.kernels, name)(x, np.ones(4, dtype), np.full(4, 0.5, dtype))
        assert (got.out == 0.5).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_prediction_uses_given_statistics(shape, variant, dtype, rng):
    x, scale, shift = draw(rng, dtype, *shape)
    mean = rng.normal(size=shape[1]).astype(dtype)
    variance = rng.uniform(0.1, 3, shape[1]).astype(dtype)
    got = cr.kernels.batch_norm_predict(x, scale, shift, mean, variance, epsilon=1e-3)
    wide = [a.astype(np.float64) for a in (x, scale, shift, mean, variance)]
    want = (wide[0] - wide[3]) / np.sqrt(wide[4] + 1e-3) * wide[1] + wide[2]
    np.testing.assert_allclose(got, want, **tolerance(dtype))
    row = cr.kernels.batch_norm_predict(x[-1:], scale, shift, mean, variance, epsilon=1e-3)
    assert same_bits(row, got[-1:])


def test_out(rng):
    x, scale, shift = draw(rng, "float64", 4, 3)
    for name in ("layer_norm_forward", "batch_norm_forward"):
        function = getattr(cr.kernels, name)
        out = np.empty_like(x)
        assert function(x, scale, shift, out=out).out is out
        assert same_bits(out, function(x, scale, shift).out)
        with pytest.raises(ValueError, match="out must not overlap"):
            function(x, scale, shift, out=x)


X, V = np.ones((2, 3)), np.ones(3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda k: k.layer_norm_forward(V, V, V), "x must be a 2-D array"),
        (lambda k: k.layer_norm_forward(X, V[:2], V), r"scale must have shape \(3,\)"),
        (lambda k: k.batch_norm_forward(X, V, X), r"shift must have shape \(3,\)"),
        (lambda k: k.batch_norm_forward(X, V, V, epsilon=0), "epsilon must be .* > 0, got 0"),
        (lambda k: k.batch_norm_forward(X[:0], V, V), "x must have at least one row"),
        (lambda k: k.layer_norm_forward(X[:, :0], V[:0], V[:0]), "at least one column"),
        (lambda k: k.batch_norm_predict(X, V, V, V, V[:1]), "running_variance must have shape"),
        (lambda k: k.layer_norm_backward(X, X, V, V), r"inverse_deviation must have shape \(2,\)"),
        (lambda k: k.batch_norm_backward(X, X, V[:2], V), r"deviation must have shape \(3,\)"),
        (lambda k: k.batch_norm_backward(X, X.T, V, V), r"normalized must have shape \(2, 3\)"),
        (lambda k: k.batch_norm_backward(X[:0], X[:0], V, V), "grad_output must not be empty"),
    ],
)
def test_kernels_check_their_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call(cr.kernels)
