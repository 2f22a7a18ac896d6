"""Parameters from and to PyTorch's state dictionaries: from_state_dict, to_state_dict.

Reading one needs no PyTorch: its values may be NumPy arrays, as a safetensors file gives them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _arguments
from .._layers import Activation, Dense, Norm, as_activation
from ._parts import build, parameter_array

if TYPE_CHECKING:
    from .._mlp import MLP
    from .._typing import Floats

_NAMES = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def from_state_dict(
    state_dict: Mapping[str, Any],
    *,
    activation: str | Activation | Sequence[str | Activation] = "relu",
    output_activation: str | Activation = "identity",
) -> MLP:
    """Make a model of the parameters that a PyTorch module saves with ``state_dict()``.

    The dictionary is in the order of the layers, as ``state_dict()`` makes it when a module defines
    them so. Files may be in another one: safetensors sorts by name, "10.weight" before "2.weight".
    Where names differ in numbers alone, as a Sequential's do, the numbers say the order.

    An entry ``weight`` of two dimensions is a Linear's, transposed to (in_features, out_features);
    one of one dimension scales a normalization: BatchNorm1d's with running statistics beside it,
    LayerNorm's without. What a state dictionary does not say is taken as chainrule has it: the
    order Linear, normalization, activation; eps=1e-5 and momentum=0.1; no dropout.
    :func:`from_torch` checks all that.

    Parameters
    ----------
    state_dict : mapping of str to tensor or array_like
        PyTorch's tensors, on any device, or arrays.
    activation : str, Activation, or a sequence of them, default "relu"
        Of all layers but the last, or one for each of these.
    output_activation : str or Activation, default "identity"
        Of the last layer.

    Returns
    -------
    MLP
        A model with copies of the numbers: float64 if any of them is, else float32.

    Raises
    ------
    TypeError
        When `state_dict` is no mapping, or for an activation of another type.
    ValueError
        For an entry that is of no such module or does not fit the layer before it, or another
        number of activations than hidden layers; the message names the entry.

    Examples
    --------
    >>> import numpy as np
    >>> import chainrule as cr
    >>> state = {"0.weight": np.ones((3, 2)), "0.bias": np.zeros(3), "2.weight": np.ones((1, 3))}
    >>> cr.exchange.from_state_dict(state).predict([[1.0, 2.0]])
    array([[9.]])
    """
    if not isinstance(state_dict, Mapping):
        raise TypeError(
            f"state_dict must be a mapping of names to tensors, "
            f"got {_arguments.type_name(state_dict)}"
        )
    arrays: list[dict[str, Floats]] = []
    norms: list[Norm] = []
    for prefix, entries in _by_module(state_dict).items():
        place = f"state_dict[{prefix!r}]"
        if "weight" not in entries:
            raise ValueError(f"{place} must have a weight, got {', '.join(entries)}")
        if np.ndim(_array(entries["weight"])) == 2 and entries.keys() <= {"weight", "bias"}:
            part = linear_arrays(entries["weight"], entries.get("bias"), place)
            if arrays and part["weight"].shape[0] != arrays[-1]["weight"].shape[1]:
                raise ValueError(
                    f"{place} must be a Linear of {arrays[-1]['weight'].shape[1]} inputs, as the "
                    f"layer before it has outputs, got {part['weight'].shape[0]}"
                )
            arrays.append(part)
            norms.append(None)
        elif not arrays or norms[-1] is not None:
            raise ValueError(f"{place} must be a Linear with a weight of two dimensions")
        else:
            n = arrays[-1]["weight"].shape[1]
            arrays[-1].update(norm_arrays(*map(entries.get, _NAMES[:4]), n=n, place=place))
            norms[-1] = "batch" if "running_mean" in entries else "layer"
    if not arrays:
        raise ValueError("state_dict must hold a Linear at least, got nothing")
    activations = _activations(activation, len(arrays) - 1)
    activations.append(as_activation(output_activation, "output_activation"))
    layers = [
        Dense(part["weight"].shape[1], act, norm=norm, bias="bias" in part)
        for part, act, norm in zip(arrays, activations, norms, strict=True)
    ]
    return build(arrays[0]["weight"].shape[0], layers, arrays)


def _by_module(state_dict: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the entries of each module by what stands before the last dot of their names."""
    modules: dict[str, dict[str, Any]] = {}
    for key, value in state_dict.items():
        prefix, _, name = str(key).rpartition(".")
        if name not in _NAMES:
            raise ValueError(
                f"state_dict must hold entries of Linear, LayerNorm and BatchNorm1d alone, "
                f"got {key!r}"
            )
        if name != "num_batches_tracked":  # momentum does not depend on it
            modules.setdefault(prefix, {})[name] = value
    parts = {prefix: prefix.split(".") for prefix in modules}
    if len({tuple(p for p in names if not p.isdecimal()) for names in parts.values()}) > 1:
        return modules
    numbers = {prefix: [int(p) for p in names if p.isdecimal()] for prefix, names in parts.items()}
    return {prefix: modules[prefix] for prefix in sorted(modules, key=numbers.__getitem__)}


