"""The command `chainrule train` on real data, mostly in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import fields, number, run, write_csv
from sklearn import datasets

import chainrule as cr
from chainrule._cli import main

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def iris(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "iris.csv", "iris", text_labels=True)


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- trainings -----------------------------------------------------------------------------------


def test_digits(tmp_path: Path) -> None:
    result = run("train", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert max(map(len, result.stdout.splitlines())) <= 80
    found = fields(result.stdout)
    assert "handwritten digits: 1,797 rows, 64 features, 10 classes" in found["data"]
    assert found["task"] == "classification"
    assert found["split"] == "1,437 rows to train on, 360 held out (seed 0, stratified)"
    assert found["network"].startswith("64-256-128-10, relu; 50,826 parameters")
    for word in ("cross_entropy", "AdamW", "batches of 32", "34 epochs"):
        assert word in found["training"]
    machine = rf"variant {cr.runtime.active_variant()}, (\d+ threads?)"
    threads = re.fullmatch(machine, found["machine"])
    assert threads
    assert number(found["held-out accuracy"]) >= 0.97
    assert "steps/s" in found["training time"]
    # The reference saw the same batches: it is as good, though its roundings are its own.
    assert f"{threads[1]} each" in found["NumPy reference"]
    reference = re.search(r"held-out accuracy: ([\d.]+)", found["NumPy reference"])
    assert reference
    assert float(reference[1]) >= 0.97
    assert re.fullmatch(r"chainrule is [\d.]+ times as fast as NumPy", found["ratio"])
    assert found["learning curve"] == "learning_curve.png"
    assert (tmp_path / "learning_curve.png").read_bytes().startswith(PNG)
    assert [path.name for path in tmp_path.iterdir()] == ["learning_curve.png"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_digits_with_other_seeds(
    in_folder: Path, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    assert main(["train", "--seed", str(seed), "--quiet", "--no-reference"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    found = fields(captured.out)
    assert list(found) == ["held-out accuracy", "learning curve"]
    assert number(found["held-out accuracy"]) >= 0.97


def test_classification_of_a_table(tmp_path: Path, iris: Path) -> None:
    before = iris.read_bytes()
    options = ("--target", "target", "--plot", "curve.PNG", "--reference")
    result = run("train", "iris.csv", *options, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert max(map(len, result.stdout.splitlines())) <= 80
    found = fields(result.stdout)
    assert found["data"].startswith("iris.csv: 150 rows, 4 features, 3 classes")
    assert found["task"] == ("classification, because target 'target' holds 3 distinct text values")
    assert found["network"].startswith("4-128-64-3, relu; 9,091 parameters")
    assert number(found["held-out accuracy"]) >= 0.9
    assert "always the commonest class: 0.3333" in found["held-out accuracy"]
    assert "ratio" in found
    assert (tmp_path / "curve.PNG").read_bytes().startswith(PNG)
    assert iris.read_bytes() == before


def test_regression_on_a_table(tmp_path: Path) -> None:
    data = datasets.load_diabetes()
    header = ",".join([*data.feature_names, "progression"])
    rows = np.column_stack([data.data, data.target])
    np.savetxt(tmp_path / "diabetes.csv", rows, "%.10g", ",", header=header, comments="")
    result = run("train", "diabetes.csv", "--target", "progression", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 80
    found = fields(result.stdout)
    assert found["task"] == ("regression, because target 'progression' holds 214 distinct numbers")
    assert "mse" in found["training"]
    assert number(found["held-out R^2"]) > 0.15
    # In the target's own units: its standard deviation is 77.
    trivial = re.search(r"always the mean: ([\d.]+)", found["held-out RMSE"])
    assert trivial
    assert 40 < number(found["held-out RMSE"]) < float(trivial[1]) < 90


@pytest.mark.parametrize(
    ("name", "accuracy"), [("wine", 0.9), ("breast_cancer", 0.93), ("digits", 0.95)]
)
def test_other_tables(
    in_folder: Path, capsys: pytest.CaptureFixture[str], name: str, accuracy: float
) -> None:
    write_csv(in_folder / "table.csv", name)
    assert main(["train", "table.csv", "--target", "target", "--no-reference"]) == 0
    found = fields(capsys.readouterr().out)
    assert "whole numbers of" in found["task"]
    assert number(found["held-out accuracy"]) >= accuracy
    assert "ratio" not in found


def test_options_reach_the_training(
    in_folder: Path, iris: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = "--task regression --hidden 7,5 --activation tanh --epochs 3 --batch-size 50"
    more = "--learning-rate 0.25 --seed 9 --test-fraction 0.5 --threads 3 --reference"
    text = iris.read_text().replace("setosa", "0").replace("versicolor", "1")
    iris.write_text(text.replace("virginica", "2"))
    arguments = ["train", "iris.csv", "--target", "target", *options.split(), *more.split()]
    assert main(arguments) == 0
    found = fields(capsys.readouterr().out)
    assert found["task"] == "regression, because of --task"
    assert found["network"].startswith("4-7-5-1, tanh; 81 parameters")
    assert "learning rate 0.25" in found["training"]
    assert "batches of 50, 3 epochs, 6 steps" in found["training"]
    assert found["split"] == "75 rows to train on, 75 held out (seed 9)"
    assert found["machine"].endswith(", 3 threads")
    assert "(3 threads each," in found["NumPy reference"]
    assert {"epoch 1/3", "epoch 2/3", "epoch 3/3"} <= set(found)


def test_no_hidden_layer_and_one_epoch(
    in_folder: Path, iris: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(f"train {iris} --target target --hidden none --epochs 1".split()) == 0
    assert fields(capsys.readouterr().out)["network"].startswith("4-3, relu; 15 parameters")


def test_same_seed_same_scores(
    in_folder: Path, iris: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = []
    for seed in (5, 5, 6):
        assert main(f"train {iris} --target target --seed {seed} --no-reference".split()) == 0
        found = fields(capsys.readouterr().out)
        outputs.append({label: found[label] for label in found if label.startswith("epoch")})
    assert outputs[0] == outputs[1] != outputs[2]


# --- the picture ---------------------------------------------------------------------------------


def test_older_picture_is_replaced_and_said(
    in_folder: Path, iris: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = f"train {iris} --target target --epochs 2 --no-reference".split()
    assert main(arguments) == 0
    first = (in_folder / "learning_curve.png").read_bytes()
    assert "an older one" not in capsys.readouterr().out
    assert main([*arguments, "--seed", "1"]) == 0
    assert "an older one was replaced" in capsys.readouterr().out
    assert (in_folder / "learning_curve.png").read_bytes() != first


def test_picture_with_an_awkward_file_name(
    in_folder: Path, iris: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    awkward = iris.rename(in_folder / "a$\\frac{$ 花.csv")
    assert main(["train", str(awkward), "--target", "target", "--epochs", "1"]) == 0
    assert (in_folder / "learning_curve.png").read_bytes().startswith(PNG)


if os.name == "posix":

    def test_interrupt(tmp_path: Path, iris: Path) -> None:
        command = [sys.executable, "-m", "chainrule", "train", iris.name, "--target", "target"]
        with subprocess.Popen(
            [*command, "--epochs", "10000000"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        ) as process:
            assert process.stdout is not None
            while not process.stdout.readline().startswith("machine"):
                assert process.poll() is None
            process.stdout.readline()  # the empty line that is printed last before the training
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        assert process.returncode == 130
        assert re.fullmatch(r"chainrule: interrupted; .*\n", errors)
        assert [path.name for path in tmp_path.iterdir()] == ["iris.csv"]

    def test_progress_bar_on_a_terminal(tmp_path: Path) -> None:
        import fcntl
        import pty
        import struct
        import termios

        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        process = subprocess.Popen(
            [sys.executable, "-m", "chainrule", "train", "--epochs", "3", "--no-reference"],
            cwd=tmp_path,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        shown = b""
        while True:
            try:
                piece = os.read(master, 4096)
            except OSError:  # Linux: the other side is closed
                break
            if not piece:
                break
            shown += piece
        os.close(master)
        assert process.wait(timeout=60) == 0
        text = shown.decode()
        assert "100%" in text
        assert re.search(r"loss=[\d.e-]+, .*score=0\.\d+", text), text  # in 80 columns
        assert "epoch 3/3" not in text  # those lines are for logs
        assert "held-out accuracy" in text
