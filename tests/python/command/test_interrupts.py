"""Ctrl-C at any moment ends the program `chainrule` quietly: real processes, real signals."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tqdm
from sklearn.neural_network import MLPClassifier
from tables import cancer, write

import chainrule as cr
from chainrule._cli import main
from chainrule._command.progress import EpochBar

# As the script that pip makes; it says when Python itself has started.
PROGRAM = """
import sys
from _chainrule_start import main
print("started", flush=True)
sys.exit(main())
"""
# As a module that is being imported, and that takes an interrupt for an error of its own.
DEAF = """
import time
print("importing", flush=True)
try:
    time.sleep(60)
except BaseException:
    raise ImportError("this module could not be imported") from None
"""

if os.name == "posix":

    def listen() -> None:
        """Undo what a shell does to its background jobs, of which these tests may be one."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    def start(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            cwd=folder,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            preexec_fn=listen,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        return process

    @pytest.mark.parametrize("delay", [0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.7, 1, 1.4, 1.9, 2.5])
    def test_at_many_moments_of_a_training(tmp_path: Path, delay: float) -> None:
        write(cancer(), tmp_path / "t.csv")
        process = start(tmp_path, "train", "t.csv", "--target", "diagnosis")
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=60)[1]
        assert process.returncode in (0, 130)
        left = {path.name for path in tmp_path.iterdir()} - {"t.csv"}
        if process.returncode == 0:
            assert errors == ""
            assert left == {"t.safetensors", "t.json", "t.html"}
        else:
            assert errors.startswith("chainrule: interrupted; ")
            assert errors.count("\n") == 1
            assert ("nothing was written" in errors) == (left == set())

    @pytest.mark.parametrize(
        ("module", "arguments"),
        [
            ("numpy", ["info"]),
            ("pandas", ["train", "t.csv", "--target", "diagnosis"]),
            ("sklearn", ["train"]),
        ],
    )
    def test_in_an_import_that_loses_interrupts(
        tmp_path: Path, module: str, arguments: list[str]
    ) -> None:
        write(cancer(), tmp_path / "t.csv")
        (tmp_path / "first").mkdir()
        (tmp_path / "first" / f"{module}.py").write_text(DEAF)
        process = start(tmp_path, *arguments, PYTHONPATH=str(tmp_path / "first"))
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=60)[1]
        assert (process.returncode, errors) == (
            130,
            "chainrule: interrupted; nothing was written\n",
        )

    def test_in_the_comparison_with_numpy(tmp_path: Path) -> None:
        process = start(tmp_path, "train", "--epochs", "2", "--hidden", "512,512")
        assert process.stdout is not None
        while not process.stdout.readline().startswith("comparison"):
            pass
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=60)[1]
        assert process.returncode == 130
        written = "learning_curve.png was written, the comparison has not ended"
        assert errors == f"chainrule: interrupted; {written}\n"
        assert [path.name for path in tmp_path.iterdir()] == ["learning_curve.png"]

    def test_a_background_job_of_a_shell_goes_on(tmp_path: Path) -> None:
        def ignore() -> None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "info"],
            stdout=subprocess.PIPE,
            encoding="utf-8",
            preexec_fn=ignore,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.send_signal(signal.SIGINT)
        assert "NumPy" in process.communicate(timeout=60)[0]
        assert process.returncode == 0


def test_in_the_training_of_the_rival(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    write(cancer(), tmp_path / "t.csv")
    monkeypatch.setattr(MLPClassifier, "_backprop", interrupt)
    arguments = ["train", "t.csv", "--target", "diagnosis", "--epochs", "1", "--weight-decay", "1"]
    assert main([*arguments, "--compare"]) == 130
    assert capsys.readouterr().err == "chainrule: interrupted; nothing was written\n"
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def a_fit() -> None:
    cr.MLP([1, 1]).fit(np.ones((2, 1)), np.ones((2, 1)), loss="mse", epochs=2, progress=True)


@pytest.mark.parametrize(
    "makes_bar", [lambda: EpochBar(10, shown=False), a_fit], ids=["command", "fit"]
)
def test_a_bar_is_made_whole_first(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    makes_bar: Callable[[], object],
) -> None:
    made = []

    class Interrupted(tqdm.tqdm):  # type: ignore[type-arg]
        def __init__(self, *arguments: object, **options: object) -> None:
            signal.raise_signal(signal.SIGINT)
            super().__init__(*arguments, **options)
            made.append(self)

    monkeypatch.setattr(tqdm, "tqdm", Interrupted)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        makes_bar()
    assert len(made) == 1
    assert signal.getsignal(signal.SIGINT) is handler
    del made[:]
    gc.collect()
    assert "Exception" not in capsys.readouterr().err


def test_a_bar_in_another_thread_and_without_a_handler() -> None:
    made: list[EpochBar] = []
    thread = threading.Thread(target=lambda: made.append(EpochBar(10, shown=False)))
    thread.start()
    thread.join()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        made.append(EpochBar(10, shown=False))
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, handler)
    assert len(made) == 2


def test_other_programs_keep_their_interrupts() -> None:
    code = (
        "import signal, sys, chainrule._cli, chainrule._command.train\n"
        "from chainrule._command.imports import import_all\n"
        "import_all('json')\n"
        "assert '_chainrule_start' not in sys.modules\n"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
