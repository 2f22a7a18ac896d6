"""Models from plain arrays and from scikit-learn: :func:`from_weights`, :func:`from_sklearn`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _arguments
from .._layers import Activation, Dense, as_activation
from ._parts import build, parameter_array

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._mlp import MLP

# scikit-learn's name -> chainrule's.
_ACTIVATIONS = {"identity": "identity", "logistic": "sigmoid", "tanh": "tanh", "relu": "relu"}


def from_weights(
    weights: Sequence[npt.ArrayLike],
    biases: Sequence[npt.ArrayLike | None] | None = None,
    *,
    activation: str | Activation = "relu",
    output_activation: str | Activation = "identity",
) -> MLP:
    """Make a model of given weights and biases, such as scikit-learn's ``coefs_``.

    Parameters
    ----------
    weights : sequence of array_like, shape (in_features, out_features)
        One for each layer, the first layer first, of floating-point numbers.
    biases : sequence of array_like, shape (out_features,), optional
        One for each layer, or None for a layer without; by default none has one.
    activation : str or Activation, default "relu"
        Of all layers but the last.
    output_activation : str or Activation, default "identity"
        Of the last layer.

    Returns
    -------
    MLP
        A model with copies of the numbers: float64 if any of them is, else float32.

    Raises
    ------
    TypeError, ValueError
        For invalid arguments.

    Examples
    --------
    >>> import numpy as np
    >>> import chainrule as cr
    >>> model = cr.exchange.from_weights([np.eye(2), np.ones((2, 1))], [[0.5, -4.0], None])
    >>> model.predict([[1.0, 3.0]])
    array([[1.5]])
    """
    return _from_arrays(
        (weights, "weights"),
        (biases, "biases"),
        as_activation(activation),
        as_activation(output_activation, "output_activation"),
    )


def _from_arrays(
    weights: tuple[Any, str], biases: tuple[Any, str], hidden: Activation, output: Activation
) -> MLP:
    """Make a model of two sequences, each of them with the name that messages give it."""
    matrices = _sequence(*weights)
    vectors = [None] * len(matrices) if biases[0] is None else _sequence(*biases)
    if not matrices:
        raise ValueError(f"{weights[1]} must hold at least one array, got none")
    if len(vectors) != len(matrices):
        raise ValueError(
            f"{biases[1]} must hold one item for each of {len(matrices)} weights, "
            f"got {len(vectors)}"
        )
    layers, arrays = [], []
    width: int | None = None
    for i, (matrix, vector) in enumerate(zip(matrices, vectors, strict=True)):
        weight = parameter_array(matrix, f"{weights[1]}[{i}]", (width, None))
        width = weight.shape[1]
        part = {"weight": weight}
        if vector is not None:
            part["bias"] = parameter_array(vector, f"{biases[1]}[{i}]", (width,))
        last = i == len(matrices) - 1
        layers.append(Dense(width, output if last else hidden, bias=vector is not None))
        arrays.append(part)
    return build(arrays[0]["weight"].shape[0], layers, arrays)


def from_sklearn(estimator: Any) -> MLP:
    """Make a model of a fitted MLPClassifier or MLPRegressor of scikit-learn.

    Reads the attributes ``activation``, ``coefs_`` and ``intercepts_`` and nothing else, so that
    anything that has them will do; scikit-learn need not be installed.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Fitted.

    Returns
    -------
    MLP
        A model with copies of the numbers, of their dtype. Its outputs are those before the
        estimator's ``out_activation_``: values of a regressor; of a classifier logits, which the
        losses of chainrule take. Probabilities are their softmax (``out_activation_`` is
        "softmax"), or their sigmoid ("logistic": two classes have one column, the logit of the
        second, and several labels a column each). Column i belongs to ``estimator.classes_[i]``,
        which the caller keeps.

    Raises
    ------
    TypeError
        When the estimator has no such attributes, because it is not fitted or another one.
    ValueError
        For an activation or for arrays that are not scikit-learn's.

    Examples
    --------
    >>> import chainrule as cr
    >>> from sklearn.neural_network import MLPRegressor
    >>> X = [[0.0], [1.0], [2.0]]
    >>> estimator = MLPRegressor(hidden_layer_sizes=[4], solver="lbfgs", random_state=0)
    >>> estimator = estimator.fit(X, [0.0, 1.0, 2.0])
    >>> model = cr.exchange.from_sklearn(estimator)
    >>> bool(abs(model.predict(X)[:, 0] - estimator.predict(X)).max() < 1e-12)
    True
    """
    if hasattr(estimator, "model_"):
        # It may have what coefs_ and intercepts_ do not say: norms, other activations.
        raise TypeError(
            "estimator must be one of scikit-learn, got one of chainrule, whose model_ is an MLP"
        )
    missing = [
        name for name in ("activation", "coefs_", "intercepts_") if not hasattr(estimator, name)
    ]
    if missing:
        raise TypeError(
            f"estimator must be a fitted MLPClassifier or MLPRegressor, "
            f"got {_arguments.type_name(estimator)} without {missing[0]}"
        )
    name = _arguments.one_of(estimator.activation, _ACTIVATIONS, "estimator.activation")
    return _from_arrays(
        (estimator.coefs_, "estimator.coefs_"),
        (estimator.intercepts_, "estimator.intercepts_"),
        Activation(_ACTIVATIONS[name]),
        Activation("identity"),
    )


def _sequence(value: Any, argument: str) -> list[Any]:
    if isinstance(value, np.ndarray) or not isinstance(value, Sequence):
        raise TypeError(
            f"{argument} must be a sequence of arrays, got {_arguments.type_name(value)}"
        )
    return list(value)
