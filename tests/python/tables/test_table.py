"""Reading the user's table: types, formats, and what each thing that is wrong with it is called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tables import FORMATS, cancer, write

from chainrule._command import building, delimited
from chainrule._command.errors import UsageError
from chainrule._command.source import Column
from chainrule._command.table import Choices, Table, read_table

N_ROWS = 20
# The last number differs, or it would number the rows.
ROWS = [f"{i if i < 19 else 26},{i * i % 7},{'uv'[i % 2]}" for i in range(N_ROWS)]
GOOD = "\n".join(["a,b,y", *ROWS]) + "\n"


def read(
    tmp_path: Path, content: str | bytes, target: str | None = "y", choices: Choices | None = None
) -> Table:
    path = tmp_path / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(str(path), target, choices or Choices())


def column(values: list[str]) -> str:
    """Return a table of a target and a column x with these cells."""
    return "y,x\n" + "".join(f"{i % 3 / 2},{value}\n" for i, value in enumerate(values))


def same(first: Column, second: Column) -> bool:
    return (
        first.kind == second.kind
        and first.categories == second.categories
        and np.array_equal(first.values, second.values, equal_nan=first.kind != "categorical")
    )


# --- types ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "kind", "values", "categories"),
    [
        (["1", "2.5", ""], "numeric", [1, 2.5, np.nan], []),
        (["1", "NA", "1e999"], "numeric", [1, np.nan, np.nan], []),
        (["99999999999999999999", "2", "3"], "numeric", [1e20, 2, 3], []),
        (["True", "False", "True"], "boolean", [1, 0, 1], []),
        (["true", "", "FALSE"], "boolean", [1, np.nan, 0], []),
        (["b", "a ", ""], "categorical", [1, 0, -1], ["a", "b"]),
        (["1970-01-02", "1970-01-01T06:00", ""], "date", [86400, 21600, np.nan], []),
        (["1970-01-01 01:00:00+01:00", "1970-01-02", "2000-02-29"], "date", None, []),
        (["1600-01-01", "9999-12-31", ""], "date", [-11676096000, 253402214400, np.nan], []),
        (
            ["1500-01", "1970-01-01T00:00:00.1234567", "1970-01"],
            "date",
            [-14831769600, 0.123456, 0],
            [],
        ),
        (["1970-01-01 ", " 1970-01-01T00:30-01", "1970-01-01"], "date", [0, 5400, 0], []),
        (["1970-01-01 24:00", "1970-01-02", "1970-01-03"], "date", [86400, 86400, 172800], []),
        (["yes", "no", "1"], "categorical", [2, 1, 0], ["1", "no", "yes"]),
    ],
)
def test_types(
    tmp_path: Path, cells: list[str], kind: str, values: list[float] | None, categories: list[str]
) -> None:
    found = read(tmp_path, column(cells * 5)).columns["x"]
    assert found.kind == kind
    if values is not None:
        np.testing.assert_array_equal(found.values[:3], values)
    if categories is not None:
        assert found.categories == categories
    assert len(found.values) == 15


def test_dates_have_no_zone_but_that_which_they_name(tmp_path: Path) -> None:
    texts = ["1970-01-01 01:00:00+01:00", "1970-01-01 01:00:00", "1970-01-01 01:00 -0230"]
    for cells, seconds in ((texts, [0, 3600, 12600]), (texts[::-1], [12600, 3600, 0])):
        found = read(tmp_path, column(cells * 4))
        np.testing.assert_array_equal(found.columns["x"].values[:3], seconds)


def test_formats_say_the_same(tmp_path: Path) -> None:
    frame = cancer()
    frame["text day"] = frame["visit"].dt.strftime("%Y-%m-%d")
    frame["group"] = frame["clinic"].astype("category")
    tables = [
        read_table(str(write(frame, tmp_path / f"t.{kind}")), "diagnosis", Choices())
        for kind in FORMATS
    ]
    plain = tables[0]
    assert [plain.columns[name].kind for name in ("smokes", "clinic", "visit", "text day")] == [
        *("boolean", "categorical", "date", "date")
    ]
    assert plain.columns["group"].categories == ["<b>Köln</b>", "Bonn", "Ulm & Neu-Ulm"]
    reason = "569 distinct texts in 569 rows: a name or a key (--keep 'patient' uses it)"
    assert plain.left_out == {"patient": reason}
    for other in tables[1:]:
        assert list(other.columns) == list(plain.columns)
        assert other.left_out == plain.left_out
        for name in plain.columns:
            assert same(other.columns[name], plain.columns[name]), (other.source.path, name)


def test_types_of_parquet(tmp_path: Path) -> None:
    import datetime
    import decimal

    n = 12
    path = tmp_path / "t.parquet"
    pq.write_table(
        pa.table(
            {
                "y": pa.array(range(n), pa.int8()),
                "big": pa.array([2**60] * (n - 1) + [None], pa.uint64()),
                "decimal": pa.array([decimal.Decimal("1.25"), None] * 6),
                "day": pa.array([datetime.date(1970, 1, 2)] * (n - 1) + [None]),
                "zone": pa.array([0, 10**9] * 6, pa.timestamp("ns", "Asia/Tokyo")),
                "list": pa.array([[1]] * n),
                "nothing": pa.nulls(n),
            }
        ),
        path,
    )
    found = read_table(str(path), "y", Choices())
    assert {name: each.kind for name, each in found.columns.items()} == {
        "y": "numeric",
        "big": "numeric",
        "decimal": "numeric",
        "day": "date",
        "zone": "date",
    }
    assert found.columns["decimal"].values[0] == 1.25
    assert found.columns["day"].values[0] == 86400
    assert found.columns["zone"].values.tolist() == [0, 1] * 6
    assert found.left_out == {
        "list": "its type cannot be used",
        "nothing": "every value is missing",
    }


@pytest.mark.parametrize(
    ("late", "kind"), [("word", "categorical"), ("True", "categorical"), ("2", "numeric")]
)
def test_a_column_that_changes_after_the_first_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: str, kind: str
) -> None:
    monkeypatch.setattr(delimited, "_CELLS_OF_CHUNK", 0)  # chunks of 1,000 rows
    cells = ["01", ""] * 500 + [late] * 1200
    found = read(tmp_path, column(cells)).columns["x"]
    assert found.kind == kind
    if kind == "categorical":  # as it was written, not "1"
        assert found.categories == sorted(["01", late])
        assert found.values[0] == found.categories.index("01")
    assert int(found.missing().sum()) == 500


def test_chunks_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.concat([cancer()] * 5, ignore_index=True)
    path = str(write(frame, tmp_path / "t.csv"))
    whole = read_table(path, "diagnosis", Choices())
    monkeypatch.setattr(delimited, "_CELLS_OF_CHUNK", 0)
    parts = read_table(path, "diagnosis", Choices())
    for name in whole.columns:
        assert same(whole.columns[name], parts.columns[name])


def test_choices(tmp_path: Path) -> None:
    text = "id,zip,a,y\n" + "".join(f"{i},0{i % 4},{'?' if i == 3 else i},1\n" for i in range(20))
    found = read(tmp_path, text, "y", Choices(("id",), ("zip",), ("?",)))
    assert found.left_out == {"id": "as --ignore says"}
    assert found.columns["zip"].categories == ["00", "01", "02", "03"]
    assert np.isnan(found.columns["a"].values[3])


def test_columns_that_say_nothing_are_left_out(tmp_path: Path) -> None:
    rows = "".join(f"{i},5,,{i % 2},text {i} of many,{i % 7}\n" for i in range(40))
    found = read(tmp_path, ",same,empty,y,free,used\n" + rows)
    assert list(found.columns) == ["y", "used"]
    assert found.left_out[""] == "it has no name, as a saved row index"
    assert found.left_out["same"] == "it holds one value in every row"
    assert found.left_out["empty"] == "every value is missing"
    assert "40 distinct texts" in found.left_out["free"]


def test_too_many_texts_do_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "_MOST_TEXTS", 10)
    text = "y,x,a\n" + "".join(f"{i},w{i % 12},{i % 5}\n" for i in range(40))
    assert read(tmp_path, text).left_out == {"x": "more than 10 distinct texts"}


def test_infinite_numbers_count_as_missing(tmp_path: Path) -> None:
    found = read(tmp_path, GOOD.replace("\n5,", "\ninf,").replace("\n6,", "\n-inf,"))
    assert np.isnan(found.columns["a"].values[5:7]).all()
    assert found.notes == ["2 infinite values in column 'a' taken for missing"]


@pytest.mark.parametrize(
    "content",
    [
        GOOD.replace("\n", "\r\n"),
        b"\xef\xbb\xbf" + GOOD.encode(),
        GOOD.rstrip("\n"),
        GOOD.replace("\n3,", "\n\n  \n3,"),
        GOOD.replace(",", ", "),
        GOOD.replace("a,b,y", ' a ,"b", y'),
        GOOD.replace("a,b,y", '"a","b","y"'),
        GOOD.replace("3,2,v", '"3","2","v"'),
        GOOD.replace(",", ";"),
        GOOD.replace("a,b,y", '"a","b","y"').replace(",", ";"),
        GOOD.replace(",", "\t"),
    ],
    ids=[
        *("crlf", "bom", "no-end", "blank", "spaces", "names", "quoted-names", "quotes"),
        *("semicolons", "quoted-semicolons", "tabs"),
    ],
)
def test_ways_of_writing(tmp_path: Path, content: str | bytes) -> None:
    plain, other = read(tmp_path, GOOD), read(tmp_path, content)
    assert list(other.columns) == ["a", "b", "y"]
    for name in plain.columns:
        assert same(plain.columns[name], other.columns[name])


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "target", "message"),
    [
        ("", "y", "is empty"),
        ("\n \n\n", "y", "only blank lines"),
        ("a,b,y\n", "y", "names of columns and no rows"),
        (GOOD.encode("utf-16"), "y", "not text in UTF-8: byte 0xff"),
        (GOOD.replace("u", "é").encode("latin-1"), "y", "not text in UTF-8: byte 0xe9"),
        (
            GOOD.replace("a,b,y", "1,2.5,-3e4"),
            "y",
            r"no header.*numbers only \('1', '2.5', '-3e4'\)",
        ),
        (
            GOOD.replace("a,b,y", "1,2,u"),
            "y",
            r"no column 'y'.*numbers \('1', '2'\).*header missing",
        ),
        (GOOD, "z", "no column 'z'; its columns are 'a', 'b', 'y'"),
        (GOOD, "Y", r"no column 'Y' \(did you mean 'y'\?\)"),
        (GOOD, None, "which column.*--target COLUMN; its columns are 'a', 'b', 'y'"),
        (GOOD.replace("a,b,y", "a,a,y"), "y", "more than one column named 'a'"),
        (GOOD.replace("a,b,y", "a,,y"), "y", "column 2 has no name"),
        ("y\n" + "1\n" * N_ROWS, "y", "no column but the target.*commas, semicolons or tabs"),
        (",y\n" + "0,1\n" * N_ROWS, "y", "no column but the target"),
        ("a,y\n" + "0,1\n" * N_ROWS, "y", "no column to learn 'y' from.*'a': it holds one value"),
        ("\n".join(GOOD.split("\n")[:8]), "y", "too few rows: 7; at least 10"),
        (
            GOOD.replace("\n5,", "\nfive,"),
            "y",
            r"line 7, column 'a': 'five' is text in a column of numbers \(1 row of 20\); "
            "correct it, or give --missing 'five' or --categorical 'a'",
        ),
        (GOOD.replace("\n5,", '\n"5,5",'), "y", "'5,5' is text.*decimals with a point"),
        (
            column([f"2020-01-{i // 2 + 1:02}" for i in range(19)] + ["2020-01-32"]),
            "y",
            r"line 21, column 'x': '2020-01-32' is not a date, in a column of dates \(1 row of 2",
        ),
        (
            column(["2001-02-28 06:00+25:00", "2001-02-28", "2001-02-27"] * 5),
            "y",
            r"line 2, column 'x': '2001-02-28 06:00\+25:00' is not a date",
        ),
        (
            column([f"2020-01-{i:02}" for i in range(1, 20)] + ["soon"]),
            "y",
            "line 21, column 'x': 'soon' is text in a column of dates",
        ),
        (GOOD.replace("5,4,v", "5,v"), "y", "line 7: 2 fields, but the header has 3"),
        (GOOD.replace("5,4,v", "5,4,4,v"), "y", "line 7: 4 fields, but the header has 3"),
        ("a,b,y\n" + "".join(f"9,{row}\n" for row in ROWS), "y", "line 2: 4 fields"),
        (GOOD.replace("5,4,v", '5,4,"v'), "y", "line 7: a quoted cell has no end"),
    ],
)
def test_refused_table(
    tmp_path: Path, content: str | bytes, target: str | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as error:
        read(tmp_path, content, target)
    assert "\n" not in str(error.value)
    assert "table.csv" in str(error.value)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (Choices(ignore=("c",)), "no column 'c'"),
        (Choices(categorical=("c",)), "no column 'c'"),
        (Choices(ignore=("y",)), "column 'y' is both --target and --ignore"),
    ],
)
def test_refused_choices(tmp_path: Path, choices: Choices, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(tmp_path, GOOD, "y", choices)


def test_refused_paths(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(GOOD)
    for name, message in [
        ("", "is a folder"),
        ("nothing.csv", "does not exist"),
        ("tabel.csv", r"does not exist; did you mean .*table\.csv\?"),
        ("no/such/folder.csv", "does not exist"),
        ("a\0b.csv", "cannot be read: a NUL in its name"),
    ]:
        with pytest.raises(UsageError, match=message):
            read_table(str(tmp_path / name), "y", Choices())


@pytest.mark.parametrize("kind", ["parquet", "feather", "arrows"])
def test_damaged_files_of_other_formats(tmp_path: Path, kind: str) -> None:
    path = write(cancer(), tmp_path / f"t.{kind}")
    whole = path.read_bytes()
    for n in (8, 100, len(whole) // 2):
        path.write_bytes(whole[:n])
        with pytest.raises(UsageError, match=r"first bytes\) cannot be read") as error:
            read_table(str(path), "diagnosis", Choices())
        assert "\n" not in str(error.value)
    path.write_bytes(b"FEA1" + bytes(100))
    with pytest.raises(UsageError, match="version 1"):
        read_table(str(path), "diagnosis", Choices())


def test_places_in_other_formats_are_rows(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [str(i) for i in range(300)], "y": range(300)})
    frame.loc[250, "a"] = "many"
    path = write(frame, tmp_path / "t.parquet")
    with pytest.raises(UsageError, match=r"t\.parquet, row 251, column 'a': 'many' is text"):
        read_table(str(path), "y", Choices())


cells = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**25), 10**25).map(str),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), n_rows=st.integers(10, 30))
def test_line_of_a_bad_cell(tmp_path: Path, data: st.DataObject, n_rows: int) -> None:
    """Whatever stands above it: blank lines, quoted cells with line ends."""
    bad = data.draw(st.integers(0, n_rows - 1))
    lines, line_of_bad = ["a,note,y"], 0
    for row in range(n_rows):
        lines += [""] * data.draw(st.integers(0, 2))
        number = "bad" if row == bad else data.draw(cells)
        if row == bad:
            line_of_bad = sum(line.count("\n") + 1 for line in lines) + 1
        note = data.draw(st.sampled_from(["p", "q", '"p\nq"', '"p,""q"""']))
        lines.append(f"{number},{note},{row}")
    with pytest.raises(UsageError, match=rf"line {line_of_bad}, column 'a': 'bad' is text"):
        read(tmp_path, "\n".join(lines) + "\n")
