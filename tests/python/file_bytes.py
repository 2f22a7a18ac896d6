"""Bytes of model files: taken apart, changed, and put together again with the right checksum."""

import hashlib
import json

from hypothesis import strategies as st

ZEROS = "0" * 64


def take_apart(data):
    """Return header (with its metadata parsed) and data of a file."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"]["content"] = json.loads(header["__metadata__"]["content"])
    return header, data[end:]


def put_together(header, data):
    """Return the bytes of a file; the checksum is right, whatever else is wrong."""
    strings = header.get("__metadata__")
    if isinstance(strings, dict):
        strings = {"sha256": ZEROS, **strings}
        strings["sha256"] = ZEROS
        if not isinstance(strings.get("content", ""), str):
            strings["content"] = json.dumps(strings["content"])
        header = {**header, "__metadata__": strings}
    return seal(json.dumps(header, separators=(",", ":")).encode(), data)


def seal(text, data):
    """Return the bytes of a file of a header that is text with zeros for its checksum."""
    head = len(text).to_bytes(8, "little") + text
    digest = hashlib.sha256(head + data).hexdigest()
    return head.replace(ZEROS.encode(), digest.encode(), 1) + data


odd_numbers = st.sampled_from(
    [0, 1, -1, 2, 3, 2**31, 2**53, 2**63, 2**64, 10**25, 0.5, -0.0, 1e308]
)
odd_texts = st.text("a. \0\u00e9\ud800", max_size=8)
odd_values = st.recursive(
    st.none()
    | st.booleans()
    | odd_numbers
    | odd_texts
    | st.sampled_from(
        ["relu", "layer", "batch", "float64", "Adam", "Dense", "Cosine", "F32", "F64", "mlp"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "name", "shape", "a"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def change_somewhere(draw, value):
    """Change one item, at any depth, of nested dicts and lists in place."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = draw(st.sampled_from(keys))
        inner = value[key]
        if isinstance(inner, dict | list) and inner and draw(st.integers(0, 4)):
            value = inner
            continue
        how = draw(st.integers(0, 5))
        if how == 0:
            del value[key]
        elif how == 1 and isinstance(value, dict):
            value[draw(odd_texts)] = inner
        elif how == 2 and isinstance(inner, int):
            value[key] = inner + draw(st.sampled_from([-8, -4, -1, 1, 4, 8]))
        else:
            value[key] = draw(odd_values)
        return
