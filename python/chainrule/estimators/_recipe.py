"""From scikit-learn's parameters to the core's: layers, initial weights, optimizer, penalty.

Called by the estimators' base. scikit-learn's gradient is that of a sum over the outputs, the
core's that of a mean: `Objective` says by how much they differ, and optimizers are made so that
both take the same steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _arguments
from .._layers import Activation, Dense, as_activation
from .._optimizers import LBFGS, SGD, Adam, Optimizer, as_optimizer
from .._schedules import ReduceOnPlateau, Schedule

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._loss import Loss

# scikit-learn's names beside those of the core.
_ACTIVATIONS = {"logistic": "sigmoid"}
# Whose weights scikit-learn draws; all others are drawn as the core draws them.
_THEIRS = ("identity", "sigmoid", "tanh", "relu")


@dataclass(frozen=True)
class Objective:
    """A loss of the core and how scikit-learn's relates to it.

    Attributes
    ----------
    loss : Loss
        What the core minimizes.
    gradient : float
        scikit-learn's gradient divided by that of `loss`.
    value : float
        scikit-learn's loss divided by `loss`.
    """

    loss: Loss
    gradient: float = 1.0
    value: float = 1.0


# --- layers --------------------------------------------------------------------------------------


def hidden_sizes(value: Any) -> list[int]:
    """Check `hidden_layer_sizes`: a size or a sequence of sizes."""
    sizes = list(value) if hasattr(value, "__iter__") else [value]
    if any(not isinstance(size, str) and size <= 0 for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}")
    return [_arguments.integer(size, f"hidden_layer_sizes[{i}]") for i, size in enumerate(sizes)]


def per_layer(value: Any, argument: str, n_layers: int) -> list[Any]:
    """Spread one value over the hidden layers, or check a sequence with one for each."""
    if isinstance(value, str | Activation) or not isinstance(value, Sequence | np.ndarray):
        return [value] * n_layers
    if len(value) != n_layers:
        raise ValueError(
            f"{argument} must be one value or one for each of the {n_layers} hidden layers, "
            f"got {len(value)}"
        )
    return list(value)


def dense_layers(
    sizes: list[int], n_outputs: int, activation: Any, dropout: Any, norm: Any
) -> list[Dense]:
    """Return the hidden layers and the output layer."""
    activations = [
        as_activation(_ACTIVATIONS.get(name, name) if isinstance(name, str) else name)
        for name in per_layer(activation, "activation", len(sizes))
    ]
    layers = [
        Dense(size, chosen, rate, kind)
        for size, chosen, rate, kind in zip(
            sizes,
            activations,
            per_layer(dropout, "dropout", len(sizes)),
            per_layer(norm, "norm", len(sizes)),
            strict=True,
        )
    ]
    layers.append(Dense(n_outputs))
    return layers


def initial_weights(
    layers: list[Dense], n_features: int, activation: Any, random_state: np.random.RandomState
) -> list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None]:
    """Draw weights and biases as scikit-learn does; None for layers that the core draws.

    Uniform in +-sqrt(6 / (fan_in + fan_out)), behind which stands Glorot and Bengio (2010), with
    2 in place of 6 for the logistic activation. The output layer follows the last hidden one.
    """
    drawn: list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None] = []
    names = [as_activation(layer.activation).name for layer in layers]
    alone = _ACTIVATIONS.get(activation, activation) if isinstance(activation, str) else "relu"
    names[-1] = names[-2] if len(names) > 1 else alone
    fan_in = n_features
    for layer, name in zip(layers, names, strict=True):
        fan_out = layer.out_features
        if name in _THEIRS:
            bound = math.sqrt((2.0 if name == "sigmoid" else 6.0) / (fan_in + fan_out))
            weight = random_state.uniform(-bound, bound, (fan_in, fan_out))
            drawn.append((weight, random_state.uniform(-bound, bound, fan_out)))
        else:
            drawn.append(None)
        fan_in = fan_out
    return drawn


def without_initializer(layers: list[Dense], drawn: Sequence[object]) -> list[Dense]:
    """Spare the core drawing weights that are drawn already."""
    return [
        layer if numbers is None else replace(layer, initializer="zeros")
        for layer, numbers in zip(layers, drawn, strict=True)
    ]


def core_seed(random_state: np.random.RandomState) -> int:
    """Draw a seed for the core's own random numbers."""
    return int(random_state.randint(0, 2**32, dtype=np.uint64))


# --- optimizers ----------------------------------------------------------------------------------


def make_optimizer(estimator: Any, objective: Objective) -> Optimizer:
    """Return the optimizer that an estimator's parameters ask for."""
    if estimator.optimizer is not None:
        return as_optimizer(estimator.optimizer)
    scale = objective.gradient
    if estimator.solver == "lbfgs":
        # The core's tolerance must be positive: the smallest number never ends a training.
        return LBFGS(gradient_tolerance=max(estimator.tol / scale, 5e-324))
    rate = estimator.learning_rate
    if estimator.solver == "adam":
        # Adam's step does not change with the scale of the gradient, except for epsilon's share.
        # scikit-learn adds epsilon before the bias is corrected.
        if not isinstance(rate, Schedule):
            rate = estimator.learning_rate_init
        epsilon = estimator.epsilon / scale
        betas = estimator.beta_1, estimator.beta_2
        return Adam(rate, *betas, epsilon, epsilon_hat=True)
    rate = (
        _scaled(rate, scale) if isinstance(rate, Schedule) else estimator.learning_rate_init * scale
    )
    # scikit-learn allows 1, the core only what is below.
    momentum = min(estimator.momentum, math.nextafter(1.0, 0.0))
    return SGD(rate, momentum, nesterov=bool(estimator.nesterovs_momentum and momentum > 0))


def _scaled(schedule: Schedule, scale: float) -> Schedule:
    rate = schedule.learning_rate * scale
    if isinstance(schedule, ReduceOnPlateau):
        lowest = schedule.min_learning_rate * scale
        return replace(schedule, learning_rate=rate, min_learning_rate=lowest)
    return replace(schedule, learning_rate=rate)
