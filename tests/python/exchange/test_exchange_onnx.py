"""Exported ONNX models: onnxruntime's outputs are those of predict, within computed bounds."""

import sys
import threading

import numpy as np
import onnx
import onnx.reference
import onnx_formulas
import onnxruntime
import pytest
from exchange_cases import (
    ACTIVATIONS,
    NORMS,
    assert_within,
    bound_of_predict,
    network,
    set_numbers,
)
from golden_rounding import Arithmetic, Rounded
from scipy import special

import chainrule as cr


def run(proto, X):
    """Return the outputs of onnxruntime by name."""
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"X": X}), strict=True))


# --- outputs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_outputs_of_every_layer(activation, norm, dtype, rng):
    model = network(activation, norm, dtype, rng)
    X = (4 * rng.normal(size=(50, 5))).astype(dtype)
    theirs = bound_of_predict(model, X, onnx_formulas.ACTIVATIONS)
    outputs = run(cr.exchange.to_onnx(model), X)
    assert list(outputs) == ["outputs"]
    assert outputs["outputs"].dtype == dtype
    assert_within(outputs["outputs"], theirs, "onnxruntime")
    assert_within(model.predict(X), bound_of_predict(model, X), "predict")
    # The bounds are tight enough to tell a wrong formula: about single precision, not digits.
    assert np.median(theirs.error) < 3e3 * np.finfo(dtype).eps * np.abs(theirs.value).max()


def test_standardized_inputs(dtype, rng):
    plain = network("tanh", None, dtype, rng)
    model = cr.MLP([5, cr.Standardize(), *plain.layers], dtype=dtype)
    model.parameters[:] = plain.parameters
    X = (rng.normal(size=(50, 5)) * [1e-6, 1e3, 1, 1e6, 0] + [1, -1e3, 0, 1e7, 0.1]).astype(dtype)
    model.standardize(X)
    mean, factor = model.input_statistics
    Z = (X - mean) * factor  # two operations that everybody rounds alike
    outputs = run(cr.exchange.to_onnx(model), X)["outputs"]
    assert_within(outputs, bound_of_predict(plain, Z, onnx_formulas.ACTIVATIONS), "onnxruntime")


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_far_from_zero(activation, dtype):
    model = cr.MLP([1, cr.Dense(1, activation, bias=False)], dtype=dtype)
    model.parameters[:] = 1.0
    sizes = np.concatenate([np.linspace(0, 40, 801), np.geomspace(1e-30, 1e6, 91)])
    X = np.concatenate([sizes, -sizes])[:, None].astype(dtype)
    got = run(cr.exchange.to_onnx(model), X)["outputs"]
    with np.errstate(over="ignore", under="ignore"):
        bound = bound_of_predict(model, X, onnx_formulas.ACTIVATIONS)
    assert_within(got, bound)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_of_very_large_numbers(activation, dtype):
    # Nothing overflows on the way to a result that does not.
    model = cr.MLP([1, cr.Dense(1, activation, bias=False)], dtype=dtype)
    model.parameters[:] = 1.0
    X = np.array([[1e15], [-1e15], [1e30], [-1e30]], dtype)
    got = run(cr.exchange.to_onnx(model), X)["outputs"]
    want = model.predict(X)
    np.testing.assert_allclose(got, want, rtol=4 * np.finfo(dtype).eps, atol=1e-30)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_reference_of_the_standard_agrees(activation, norm, rng):
    # Double throughout, by another implementation of the operators.
    model = network(activation, norm, "float64", rng)
    X = rng.normal(size=(20, 5))
    (got,) = onnx.reference.ReferenceEvaluator(cr.exchange.to_onnx(model)).run(None, {"X": X})
    assert_within(got, bound_of_predict(model, X, onnx_formulas.ACTIVATIONS))


@pytest.mark.parametrize("rows", [0, 1, 2, 333])
def test_any_number_of_rows(rows, rng):
    model = network("relu", "layer", "float32", rng)
    X = rng.normal(size=(rows, 5)).astype("float32")
    assert run(cr.exchange.to_onnx(model), X)["outputs"].shape == (rows, 3)


