"""Counter-based random numbers: the same for the same arguments, in any order, on any machine.

All come from Philox4x32-10 (J. K. Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3",
SC11).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _arguments, _core

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._typing import Floats

_UINT32_MAX = 2**32 - 1


_MOST_DIMENSIONS = 32  # of an array of the oldest NumPy


def _shape(value: int | Sequence[int]) -> tuple[int, ...]:
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        sizes = tuple(_arguments.integer(n, f"shape[{i}]", 0) for i, n in enumerate(value))
    else:
        sizes = (_arguments.integer(value, "shape", 0),)
    if len(sizes) > _MOST_DIMENSIONS:
        raise ValueError(f"shape must have at most {_MOST_DIMENSIONS} dimensions, got {len(sizes)}")
    # NumPy multiplies all sizes but zeros, of which there may be some.
    if 8 * math.prod(size for size in sizes if size) > _arguments.INT64_MAX:
        raise ValueError(f"shape must have fewer than 2**60 elements, got {sizes}")
    return sizes


def dropout_mask(
    shape: int | Sequence[int],
    probability: float,
    *,
    seed: int,
    layer: int = 0,
    step: int = 0,
    dtype: npt.DTypeLike = "float32",
    out: npt.NDArray[Any] | None = None,
) -> Floats:
    """Draw a dropout mask: 0 with the given probability, otherwise 1 / (1 - probability).

    Parameters
    ----------
    shape : int or sequence of int
        Of the mask.
    probability : float
        Of zeros, in [0, 1).
    seed : int
        In [0, 2**64).
    layer, step : int, default 0
        Which mask of the seed: of a layer of a network (counted from 0) in a step.
    dtype : {"float32", "float64"}, default "float32"
        Of the mask; both have their zeros in the same places.
    out : ndarray, optional
        Where to write: C-contiguous, of this shape and dtype.

    Returns
    -------
    ndarray
        `out`, or a new array.

    Raises
    ------
    ValueError, TypeError
        For invalid arguments.

    Examples
    --------
    >>> import chainrule as cr
    >>> sorted(set(cr.kernels.dropout_mask(100, 0.5, seed=1).tolist()))
    [0.0, 2.0]
    """
    size = _shape(shape)
    probability = _arguments.number(probability, "probability", minimum=0.0, below=1.0)
    seed = _arguments.seed(seed)
    layer = _arguments.integer(layer, "layer", 0, _UINT32_MAX)
    step = _arguments.integer(step, "step", 0)
    name = _arguments.float_dtype(dtype).name
    return _core.dropout_mask(seed, layer, step, probability, size, name, out)


def permutation(size: int, *, seed: int, epoch: int = 0) -> npt.NDArray[np.int64]:
    """Draw the order in which a shuffled epoch visits its rows.

    Parameters
    ----------
    size : int
        Number of rows, at least 0.
    seed : int
        In [0, 2**64).
    epoch : int, default 0
        Counted from 0.

    Returns
    -------
    ndarray of int64, shape (size,)
        Each of 0 ... size - 1 once.

    Raises
    ------
    ValueError, TypeError
        For invalid arguments.

    Examples
    --------
    >>> import chainrule as cr
    >>> sorted(cr.kernels.permutation(5, seed=1).tolist())
    [0, 1, 2, 3, 4]
    """
    size = _arguments.integer(size, "size", 0)
    seed = _arguments.seed(seed)
    return _core.permutation(seed, _arguments.integer(epoch, "epoch", 0, _UINT32_MAX), size)


def initialize(
    name: str,
    shape: Sequence[int],
    *,
    seed: int,
    layer: int = 0,
    dtype: npt.DTypeLike = "float32",
    out: npt.NDArray[Any] | None = None,
) -> Floats:
    """Draw the initial weight of a layer.

    Parameters
    ----------
    name : str
        An initializer; see :class:`chainrule.Dense`.
    shape : (int, int)
        in_features and out_features, each at least 1.
    seed : int
        In [0, 2**64).
    layer : int, default 0
        Which layer of a network, counted from 0.
    dtype : {"float32", "float64"}, default "float32"
        Of the weight.
    out : ndarray, optional
        Where to write: C-contiguous, of this shape and dtype.

    Returns
    -------
    ndarray
        `out`, or a new array.

    Raises
    ------
    ValueError, TypeError
        For invalid arguments.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.kernels.initialize("he_normal", (3, 4), seed=1).shape
    (3, 4)
    """
    name = _arguments.one_of(name, _core.initializers(), "name")
    size = _shape(shape)
    if len(size) != 2 or 0 in size:
        raise ValueError(f"shape must be two integers >= 1, got {shape}")
    seed = _arguments.seed(seed)
    layer = _arguments.integer(layer, "layer", 0, _UINT32_MAX)
    return _core.initialize(name, seed, layer, size, _arguments.float_dtype(dtype).name, out)
