"""From what a user gives to what the compiled module takes.

Each function turns one argument into a C-contiguous, aligned array of the dtype asked for, copying
only when it has to, or raises. Inputs are never written to. Messages read
"<argument> must be <expected>, got <given>" and indices in them are those of the user's array.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._arguments import described, type_name

if TYPE_CHECKING:
    import numpy.typing as npt

    from ._typing import Floats, Labels


def with_own_shape(value: Any) -> Any:
    """View an array: another thread may set the shape of the caller's while it is in use."""
    return value.view() if type(value) is np.ndarray else value


def numeric_array(value: npt.ArrayLike, argument: str) -> npt.NDArray[Any]:
    """View or copy `value` as an array of floats, integers or bools of any layout.

    It has at least one dimension.
    """
    if type(value) is np.ndarray and value.ndim and value.dtype.kind in "fiub":
        return value
    try:
        is_masked = np.ma.is_masked(value)
        is_sparse = hasattr(value, "tocsr")
        array: npt.NDArray[Any] = np.asarray(value).view()  # of what `__array__` keeps, perhaps
        if array.dtype.kind == "O" and array.ndim:
            # Numbers boxed as objects (a table of mixed columns) get their own type back; text
            # stays text and is refused below.
            array = np.asarray(array.tolist())
    except MemoryError:
        raise
    except Exception as error:  # NumPy's, or of the caller's __array__, __len__ and so on
        raise ValueError(
            f"{argument} must be an array of numbers whose rows have one length, "
            f"got a {type_name(value)} that NumPy can't convert ({error})"
        ) from error
    if is_masked:
        raise ValueError(f"{argument} must have no masked values; fill or drop them first")
    if is_sparse:
        raise TypeError(
            f"{argument} must be a dense array, got the sparse {type_name(value)}; "
            f"use {argument}.toarray()"
        )
    if not array.ndim:
        given = "an array of shape ()" if isinstance(value, np.ndarray) else described(value)
        raise TypeError(f"{argument} must be an array of real numbers, got {given}")
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{argument} must be an array of real numbers, got dtype {array.dtype}")
    return array


def require_finite(converted: Floats, given: npt.NDArray[Any], argument: str) -> None:
    """Raise for NaN, infinities, and values that became infinite in the conversion."""
    if _core.all_finite(converted):
        return
    where = np.unravel_index(int(np.argmin(np.isfinite(converted))), converted.shape)
    place = f"{argument}[{', '.join(str(int(i)) for i in where)}]"
    value = given.reshape(converted.shape)[where]
    if np.isfinite(value):
        largest = float(np.finfo(converted.dtype).max)
        raise ValueError(
            f"{argument} must fit in {converted.dtype} (at most {largest:.3g}), "
            f"got {float(value):g} at {place}"
        )
    raise ValueError(f"{argument} must be finite, got {float(value)} at {place}")


def convert(array: npt.NDArray[Any], dtype: np.dtype[Any]) -> Floats:
    """Convert to contiguous and aligned, without a copy where the array is so already."""
    flags = array.flags
    if array.dtype == dtype and flags.c_contiguous and flags.aligned and type(array) is np.ndarray:
        return array
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        converted = np.asarray(array, dtype=dtype, order="C")
    return converted if converted.flags.aligned else converted.copy()


def matrix(
    value: npt.ArrayLike,
    argument: str,
    dtype: np.dtype[Any],
    n_columns: int,
    n_rows: int | None = None,
) -> Floats:
    """Check a finite matrix of `n_columns` columns (and `n_rows` rows, when given)."""
    array: npt.NDArray[Any]
    if type(value) is np.ndarray and value.dtype == dtype:
        array = value
    else:
        array = numeric_array(value, argument)
    converted = convert(array, dtype)
    shape = converted.shape
    if len(shape) != 2 or shape[1] != n_columns or (n_rows is not None and shape[0] != n_rows):
        rows = "n_samples" if n_rows is None else n_rows
        hint = ""
        if len(shape) == 1 and shape[0] == n_columns:
            hint = f"; use {argument}.reshape(1, -1) for one sample"
        elif len(shape) == 1 and n_columns == 1:
            hint = f"; use {argument}.reshape(-1, 1) for one feature"
        raise ValueError(
            f"{argument} must be a 2-D array of shape ({rows}, {n_columns}), "
            f"got shape {shape}{hint}"
        )
    require_finite(converted, array, argument)
    return converted


def features(value: npt.ArrayLike, dtype: np.dtype[Any], n_columns: int, argument: str) -> Floats:
    """Check a matrix of features that has at least one row."""
    x = matrix(value, argument, dtype, n_columns)
    if x.shape[0] == 0:
        raise ValueError(f"{argument} must have at least one row, got shape {x.shape}")
    return x


