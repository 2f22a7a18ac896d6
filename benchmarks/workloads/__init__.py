"""Competitors, one file each.

A competitor is a class with three members. ``__init__(task, threads)`` prepares everything;
``run(orders)`` trains one epoch for each order of rows given; ``weights()`` returns the flat
parameters in the layout of ``Task.parameters``. Only its own process imports a competitor.
"""

import importlib

# name -> module and class
COMPETITORS = {
    "numpy": ("numpy_", "Numpy"),
    "chainrule": ("chainrule_", "Chainrule"),
    "chainrule_step": ("chainrule_", "ChainruleStep"),
    "torch": ("torch_", "Torch"),
    "torch_no_flush": ("torch_", "TorchNoFlush"),
    "torch_compile": ("torch_", "TorchCompile"),
    "sklearn": ("sklearn_", "Sklearn"),
}


def load(name: str) -> type:
    """Import a competitor; ImportError when its library is absent."""
    module, member = COMPETITORS[name]
    return getattr(importlib.import_module(f".{module}", __name__), member)
