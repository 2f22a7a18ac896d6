"""Short reprs: a notebook prints the last value of a cell, whatever its size."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ._layers import Dense

if TYPE_CHECKING:
    from ._network import Network

_LONGEST = 250
_MOST_ITEMS = 6


def abridged(texts: Sequence[str], longest: int = _LONGEST) -> str:
    """Join texts by commas; leave out middle ones where all would be longer than `longest`."""
    text = ", ".join(texts)
    for n_kept in range(len(texts) - 1, 1, -1):
        if len(text) <= longest:
            break
        first, last = texts[: n_kept - n_kept // 2], texts[len(texts) - n_kept // 2 :]
        text = ", ".join([*first, f"... {len(texts) - n_kept} more ...", *last])
    return text


def network_code(model: Network, *, is_abridged: bool = False) -> str:
    """Return the code that makes a network; an abridged one lacks layers in the middle."""
    # A layer's default initializer is omitted.
    items = [item._in_words() if isinstance(item, Dense) else repr(item) for item in model._items()]
    layers = abridged(items) if is_abridged else ", ".join(items)
    precision = "" if model.precision == model.dtype.name else f", precision='{model.precision}'"
    return f"MLP([{layers}], dtype='{model.dtype}', seed={model.seed}{precision})"


def of_fields(thing: Any) -> str:
    """Return the repr of a dataclass; of long sequences in it both ends.

    Parameters
    ----------
    thing : dataclass
        Serves as its ``__repr__``.
    """
    shown = []
    for field in dataclasses.fields(thing):
        value = getattr(thing, field.name)
        text = repr(value)
        if isinstance(value, tuple) and len(value) > _MOST_ITEMS:
            ends = [*map(repr, value[:3]), "...", repr(value[-1])]
            text = f"({', '.join(ends)})"
        shown.append(f"{field.name}={text}")
    return f"{type(thing).__name__}({', '.join(shown)})"


def counted(n: int, noun: str) -> str:
    """Return a number with its noun: "1 epoch", "1,000 epochs"."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def number(value: float) -> str:
    """Return a number with four digits."""
    return f"{value:.4g}"
