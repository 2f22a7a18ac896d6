"""Fixtures of all tests: which kernels run, in which precision."""

import numpy as np
import pytest

import chainrule as cr


@pytest.fixture(params=cr.runtime.variants())
def variant(request):
    """Run the test on each variant of the kernels that this machine has."""
    with cr.runtime.use_variant(request.param):
        yield request.param


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture
def rng():
    return np.random.default_rng(20261122)
