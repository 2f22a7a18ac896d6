"""The dense kernels, and what all kernels ask of their arrays."""

import itertools

import numpy as np
import pytest
from bounds import assert_close, same_bits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_activations import FORMULAS

import chainrule as cr
from chainrule import _core

# m, k, n: nothing, one, primes, powers of two and their neighbors, narrow, deep.
SHAPES = [
    *itertools.product([0, 1, 5], [0, 1, 7], [0, 1, 3]),
    (2, 3, 4),
    (13, 17, 19),
    (16, 16, 16),
    (31, 32, 33),
    (64, 63, 65),
    (1, 300, 1),
    (300, 1, 2),
    (2, 1, 300),
    (129, 127, 10),
    (5, 1025, 7),
]


def draw(rng, dtype, *shape):
    return rng.normal(size=shape).astype(dtype)


def assert_is_product(got, a, b, added=0.0, what=""):
    a, b = a.astype(np.float64), b.astype(np.float64)
    want = a @ b + added
    scale = np.abs(a) @ np.abs(b) + np.abs(added)
    assert_close(got, want, scale, a.shape[1] + 2, what)


@pytest.mark.parametrize("shape", SHAPES)
def test_dense_forward_is_the_product(shape, variant, dtype, rng):
    m, k, n = shape
    x, w, b = draw(rng, dtype, m, k), draw(rng, dtype, k, n), draw(rng, dtype, n)
    assert_is_product(cr.kernels.dense_forward(x, w), x, w, what="without bias")
    assert_is_product(cr.kernels.dense_forward(x, w, b), x, w, b.astype(np.float64), "with bias")


@pytest.mark.parametrize("activation", _core.activations())
def test_dense_forward_applies_the_activation(activation, variant, dtype, rng):
    for m, k, n in [(1, 1, 1), (7, 5, 3), (33, 16, 17)]:
        x, w, b = draw(rng, dtype, m, k), draw(rng, dtype, k, n), draw(rng, dtype, n)
        z = np.empty((m, n), dtype)
        y = cr.kernels.dense_forward(x, w, b, activation, preactivation=z)
        assert same_bits(z, cr.kernels.dense_forward(x, w, b))
        want = FORMULAS[activation](z.astype(np.float64))
        assert_close(y, want, np.abs(want) + np.abs(z), 8, activation)
        assert same_bits(y, cr.kernels.dense_forward(x, w, b, activation))


@pytest.mark.parametrize("shape", SHAPES)
def test_dense_backward_is_the_product(shape, variant, dtype, rng):
    m, k, n = shape
    grad, x, w = draw(rng, dtype, m, n), draw(rng, dtype, m, k), draw(rng, dtype, k, n)
    got = cr.kernels.dense_backward(grad, x, w)
    assert_is_product(got.x, grad, np.ascontiguousarray(w.T), what="input")
    assert_is_product(got.w, np.ascontiguousarray(x.T), grad, what="weight")
    bias = np.ones((1, m)) @ grad.astype(np.float64)
    assert_close(got.b[None], bias, np.ones((1, m)) @ np.abs(grad.astype(np.float64)), m + 2)
    without = cr.kernels.dense_backward(grad, x, w, need_grad_x=False)
    assert without.x is None
    assert same_bits(without.w, got.w)
    assert same_bits(without.b, got.b)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    m=st.integers(0, 40),
    k=st.integers(0, 70),
    n=st.integers(0, 40),
    wide=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_dense_of_any_shape(variant, m, k, n, wide, seed):
    dtype = "float64" if wide else "float32"
    rng = np.random.default_rng(seed)
    x, w, b = draw(rng, dtype, m, k), draw(rng, dtype, k, n), draw(rng, dtype, n)
    assert_is_product(cr.kernels.dense_forward(x, w, b), x, w, b.astype(np.float64))


def test_rows_do_not_depend_on_the_batch(variant, dtype, rng):
    x, w, b = draw(rng, dtype, 97, 61), draw(rng, dtype, 61, 23), draw(rng, dtype, 23)
    whole = cr.kernels.dense_forward(x, w, b, "gelu")
    for start, stop in [(0, 1), (5, 6), (96, 97), (3, 20), (1, 97)]:
        part = cr.kernels.dense_forward(x[start:stop], w, b, "gelu")
        assert same_bits(part, whole[start:stop])


def test_alignment_does_not_matter(variant, dtype, rng):
    w, b = draw(rng, dtype, 37, 19), draw(rng, dtype, 19)
    flat = draw(rng, dtype, 16 + 11 * 37)
    for offset in range(16):
        x = flat[offset : offset + 11 * 37].reshape(11, 37)
        out = np.empty(16 + 11 * 19, dtype)[offset : offset + 11 * 19].reshape(11, 19)
        cr.kernels.dense_forward(x, w, b, out=out)
        assert same_bits(out, cr.kernels.dense_forward(x.copy(), w, b))


def test_infinities_and_nan_pass(variant, dtype):
    x = np.array([[np.inf, 1.0], [np.nan, 1.0], [1.0, 1.0]], dtype)
    got = cr.kernels.dense_forward(x, np.array([[1.0], [2.0]], dtype))
    np.testing.assert_array_equal(got[:, 0], np.array([np.inf, np.nan, 3.0], dtype))


