"""What is left of a fitted estimator when it is pickled or written: plain values and arrays.

The compiled network and trainer are taken apart into the numbers that they own and put together
again. Called by the estimators' base.
"""

from __future__ import annotations

from typing import Any

from .. import _core
from .._layers import Activation, Dense, Standardize
from .._mlp import MLP
from .._training import Trainer

_LIVE = ("model_", "coefs_", "intercepts_", "_views", "_trainer")


def pack(estimator: Any, state: dict[str, Any]) -> dict[str, Any]:
    """Replace the compiled parts in a state of attributes by dictionaries of values and arrays."""
    state = dict(state)
    if not hasattr(estimator, "model_"):
        return state
    estimator._synchronize()
    for name in _LIVE:
        state.pop(name, None)
    state["_network"] = pack_network(estimator.model_)
    trainer = estimator._trainer
    state["_training"] = None if trainer is None else pack_training(trainer)
    return state


def unpack(estimator: Any, state: dict[str, Any]) -> dict[str, Any]:
    """Put the compiled parts of a packed state into the estimator; return the rest."""
    state = {
        "precision": None,
        "standardize": False,
        **state,
    }  # which states of earlier versions lack
    network = state.pop("_network", None)
    training = state.pop("_training", None)
    if network is not None:
        estimator._attach(unpack_network(network))
        estimator._trainer = None
        if training is not None:
            estimator._trainer = unpack_training(estimator.model_, training)
            if "history_" in state:
                estimator._trainer.history = state["history_"]
                estimator.model_.history = state["history_"]
    return state


def pack_network(model: MLP) -> dict[str, Any]:
    """Return a network's architecture as plain values and its numbers as arrays."""
    return {
        "in_features": model.in_features,
        "dtype": model.dtype.name,
        "seed": model.seed,
        "precision": model.precision,
        "standardizes": model.input_layer is not None,
        "layers": [_pack_layer(layer) for layer in model.layers],
        "parameters": model.parameters.copy(),
        "running_statistics": model.running_statistics.copy(),
    }


def unpack_network(state: dict[str, Any]) -> MLP:
    """Make a network of what :func:`pack_network` returned."""
    layers = [_unpack_layer(layer) for layer in state["layers"]]
    first = [Standardize()] if state.get("standardizes") else []  # likewise
    model = MLP(
        [state["in_features"], *first, *layers],
        dtype=state["dtype"],
        seed=state["seed"],
        precision=state.get("precision"),  # states of earlier versions have none
    )
    model.parameters[:] = state["parameters"]
    model.running_statistics[:] = state["running_statistics"]
    return model


def _pack_layer(layer: Dense) -> dict[str, Any]:
    activation = layer.activation
    assert isinstance(activation, Activation)
    return {
        "out_features": layer.out_features,
        "activation": activation.name,
        "activation_parameter": activation.parameter,
        "dropout": layer.dropout,
        "norm": layer.norm,
        "bias": layer.bias,
        "initializer": layer.initializer,
    }


def _unpack_layer(state: dict[str, Any]) -> Dense:
    fields = dict(state)
    name, value = fields.pop("activation"), fields.pop("activation_parameter")
    parameter = _core.activations()[name]["parameter"]
    activation = Activation(name) if parameter is None else Activation(name, **{parameter: value})
    return Dense(**fields, activation=activation)


def pack_training(trainer: Trainer) -> dict[str, Any]:
    """Return a trainer's settings, which are frozen objects and values, and its numbers."""
    from .._files.trainer import pack_trainer

    fields, tensors = pack_trainer(trainer)
    return {
        "settings": dict(vars(trainer._settings)),
        "fields": fields,
        "tensors": {name: array.copy() for name, array in tensors.items()},
    }


def unpack_training(model: MLP, state: dict[str, Any]) -> Trainer:
    """Make a trainer of what :func:`pack_training` returned."""
    from .._files.trainer import unpack_trainer

    trainer = Trainer(model, **state["settings"])
    unpack_trainer(state["fields"], dict(state["tensors"]), trainer).restore(trainer)
    return trainer
