"""What is left of a fitted estimator when it is pickled or written: plain values and arrays.

The compiled network and trainer are taken apart into the numbers that they own and put together
again. Called by the estimators' base.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_array

from .. import _core
from .._layers import Activation, Dense, Standardize
from .._mlp import MLP
from .._training import Trainer

_LIVE = ("model_", "coefs_", "intercepts_", "_views", "_trainer")
# What fits make. A fit that begins anew leaves none of an earlier one.
_FITTED = (
    *_LIVE,
    *("n_features_in_", "feature_names_in_", "n_outputs_", "n_layers_", "out_activation_"),
    *("classes_", "_is_multilabel", "_sparse_targets", "_n_targets"),
    *("n_iter_", "t_", "history_", "evals_result_", "loss_", "loss_curve_", "best_loss_"),
    *("validation_scores_", "best_validation_score_", "_no_improvement_count"),
)

GivenWeights = tuple[Any, Any]


def forget(estimator: Any) -> None:
    """Drop what fits have made."""
    for name in _FITTED:
        vars(estimator).pop(name, None)


# --- weights as attributes -----------------------------------------------------------------------


def attach(estimator: Any, model: MLP) -> None:
    """Give an estimator its network, with the views of the weights that scikit-learn has."""
    estimator.model_ = model
    views = model.weights, tuple(bias for bias in model.biases if bias is not None)
    estimator._views = views
    estimator.coefs_, estimator.intercepts_ = map(list, views)


def given_weights(estimator: Any) -> GivenWeights | None:
    """Return the weights and biases that an estimator without a network was given, if any."""
    given = getattr(estimator, "coefs_", None), getattr(estimator, "intercepts_", None)
    if given == (None, None):
        return None
    if None in given:
        raise ValueError("coefs_ and intercepts_ must be given together")
    return given


def take_in(estimator: Any) -> bool:
    """Take in arrays that were put in the place of those in `coefs_` and `intercepts_`.

    Returns whether there were any; nothing is written unless all are right.
    """
    new = []
    for name, views in zip(("coefs_", "intercepts_"), estimator._views, strict=True):
        arrays = getattr(estimator, name)
        if len(arrays) != len(views):
            raise ValueError(f"{name} must hold {len(views)} arrays, got {len(arrays)}")
        for i, (array, view) in enumerate(zip(arrays, views, strict=True)):
            if array is not view:
                what = f"{name}[{i}]"
                checked = check_array(array, ensure_2d=False, dtype=view.dtype, input_name=what)
                if checked.shape != view.shape:
                    raise ValueError(
                        f"{what} must be of shape {view.shape}, got shape {checked.shape}"
                    )
                new.append((view, checked))
    for view, checked in new:
        view[:] = checked
    if new:
        estimator.coefs_, estimator.intercepts_ = map(list, estimator._views)
    return bool(new)


# --- states --------------------------------------------------------------------------------------


def pack(estimator: Any, state: dict[str, Any]) -> dict[str, Any]:
    """Replace the compiled parts in a state of attributes by dictionaries of values and arrays."""
    state = dict(state)
    if not hasattr(estimator, "model_"):
        return state
    take_in(estimator)
    for name in _LIVE:
        state.pop(name, None)
    trainer = estimator._trainer
    n_steps = trainer and trainer.step_count
    state["_network"] = pack_network(estimator.model_)
    state["_training"] = None if trainer is None else pack_training(trainer)
    if isinstance(state.get("loss_curve_"), list):
        # Of an online training this alone grows: 8 bytes for each epoch, and 9 as a list.
        state["loss_curve_"] = np.array(state["loss_curve_"], np.float64)
    if trainer is not None and trainer.step_count != n_steps:
        raise RuntimeError("a copy or a pickle must wait: another thread is training this model")
    return state


def unpack(estimator: Any, state: dict[str, Any]) -> dict[str, Any]:
    """Put the compiled parts of a packed state into the estimator; return the rest."""
    # Which states of earlier versions lack.
    state = {"precision": None, "shards": None, "standardize": False, **state}
    if isinstance(state.get("loss_curve_"), np.ndarray):
        state["loss_curve_"] = state["loss_curve_"].tolist()
    network = state.pop("_network", None)
    training = state.pop("_training", None)
    if network is not None:
        attach(estimator, unpack_network(network))
        estimator._trainer = None
        if training is not None:
            estimator._trainer = unpack_training(estimator.model_, training)
            if "history_" in state:
                estimator._trainer._state.history = state["history_"]
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
