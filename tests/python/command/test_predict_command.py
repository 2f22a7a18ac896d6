"""The commands `chainrule predict` and `chainrule evaluate`, and the files of models between."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command_line import run
from tables import FORMATS, cancer, diabetes, write

from chainrule._cli import main
from chainrule._command import delimited
from chainrule._command.errors import UsageError
from chainrule._command.pipeline import KIND, load
from chainrule._files import container


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a classifier and a regressor of a table each."""
    folder = tmp_path_factory.mktemp("trained")
    for frame, name, target in ((cancer(), "c", "diagnosis"), (diabetes(), "d", "progress")):
        path = write(frame, folder / f"{name}.csv")
        options = f"--target {target} --epochs 30 --hidden 16 --quiet"
        arguments = ["train", str(path), *options.split()]
        assert main([*arguments, "--output", str(folder / f"{name}.safetensors")]) == 0
    return folder


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def predictions(*arguments: object, cwd: Path) -> pd.DataFrame:
    result = run("predict", *map(str, arguments), cwd=cwd)
    assert result.returncode == 0, result.stderr
    return pd.read_csv(io.StringIO(result.stdout))


def exact(path: Path) -> pd.DataFrame:
    """Read a column of numbers as Python reads them: to the last bit."""
    name, *values = path.read_text().splitlines()
    return pd.DataFrame({name: [float(value) for value in values]})


