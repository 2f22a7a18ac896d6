"""The examples in the documentation of the package run and print what they say."""

import doctest
import importlib
import pkgutil

import pytest

import chainrule as cr

# The command and the benchmarks have tests of their own.
MODULES = [
    "chainrule",
    *(
        module.name
        for module in pkgutil.walk_packages(cr.__path__, "chainrule.")
        if not module.name.startswith(
            ("chainrule._c", "chainrule._benchmarks", "chainrule.__main__")
        )
    ),
    "chainrule._callbacks",
    "chainrule._checkpoint",
]


def test_the_modules_are_found():
    assert {"chainrule._mlp", "chainrule._training", "chainrule.kernels._dense"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    examples = [
        example
        for name in MODULES
        for test in finder.find(importlib.import_module(name))
        for example in test.examples
    ]
    assert len(examples) >= 60
