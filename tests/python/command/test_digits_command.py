"""The command `chainrule train` without a file: handwritten digits."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import fields, number, run

import chainrule as cr
from chainrule._cli import main

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


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
    reference = re.search(
        r"for (?:\d+ of )?34 epochs, .* BLAS on \d thread.* accuracy ([\d.]+), .*'s ([\d.]+)",
        found["NumPy reference"],
    )
    assert reference
    assert abs(float(reference[1]) - float(reference[2])) < 0.01
    # Tests may well run on a machine that is busy.
    ratio = r"chainrule is [\d.]+ times as fast as NumPy \(median; [\d.]+ to [\d.]+\)"
    assert re.fullmatch(rf"{ratio}|not known: other programs keep .*", found["ratio"])
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


def test_options_reach_the_training(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = "--hidden 7,5 --activation tanh --epochs 3 --batch-size 100 --dropout 0.1"
    more = "--learning-rate 0.25 --weight-decay 0 --seed 9 --test-fraction 0.5 --threads 3"
    more += " --precision bf16x3 --shards 8"
    assert main(["train", *options.split(), *more.split(), "--reference"]) == 0
    found = fields(capsys.readouterr().out)
    assert found["network"].startswith("64-7-5-10, tanh; 555 parameters")
    assert found["network"].endswith("float32, products in bf16x3")
    assert "learning rate 0.25, warm-up then cosine; weight decay 0)" in found["training"]
    assert "batches of 100 in 8 shards, 3 epochs, 27 steps" in found["training"]
    assert found["split"] == "898 rows to train on, 899 held out (seed 9, stratified)"
    assert "(3 rounds in turns, no validation)" in found["NumPy reference"]
    assert "the best of 1 and 3" in found["NumPy reference"]
    assert {"epoch 1/3", "epoch 2/3", "epoch 3/3"} <= set(found)


def test_older_picture_is_replaced_and_said(
    in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "--epochs", "2", "--no-reference"]
    assert main(arguments) == 0
    first = (in_folder / "learning_curve.png").read_bytes()
    assert "an older one" not in capsys.readouterr().out
    assert main([*arguments, "--seed", "1"]) == 0
    assert "an older one was replaced" in capsys.readouterr().out
    assert (in_folder / "learning_curve.png").read_bytes() != first


def test_foreign_picture_is_not_replaced(
    in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (in_folder / "learning_curve.png").write_bytes(PNG + b"a holiday")
    assert main(["train"]) == 2
    assert "exists and is no learning curve" in capsys.readouterr().err
    assert (in_folder / "learning_curve.png").read_bytes() == PNG + b"a holiday"


if os.name == "posix":

    def test_progress_bar_on_a_terminal(tmp_path: Path) -> None:
        import fcntl
        import pty
        import struct
        import termios

        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        process = subprocess.Popen(
            [sys.executable, "-m", "chainrule", "train", "--epochs", "3"],
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
        assert "\r100%" in text
        assert re.search(r"\rNumPy: 100%.*epoch=3/3, loss=[\d.e-]+", text), text
        assert re.search(r"loss=[\d.e-]+, .*score=0\.\d+", text), text  # in 80 columns
        assert "epoch 3/3" not in text  # those lines are for logs
        assert "held-out accuracy" in text
