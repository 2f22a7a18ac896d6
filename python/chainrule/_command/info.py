"""The command `chainrule info`: what is installed and what this machine runs."""

from __future__ import annotations

import platform

import numpy as np

import chainrule as cr
from chainrule._command.errors import UsageError

__all__ = ["info_fields", "num_threads"]


def info_fields() -> list[tuple[str, str]]:
    """Return label and text of every line, in the order of printing."""
    supported = cr.runtime.variants()
    fields = [
        ("chainrule", cr.__version__),
        ("variants compiled", ", ".join(cr.runtime.compiled_variants())),
        ("variants supported", f"{', '.join(supported)} (on this machine, best first)"),
        ("variant active", cr.runtime.active_variant()),
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
