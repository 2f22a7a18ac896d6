"""From the arguments of a fit to checked data: training rows, validation rows, weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _arguments, _validation
from ._evaluation import Dataset

if TYPE_CHECKING:
    import numpy.typing as npt

    from ._loss import Loss
    from ._mlp import MLP
    from ._typing import Labels


def dataset(
    model: MLP,
    loss: Loss,
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    sample_weight: npt.ArrayLike | None,
    names: tuple[str, str, str] = ("X", "y", "sample_weight"),
) -> Dataset:
    """Check features, targets and weights against a model and a loss."""
    X, y, sample_weight = (_validation.with_own_shape(given) for given in (X, y, sample_weight))
    x = _validation.features(X, model.dtype, model.in_features, names[0])
    targets = loss.targets(y, model.dtype, len(x), model.out_features, names[1])
    weights = _validation.sample_weights(sample_weight, model.dtype, len(x), names[2])
    _validation.require_some_weight(weights, names[2])
    return Dataset(x, targets, weights)


def given_validation(model: MLP, loss: Loss, validation_data: Any) -> Dataset:
    """Check the argument `validation_data`."""
    if not isinstance(validation_data, tuple | list) or len(validation_data) not in (2, 3):
        raise TypeError(
            "validation_data must be a tuple (X, y) or (X, y, sample_weight), "
            f"got {_arguments.type_name(validation_data)}"
            + (f" of {len(validation_data)}" if isinstance(validation_data, tuple | list) else "")
        )
    names = ("validation_data[0]", "validation_data[1]", "validation_data[2]")
    X, y, *rest = validation_data
    return dataset(model, loss, X, y, rest[0] if rest else None, names)


def split(data: Dataset, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
    """Hold out the share `fraction` of the rows, chosen by the seed; both parts keep their order.

    Sorting raw words of the generator, unlike NumPy's shuffles, gives the same rows with every
    version of NumPy.
    """
    n_rows = len(data.x)
    n_held_out = max(1, round(fraction * n_rows))
    if n_held_out >= n_rows:
        raise ValueError(
            f"validation_fraction must leave at least one row to train on, got {fraction:g} "
            f"of {n_rows} row{'' if n_rows == 1 else 's'}"
        )
    order = np.argsort(np.random.Philox(key=seed).random_raw(n_rows), kind="stable")
    training = take(data, np.sort(order[:-n_held_out]))
    held_out = take(data, np.sort(order[-n_held_out:]))
    for part, name in ((training, "training"), (held_out, "held-out")):
        _validation.require_some_weight(part.weights, f"sample_weight of the {name} rows")
    return training, held_out


def take(data: Dataset, rows: npt.NDArray[np.intp]) -> Dataset:
    """Copy rows of checked data."""
    weights = None if data.weights is None else data.weights[rows]
    return Dataset(data.x[rows], data.targets[rows], weights)


def weighted_by_class(data: Dataset, loss: Loss, class_weight: Any, n_outputs: int) -> Dataset:
    """Multiply the sample weights by those of the rows' classes."""
    labels, n_classes = _classes(data, loss, n_outputs)
    of_rows: npt.NDArray[Any] = _class_weights(class_weight, labels, n_classes)[labels]
    if data.weights is not None:
        of_rows = of_rows * data.weights
    weights = _validation.convert(of_rows, data.x.dtype)
    _validation.require_some_weight(weights, "class_weight (times sample_weight)")
    return Dataset(data.x, data.targets, weights)


def _classes(data: Dataset, loss: Loss, n_outputs: int) -> tuple[Labels, int]:
    link = loss.link.name
    if link == "softmax" and data.targets.ndim == 1:
        return data.targets.astype(np.int32, copy=False), n_outputs
    if link == "sigmoid" and n_outputs == 1:
        labels = data.targets[:, 0]
        if ((labels != 0) & (labels != 1)).any():
            raise ValueError("y must hold only 0 and 1 for class_weight, got other probabilities")
        return labels.astype(np.int32), 2
    raise ValueError(
        "class_weight must be None unless the loss is cross_entropy with labels or "
        f"binary_cross_entropy with one output, got it with {loss}"
    )


def _class_weights(value: Any, labels: Labels, n_classes: int) -> npt.NDArray[np.float64]:
    if isinstance(value, str):
        _arguments.one_of(value, ("balanced",), "class_weight")
        counts = np.bincount(labels, minlength=n_classes)
        return len(labels) / (n_classes * np.maximum(counts, 1))
    if isinstance(value, Mapping):
        weights = np.ones(n_classes)
        for label, weight in value.items():
            index = _arguments.integer(label, "label in class_weight", 0, n_classes - 1)
            weights[index] = _arguments.number(weight, f"class_weight[{index}]", minimum=0.0)
        return weights
    array = _validation.convert(
        _validation.numeric_array(value, "class_weight"), np.dtype(np.float64)
    )
    if array.shape != (n_classes,):
        raise ValueError(
            f"class_weight must be 'balanced', a dict from labels to weights, or an array of shape "
            f"({n_classes},), got shape {array.shape}"
        )
    _validation.require_finite(array, array, "class_weight")
    _validation.require_range(array, "class_weight", 0.0, None, "each class")
    return np.asarray(array, np.float64)
