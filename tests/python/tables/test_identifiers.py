"""Columns that identify rows: which are, that they are left out and said, and how to keep them."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tables import FORMATS, diabetes, write

from chainrule._cli import main
from chainrule._command import delimited
from chainrule._command.errors import UsageError
from chainrule._command.identifiers import identifies_rows
from chainrule._command.pipeline import load
from chainrule._command.source import Column
from chainrule._command.table import Choices, read_table

N = 1000
RNG = np.random.default_rng(0)
NAMES = [str(uuid.UUID(int=int(i), version=4)) for i in RNG.permutation(N)]


def numbers(values: object) -> Column:
    return Column("numeric", np.asarray(values, np.float64))


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("x", np.arange(N), "it numbers the rows from 0 to 999"),
        ("x", RNG.permutation(N) + 1, "it numbers the rows from 1 to 1000"),
        ("x", np.arange(10), "it numbers the rows from 0 to 9"),
        ("x", np.arange(N)[::-1] * 10 + 70_000, "whole numbers from 70000 to 79990, another in"),
        ("x", np.sort(RNG.choice(2 * N, N, replace=False)), "another in each of 1,000 rows: a key"),
        ("CustomerID", np.arange(30) * 7919 % 99_991, "another in each of 30 rows: a key"),
        ("id", np.arange(12) ** 2 + 5, "whole numbers from 5 to 126"),
        ("order_id", np.arange(12) ** 2 + 5, "a key"),
        ("index", np.arange(12) ** 2 + 5, "a key"),
        ("x", np.arange(N) / 2, None),  # with a fraction
        ("id", RNG.normal(size=N), None),
        ("x", np.arange(12) ** 2 + 5, None),  # few rows, nothing odd about them
        ("humid", np.arange(12) ** 2 + 5, None),
        ("x", RNG.choice(10**9, N, replace=False), None),  # as drawn at random
        ("id", [*range(N - 1), 7], None),  # one comes twice: rows share it
        ("id", [*range(N - 1), np.nan], None),
        ("id", 2.0**53 + np.arange(N) * 4, None),  # not told apart for certain
    ],
)
def test_numbers(name: str, values: object, reason: str | None) -> None:
    found = identifies_rows(name, numbers(values))
    assert found is None if reason is None else reason in str(found)


def test_dates_and_booleans_are_features() -> None:
    for kind in ("date", "boolean"):
        assert identifies_rows("id", Column(kind, np.arange(50) * 86400.0)) is None


@pytest.mark.parametrize(
    ("codes", "is_key"),
    [
        (list(range(50)), True),
        (list(range(12)), True),
        ([*range(11), -1], True),  # missing where it is not known
        ([*range(11), 3], False),
        ([*range(30), *range(20)], True),
        ([*range(25)] * 2, False),
    ],
)
def test_texts(codes: list[int], is_key: bool) -> None:
    texts = [f"name {i}" for i in range(max(codes) + 1)]
    found = identifies_rows("x", Column("categorical", np.array(codes, np.int32), texts))
    assert (found is not None) == is_key


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_and_chunks(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "_CELLS_OF_CHUNK", 0)  # chunks of 1,000 rows
    n = 2500
    frame = pd.DataFrame({"Unnamed: 0": np.arange(n) % 1250, "Id": np.arange(n) + 1})
    frame["code"] = [f"{i:05x}" for i in range(n)]
    frame["amount"] = np.arange(n) / 8
    frame["day"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(n), "D")
    frame["y"] = np.arange(n) % 3 / 2
    path = write(frame, tmp_path / f"t.{kind}")
    found = read_table(str(path), "y", Choices(categorical=("code",)))
    assert list(found.columns) == ["code", "amount", "day", "y"]
    assert found.left_out == {
        "Unnamed: 0": "named as a saved row index",
        "Id": "it numbers the rows from 1 to 2500 (--keep 'Id' uses it)",
    }
    kept = read_table(str(path), "y", Choices(keep=("Id", "Unnamed: 0", "code")))
    assert kept.left_out == {}
    by_id = read_table(str(path), "y", Choices(ignore=("code",)), "Id")
    assert "Id" in by_id.columns


def test_the_only_column_is_used_and_said(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,y\n" + "".join(f"{i},{i * i / 3}\n" for i in range(30)))
    found = read_table(str(path), "y", Choices())
    assert found.notes == [
        "column 'x' is used, as there is no other: it numbers the rows from 0 to 29"
    ]


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (Choices(keep=("z",)), "no column 'z'"),
        (Choices(keep=("y",)), "column 'y' is both --target and --keep"),
        (Choices(keep=("id",), ignore=("id",)), "column 'id' is both --keep and --ignore"),
        (Choices(keep=("one",)), "--keep 'one' of .*: it holds one value in every row"),
    ],
)
def test_refused(tmp_path: Path, choices: Choices, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,one,y\n" + "".join(f"{i},1,{i % 3}\n" for i in range(30)))
    with pytest.raises(UsageError, match=message):
        read_table(str(path), "y", choices)


def test_train_predict_evaluate_and_export_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    frame = diabetes()
    plain = frame.copy()
    frame.insert(0, "patient", range(1, len(frame) + 1))
    frame.insert(1, "uuid", NAMES[: len(frame)])
    write(frame, tmp_path / "t.csv")
    write(plain, tmp_path / "plain.csv")
    options = ["--target", "progress", "--epochs", "2", "--weight-decay", "1"]
    assert main(["train", "t.csv", *options]) == 0
    said = capsys.readouterr().out
    assert "'patient'" in said
    assert "left out: it numbers the rows from 1 to 442" in said
    left_out = json.loads(Path("t.json").read_text())["data"]["left_out"]
    assert list(left_out) == ["patient", "uuid"]
    assert "it numbers the rows from 1 to 442" in Path("t.html").read_text(encoding="utf-8")
    assert list(load("t.safetensors").encoding.steps) == list(plain.columns[:-1])
    for name in ("t", "plain"):
        arguments = ["t.safetensors", f"{name}.csv", "--quiet"]
        assert main(["predict", *arguments, "--output", f"p_{name}.csv"]) == 0
        assert main(["evaluate", *arguments, "--json", f"e_{name}.json"]) == 0
    assert Path("p_t.csv").read_bytes() == Path("p_plain.csv").read_bytes()
    scores = [json.loads(Path(f"e_{name}.json").read_text()) for name in ("t", "plain")]
    assert scores[0]["scores"] == scores[1]["scores"]
    capsys.readouterr()
    assert main(["export", "t.safetensors", "t.c"]) == 0
    assert "patient" not in Path("t.c").read_text()

    Path("run.toml").write_text('keep = ["patient", "uuid"]\n')
    kept = ["--config", "run.toml", "--output", "kept.safetensors", "--quiet"]
    assert main(["train", "t.csv", *options, *kept]) == 0
    assert list(load("kept.safetensors").encoding.steps) == list(frame.columns[:-1])
    assert main(["predict", "kept.safetensors", "plain.csv"]) == 2
    assert "has no column 'patient' and 1 more" in capsys.readouterr().err