def test_results_go_where_they_are_told(variant, dtype, rng):
    grad, x, w = draw(rng, dtype, 6, 4), draw(rng, dtype, 6, 5), draw(rng, dtype, 5, 4)
    places = {"grad_x": np.empty_like(x), "grad_w": np.empty_like(w), "grad_b": np.empty(4, dtype)}
    got = cr.kernels.dense_backward(grad, x, w, **places)
    assert got.x is places["grad_x"]
    assert got.w is places["grad_w"]
    assert got.b is places["grad_b"]
    for a, b in zip(got, cr.kernels.dense_backward(grad, x, w), strict=True):
        assert same_bits(a, b)


def test_dtypes():
    single, double = np.ones((2, 2), np.float32), np.ones((2, 2))
    forward = cr.kernels.dense_forward
    assert forward(single, single).dtype == np.float32
    assert forward(double, double).dtype == np.float64
    assert forward(single, [[1, 2], [3, 4]]).dtype == np.float32
    assert forward([[1, 2], [3, 4]], single).dtype == np.float32
    assert forward([[1, 2], [3, 4]], [[1, 2], [3, 4]]).dtype == np.float64
    assert forward(single.astype(np.float16), single).dtype == np.float32
    assert forward(single.astype(">f4"), single).dtype == np.float32
    assert forward(single.astype(bool), np.ones((2, 2), np.int64)).dtype == np.float64
    with pytest.raises(TypeError, match=r"w must have the dtype float32 of x, got float64; a ker"):
        forward(single, double)
    with pytest.raises(TypeError, match="b must have the dtype float64 of w, got float32"):
        forward([[1, 1]], double, np.ones(2, np.float32))


X, W, B = np.ones((2, 3)), np.ones((3, 4)), np.ones(4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda k: k.dense_forward(B, W), ValueError, r"x must be a 2-D array, got shape \(4,\)"),
        (lambda k: k.dense_forward(X, B), ValueError, r"w must be a 2-D array, got shape \(4,\)"),
        (
            lambda k: k.dense_forward(X, X),
            ValueError,
            r"w must have shape \(3, 3\), got shape \(2, 3\)",
        ),
        (
            lambda k: k.dense_forward(X, W, X),
            ValueError,
            r"b must have shape \(4,\), got shape \(2, 3\)",
        ),
        (lambda k: k.dense_forward(X, W, B, "rellu"), ValueError, "did you mean 'relu'"),
        (lambda k: k.dense_forward(X * 1j, W), TypeError, "x must be an array of real numbers"),
        (lambda k: k.dense_forward([["a"]], W), TypeError, "x must be an array of real numbers"),
        (
            lambda k: k.dense_backward(X, X, W),
            ValueError,
            r"w must have shape \(3, 3\), got shape \(3, 4\)",
        ),
        (
            lambda k: k.dense_backward(W, X, W),
            ValueError,
            r"x must have shape \(3, 3\), got shape \(2, 3\)",
        ),
        (
            lambda k: k.dense_backward(X, X, np.eye(3), need_grad_x=1),
            TypeError,
            "need_grad_x must be True or False, got int 1",
        ),
        (
            lambda k: k.dense_backward(X, X, np.eye(3), need_grad_x=False, grad_x=X.copy()),
            ValueError,
            "grad_x must be None when need_grad_x=False",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(cr.kernels)


def read_only(array):
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        ([[0.0] * 4] * 2, TypeError, "out must be a NumPy array, got list"),
        (np.empty((2, 4), int), TypeError, "out must have dtype float32 or float64, got int64"),
        (np.empty((2, 4), np.float32), ValueError, "out must have shape .* dtype float64, got"),
        (np.empty((4, 2)), ValueError, r"out must have shape \(2, 4\) .* got shape \(4, 2\)"),
        (np.empty((4, 2)).T, ValueError, "out must be a C-contiguous, aligned and writable"),
        (read_only(np.empty((2, 4))), ValueError, "flags writable=False"),
        (np.empty((2, 4), ">f8"), TypeError, "out must have dtype float32 or float64, got >f8"),
        (np.empty(65, np.uint8)[1:].view(float).reshape(2, 4), ValueError, "aligned=False"),
    ],
)
def test_out_is_checked(out, error, message):
    with pytest.raises(error, match=message):
        cr.kernels.dense_forward(X, W, out=out)


def test_overlap_is_refused():
    square = np.ones((4, 4))
    message = "must not overlap another array of the call"
    with pytest.raises(ValueError, match=f"out {message}"):
        cr.kernels.dense_forward(square, np.eye(4), out=square)
    with pytest.raises(ValueError, match=f"preactivation {message}"):
        cr.kernels.dense_forward(np.eye(4), np.eye(4), out=square, preactivation=square)
    with pytest.raises(ValueError, match=f"grad_w {message}"):
        cr.kernels.dense_backward(np.eye(4), np.eye(4), np.eye(4), grad_x=square, grad_w=square)
    flat = np.arange(9.0)
    with pytest.raises(ValueError, match=f"out {message}"):
        cr.kernels.relu_forward(flat[:8], out=flat[1:])
    with pytest.raises(ValueError, match=f"out {message}"):
        cr.kernels.mse(square, np.eye(4), out=square)
    # A copy was made of what is not contiguous: writing to the original is fine.
    cr.kernels.relu_forward(flat[::-1], out=flat)
