"""Comparisons within a number of roundings of the precision at hand."""

import numpy as np


def assert_close(got, want, scale, n_roundings, what=""):
    """Check abs(got - want) <= n_roundings * unit * scale, the unit being that of got's dtype.

    `want` and `scale` are float64; `scale` bounds the sizes of the terms that were added up.
    """
    got = np.asarray(got)
    unit = np.finfo(got.dtype).eps
    bound = n_roundings * unit * np.abs(scale) + np.finfo(got.dtype).tiny
    error = np.abs(got.astype(np.float64) - want)
    worst = np.max(error - bound, initial=-1.0)
    assert got.shape == np.shape(want), what
    assert worst <= 0, f"{what}: {np.max(error / bound):.3g} times the bound"


def same_bits(a, b):
    """Whether two arrays agree in every bit, NaN and signed zero included."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
