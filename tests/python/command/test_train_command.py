"""The command `chainrule train` on real data: the files it writes, what it says, how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command_line import fields, run, write_csv
from tables import FORMATS, cancer, diabetes, write

import chainrule as cr
from chainrule._cli import main
from chainrule._command import pipeline, recipe, stopwatch


@pytest.fixture
def iris(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "iris.csv", "iris", text_labels=True)


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def report_of(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def scores(output: str) -> dict[str, list[str]]:
    """Return the rows of the table of scores that was printed."""
    rows = {}
    lines = iter(output.splitlines())
    header = next(line for line in lines if line.startswith("held-out score"))
    rows["held-out score"] = header.split()[2:]
    for line in lines:
        if not line.strip():
            break
        values = re.findall(r"\S+", line[len("log loss (less is better)") :])
        rows[line[:26].strip()] = values
    return rows


# --- trainings -----------------------------------------------------------------------------------


def test_classification(tmp_path: Path) -> None:
    path = write(cancer(), tmp_path / "cancer.csv")
    before = path.read_bytes()
    result = run("train", "cancer.csv", "--target", "diagnosis", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert max(map(len, result.stdout.splitlines())) <= 80
    found = fields(result.stdout)
    assert found["data"] == "cancer.csv: 569 rows, 8 columns and the target"
    assert "'smokes'" in found
    assert found["'smokes'"].startswith("boolean: mean 0.")
    assert found["'clinic'"].startswith("categorical (3): 3 values and missing; ")
    assert found["'visit'"].startswith("date: days, standardized; circles of year, week; ")
    assert found["left out"].endswith("rows without a target")
    assert found["task"] == (
        "classification (2 classes), because target 'diagnosis' holds 2 distinct text values"
    )
    assert found["'patient'"].startswith("left out: 569 distinct texts in 569 rows: ")
    assert re.fullmatch(
        r"\d+ rows: \d+ to train on, in 5 folds to choose the weight decay, \d+ held out "
        r"\(seed 0, stratified\)",
        found["split"],
    )
    assert found["model"] == "cancer.safetensors"
    assert found["report"] == "cancer.html, cancer.json"
    assert path.read_bytes() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        *("cancer.csv", "cancer.html", "cancer.json", "cancer.safetensors")
    ]
    report = report_of(tmp_path / "cancer.json")
    assert report["scores"]["model"]["accuracy"] > 0.9
    assert 0.5 < report["scores"]["baseline"]["accuracy"] < 0.75
    assert report["data"]["left_out"] == {
        "patient": "569 distinct texts in 569 rows: a name or a key (--keep 'patient' uses it)"
    }
    n_missing = int(cancer()["diagnosis"].isna().sum())
    assert report["data"]["unusable_rows"] == {"without a target": n_missing}
    assert sum(map(sum, report["confusion"])) == report["split"]["held_out"]
    assert f"{report['scores']['model']['accuracy']:.4f}" in result.stdout
    importance = [item["column"] for item in report["importance"]]
    assert sorted(importance) == sorted(item["name"] for item in report["data"]["columns"])
    assert importance[0] not in ("clinic", "smokes", "visit")  # made up, they say nothing


@pytest.mark.pictures
def test_regression_beside_scikit_learn(
    in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(diabetes(), in_folder / "diabetes.parquet")
    assert main(f"train {path.name} --target progress --compare --seed 1".split()) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "model  trivial  scikit-learn" in captured.out
    report = report_of(in_folder / "diabetes.json")
    assert report["task"] == "regression"
    found = report["scores"]
    assert found["model"]["r2"] > 0.3
    assert abs(found["baseline"]["r2"]) < 0.1
    assert set(found["scikit_learn"]) == set(found["model"])
    # In the target's own units: its standard deviation is 77.
    assert 40 < found["model"]["rmse"] < found["baseline"]["rmse"] < 90
    assert "hidden 128, 64, relu" in report["compared"]["description"]
    assert report["compared"]["busy"] in (True, False)
    assert report["training"]["weight_decays_tried"] == [0.1, 1.0, 3.0, 10.0]
    assert report["split"]["folds"] == 5


def test_a_busy_machine_is_said_beside_the_times(
    in_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopwatch, "_MOST_WAITING", -1.0)
    path = write(diabetes(), in_folder / "diabetes.csv")
    options = "--target progress --compare --epochs 2 --weight-decay 1 --hidden 4"
    assert main(["train", path.name, *options.split()]) == 0
    output = capsys.readouterr().out
    assert output.index("scikit-learn's MLP is trained") < output.index("held-out score")
    assert "other programs kept this machine busy" in " ".join(output.split())
    assert report_of(in_folder / "diabetes.json")["compared"]["busy"] is True
    assert "Other programs kept the machine busy" in (in_folder / "diabetes.html").read_text()


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_trains_the_same_model(in_folder: Path, kind: str) -> None:
    frame = diabetes()
    write(frame, in_folder / "plain.csv")
    path = write(frame, in_folder / f"table.{kind}")
    arguments = ["--target", "progress", "--epochs", "3", "--quiet"]
    assert main(["train", "plain.csv", *arguments]) == 0
    assert main(["train", path.name, *arguments]) == 0
    plain, other = ((in_folder / f"{name}.safetensors").read_bytes() for name in ("plain", "table"))
    # But for the times of the epochs, which the history holds.
    assert main(["predict", "plain.safetensors", "plain.csv", "--output", "a.csv"]) == 0
    assert main(["predict", "table.safetensors", path.name, "--output", "b.csv"]) == 0
    assert (in_folder / "a.csv").read_bytes() == (in_folder / "b.csv").read_bytes()
    assert len(plain) == len(other)


@pytest.mark.parametrize(
    ("name", "accuracy"), [("wine", 0.9), ("breast_cancer", 0.93), ("digits", 0.95)]
)
def test_other_tables(in_folder: Path, name: str, accuracy: float) -> None:
    write_csv(in_folder / "table.csv", name)
    assert main(["train", "table.csv", "--target", "target", "--quiet"]) == 0
    report = report_of(in_folder / "table.json")
    assert "whole numbers of" in report["reason"]
    assert report["scores"]["model"]["accuracy"] >= accuracy


def test_options_reach_the_training(
    in_folder: Path, iris: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = "--task regression --hidden 7,5 --activation tanh --epochs 3 --batch-size 50"
    more = "--learning-rate 0.25 --seed 9 --test-fraction 0.5 --threads 3 --weight-decay 0"
    text = iris.read_text().replace("setosa", "0").replace("versicolor", "1")
    iris.write_text(text.replace("virginica", "2"))
    arguments = ["train", "iris.csv", "--target", "target", *options.split(), *more.split()]
    assert main([*arguments, "--dropout", "0.25", "--output", "m.safetensors"]) == 0
    found = fields(capsys.readouterr().out)
    assert found["task"] == "regression, because --task says so"
    assert found["network"].startswith("4-7-5-1, tanh; 81 parameters")
    assert "learning rate 0.25" in found["training"]
    assert found["training"].endswith("weight decay 0), batches of 50, 3 epochs")
    assert found["split"].endswith("75 held out (seed 9)")
    assert found["machine"].endswith(", 3 threads")
    assert found["weight decay 0"].endswith("(5 folds)")
    report = report_of(in_folder / "m.json")
    assert report["model"]["dropout"] == 0.25
    assert report["training"]["weight_decays_tried"] == [0.0]


def test_many_rows_are_stopped_early(
    in_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(diabetes(), in_folder / "table.csv")
    monkeypatch.setattr(recipe, "_MOST_ROWS_OF_FOLDS", 441)  # there are 442
    assert main(["train", "table.csv", "--target", "progress", "--epochs", "20"]) == 0
    found = fields(capsys.readouterr().out)
    assert found["split"] == (
        "442 rows: 300 to train on, 53 to say when to stop, 89 held out (seed 0)"
    )
    assert found["training"].endswith("up to 20 epochs, stopped early")
    assert "epoch 5/20" in found
    report = report_of(in_folder / "table.json")
    training, losses = report["training"], report["training"]["history"]["validation_loss"]
    assert report["split"]["folds"] == 0
    assert training["weight_decays_tried"] == [0.1, 1.0, 10.0]
    assert losses[training["best_epoch"] - 1] == min(losses)
    page = (in_folder / "table.html").read_text(encoding="utf-8")
    assert f"the network of epoch {training['best_epoch']} kept" in page
    assert "53 to say when to stop" in page


def test_precision(in_folder: Path, iris: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "iris.csv", "--target", "target", "--epochs", "3", "--weight-decay", "1"]
    losses = []
    for name in ("float32", "bf16x3", "bf16"):
        output = f"{name}.safetensors"
        assert main([*arguments, "--precision", name, "--output", output]) == 0
        found = fields(capsys.readouterr().out)
        suffix = "" if name == "float32" else f", products in {name}"
        assert found["network"].endswith(f"parameters in float32{suffix}")
        has_tiles = name == "float32" or cr.runtime.has_bf16_tiles()
        assert ("no bf16 tiles" in found["machine"]) is not has_tiles
        report = report_of(in_folder / f"{name}.json")
        assert report["model"]["precision"] == name
        losses.append(report["training"]["history"]["loss"][-1])
        assert pipeline.load(output).model.precision == name
        assert main(["evaluate", output, "iris.csv"]) == 0
        model = fields(capsys.readouterr().out)["model"]
        assert model.endswith(f"parameters in float32{suffix}")
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert losses[0] == pytest.approx(losses[2], rel=0.1)
    assert len(set(losses)) == 3
    # By the layers' sizes "auto" is float32 here, which is the default.
    assert main([*arguments, "--precision", "auto", "--output", "auto.safetensors"]) == 0
    assert main([*arguments]) == 0
    usual = report_of(in_folder / "iris.json")
    assert usual["model"]["precision"] == "float32"
    auto = report_of(in_folder / "auto.json")
    assert auto["training"]["history"] == usual["training"]["history"]
    capsys.readouterr()
    assert main([*arguments, "--force", "--precision", "float64"]) == 2
    assert "--precision: invalid choice: 'float64'" in capsys.readouterr().err


def test_shards(in_folder: Path, iris: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = "--target target --epochs 3 --weight-decay 1 --batch-size 100"
    given = ["train", "iris.csv", *options.split()]
    trained = {}
    for name, more in {
        "usual": [],
        "one": ["--shards", "1"],
        "three": ["--shards", "3"],
        "threads": ["--shards", "3", "--threads", "3"],
        "file": ["--config", "run.toml"],
        "before": ["--config", "run.toml", "--shards", "1"],  # the file
    }.items():
        (in_folder / "run.toml").write_text("shards = 3\n")
        output = f"{name}.safetensors"
        assert main([*given, *more, "--output", output]) == 0
        words = fields(capsys.readouterr().out)["training"]
        report = report_of(in_folder / f"{name}.json")
        model = pipeline.load(output).model
        assert model.recipe is not None
        shards = {"usual": None, "one": 1, "before": 1}.get(name, 3)
        assert report["training"]["shards"] == model.recipe["shards"] == shards
        told = {None: "", 1: " in 1 shard", 3: " in 3 shards"}[shards]
        assert (
            f"batches of 96{told}, 3 epochs" in words or f"batches of 100{told}, 3 epochs" in words
        )
        page = (in_folder / f"{name}.html").read_text(encoding="utf-8")
        assert re.search(rf"of 100 rows{told}<", page)
        trained[name] = model.parameters.tobytes()
    assert trained["three"] == trained["threads"] == trained["file"]
    assert trained["one"] == trained["before"]
    assert len(set(trained.values())) == 3
    for wrong in ("0", "1025", "two"):
        assert main([*given, "--shards", wrong]) == 2
        assert "--shards: " in capsys.readouterr().err


@pytest.mark.pictures
def test_no_hidden_layer_and_one_epoch(
    in_folder: Path, iris: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(f"train {iris} --target target --hidden none --epochs 1 --compare".split()) == 0
    assert fields(capsys.readouterr().out)["network"].startswith("4-3, relu; 15 parameters")


def test_the_same_for_any_number_of_threads_but_not_for_another_seed(
    in_folder: Path, iris: Path
) -> None:
    found = []
    for i, (seed, threads) in enumerate([(5, 1), (5, 3), (6, 1)]):
        options = f"--seed {seed} --threads {threads} --epochs 20 --quiet --output m{i}.safetensors"
        assert main(f"train {iris} --target target {options}".split()) == 0
        assert (
            main(f"predict m{i}.safetensors {iris} --output {i}.csv --probabilities".split()) == 0
        )
        found.append((in_folder / f"{i}.csv").read_bytes())
    assert found[0] == found[1] != found[2]


def test_time_column_and_ignored_columns(in_folder: Path) -> None:
    write(cancer(), in_folder / "cancer.feather")
    options = "--time-column visit --ignore clinic --categorical smokes --epochs 5 --quiet"
    assert main(f"train cancer.feather --target diagnosis {options}".split()) == 0
    report = report_of(in_folder / "cancer.json")
    assert report["split"]["how"] == "the last by 'visit'"
    assert report["data"]["left_out"]["clinic"] == "as --ignore says"
    assert report["data"]["unusable_rows"]["without a time"] > 0
    kinds = {item["name"]: item["kind"] for item in report["data"]["columns"]}
    assert kinds["smokes"] == "categorical"


@pytest.mark.pictures
def test_names_that_are_no_names(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Formulas, markup, other scripts: in the table's name, its columns and its classes."""
    frame = pd.DataFrame(
        {
            "$\\frac{$": np.arange(60.0) % 7,
            "<script>alert(1)</script>": [*"abc"] * 20,
            "花 & 'x' \"y\"": np.arange(60.0),
            "a very long name of a column, longer than a line of a terminal has room for it": [
                True,
                False,
            ]
            * 30,
        }
    )
    frame["</title>"] = ["<i>one</i>", "$two$"] * 30
    path = write(frame, in_folder / "a$\\frac{$ 花.csv")
    assert main(["train", path.name, "--target", "</title>", "--epochs", "2"]) == 0
    assert "花" in capsys.readouterr().out
    assert (in_folder / "a$\\frac{$ 花.safetensors").exists()


