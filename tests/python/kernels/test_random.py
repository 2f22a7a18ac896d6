"""Dropout masks, permutations and initial weights: counted, not drawn in turn."""

import numpy as np
import pytest
from bounds import same_bits
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule import _core


def mask(*args, **kwargs):
    return cr.kernels.dropout_mask(*args, **{"seed": 1, **kwargs})


@pytest.mark.parametrize("probability", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_mask_keeps_its_share(probability, variant, dtype):
    got = mask(100_000, probability, dtype=dtype)
    zeros = (got == 0).mean()
    # Six standard deviations of a binomial share.
    assert abs(zeros - probability) <= 6 * np.sqrt(probability * (1 - probability) / 1e5) + 1e-12
    kept = np.unique(got[got != 0])
    assert kept.size == 1
    assert kept[0] == pytest.approx(1 / (1 - probability), rel=float(np.finfo(dtype).eps))


def test_mask_depends_on_what_it_is_told(variant, dtype):
    first = mask((40, 50), 0.5, dtype=dtype)
    assert same_bits(first, mask((40, 50), 0.5, dtype=dtype))
    for other in ({"seed": 2}, {"layer": 1}, {"step": 1}, {"seed": 1 + 2**32}, {"step": 2**32}):
        assert abs((first != mask((40, 50), 0.5, dtype=dtype, **other)).mean() - 0.5) < 0.1, other


def test_mask_element_does_not_depend_on_the_rest(variant, dtype):
    whole = mask(1000, 0.3, dtype=dtype)
    for size in [0, 1, 3, 4, 5, 17, 999]:
        assert same_bits(mask(size, 0.3, dtype=dtype), whole[:size])
    zeros = mask(1000, 0.3, dtype="float32") == 0
    assert (zeros == (whole == 0)).all()


def test_variants_draw_the_same_masks():
    masks = []
    for name in cr.runtime.variants():
        with cr.runtime.use_variant(name):
            masks.append(mask(4097, 0.37))
    assert all(same_bits(m, masks[0]) for m in masks)


@settings(deadline=None)
@given(size=st.integers(0, 500), seed=st.integers(0, 2**64 - 1), epoch=st.integers(0, 2**32 - 1))
def test_permutation_permutes(size, seed, epoch):
    order = cr.kernels.permutation(size, seed=seed, epoch=epoch)
    assert order.dtype == np.int64
    assert (np.sort(order) == np.arange(size)).all()
    assert (order == cr.kernels.permutation(size, seed=seed, epoch=epoch)).all()


def test_permutation_is_even():
    counts = np.zeros((6, 6))
    for epoch in range(6000):
        counts[np.arange(6), cr.kernels.permutation(6, seed=3, epoch=epoch)] += 1
    # Chi-squared with 25 degrees of freedom is above 70 once in 300,000 draws.
    assert ((counts - 1000) ** 2 / 1000).sum() < 70


STATISTICS = {  # variance of a weight with n inputs and m outputs
    "glorot_uniform": lambda n, m: 2 / (n + m),
    "glorot_normal": lambda n, m: 2 / (n + m),
    "he_uniform": lambda n, m: 2 / n,
    "he_normal": lambda n, m: 2 / n,
    "lecun_uniform": lambda n, m: 1 / n,
    "lecun_normal": lambda n, m: 1 / n,
    "torch_linear": lambda n, m: 1 / (3 * n),
    "orthogonal": lambda n, m: 1 / max(n, m),
    "zeros": lambda n, m: 0,
}


def test_every_initializer_is_here():
    assert set(STATISTICS) == set(_core.initializers())


@pytest.mark.parametrize("shape", [(200, 300), (300, 200)])
@pytest.mark.parametrize("name", STATISTICS)
def test_initial_weights(name, shape, variant, dtype):
    w = cr.kernels.initialize(name, shape, seed=5, dtype=dtype)
    variance = STATISTICS[name](*shape)
    assert w.shape == shape
    assert w.dtype == dtype
    assert w.var() == pytest.approx(variance, rel=0.03)
    assert abs(w.mean()) <= 6 * np.sqrt(variance / w.size)
    if name.endswith("uniform") or name == "torch_linear":
        assert np.abs(w).max() <= np.sqrt(3 * variance) * (1 + 1e-6)
        assert np.abs(w).max() >= np.sqrt(3 * variance) * 0.99
    if name.endswith("normal"):
        kurtosis = ((w / np.sqrt(variance)) ** 4).mean()
        assert kurtosis == pytest.approx(3, abs=0.15)
    if name == "orthogonal":
        product = w.T @ w if shape[0] > shape[1] else w @ w.T
        assert np.abs(product - np.eye(200)).max() < (1e-5 if dtype == "float32" else 1e-12)
    if name != "zeros":
        assert same_bits(w, cr.kernels.initialize(name, shape, seed=5, dtype=dtype))
        assert not same_bits(w, cr.kernels.initialize(name, shape, seed=6, dtype=dtype))
        assert not same_bits(w, cr.kernels.initialize(name, shape, seed=5, layer=1, dtype=dtype))


@pytest.mark.parametrize("name", ["glorot_uniform", "he_normal", "torch_linear"])
def test_many_numbers_are_the_same_for_any_threads(name, dtype):
    drawn = []
    for threads in (1, 2, 5):
        with cr.runtime.use_num_threads(threads):
            model = cr.MLP([600, 700], initializer=name, dtype=dtype, seed=3)
            model.initialize(8)
            kept = cr.kernels.dropout_mask(400_001, 0.3, seed=2, layer=1, step=5, dtype=dtype)
            drawn.append([model.parameters.copy(), kept])
    for other in drawn[1:]:
        assert all(same_bits(a, b) for a, b in zip(drawn[0], other, strict=True))


def test_a_model_draws_these_weights(variant, dtype):
    model = cr.MLP([7, 5, 3], activation="tanh", seed=9, dtype=dtype)
    for layer, (n, m) in enumerate([(7, 5), (5, 3)]):
        want = cr.kernels.initialize("glorot_uniform", (n, m), seed=9, layer=layer, dtype=dtype)
        assert same_bits(model.weights[layer], want)


def test_out():
    out = np.empty((2, 3), np.float32)
    assert mask((2, 3), 0.5, out=out) is out
    assert cr.kernels.initialize("zeros", (2, 3), seed=0, out=out) is out
    assert (out == 0).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda k: k.dropout_mask(3, 1.0, seed=0), ValueError, "probability must be .* < 1, got 1"),
        (lambda k: k.dropout_mask(-1, 0.5, seed=0), ValueError, "shape must be .* >= 0, got -1"),
        (lambda k: k.dropout_mask((2, -1), 0.5, seed=0), ValueError, r"shape\[1\] must be"),
        (lambda k: k.dropout_mask(3, 0.5, seed=-1), ValueError, "seed must be .* >= 0, got -1"),
        (lambda k: k.dropout_mask(3, 0.5, seed=2**64), ValueError, "seed must be an integer <="),
        (lambda k: k.dropout_mask(3, 0.5, seed=0, layer=2**32), ValueError, "layer must be"),
        (lambda k: k.dropout_mask(3, 0.5, seed=0, dtype="f2"), ValueError, "dtype must be"),
        (lambda k: k.dropout_mask(3, 0.5, seed=0, dtype=None), ValueError, "dtype must be"),
        (lambda k: k.permutation(3.0, seed=0), TypeError, "size must be an integer, got float"),
        (lambda k: k.permutation(3, seed=0, epoch=2**32), ValueError, "epoch must be"),
        (lambda k: k.initialize("he", (2, 2), seed=0), ValueError, "name must be one of 'glorot_"),
        (lambda k: k.initialize("zeros", (2, 2, 2), seed=0), ValueError, "shape must be two"),
        (lambda k: k.initialize("zeros", (0, 2), seed=0), ValueError, "shape must be two"),
    ],
)
def test_arguments_are_checked(call, error, message):
    with pytest.raises(error, match=message):
        call(cr.kernels)
