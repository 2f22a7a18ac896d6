"""The format of all files that chainrule writes: safetensors with a checksum over every bit.

Any reader of safetensors gets the arrays. Everything else is JSON in ``content``, one of the
strings of ``__metadata__``. The header begins with the SHA-256 of the whole file, computed with
zeros in its place, so damage is detected before anything is parsed. Called by the modules beside
this one and by other modules that define a kind of file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from .. import _arguments
from .._core import __version__
from .._errors import ModelFileError
from .storage import read_file, replace_file

FORMAT_VERSION = 2

_FORMAT = "chainrule"
_BEGINNING = b'{"__metadata__":{"sha256":"'
_LENGTH_BYTES = 8
_HASH = slice(_LENGTH_BYTES + len(_BEGINNING), _LENGTH_BYTES + len(_BEGINNING) + 64)
_ZEROS = b"0" * 64
# JSON takes some twenty times its size when it is parsed: a header that is all brackets stays
# within what a small machine has.
_LONGEST_HEADER = 2**24
_MOST_DIGITS = 20
_MOST_DIMENSIONS = 32
_PIECE = 2**20  # bytes that are written at a time
_ALIGNMENT = 8  # of the data, for readers that map the file
_FIELDS = ("sha256", "format", "format_version", "kind", "chainrule_version", "content")
_DTYPES = {
    "BOOL": np.dtype("?"),
    **{f"{kind}{8 * n}": np.dtype(f"<{kind.lower()}{n}") for kind in "IU" for n in (1, 2, 4, 8)},
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}
_CODES = {(dtype.kind, dtype.itemsize): code for code, dtype in _DTYPES.items()}


class Contents(NamedTuple):
    """What a file holds."""

    kind: str
    metadata: dict[str, Any]
    tensors: dict[str, npt.NDArray[Any]]  # own memory, native byte order, C-contiguous


def write(
    path: object,
    kind: str,
    metadata: Mapping[str, Any],
    tensors: Mapping[str, npt.NDArray[Any]],
    *,
    overwrite: bool = True,
) -> None:
    """Write a file, or replace an old one by it; see :func:`replace_file`.

    Parameters
    ----------
    path : str or os.PathLike
        The file.
    kind : str
        What the file holds, for :func:`read`.
    metadata : dict
        Whatever JSON can hold: texts, integers, finite floats, bools, None, lists, dicts.
    tensors : dict of str to ndarray
        Arrays of bools, integers, float32 or float64, of any layout and byte order.
    overwrite : bool, default True
        Replace a file that exists.

    Raises
    ------
    TypeError, ValueError
        For an invalid path, and for values that the format cannot hold.
    OSError
        If the file system refuses; the old file is then unchanged.
    """
    name = _arguments.path(path)
    strings = dict.fromkeys(_FIELDS, "")
    strings["sha256"] = _ZEROS.decode()
    strings["format"] = _FORMAT
    strings["format_version"] = str(FORMAT_VERSION)
    strings["kind"] = kind
    strings["chainrule_version"] = __version__
    strings["content"] = json.dumps(
        metadata, allow_nan=False, sort_keys=True, separators=(",", ":")
    )
    header: dict[str, Any] = {"__metadata__": strings}
    data: list[npt.NDArray[np.uint8]] = []
    position = 0
    for key, array in tensors.items():
        code, flat = _little_endian(key, array)
        end = position + flat.nbytes
        header[key] = {"dtype": code, "shape": [*array.shape], "data_offsets": [position, end]}
        position = end
        data.append(flat)
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % _ALIGNMENT)
    if len(text) > _LONGEST_HEADER:
        raise ValueError(
            f"metadata must fit in a header of {_LONGEST_HEADER} bytes, got {len(text)} bytes"
        )
    _parse(strings["content"])  # what could not be read is not written
    digest = hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        yield len(text).to_bytes(_LENGTH_BYTES, "little") + text
        for flat in data:
            for start in range(0, flat.size, _PIECE):
                yield flat[start : start + _PIECE].tobytes()

    def digested() -> Iterator[bytes]:
        # Of copies: the checksum is right even if somebody writes to an array meanwhile.
        for piece in pieces():
            digest.update(piece)
            yield piece

    replace_file(
        name,
        digested(),
        afterwards=lambda: (_HASH.start, digest.hexdigest().encode("ascii")),
        overwrite=overwrite,
    )


def _little_endian(key: str, array: npt.NDArray[Any]) -> tuple[str, npt.NDArray[np.uint8]]:
    """Return the dtype's code and the bytes of an array; copies what is not contiguous."""
    code = _CODES.get((array.dtype.kind, array.dtype.itemsize))
    if code is None or key == "__metadata__":
        raise TypeError(
            f"tensors must be arrays of bools, integers, float32 or float64 under names other than "
            f"'__metadata__', got {array.dtype} as {key!r}"
        )
    return code, np.asarray(array, _DTYPES[code], order="C").reshape(-1).view(np.uint8)


