"""The command `chainrule`: options, errors as one line with their exit codes, info, help."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
from command_line import fields, run, write_csv

import chainrule as cr
from chainrule._cli import main
from chainrule._errors import not_installed

PNG = b"\x89PNG\r\n\x1a\n"


def error(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Run the command in this process and return the one line of its usage error."""
    assert main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("chainrule: error: ")
    return captured.err


@pytest.fixture
def iris(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "iris.csv", "iris", text_labels=True)


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "expected a command: train, predict, evaluate, export, bench or info"),
        ("trian", "invalid choice: 'trian'"),
        ("train --epochs 0", "--epochs: '0': expected a whole number of at least 1"),
        ("train --epochs many", "--epochs: 'many': expected a whole number of at least 1"),
        ("train --batch-size -3", "--batch-size: '-3': expected a whole number of at least 1"),
        ("train --learning-rate nan", "--learning-rate: 'nan': expected a number above 0"),
        ("train --learning-rate inf", "--learning-rate: 'inf': expected a number above 0"),
        ("train --test-fraction 1", "--test-fraction: '1': expected a number above 0 and below 1"),
        ("train --seed -1", "--seed: '-1': expected a whole number from 0 to 4294967295"),
        ("train --threads 0", "--threads: '0': expected a whole number from 1 to 1024"),
        ("train --threads 9999", "--threads: '9999': expected a whole number from 1 to 1024"),
        ("train --hidden 12,0", "--hidden: '12,0': expected widths from 1 to 16384"),
        ("train --hidden 12;4", "--hidden: '12;4': expected widths"),
        ("train --activation reul", "--activation: 'reul': expected one of identity, relu"),
        ("train --task ranking", "--task: invalid choice: 'ranking'"),
        ("train --epoch 3", "unrecognized arguments: --epoch"),
        ("train --dropout 1", "--dropout: '1': expected a number of at least 0 and below 1"),
        ("train --weight-decay -1", "--weight-decay: '-1': expected a number of at least 0"),
        ("train --target y", "--target goes with a file"),
        ("train --force", "--force goes with a file"),
        ("train t.csv --plot a.png", "--plot goes without a file"),
        ("predict m.safetensors", "the following arguments are required: FILE"),
        ("evaluate", "the following arguments are required: MODEL, FILE"),
        ("train --task regression", "--task goes with a file"),
        ("info now", "unrecognized arguments: now"),
    ],
)
def test_refused_options(
    in_folder: Path, capsys: pytest.CaptureFixture[str], arguments: str, message: str
) -> None:
    assert message in error(capsys, *arguments.split())


def test_refused_tables(in_folder: Path, iris: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is a folder" in error(capsys, "train", in_folder, "--target", "target")
    assert "did you mean" in error(capsys, "train", "iriss.csv", "--target", "target")
    assert "give --target COLUMN; its columns are" in error(capsys, "train", iris)
    message = error(capsys, "train", iris, "--target", "Target")
    assert "no column 'Target' (did you mean 'target'?); its columns are" in message
    message = error(capsys, "train", iris, "--target", "target", "--task", "regression")
    assert "iris.csv, line 2, column 'target': 'setosa' is text" in message
    iris.write_text(iris.read_text().replace("\n5,", "\nfive,", 1))
    message = error(capsys, "train", iris, "--target", "target")
    assert "iris.csv, line 6, column 'sepal length (cm)': 'five' is text" in message
    assert sorted(path.name for path in in_folder.iterdir()) == ["iris.csv"]


@pytest.mark.parametrize(
    ("plot", "message"),
    [
        ("curve.jpg", "expected a name that ends in .png"),
        ("no/curve.png", "there is no folder no"),
        ("folder.png", "--plot folder.png"),
    ],
)
def test_refused_pictures(
    in_folder: Path, capsys: pytest.CaptureFixture[str], plot: str, message: str
) -> None:
    (in_folder / "folder.png").mkdir()
    assert message in error(capsys, "train", "--plot", plot)


def test_errors_from_outside(tmp_path: Path) -> None:
    result = run("train", "none.csv", "--target", "y", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == "chainrule: error: none.csv does not exist\n"


@pytest.mark.parametrize("module", ["sklearn", "pandas", "matplotlib", "tqdm", "pyarrow"])
def test_library_that_is_not_installed(
    in_folder: Path,
    iris: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    module: str,
) -> None:
    (in_folder / "t.parquet").write_bytes(b"PAR1" + bytes(20))
    monkeypatch.setitem(sys.modules, module, None)
    table = "t.parquet" if module == "pyarrow" else iris.name
    assert main(["train", table, "--target", "target"]) == 1
    name = "scikit-learn" if module == "sklearn" else module
    what = "reading t.parquet (Parquet)" if module == "pyarrow" else "chainrule train"
    assert capsys.readouterr().err == f"chainrule: error: {not_installed(what, name)}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["info"], b""),
        (["--help"], b""),
        (
            ["train", "iris.csv", "--target", "target"],
            b"chainrule: error: stopped, for whoever read standard output is gone\n",
        ),
    ],
)
def test_reader_that_goes_away(iris: Path, arguments: list[str], said: bytes) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "chainrule", *arguments],
        cwd=iris.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == said
    process.stderr.close()
    assert process.wait(timeout=60) == 1