@pytest.mark.parametrize("opset", [13, 15, 17, 18, 20, 22])
@pytest.mark.parametrize("norm", NORMS)
def test_every_opset(opset, norm, dtype, rng):
    layers = [cr.Dense(6, name, norm=norm) for name in ACTIVATIONS]
    model = set_numbers(cr.MLP([4, *layers, 2], dtype=dtype), rng)
    proto = cr.exchange.to_onnx(model, opset=opset)
    assert [(o.domain, o.version) for o in proto.opset_import] == [("", opset)]
    X = rng.normal(size=(9, 4)).astype(dtype)
    got = run(proto, X)["outputs"]
    assert got.shape == (9, 2)
    np.testing.assert_array_equal(got, run(cr.exchange.to_onnx(model), X)["outputs"])


def test_the_newest_opset_is_accepted_by_the_checker():
    newest = onnx.defs.onnx_opset_version()
    proto = cr.exchange.to_onnx(cr.MLP([4, 8, 2], norm="layer"), opset=newest)
    onnx.checker.check_model(proto, full_check=True)
    assert proto.opset_import[0].version == newest
    assert cr.exchange.to_onnx(cr.MLP([4, 2])).opset_import[0].version == 17


def test_trained_model_after_a_file(tmp_path, rng):
    X = rng.normal(size=(100, 4)).astype("float32")
    model = cr.MLP([4, 32, 1], activation="mish", norm="batch", dropout=0.3)
    model.fit(X, X.sum(1), loss="mse", epochs=3)
    path = tmp_path / "model.onnx"
    proto = cr.exchange.to_onnx(model, path, task="regressor")
    assert onnx.load(path) == proto
    outputs = run(onnx.load(path), X)
    assert list(outputs) == ["variable"]
    assert_within(outputs["variable"], bound_of_predict(model, X, onnx_formulas.ACTIVATIONS))


# --- classifiers ---------------------------------------------------------------------------------


def probability_bound(model, X, kind):
    """Return probabilities in double and what the errors of logits and of a few roundings make."""
    logits = bound_of_predict(model, X, onnx_formulas.ACTIVATIONS)
    a = Arithmetic(model.dtype)
    if kind == "softmax":
        value = special.softmax(logits.value, axis=1)
        spread = 2 * logits.error.max(axis=1, keepdims=True)
        return Rounded(
            a, value, value * (np.expm1(spread) + 2 * (logits.value.shape[1] + 6) * a.unit)
        )
    positive = onnx_formulas.runtime_sigmoid(logits)
    return positive if kind == "sigmoid" else (1.0 - positive).beside(positive)


@pytest.mark.parametrize(
    "classes",
    [None, [3, 5, -7], ["setosa", "versicolor", "né"], np.array([0.0, 1.0, 4.0])],
    ids=["default", "integers", "strings", "whole floats"],
)
def test_classifier(classes, dtype, rng):
    model = network("tanh", None, dtype, rng)
    model.biases[-1][:] = 0
    X = rng.normal(size=(60, 5)).astype(dtype)
    outputs = run(cr.exchange.to_onnx(model, task="classifier", classes=classes), X)
    assert list(outputs) == ["label", "probabilities"]
    bound = probability_bound(model, X, "softmax")
    assert_within(outputs["probabilities"], bound)
    names = np.asarray([0, 1, 2] if classes is None else classes)
    want = names[model.predict(X).argmax(1)]
    two = np.sort(bound.value, axis=1)[:, -2:]
    assert (two[:, 1] - two[:, 0] > 1e-4).all()  # no ties that rounding could turn
    assert outputs["label"].tolist() == want.tolist()
    assert outputs["label"].shape == (60,)
    assert len(set(want.tolist())) == 3


def test_classifier_of_two_classes_with_one_logit(dtype, rng):
    model = network("relu", None, dtype, rng, widths=(5, 19, 17, 1))
    X = rng.normal(size=(60, 5)).astype(dtype)
    outputs = run(cr.exchange.to_onnx(model, task="classifier", classes=["no", "yes"]), X)
    assert_within(outputs["probabilities"], probability_bound(model, X, "both"))
    want = np.where(model.predict(X)[:, 0] > 0, "yes", "no")
    assert outputs["label"].tolist() == want.tolist()
    assert set(want) == {"no", "yes"}


