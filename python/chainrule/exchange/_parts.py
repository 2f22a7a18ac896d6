"""The numbers of a model by layer and role, as every exporter reads and every importer writes them.

Used by all modules of this folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _arguments
from .._layers import Activation, Dense, as_activation
from .._mlp import MLP

if TYPE_CHECKING:
    from .._typing import Floats

# What a layer may hold, in the order of the flat buffers. Arrays are of shape (out_features,) but
# for the weight, (in_features, out_features).
ROLES = ("weight", "bias", "scale", "shift", "running_mean", "running_variance")


def require_model(model: object) -> MLP:
    """Raise unless the argument `model` is an MLP that can predict."""
    if not isinstance(model, MLP):
        raise TypeError(f"model must be a chainrule.MLP, got {_arguments.type_name(model)}")
    model._require_ready("an export")
    return model


def layer_arrays(model: MLP) -> list[dict[str, Floats]]:
    """Return views of the parameters and running statistics of each layer, by role."""
    layers: list[dict[str, Floats]] = [{} for _ in model.layers]
    flat = model.parameters
    for block in model._network.parameter_blocks():
        end = block["offset"] + int(np.prod(block["shape"]))
        view = flat[block["offset"] : end].reshape(block["shape"])
        layers[block["layer"]][block["role"]] = view
    running = model.running_statistics
    start = 0
    for layer, arrays in zip(model.layers, layers, strict=True):
        if layer.norm == "batch":
            for role in ("running_mean", "running_variance"):
                arrays[role] = running[start : start + layer.out_features]
                start += layer.out_features
    return layers


def without_standardize(model: MLP) -> tuple[list[Dense], list[dict[str, Floats]]]:
    """Return layers and arrays of a model whose first weight does what :class:`Standardize` did.

    ((x - mean) * factor) W + b = x (factor * W) + (b - (mean * factor) W), computed in double.
    """
    layers, arrays = list(model.layers), layer_arrays(model)
    if model.input_statistics is None:
        return layers, arrays
    mean, factor = (values.astype(np.float64) for values in model.input_statistics)
    first = arrays[0]
    weight = factor[:, None] * first["weight"]
    bias = first.get("bias", np.zeros(1)) - mean @ weight
    layers[0] = replace(layers[0], bias=True)
    arrays[0] = first | {"weight": weight.astype(model.dtype), "bias": bias.astype(model.dtype)}
    return layers, arrays


def layer_activation(layer: Dense) -> Activation:
    """Return the activation of a layer of a model, where it is an object already."""
    return as_activation(layer.activation)


def build(in_features: int, layers: Sequence[Dense], arrays: Sequence[dict[str, Any]]) -> MLP:
    """Make a model of these numbers: float64 if any of them is, else float32.

    The arrays have the right shapes; they are copied.
    """
    dtypes = {np.asarray(value).dtype for part in arrays for value in part.values()}
    dtype = "float64" if np.dtype(np.float64) in dtypes else "float32"
    # Without a first draw of weights, which are about to be overwritten.
    plain = [
        Dense(
            layer.out_features,
            layer.activation,
            layer.dropout,
            layer.norm,
            layer.bias,
            initializer="zeros",
        )
        for layer in layers
    ]
    model = MLP([in_features, *plain], dtype=dtype)
    for views, given in zip(layer_arrays(model), arrays, strict=True):
        assert views.keys() == given.keys()
        for role, value in given.items():
            views[role][...] = value
    return model


def parameter_array(value: Any, argument: str, shape: tuple[int | None, ...]) -> Floats:
    """Check an array of parameters: floating-point numbers of a shape, None for any length.

    float64 stays, narrower types become float32.
    """
    array = np.asarray(value)
    if array.dtype.name == "bfloat16":  # a type of ml_dtypes, which NumPy does not take for a float
        array = array.astype(np.float32)
    fits = array.ndim == len(shape) and all(
        want is None or want == have for want, have in zip(shape, array.shape, strict=False)
    )
    if array.dtype.kind != "f" or not fits or 0 in array.shape:
        sizes = ", ".join("n" if size is None else str(size) for size in shape)
        comma = "," if len(shape) == 1 else ""
        raise ValueError(
            f"{argument} must be an array of floating-point numbers of shape ({sizes}{comma}), "
            f"got shape {array.shape} and dtype {array.dtype}"
        )
    return array.astype(np.float64 if array.dtype.itemsize > 4 else np.float32)
