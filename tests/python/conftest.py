"""Fixtures of all tests: which kernels run, in which precision."""

import signal

import numpy as np
import pytest

import chainrule as cr

# Shells start background jobs with SIGINT ignored, which the processes that tests interrupt would
# inherit from this one.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=cr.runtime.variants())
def variant(request):
    """Run the test on each variant of the kernels that this machine has."""
    with cr.runtime.use_variant(request.param):
        yield request.param


@pytest.fixture
def without_pictures(monkeypatch):
    """Leave the report's pictures undrawn: they take most of a short training on a table."""
    from chainrule._command import figures

    monkeypatch.setattr(figures, "as_svg", lambda figure: b"<svg/>")


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture
def rng():
    return np.random.default_rng(20261122)
