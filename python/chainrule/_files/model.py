"""A model as fields and arrays, and back; the files of :meth:`MLP.save`.

Each layer's weight, bias, scale, shift and running statistics are arrays of their own, named
"layers.0.weight" and so on, so that other programs can read them. :func:`pack_model` and
:func:`unpack_model` serve other kinds of files that hold a model too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arguments
from .._callbacks import EarlyStopping
from .._layers import Dense, Standardize
from .._loss import Loss
from .._mlp import MLP
from .._optimizers import Optimizer
from .._precision import as_precision
from .._settings import Settings
from . import container
from .history import pack_history, unpack_history
from .recipe import from_fields, to_fields

KIND = "mlp"

Tensors = dict[str, npt.NDArray[Any]]

_FIELDS = (
    "in_features",
    "input_layer",
    "layers",
    "dtype",
    "seed",
    "precision",
    "recipe",
    "history",
)
_SETTINGS = (
    *("l1", "l2", "penalize_biases", "divide_penalties"),
    *("clip_norm", "clip_value", "seed", "precision", "shards"),
)
# What files of version 1 lack; earlier ones of version 2 lack shards too.
_MISSING: dict[str, Any] = {"divide_penalties": False, "precision": None, "shards": None}
_OF_FIT = ("batch_size", "epochs", "shuffle", "validation_fraction", "early_stopping")
# Of Standardize: 0 before they are fitted; the factor is 1 / standard deviation.
_INPUT = ("input.mean", "input.factor")
_RECIPE = ("loss", "optimizer", *_SETTINGS, *_OF_FIT)


def save(model: MLP, path: object) -> None:
    """Write a model's file."""
    container.write(path, KIND, *pack_model(model))


def load(path: object) -> MLP:
    """Read a model's file."""
    contents = container.read(path, KIND)
    with container.reading(_arguments.path(path)):
        return unpack_model(contents.metadata, contents.tensors)


def pack_model(model: MLP, prefix: str = "") -> tuple[dict[str, Any], Tensors]:
    """Return the fields and the arrays of a model.

    Parameters
    ----------
    model : MLP
        The model; nobody may train it meanwhile.
    prefix : str, default ""
        In front of the names of the arrays.

    Returns
    -------
    metadata : dict
        Architecture, dtype, seed, precision, recipe and history, for JSON.
    tensors : dict of str to ndarray
        Views of the model's parameters and running statistics, and arrays of the history.
    """
    metadata = {
        "in_features": model.in_features,
        "layers": to_fields(model.layers),
        "dtype": model.dtype.name,
        "seed": model.seed,
        "precision": model.precision,
        "recipe": None,
        "history": None,
    }
    if model.input_layer is not None:
        metadata["input_layer"] = to_fields(model.input_layer)
    tensors = _views(model)
    if model.recipe is not None:
        metadata["recipe"] = {name: to_fields(value) for name, value in model.recipe.items()}
    if model.history is not None:
        metadata["history"], arrays = pack_history(model.history)
        tensors |= arrays
    return metadata, {prefix + name: array for name, array in tensors.items()}


