"""A network as ONNX nodes and constants: operators of the standard, no package imported.

_onnx.py makes a model file of a graph, _skl2onnx.py a part of a pipeline.

The nodes are those of opset 13 and later. float32 has an operator of the standard wherever there is
one. float64 has compositions of basic arithmetic instead of operators whose attributes the standard
keeps in float32 (LeakyRelu, Elu, Selu) or which onnxruntime does not have in double (Elu, Selu,
Softplus, Erf, and QuickGelu, which it makes of x Sigmoid(x)).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ._coefficients import (
    GELU_CUBIC,
    GELU_SCALE,
    NORM_EPSILON,
    SELU_ALPHA,
    SELU_SCALE,
    constant,
    polynomial,
)
from ._parts import layer_activation, layer_arrays

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from .._mlp import MLP


@dataclass(frozen=True)
class Node:
    """One operator with one output."""

    operator: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any]


@dataclass
class Graph:
    """Nodes in order and the constants that they use.

    Parameters
    ----------
    dtype : numpy.dtype
        Of all floating-point constants.
    prefix : str
        What all names begin with that are not given.
    """

    dtype: np.dtype[Any]
    prefix: str = ""
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, npt.NDArray[Any]] = field(default_factory=dict)

    def add(self, operator: str, *inputs: Any, output: str | None = None, **attributes: Any) -> str:
        """Add a node; inputs are names, numbers or arrays. Return the name of its output."""
        names = tuple(item if isinstance(item, str) else self.constant(item) for item in inputs)
        output = output or f"{self.prefix}{operator}_{len(self.nodes)}"
        self.nodes.append(Node(operator, names, output, attributes))
        return output

    def constant(self, value: Any, name: str | None = None) -> str:
        """Return the name of a constant; floats are rounded to the graph's element type."""
        array = np.array(value)
        if array.dtype.kind == "f":
            with np.errstate(over="ignore"):
                array = array.astype(self.dtype)
        if name is None:
            for known, present in self.constants.items():
                is_number = present.shape == array.shape == () and present.dtype == array.dtype
                if is_number and present.tobytes() == array.tobytes():
                    return known
            name = f"constant_{len(self.constants)}"
        name = self.prefix + name
        self.constants[name] = array
        return name


# --- activations: function(graph, x, parameter) -> y ---------------------------------------------


def _is_double(graph: Graph) -> bool:
    return graph.dtype == np.float64


def _where_positive(graph: Graph, x: str, otherwise: str) -> str:
    """Return x where it is positive, else `otherwise`."""
    return graph.add("Where", graph.add("Greater", x, 0.0), x, otherwise)


def _expm1(graph: Graph, x: str) -> str:
    """Return exp(x) - 1 for x <= 0 as tanh(x / 2) (exp(x) + 1), which does not cancel; else 0."""
    negative = graph.add("Min", x, 0.0)
    tanh = graph.add("Tanh", graph.add("Mul", negative, 0.5))
    return graph.add("Mul", tanh, graph.add("Add", graph.add("Exp", negative), 1.0))


def _identity(graph: Graph, x: str, parameter: float) -> str:
    return x


def _relu(graph: Graph, x: str, parameter: float) -> str:
    return graph.add("Relu", x)


def _leaky_relu(graph: Graph, x: str, negative_slope: float) -> str:
    if _is_double(graph):
        return _where_positive(graph, x, graph.add("Mul", x, negative_slope))
    return graph.add("LeakyRelu", x, alpha=negative_slope)


def _elu(graph: Graph, x: str, alpha: float) -> str:
    if _is_double(graph):
        return _where_positive(graph, x, graph.add("Mul", _expm1(graph, x), alpha))
    return graph.add("Elu", x, alpha=alpha)


def _selu(graph: Graph, x: str, parameter: float) -> str:
    if _is_double(graph):
        elu = _where_positive(graph, x, graph.add("Mul", _expm1(graph, x), SELU_ALPHA))
        return graph.add("Mul", elu, SELU_SCALE)
    return graph.add("Selu", x, alpha=SELU_ALPHA, gamma=SELU_SCALE)


