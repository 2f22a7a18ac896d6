"""Parameters from and to PyTorch's state dictionaries: from_state_dict, to_state_dict.

Reading one needs no PyTorch: its values may be NumPy arrays, such as those of a safetensors file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import _arguments
from .._layers import Activation, Dense, Norm, as_activation
from ._parts import build, parameter_array
from ._state_order import NAMES, modules_of

if TYPE_CHECKING:
    from .._mlp import MLP
    from .._typing import Floats


def from_state_dict(
    state_dict: Mapping[str, Any],
    *,
    activation: str | Activation | Sequence[str | Activation] = "relu",
    output_activation: str | Activation = "identity",
    order: Sequence[str] | None = None,
    prefix: str | None = None,
) -> MLP:
    """Make a model of the parameters that a PyTorch module saves with ``state_dict()``.

    If names differ only in numbers, as in a Sequential, layers are ordered by number; files may use
    another order: safetensors sorts "fc10" before "fc2". Otherwise the order is the only one in
    which shapes fit and numbers ascend. If there are several, it is the order of the dictionary
    that ``state_dict()`` made (its ``_metadata`` says so; without it, entries must stand as PyTorch
    writes them, neither sorted nor, in all likelihood, shuffled), unless it begins with an "output"
    or ends with an "input". An uncertain order is refused; pass `order`. A dictionary of several
    networks is refused too; pass `prefix` or `order` to take one. ``_orig_mod.`` and ``module.``,
    which torch.compile and DataParallel put before names, are ignored.

    An entry ``weight`` of two dimensions is a Linear's, transposed to (in_features, out_features);
    one of one dimension scales a normalization: BatchNorm1d's with running statistics beside it,
    LayerNorm's without. Settings that a state dictionary lacks are chainrule's: the order Linear,
    normalization, activation; eps=1e-5 and momentum=0.1; no dropout. :func:`from_torch` checks them
    all.

    Parameters
    ----------
    state_dict : mapping of str to tensor or array_like
        PyTorch's tensors, on any device, or arrays.
    activation : str, Activation, or a sequence of them, default "relu"
        Of all layers except the last, or one for each of these.
    output_activation : str or Activation, default "identity"
        Of the last layer.
    order : sequence of str, optional
        Names of the modules, normalizations included, the first layer first; a common prefix, such
        as "encoder", selects all modules below it. Modules not listed are left out.
    prefix : str, optional
        Prefix of the names of one network, such as "actor"; only entries below it are read.

    Returns
    -------
    MLP
        A model with copies of the numbers: float64 if any of them is, otherwise float32.

    Raises
    ------
    TypeError
        If `state_dict` is not a mapping, or another argument has a wrong type.
    ValueError
        For an entry that belongs to no such module or does not fit the layer before it, an
        uncertain order, or a number of activations that differs from the hidden layers; the message
        names the entries, and the argument that decides.

    Examples
    --------
    >>> import numpy as np
    >>> import chainrule as cr
    >>> state = {"0.weight": np.ones((3, 2)), "0.bias": np.zeros(3), "2.weight": np.ones((1, 3))}
    >>> cr.exchange.from_state_dict(state).predict([[1.0, 2.0]])
    array([[9.]])

    One network of several:

    >>> state = {"actor.0.weight": np.ones((2, 4)), "critic.0.weight": np.ones((1, 4))}
    >>> cr.exchange.from_state_dict(state, prefix="actor").layers[0].out_features
    2
    """
    arrays: list[dict[str, Floats]] = []
    norms: list[Norm] = []
    for module in modules_of(state_dict, order, prefix):
        place = f"state_dict[{module.name!r}]"
        entries = module.entries
        if len(module.shape) == 2:
            part = linear_arrays(entries["weight"], entries.get("bias"), place)
            if arrays and part["weight"].shape[0] != arrays[-1]["weight"].shape[1]:
                remedy = "" if order is not None else "; order= names the layers of one network"
                raise ValueError(
                    f"{place} must be a Linear of {arrays[-1]['weight'].shape[1]} inputs, as the "
                    f"layer before it has outputs, got {part['weight'].shape[0]}{remedy}"
                )
            arrays.append(part)
            norms.append(None)
        elif not arrays or norms[-1] is not None:
            raise ValueError(
                f"{place} must be a Linear with a weight of two dimensions: a normalization "
                f"follows a Linear, got a weight of shape {module.shape}"
            )
        else:
            n = arrays[-1]["weight"].shape[1]
            arrays[-1].update(norm_arrays(*map(entries.get, NAMES[:4]), n=n, place=place))
            norms[-1] = "batch" if "running_mean" in entries else "layer"
    activations = _activations(activation, len(arrays) - 1)
    activations.append(as_activation(output_activation, "output_activation"))
    layers = [
        Dense(part["weight"].shape[1], act, norm=norm, bias="bias" in part)
        for part, act, norm in zip(arrays, activations, norms, strict=True)
    ]
    return build(arrays[0]["weight"].shape[0], layers, arrays)


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
    RuntimeError
        Before the inputs' statistics of a layer :class:`chainrule.Standardize` are fitted, and when
        another thread fits the model.
    """
    from ._torch import to_torch

    return dict(to_torch(model).state_dict())