# --- info, version, help -------------------------------------------------------------------------


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    found = fields(capsys.readouterr().out)
    assert found["chainrule"] == cr.__version__
    assert found["variants compiled"].split(", ") == cr.runtime.compiled_variants()
    assert found["variants supported"].startswith(", ".join(cr.runtime.variants()))
    assert found["variant active"] == cr.runtime.active_variant()
    assert found["precisions"].startswith("float32, bf16x6, bf16x3, bf16, auto")
    assert found["bf16 tiles"].startswith("yes" if cr.runtime.has_bf16_tiles() else "no: products")
    assert found["threads"] == str(cr.runtime.num_threads())
    assert found["NumPy"] == np.__version__
    assert found["build compiler"] == cr.runtime.build_config()["compiler"]


def test_info_names_the_variant_that_was_forced(tmp_path: Path) -> None:
    result = run("info", cwd=tmp_path, CHAINRULE_VARIANT="baseline")
    assert result.returncode == 0
    assert fields(result.stdout)["variant active"] == "baseline"


def test_wrong_variant_is_one_line(tmp_path: Path) -> None:
    for arguments in (["info"], ["train"], ["--version"]):
        result = run(*arguments, cwd=tmp_path, CHAINRULE_VARIANT="sse9")
        assert result.returncode == 2
        assert result.stdout == ""
        assert result.stderr.count("\n") == 1
        assert "CHAINRULE_VARIANT" in result.stderr
        assert "got 'sse9'" in result.stderr


def test_threads_of_the_environment(tmp_path: Path) -> None:
    result = run("info", cwd=tmp_path, CHAINRULE_NUM_THREADS="5")
    assert fields(result.stdout)["threads"] == "5"
    for command in ("info", "train"):
        result = run(command, cwd=tmp_path, CHAINRULE_NUM_THREADS="many")
        assert result.returncode == 2
        assert result.stderr.count("\n") == 1
        assert "CHAINRULE_NUM_THREADS is 'many'" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("--version", f"chainrule {cr.__version__}"),
        ("--help", "train on a table, or on handwritten digits"),
        ("predict --help", "--output species.parquet"),
        ("evaluate --help", "--json scores.json"),
        ("train --help", "chainrule train flowers.csv --target species"),
    ],
)
def test_help_and_version(capsys: pytest.CaptureFixture[str], arguments: str, text: str) -> None:
    assert main(arguments.split()) == 0
    captured = capsys.readouterr()
    assert text in captured.out
    assert captured.err == ""


def test_help_and_info_need_no_library_of_the_extra(tmp_path: Path) -> None:
    code = (
        "import sys; from chainrule._cli import main; main(['train', '--help']); main(['info']);"
        "sys.exit(bool({'sklearn', 'pandas', 'matplotlib', 'tqdm', 'pyarrow'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert result.returncode == 0


def test_console_script() -> None:
    (script,) = entry_points(group="console_scripts", name="chainrule")
    # What it starts with takes over Ctrl-C: test_interrupts.py runs it.
    assert script.value == "_chainrule_start:main"


@pytest.mark.parametrize("command", ["", "train", "predict", "evaluate", "export", "bench", "info"])
def test_help_fits_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*command.split(), "--help"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