def _activations(value: Any, n_hidden: int) -> list[Activation]:
    if isinstance(value, str | Activation):
        return [as_activation(value)] * n_hidden
    if not isinstance(value, Sequence):
        raise TypeError(
            f"activation must be a name, an Activation, or a sequence of them, "
            f"got {_arguments.type_name(value)}"
        )
    if len(value) != n_hidden:
        raise ValueError(
            f"activation must hold one for each of {n_hidden} hidden layers, got {len(value)}"
        )
    return [as_activation(item, f"activation[{i}]") for i, item in enumerate(value)]


def linear_arrays(weight: Any, bias: Any, place: str) -> dict[str, Floats]:
    """Return the arrays of a layer by role, from a Linear's tensors."""
    matrix = parameter_array(_array(weight), f"{place}.weight", (None, None)).T
    arrays = {"weight": matrix}
    if bias is not None:
        arrays["bias"] = parameter_array(_array(bias), f"{place}.bias", matrix.shape[1:])
    return arrays


def norm_arrays(
    weight: Any, bias: Any, mean: Any, variance: Any, *, n: int, place: str
) -> dict[str, Floats]:
    """Return the arrays of a normalization by role; `mean` and `variance` are both None or not."""
    given = {"weight": weight, "bias": bias}
    roles = ["scale", "shift"]
    if mean is not None or variance is not None:
        given |= {"running_mean": mean, "running_var": variance}
        roles += ["running_mean", "running_variance"]
    arrays = {}
    for role, (name, value) in zip(roles, given.items(), strict=True):
        if value is None:
            raise ValueError(f"{place} must have {' and '.join(given)}, got no {name}")
        arrays[role] = parameter_array(_array(value), f"{place}.{name}", (n,))
    return arrays


def _array(value: Any) -> Any:
    """Return a tensor's numbers as an array; bfloat16, which NumPy has not, as float32."""
    if not hasattr(value, "detach"):
        return value
    tensor = value.detach().cpu()
    if tensor.is_floating_point() and tensor.element_size() < 4:
        tensor = tensor.float()
    return tensor.numpy()


def to_state_dict(model: MLP) -> dict[str, Any]:
    """Make the state dictionary of :func:`to_torch`'s Sequential. Needs PyTorch.

    Parameters
    ----------
    model : MLP
        The model.

    Returns
    -------
    dict of str to torch.Tensor
        Entries like ``"0.weight"``, numbered as the modules of ``to_torch(model)``, of the model's
        dtype, as copies.

    Raises
    ------
    ImportError
        Without PyTorch.
    TypeError
        When `model` is no MLP.
    """
    from ._torch import to_torch

    return dict(to_torch(model).state_dict())
