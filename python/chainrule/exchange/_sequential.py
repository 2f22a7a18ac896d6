"""A model as PyTorch would have it, without PyTorch: modules as text, and their state dictionary.

Used by the command's export. The modules are those of `to_torch`, which the tests compare.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._parts import layer_activation, without_standardize

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._layers import Activation
    from .._mlp import MLP
    from .._typing import Floats

    Arrays = dict[str, npt.NDArray[np.generic]]

_ACTIVATIONS = {
    "relu": "ReLU()",
    "selu": "SELU()",
    "gelu": "GELU()",
    "gelu_tanh": "GELU(approximate='tanh')",
    "silu": "SiLU()",
    "mish": "Mish()",
    "sigmoid": "Sigmoid()",
    "tanh": "Tanh()",
}
# From these on softplus(x) is x to the last bit but one; PyTorch computes x above its threshold.
SOFTPLUS_THRESHOLDS = {"float32": 20.0, "float64": 40.0}


def sequential(model: MLP) -> tuple[str, Arrays]:
    """Return the text of a ``torch.nn.Sequential`` and what its ``state_dict()`` would hold."""
    modules: list[str] = []
    state: Arrays = {}
    width = model.in_features

    def add(text: str, arrays: Arrays) -> None:
        state.update({f"{len(modules)}.{name}": array for name, array in arrays.items()})
        modules.append(f"nn.{text}")

    for layer, arrays in zip(*without_standardize(model), strict=True):
        n = layer.out_features
        add(f"Linear({width}, {n}{'' if layer.bias else ', bias=False'})", _linear(arrays))
        if layer.norm is not None:
            add(f"{'LayerNorm' if layer.norm == 'layer' else 'BatchNorm1d'}({n})", _norm(arrays))
        activation = layer_activation(layer)
        if activation.name != "identity":
            add(_activation(activation, model.dtype.name), {})
        if layer.dropout:
            add(f"Dropout({layer.dropout!r})", {})
        width = n
    double = ".double()" if model.dtype == np.float64 else ""
    return f"nn.Sequential({', '.join(modules)}){double}", state


def _linear(arrays: dict[str, Floats]) -> Arrays:
    weight: Arrays = {"weight": arrays["weight"].T}
    return weight | ({"bias": arrays["bias"]} if "bias" in arrays else {})


def _norm(arrays: dict[str, Floats]) -> Arrays:
    state: Arrays = {"weight": arrays["scale"], "bias": arrays["shift"]}
    if "running_mean" in arrays:
        state["running_mean"] = arrays["running_mean"]
        state["running_var"] = arrays["running_variance"]
        # PyTorch counts training batches, for a momentum that is None.
        state["num_batches_tracked"] = np.array(0, np.int64)
    return state


def _activation(activation: Activation, dtype: str) -> str:
    name, parameter = activation.name, activation.parameter
    if name == "leaky_relu":
        return f"LeakyReLU({parameter!r})"
    if name == "elu":
        return f"ELU({parameter!r})"
    if name == "softplus":
        return f"Softplus(threshold={SOFTPLUS_THRESHOLDS[dtype]!r})"
    return _ACTIVATIONS[name]
