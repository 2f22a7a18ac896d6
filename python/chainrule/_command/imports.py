"""Imports libraries all at once, where nothing is written yet and Ctrl-C may end the process.

Subcommands call it when options and files have been checked, which needs no library. Later imports
of the same modules find them there. See `_chainrule_start`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys

__all__ = ["FOR_TRAINING", "import_all"]

FOR_TRAINING = (
    *("pandas", "tqdm", "matplotlib.figure", "matplotlib.backends.backend_svg"),
    *("sklearn.calibration", "sklearn.impute", "sklearn.metrics", "sklearn.model_selection"),
    *("sklearn.neural_network", "sklearn.preprocessing"),
)


def import_all(*modules: str) -> None:
    """Import those modules whose libraries are installed."""
    # Not imported here: it takes over Ctrl-C, which is the program's alone to do.
    program = sys.modules.get("_chainrule_start")
    with program.importing() if program is not None else contextlib.nullcontext():
        for module in modules:
            if importlib.util.find_spec(module.partition(".")[0]) is not None:
                importlib.import_module(module)