def failure(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


# --- predict -------------------------------------------------------------------------------------


def test_predictions_are_those_of_the_report(trained: Path, tmp_path: Path) -> None:
    """Bit for bit: the held-out scores come again from a file of the held-out rows alone."""
    for name, target in (("c", "diagnosis"), ("d", "progress")):
        report = json.loads((trained / f"{name}.json").read_text())
        frame = pd.read_csv(trained / f"{name}.csv")
        usable = np.flatnonzero(frame[target].notna())
        from sklearn.model_selection import train_test_split

        _, held_out = train_test_split(
            usable,
            test_size=report["split"]["held_out"],
            random_state=0,
            stratify=frame[target][usable] if name == "c" else None,
        )
        frame.iloc[np.sort(held_out)].to_csv(tmp_path / f"{name}.csv", index=False)
        model = trained / f"{name}.safetensors"
        result = run(*("evaluate", model, f"{name}.csv", "--json", f"{name}.json"), cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        again = json.loads((tmp_path / f"{name}.json").read_text())
        assert again["scores"] == report["scores"]
        assert again["confusion"] == report["confusion"]
        assert again["rows_scored"] == report["split"]["held_out"]


def test_classes_and_probabilities(trained: Path, tmp_path: Path) -> None:
    frame = predictions(
        trained / "c.safetensors", trained / "c.csv", "--probabilities", cwd=tmp_path
    )
    name = "diagnosis"
    assert list(frame.columns) == [
        *(name, f"{name}_probability"),
        *(f"{name}_probability_benign", f"{name}_probability_malignant"),
    ]
    assert len(frame) == 569
    np.testing.assert_allclose(frame.iloc[:, 2:].sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_array_equal(frame.iloc[:, 1], frame.iloc[:, 2:].max(axis=1))
    actual = cancer()[name]
    assert (frame[name] == actual)[actual.notna()].mean() > 0.9


def test_a_row_gets_the_same_bits_in_any_file(
    trained: Path, in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, frame in (("c", cancer()), ("d", diabetes())):
        model = trained / f"{name}.safetensors"
        assert main(["predict", str(model), str(trained / f"{name}.csv"), "--output", "w.csv"]) == 0
        lines = (in_folder / "w.csv").read_text().splitlines()
        rows = [0, 3, 41, len(frame) - 1]
        for kind in FORMATS:
            path = write(frame.iloc[rows], in_folder / f"few.{kind}")
            arguments = ["predict", str(model), str(path), "--output", "few_out.csv", "--force"]
            assert main([*arguments, "--threads", "1"]) == 0
            few = (in_folder / "few_out.csv").read_text().splitlines()
            assert few == [lines[0], *(lines[row + 1] for row in rows)]
        big = pd.concat([frame] * 4)
        write(big, in_folder / "big.csv")
        monkeypatch.setattr(delimited, "_CELLS_OF_CHUNK", 0)
        assert main(["predict", str(model), "big.csv", "--output", "b.csv", "--force"]) == 0
        assert (in_folder / "b.csv").read_text().splitlines() == [lines[0], *lines[1:] * 4]
        (in_folder / "w.csv").unlink()


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "pq"])
def test_outputs(trained: Path, in_folder: Path, suffix: str) -> None:
    table = (trained / "d.csv").read_bytes()
    arguments = f"predict {trained}/d.safetensors {trained}/d.csv --output out.{suffix}".split()
    assert main(arguments) == 0
    if suffix in ("parquet", "pq"):
        found = pd.read_parquet(f"out.{suffix}")
    else:
        found = exact(in_folder / f"out.{suffix}")
    whole = load(str(trained / "d.safetensors"))
    assert list(found.columns) == ["progress"]
    assert found["progress"].dtype == np.float64
    assert whole.target.classes == ()
    assert main(["predict", *arguments[1:3], "--output", "plain.csv"]) == 0
    plain = exact(in_folder / "plain.csv")
    np.testing.assert_array_equal(found["progress"], plain["progress"])
    assert (trained / "d.csv").read_bytes() == table


@pytest.mark.parametrize(
    ("values", "dtype"), [(["True", "False"], np.bool_), (["3", "-1"], np.int64)]
)
def test_classes_come_back_as_they_were(
    in_folder: Path, values: list[str], dtype: type[Any]
) -> None:
    rows = "".join(f"{i},{values[i % 2]}\n" for i in range(40))
    (in_folder / "t.csv").write_text("a,y\n" + rows)
    assert main(["train", "t.csv", "--target", "y", "--epochs", "1", "--quiet"]) == 0
    assert main(["predict", "t.safetensors", "t.csv", "--output", "p.parquet"]) == 0
    found = pd.read_parquet("p.parquet")["y"]
    assert found.dtype == dtype
    assert set(found.astype(str)) <= set(values)


def test_what_training_never_saw(
    trained: Path, in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = cancer().drop(columns=["diagnosis", "patient"]).iloc[:20]
    frame.loc[frame.index[:3], "clinic"] = "Rome"
    frame.loc[frame.index[5], "mean texture"] = np.nan  # never missing in training
    frame.loc[frame.index[6], "mean texture"] = np.inf
    frame["more"] = "not looked at"
    write(frame, in_folder / "new.csv")
    arguments = ["predict", str(trained / "c.safetensors"), "new.csv"]
    assert main([*arguments, "--output", "p.csv"]) == 0
    out = capsys.readouterr().out
    assert "3 rows with a value of 'clinic' that training never saw" in out
    assert "p.csv: 20 rows" in out
    assert pd.read_csv("p.csv").notna().all().all()
    # On standard output predictions are alone.
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 21
    assert "never saw" in captured.err
    assert main([*arguments, "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_a_file_without_rows(trained: Path, in_folder: Path) -> None:
    header = (trained / "d.csv").read_text().splitlines()[0]
    (in_folder / "none.csv").write_text(header + "\n")
    frame = predictions(trained / "d.safetensors", "none.csv", cwd=in_folder)
    assert list(frame.columns) == ["progress"]
    assert len(frame) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("mean texture", "mean colour"), "t.csv has no column 'mean texture', which the model"),
        (("9.71", "many"), "t.csv, line 21, column 'mean texture': 'many' is not a number"),
        (("2019-03-01", "in spring"), "column 'visit': 'in spring' is not a date as 2026-11-22"),
        (("2019-03-01", "2019-02-29"), "t.csv, line 9, column 'visit': '2019-02-29' is not a date"),
        (("False", "perhaps"), "column 'smokes': 'perhaps' is not true or false"),
    ],
)
def test_tables_that_do_not_fit(
    trained: Path,
    in_folder: Path,
    capsys: pytest.CaptureFixture[str],
    change: tuple[str, str],
    message: str,
) -> None:
    frame = cancer()
    frame.loc[7, "visit"] = pd.Timestamp("2019-03-01")
    frame.loc[19, "mean texture"] = 9.71
    text = write(frame, in_folder / "t.csv").read_text().replace(*change, 1)
    (in_folder / "t.csv").write_text(text)
    for command in ("predict", "evaluate"):
        error = failure(capsys, command, trained / "c.safetensors", "t.csv")
        assert message in error
    assert [path.name for path in in_folder.iterdir()] == ["t.csv"]


def test_refused_predictions(
    trained: Path, in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, table = trained / "d.safetensors", trained / "d.csv"
    (in_folder / "own.csv").write_text("mine")
    for arguments, message in [
        (("none.safetensors", table), "none.safetensors does not exist"),
        ((in_folder, table), "is a folder"),
        ((table, table), "is not a file that chainrule wrote"),
        ((model, "none.csv"), "none.csv does not exist"),
        ((model, table, "--output", "own.csv"), "it exists; give --force"),
        ((model, table, "--output", table, "--force"), "it is the file to read"),
        ((model, table, "--output", "p.xlsx"), "ends in one of .csv, .tsv, .parquet, .pq"),
        ((model, table, "--output", "no/p.csv"), "there is no folder no"),
        ((model, table, "--probabilities"), "predicts numbers, which have none"),
        ((model,), "the following arguments are required: FILE"),
    ]:
        assert message in failure(capsys, "predict", *arguments)
    assert (in_folder / "own.csv").read_text() == "mine"


def test_a_bad_line_late_leaves_no_output(
    trained: Path, in_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr(delimited, "_CELLS_OF_CHUNK", 0)
    lines = (trained / "d.csv").read_text().splitlines()
    (in_folder / "t.csv").write_text("\n".join([lines[0], *lines[1:] * 5, "1,2,3"]) + "\n")
    for output in ("p.csv", "p.parquet"):
        message = failure(capsys, "predict", trained / "d.safetensors", "t.csv", "--output", output)
        assert f"t.csv, line {5 * (len(lines) - 1) + 2}: 3 fields, but the header has 11" in message
    assert [path.name for path in in_folder.iterdir()] == ["t.csv"]


if os.name == "posix":

    def test_reader_that_goes_away(trained: Path, tmp_path: Path) -> None:
        frame = pd.concat([diabetes()] * 1000)
        write(frame, tmp_path / "big.csv")
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "chainrule", "predict"),
                *(str(trained / "d.safetensors"), "big.csv"),
            ],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "progress\n"
        process.stdout.close()
        assert process.stderr is not None
        errors = process.stderr.read()
        process.stderr.close()
        assert process.wait(timeout=60) == 1
        assert errors == ""


# --- evaluate ------------------------------------------------------------------------------------


def test_rows_that_cannot_be_scored_are_counted(
    trained: Path, in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = cancer()
    frame.loc[:4, "diagnosis"] = "unclear"
    write(frame, in_folder / "t.tsv")
    n_missing = int(frame["diagnosis"].isna().sum())
    arguments = ["evaluate", str(trained / "c.safetensors"), "t.tsv", "--json", "s.json"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert f"{n_missing} rows without a target" in out
    assert "5 rows with a class that training never saw" in out
    found = json.loads((in_folder / "s.json").read_text())
    assert found["rows_scored"] == 569 - n_missing - 5
    assert found["scores"]["model"]["accuracy"] > 0.9
    assert main(arguments) == 2
    assert "--json s.json: it exists" in capsys.readouterr().err
    assert main([*arguments, "--force"]) == 0


def test_refused_evaluations(
    trained: Path, in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = cancer()
    write(frame.drop(columns="diagnosis"), in_folder / "t.csv")
    message = failure(capsys, "evaluate", trained / "c.safetensors", "t.csv")
    assert "t.csv has no column 'diagnosis'" in message
    frame["diagnosis"] = "unclear"
    write(frame, in_folder / "u.csv")
    message = failure(capsys, "evaluate", trained / "c.safetensors", "u.csv")
    assert "none of 569 rows has a target that the model knows" in message


# --- files of models -----------------------------------------------------------------------------


def test_a_loaded_model_is_the_one_that_was_saved(trained: Path, tmp_path: Path) -> None:
    for name in ("c", "d"):
        first = load(str(trained / f"{name}.safetensors"))
        first.save(str(tmp_path / f"{name}.safetensors"), overwrite=False)
        saved, again = (
            (folder / f"{name}.safetensors").read_bytes() for folder in (trained, tmp_path)
        )
        assert saved == again


def test_every_cut_and_many_flips_are_found(trained: Path, tmp_path: Path) -> None:
    whole = (trained / "d.safetensors").read_bytes()
    path = tmp_path / "m.safetensors"
    rng = np.random.default_rng(0)
    damaged = [whole[:n] for n in rng.integers(1, len(whole), 60)]
    for bit in rng.integers(0, 8 * len(whole), 300):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << (bit % 8)
        damaged.append(bytes(flipped))
    for content in [*damaged, whole + b"\0"]:
        path.write_bytes(content)
        with pytest.raises(UsageError, match=r"m\.safetensors"):
            load(str(path))


DROP = object()


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("target",), DROP),
        (("columns",), []),
        (("columns", 0, "type"), "pickle"),
        (("columns", 0, "scale"), 0.0),
        (("columns", 0, "scale"), -1),
        (("columns", 0, "mean"), "0"),
        (("columns", 0, "mean"), True),
        (("columns", 0, "kind"), "date"),
        (("columns", 0, "has_indicator"), 1),
        (("columns", 0, "has_indicator"), False),
        (("columns", 0, "more"), 1),
        (("columns", 0, "column"), None),
        (("columns", 1, "column"), "mean radius"),
        (("columns", -1, "circles"), ["month"]),
        (("columns", -1, "circles"), ["year", "year"]),
        (("columns", -1, "trend"), {}),
        (("columns", -2, "frequent"), []),
        (("columns", -2, "frequent"), ["a", 1]),
        (("columns", -2, "rare"), ["Bonn"]),
        (("columns", -2, "rare"), "Rome"),
        (("target", "classes"), ["benign"]),
        (("target", "classes"), ["benign", "benign"]),
        (("target", "classes"), ["a", "b", "c"]),
        (("target", "frequencies"), [1.0]),
        (("target", "task"), "ranking"),
        (("target", "kind"), "date"),
        (("target", "scale"), 0),
        (("target", "column"), "mean radius"),
        (("missing",), None),
        (("model", "in_features"), 3),
        (("model",), None),
    ],
)
def test_files_that_say_something_else(
    trained: Path, tmp_path: Path, where: tuple[Any, ...], value: Any
) -> None:
    """With a right checksum, as another program could write them."""
    contents = container.read(str(trained / "c.safetensors"), KIND)
    inner: Any = contents.metadata
    for key in where[:-1]:
        inner = inner[key]
    if value is DROP:
        del inner[where[-1]]
    else:
        inner[where[-1]] = value
    path = str(tmp_path / "m.safetensors")
    container.write(path, KIND, contents.metadata, contents.tensors)
    with pytest.raises(UsageError, match=r"m\.safetensors.* does not hold what it should"):
        load(path)


def test_another_kind_of_file(trained: Path, tmp_path: Path) -> None:
    contents = container.read(str(trained / "c.safetensors"), KIND)
    path = str(tmp_path / "m.safetensors")
    container.write(path, "mlp", contents.metadata, contents.tensors)
    with pytest.raises(UsageError, match="kind 'pipeline', got the kind 'mlp'"):
        load(path)
    stray = {**contents.tensors, "stray": np.zeros(3)}
    container.write(path, KIND, contents.metadata, stray)
    with pytest.raises(UsageError, match="stray"):
        load(path)
