"""Functions made by other functions: name, signature and documentation as if written out."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import CodeType, FunctionType
from typing import Any

# By the code that closures of one `def` share: inspecting all of them would take a good part of the
# time of an import.
_parameters: dict[CodeType, list[inspect.Parameter]] = {}


def named(function: Any, name: str, doc: str, keywords: Mapping[str, object]) -> Any:
    """Give a closure a name, a docstring, and keyword arguments in the place of its ``**``."""
    assert isinstance(function, FunctionType)
    if function.__code__ not in _parameters:
        of_code = inspect.signature(function).parameters.values()
        _parameters[function.__code__] = [p for p in of_code if p.kind is not p.VAR_KEYWORD]
    own = [
        inspect.Parameter(keyword, inspect.Parameter.KEYWORD_ONLY, default=default)
        for keyword, default in keywords.items()
    ]
    function.__name__ = function.__qualname__ = name
    function.__module__ = __package__
    function.__doc__ = doc
    signature = inspect.Signature([*_parameters[function.__code__], *own])
    function.__signature__ = signature  # type: ignore[attr-defined]
    return function
