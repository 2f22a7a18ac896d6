"""What is measured: a folder for each kind of workload, and in it a file for each competitor.

A kind is a package with these members, which the parent (``engine.py``) and the worker of each
competitor (``worker.py``) use:

    SHAPES                  the networks of this kind, by name
    COMPETITORS             who takes part, by name; NumPy first: the others must agree with it
    UNIT                    what a time is the time of: "step"
    TOLERANCES              largest ``distance`` of two results that count as the same, by the
                            precision of the one that is compared with NumPy's
    make_task(shape, dtype, precision)
                            the data and parameters that every competitor gets, and the precision
                            of chainrule's products, by default that of the data
    load_task(shape, path)  the same, from the file that ``task.save(path)`` wrote
    units(shape)            how many units one timed round has
    flops(shape)            operations of one unit, those of the products alone
    check(runner, task)     run once, return an array to compare
    seconds(runner, task)   run one untimed and one timed round, return the time of the latter
    distance(result, reference, task)

A competitor's class is made with ``(task, threads)``; what else it has, its kind says. Only its own
process imports it. Where a library cannot do a shape its class raises NotImplementedError.
"""

import importlib
from dataclasses import dataclass
from types import ModuleType

KINDS = ("training_step", "predict_row")


@dataclass(frozen=True)
class Competitor:
    """A library and its ways to do a workload, of which the fastest counts."""

    title: str  # in tables
    module: str  # beside the kind's __init__.py; the class is named in `settings`
    settings: dict[str, str]  # name of a setting -> class
    library: str  # that must be installed, as it is imported
    distribution: str  # and as pip knows it
    dtypes: tuple[str, ...] = ("float32", "float64")
    precision: str | None = None  # of its products; None: that of the data, chainrule's as asked
    # The precisions of chainrule beside which it is measured; None: any.
    beside: tuple[str, ...] | None = None


BF16_PRECISIONS = ("bf16x6", "bf16x3", "bf16", "auto")


def kind_of(name: str) -> ModuleType:
    """Import a kind of workload."""
    return importlib.import_module(f".{name}", __name__)


def find_shapes() -> dict[str, str]:
    """Return the kind of every shape by the shape's name."""
    return {shape: kind for kind in KINDS for shape in kind_of(kind).SHAPES}


def find_competitors() -> dict[str, str]:
    """Return the title of every competitor by its name, those of all kinds."""
    titles: dict[str, str] = {}
    for kind in KINDS:
        for name, competitor in kind_of(kind).COMPETITORS.items():
            titles.setdefault(name, competitor.title)
    return titles


def find_peers(precision: str) -> list[str]:
    """Return who is measured beside chainrule in that precision."""
    names = [
        name
        for kind in KINDS
        for name, competitor in kind_of(kind).COMPETITORS.items()
        if name != "chainrule" and (competitor.beside is None or precision in competitor.beside)
    ]
    return list(dict.fromkeys(names))


def load(kind: str, module: str, member: str) -> type:
    """Import a competitor's class; ImportError when its library is absent."""
    package = kind_of(kind).__name__
    name = f".{module}" if "." not in module else module
    return getattr(importlib.import_module(name, package), member)
