"""Parameters and labels of an estimator as JSON fields and arrays, and back, types and all.

What JSON has no word for becomes ``{"type": ...}``: tuples, dictionaries, infinite numbers, NumPy's
scalars and arrays, element types, and the objects that _files/recipe.py lists. Called by _file.py.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _arguments
from .._files.container import require_keys, require_tensor
from .._files.recipe import from_fields, to_fields

if TYPE_CHECKING:
    import numpy.typing as npt

    Tensors = dict[str, npt.NDArray[Any]]

# Element types as people give them: a class or a dtype; names are plain strings.
_CLASSES: dict[str, Any] = {"float32": np.float32, "float64": np.float64, "float": float}
_FLOATS = ("float32", "float64")
_NOT_FINITE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
_LONGEST_INTEGER = 2**63
_LAST_CODE_POINT = 0x10FFFF


def pack_value(value: Any, what: str, tensors: Tensors) -> Any:
    """Return a value as JSON can hold it; arrays go into `tensors`, under names with `what`.

    Raises
    ------
    TypeError, ValueError
        For what a file cannot hold; names `what` and the value.
    """
    kind = type(value)
    if value is None or kind in (bool, str):
        return value
    if kind is int:
        if abs(value) >= _LONGEST_INTEGER:
            raise ValueError(f"{what} must be an integer of 64 bits to be saved, got {value}")
        return value
    if kind is float:
        return value if math.isfinite(value) else {"type": "float", "value": str(value)}
    if kind in (list, tuple):
        items = [pack_value(item, f"{what}[{i}]", tensors) for i, item in enumerate(value)]
        return {"type": kind.__name__, "items": items}
    if kind is dict:
        pairs = [
            [
                pack_value(key, f"a key of {what}", tensors),
                pack_value(item, f"{what}[{key!r}]", tensors),
            ]
            for key, item in value.items()
        ]
        return {"type": "dict", "items": pairs}
    if kind is np.str_:
        return {"type": "numpy.str", "value": str(value)}
    if kind is np.ndarray:
        return {"type": "array", "value": pack_array(value, what, tensors)}
    if isinstance(value, np.generic):
        return {"type": "scalar", "value": pack_array(np.array(value), what, tensors)}
    if isinstance(value, np.dtype) and value.name in _FLOATS and value.isnative:
        return {"type": "dtype", "value": value.name}
    for name, cls in _CLASSES.items():
        if value is cls:
            return {"type": "class", "value": name}
    try:
        return to_fields(value)
    except TypeError:
        raise TypeError(
            f"{what} must be a plain value, an array or an object of chainrule to be saved, "
            f"got {value!r}"
        ) from None


def unpack_value(value: Any, what: str, tensors: Tensors) -> Any:
    """Make what :func:`pack_value` packed; takes arrays out of `tensors`.

    Raises
    ------
    TypeError, ValueError
        For what it did not write.
    """
    if not isinstance(value, dict):
        if isinstance(value, list):
            raise TypeError(f"{what} must not be a bare list")
        return value
    kind = value.get("type")
    if kind in ("list", "tuple", "dict"):
        items = require_keys(value, ("type", "items"), what)["items"]
        if not isinstance(items, list):
            raise TypeError(f"items of {what} must be a list, got {type(items).__name__}")
        if kind == "dict":
            return dict(_unpack_pair(pair, what, tensors) for pair in items)
        made = [unpack_value(item, f"{what}[{i}]", tensors) for i, item in enumerate(items)]
        return made if kind == "list" else tuple(made)
    if kind in ("float", "numpy.str", "array", "scalar", "dtype", "class"):
        inner = require_keys(value, ("type", "value"), what)["value"]
        if kind == "float":
            return _NOT_FINITE[_arguments.one_of(inner, _NOT_FINITE, what)]
        if kind == "numpy.str":
            return np.str_(_text(inner, what))
        if kind == "dtype":
            return np.dtype(_arguments.one_of(inner, _FLOATS, what))
        if kind == "class":
            return _CLASSES[_arguments.one_of(inner, _CLASSES, what)]
        array = unpack_array(inner, what, tensors)
        if kind == "array":
            return array
        if array.shape != () or array.dtype.kind not in "biuf":
            raise ValueError(f"{what} must be one number, got {array.dtype} of {array.shape}")
        return array[()]
    return from_fields(value, object, what)


def _unpack_pair(pair: Any, what: str, tensors: Tensors) -> tuple[Any, Any]:
    if not isinstance(pair, list) or len(pair) != 2:
        raise TypeError(f"items of {what} must be pairs, got {pair!r}")
    key, item = pair
    return (
        unpack_value(key, f"a key of {what}", tensors),
        unpack_value(item, f"{what}[{key!r}]", tensors),
    )


def pack_array(array: npt.NDArray[Any], what: str, tensors: Tensors) -> dict[str, Any]:
    """Return the fields of an array of numbers, bools or texts; its data go into `tensors`."""
    kind = array.dtype.kind
    if kind == "O" and array.ndim == 1 and all(type(item) is str for item in array):
        return {"kind": "objects", "texts": array.tolist()}
    if kind == "U":
        # As code points: what a file says of their width is backed by as many bytes.
        native = array.astype(array.dtype.newbyteorder("="), order="C").reshape(-1)
        width = array.dtype.itemsize // 4
        tensors[what] = native.view(np.uint32).reshape(*array.shape, width)
        return {"kind": "texts", "tensor": what}
    if kind not in "biuf" or array.dtype.itemsize > 8 or array.dtype == np.float16:
        raise TypeError(
            f"{what} must hold numbers of at most 64 bits, bools or texts to be saved, "
            f"got dtype {array.dtype}"
        )
    tensors[what] = array
    return {"kind": "numbers", "tensor": what}


def unpack_array(value: Any, what: str, tensors: Tensors) -> npt.NDArray[Any]:
    """Make the array that :func:`pack_array` packed."""
    kind = value.get("kind") if isinstance(value, dict) else None
    if kind == "objects":
        texts = require_keys(value, ("kind", "texts"), what)["texts"]
        if not isinstance(texts, list):
            raise TypeError(f"texts of {what} must be a list, got {type(texts).__name__}")
        made = np.empty(len(texts), object)
        made[:] = [_text(text, what) for text in texts]
        return made
    if kind not in ("texts", "numbers"):
        raise ValueError(f"the kind of {what} must be objects, texts or numbers, got {kind!r}")
    name = _text(require_keys(value, ("kind", "tensor"), what)["tensor"], f"tensor of {what}")
    array = tensors.get(name)
    if array is None:
        raise ValueError(f"{what} must be the tensor {name!r}, got none")
    if kind == "texts":
        if array.ndim < 1 or array.shape[-1] < 1:
            raise ValueError(f"{what} must hold texts, got shape {array.shape}")
        require_tensor(tensors, name, np.uint32, array.shape)
        if array.max(initial=0) > _LAST_CODE_POINT:
            raise ValueError(f"{what} must hold code points, got {array.max()}")
        array = array.view(f"U{array.shape[-1]}").reshape(array.shape[:-1])
    del tensors[name]
    return array


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a text, got {value!r}")
    return value
