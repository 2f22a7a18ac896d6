"""The command `chainrule export`: what is written runs, and says what `chainrule predict` says."""

from __future__ import annotations

import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from command_line import fields, run
from exchange_cases import set_numbers
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from tables import cancer, diabetes, write
from torch import nn

import chainrule as cr
from chainrule._cli import main
from chainrule._command.pipeline import load
from chainrule._command.source import open_source
from chainrule.estimators import MLPClassifier, MLPRegressor
from chainrule.exchange._sequential import sequential

SECONDS = pd.Timedelta(seconds=1)


def visits() -> pd.DataFrame:
    """Return rows with times, rare words, numbers as names, and words for missing values."""
    rng = np.random.default_rng(3)
    n = 600
    words = np.array([f"word {i:02}" for i in range(50)] + ["?", "label", '"*/ \u00e9'])
    frame = pd.DataFrame(
        {
            "label": rng.choice(words, n),
            "chainrule_x": rng.normal(size=n) * 1e3,
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 9e7, n), unit="s"),
            "room": rng.integers(1, 5, n),
            "open": np.array(rng.random(n) < 0.5, object),
        }
    )
    frame["size"] = (
        frame["chainrule_x"] * frame["open"].astype(float) + frame["when"].dt.day_of_week * 100
    )
    for name in ("label", "chainrule_x", "when", "open"):
        frame.loc[rng.random(n) < 0.06, name] = None
    frame["grade"] = np.where(frame["size"] > 100, 3, np.where(frame["size"] > -100, 2, -7))
    return frame


