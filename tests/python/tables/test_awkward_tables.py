"""Tables, names and streams as they come: blank cells, pipes, other locales, huge numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import fields

from chainrule._cli import main
from chainrule._command import building, delimited
from chainrule._command import train as train_module
from chainrule._command.errors import UsageError
from chainrule._command.kinds import as_kind
from chainrule._command.preparation import prepare
from chainrule._command.source import open_source
from chainrule._command.table import Choices, Table, read_table

N_ROWS = 40
# Train on these in a moment.
OPTIONS = ("--target", "y", "--epochs", "1", "--weight-decay", "1", "--quiet")


def rows(cells: list[str]) -> str:
    """Return a table of a number, a target, and a column x that repeats these cells."""
    return "a,y,x\n" + "".join(
        f"{i},{'uv'[i % 2]},{cells[i % len(cells)]}\n" for i in range(N_ROWS)
    )


def read(tmp_path: Path, text: str, choices: Choices | None = None) -> Table:
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8")
    return read_table(str(path), "y", choices or Choices())


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- what is missing -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "choices"),
    [
        ([""], Choices(categorical=("x",))),
        (['"  "'], Choices()),
        (['"  "'], Choices(categorical=("x",))),
        (["inf", "-inf"], Choices()),
        (["? "], Choices(missing=("?",))),
    ],
)
def test_a_column_without_values_is_left_out(
    tmp_path: Path, cells: list[str], choices: Choices
) -> None:
    found = read(tmp_path, rows(cells), choices)
    assert found.left_out == {"x": "every value is missing"}


def test_a_column_of_nan_in_parquet_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    columns = {"y": ["u", "v"] * 20, "a": range(N_ROWS), "x": [np.nan] * N_ROWS}
    pq.write_table(pa.table(columns), path)
    found = read_table(str(path), "y", Choices())
    assert found.left_out == {"x": "every value is missing"}


def test_blanks_in_quotes_leave_numbers_and_dates_what_they_are(tmp_path: Path) -> None:
    found = read(tmp_path, rows(['" "', "1.5", '"2.5 "', "-1"])).columns["x"]
    assert found.kind == "numeric"
    np.testing.assert_array_equal(found.values[:4], [np.nan, 1.5, 2.5, -1])
    found = read(tmp_path, rows(['"  "', "1970-01-02", "1970-01-03"])).columns["x"]
    assert found.kind == "date"
    np.testing.assert_array_equal(found.values[:3], [np.nan, 86400, 172800])


def test_words_for_missing_values_may_have_blanks_around_them(tmp_path: Path) -> None:
    found = read(tmp_path, rows(["? ", "1", '" ?"', "2"]), Choices(missing=("?",))).columns["x"]
    assert found.kind == "numeric"
    np.testing.assert_array_equal(found.values[:4], [np.nan, 1, np.nan, 2])


def test_delimiters_at_the_end_of_every_line(tmp_path: Path) -> None:
    """As the air quality of an Italian town has them, with lines of delimiters alone at its end."""
    plain = "a;y;x\n" + "".join(f"{i};{i % 2};{i % 7}\n" for i in range(50))
    text = plain.replace("\n", ";;\n") + ";;;;\n" * 5
    found, expected = (
        read(tmp_path, text, Choices(keep=("a",))),
        read(tmp_path, plain, Choices(keep=("a",))),
    )
    assert [*found.columns] == [*expected.columns] == ["a", "y", "x"]
    for name, column in expected.columns.items():
        np.testing.assert_array_equal(found.columns[name].values[:50], column.values)
        assert found.columns[name].missing()[50:].all()
    with pytest.raises(UsageError, match="column 5 has no name in the header"):
        read(tmp_path, text.replace("8;0;1;;", "8;0;1;;7"))
    with pytest.raises(UsageError, match="line 10: 4 fields, but the header has 5"):
        read(tmp_path, text.replace("8;0;1;;", "8;0;1;"))
    with pytest.raises(UsageError, match="column 2 has no name in the header"):
        read(tmp_path, text.replace("a;y;x", "a;;y;x"))


# --- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", ["2,5", "7", "unknown"])
def test_decimal_commas_are_no_names(tmp_path: Path, other: str) -> None:
    text = rows(["1,5", "0,25", "-3,5", other]).replace(",u,", ";u;").replace(",v,", ";v;")
    message = r"line 2, column 'x': '1,5' is text in a column of decimal commas; write decimals"
    with pytest.raises(UsageError, match=message):
        read(tmp_path, text.replace("a,y,x", "a;y;x"))
    kept = read(tmp_path, text.replace("a,y,x", "a;y;x"), Choices(categorical=("x",)))
    assert kept.columns["x"].categories == sorted({"1,5", "0,25", "-3,5", other})


@pytest.mark.parametrize("cells_of_chunk", [0, 1_000_000])
def test_a_slip_among_more_numbers_than_texts_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cells_of_chunk: int
) -> None:
    """In the first chunk and in a later one: the column must not just be left out."""
    monkeypatch.setattr(building, "_MOST_TEXTS", 500)
    monkeypatch.setattr(delimited, "_CELLS_OF_CHUNK", cells_of_chunk)
    numbers = [f"{i / 64}" for i in range(2500)]

    def column(cells: list[str]) -> str:
        return "y;a;x\n" + "".join(f"{i % 2};{i % 5};{cell}\n" for i, cell in enumerate(cells))

    for place in (3, 2400):
        text = column([*numbers[:place], "unknown", *numbers[place:]])
        message = rf"line {place + 2}, column 'x': 'unknown' is text in a column of numbers \(1 row"
        with pytest.raises(UsageError, match=rf"{message} of 2,501\); correct it, or give --miss"):
            read(tmp_path, text)
        found = read(tmp_path, text, Choices(missing=("unknown",)))
        assert np.isnan(found.columns["x"].values[place])
    with pytest.raises(
        UsageError, match="line 2, column 'x': '0,0' is text in a column of decimal"
    ):
        read(tmp_path, column([number.replace(".", ",") for number in numbers]))
    # Most of them are no numbers.
    mixed = read(tmp_path, column([f"{'A' * (i % 3 > 0)}{n}" for i, n in enumerate(numbers)]))
    assert mixed.left_out == {"x": "more than 500 distinct texts"}


def test_whole_numbers_that_floats_do_not_tell_apart(tmp_path: Path) -> None:
    large = [2**53 + i % 3 for i in range(N_ROWS)]
    paths = [tmp_path / "t.csv", tmp_path / "t.parquet"]
    frame = pd.DataFrame({"a": range(N_ROWS), "y": large})
    frame.to_csv(paths[0], index=False)
    frame.to_parquet(paths[1])
    for path in map(str, paths):
        with pytest.raises(UsageError, match=r"2\^53 and more.*give --categorical 'y' if they are"):
            prepare(path, "y", Choices(), None, 0.2, 0, None)
        named = prepare(path, "y", Choices(categorical=("y",)), None, 0.2, 0, None)
        assert named.target.classes == tuple(str(2**53 + i) for i in range(3))
        values = prepare(path, "y", Choices(), "regression", 0.2, 0, None)
        assert values.target.task == "regression"


def test_columns_of_parquet_may_have_numbers_for_names(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"0": range(N_ROWS), "1": range(N_ROWS)}), path)
    assert list(read_table(str(path), "1", Choices()).columns) == ["0", "1"]


def test_the_place_of_a_date_that_does_not_exist(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("d,z\n2020-01-01,1\n2020-02-30,1\n2020-02-01,1\n")
    source = open_source(str(path))
    (chunk,) = source.chunks(["d"], {"d": "date"})
    with pytest.raises(UsageError, match=r"line 3, column 'd': '2020-02-30' is not a date"):
        as_kind(source, "d", chunk, "date")


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["t.gz", "t.csv.zip", "t.csv.bz2"])
def test_a_name_does_not_make_a_file_compressed(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(rows(["1", "2"]))
    assert read_table(str(tmp_path / name), "y", Choices()).n_rows == N_ROWS


if os.name == "posix":

    def test_pipes_and_devices_are_not_read(tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
        for path in (str(tmp_path / "pipe"), "/dev/zero", "/dev/null"):
            with pytest.raises(UsageError, match="is a pipe or a device, expected a file"):
                read_table(path, "y", Choices())

    @pytest.mark.pictures
    def test_a_file_name_that_is_no_text(in_folder: Path) -> None:
        path = os.fsdecode(b"t\xff.csv")
        Path(path).write_text(rows(["1", "2"]))
        assert main(["train", path, *OPTIONS]) == 0
        model, report = os.fsdecode(b"t\xff.safetensors"), os.fsdecode(b"t\xff.json")
        assert json.loads(Path(report).read_text())["data"]["file"] == "t\\udcff.csv"
        assert Path(os.fsdecode(b"t\xff.html")).read_text().count("t\\udcff.csv") >= 1
        assert main(["evaluate", model, path, "--quiet", "--json", "e.json"]) == 0
        assert json.loads(Path("e.json").read_text())["file"] == "t\\udcff.csv"

    @pytest.mark.parametrize("stream", ["1", "2"])
    def test_streams_that_are_closed(stream: str) -> None:
        command = f'exec "{sys.executable}" -m chainrule info {stream}>&-'
        result = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
        assert result.returncode == 0
        assert result.stderr == ""
        assert result.stdout.startswith("chainrule" if stream == "2" else "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_predictions_are_utf_8_in_every_locale(in_folder: Path, encoding: str) -> None:
    (in_folder / "t.csv").write_text(rows(["1", "2"]).replace(",u,", ",日本,"), encoding="utf-8")
    assert main(["train", "t.csv", *OPTIONS]) == 0
    command = [sys.executable, "-m", "chainrule", "predict", "t.safetensors", "t.csv"]
    result = subprocess.run(
        command,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert main(["predict", "t.safetensors", "t.csv", "--output", "p.csv"]) == 0
    assert result.stdout == (in_folder / "p.csv").read_bytes()
    assert "日本" in result.stdout.decode("utf-8")


# --- options and interrupts ----------------------------------------------------------------------


def test_defaults_on_the_command_line_go_before_the_file_of_options(
    in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (in_folder / "t.csv").write_text(rows(["1", "2"]))
    (in_folder / "run.toml").write_text("seed = 3\ntest-fraction = 0.5\nepochs = 1\n")
    arguments = ["train", "t.csv", "--target", "y", "--config", "run.toml", "--force"]
    assert main(arguments) == 0
    split = fields(capsys.readouterr().out)["split"]
    assert "20 held out (seed 3" in split
    assert main([*arguments, "--seed", "0", "--test-fraction", "0.2"]) == 0
    split = fields(capsys.readouterr().out)["split"]
    assert "8 held out (seed 0" in split
    (in_folder / "run.toml").write_text("no-reference = true\n")
    assert main(["train", "--config", "run.toml"]) == 2
    assert "'no-reference' is no option" in capsys.readouterr().err


def test_an_interrupt_after_the_model_says_what_was_written(
    in_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    (in_folder / "t.csv").write_text(rows(["1", "2"]))
    monkeypatch.setattr(train_module, "write_file", interrupt)
    assert main(["train", "t.csv", *OPTIONS]) == 130
    said = capsys.readouterr().err
    assert said == ("chainrule: interrupted; t.safetensors was written, its reports were not\n")
    assert (in_folder / "t.safetensors").exists()
