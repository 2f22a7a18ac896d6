"""What estimators make of the outputs of their network, as ONNX nodes.

Used by _skl2onnx.py and by the command's export. Estimators are those of chainrule.estimators, or
others that have their attributes `model_`, `out_activation_` and, of classifiers, `classes_`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._links import Link, link_of_fit
from ._onnx_graph import Graph, add_labels, add_probabilities, class_labels


def is_multilabel(estimator: Any) -> bool:
    """Return whether a classifier predicts several labels and not one of several classes."""
    guess = link_of(estimator).name == "sigmoid" and estimator.model_.out_features > 1
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
    against_all = n_outputs > 1 and link_of(estimator).name == "sigmoid" and not multilabel
    probabilities = add_probabilities(graph, logits, n_outputs, multilabel, against_all)
    # Two sigmoids may both be rounded to 1 where their logits still differ.
    scores = logits if against_all else probabilities
    add_labels(graph, scores, labels_of(estimator), multilabel, label)
    return probabilities


def values_shape(estimator: Any) -> list[int]:
    """Return the shape of a row of what :func:`add_values` adds."""
    n_targets, *rest = link_of(estimator).shape(estimator.model_.out_features)
    return rest if rest and n_targets == 1 else [n_targets, *rest]


def add_values(graph: Graph, estimator: Any, outputs: str) -> str:
    """Add what `predict` of a regressor returns, with an axis of targets also for one of them."""
    return _VALUES[link_of(estimator).name](graph, outputs, values_shape(estimator))


def _add_identity(graph: Graph, outputs: str, shape: list[int]) -> str:
    return outputs


def _add_exp(graph: Graph, outputs: str, shape: list[int]) -> str:
    return graph.add("Exp", outputs)


def _add_means(graph: Graph, outputs: str, shape: list[int]) -> str:
    first, last, axis = (np.array([i], np.int64) for i in (0, shape[0], 1))
    return graph.add("Slice", outputs, first, last, axis)


def _add_quantiles(graph: Graph, outputs: str, shape: list[int]) -> str:
    if len(shape) == 1:
        return outputs
    return graph.add("Reshape", outputs, np.array([0, *shape], np.int64))


# The nodes that make predictions of outputs, for each link of a regressor.
_VALUES: dict[str, Callable[[Graph, str, list[int]], str]] = {
    "identity": _add_identity,
    "exp": _add_exp,
    "gaussian": _add_means,
    "quantiles": _add_quantiles,
}


def link_of(estimator: Any) -> Link:
    """Return what the outputs of a fitted estimator's network mean."""
    trainer = getattr(estimator, "_trainer", None)
    if trainer is not None:
        loss = trainer.loss
    else:
        loss = estimator._loss() if hasattr(estimator, "_loss") else None
    return link_of_fit(None if loss is None else loss.link, estimator.out_activation_)