def unpack_model(metadata: Any, tensors: Tensors, prefix: str = "") -> MLP:
    """Make a model of the fields and arrays that :func:`pack_model` returned.

    Parameters
    ----------
    metadata : object
        The fields.
    tensors : dict of str to ndarray
        The arrays; those whose names do not begin with `prefix` are not looked at.
    prefix : str, default ""
        In front of the names of the arrays.

    Returns
    -------
    MLP
        A model with separate memory.

    Raises
    ------
    ValueError, TypeError
        For what makes no model, before memory is taken for one; see :func:`container.reading`.
    """
    fields = container.require_keys(
        metadata, _FIELDS, "the model", input_layer=None, precision=None
    )
    in_features = _arguments.integer(fields["in_features"], "in_features", 1)
    input_layer = fields["input_layer"]
    if input_layer is not None:
        input_layer = from_fields(input_layer, Standardize, "input_layer")
    layers = from_fields(fields["layers"], tuple, "layers")
    if not layers or not all(isinstance(layer, Dense) for layer in layers):
        raise TypeError(f"layers must be a list of Dense layers, got {layers!r}")
    if any(layer != layer.resolved() for layer in layers):
        raise ValueError("initializer must be given for each layer, got none")
    dtype = _arguments.float_dtype(
        _arguments.one_of(fields["dtype"], ("float32", "float64"), "dtype")
    )
    seed = _arguments.seed(fields["seed"])
    own = {key[len(prefix) :]: array for key, array in tensors.items() if key.startswith(prefix)}
    numbers = {
        name: container.require_tensor(own, name, dtype, shape)
        for name, shape in _shapes(in_features, input_layer, layers).items()
    }
    for name in numbers:
        del own[name]
    history = None if fields["history"] is None else unpack_history(fields["history"], own)
    if own:
        raise ValueError(f"the model must have no other tensors, got {[*own]}")
    precision = as_precision(fields["precision"], dtype)
    first = [in_features] if input_layer is None else [in_features, input_layer]
    model = MLP([*first, *layers], dtype=dtype, seed=seed, precision=precision)
    for name, view in _views(model).items():
        view[...] = numbers[name]
    model.history = history
    if fields["recipe"] is not None:
        model.recipe = _unpack_recipe(model, fields["recipe"])
    return model


def _shapes(
    in_features: int, input_layer: Standardize | None, layers: Sequence[Dense]
) -> dict[str, tuple[int, ...]]:
    """Return name and shape of each array of a network."""
    shapes: dict[str, tuple[int, ...]] = {}
    if input_layer is not None:
        shapes |= dict.fromkeys(_INPUT, (in_features,))
    for i, layer in enumerate(layers):
        width = layer.out_features
        shapes[f"layers.{i}.weight"] = (in_features, width)
        roles = ["bias"] if layer.bias else []
        roles += ["scale", "shift"] if layer.norm else []
        roles += ["running_mean", "running_variance"] if layer.norm == "batch" else []
        shapes |= {f"layers.{i}.{role}": (width,) for role in roles}
        in_features = width
    return shapes


def _views(model: MLP) -> Tensors:
    """Return views of a model's numbers under the names of :func:`_shapes`."""
    flat = model.parameters
    views: Tensors = {}
    for block in model._network.parameter_blocks():
        end = block["offset"] + int(np.prod(block["shape"], dtype=np.int64))
        name = f"layers.{block['layer']}.{block['role']}"
        views[name] = flat[block["offset"] : end].reshape(block["shape"])
    running = model.running_statistics
    for i, layer in enumerate(model.layers):
        if layer.norm == "batch":
            for role in ("running_mean", "running_variance"):
                views[f"layers.{i}.{role}"] = running[: layer.out_features]
                running = running[layer.out_features :]
    if model.input_layer is not None:
        views |= zip(_INPUT, running.reshape(2, -1), strict=True)
    return views


def unpack_settings(model: MLP, value: Any, what: str) -> Settings:
    """Make the settings of a training of a model from their fields.

    Raises
    ------
    ValueError, TypeError
        For what makes none.
    """
    fields = container.require_keys(value, ("loss", "optimizer", *_SETTINGS), what, **_MISSING)
    return Settings.check(
        model,
        loss=from_fields(fields["loss"], Loss, "loss"),
        optimizer=from_fields(fields["optimizer"], Optimizer, "optimizer"),
        **{name: fields[name] for name in _SETTINGS},
    )


def _unpack_recipe(model: MLP, value: Any) -> dict[str, Any]:
    fields = dict(container.require_keys(value, _RECIPE, "recipe", **_MISSING))
    of_fit = {name: fields.pop(name) for name in _OF_FIT}
    fraction = of_fit["validation_fraction"]
    if fraction is not None:
        fraction = _arguments.number(fraction, "validation_fraction", above=0.0, below=1.0)
    rule = of_fit["early_stopping"]
    return {
        **vars(unpack_settings(model, fields, "recipe")),
        "batch_size": _arguments.integer(of_fit["batch_size"], "batch_size", 1),
        "epochs": _arguments.integer(of_fit["epochs"], "epochs", 1),
        "shuffle": _arguments.boolean(of_fit["shuffle"], "shuffle"),
        "validation_fraction": fraction,
        "early_stopping": rule and from_fields(rule, EarlyStopping, "early_stopping"),
    }
