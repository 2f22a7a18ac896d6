"""What stands for a missing value: the same in every chunk, and in train, evaluate and predict."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from chainrule._cli import main
from chainrule._command import delimited
from chainrule._command.errors import UsageError
from chainrule._command.marks import USUAL, Marks
from chainrule._command.source import open_source
from chainrule._command.table import Choices, read_table

OPTIONS = ("--target", "y", "--epochs", "1", "--weight-decay", "1")


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, targets: list[str], features: list[str] | None = None, n: int = 60) -> str:
    features = features or ["1", "2", "NA"]
    rows = (f"{i},{features[i % len(features)]},{targets[i % len(targets)]}\n" for i in range(n))
    path.write_text("i,x,y\n" + "".join(rows))
    return str(path)


def test_the_list_is_in_the_documentation() -> None:
    text = (Path(__file__).parents[3] / "docs" / "command.md").read_text(encoding="utf-8")
    for mark in filter(None, USUAL):
        assert f"`{mark}`" in text


@pytest.mark.parametrize("mark", USUAL)
def test_every_mark_in_numbers_texts_dates_and_booleans(tmp_path: Path, mark: str) -> None:
    for values, kind in (
        (["1.5", "2"], "numeric"),
        (["u", "v"], "categorical"),
        (["2020-01-02", "2020-01-03"], "date"),
        (["true", "false"], "boolean"),
    ):
        cells = [*values, mark, f'"{mark} "']
        path = write(tmp_path / "t.csv", cells if kind != "date" else ["u", "v"], cells)
        columns = read_table(path, "y", Choices()).columns
        for name in ("x", "y") if kind != "date" else ("x",):
            assert columns[name].kind == kind
            np.testing.assert_array_equal(columns[name].missing(), np.arange(60) % 4 >= 2)


def test_words_beside_integers_beyond_2_to_the_64(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", ["u", "v"], ["word", "NA", str(2**70), "None", "-1"])
    column = read_table(path, "y", Choices(categorical=("x",))).columns["x"]
    assert column.categories == ["-1", str(2**70), "word"]
    (chunk,) = open_source(path).chunks(["x"], {})
    assert chunk.columns["x"].categories == ["-1", str(2**70), "word"]


def test_the_same_in_every_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "_CELLS_OF_CHUNK", 3)
    path = tmp_path / "t.csv"
    # The first chunk of 1,000 rows holds numbers, the second words beside large integers.
    cells = ["7", "NA"] * 500 + ["word", "NA", str(2**70), "8"] * 250
    path.write_text("x,y\n" + "".join(f"{cell},{'uv'[i % 2]}\n" for i, cell in enumerate(cells)))
    column = read_table(str(path), "y", Choices(categorical=("x",))).columns["x"]
    assert set(column.categories) == {"7", "8", str(2**70), "word"}
    assert column.missing().sum() == 750


def test_classes_that_look_missing_are_said(
    in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(in_folder / "t.csv", ["None", "minor", "major", "NA", "", "minor"])
    assert main(["train", "t.csv", *OPTIONS]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "30 rows without a target" in printed
    said = "'NA' (10 rows) and 'None' (10 rows) in the target taken for missing"
    assert f"note {said}; if that is a class, give --not-missing" in printed
    report = json.loads(Path("t.json").read_text())
    assert report["data"]["notes"] == [f"{said}; if that is a class, give --not-missing"]
    assert said.replace("'", "&#x27;") in Path("t.html").read_text()
    assert main(["evaluate", "t.safetensors", "t.csv", "--json", "e.json"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert said in printed
    assert json.loads(Path("e.json").read_text())["rows_without_target"] == 30


def test_classes_that_are_not_missing(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(in_folder / "t.csv", ["None", "minor", "major", "NA", "", "1"])
    Path("t.toml").write_text('not-missing = ["None"]\n')
    assert main(["train", "t.csv", *OPTIONS, "--config", "t.toml"]) == 0
    assert "'NA' (10 rows) in the target taken for missing" in capsys.readouterr().out
    report = json.loads(Path("t.json").read_text())
    assert report["target"]["classes"] == ["1", "None", "major", "minor"]
    assert report["data"]["unusable_rows"] == {"without a target": 20}
    # Of the features, the same word is still a mark.
    assert {column["name"]: column["missing"] for column in report["data"]["columns"]}["x"] == 20
    assert main(["evaluate", "t.safetensors", "t.csv", "--json", "e.json"]) == 0
    found = json.loads(Path("e.json").read_text())
    assert (found["rows_scored"], found["rows_without_target"]) == (40, 20)
    assert found["rows_of_unknown_class"] == 0
    assert main(["predict", "t.safetensors", "t.csv", "--output", "p.csv"]) == 0
    lines = Path("p.csv").read_text().splitlines()[1:]
    assert len(lines) == 60
    assert {line.split(",")[0] for line in lines} <= {"1", "None", "major", "minor"}


def test_numbers_are_marks_in_the_target_however_they_are_written(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", ["-999", "1.5", "2.5", "-999.0", "NaN"])
    column = read_table(path, "y", Choices(missing=("-999",))).columns["y"]
    np.testing.assert_array_equal(column.missing()[:5], [True, False, False, True, True])


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (Choices(not_missing=("nothing",)), "--not-missing 'nothing': expected a text that stands"),
        (Choices(not_missing=("",)), "--not-missing '': expected a text"),
        (Choices(missing=("NA",), not_missing=("NA",)), "'NA' is both --missing and --not-missing"),
    ],
)
def test_wrong_choices(tmp_path: Path, choices: Choices, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_table(write(tmp_path / "t.csv", ["u", "v"]), "y", choices)


def test_what_marks_say_of_other_columns() -> None:
    marks = Marks(("?",), "y", ("None",))
    assert marks.of("y") == {*USUAL, "?"} - {"None"}
    assert marks.of("x") == {*USUAL, "?"}
