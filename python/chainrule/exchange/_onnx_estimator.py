"""What estimators make of the outputs of their network, as ONNX nodes.

Used by _skl2onnx.py and by the command's export. Estimators are those of chainrule.estimators, or
others that have their attributes `model_`, `out_activation_` and, of classifiers, `classes_`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._losses import GaussianNLL, Quantile
from ._onnx_graph import Graph, add_labels, add_probabilities, class_labels


def is_multilabel(estimator: Any) -> bool:
    """Return whether a classifier predicts several labels and not one of several classes."""
    guess = estimator.out_activation_ == "logistic" and estimator.model_.out_features > 1
    return bool(getattr(estimator, "_is_multilabel", guess))


def labels_of(estimator: Any) -> Any:
    """Return the classes as ONNX has them: int64 or strings."""
    classes = np.asarray(estimator.classes_)
    if len(classes) == 1 and not is_multilabel(estimator):
        raise ValueError(f"classes_ must hold two classes at least, got {classes}")
    return class_labels(classes, len(classes), "classes_")


def add_classes(graph: Graph, estimator: Any, logits: str, label: str) -> str:
    """Add the output `label`; return the name of the probabilities."""
    n_outputs = estimator.model_.out_features
    multilabel = is_multilabel(estimator)
    against_all = n_outputs > 1 and estimator.out_activation_ == "logistic" and not multilabel
    probabilities = add_probabilities(graph, logits, n_outputs, multilabel, against_all)
    # Two sigmoids may both be rounded to 1 where their logits still differ.
    scores = logits if against_all else probabilities
    add_labels(graph, scores, labels_of(estimator), multilabel, label)
    return probabilities


def values_shape(estimator: Any) -> list[int]:
    """Return the shape of a row of what :func:`add_values` adds."""
    n, loss = estimator.model_.out_features, loss_of(estimator)
    if isinstance(loss, GaussianNLL):
        return [n // 2]
    if isinstance(loss, Quantile) and 1 < len(loss.levels) < n:
        return [n // len(loss.levels), len(loss.levels)]
    return [n]


def add_values(graph: Graph, estimator: Any, outputs: str) -> str:
    """Add what `predict` of a regressor returns, with an axis of targets also for one of them."""
    shape = values_shape(estimator)
    if estimator.out_activation_ == "exp":
        return graph.add("Exp", outputs)
    if isinstance(loss_of(estimator), GaussianNLL):
        first, last, axis = (np.array([i], np.int64) for i in (0, shape[0], 1))
        return graph.add("Slice", outputs, first, last, axis)
    if len(shape) > 1:
        return graph.add("Reshape", outputs, np.array([0, *shape], np.int64))
    return outputs


def loss_of(estimator: Any) -> Any:
    """Return the loss that a regressor was fitted by; None of one that does not tell."""
    trainer = getattr(estimator, "_trainer", None)
    if trainer is None:
        return estimator._loss() if hasattr(estimator, "_loss") else None
    return trainer.loss