# --- outputs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["safetensors", "json", "html"])
def test_an_output_is_replaced_with_force_alone(
    in_folder: Path, iris: Path, capsys: pytest.CaptureFixture[str], which: str
) -> None:
    (in_folder / f"iris.{which}").write_text("mine")
    arguments = ["train", "iris.csv", "--target", "target", "--epochs", "1", "--quiet"]
    assert main(arguments) == 2
    assert f"--output iris.{which}: it exists; give --force" in capsys.readouterr().err
    assert (in_folder / f"iris.{which}").read_text() == "mine"
    assert len(list(in_folder.iterdir())) == 2
    assert main([*arguments, "--force"]) == 0
    assert (in_folder / f"iris.{which}").read_bytes() != b"mine"


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("model.bin", "expected a name that ends in .safetensors"),
        ("no/model.safetensors", "there is no folder no"),
        ("folder.safetensors", "it is a folder"),
        ("table.safetensors", "it is the file to read, which is never written to"),
    ],
)
def test_refused_outputs(
    in_folder: Path, iris: Path, capsys: pytest.CaptureFixture[str], output: str, message: str
) -> None:
    (in_folder / "folder.safetensors").mkdir()
    table = iris.rename(in_folder / "table.safetensors")
    before = table.read_bytes()
    arguments = f"train {table.name} --target target --force --output {output}"
    assert main(arguments.split()) == 2
    assert message in capsys.readouterr().err
    assert table.read_bytes() == before


