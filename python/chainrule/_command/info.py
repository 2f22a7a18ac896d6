"""The command `chainrule info`: what is installed and what this machine runs."""

from __future__ import annotations

import platform

import numpy as np

import chainrule as cr

__all__ = ["info_fields"]


def info_fields() -> list[tuple[str, str]]:
    """Return label and text of every line, in the order of printing."""
    supported = cr.runtime.variants()
    fields = [
        ("chainrule", cr.__version__),
        ("variants compiled", ", ".join(cr.runtime.compiled_variants())),
        ("variants supported", f"{', '.join(supported)} (on this machine, best first)"),
        ("variant active", cr.runtime.active_variant()),
        ("threads", str(cr.runtime.num_threads())),
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