def test_multilabel(dtype, rng):
    model = network("relu", None, dtype, rng)
    X = rng.normal(size=(60, 5)).astype(dtype)
    outputs = run(cr.exchange.to_onnx(model, task="multilabel"), X)
    assert_within(outputs["probabilities"], probability_bound(model, X, "sigmoid"))
    np.testing.assert_array_equal(outputs["label"], (model.predict(X) > 0).astype(np.int64))
    assert outputs["label"].dtype == np.int64


def test_a_tie_is_the_first_class(dtype):
    model = cr.MLP([2, 3], dtype=dtype, initializer="zeros")
    outputs = run(cr.exchange.to_onnx(model, task="classifier"), np.ones((1, 2), dtype))
    assert outputs["label"].tolist() == [0]


# --- the model file ------------------------------------------------------------------------------


def test_metadata_and_shapes():
    model = cr.MLP([4, 8, 3], norm="layer")
    proto = cr.exchange.to_onnx(model, task="classifier", classes=["a", "b", "c"])
    properties = {item.key: item.value for item in proto.metadata_props}
    assert properties == {"chainrule_version": cr.__version__, "chainrule_model": repr(model)}
    assert (proto.producer_name, proto.producer_version) == ("chainrule", cr.__version__)
    shapes = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*proto.graph.input, *proto.graph.output)
    }
    assert shapes == {"X": ["batch", 4], "label": ["batch"], "probabilities": ["batch", 3]}
    assert {node.domain for node in proto.graph.node} == {""}
    assert proto.ir_version == 8


def test_float32_models_use_operators_of_the_standard():
    layers = [cr.Dense(3, name) for name in ACTIVATIONS]
    proto = cr.exchange.to_onnx(cr.MLP([3, *layers]))
    used = {node.op_type for node in proto.graph.node}
    assert {
        "Gemm",
        "Relu",
        "LeakyRelu",
        "Elu",
        "Selu",
        "Erf",
        "Sigmoid",
        "Tanh",
        "Softplus",
    } <= used
    assert sum(node.op_type == "Gemm" for node in proto.graph.node) == len(layers)


# --- errors --------------------------------------------------------------------------------------


def test_wrong_arguments(tmp_path):
    model, path = cr.MLP([4, 3]), tmp_path / "model.onnx"
    to_onnx = cr.exchange.to_onnx
    with pytest.raises(TypeError, match=r"model must be a chainrule\.MLP, got int"):
        to_onnx(3, path)
    with pytest.raises(ValueError, match=r"task must be one of .*; did you mean 'classifier'"):
        to_onnx(model, path, task="clasifier")
    with pytest.raises(ValueError, match="classes must be None unless task is 'classifier'"):
        to_onnx(model, path, classes=[1, 2, 3])
    with pytest.raises(ValueError, match=r"classes must hold 3 classes.* got shape \(2,\)"):
        to_onnx(model, path, task="classifier", classes=[1, 2])
    with pytest.raises(TypeError, match="classes must be strings or whole numbers"):
        to_onnx(model, path, task="classifier", classes=[0.5, 1, 2])
    with pytest.raises(TypeError, match="classes must be strings or whole numbers"):
        to_onnx(model, path, task="classifier", classes=np.array(["a", 1, 2], dtype=object))
    with pytest.raises(ValueError, match="opset must be an integer >= 13, got 12"):
        to_onnx(model, path, opset=12)
    with pytest.raises(ValueError, match="opset must be an integer <= "):
        to_onnx(model, path, opset=10**6)
    assert not path.exists()


def test_onnx_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'to_onnx needs onnx.*pip install "onnx>=[0-9.]+"$'):
        cr.exchange.to_onnx(cr.MLP([4, 3]))


def test_a_model_in_training_is_exported_by_its_callbacks_alone():
    model = cr.MLP([1, 4, 1])
    refused = []

    def elsewhere():
        try:
            cr.exchange.to_onnx(model)
        except RuntimeError as error:
            refused.append(str(error))

    def callback(state):
        assert cr.exchange.to_onnx(state.model).graph.initializer
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()

    model.fit([[0.0], [1.0]], [0.0, 1.0], loss="mse", epochs=2, callbacks=[callback])
    assert refused == ["to_onnx must wait: another thread is training this model"] * 2
