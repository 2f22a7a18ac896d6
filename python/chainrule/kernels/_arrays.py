"""Arguments of kernels: arrays of one dtype in, arrays to write out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _arguments, _validation

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._typing import Floats

FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)


def inputs(**arrays: npt.ArrayLike | None) -> list[Any]:
    """Convert arrays to one dtype; a None stays None.

    float32 and float64 arrays keep their dtype and may not meet in one call. Whatever else there is
    (integers, lists, other floats) becomes what those are; float64 when there are none.
    """
    converted = {
        name: None if value is None else _validation.numeric_array(value, name)
        for name, value in arrays.items()
    }
    fixed: tuple[str, np.dtype[Any]] | None = None
    for name, value in arrays.items():
        array = converted[name]
        # A list of floats has no dtype of its own: NumPy's float64 is no more than its default.
        if array is None or not hasattr(value, "dtype"):
            continue
        dtype = array.dtype.newbyteorder("=")
        if dtype not in (FLOAT32, FLOAT64):
            continue
        if fixed is not None and dtype != fixed[1]:
            raise TypeError(
                f"{name} must have the dtype {fixed[1]} of {fixed[0]}, got {dtype}; "
                "a kernel call never mixes dtypes"
            )
        fixed = fixed or (name, dtype)
    dtype = FLOAT64 if fixed is None else fixed[1]
    return [
        None if array is None else _validation.convert(array, dtype) for array in converted.values()
    ]


def require_shape(array: npt.NDArray[Any], argument: str, shape: tuple[int, ...]) -> None:
    """Raise unless the array has that shape."""
    if array.shape != shape:
        raise ValueError(f"{argument} must have shape {shape}, got shape {array.shape}")


def require_matrix(array: npt.NDArray[Any], argument: str) -> tuple[int, int]:
    """Raise unless the array is 2-D; return its shape."""
    if array.ndim != 2:
        raise ValueError(f"{argument} must be a 2-D array, got shape {array.shape}")
    return array.shape[0], array.shape[1]


def output(
    out: npt.NDArray[Any] | None,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    argument: str = "out",
    *,
    apart: tuple[npt.NDArray[Any] | None, ...] = (),
    in_place: tuple[npt.NDArray[Any] | None, ...] = (),
) -> Floats:
    """Make an array to write to, or check the one that is given.

    Parameters
    ----------
    out : ndarray, optional
        To be written.
    shape, dtype
        What it must have.
    argument : str, default "out"
        Its name in messages.
    apart : tuple of ndarray
        Arrays that it must not overlap.
    in_place : tuple of ndarray
        Arrays that it may be, but not otherwise overlap.

    Returns
    -------
    ndarray
        A new array, or `out`.
    """
    if out is None:
        return np.empty(shape, dtype)
    writable(out, argument)
    if out.dtype != dtype or out.shape != shape:
        raise ValueError(
            f"{argument} must have shape {shape} and dtype {dtype}, "
            f"got shape {out.shape} and dtype {out.dtype}"
        )
    for other in (*apart, *in_place):
        # Both are contiguous, so that comparing bounds is exact.
        if other is None or not np.may_share_memory(out, other):
            continue
        same = out.ctypes.data == other.ctypes.data and out.nbytes == other.nbytes
        if not (same and any(other is allowed for allowed in in_place)):
            raise ValueError(
                f"{argument} must not overlap another array of the call, got one that does"
            )
    return out


def writable(array: Any, argument: str) -> Floats:
    """Check an array that a kernel writes to where it is."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{argument} must be a NumPy array, got {_arguments.type_name(array)}")
    if array.dtype not in (FLOAT32, FLOAT64):
        raise TypeError(f"{argument} must have dtype float32 or float64, got {array.dtype}")
    if not (array.flags.c_contiguous and array.flags.aligned and array.flags.writeable):
        raise ValueError(
            f"{argument} must be a C-contiguous, aligned and writable array, "
            f"got strides {array.strides} and flags writable={array.flags.writeable}, "
            f"aligned={array.flags.aligned}"
        )
    return array