def test_divergence_is_one_line(
    in_folder: Path, iris: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(f"train {iris} --target target --learning-rate 1e36 --quiet".split()) == 1
    captured = capsys.readouterr()
    assert re.fullmatch(
        r"chainrule: error: the \w+ became infinite or NaN in epoch \d+, batch \d+; "
        r"try a lower --learning-rate than 1e\+36\n",
        captured.err,
    )
    assert [path.name for path in in_folder.iterdir()] == ["iris.csv"]


# --- TOML ----------------------------------------------------------------------------------------


def test_options_from_a_file(
    in_folder: Path, iris: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (in_folder / "run.toml").write_text(
        'target = "target"\nhidden = [7, 5]\nepochs = 4\nlearning_rate = 1e-2\nweight-decay = 2\n'
        'ignore = ["petal width (cm)"]\nmissing = "?"\nquiet = false\noutput = "m.safetensors"\n'
        "seed = 3\n"
    )
    assert main(["train", "iris.csv", "--config", "run.toml", "--epochs", "2"]) == 0
    found = fields(capsys.readouterr().out)
    assert found["network"].startswith("3-7-5-3, relu")
    assert "learning rate 0.01" in found["training"]
    assert found["training"].endswith("weight decay 2), batches of 32, 2 epochs")
    assert found["model"] == "m.safetensors"
    assert "seed 3" in found["split"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", r"run.toml: 'epoch' is no option of chainrule train \(did you mean epochs"),
        ("config = 'x'", "run.toml: 'config' is no option"),
        ("file = 'x'", "run.toml: 'file' is no option"),
        ("[train]\nepochs = 3", "run.toml: 'train' is no option"),
        ("epochs = 0", "run.toml: epochs: '0': expected a whole number of at least 1"),
        ("epochs = true", "run.toml: epochs: 'True': expected a number or a text"),
        ("epochs = [1.5]", "run.toml: epochs: .* expected a number or a text"),
        ("hidden = [8, 0]", "run.toml: hidden: '8,0': expected widths"),
        ("force = 1", "run.toml: force: '1': expected true or false"),
        ("ignore = [1]", "run.toml: ignore: .* expected a text or a list of texts"),
        ("shards = 0", "run.toml: shards: '0': expected "),
        ("precision = 'half'", "run.toml: precision: 'half': expected one of float32, bf16x6"),
        ("task = 'ranking'", "run.toml: task: 'ranking': expected one of classification"),
        ("epochs = ", r"--config run.toml is not TOML: ."),
        ("plot = 'x.png'", "--plot goes without a file"),
    ],
)
def test_refused_files_of_options(
    in_folder: Path, iris: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    (in_folder / "run.toml").write_text(text)
    assert main(["train", "iris.csv", "--target", "target", "--config", "run.toml"]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert error.count("\n") == 1
    assert main(["train", "iris.csv", "--target", "target", "--config", "none.toml"]) == 2
    assert "--config none.toml cannot be read: No such file" in capsys.readouterr().err


# --- Ctrl-C, full disks --------------------------------------------------------------------------

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
        assert errors == (
            "chainrule: interrupted; the training has not ended and nothing was written\n"
        )
        assert [path.name for path in tmp_path.iterdir()] == ["iris.csv"]

    def test_full_disk(tmp_path: Path, iris: Path) -> None:
        import resource

        result = subprocess.run(
            [sys.executable, "-m", "chainrule", "train", "iris.csv", "--target", "target"],
            cwd=tmp_path,
            capture_output=True,
            encoding="utf-8",
            timeout=300,
            # No file may have more than 4 KB: writing ends as on a full disk.
            preexec_fn=lambda: (
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
                resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
            ),
        )
        assert result.returncode == 1
        assert result.stderr == (
            "chainrule: error: iris.safetensors cannot be written: File too large\n"
        )
        assert [path.name for path in tmp_path.iterdir()] == ["iris.csv"]

    @pytest.mark.parametrize("arguments", ["info", "--help", "train --help", "train --epochs 1"])
    def test_output_that_is_full(tmp_path: Path, arguments: str) -> None:
        with open("/dev/full", "w") as full:
            result = subprocess.run(
                [sys.executable, "-m", "chainrule", *arguments.split()],
                cwd=tmp_path,
                stdout=full,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                timeout=300,
            )
        assert result.returncode == 1
        assert result.stderr == (
            "chainrule: error: standard output cannot be written: No space left on device\n"
        )
