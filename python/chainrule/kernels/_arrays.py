"""Arguments of kernels: arrays of one dtype in, arrays to write out.

Shapes, and what is written, are checked by the compiled module, when it reads them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _arguments, _validation

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._typing import Floats

FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)


def inputs(**arrays: npt.ArrayLike) -> list[Any]:
    """Convert arrays to one dtype.

    float32 and float64 arrays keep their dtype and may not meet in one call. Whatever else there is
    (integers, lists, other floats) becomes what those are; float64 when there are none.
    """
    dtype = None
    for value in arrays.values():
        if type(value) is not np.ndarray or not value.ndim:
            break
        flags = value.flags
        if not (flags.c_contiguous and flags.aligned):
            break
        if dtype is None:
            dtype = value.dtype
            if dtype is not FLOAT32 and dtype is not FLOAT64:
                break
        elif value.dtype is not dtype:
            break
    else:
        return list(arrays.values())
    return _converted(arrays)


def _converted(arrays: dict[str, npt.ArrayLike]) -> list[Any]:
    converted = {name: _validation.numeric_array(value, name) for name, value in arrays.items()}
    fixed: tuple[str, np.dtype[Any]] | None = None
    for name, value in arrays.items():
        # A list of floats has no dtype: NumPy's float64 is only its default.
        if not hasattr(value, "dtype"):
            continue
        dtype = converted[name].dtype.newbyteorder("=")
        if dtype not in (FLOAT32, FLOAT64):
            continue
        if fixed is not None and dtype != fixed[1]:
            raise TypeError(
                f"{name} must have the dtype {fixed[1]} of {fixed[0]}, got {dtype}; "
                "a kernel call never mixes dtypes"
            )
        fixed = fixed or (name, dtype)
    dtype = FLOAT64 if fixed is None else fixed[1]
    return [_validation.convert(array, dtype) for array in converted.values()]


def writable(array: Any, argument: str) -> Floats:
    """Check that an array that a kernel writes to where it is can be one."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{argument} must be a NumPy array, got {_arguments.described(array)}")
    has_mask = type(array) is not np.ndarray and hasattr(array, "mask")
    if has_mask or not array.ndim:
        raise TypeError(
            f"{argument} must be an array of at least one dimension and without a mask, "
            f"got {_arguments.type_name(array)} of shape {array.shape}"
        )
    if array.dtype not in (FLOAT32, FLOAT64):
        raise TypeError(f"{argument} must have dtype float32 or float64, got {array.dtype}")
    if not (array.flags.c_contiguous and array.flags.aligned and array.flags.writeable):
        raise ValueError(
            f"{argument} must be a C-contiguous, aligned and writable array, "
            f"got strides {array.strides} and flags writable={array.flags.writeable}, "
            f"aligned={array.flags.aligned}"
        )
    return array