def target_values(
    value: npt.ArrayLike, argument: str, dtype: np.dtype[Any], n_rows: int, n_columns: int
) -> Floats:
    """Check targets that are numbers: (n_rows, n_columns), or (n_rows,) for one column."""
    array: npt.NDArray[Any]
    if type(value) is np.ndarray and value.dtype == dtype:
        array = value
    else:
        array = numeric_array(value, argument)
    converted = convert(array, dtype)
    shape = converted.shape
    if shape != (n_rows, n_columns) and not (n_columns == 1 and shape == (n_rows,)):
        either = f"({n_rows},) or " if n_columns == 1 else ""
        raise ValueError(
            f"{argument} must be an array of shape {either}({n_rows}, {n_columns}), "
            f"one row for each row of X, got shape {shape}"
        )
    require_finite(converted, array, argument)
    return converted.reshape(n_rows, n_columns)


def require_range(
    array: Floats, argument: str, low: float, high: float | None, reason: str
) -> None:
    """Raise unless low <= array (<= high), naming the first element that is outside."""
    outside = array < low if high is None else (array < low) | (array > high)
    if outside.any():
        where = np.unravel_index(int(np.argmax(outside)), array.shape)
        place = ", ".join(str(int(i)) for i in where)
        expected = f">= {low:g}" if high is None else f"in [{low:g}, {high:g}]"
        raise ValueError(
            f"{argument} must be {expected} for {reason}, "
            f"got {float(array[where]):g} at {argument}[{place}]"
        )


def probabilities(
    value: npt.ArrayLike, argument: str, dtype: np.dtype[Any], n_rows: int, n_classes: int
) -> Floats:
    """Check rows of class probabilities: in [0, 1], each row with the sum 1."""
    array = target_values(value, argument, dtype, n_rows, n_classes)
    require_range(array, argument, 0.0, 1.0, "class probabilities")
    # float16 probabilities of a thousand classes still add up to 1 within 5e-4.
    sums = array.sum(axis=1, dtype=np.float64)
    wrong = np.abs(sums - 1.0) > 1e-3
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"{argument} must hold class probabilities with the sum 1 in each row, "
            f"got the sum {sums[row]:g} in row {row}"
        )
    return array


def classes(value: npt.ArrayLike, argument: str) -> npt.NDArray[Any]:
    """Check that targets of classes are numbers, with a hint for names."""
    try:
        return numeric_array(value, argument)
    except TypeError as error:
        raise TypeError(
            f"{error}; to make labels of names use np.unique({argument}, return_inverse=True)[1]"
        ) from None


def labels(value: npt.ArrayLike, argument: str, n_rows: int, n_classes: int) -> Labels:
    """Check class labels: integers (of any type, floats that are whole too) in [0, n_classes)."""
    # A copy, which nobody else writes to: labels are indices.
    array = np.array(numeric_array(value, argument), order="C")
    if array.shape != (n_rows,):
        hint = f"; use {argument}.ravel()" if array.shape == (n_rows, 1) else ""
        raise ValueError(
            f"{argument} must be an array of shape ({n_rows},) with one label for each row of X, "
            f"or ({n_rows}, {n_classes}) with class probabilities, got shape {array.shape}{hint}"
        )
    if array.dtype.kind == "f":
        wrong = ~(array == np.floor(array))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(
                f"{argument} must hold integer labels in [0, {n_classes}), "
                f"got {float(array[row]):g} at {argument}[{row}]"
            )
    if n_rows and (array.min() < 0 or array.max() >= n_classes):
        row = int(np.argmax((array < 0) | (array >= n_classes)))
        raise ValueError(
            f"{argument} must hold labels in [0, {n_classes}), "
            f"got {array[row].item()} at {argument}[{row}]"
        )
    return array.astype(np.int32, copy=False)


def sample_weights(
    value: npt.ArrayLike | None, dtype: np.dtype[Any], n_rows: int, argument: str = "sample_weight"
) -> Floats | None:
    """Check weights of rows: one number >= 0 for each row of X, or None."""
    if value is None:
        return None
    array = numeric_array(value, argument)
    converted = convert(array, dtype)
    if converted.shape != (n_rows,):
        raise ValueError(
            f"{argument} must be an array of shape ({n_rows},), one weight for each row of X, "
            f"got shape {converted.shape}"
        )
    require_finite(converted, array, argument)
    require_range(converted, argument, 0.0, None, "each row")
    return converted


def require_some_weight(weights: Floats | None, argument: str = "sample_weight") -> None:
    """Raise if no row has a weight: there is nothing to average.

    Denormal weights count as zero, as they do in the kernels.
    """
    if weights is not None and not (weights >= np.finfo(weights.dtype).tiny).any():
        raise ValueError(f"{argument} must hold at least one positive weight, got zeros only")
