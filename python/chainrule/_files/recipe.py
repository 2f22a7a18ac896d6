"""Layers, losses, optimizers, schedules and early stopping as JSON fields, and back.

An object becomes ``{"type": "Adam", "learning_rate": 0.001, ...}``. Only the classes listed here
come back, through their own constructors, which check every field. Called by the modules beside
this one and by whoever keeps such objects in a file of their own.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from .. import _core
from .._callbacks import EarlyStopping
from .._layers import Activation, Dense, Standardize
from .._losses import LOSSES
from .._optimizers import OPTIMIZERS
from .._schedules import (
    Constant,
    Cosine,
    ExponentialDecay,
    InverseScaling,
    OneCycle,
    ReduceOnPlateau,
    StepDecay,
)
from .container import require_keys

T = TypeVar("T")

_SCHEDULES: tuple[type, ...] = (
    *(Constant, Cosine, ExponentialDecay, InverseScaling, OneCycle, ReduceOnPlateau, StepDecay),
)
# Fields that files of older versions lack: what they meant without them.
_ADDED: dict[str, dict[str, Any]] = {name: {"epsilon_hat": False} for name in ("Adam", "AdamW")}

_CLASSES: dict[str, type[Any]] = {
    cls.__name__: cls
    for cls in (
        *(Activation, Dense, Standardize, EarlyStopping),
        *LOSSES.values(),
        *OPTIMIZERS.values(),
        *_SCHEDULES,
    )
}


def to_fields(value: Any) -> Any:
    """Turn an object of a listed class, or what such an object holds, into what JSON can hold."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) in (list, tuple):
        return [to_fields(item) for item in value]
    cls = type(value)
    if _CLASSES.get(cls.__name__) is not cls or not is_dataclass(value):
        raise TypeError(f"a file must hold objects of {', '.join(_CLASSES)}, got {value!r}")
    return {
        "type": cls.__name__,
        **{field.name: to_fields(getattr(value, field.name)) for field in fields(value)},
    }


def from_fields(value: Any, expected: type[T] | tuple[type[T], ...], what: str) -> T:
    """Make what :func:`to_fields` turned into fields; it must be an instance of `expected`.

    Raises ValueError or TypeError for fields that do not make one.
    """
    made = _made(value, what)
    if not isinstance(made, expected) or (isinstance(made, bool) and expected in (int, float)):
        classes = expected if isinstance(expected, tuple) else (expected,)
        names = " or ".join(cls.__name__ for cls in classes)
        raise TypeError(f"{what} must be of the type {names}, got {made!r}")
    return made


def _made(value: Any, what: str) -> Any:
    if isinstance(value, list):
        return tuple(_made(item, what) for item in value)
    if not isinstance(value, dict):
        return value
    name = value.get("type")
    cls = _CLASSES.get(name) if isinstance(name, str) else None
    if cls is None:
        raise ValueError(f"{what} must have a type of {[*_CLASSES]}, got {name!r}")
    value = _ADDED.get(cls.__name__, {}) | value
    names = [field.name for field in fields(cls)]
    require_keys(value, ["type", *names], f"{what} ({name})")
    arguments = {key: _made(value[key], f"{key} of {what}") for key in names}
    return _activation(**arguments) if cls is Activation else cls(**arguments)


def _activation(name: Any, parameter: Any) -> Activation:
    field = _core.activations()[name]["parameter"] if name in _core.activations() else None
    activation = Activation(name) if field is None else Activation(name, **{field: parameter})
    if activation.parameter != parameter:
        raise ValueError(f"parameter of the activation {name} must be 0.0, got {parameter!r}")
    return activation