def read(path: object, kind: str | Collection[str]) -> Contents:
    """Read a file of one of some kinds, with all checks of the format.

    Parameters
    ----------
    path : str or os.PathLike
        The file.
    kind : str or collection of str
        What the file may hold.

    Returns
    -------
    Contents
        Kind, metadata and tensors.

    Raises
    ------
    ModelFileError
        For a file that is not as :func:`write` wrote it, that a newer version wrote, or that is of
        another kind.
    OSError
        When the file system refuses.
    """
    name = _arguments.path(path)
    data = read_file(name)
    if not _begins_right(data):
        _fail(name, "is empty" if not data else "is not a file that chainrule wrote, or is damaged")
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    digest = hashlib.sha256(data[: _HASH.start] + _ZEROS)
    digest.update(memoryview(data)[_HASH.stop :])
    with reading(name):
        if digest.hexdigest().encode("ascii") != data[_HASH]:
            _fail(name, _damage(data, length))
        if _LENGTH_BYTES + length > len(data):
            raise ValueError(f"the header must end within the file, got {length} bytes")
        header = _parse(data[_LENGTH_BYTES : _LENGTH_BYTES + length].decode("utf-8"))
        strings = _checked_strings(name, header.pop("__metadata__"))
        if strings["sha256"].encode("ascii") != data[_HASH]:
            raise ValueError(f"sha256 must have 64 digits, got {strings['sha256']!r}")
        kinds = (kind,) if isinstance(kind, str) else tuple(kind)
        if strings["kind"] not in kinds:
            wanted = " or ".join(repr(k) for k in kinds)
            _fail(name, f"must be of the kind {wanted}, got the kind {strings['kind']!r}")
        metadata = _parse(strings["content"])
        tensors = _tensors(header, memoryview(data)[_LENGTH_BYTES + length :])
    return Contents(strings["kind"], metadata, tensors)


@contextlib.contextmanager
def reading(path: str) -> Iterator[None]:
    """Within the ``with`` statement, an error in what a file holds is a ModelFileError."""
    try:
        yield
    except ModelFileError:
        raise
    except (ValueError, TypeError, RecursionError) as error:
        raise ModelFileError(path, f"does not hold what it should: {error}") from error


def require_keys(value: Any, keys: Collection[str], what: str, **missing: Any) -> dict[str, Any]:
    """Return a value of a file that must be a dict with these keys and no others.

    `missing` has values for keys that files of earlier versions do not have.
    """
    if not isinstance(value, dict):
        raise TypeError(f"{what} must be an object, got {type(value).__name__}")
    found = {**missing, **value}
    for key in (*keys, *found):
        if key not in found or key not in keys:
            raise ValueError(f"{what} must have the fields {[*keys]}, got {[*value]}")
    return found


def require_tensor(
    tensors: dict[str, npt.NDArray[Any]], name: str, dtype: npt.DTypeLike, shape: tuple[int, ...]
) -> npt.NDArray[Any]:
    """Return a tensor of a file that must be there and have this dtype and shape."""
    array = tensors.get(name)
    wanted = f"the tensor {name!r} must be {np.dtype(dtype)} of shape {shape}"
    if array is None:
        raise ValueError(f"{wanted}, got none")
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(f"{wanted}, got {array.dtype} of shape {array.shape}")
    return array


def _fail(path: str, problem: str) -> NoReturn:
    raise ModelFileError(path, problem)


def _begins_right(data: bytes) -> bool:
    beginning = data[_LENGTH_BYTES : _HASH.start]
    return len(data) >= _HASH.stop and beginning == _BEGINNING


