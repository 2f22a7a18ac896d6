"""Arrays of equal values in every layout and type that a user may bring."""

import numpy as np
import pandas as pd

DTYPES = [
    *(np.float16, np.float32, np.float64, np.longdouble),
    *(np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, np.bool_),
]


def reversed_rows(a, _):
    return np.ascontiguousarray(a[::-1])[::-1]


def reversed_columns(a, _):
    return np.ascontiguousarray(a[..., ::-1])[..., ::-1]


def every_other(a, _):
    big = np.zeros([2 * n for n in a.shape], a.dtype)
    big[tuple(slice(None, None, 2) for _ in a.shape)] = a
    return big[tuple(slice(None, None, 2) for _ in a.shape)]


def column_of_a_table(a, _):
    big = np.zeros((*a.shape, 3), a.dtype)
    big[..., 1] = a
    return big[..., 1]


def byte_swapped(a, _):
    return a.astype(a.dtype.newbyteorder())


def misaligned(a, _):
    raw = np.empty(a.nbytes + 1, np.uint8)
    view = raw[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def field_of_records(a, _):
    records = np.zeros(a.shape, np.dtype([("skip", "u1"), ("value", a.dtype)]))
    records["value"] = a
    return records["value"]


def memory_mapped(a, directory):
    if a.size == 0 or a.dtype == np.longdouble:
        return a
    np.save(directory / "a.npy", a)
    return np.load(directory / "a.npy", mmap_mode="r")


def broadcast(a, _):
    return np.broadcast_to(a[:1], a.shape)


class Subclass(np.ndarray):
    """An array that is more than an array."""


class Boxed:
    """Something that NumPy can turn into an array."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array.astype(dtype or self.array.dtype)


LAYOUTS = {
    "c": lambda a, _: a.copy(),
    "fortran": lambda a, _: np.asfortranarray(a),
    "reversed_rows": reversed_rows,
    "reversed_columns": reversed_columns,
    "every_other": every_other,
    "column_of_a_table": column_of_a_table,
    "byte_swapped": byte_swapped,
    "misaligned": misaligned,
    "field_of_records": field_of_records,
    "memory_mapped": memory_mapped,
    "broadcast": broadcast,
    "subclass": lambda a, _: a.view(Subclass),
    "masked_nowhere": lambda a, _: np.ma.masked_array(a),
    "boxed": lambda a, _: Boxed(a),
    "list": lambda a, _: a.tolist(),
    "objects": lambda a, _: a.astype(object),
    "pandas": lambda a, _: pd.DataFrame(a) if a.ndim == 2 else pd.Series(a),
}


def frozen(value):
    """Make an array read-only where it can be."""
    if isinstance(value, np.ndarray) and value.flags.owndata:
        value.flags.writeable = False
    return value


def plain(value, dtype):
    """Return the values as a new, contiguous array of the dtype."""
    return np.array(np.asarray(value).tolist(), dtype)


def content(value):
    """Return the bytes of what can be compared before and after a call."""
    return np.asarray(value).tobytes() if not isinstance(value, list) else str(value)
