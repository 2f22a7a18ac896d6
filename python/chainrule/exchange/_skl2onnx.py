"""Converters for skl2onnx, so that pipelines around chainrule's estimators become ONNX models."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _arguments
from .._errors import not_installed
from ._onnx import OLDEST_OPSET
from ._onnx_estimator import add_classes, add_values, is_multilabel, labels_of, values_shape
from ._onnx_graph import Graph, add_network

if TYPE_CHECKING:
    from .._mlp import MLP


def register_skl2onnx(
    classifier: type[Any] | None = None, regressor: type[Any] | None = None
) -> None:
    """Teach skl2onnx to convert chainrule's estimators.

    Call it once; ``skl2onnx.to_onnx`` and ``convert_sklearn`` then take the estimators, and
    pipelines, searches and ensembles of them. The outputs equal those of scikit-learn's estimators:
    ``label`` and ``probabilities`` (with the option ``zipmap``), ``variable`` of shape (n_samples,
    n_targets); several quantiles of several targets add an axis.

    Parameters
    ----------
    classifier, regressor : type, optional
        Classes of estimators to register; by default :class:`chainrule.estimators.MLPClassifier`
        and :class:`chainrule.estimators.MLPRegressor`. Fitted ones have ``model_``, an
        :class:`chainrule.MLP` whose outputs are logits or values, and ``out_activation_``;
        classifiers have ``classes_``.

    Raises
    ------
    ImportError
        Without the package skl2onnx.
    TypeError
        If one of the two is not a class.
    """
    for name, given in (("classifier", classifier), ("regressor", regressor)):
        if given is not None and not isinstance(given, type):
            raise TypeError(f"{name} must be a class, got {_arguments.type_name(given)}")
    try:
        import skl2onnx
    except ImportError as error:
        raise ImportError(not_installed("register_skl2onnx", "skl2onnx")) from error
    if classifier is None or regressor is None:
        estimators = importlib.import_module("chainrule.estimators")
        classifier = classifier or estimators.MLPClassifier
        regressor = regressor or estimators.MLPRegressor
    skl2onnx.update_registered_converter(
        classifier,
        "ChainruleMLPClassifier",
        _classifier_shapes,
        _convert_classifier,
        options={
            "zipmap": [True, False, "columns"],
            "nocl": [True, False],
            "output_class_labels": [False, True],
        },
    )
    skl2onnx.update_registered_converter(
        regressor, "ChainruleMLPRegressor", _regressor_shapes, _convert_regressor
    )


# --- shapes --------------------------------------------------------------------------------------


def _classifier_shapes(operator: Any) -> None:
    from skl2onnx.common.data_types import Int64TensorType, StringTensorType

    estimator = operator.raw_operator
    rows = operator.inputs[0].get_first_dimension()
    labels = labels_of(estimator)
    shape = [rows, len(labels)]
    kind = StringTensorType if labels.dtype == object else Int64TensorType
    if is_multilabel(estimator):
        operator.outputs[0].set_type(Int64TensorType(shape))
    else:
        operator.outputs[0].set_type(kind([rows]))
    operator.outputs[1].type.shape = shape


def _regressor_shapes(operator: Any) -> None:
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    is_double = isinstance(operator.inputs[0].type, DoubleTensorType)
    shape = [operator.inputs[0].get_first_dimension(), *values_shape(operator.raw_operator)]
    operator.outputs[0].set_type((DoubleTensorType if is_double else FloatTensorType)(shape))


# --- nodes ---------------------------------------------------------------------------------------


def _types(operator: Any, model: MLP) -> tuple[int, int]:
    """Return ONNX's element types of the model and of what the pipeline computes in."""
    from onnx import TensorProto
    from skl2onnx.common.data_types import DoubleTensorType

    inner = TensorProto.DOUBLE if model.dtype == np.float64 else TensorProto.FLOAT
    is_double = isinstance(operator.inputs[0].type, DoubleTensorType)
    return inner, TensorProto.DOUBLE if is_double else TensorProto.FLOAT


def _begin(scope: Any, operator: Any) -> tuple[Graph, str]:
    """Return a graph with the network of the estimator, and the name of its outputs."""
    model = operator.raw_operator.model_
    inner, _ = _types(operator, model)
    graph = Graph(model.dtype, prefix=f"{scope.get_unique_variable_name('chainrule')}_")
    # The pipeline may compute in another type.
    x = graph.add("Cast", operator.inputs[0].full_name, to=inner)
    return graph, add_network(graph, model, x)


def _finish(graph: Graph, scope: Any, container: Any) -> None:
    """Put nodes and constants into the pipeline's model."""
    from onnx.helper import np_dtype_to_tensor_dtype

    if container.target_opset < OLDEST_OPSET:
        raise ValueError(
            f"target_opset must be at least {OLDEST_OPSET} for chainrule's estimators, "
            f"got {container.target_opset}"
        )
    for name, value in graph.constants.items():
        kind = np_dtype_to_tensor_dtype(value.dtype)
        items = value.ravel().tolist()
        if value.dtype == object:
            items = [item.encode("utf-8") for item in items]
        container.add_initializer(name, kind, list(value.shape), items)
    for node in graph.nodes:
        container.add_node(
            node.operator,
            list(node.inputs),
            node.output,
            name=scope.get_unique_operator_name(node.operator),
            **node.attributes,
        )


def _convert_classifier(scope: Any, operator: Any, container: Any) -> None:
    estimator = operator.raw_operator
    graph, logits = _begin(scope, operator)
    label, probabilities = (output.full_name for output in operator.outputs)
    computed = add_classes(graph, estimator, logits, label)
    graph.add("Cast", computed, output=probabilities, to=_types(operator, estimator.model_)[1])
    _finish(graph, scope, container)


def _convert_regressor(scope: Any, operator: Any, container: Any) -> None:
    graph, outputs = _begin(scope, operator)
    graph.add(
        "Cast",
        add_values(graph, operator.raw_operator, outputs),
        output=operator.outputs[0].full_name,
        to=_types(operator, operator.raw_operator.model_)[1],
    )
    _finish(graph, scope, container)