def _gelu(graph: Graph, x: str, parameter: float) -> str:
    if _is_double(graph):
        return graph.add("Mul", x, _normal_cdf(graph, x))
    erf = graph.add("Erf", graph.add("Mul", x, 0.5**0.5))
    return graph.add("Mul", graph.add("Mul", x, 0.5), graph.add("Add", erf, 1.0))


def _normal_cdf(graph: Graph, x: str) -> str:
    """Return the normal distribution function by the kernels' own polynomial (simd/math.hpp)."""
    dtype = graph.dtype.name
    center = constant(dtype, "PHI_CENTER")
    a = graph.add("Min", graph.add("Abs", x), constant(dtype, "PHI_LIMIT"))
    sum_ = graph.add("Add", a, center)
    q = graph.add("Div", graph.add("Sub", a, center), sum_)
    *rest, y = polynomial(dtype, "PHI")
    smooth = graph.constant(y)
    for coefficient in reversed(rest):
        smooth = graph.add("Add", graph.add("Mul", smooth, q), coefficient)
    power = graph.add("Exp", graph.add("Mul", graph.add("Mul", a, a), -0.5))
    tail = graph.add("Mul", graph.add("Div", smooth, sum_), power)
    return graph.add("Where", graph.add("Less", x, 0.0), tail, graph.add("Sub", 1.0, tail))


def _gelu_tanh(graph: Graph, x: str, parameter: float) -> str:
    cubic = graph.add("Mul", graph.add("Mul", x, x), GELU_CUBIC)
    inner = graph.add("Add", graph.add("Mul", cubic, x), x)
    tanh = graph.add("Tanh", graph.add("Mul", inner, GELU_SCALE))
    return graph.add("Mul", graph.add("Mul", x, 0.5), graph.add("Add", tanh, 1.0))


def _silu(graph: Graph, x: str, parameter: float) -> str:
    if _is_double(graph):
        # At least until version 1.29, onnxruntime made a QuickGelu of x Sigmoid(x), whose kernel it
        # has in float32 alone: the model was refused (its issue 32421).
        z = graph.add("Exp", graph.add("Neg", graph.add("Abs", x)))
        numerator = _where_positive(graph, x, graph.add("Mul", x, z))
        return graph.add("Div", numerator, graph.add("Add", z, 1.0))
    return graph.add("Mul", x, graph.add("Sigmoid", x))


def _mish(graph: Graph, x: str, parameter: float) -> str:
    e = graph.add("Exp", graph.add("Min", x, 20.0))
    n = graph.add("Mul", e, graph.add("Add", e, 2.0))
    return graph.add("Mul", x, graph.add("Div", n, graph.add("Add", n, 2.0)))


def _sigmoid(graph: Graph, x: str, parameter: float) -> str:
    return graph.add("Sigmoid", x)


def _tanh(graph: Graph, x: str, parameter: float) -> str:
    return graph.add("Tanh", x)


def _softplus(graph: Graph, x: str, parameter: float) -> str:
    if not _is_double(graph):
        return graph.add("Softplus", x)
    z = graph.add("Exp", graph.add("Neg", graph.add("Abs", x)))
    logarithm = graph.add("Log", graph.add("Add", z, 1.0))
    return graph.add("Add", graph.add("Max", x, 0.0), logarithm)


ACTIVATIONS: dict[str, Callable[[Graph, str, float], str]] = {
    "identity": _identity,
    "relu": _relu,
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "selu": _selu,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": _silu,
    "mish": _mish,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "softplus": _softplus,
}


# --- layers --------------------------------------------------------------------------------------


