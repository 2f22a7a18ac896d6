"""Labels as plain NumPy arrays, whatever holds them: nullable, Arrow's and boxed ones too.

pandas and polars are known by what their objects can do; neither is imported. Called by the
classifier.
"""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import issparse

if TYPE_CHECKING:
    import numpy.typing as npt

_NUMBERS = "biuf"


def plain(y: Any, argument: str) -> Any:
    """Return labels in NumPy's own bools, numbers or texts; what is none of these as it is.

    Parameters
    ----------
    y : array-like
        Labels; sparse ones and None are returned as they are.
    argument : str
        Their name, for messages.

    Raises
    ------
    ValueError
        For missing labels, and for texts among labels of other types.
    """
    if y is None or issparse(y):
        return y
    if hasattr(y, "iloc") and getattr(y, "ndim", 1) == 2:  # a table of pandas
        columns = [plain(y.iloc[:, i], argument) for i in range(y.shape[1])]
        return np.column_stack(columns) if columns else y
    array = present(y, argument)
    inner = getattr(getattr(y, "dtype", None), "numpy_dtype", None)  # of pandas' own types
    if inner is not None and np.dtype(inner).kind in _NUMBERS:
        return np.asarray(y.to_numpy(dtype=inner))
    is_boxed = isinstance(array, np.ndarray) and array.dtype == object
    return _unboxed(array, argument) if is_boxed else array


def present(y: Any, argument: str) -> Any:
    """Return a column as an array, or as it is where NumPy makes none of it.

    Raises
    ------
    ValueError
        For missing values, other than the NaN of NumPy's own arrays: scikit-learn has words for it.
    """
    if y is None or issparse(y):
        return y
    is_own = isinstance(getattr(y, "dtype", None), np.dtype)
    if hasattr(y, "isna") and not is_own and getattr(y, "ndim", 1) == 1:
        _refuse_missing(np.asarray(y.isna()), y, argument)
    try:
        array = np.asarray(y)
    except ValueError:  # rows of several lengths
        return y
    if array.dtype.kind in "mM":
        _refuse_missing(np.isnat(array), array, argument)
    elif array.dtype == object:
        flat = array.reshape(len(array), -1) if array.ndim else array.reshape(1, 1)
        is_missing = np.array([any(map(_is_missing, row)) for row in flat.tolist()], bool)
        _refuse_missing(is_missing, flat, argument)
    return array


def _is_missing(value: Any) -> bool:
    return (
        value is None
        or (isinstance(value, float) and value != value)
        or type(value).__name__ in ("NAType", "NaTType")
    )


def _refuse_missing(is_missing: npt.NDArray[np.bool_], y: Any, argument: str) -> None:
    if is_missing.any():
        row = int(is_missing.reshape(len(is_missing), -1).any(axis=1).argmax())
        value = (y.iloc if hasattr(y, "iloc") else y)[row]
        if isinstance(value, np.ndarray):
            value = next(filter(_is_missing, value.tolist()))
        raise ValueError(f"{argument} must have no missing values, got {value} in row {row}")


def _unboxed(array: npt.NDArray[Any], argument: str) -> npt.NDArray[Any]:
    """Return numbers and bools that are held as objects as NumPy's; texts stay objects."""
    labels = array.ravel().tolist()
    kinds = set(map(type, labels))
    if all(issubclass(kind, Real | np.bool_) for kind in kinds):
        numbers = np.array(labels)
        return numbers.reshape(array.shape) if numbers.dtype.kind in _NUMBERS else array
    is_text = [issubclass(kind, str) for kind in kinds]
    if any(is_text) and not all(is_text):
        names = sorted(kind.__name__ for kind in kinds)
        raise ValueError(
            f"Unknown label type: {argument} must hold labels of one type, "
            f"got {' and '.join(names)}"
        )
    return array


def distinct(y: Any) -> tuple[npt.NDArray[Any], npt.NDArray[np.intp]]:
    """Return the sorted distinct labels, and for each row which of them it has.

    Texts become NumPy's, whatever held them: scikit-learn's `classes_` are such.
    """
    present, numbers = np.unique(y, return_inverse=True)
    return (np.array(present.tolist()) if present.dtype == object else present), numbers


def checked_classes(classes: Any) -> npt.NDArray[Any]:
    """Return the argument `classes`, sorted and distinct."""
    array = np.asarray(plain(classes, "classes"))
    if array.dtype.kind == "f":
        _refuse_missing(np.isnan(array), array, "classes")
    return distinct(array)[0]
