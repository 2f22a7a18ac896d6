"""Fixtures of all tests: which kernels run, in which precision."""

import functools
import signal

import numpy as np
import pytest

import chainrule as cr

# Shells start background jobs with SIGINT ignored, which the processes that tests interrupt would
# inherit from this one.
signal.signal(signal.SIGINT, signal.default_int_handler)


@functools.cache
def figures_as_svg():
    """Return the module that draws the pictures of reports, and its function."""
    from chainrule._command import figures

    return figures, figures.as_svg


@pytest.hookimpl(tryfirst=True)  # before fixtures of modules, which train models
def pytest_runtest_setup(item):
    """Draw pictures of reports only for tests marked `pictures`: they take 0.5 s of a training."""
    if item.path.parent.name in ("command", "tables"):
        figures, as_svg = figures_as_svg()
        is_drawn = item.get_closest_marker("pictures") is not None
        figures.as_svg = as_svg if is_drawn else lambda figure: b"<svg/>"


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
