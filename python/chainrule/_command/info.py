"""The command `chainrule info`: what is installed and what this machine runs."""

from __future__ import annotations

import platform

import numpy as np

import chainrule as cr
from chainrule._command.errors import UsageError
from chainrule._command.report import count
from chainrule._precision import PRECISIONS

__all__ = ["in_machine", "info_fields", "num_threads"]

_WITHOUT_TILES = "products of bf16 terms take FMAs, more slowly than float32"


def info_fields() -> list[tuple[str, str]]:
    """Return label and text of every line, in the order of printing."""
    supported = cr.runtime.variants()
    fields = [
        ("chainrule", cr.__version__),
        ("variants compiled", ", ".join(cr.runtime.compiled_variants())),
        ("variants supported", f"{', '.join(supported)} (on this machine, best first)"),
        ("variant active", cr.runtime.active_variant()),
        ("precisions", f"{', '.join(PRECISIONS)} (of float32)"),
        ("bf16 tiles", "yes" if cr.runtime.has_bf16_tiles() else f"no: {_WITHOUT_TILES}"),
        ("threads", str(num_threads())),
    ]
    for key, value in cr.runtime.build_config().items():
        if key not in ("version", "variants"):  # said above
            fields.append((f"build {key.removeprefix('build_')}".replace("_", " "), value))
    fields += [
        ("Python", f"{platform.python_version()} ({platform.python_implementation()})"),
        ("NumPy", np.__version__),
        ("platform", platform.platform()),
    ]
    return fields


def in_machine(precision: str, threads: int) -> str:
    """Return what a network in that precision is trained on, in words."""
    text = f"variant {cr.runtime.active_variant()}, {count(threads, 'thread')}"
    if precision in ("float32", "float64") or cr.runtime.has_bf16_tiles():
        return text
    return f"{text}; no bf16 tiles: {_WITHOUT_TILES}"


def num_threads() -> int:
    """Return how many threads a training uses at most when the user gives no number.

    Raises
    ------
    UsageError
        If an environment variable says something else than a number.
    """
    try:
        return cr.runtime.num_threads()
    except ValueError as error:
        raise UsageError(str(error)) from None
