"""Dates in tables as people write them: which format a column has, and what is said of it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from date_cases import days

from chainrule._command import building, delimited
from chainrule._command.errors import UsageError
from chainrule._command.table import Choices, Table, read_table


def read(
    tmp_path: Path, cells: list[str], *formats: str, name: str = "x", missing: tuple[str, ...] = ()
) -> Table:
    """Read a table with these cells in a column, which come again until there are 40 or more."""
    cells = cells * (-(-40 // len(cells)))
    rows = "".join(f"{i % 3 / 2};{i * 7 % 40 / 2};{cell}\n" for i, cell in enumerate(cells))
    path = tmp_path / "t.csv"
    path.write_text(f"y;a;{name}\n{rows}", encoding="utf-8")
    return read_table(str(path), "y", Choices(missing=missing, date_format=formats))


# --- which format --------------------------------------------------------------------------------


def test_any_number_beyond_12_decides(tmp_path: Path) -> None:
    cells = ["01/02/2024", "03/04/2024", "05/06/2024"] * 20
    for decisive, date_format, first in (
        ("13/06/2024", "%d/%m/%Y", "2024-02-01"),
        ("06/13/2024", "%m/%d/%Y", "2024-01-02"),
    ):
        found = read(tmp_path, [*cells, decisive])
        assert found.columns["x"].date_format == date_format
        assert found.columns["x"].values[0] == days(first)[0]
        assert found.notes == []


@pytest.mark.parametrize(
    ("cells", "date_format", "other"),
    [
        (["02/02/2024", "03/04/2024"], "%m/%d/%Y", "%d/%m/%Y"),
        (["02.02.2024", "03.04.2024"], "%d.%m.%Y", "%m.%d.%Y"),
        (["02-02-24", "03-04-24"], "%d-%m-%y", "%m-%d-%y"),
    ],
)
def test_what_no_date_decides_is_assumed_and_said(
    tmp_path: Path, cells: list[str], date_format: str, other: str
) -> None:
    found = read(tmp_path, cells)
    assert found.columns["x"].date_format == date_format
    assert found.notes == [
        f"'x': every date in it can be read in more than one way; {date_format} is assumed "
        f"(--date-format x={other} reads it otherwise)"
    ]
    for given in (f"x={other}", other):
        told = read(tmp_path, cells, given)
        assert told.columns["x"].date_format == other
        assert told.notes == []
        assert told.columns["x"].values[1] != found.columns["x"].values[1]


def test_the_first_of_every_month(tmp_path: Path) -> None:
    european = [f"01/{m:02}/2024" for m in range(1, 13)]
    american = [f"{m:02}/01/2024" for m in range(1, 13)]
    for cells, date_format in ((european, "%d/%m/%Y"), (american, "%m/%d/%Y")):
        found = read(tmp_path, cells)
        assert found.columns["x"].date_format == date_format
        assert found.columns["x"].values[11] == days("2024-12-01")[0]
        assert "is assumed, by which each is the first of a month" in found.notes[0]


def test_other_columns_decide(tmp_path: Path) -> None:
    rows = [f"{i / 2},0{i % 9 + 1}/02/2024,{i % 28 + 1}.03.2024\n" for i in range(40)]
    (tmp_path / "t.csv").write_text("y,x,z\n" + "".join(rows))
    found = read_table(str(tmp_path / "t.csv"), "y", Choices())
    assert found.columns["x"].date_format == "%d/%m/%Y"
    assert found.columns["x"].values[3] == days("2024-02-04")[0]
    assert len(found.notes) == 1
    assert "%d/%m/%Y is assumed, as in other columns" in found.notes[0]


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (
            ["13/01/2024", "01/13/2024"],
            "'x' is taken for text: its dates are of more than one format, as "
            "'01/13/2024' (%m/%d/%Y, month first) and '13/01/2024' (%d/%m/%Y, day first)",
        ),
        (["31/12/2024", "2024-12-31", "2024-12-30"], "as '2024-12-30' (ISO 8601) and '31/12/2024'"),
        (
            ["31 Dez 2024", "1. März 2024", "5 Jan 2024"],
            "months of its dates, as '1. März 2024', h",
        ),
        (["3 de enero de 2022", "4 de mayo de 2022"], "have no English names"),
    ],
)
def test_dates_that_stay_text_are_said(tmp_path: Path, cells: list[str], said: str) -> None:
    found = read(tmp_path, cells)
    assert found.columns["x"].kind == "categorical"
    assert len(found.notes) == 1
    assert said in found.notes[0]


@pytest.mark.parametrize("bad", ["30/02/2024", "soon", "31/12/2024 24:01", "13/13/2024"])
def test_a_slip_among_dates_is_refused(tmp_path: Path, bad: str) -> None:
    cells = [f"{i + 1}/12/2024" for i in range(30)]
    with pytest.raises(
        UsageError, match=rf"line 32, column 'x': '{bad}' is .*column of dates.*--mi"
    ):
        read(tmp_path, [*cells, bad])
    found = read(tmp_path, [*cells, bad], missing=(bad,))
    assert found.columns["x"].kind == "date"
    assert np.isnan(found.columns["x"].values[30])


def test_blanks_and_missing_marks(tmp_path: Path) -> None:
    found = read(tmp_path, [" 31/12/2024 ", "", "NA", '"  "', "?", "30/12/2024"], missing=("?",))
    nan = np.nan
    expected = [*days("2024-12-31"), nan, nan, nan, nan, *days("2024-12-30")]
    np.testing.assert_array_equal(found.columns["x"].values[:6], expected)


@pytest.mark.parametrize(
    "cells", [["18:00", "19:00", "20:30", "closed"], ["1 bed 10", "2 beds 12"], ["Q1 2024", "1/12"]]
)
def test_words_are_words(tmp_path: Path, cells: list[str]) -> None:
    found = read(tmp_path, cells)
    assert found.columns["x"].kind == "categorical"
    assert found.notes == []


def test_dates_times_and_decimal_commas_in_one_file(tmp_path: Path) -> None:
    """As the air quality of an Italian town has them; 2,6 is no day, and 18.00.00 no number."""
    rows = [
        f"{10 + i // 24}/03/2004;{i % 24:02}.00.00;{i % 9},{i % 7};{i * 7 % 40}\n"
        for i in range(200)
    ]
    path = tmp_path / "t.csv"
    path.write_text("Date;Time;CO;y\n" + "".join(rows))
    with pytest.raises(UsageError, match="line 2, column 'CO': '0,0' is text in a column of decim"):
        read_table(str(path), "y", Choices())
    found = read_table(str(path), "y", Choices(ignore=("CO",)))
    assert found.columns["Date"].date_format == "%d/%m/%Y"
    assert found.columns["Time"].date_format == "%H.%M.%S"
    moments = found.columns["Date"].values + found.columns["Time"].values
    np.testing.assert_array_equal(np.diff(moments), 3600)
    assert moments[0] == days("2004-03-10")[0]


# --- numbers -------------------------------------------------------------------------------------


def test_numbers_that_are_dates_are_said(tmp_path: Path) -> None:
    cells = [str(20240101 + i) for i in range(31)]
    found = read(tmp_path, cells)
    assert found.columns["x"].values[:2].tolist() == days("2024-01-01", "2024-01-02")
    assert found.notes == [
        "'x': numbers taken for dates, %Y%m%d: each of its 31 numbers is one of the calendar's "
        "days (--date-format x=none keeps the numbers)"
    ]
    kept = read(tmp_path, cells, "x=none")
    assert kept.columns["x"].kind == "numeric"
    assert kept.columns["x"].values[0] == 20240101
    assert kept.notes == []
    gaps = read(tmp_path, [*cells, "", "20240301.0"])
    np.testing.assert_array_equal(gaps.columns["x"].values[31:33], [np.nan, *days("2024-03-01")])
    stamps = read(tmp_path, [str(1_700_000_000 + i * i) for i in range(40)], name="ts")
    assert stamps.columns["ts"].values[3] == 1_700_000_009
    assert "seconds since 1970: all are between 1990 and 2100, in a column" in stamps.notes[0]
    # Durations, by the unit in the name.
    waits = read(tmp_path, [str(1_700_000_000 + i * i) for i in range(40)], name="wall_time_ns")
    assert waits.columns["wall_time_ns"].kind == "numeric"
    moments = read(
        tmp_path, [f"{1_700_000_000 + i * i}000" for i in range(40)], name="timestamp_ms"
    )
    assert moments.columns["timestamp_ms"].values[3] == 1_700_000_009
    plain = read(tmp_path, [str(1_700_000_000 + i * i) for i in range(40)])
    assert plain.columns["x"].kind == "numeric"
    told = read(tmp_path, [str(1_700_000_000 + i * i) for i in range(40)], "x=seconds")
    assert told.columns["x"].kind == "date"


def test_numbers_in_texts_of_parquet(tmp_path: Path) -> None:
    n = 40
    table = pa.table(
        {
            "y": np.arange(n) / 3,
            "day": [f"202401{i % 30 + 1:02}" if i else None for i in range(n)],
            "time": pa.array([dt.time(i % 24, 30) if i else None for i in range(n)]),
            "time32": pa.array(np.arange(n) * 1000, pa.int32()).cast(pa.time32("ms")),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    found = read_table(str(tmp_path / "t.parquet"), "y", Choices())
    assert {name: each.kind for name, each in found.columns.items()} == {
        "y": "numeric",
        "day": "date",
        "time": "date",
        "time32": "date",
    }
    np.testing.assert_array_equal(found.columns["day"].values[:2], [np.nan, *days("2024-01-02")])
    np.testing.assert_array_equal(found.columns["time"].values[:3], [np.nan, 5400, 9000])
    np.testing.assert_array_equal(found.columns["time32"].values[:3], [0, 1, 2])
    with pytest.raises(UsageError, match=r"'time=none': the column of .* has a type that holds"):
        read_table(str(tmp_path / "t.parquet"), "y", Choices(date_format=("time=none",)))


# --- chunks --------------------------------------------------------------------------------------


@pytest.fixture
def chunks_of_1000(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "_CELLS_OF_CHUNK", 0)


@pytest.mark.usefixtures("chunks_of_1000")
def test_a_later_chunk_decides(tmp_path: Path) -> None:
    early = ["01/02/2024", "03/04/2024"] * 600
    for late, date_format in (("13/04/2024", "%d/%m/%Y"), ("04/13/2024", "%m/%d/%Y")):
        found = read(tmp_path, [*early, late])
        assert found.columns["x"].date_format == date_format
        assert found.notes == []
        first = "2024-02-01" if date_format == "%d/%m/%Y" else "2024-01-02"
        assert found.columns["x"].values[0] == days(first)[0]
        assert found.columns["x"].values[-1] == days("2024-04-13")[0]
    seconds = read(tmp_path, ["13/04/2024 10:00"] * 1100 + ["13/04/2024 10:00:30"])
    assert seconds.columns["x"].date_format == "%d/%m/%Y %H:%M:%S"
    assert np.diff(seconds.columns["x"].values[-2:]) == [30]
    for late in ("01/13/2024", "2024-01-13"):
        mixed = read(tmp_path, ["13/01/2024", "12/01/2024"] * 600 + [late])
        assert mixed.columns["x"].kind == "categorical"
        assert "of more than one format" in mixed.notes[0]
    with pytest.raises(
        UsageError, match="line 1202, column 'x': 'soon' is text in a column of dat"
    ):
        read(tmp_path, [*early, "soon"])


@pytest.mark.usefixtures("chunks_of_1000")
def test_more_dates_than_texts_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "_MOST_TEXTS", 100)
    when = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(2500), unit="h")
    cells = when.strftime("%d/%m/%Y %H:%M").tolist()
    found = read(tmp_path, cells)
    np.testing.assert_array_equal(np.diff(found.columns["x"].values), 3600)
    with pytest.raises(
        UsageError, match="line 2502, column 'x': 'soon' is text in a column of dat"
    ):
        read(tmp_path, [*cells, "soon"])
    mixed = read(tmp_path, [*cells, "2024-01-01"])
    assert mixed.left_out == {"x": "more than 100 distinct texts"}
    assert mixed.notes == ["'x' holds dates of more than one format, '2024-01-01' in another"]


@pytest.mark.parametrize("cells_of_chunk", [0, 1_000_000])
def test_a_slip_among_the_first_of_more_dates_than_texts_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cells_of_chunk: int
) -> None:
    """Which makes text of the column from its start."""
    monkeypatch.setattr(building, "_MOST_TEXTS", 1500)
    monkeypatch.setattr(delimited, "_CELLS_OF_CHUNK", cells_of_chunk)
    when = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(2500), unit="h")
    cells = when.strftime("%d/%m/%Y %H:%M").tolist()
    slip = [*cells[:700], "30/02/2024 10:00", *cells[700:]]
    with pytest.raises(
        UsageError, match="line 702, column 'x': '30/02/2024 10:00' is not a date, in a column of"
    ):
        read(tmp_path, slip)
    found = read(tmp_path, slip, missing=("30/02/2024 10:00",))
    assert found.columns["x"].kind == "date"
    mixed = read(tmp_path, ["", *cells[:700], "2024-01-01", *cells[700:]])
    assert mixed.left_out == {"x": "more than 1,500 distinct texts"}
    assert mixed.notes == ["'x' holds dates of more than one format, '2024-01-01' in another"]
    words = read(tmp_path, [f"{cell} at noon" for cell in cells] + cells[:2000])
    assert words.left_out == {"x": "more than 1,500 distinct texts"}
    assert words.notes == []


# --- the option ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formats", "message"),
    [
        (["z=%d/%m/%Y"], "no column 'z'"),
        (["x=%d/%m/%Q"], "--date-format 'x=%d/%m/%Q': '%Q' is none of its directives"),
        (["x=dd/mm"], "--date-format 'x=dd/mm': expected directives as %d/%m/%Y"),
        (["none"], "expected directives"),
        (["x=%d/%m/%Y", "x=iso"], "says two formats of 'x'"),
        (["%d/%m/%Y", "iso"], "says two formats of all columns"),
        (
            ["x=%m/%d/%Y"],
            r"line 2, column 'x': '31/12/2024' is not a date as 11/22/2026 \(%m/%d/%Y\), as "
            "--date-format says; --date-format x=%d/%m/%Y reads all",
        ),
        (["x=%d/%m/%y"], "'31/12/2024' is not a date as 22/11/26"),
        (["%d.%m.%Y"], r"--date-format '%d\.%m\.%Y': no column of .*t\.csv has such dates"),
    ],
)
def test_refused_options(tmp_path: Path, formats: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(tmp_path, ["31/12/2024", "30/12/2024"], *formats)


def test_options_that_exclude_each_other(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("y,x,a\n" + "".join(f"{i},31/12/2024,{i % 7}\n" for i in range(20)))
    for other in ("categorical", "ignore"):
        choices = Choices(date_format=("x=iso",), **{other: ("x",)})
        with pytest.raises(UsageError, match=f"'x' is both --date-format and --{other}"):
            read_table(str(path), "y", choices)


def test_what_is_not_recognized_can_be_told(tmp_path: Path) -> None:
    odd = read(tmp_path, ["31~12~2024", "30~12~2024"], "x=%d~%m~%Y").columns["x"]
    assert odd.values[:2].tolist() == days("2024-12-31", "2024-12-30")
    lost = read(tmp_path, ["01022024", "31122024"], "x=%d%m%Y").columns["x"]  # no numbers first
    assert lost.values[:2].tolist() == days("2024-02-01", "2024-12-31")
    years = read(tmp_path, ["1999", "2024"], "x=%Y").columns["x"]
    assert years.values[:2].tolist() == days("1999-01-01", "2024-01-01")
    strict = read(tmp_path, ["2024-12-31", "2024-12-30"], "%Y-%m-%d").columns["x"]
    assert strict.values[:2].tolist() == days("2024-12-31", "2024-12-30")
    text = read(tmp_path, ["31/12/2024", "30/12/2024"], "x=none").columns["x"]
    assert text.categories == ["30/12/2024", "31/12/2024"]
    named = read(tmp_path, ["31/12/2024", "1/2/2024"], "p=q=%d/%m/%Y", name="p=q").columns["p=q"]
    assert named.date_format == "%d/%m/%Y"
