"""Models as ONNX files: :func:`to_onnx`."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from .. import _arguments, _core
from .._errors import not_installed
from .._repr import network_code
from ._onnx_graph import Graph, add_labels, add_network, add_probabilities, class_labels
from ._parts import require_model

if TYPE_CHECKING:
    import numpy.typing as npt
    from onnx import ModelProto

    from .._mlp import MLP

Task: TypeAlias = Literal["classifier", "multilabel", "regressor"]

DEFAULT_OPSET = 17
OLDEST_OPSET = 13
ML_DOMAIN = "ai.onnx.ml"
_ML_OPSET = 2  # the first one with a LabelEncoder from strings to integers
_LARGEST_FILE = 2**31 - 2**20  # bytes of parameters; a file has less than 2 GiB


def to_onnx(
    model: MLP,
    path: str | PathLike[str] | None = None,
    *,
    task: Task | None = None,
    classes: npt.ArrayLike | None = None,
    opset: int = DEFAULT_OPSET,
) -> ModelProto:
    """Make an ONNX model of a network. Needs the package onnx.

    The input is ``X``, of shape (batch, in_features) with any number of rows and of the model's
    dtype. Outputs depend on `task`:

    None
        ``outputs``, those of :meth:`chainrule.MLP.predict`: logits, values.
    "regressor"
        ``variable``, the same.
    "classifier"
        ``label``, of shape (batch,), the most probable class, the first of several; and
        ``probabilities``, of shape (batch, n_classes), the softmax of the logits, or, of a single
        logit, 1 - sigmoid and sigmoid.
    "multilabel"
        ``label``, of shape (batch, out_features), 1 where the probability is above 0.5, else 0; and
        ``probabilities``, of the same shape, the sigmoid of the logits.

    The names are those that skl2onnx gives to scikit-learn's estimators.

    Parameters
    ----------
    model : MLP
        The model. With a task that has probabilities, its outputs are logits.
    path : str or path-like, optional
        Where to write the model; an old file is replaced.
    task : {"classifier", "multilabel", "regressor"}, optional
        Which outputs to add.
    classes : array_like, shape (n_classes,), optional
        For ``classifier``: strings or whole numbers; by default 0, 1, 2 ...
    opset : int, default 17
        Version of the operators of the domain ``ai.onnx``, at least 13.

    Returns
    -------
    onnx.ModelProto
        The model, accepted by ``onnx.checker`` in full; its ``metadata_props`` say
        ``chainrule_version`` and ``chainrule_model``.

    Raises
    ------
    ImportError
        Without the package onnx.
    TypeError
        When `model` is no MLP, or `classes` are no labels that ONNX has.
    ValueError
        For another `task`, an `opset` that onnx does not know, `classes` without the task
        ``classifier`` or not one for each probability, or 2 GiB of parameters and more.
    RuntimeError
        Before the inputs' statistics of a layer :class:`chainrule.Standardize` are fitted, and when
        another thread fits the model.
    OSError
        When the file can't be written.

    Notes
    -----
    float32 models use operators of the standard if they exist. In float64, activations use basic
    arithmetic if onnxruntime has no such operator or the standard keeps its parameter in float32.
    Runtimes sum and approximate differently: results are equal within rounding, not in their bits;
    :func:`to_c` keeps bits.

    Examples
    --------
    >>> import chainrule as cr
    >>> model = cr.exchange.to_onnx(cr.MLP([4, 8, 3]), task="classifier", classes=["a", "b", "c"])
    >>> [output.name for output in model.graph.output]
    ['label', 'probabilities']
    """
    model = require_model(model)
    if task is not None:
        _arguments.one_of(task, ("classifier", "multilabel", "regressor"), "task")
    if classes is not None and task != "classifier":
        raise ValueError(f"classes must be None unless task is 'classifier', got task {task!r}")
    onnx = import_onnx()
    opset = check_onnx(onnx, model, opset)
    graph = Graph(model.dtype)
    inputs: list[Value] = [("X", model.dtype.name, ["batch", model.in_features])]
    with model._lock.read("to_onnx"):
        outputs = _add_outputs(graph, model, task, classes)
        proto = model_proto(onnx, [graph], inputs, outputs, opset, model)
    if path is not None:
        onnx.save_model(proto, path)
    return proto


def import_onnx() -> Any:
    """Return the package onnx."""
    try:
        import onnx
    except ImportError as error:
        raise ImportError(not_installed("to_onnx", "onnx")) from error
    return onnx


def check_onnx(onnx: Any, model: MLP, opset: object) -> int:
    """Check the argument `opset`, and that a file can hold the model."""
    newest = int(onnx.defs.onnx_opset_version())
    checked = _arguments.integer(opset, "opset", OLDEST_OPSET, newest)
    if model.n_parameters * model.dtype.itemsize > _LARGEST_FILE:
        raise ValueError(
            f"model must have less than 2 GiB of parameters, which is what an ONNX file holds, "
            f"got {model.n_parameters} of {model.dtype}"
        )
    return checked


# Name, element type ("float32", "float64", "int64" or "string") and shape of an input or output.
Value: TypeAlias = tuple[str, str, list[str | int]]


def _add_outputs(
    graph: Graph, model: MLP, task: Task | None, classes: npt.ArrayLike | None
) -> list[Value]:
    """Add the network and what the task asks for; describe the outputs."""
    n = model.out_features
    logits = add_network(graph, model, "X")
    if task not in ("classifier", "multilabel"):
        name = "variable" if task == "regressor" else "outputs"
        graph.add("Identity", logits, output=name)
        return [(name, model.dtype.name, ["batch", n])]
    is_multilabel = task == "multilabel"
    n_probabilities = max(n, 1 if is_multilabel else 2)
    labels = class_labels(
        np.arange(n_probabilities) if classes is None else classes, n_probabilities, "classes"
    )
    probabilities = graph.add(
        "Identity",
        add_probabilities(graph, logits, n, is_multilabel),
        output="probabilities",
    )
    add_labels(graph, probabilities, labels, is_multilabel, "label")
    kind = "string" if labels.dtype == object else "int64"
    return [
        ("label", kind, ["batch", n] if is_multilabel else ["batch"]),
        ("probabilities", model.dtype.name, ["batch", n_probabilities]),
    ]


def model_proto(
    onnx: Any,
    graphs: list[Graph],
    inputs: list[Value],
    outputs: list[Value],
    opset: int,
    model: MLP,
) -> ModelProto:
    """Return a checked ONNX model of the nodes of some graphs, one after the other.

    Names of nodes' outputs and of constants must differ between the graphs; `model` is what the
    file's properties name.
    """
    helper = onnx.helper
    nodes = [node for graph in graphs for node in graph.nodes]
    opsets = [helper.make_opsetid("", opset)]
    if any(node.attributes.get("domain") == ML_DOMAIN for node in nodes):
        opsets.append(helper.make_opsetid(ML_DOMAIN, _ML_OPSET))
    proto: ModelProto = helper.make_model(
        helper.make_graph(
            [
                helper.make_node(
                    node.operator, node.inputs, [node.output], name=f"node_{i}", **node.attributes
                )
                for i, node in enumerate(nodes)
            ],
            "chainrule",
            [_value_info(onnx, value) for value in inputs],
            [_value_info(onnx, value) for value in outputs],
            [
                onnx.numpy_helper.from_array(array, name)
                for graph in graphs
                for name, array in graph.constants.items()
            ],
        ),
        producer_name="chainrule",
        producer_version=_core.__version__,
        opset_imports=opsets,
        # The oldest format that has these operators, so that older runtimes read the file.
        ir_version=helper.find_min_ir_version_for(opsets),
    )
    helper.set_model_props(
        proto, {"chainrule_version": _core.__version__, "chainrule_model": network_code(model)}
    )
    onnx.checker.check_model(proto, full_check=True)
    return proto


def _value_info(onnx: Any, value: Value) -> Any:
    name, kind, shape = value
    types = onnx.TensorProto
    kinds = {
        "float32": types.FLOAT,
        "float64": types.DOUBLE,
        "int64": types.INT64,
        "string": types.STRING,
    }
    return onnx.helper.make_tensor_value_info(name, kinds[kind], shape)
