"""Networks from and to PyTorch's modules: :func:`from_torch`, :func:`to_torch`.

State dictionaries alone are in _state_dict.py, which needs no PyTorch to read one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _arguments
from .._errors import not_installed
from .._layers import Activation, Dense
from ._coefficients import NORM_EPSILON
from ._parts import build, layer_activation, require_model, without_standardize
from ._sequential import SOFTPLUS_THRESHOLDS
from ._state_dict import linear_arrays, norm_arrays

if TYPE_CHECKING:
    from torch import nn

    from .._mlp import MLP
    from .._typing import Floats

_MOMENTUM = 0.1  # what batch norm takes of a batch; as in the kernels
# The steps of a layer in their order, as a message names them.
_STEPS = ("Linear", "normalization", "activation", "Dropout")


def from_torch(module: nn.Module) -> MLP:
    """Make a model of a PyTorch Sequential (or a single Linear). Needs PyTorch.

    Each layer is a Linear, then optionally a LayerNorm or BatchNorm1d, an activation, and a
    Dropout, in this order, as in :class:`chainrule.Dense`. Sequentials may be nested. Identity is
    ignored, and so are a Flatten at the beginning, since models take rows, and the wrappers of
    torch.compile, DataParallel and DistributedDataParallel.

    Parameters
    ----------
    module : torch.nn.Sequential or torch.nn.Linear
        With parameters of one dtype on any device; in training mode or not.

        ========================== ============================================================
        module                     with
        ========================== ============================================================
        Linear                     any settings
        LayerNorm                  normalized_shape (n,), eps=1e-5, affine with bias
        BatchNorm1d                eps=1e-5, momentum=0.1, affine, running statistics
        ReLU, SELU, SiLU, Mish,    any settings
        Sigmoid, Tanh, GELU
        LeakyReLU, ELU             negative_slope, alpha of at least 0
        Softplus                   beta=1; threshold of 20 at least, in float64 40
        Dropout                    p below 1
        ========================== ============================================================

    Returns
    -------
    MLP
        A model with copies of the numbers, running statistics included: float64 for a float64
        module, otherwise float32 (float16 and bfloat16 are exact in it). PyTorch's weights are
        (out_features, in_features); the model's are transposed.

    Raises
    ------
    ImportError
        Without PyTorch.
    TypeError
        When `module` is neither of the two.
    ValueError
        For a module that has no counterpart, or none in its place; the message names the module and
        its place. Remove a Softmax at the end: outputs are logits.

    Examples
    --------
    .. code-block:: python

        module = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 1))
        model = cr.exchange.from_torch(module)
        model.predict(X)  # as module.eval()(torch.as_tensor(X)), within rounding
    """
    nn = _import_torch().nn
    module = _unwrapped(nn, module)
    if not isinstance(module, nn.Sequential | nn.Linear):
        raise TypeError(
            f"module must be a torch.nn.Sequential or Linear, got {_arguments.type_name(module)}"
        )
    layers: list[Dense] = []
    arrays: list[dict[str, Floats]] = []
    in_features = step = 0
    seen: set[int] = set()
    for place, item in _flattened(nn, module, "module"):
        if type(item) is nn.Identity:
            continue
        if type(item) is nn.Flatten and (item.start_dim, item.end_dim) == (1, -1) and not layers:
            continue
        _require_plain(item, place, seen)
        if type(item) is nn.Linear:
            part = linear_arrays(item.weight, item.bias, place)
            width, out_features = part["weight"].shape
            if layers and width != layers[-1].out_features:
                raise _refusal(item, place, f"{layers[-1].out_features} inputs expected")
            in_features = in_features or width
            layers.append(Dense(out_features, bias=item.bias is not None))
            arrays.append(part)
            step = 0
            continue
        if not layers:
            raise _refusal(item, place, "a Linear must come first")
        dtype = "float64" if arrays[-1]["weight"].dtype == np.float64 else "float32"
        changes, now = _step(nn, item, place, layers[-1], arrays[-1], dtype)
        if now <= step:
            raise _refusal(
                item, place, f"a layer is {', '.join(_STEPS)}, each at most once, in this order"
            )
        step = now
        layers[-1] = replace(layers[-1], **changes)
    if not layers:
        raise ValueError(f"module must hold a Linear at least, got {module}")
    return build(in_features, layers, arrays)


def _import_torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise ImportError(not_installed("this", "torch")) from error
    return torch


def _unwrapped(nn: Any, module: Any) -> Any:
    """Return the module that was compiled, or that is trained in parallel."""
    while True:
        if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            module = module.module
        elif isinstance(module, nn.Module) and "_orig_mod" in module._modules:
            module = module._orig_mod
        else:
            return module


def _flattened(nn: Any, module: Any, place: str) -> list[tuple[str, Any]]:
    """Return the modules of nested Sequentials, with their places."""
    module = _unwrapped(nn, module)
    if not isinstance(module, nn.Sequential):
        return [(place, module)]
    if type(module).forward is not nn.Sequential.forward:
        raise _refusal(module, place, "it has a forward method of its own")
    _require_unchanged(module, place)
    return [
        found
        for name, item in module._modules.items()  # named_children() leaves out repeated ones
        for found in _flattened(
            nn, item, f"{place}[{name}]" if name.isdigit() else f"{place}.{name}"
        )
    ]


def _refusal(item: Any, place: str, reason: str) -> ValueError:
    return ValueError(f"{place} must have a counterpart in chainrule, got {item}: {reason}")


def _require_plain(item: Any, place: str, seen: set[int]) -> None:
    """Raise for what makes a module something else than its class says."""
    _require_unchanged(item, place)
    if id(item) in seen and any(True for _ in item.parameters()):
        raise _refusal(item, place, "it occurs twice, and shared parameters are not kept")
    seen.add(id(item))


def _require_unchanged(item: Any, place: str) -> None:
    if item._forward_hooks or item._forward_pre_hooks:
        raise _refusal(item, place, "it has hooks (of weight_norm or the like); remove them first")
    if "forward" in vars(item):
        raise _refusal(item, place, "it has a forward function of its own")


def _step(
    nn: Any, item: Any, place: str, layer: Dense, arrays: dict[str, Floats], dtype: str
) -> tuple[dict[str, Any], int]:
    """Return what a module changes in a layer and which of _STEPS it is; norms add arrays."""
    n = layer.out_features
    if type(item) is nn.LayerNorm:
        _require(item, place, normalized_shape=(n,), eps=NORM_EPSILON, elementwise_affine=True)
        if item.bias is None:
            raise _refusal(item, place, "it must have a bias")
        arrays.update(norm_arrays(item.weight, item.bias, None, None, n=n, place=place))
        return {"norm": "layer"}, 1
    if type(item) is nn.BatchNorm1d:
        _require(item, place, num_features=n, eps=NORM_EPSILON, momentum=_MOMENTUM, affine=True)
        _require(item, place, track_running_stats=True)
        statistics = (item.running_mean, item.running_var)
        arrays.update(norm_arrays(item.weight, item.bias, *statistics, n=n, place=place))
        return {"norm": "batch"}, 1
    if type(item) is nn.Dropout:
        if item.p >= 1:
            raise _refusal(item, place, "p must be below 1")
        return {"dropout": item.p}, 3
    activation = _activation(nn, item, place, dtype)
    if activation is None:
        hint = (
            "outputs are logits; leave it out"
            if type(item) in (nn.Softmax, nn.LogSoftmax)
            else "there is none"
        )
        raise _refusal(item, place, hint)
    return {"activation": activation}, 2


def _require(item: Any, place: str, **settings: Any) -> None:
    for name, want in settings.items():
        if getattr(item, name) != want:
            raise _refusal(item, place, f"{name} must be {want}")


def _activation(nn: Any, item: Any, place: str, dtype: str) -> Activation | None:
    """Return the activation of a module, or None."""
    plain = {
        nn.ReLU: "relu",
        nn.SELU: "selu",
        nn.SiLU: "silu",
        nn.Mish: "mish",
        nn.Sigmoid: "sigmoid",
        nn.Tanh: "tanh",
    }
    kind = type(item)
    if kind in plain:
        return Activation(plain[kind])
    if kind is nn.GELU:
        return Activation("gelu_tanh" if item.approximate == "tanh" else "gelu")
    if kind in (nn.LeakyReLU, nn.ELU):
        parameter = "negative_slope" if kind is nn.LeakyReLU else "alpha"
        value = float(getattr(item, parameter))
        if not value >= 0:
            raise _refusal(item, place, f"{parameter} must be at least 0")
        return Activation("leaky_relu" if kind is nn.LeakyReLU else "elu", **{parameter: value})
    if kind is nn.Softplus:
        least = SOFTPLUS_THRESHOLDS[dtype]
        if item.beta != 1 or not item.threshold >= least:
            raise _refusal(
                item, place, f"beta must be 1 and threshold at least {least:g} in {dtype}"
            )
        return Activation("softplus")
    return None


def to_torch(model: MLP) -> nn.Sequential:
    """Make a PyTorch Sequential of a model. Needs PyTorch.

    The inverse of :func:`from_torch`, which lists the modules.

    Parameters
    ----------
    model : MLP
        The model.

    Returns
    -------
    torch.nn.Sequential
        In training mode, as PyTorch makes modules: call ``eval()`` for predictions. On the CPU,
        with copies of the parameters and running statistics, of the model's dtype. Initializers
        have no counterpart. :class:`chainrule.Standardize` goes into the first Linear: for columns
        whose mean is many times their deviation, float32 loses as many digits.

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
    model = require_model(model)
    torch = _import_torch()
    with model._lock.read("to_torch"):
        return torch.nn.Sequential(*_modules(torch, model))