def add_network(graph: Graph, model: MLP, x: str) -> str:
    """Add the layers of a model of the graph's element type; return the name of its outputs."""
    if model.input_statistics is not None:
        mean, factor = model.input_statistics
        centered = graph.add("Sub", x, graph.constant(mean, "input_mean"))
        x = graph.add("Mul", centered, graph.constant(factor, "input_factor"))
    for i, (layer, arrays) in enumerate(zip(model.layers, layer_arrays(model), strict=True)):
        named = {role: graph.constant(value, f"{role}_{i}") for role, value in arrays.items()}
        bias = (named["bias"],) if "bias" in named else ()
        x = graph.add("Gemm", x, named["weight"], *bias)
        if layer.norm is not None:
            if layer.norm == "layer":
                centered = graph.add("Sub", x, _row_mean(graph, x, layer.out_features))
                square = graph.add("Mul", centered, centered)
                variance = _row_mean(graph, square, layer.out_features)
            else:
                centered = graph.add("Sub", x, named["running_mean"])
                variance = named["running_variance"]
            deviation = graph.add("Sqrt", graph.add("Add", variance, NORM_EPSILON))
            normalized = graph.add("Div", centered, deviation)
            x = graph.add("Add", graph.add("Mul", normalized, named["scale"]), named["shift"])
        activation = layer_activation(layer)
        x = ACTIVATIONS[activation.name](graph, x, activation.parameter)
    return x


def _row_mean(graph: Graph, x: str, n: int) -> str:
    total = graph.add("ReduceSum", x, np.array([1], np.int64), keepdims=1)
    return graph.add("Div", total, float(n))


# --- what classifiers do with logits -------------------------------------------------------------


def add_probabilities(
    graph: Graph, logits: str, n_outputs: int, is_multilabel: bool, one_against_all: bool = False
) -> str:
    """Add the probabilities of the classes: both columns where there is one logit.

    With `one_against_all` they are sigmoids divided by their sum, as MLPClassifier has them for
    binary cross-entropy of three classes and more.
    """
    if is_multilabel:
        return graph.add("Sigmoid", logits)
    if one_against_all:
        sigmoid = graph.add("Sigmoid", logits)
        total = graph.add("ReduceSum", sigmoid, np.array([1], np.int64), keepdims=1)
        least = graph.constant(np.array(np.finfo(graph.dtype).tiny))
        return graph.add("Div", sigmoid, graph.add("Max", total, least))
    if n_outputs > 1:
        return graph.add("Softmax", logits, axis=1)
    positive = graph.add("Sigmoid", logits)
    return graph.add("Concat", graph.add("Sub", 1.0, positive), positive, axis=1)


def add_labels(
    graph: Graph, probabilities: str, classes: npt.NDArray[Any], is_multilabel: bool, output: str
) -> str:
    """Add the most probable class, the first of several; or, for each label, 1 above 0.5, else 0.

    `classes` are int64 or strings; `probabilities` may be logits unless multilabel.
    """
    if is_multilabel:
        return graph.add(
            "Cast",
            graph.add("Greater", probabilities, 0.5),
            output=output,
            to=7,  # int64
        )
    index = graph.add("ArgMax", probabilities, axis=1, keepdims=0)
    return graph.add("Gather", graph.constant(classes, "classes"), index, output=output, axis=0)


def class_labels(classes: npt.ArrayLike, n_classes: int, argument: str) -> npt.NDArray[Any]:
    """Check names of classes, as many as there are; return int64 or strings."""
    array = np.asarray(classes)
    if array.shape != (n_classes,):
        raise ValueError(
            f"{argument} must hold {n_classes} classes, one for each probability, "
            f"got shape {array.shape}"
        )
    if array.dtype.kind in "OUT" and all(isinstance(item, str) for item in array.tolist()):
        return array.astype(object)
    if array.dtype.kind in "iubf":
        with np.errstate(invalid="ignore"):
            labels = array.astype(np.int64)
        if (labels == array).all():
            return labels
    raise TypeError(
        f"{argument} must be strings or whole numbers of 64 bits, the labels that ONNX has, "
        f"got dtype {array.dtype}"
    )