TABLES: dict[str, tuple[pd.DataFrame, str, list[str]]] = {
    "texts": (cancer(), "diagnosis", []),
    "numbers": (diabetes(), "progress", []),
    "times": (
        visits().drop(columns="grade"),
        "size",
        ["--missing", "?", "--categorical", "room"],
    ),
    "grades": (visits().drop(columns="size"), "grade", ["--missing", "?"]),
    "truth": (visits().drop(columns=["size", "grade"]), "open", []),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a table and a model of it for each of TABLES."""
    folder = tmp_path_factory.mktemp("tables")
    for name, (frame, target, options) in TABLES.items():
        path = write(frame, folder / f"{name}.parquet")
        arguments = ["train", path, "--target", target, "--epochs", "8", "--hidden", "16"]
        arguments += ["--output", folder / f"{name}.safetensors", "--quiet", *options]
        assert main([str(argument) for argument in arguments]) == 0
    return folder


def export(*arguments: object) -> None:
    assert main(["export", *map(str, arguments)]) == 0


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


def awkward(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with more that training never saw: infinities, words, huge numbers."""
    frame = frame.copy()
    numbers = frame.select_dtypes("float").columns
    for i, value in enumerate((np.inf, -np.inf, 1e300, -1e300, np.nan, 0.0)):
        frame.loc[frame.index[i], numbers] = value
    for name in frame.columns:
        if isinstance(frame[name].dropna().iloc[0], str):
            frame.loc[frame.index[7], name] = "never seen"
            frame.loc[frame.index[8], name] = None
    return frame


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
    source = open_source(str(rows), pipeline.missing)
    kinds = pipeline.kinds()
    want = np.concatenate(
        [
            pipeline.encoding.encode(pipeline.columns_of(source, chunk), slice(None), chunk.n_rows)
            for chunk in source.chunks(list(kinds), kinds)
        ]
    )
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


def varied(dtype: str) -> cr.MLP:
    """Return a network with one of everything that a layer can have."""
    layers = [
        cr.Dense(8, cr.Activation("leaky_relu", negative_slope=0.2), 0.25, "batch"),
        cr.Dense(7, "gelu_tanh", norm="layer", bias=False),
        cr.Dense(6, "softplus"),
        cr.Dense(5, cr.Activation("elu", alpha=0.5)),
    ]
    model = cr.MLP([4, *layers, 3], dtype=dtype)
    set_numbers(model, np.random.default_rng(5))
    return model


def fitted(model: Any, X: Any, y: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.set_params(max_iter=10, random_state=0).fit(X, y)


WINE = datasets.load_wine()
X = (WINE.data - WINE.data.mean(axis=0)) / WINE.data.std(axis=0)
NAMED = pd.DataFrame(X, columns=WINE.feature_names)
INDICATORS = np.column_stack([WINE.target == 0, X[:, 1] > 0, X[:, 2] > X[:, 3]]).astype(int)
TARGETS = np.column_stack([X[:, 0], X[:, 1] * X[:, 2]])
ESTIMATORS: dict[str, tuple[Any, Any, Any]] = {
    "classes": (MLPClassifier(8), NAMED, WINE.target_names[WINE.target]),
    "binary": (MLPClassifier(8), X, WINE.target > 0),
    "labels": (MLPClassifier(8), X, INDICATORS),
    "one against all": (MLPClassifier(8, loss="binary_cross_entropy"), X, WINE.target + 5),
    "float32": (MLPClassifier(8, dtype="float32", norm="batch"), X, WINE.target),
    "values": (MLPRegressor(hidden_layer_sizes=8), X, TARGETS),
    "rates": (MLPRegressor("poisson", 8), X, WINE.target),
    "normal": (MLPRegressor("gaussian_nll", 8), X, TARGETS),
    "quantiles": (MLPRegressor(cr.Quantile([0.1, 0.5, 0.9]), 8), X, TARGETS),
    "quantiles of one": (MLPRegressor(cr.Quantile([0.1, 0.9]), 8), X, TARGETS[:, 0]),
}


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


# --- C -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TABLES)
def test_c_of_a_table_compiles_and_lists_its_inputs(
    name: str, folder: Path, tmp_path: Path
) -> None:
    pipeline = load(str(folder / f"{name}.safetensors"))
    export(folder / f"{name}.safetensors", tmp_path / "net.c")
    text = (tmp_path / "net.c").read_text(encoding="ascii")
    comment = text.partition("*/")[0]
    assert f"x[{pipeline.encoding.width - 1}]: " in comment
    assert f"x[{pipeline.encoding.width}]: " not in comment
    assert f"y[{pipeline.target.n_outputs - 1}]: " in comment
    assert "int net_predict(const float *x, float *y);" in text
    compiler = shutil.which("cc")
    assert compiler
    options = ["-std=c99", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-pedantic"]
    command = [compiler, *options, "-DCHAINRULE_TEST", "net.c", "-o", "net", "-lm"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    told = subprocess.run([tmp_path / "net"], capture_output=True, text=True, check=True)
    assert told.stdout.startswith("0 of ")


def test_inputs_that_c_lists_are_computed_as_they_say(folder: Path, tmp_path: Path) -> None:
    """The comment is all that a user has: what it says gives the rows of the network."""
    export(folder / "times.safetensors", tmp_path / "net.c")
    comment = (tmp_path / "net.c").read_text(encoding="ascii").partition("*/")[0]
    lines: dict[str, str] = {}
    label = ""
    for line in comment.splitlines():
        if line.startswith(("   x[", "   y[")):
            label, _, lines[label] = line.strip().partition(": ")
        elif label and line.strip():
            lines[label] += " " + line.strip()
    step: Any = load(str(folder / "times.safetensors")).encoding.steps["chainrule_x"]
    texts = [text for text in lines.values() if '"chainrule_x"' in text]
    assert texts == [
        f'(value of "chainrule_x", or {step.fill!r} if missing, minus {step.mean!r}) / '
        f"{step.scale!r}, at most 10 and at least -10",
        '1 if "chainrule_x" is missing, else 0',
    ]
    assert '1 if "label" is "label", else 0' in lines.values()
    target = load(str(folder / "times.safetensors")).target
    assert lines["y[0]"] == f'"size" is output * {target.scale!r} + {target.mean!r}'


def test_c_of_an_estimator_names_classes_and_features(tmp_path: Path) -> None:
    fitted(*ESTIMATORS["classes"]).save(tmp_path / "model.safetensors")
    export(tmp_path / "model.safetensors", tmp_path / "1.c", "--quiet")
    text = (tmp_path / "1.c").read_text(encoding="ascii")
    assert "int model_predict(const double *x, double *y);" in text
    assert 'x[11]: "od280\\/od315_of_diluted_wines"\n' in text
    assert 'y[2]: logit of "class_2"; softmax makes probabilities */' in text
    export(tmp_path / "model.safetensors", tmp_path / "1.c", "--name", "wine", "--force")
    assert "int wine_predict(" in (tmp_path / "1.c").read_text(encoding="ascii")


# --- PyTorch -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_state_dictionary_and_the_module_that_is_printed(dtype: str, tmp_path: Path) -> None:
    model = varied(dtype)
    model.save(tmp_path / "model.safetensors")
    result = run("export", "model.safetensors", "net.safetensors", cwd=tmp_path, COLUMNS="80")
    assert result.returncode == 0, result.stderr
    module = eval(fields(result.stdout)["module"], {"nn": nn})
    state = safetensors.torch.load_file(tmp_path / "net.safetensors")
    theirs = cr.exchange.to_state_dict(model)
    assert state.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert torch.equal(state[name], tensor), name
        assert state[name].dtype == tensor.dtype
    module.load_state_dict(state)
    assert str(module) == str(cr.exchange.to_torch(model))
    x = torch.randn(9, model.in_features, dtype=getattr(torch, dtype))
    got = module.eval()(x).detach().numpy()
    np.testing.assert_allclose(got, model.predict(x.numpy()), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("activation", [*cr._core.activations()])
def test_modules_as_text_are_those_of_to_torch(activation: str) -> None:
    for norm in (None, "layer", "batch"):
        layers = [cr.Dense(3, activation, 0.25, norm), cr.Dense(2, activation, bias=False)]
        for dtype in ("float32", "float64"):
            model = cr.MLP([4, *layers], dtype=dtype)
            text, state = sequential(model)
            module = eval(text, {"nn": nn})
            assert str(module) == str(cr.exchange.to_torch(model))
            assert list(module.state_dict()) == list(state)
            assert {p.dtype for p in module.parameters()} == {getattr(torch, dtype)}


def test_the_network_of_a_table_for_pytorch_says_what_is_not_in_it(
    folder: Path, tmp_path: Path
) -> None:
    result = run("export", folder / "texts.safetensors", "net.safetensors", cwd=tmp_path)
    told = fields(result.stdout)
    assert told["not included"].startswith("the preprocessing of the table")
    pipeline = load(str(folder / "texts.safetensors"))
    for name, part in pipeline.encoding.slices().items():
        label = f"x[{part.start}]" + (
            f" to x[{part.stop - 1}]" if part.stop > part.start + 1 else ""
        )
        assert told[label].startswith(repr(name))
    assert told["outputs"] == " ".join(
        f'y[{i}]: logit of "{name}"; softmax makes probabilities'
        for i, name in enumerate(("benign", "malignant"))
    )
    state = safetensors.numpy.load_file(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(state["0.weight"], pipeline.model.weights[0].T)


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
    assert 'pip install "chainrule[onnx]"' in result.stderr