def _modules(torch: Any, model: MLP) -> list[Any]:
    nn = torch.nn
    modules: list[Any] = []
    dtype = getattr(torch, model.dtype.name)
    width = model.in_features
    for layer, arrays in zip(*without_standardize(model), strict=True):
        n = layer.out_features
        with torch.no_grad():
            linear = nn.utils.skip_init(nn.Linear, width, n, bias=layer.bias, dtype=dtype)
            _copy(torch, linear.weight, arrays["weight"].T)
            if layer.bias:
                _copy(torch, linear.bias, arrays["bias"])
            modules.append(linear)
            if layer.norm is not None:
                norm = (nn.LayerNorm if layer.norm == "layer" else nn.BatchNorm1d)(n, dtype=dtype)
                _copy(torch, norm.weight, arrays["scale"])
                _copy(torch, norm.bias, arrays["shift"])
                if layer.norm == "batch":
                    _copy(torch, norm.running_mean, arrays["running_mean"])
                    _copy(torch, norm.running_var, arrays["running_variance"])
                modules.append(norm)
        activation = layer_activation(layer)
        if activation.name != "identity":
            modules.append(_activation_module(nn, activation, model.dtype.name))
        if layer.dropout:
            modules.append(nn.Dropout(layer.dropout))
        width = n
    return modules


def _copy(torch: Any, to: Any, values: Floats) -> None:
    to.copy_(torch.from_numpy(np.array(values, order="C")))


def _activation_module(nn: Any, activation: Activation, dtype: str) -> Any:
    name, parameter = activation.name, activation.parameter
    makers = {
        "relu": nn.ReLU,
        "leaky_relu": lambda: nn.LeakyReLU(parameter),
        "elu": lambda: nn.ELU(parameter),
        "selu": nn.SELU,
        "gelu": nn.GELU,
        "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
        "silu": nn.SiLU,
        "mish": nn.Mish,
        "sigmoid": nn.Sigmoid,
        "tanh": nn.Tanh,
        "softplus": lambda: nn.Softplus(threshold=SOFTPLUS_THRESHOLDS[dtype]),
    }
    return makers[name]()
