"""ONNX files of `chainrule export`: a network with all that is around it.

Of a table, the columns themselves are the inputs. Their steps are written with the operations of
`encoding.py` in the same order, in double precision, so that the network gets the same bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule._command.encoding import (
    DAY,
    LIMIT,
    PERIODS,
    CategoryStep,
    DateStep,
    NumberStep,
    Step,
)
from chainrule._command.errors import UsageError, quoted
from chainrule._command.exportable import Exportable
from chainrule._command.pipeline import Pipeline
from chainrule._command.target import Target
from chainrule.exchange._onnx import (
    ML_DOMAIN,
    Value,
    check_onnx,
    import_onnx,
    model_proto,
)
from chainrule.exchange._onnx_estimator import (
    add_classes,
    add_values,
    is_multilabel,
    labels_of,
    values_shape,
)
from chainrule.exchange._onnx_graph import Graph, add_labels, add_network, class_labels

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["make_onnx"]

_FLOAT, _INT64, _DOUBLE = 1, 7, 11  # ONNX's numbers of element types
_ELEMENT = {"float32": _FLOAT, "float64": _DOUBLE}


def make_onnx(found: Exportable, opset: int) -> ModelProto:
    """Return the ONNX model of what a file held.

    Raises
    ------
    ValueError, TypeError
        For what ONNX does not have.
    UsageError
        For names of columns that it cannot have.
    """
    onnx = import_onnx()
    opset = check_onnx(onnx, found.model, opset)
    if found.pipeline is not None:
        return _of_pipeline(onnx, found.pipeline, opset)
    model = found.model
    graph = Graph(model.dtype)
    outputs = add_network(graph, model, "X")
    values: list[Value]
    if found.estimator is None:
        graph.add("Identity", outputs, output="outputs")
        values = [("outputs", model.dtype.name, ["batch", model.out_features])]
    elif hasattr(found.estimator, "classes_"):
        values = _classifier_outputs(graph, found.estimator, outputs)
    else:
        graph.add("Identity", add_values(graph, found.estimator, outputs), output="variable")
        values = [("variable", model.dtype.name, ["batch", *values_shape(found.estimator)])]
    inputs: list[Value] = [("X", model.dtype.name, ["batch", model.in_features])]
    return model_proto(onnx, [graph], inputs, values, opset, model)


def _classifier_outputs(graph: Graph, estimator: Any, logits: str) -> list[Value]:
    labels = labels_of(estimator)
    probabilities = add_classes(graph, estimator, logits, "label")
    graph.add("Identity", probabilities, output="probabilities")
    kind = "string" if labels.dtype == object and not is_multilabel(estimator) else "int64"
    n = len(labels)
    return [
        ("label", kind, ["batch", n] if is_multilabel(estimator) else ["batch"]),
        ("probabilities", graph.dtype.name, ["batch", n]),
    ]


# --- tables --------------------------------------------------------------------------------------


def _of_pipeline(onnx: Any, pipeline: Pipeline, opset: int) -> ModelProto:
    steps = pipeline.encoding.steps
    for name in steps:
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            raise UsageError(f"column {quoted(name)} has a name that is no Unicode") from None
    # What the nodes make must not be called as a column is.
    prefix = "chainrule_"
    while any(name.startswith(prefix) for name in steps):
        prefix += "_"
    table = Graph(np.dtype(np.float64), f"{prefix}table_")
    inputs: list[Value] = []
    features: list[str] = []
    for name, step in steps.items():
        kind = "string" if isinstance(step, CategoryStep) else "float64"
        inputs.append((name, kind, ["batch", 1]))
        features += _add_step(table, step, name, pipeline.missing)
    matrix = table.add("Concat", *features, axis=1) if len(features) > 1 else features[0]
    model = pipeline.model
    network = Graph(model.dtype, f"{prefix}network_")
    x = network.add("Cast", matrix, to=_ELEMENT[model.dtype.name])
    outputs = add_network(network, model, x)
    ending = Graph(np.dtype(np.float64), f"{prefix}ending_")
    values = _add_target(ending, pipeline.target, outputs, set(steps))
    return model_proto(onnx, [table, network, ending], inputs, values, opset, model)


def _add_step(graph: Graph, step: Step, x: str, missing: tuple[str, ...]) -> list[str]:
    """Add what a step makes of a column; return the names of its features, float32."""
    if isinstance(step, NumberStep):
        return _add_number(graph, step, x)
    if isinstance(step, CategoryStep):
        return [_add_category(graph, step, x, missing)]
    assert isinstance(step, DateStep)
    features = []
    if step.trend is not None:
        features = _add_number(graph, step.trend, graph.add("Div", x, DAY))
    is_missing = _is_missing(graph, x)
    for circle in step.circles:
        angle = graph.add("Mul", x, 2 * np.pi / PERIODS[circle])
        # cos a = 1 - 2 sin^2(a / 2): onnxruntime 1.23 has no cosine in double.
        half = graph.add("Sin", graph.add("Mul", angle, 0.5))
        cosine = graph.add("Sub", 1.0, graph.add("Mul", graph.add("Mul", half, half), 2.0))
        for turn in (graph.add("Sin", angle), cosine):
            wave = graph.add("Where", is_missing, 0.0, turn)
            features.append(graph.add("Cast", wave, to=_FLOAT))
    return features


def _is_missing(graph: Graph, x: str) -> str:
    return graph.add("Or", graph.add("IsNaN", x), graph.add("IsInf", x))


def _add_number(graph: Graph, step: NumberStep, x: str) -> list[str]:
    is_missing = _is_missing(graph, x)
    values = graph.add("Where", is_missing, step.fill, x)
    values = graph.add("Div", graph.add("Sub", values, step.mean), step.scale)
    values = graph.add("Min", graph.add("Max", values, -LIMIT), LIMIT)
    features = [graph.add("Cast", values, to=_FLOAT)]
    if step.has_indicator:
        features.append(graph.add("Cast", is_missing, to=_FLOAT))
    return features


def _add_category(graph: Graph, step: CategoryStep, x: str, missing: tuple[str, ...]) -> str:
    """Add a feature for each frequent value, and for all others together where there is one."""
    others = len(step.frequent) if step.rare else -1
    places = {text: place for place, text in enumerate(step.frequent)}
    of_missing = places.pop(None, others)
    # As a file is read: the empty text, and what training was told, are missing values.
    keys: dict[str | None, int] = {**places, **dict.fromkeys(("", *missing), of_missing)}
    place = graph.add(
        "LabelEncoder",
        x,
        domain=ML_DOMAIN,
        keys_strings=[*keys],
        values_int64s=[*keys.values()],
        default_int64=others,
    )
    own = graph.add("Equal", place, np.arange(step.width)[np.newaxis])
    return graph.add("Cast", own, to=_FLOAT)


def _add_target(graph: Graph, target: Target, outputs: str, taken: set[str]) -> list[Value]:
    def free(name: str) -> str:
        while name in taken:
            name += "_"
        return name

    in_double = graph.add("Cast", outputs, to=_DOUBLE)
    if not target.classes:
        name = free("variable")
        scaled = graph.add("Mul", in_double, target.scale)
        graph.add("Add", scaled, target.mean, output=name)
        return [(name, "float64", ["batch", 1])]
    label, probabilities = free("label"), free("probabilities")
    classes: Any = target.classes
    numbers = np.array([float(c) for c in classes]) if target.kind == "numeric" else np.empty(0)
    if len(numbers) and (numbers == np.floor(numbers)).all() and (abs(numbers) < 2.0**63).all():
        classes = numbers.astype(np.int64)
    labels = class_labels(np.array(classes), len(classes), "classes")
    graph.add("Softmax", in_double, axis=1, output=probabilities)
    add_labels(graph, outputs, labels, False, label)
    kind = "string" if labels.dtype == object else "int64"
    return [(label, kind, ["batch"]), (probabilities, "float64", ["batch", len(classes)])]
