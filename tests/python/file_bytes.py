"""Bytes of model files: taken apart, changed, and put together again with the right checksum."""

import hashlib
import json

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


def resealed(file):
    """Return a file with a right checksum in the place where one should be."""
    return seal(file[8:35] + ZEROS.encode() + file[99:], b"") if len(file) >= 99 else file