def _damage(data: bytes, length: int) -> str:
    """Say as well as can be what happened to a file whose checksum is wrong."""
    expected = _LENGTH_BYTES + length
    with contextlib.suppress(Exception):
        header = _parse(data[_LENGTH_BYTES:expected].decode("utf-8"))
        version = int(header.pop("__metadata__")["format_version"])
        if version > FORMAT_VERSION:
            return _newer(version, "a newer version")
        expected += max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if expected > len(data):
        return f"is cut or damaged: it has {len(data)} of {expected} bytes"
    if expected < len(data):
        return f"is damaged: it has {len(data) - expected} bytes behind its end"
    return "is damaged: its SHA-256 is not the one that it was written with"


def _newer(version: int, writer: str) -> str:
    return (
        f"was written by {writer} in version {version} of the format; chainrule {__version__} "
        f"reads versions up to {FORMAT_VERSION}: update chainrule"
    )


def _parse(text: str) -> dict[str, Any]:
    """Parse JSON as strictly as safetensors does: no key twice, nothing that is not JSON."""
    if len(text) > _LONGEST_HEADER:
        raise ValueError(
            f"the header must have at most {_LONGEST_HEADER} bytes, got {len(text)} bytes"
        )
    value = json.loads(
        text,
        object_pairs_hook=_unique,
        parse_int=_integer,
        parse_float=_finite,
        parse_constant=_finite,
    )
    if not isinstance(value, dict):
        raise TypeError(f"JSON must be an object, got {type(value).__name__}")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("JSON must have each key once, got one twice")
    return result


def _integer(digits: str) -> int:
    # The time that int() takes grows with the square of the digits.
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"JSON must hold integers of 64 bits, got {len(digits)} digits")
    return int(digits)


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"JSON must hold finite numbers, got {number}")
    return value


def _checked_strings(path: str, value: Any) -> dict[str, str]:
    """Check the strings of ``__metadata__``."""
    if isinstance(value, dict) and value.get("format") == _FORMAT:
        version = value.get("format_version")
        if not isinstance(version, str) or re.fullmatch("[1-9][0-9]{0,8}", version) is None:
            raise ValueError(f"format_version must be a positive number, got {version!r}")
        if int(version) > FORMAT_VERSION:
            _fail(path, _newer(int(version), f"chainrule {value.get('chainrule_version')}"))
    strings = require_keys(value, _FIELDS, "__metadata__")
    for key, text in strings.items():
        if not isinstance(text, str):
            raise TypeError(f"{key} must be a text, got {type(text).__name__}")
    if strings["format"] != _FORMAT:
        raise ValueError(f"format must be {_FORMAT!r}, got {strings['format']!r}")
    return strings


def _tensors(entries: dict[str, Any], data: memoryview) -> dict[str, npt.NDArray[Any]]:
    """Copy the tensors out of a file, which must follow each other without holes."""
    tensors = {}
    position = 0
    for name, entry in entries.items():
        what = f"the tensor {name!r}"
        require_keys(entry, ("dtype", "shape", "data_offsets"), what)
        dtype = _DTYPES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
        if dtype is None:
            raise ValueError(f"{what} must have a dtype of {[*_DTYPES]}, got {entry['dtype']!r}")
        shape = _sizes(entry["shape"], f"the shape of {what}", 0, _MOST_DIMENSIONS)
        begin, end = _sizes(entry["data_offsets"], f"data_offsets of {what}", 2, 2)
        size = math.prod(shape) * dtype.itemsize
        if begin != position or end - begin != size:
            raise ValueError(
                f"{what} of {size} bytes must be at {[position, position + size]}, "
                f"got {[begin, end]}"
            )
        if end > len(data):
            raise ValueError(f"{what} must end within the {len(data)} bytes of data, got {end}")
        flat = np.frombuffer(data[begin:end], dtype)
        if dtype.kind == "b" and (flat.view(np.uint8) > 1).any():
            raise ValueError(f"{what} must hold bools, got other bytes")
        tensors[name] = flat.astype(dtype.newbyteorder("=")).reshape(shape)
        position = end
    if position != len(data):
        raise ValueError(f"the data must end with the last tensor, got {len(data)} bytes")
    return tensors


def _sizes(value: Any, what: str, fewest: int, most: int) -> list[int]:
    if (
        not isinstance(value, list)
        or not fewest <= len(value) <= most
        or not all(type(size) is int and size >= 0 for size in value)
    ):
        raise ValueError(f"{what} must be a list of integers >= 0, got {value!r}")
    return value
