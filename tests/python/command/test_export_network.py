"""Networks that `chainrule export` writes in C and for PyTorch, and what it says is around them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
from command_line import fields, run
from export_cases import (
    ESTIMATORS,
    SECONDS,
    TABLES,
    awkward,
    encoded,
    export,
    fitted,
    trained,
    varied,
)
from tables import write

import chainrule as cr
from chainrule._command.pipeline import load
from chainrule.exchange._sequential import sequential


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("tables"))


# --- C -------------------------------------------------------------------------------------------


@pytest.mark.compiler
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


QUOTED = r'("(?:[^"\\]|\\.)*")'
SCALED = re.compile(
    rf"\((?:value of|days since 1970-01-01 of|1 if) {QUOTED}(?: is true, 0 if false)?, "
    r"or (\S+) if missing, minus (\S+)\) / (\S+), at most 10 and at least -10"
)
CHOSEN = re.compile(rf"1 if {QUOTED} is (missing|anything else|{QUOTED}), else 0")
WAVE = re.compile(
    rf"(sine|cosine) of 2 pi \* seconds since 1970-01-01 \(UTC\) of {QUOTED} / (\S+), "
    r"or 0 if missing"
)


def listed(comment: str) -> dict[str, str]:
    """Return what a comment says of each input and output."""
    lines: dict[str, str] = {}
    label = ""
    for line in comment.splitlines():
        if line.startswith(("   x[", "   y[")):
            label, _, lines[label] = line.strip().partition(": ")
        elif label and line.strip():
            lines[label] += " " + line.strip()
    return lines


def computed(texts: list[str], frame: pd.DataFrame, missing: list[str]) -> Any:
    """Compute features by nothing but what is said of them."""
    columns = []
    chosen: dict[str, list[Any]] = {}
    for text in texts:
        if match := SCALED.fullmatch(text):
            column = frame[json.loads(match[1])]
            if pd.api.types.is_datetime64_any_dtype(column):
                column = (column - pd.Timestamp(0)) / SECONDS / 86400
            values = column.astype("float64").to_numpy()
            values = np.where(np.isfinite(values), values, float(match[2]))
            columns.append(np.clip((values - float(match[3])) / float(match[4]), -10, 10))
        elif match := CHOSEN.fullmatch(text):
            name = json.loads(match[1])
            column = frame[name]
            is_missing = (column.isna() | column.isin([*missing, np.inf, -np.inf])).to_numpy()
            if match[2] == "missing":
                columns.append(is_missing)
            elif match[2] == "anything else":
                columns.append(~np.any(chosen[name], axis=0))
            else:
                columns.append((column.astype(str) == json.loads(match[3])) & ~is_missing)
            chosen.setdefault(name, []).append(columns[-1])
        else:
            match = WAVE.fullmatch(text)
            assert match, text
            seconds = ((frame[json.loads(match[2])] - pd.Timestamp(0)) / SECONDS).to_numpy()
            function = np.sin if match[1] == "sine" else np.cos
            columns.append(np.nan_to_num(function(seconds * (2 * np.pi / float(match[3])))))
    return np.column_stack(columns).astype(np.float32)


@pytest.mark.parametrize("name", TABLES)
def test_inputs_are_computed_as_the_comment_says(name: str, folder: Path, tmp_path: Path) -> None:
    """It is all that a user has; outputs too are what it says."""
    frame, target, _ = TABLES[name]
    frame = awkward(frame.drop(columns=target))
    rows = write(frame, tmp_path / "rows.parquet")
    pipeline = load(str(folder / f"{name}.safetensors"))
    export(folder / f"{name}.safetensors", tmp_path / "net.c")
    comment = (tmp_path / "net.c").read_text(encoding="ascii").partition(" */\n")[0]
    texts = " ".join(comment.split())
    words = '"" and "?".' if pipeline.missing else '"".'
    assert f"Missing are NaN, infinite numbers, and the texts {words} All is" in texts
    lines = listed(comment)
    inputs = [text for label, text in lines.items() if label.startswith("x")]
    want = encoded(pipeline, rows)
    got = computed(inputs, frame, list(pipeline.missing))
    assert got.shape == want.shape
    np.testing.assert_array_equal(got, want)
    about = pipeline.target
    outputs = [text for label, text in lines.items() if label.startswith("y")]
    if about.classes:
        classes = [json.dumps(label) for label in about.classes]
        assert outputs == [f"logit of {label}; softmax makes probabilities" for label in classes]
    else:
        assert outputs == [f'"{target}" is output * {about.scale!r} + {about.mean!r}']


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


@pytest.mark.torch
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_state_dictionary_and_the_module_that_is_printed(dtype: str, tmp_path: Path) -> None:
    import safetensors.torch
    import torch

    model = varied(dtype)
    model.save(tmp_path / "model.safetensors")
    result = run("export", "model.safetensors", "net.safetensors", cwd=tmp_path, COLUMNS="80")
    assert result.returncode == 0, result.stderr
    module = eval(fields(result.stdout)["module"], {"nn": torch.nn})
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


@pytest.mark.torch
@pytest.mark.parametrize("activation", [*cr._core.activations()])
def test_modules_as_text_are_those_of_to_torch(activation: str) -> None:
    import torch

    for norm in (None, "layer", "batch"):
        layers = [cr.Dense(3, activation, 0.25, norm), cr.Dense(2, activation, bias=False)]
        for dtype in ("float32", "float64"):
            model = cr.MLP([4, *layers], dtype=dtype)
            text, state = sequential(model)
            module = eval(text, {"nn": torch.nn})
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
