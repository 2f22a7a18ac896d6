"""The precision of products of matrices: its names, and the check of an argument."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _arguments, _core

PRECISIONS = tuple(_core.precisions())


def as_precision(value: object, dtype: np.dtype[Any], default: str | None = None) -> str:
    """Check the argument `precision` for a model or arrays of a dtype.

    Parameters
    ----------
    value : object
        A name, or None for `default`.
    dtype : numpy.dtype
        float32 or float64.
    default : str, optional
        By default the name of the dtype.

    Returns
    -------
    str
        The name: one of PRECISIONS, of float64 ``"float64"``.

    Raises
    ------
    ValueError, TypeError
        For another name; float64 has but its own.
    """
    if value is None:
        return default or dtype.name
    if dtype == np.float32:
        return _arguments.one_of(value, PRECISIONS, "precision")
    name = _arguments.one_of(value, (*PRECISIONS, dtype.name), "precision")
    if name != dtype.name:
        raise ValueError(
            f"precision must be 'float64' for dtype float64, got {name!r}; products of bf16 terms "
            "are for float32"
        )
    return name
