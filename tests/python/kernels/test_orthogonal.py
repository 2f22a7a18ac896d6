"""The initializer `orthogonal`: Q of the QR decomposition of normal numbers, to the last bit."""

import numpy as np
import pytest
from bounds import same_bits

import chainrule as cr

BLOCK = 96  # vectors that are made orthogonal at a time
SHAPES = [
    *[(1, 1), (1, 7), (7, 1), (2, 2), (64, 64), (17, 300), (300, 17), (1, 5000), (5000, 1)],
    *[(BLOCK - 1, BLOCK - 1), (BLOCK, BLOCK), (BLOCK + 1, BLOCK + 1), (BLOCK, 200), (200, BLOCK)],
    *[(2 * BLOCK, 2 * BLOCK + 1), (2 * BLOCK + 1, 2 * BLOCK), (3 * BLOCK + 5, 3 * BLOCK + 5)],
    *[(257, 512), (512, 257)],
]


def normal_numbers(seed, layer, count):
    """Return the numbers that an initializer of normal weights draws, without its scale.

    `lecun_normal` of one input has a deviation of 1.
    """
    return cr.kernels.initialize("lecun_normal", (1, count), seed=seed, layer=layer, dtype="f8")[0]


def vectors(weight):
    """Return the orthonormal vectors as rows."""
    return weight if weight.shape[0] < weight.shape[1] else weight.T


@pytest.mark.parametrize("shape", SHAPES)
def test_vectors_are_orthonormal(shape, variant):
    q = vectors(cr.kernels.initialize("orthogonal", shape, seed=3, dtype="float64"))
    assert np.abs(q @ q.T - np.eye(min(shape))).max() <= 1e-12


@pytest.mark.parametrize("shape", SHAPES)
def test_they_are_numpys_q_of_the_same_numbers(shape):
    # The QR decomposition is unique once R has a positive diagonal: with normal numbers, Q is then
    # uniform (Mezzadri, "How to generate random matrices from the classical compact groups", 2007).
    numbers = normal_numbers(4, 2, shape[0] * shape[1]).reshape(min(shape), max(shape))
    q, r = np.linalg.qr(numbers.T)
    want = (q * np.sign(np.diagonal(r))).T
    got = vectors(cr.kernels.initialize("orthogonal", shape, seed=4, layer=2, dtype="float64"))
    assert np.abs(got - want).max() <= 1e-10


@pytest.mark.once
@pytest.mark.parametrize("shape", [(1, 1), (150, 400), (520, 530)])
def test_bits_are_the_same_on_every_variant_and_for_any_threads(shape, dtype):
    found = []
    for variant in cr.runtime.variants():
        for threads in (1, 2, 5):
            with cr.runtime.use_variant(variant), cr.runtime.use_num_threads(threads):
                found.append(cr.kernels.initialize("orthogonal", shape, seed=9, dtype=dtype))
    assert all(same_bits(found[0], other) for other in found[1:])


def test_float32_is_float64_rounded():
    single, double = (
        cr.kernels.initialize("orthogonal", (130, 110), seed=1, dtype=t) for t in ("f4", "f8")
    )
    assert same_bits(single, double.astype("f4"))


def test_they_are_spread_evenly_over_the_sphere():
    # The first column of an orthogonal matrix of Haar's distribution is uniform on the sphere: its
    # squares have mean 1/n and fourth moments 3 / (n (n + 2)); and det is 1 as often as -1.
    n, draws = 3, 4000
    drawn = [cr.kernels.initialize("orthogonal", (n, n), seed=s, dtype="f8") for s in range(draws)]
    column = np.array([q[:, 0] for q in drawn])
    assert np.abs(column.mean(0)).max() < 5 / np.sqrt(n * draws)
    assert (column**4).mean() == pytest.approx(3 / (n * (n + 2)), rel=0.05)
    assert abs(np.mean([np.linalg.det(q) for q in drawn])) < 5 / np.sqrt(draws)
