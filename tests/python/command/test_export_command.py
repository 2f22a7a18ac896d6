"""The command `chainrule export`: what is written runs, and says what `chainrule predict` says."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from command_line import fields, run
from export_cases import (
    ESTIMATORS,
    SECONDS,
    TABLES,
    X,
    awkward,
    encoded,
    export,
    fitted,
    trained,
    varied,
)
from tables import cancer, write

import chainrule as cr
from chainrule._cli import main
from chainrule._command.pipeline import load
from chainrule.estimators import MLPClassifier, MLPRegressor


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("tables"))


def failure(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert main(["export", *map(str, arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


def session(path: Path) -> Any:
    onnx.checker.check_model(onnx.load(path), full_check=True)
    return onnxruntime.InferenceSession(path)


def raw_inputs(model: Any, frame: pd.DataFrame) -> dict[str, Any]:
    """Return the columns of a table as a program would hand them over."""
    feeds = {}
    for value in model.get_inputs():
        column = frame[value.name]
        if value.type == "tensor(string)":
            made = column.map(lambda cell: "" if pd.isna(cell) else str(cell)).to_numpy(object)
        elif pd.api.types.is_datetime64_any_dtype(column):
            made = ((column - pd.Timestamp(0)) / SECONDS).to_numpy(np.float64)
        else:
            made = column.astype("float64").to_numpy()
        feeds[value.name] = made.reshape(-1, 1)
    return feeds


# --- ONNX ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TABLES)
def test_onnx_of_a_table_predicts_what_the_command_does(
    name: str, folder: Path, tmp_path: Path
) -> None:
    frame, target, _ = TABLES[name]
    frame = awkward(frame.drop(columns=target))
    rows = write(frame, tmp_path / "rows.parquet")
    model, output = folder / f"{name}.safetensors", tmp_path / "model.onnx"
    export(model, output)
    arguments = ["predict", model, rows, "--output", tmp_path / "out.parquet"]
    pipeline = load(str(model))
    is_classifier = bool(pipeline.target.classes)
    arguments += ["--probabilities"] if is_classifier else []
    assert main([str(argument) for argument in arguments]) == 0
    want = pd.read_parquet(tmp_path / "out.parquet")
    compiled = session(output)
    got = compiled.run(None, raw_inputs(compiled, frame))
    if not is_classifier:
        assert got[0].dtype == np.float64
        scale = pipeline.target.scale
        np.testing.assert_allclose(got[0][:, 0], want[target], rtol=1e-5, atol=1e-5 * scale)
        return
    labels, probabilities = got
    np.testing.assert_allclose(probabilities, want.iloc[:, 2:], rtol=1e-4, atol=1e-6)
    # Where two classes are as probable, rounding decides.
    top = np.sort(probabilities, axis=1)
    clear = top[:, -1] - top[:, -2] > 1e-5
    assert clear.mean() > 0.99
    assert labels[clear].astype(str).tolist() == want[target][clear].astype(str).tolist()


@pytest.mark.parametrize("name", TABLES)
def test_onnx_of_a_table_encodes_with_the_same_bits(
    name: str, folder: Path, tmp_path: Path
) -> None:
    """But for sines and cosines, which every library rounds in its own way."""
    frame, target, _ = TABLES[name]
    frame = awkward(frame.drop(columns=target))
    rows = write(frame, tmp_path / "rows.parquet")
    pipeline = load(str(folder / f"{name}.safetensors"))
    export(folder / f"{name}.safetensors", tmp_path / "model.onnx")
    proto = onnx.load(tmp_path / "model.onnx")
    matrix = next(node.output[0] for node in proto.graph.node if node.op_type == "Concat")
    del proto.graph.output[:]
    proto.graph.output.append(onnx.helper.make_empty_tensor_value_info(matrix))
    compiled = onnxruntime.InferenceSession(proto.SerializeToString())
    (got,) = compiled.run(None, raw_inputs(compiled, frame))
    want = encoded(pipeline, rows)
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    exact = np.ones(want.shape[1], bool)
    for column, part in pipeline.encoding.slices().items():
        circles = getattr(pipeline.encoding.steps[column], "circles", ())
        exact[part.stop - 2 * len(circles) : part.stop] = False
    assert got[:, exact].tobytes() == want[:, exact].tobytes()
    np.testing.assert_allclose(got[:, ~exact], want[:, ~exact], rtol=0, atol=3e-7)
    assert exact.any()


def test_onnx_of_a_table_takes_any_number_of_rows(folder: Path, tmp_path: Path) -> None:
    export(folder / "texts.safetensors", tmp_path / "model.onnx", "--opset", 13)
    compiled = session(tmp_path / "model.onnx")
    assert onnx.load(tmp_path / "model.onnx").opset_import[0].version == 13
    feeds = raw_inputs(compiled, cancer())
    whole = compiled.run(["probabilities"], feeds)[0]
    for n in (0, 1):
        few = compiled.run(["probabilities"], {key: value[:n] for key, value in feeds.items()})[0]
        np.testing.assert_allclose(few, whole[:n], rtol=1e-5)
        assert few.shape == (n, 2)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_onnx_of_an_estimator_predicts_what_it_does(name: str, tmp_path: Path) -> None:
    model, X, y = ESTIMATORS[name]
    model = fitted(model, X, y)
    model.save(tmp_path / "model.safetensors")
    export(tmp_path / "model.safetensors", tmp_path / "model.onnx")
    compiled = session(tmp_path / "model.onnx")
    got = compiled.run(None, {"X": np.asarray(X, model.model_.dtype)})
    rtol = 1e-4 if name == "float32" else 1e-10
    if isinstance(model, MLPRegressor):
        want = model.predict(X)
        np.testing.assert_allclose(got[0].reshape(want.shape), want, rtol=rtol, atol=1e-12)
        return
    np.testing.assert_allclose(got[1], model.predict_proba(X), rtol=rtol, atol=1e-7)
    want = model.predict(X)
    np.testing.assert_array_equal(got[0], want.astype(np.int64) if want.dtype == bool else want)


def test_one_against_all_is_told_apart_where_sigmoids_are_one(tmp_path: Path) -> None:
    model = fitted(*ESTIMATORS["one against all"])
    for view in (*model.coefs_, *model.intercepts_):
        view[:] = 0
    model.intercepts_[-1][:] = [50.0, 60.0, 55.0]
    assert model.predict(X[:1]).tolist() == [6]
    model.save(tmp_path / "model.safetensors")
    export(tmp_path / "model.safetensors", tmp_path / "model.onnx")
    assert session(tmp_path / "model.onnx").run(["label"], {"X": X[:1]})[0].tolist() == [6]


def test_onnx_of_a_model(tmp_path: Path) -> None:
    model = varied("float64")
    model.save(tmp_path / "model.safetensors")
    export(tmp_path / "model.safetensors", tmp_path / "model", "--format", "onnx")
    x = np.random.default_rng(0).normal(size=(20, model.in_features))
    got = session(tmp_path / "model").run(["outputs"], {"X": x})[0]
    np.testing.assert_allclose(got, model.predict(x), rtol=1e-8, atol=1e-10)


# --- what is printed and refused -----------------------------------------------------------------


def test_what_is_printed(folder: Path, tmp_path: Path) -> None:
    result = run("export", folder / "texts.safetensors", "m.onnx", "--opset", 18, cwd=tmp_path)
    told = fields(result.stdout)
    assert told["format"] == "ONNX, opset 18"
    assert told["inputs"].startswith("'mean radius': double (batch, 1)")
    assert "'clinic': string (batch, 1)" in told["inputs"]
    assert told["outputs"] == "'label': string (batch) 'probabilities': double (batch, 2)"
    assert told["missing values"].startswith("NaN in numbers and dates")
    size = (tmp_path / "m.onnx").stat().st_size
    assert told["written"] == f"m.onnx: {size:,} bytes"
    result = run("export", folder / "texts.safetensors", "m.c", "--quiet", cwd=tmp_path)
    assert list(fields(result.stdout)) == ["written"]


def test_outputs_are_not_replaced(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model.safetensors"
    shutil.copy(folder / "texts.safetensors", model)
    before = model.read_bytes()
    for suffix in ("onnx", "c", "safetensors"):
        output = tmp_path / f"out.{suffix}"
        output.write_text("old")
        assert "exists; give --force" in failure(capsys, model, output)
        assert output.read_text() == "old"
        export(model, output, "--force")
        assert output.read_bytes() != b"old"
    assert "the file to read" in failure(capsys, model, model, "--force")
    assert "there is no folder" in failure(capsys, model, tmp_path / "none" / "x.c")
    assert model.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize(
    ("output", "options", "message"),
    [
        ("m.txt", [], "expected a name that ends in one of .onnx, .c, .safetensors, or --format"),
        ("m", [], "expected a name that ends in"),
        ("m.pt", [], "such files are pickles, which run code when loaded"),
        ("m.pth", [], "ends in .safetensors gives a state dictionary"),
        ("m.c", ["--opset", 17], "--opset is for the format onnx; this is c"),
        ("m.onnx", ["--name", "x"], "--name is for the format c; this is onnx"),
        ("m.onnx", ["--opset", 12], "cannot be exported as onnx: opset must be an integer >= 13"),
        ("m.onnx", ["--opset", 999], "cannot be exported as onnx: opset must be an integer <= "),
        ("m.c", ["--name", "1x"], "cannot be exported as c: name must be a C identifier"),
        ("m.c", ["--format", "tflite"], "invalid choice: 'tflite'"),
    ],
)
def test_wrong_options(
    output: str,
    options: list[object],
    message: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = failure(capsys, folder / "texts.safetensors", tmp_path / output, *options)
    assert message in error
    assert not list(tmp_path.iterdir())


def test_models_that_cannot_be_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "model.safetensors"
    assert "model.safetensors" in failure(capsys, model, tmp_path / "x.c")
    model.write_bytes(b"something else")
    assert "is not a file that chainrule wrote" in failure(capsys, model, tmp_path / "x.c")
    one_class = fitted(MLPClassifier(3), X, np.zeros(len(X), int))
    one_class.save(model)
    assert "classes_ must hold two classes at least" in failure(capsys, model, tmp_path / "x.onnx")
    broken = cr.MLP([2, 1])
    broken.parameters[0] = np.nan
    broken.save(model)
    assert "must have finite numbers" in failure(capsys, model, tmp_path / "x.c")
    callbacks = [cr.Checkpoint(model)]
    cr.MLP([1, 1]).fit([[0.0]], [1.0], loss="mse", epochs=1, callbacks=callbacks)
    assert "got the kind 'checkpoint'" in failure(capsys, model, tmp_path / "x.c")
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_missing_package_is_named(folder: Path, tmp_path: Path) -> None:
    code = (
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *a: None if name == 'onnx' else find(name, *a)\n"
        "from chainrule._cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", code, "export", folder / "texts.safetensors", "m.onnx"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert 'needs onnx, which is not installed: pip install "onnx>=' in result.stderr
