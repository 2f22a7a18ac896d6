"""The command on tables with dates: the same scores, however they are written; models; reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command_line import fields
from date_cases import WAYS, visits, written

from chainrule._cli import main
from chainrule._command.encoding import DateStep
from chainrule._command.errors import UsageError
from chainrule._command.pipeline import KIND, load
from chainrule._command.preparation import prepare
from chainrule._command.table import Choices
from chainrule._files import container

OPTIONS = ("--target", "y", "--epochs", "8", "--weight-decay", "1")


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- the same, however it is written -------------------------------------------------------------


def test_every_way_gives_the_same_features_and_scores(
    in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = written(in_folder)
    typed = prepare(names[0], "y", Choices(), None, 0.2, 0, None)
    assert typed.train.X.shape[1] == 9  # trend and gaps; year, week and day; a
    said = set()
    for name in names:
        found = prepare(name, "y", Choices(), None, 0.2, 0, None)
        for part in ("train", "held_out"):
            ours, theirs = getattr(found, part), getattr(typed, part)
            assert ours.X.tobytes() == theirs.X.tobytes(), name
            assert ours.y.tobytes() == theirs.y.tobytes(), name
    for name in ("typed.parquet", "iso.csv", "european.csv", "american.csv", "words.parquet"):
        assert main(["train", name, *OPTIONS, "--quiet", "--force"]) == 0
        said.add(capsys.readouterr().out.partition("\nmodel")[0])
    assert len(said) == 1
    assert float(said.pop().split("R²")[1].split()[0]) > 0.5


def test_models_read_what_they_learned_from(
    in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = written(in_folder)
    predictions = {}
    for name in ("typed.parquet", "european.csv", "american.csv", "epoch.csv"):
        assert main(["train", name, *OPTIONS, "--output", "m.safetensors", "--force"]) == 0
        step = load("m.safetensors").encoding.steps["when"]
        assert isinstance(step, DateStep)
        assert step.date_format == {
            **WAYS, "typed.parquet": "iso", "epoch.csv": "seconds"
        }[name]  # fmt: skip
        for other in (name, "typed.parquet"):  # a type needs no format
            assert main(["predict", "m.safetensors", other, "--output", "p.csv", "--force"]) == 0
            predictions[name, other] = Path("p.csv").read_bytes()
    assert len(set(predictions.values())) == 1
    capsys.readouterr()
    # The last one knows seconds; other ways are told and, when told, read.
    for name in ("european.csv", "iso.csv", "words.parquet", "text.arrows"):
        for command in ("predict", "evaluate"):
            assert main([command, "m.safetensors", name]) == 2
        error = capsys.readouterr().err.splitlines()[0]
        assert "is not a date as 1795352700 (seconds since 1970), as the column held" in error
        option = error.split("give --date-format ")[1].strip().strip("'")
        arguments = ["m.safetensors", name, "--date-format", option]
        assert main(["predict", *arguments, "--output", "p.csv", "--force"]) == 0
        assert Path("p.csv").read_bytes() == predictions["epoch.csv", "epoch.csv"]
        assert main(["evaluate", *arguments]) == 0
        capsys.readouterr()
    assert len(names) == 10


def test_values_that_do_not_fit_at_predict(
    in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(in_folder)
    assert main(["train", "european.csv", *OPTIONS, "--quiet"]) == 0
    lines = Path("european.csv").read_text().splitlines()
    lines[3] = "30/02/2022 10:00,0,0"
    Path("t.csv").write_text("\n".join(lines) + "\n")
    assert main(["predict", "european.safetensors", "t.csv"]) == 2
    error = capsys.readouterr().err
    assert "t.csv, line 4, column 'when': '30/02/2022 10:00' is not a date as" in error
    assert "22/11/2026 13:05 (%d/%m/%Y %H:%M), as the column held in training\n" in error
    Path("t.csv").write_text("when,a\n 31/12/2022 10:00 ,1\n,1\nNA,1\n")
    assert main(["predict", "european.safetensors", "t.csv"]) == 0
    first, second, third = capsys.readouterr().out.splitlines()[1:]
    assert first != second == third
    # American ones that are said for what they are.
    assert main(["predict", "european.safetensors", "american.csv"]) == 2
    error = capsys.readouterr().err
    assert "here it reads as %m/%d/%Y %I:%M %p, month first: give --date-format" in error
    # Days, and seconds since 1970, written as numbers.
    days = [20220101 + i for i in range(20)]
    for numbers, words in ((days, "%Y%m%d"), (range(1641031200, 1641038400, 600), "seconds")):
        Path("t2.csv").write_text("when,a\n" + "".join(f"{n},1\n" for n in numbers))
        assert main(["predict", "european.safetensors", "t2.csv"]) == 2
        hint = f"here it reads as {words}"
        error = capsys.readouterr().err
        assert hint in error
        assert error.endswith(f": give --date-format when={words}\n")
        given = ["--date-format", f"when={words}", "--quiet"]
        assert main(["predict", "european.safetensors", "t2.csv", *given]) == 0
        assert len(capsys.readouterr().out.splitlines()) == len(numbers) + 1
    assert main(["predict", "european.safetensors", "t.csv", "--date-format", "when=%H:%M"]) == 2
    assert "'when=%H:%M': the column held dates in training" in capsys.readouterr().err
    assert main(["predict", "european.safetensors", "t.csv", "--date-format", "a=iso"]) == 2
    assert "'a=iso': the column held no dates in training" in capsys.readouterr().err
    assert main(["predict", "european.safetensors", "t.csv", "--date-format", "%H:%M"]) == 2
    assert "the model has no column of such dates" in capsys.readouterr().err


def test_files_from_before_there_were_formats(in_folder: Path) -> None:
    written(in_folder)
    assert main(["train", "iso.csv", *OPTIONS, "--quiet"]) == 0
    contents = container.read("iso.safetensors", KIND)
    inner: Any = contents.metadata
    (step,) = (step for step in inner["columns"] if step["type"] == "date")
    assert step.pop("date_format") == "iso"
    container.write("old.safetensors", KIND, contents.metadata, contents.tensors)
    assert load("old.safetensors").encoding == load("iso.safetensors").encoding
    for name in ("old", "iso"):
        assert main(["predict", f"{name}.safetensors", "iso.csv", "--output", f"{name}_p.csv"]) == 0
    assert Path("old_p.csv").read_bytes() == Path("iso_p.csv").read_bytes()
    for wrong in ("%Q", "", 3, None):
        step["date_format"] = wrong
        container.write("wrong.safetensors", KIND, contents.metadata, contents.tensors)
        with pytest.raises(UsageError, match="does not hold what it should"):
            load("wrong.safetensors")
        Path("wrong.safetensors").unlink()


# --- the command ---------------------------------------------------------------------------------


def test_output_reports_and_options(
    in_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    rng = np.random.default_rng(0)
    n = 80
    frame = pd.DataFrame(
        {
            "the day": [f"{i % 12 + 1:02}/{i * 5 % 12 + 1:02}/2024" for i in range(n)],
            "time": [f"{i % 24:02}.30.00" for i in range(n)],
            "y": rng.normal(size=n),
        }
    )
    frame.to_csv("t.csv", index=False, sep=";")
    assert main(["train", "t.csv", *OPTIONS]) == 0
    printed = capsys.readouterr().out
    said = fields(printed)
    assert said["'the day'"].startswith("date (%m/%d/%Y, month first): days, standardized; ")
    assert said["'time'"] == "date (%H.%M.%S): time of day, standardized; circle of day"
    notes = json.loads(Path("t.json").read_text())["data"]["notes"]
    assert notes[-1] == "held out at random; --time-column 'the day' holds out the last rows"
    assert notes[-1] in printed
    assert "%m/%d/%Y is assumed (--date-format 'the day=%d/%m/%Y' reads it otherwise)" in notes[0]
    columns = json.loads(Path("t.json").read_text())["data"]["columns"]
    assert [each["date_format"] for each in columns] == ["%m/%d/%Y, month first", "%H.%M.%S"]
    assert "date, %m/%d/%Y, month first" in Path("t.html").read_text(encoding="utf-8")

    Path("run.toml").write_text('date-format = ["the day=%d/%m/%Y"]\ntime-column = "the day"\n')
    assert main(["train", "t.csv", *OPTIONS, "--config", "run.toml", "--force"]) == 0
    said = fields(capsys.readouterr().out)
    assert said["'the day'"].startswith("date (%d/%m/%Y, day first): circle")
    assert "held out at random" not in said.get("note", "")
    assert "the last by 'the day'" in said["split"]
    assert main(["train", "--date-format", "iso"]) == 2
    assert "--date-format goes with a file" in capsys.readouterr().err


def test_times_alone_do_not_divide_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("y,x\n" + "".join(f"{i / 3},{i % 24}:30\n" for i in range(48)))
    found = prepare(str(path), "y", Choices(), None, 0.2, 0, None)
    assert found.notes == []
    assert found.train.X.shape[1] == 3
    # A circle: half past eleven is as near to midnight as half past one.
    step = found.encoding.steps["x"]
    assert isinstance(step, DateStep)
    assert step.circles == ("day",)


def test_a_time_column_of_two_formats_says_them(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    cells = [f"{i % 28 + 1}/12/{2000 + i}" for i in range(40)]
    cells[7] = "2001-12-31"
    path.write_text(
        "y,a,x\n" + "".join(f"{i / 3},{i / 7},{cell}\n" for i, cell in enumerate(cells))
    )
    message = (
        "'x' of .* holds categorical values.*one format, as '.*first.*'2001-12-31' \\(ISO 8601"
    )
    with pytest.raises(UsageError, match=message):
        prepare(str(path), "y", Choices(), None, 0.2, 0, "x")


def test_targets_of_dates_are_refused_and_of_times_are_classes(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for cell, message in (
        ("{}/12/2024", "holds dates, which cannot be predicted"),
        ("1{}:00", None),
    ):
        rows = "".join(f"{i % 7},{cell.format(i % 3 + 1)}\n" for i in range(30))
        path.write_text("a,y\n" + rows)
        if message is None:
            assert len(prepare(str(path), "y", Choices(), None, 0.2, 0, None).target.classes) == 3
            continue
        with pytest.raises(UsageError, match=message):
            prepare(str(path), "y", Choices(), None, 0.2, 0, None)


def test_exports_of_dates(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Inputs are seconds, whatever the training table held."""
    written(in_folder)
    for name in ("typed.parquet", "european.csv"):
        assert main(["train", name, *OPTIONS, "--output", "m.safetensors", "--force"]) == 0
        for output in ("m.onnx", "m.c"):
            assert main(["export", "m.safetensors", output, "--force"]) == 0
    session = __import__("onnxruntime").InferenceSession("m.onnx")
    frame = visits()
    seconds = frame["when"].astype("datetime64[s]").astype("int64").to_numpy(np.float64)
    seconds[frame["when"].isna()] = np.nan
    inputs = {"when": seconds[:, None], "a": frame[["a"]].to_numpy(np.float64)}
    (values,) = session.run(None, inputs)
    assert main(["predict", "m.safetensors", "european.csv", "--output", "p.csv"]) == 0
    np.testing.assert_allclose(values[:, 0], pd.read_csv("p.csv")["y"], rtol=1e-4, atol=1e-5)
    capsys.readouterr()
