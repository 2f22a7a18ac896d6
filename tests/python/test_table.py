"""Reading the user's table: what is taken, and what each thing that is wrong with it is called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_iris

from chainrule._command.dataset import Dataset, Task, prepare_table
from chainrule._command.errors import UsageError
from chainrule._command.table import Table, read_table

N_ROWS = 20
ROWS = [f"{i},{i * i % 7},{'uv'[i % 2]}" for i in range(N_ROWS)]
GOOD = "\n".join(["a,b,y", *ROWS]) + "\n"


def read(tmp_path: Path, content: str | bytes, target: str | None = "y") -> Table:
    path = tmp_path / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(str(path), target)


def prepare(
    tmp_path: Path,
    content: str | bytes,
    target: str = "y",
    task: Task | None = None,
    test_fraction: float = 0.2,
) -> Dataset:
    return prepare_table(read(tmp_path, content, target), task, test_fraction, seed=0)


def with_target(values: list[str]) -> str:
    """Return a table of one feature with these values of the target."""
    return "a,y\n" + "".join(f"{i},{value}\n" for i, value in enumerate(values))


# --- what is taken -------------------------------------------------------------------------------


def test_columns_and_target(tmp_path: Path) -> None:
    table = read(tmp_path, GOOD)
    assert table.feature_names == ("a", "b")
    assert table.target_name == "y"
    np.testing.assert_array_equal(table.features[:, 0], np.arange(N_ROWS))
    assert table.target.tolist() == ["u", "v"] * (N_ROWS // 2)
    assert table.notes == ()


def test_target_may_be_any_column(tmp_path: Path) -> None:
    table = read(tmp_path, GOOD.replace("u", "0").replace("v", "1"), target="a")
    assert table.feature_names == ("b", "y")
    np.testing.assert_array_equal(table.target, np.arange(N_ROWS))


@pytest.mark.parametrize(
    "content",
    [
        GOOD.replace("\n", "\r\n"),
        b"\xef\xbb\xbf" + GOOD.encode(),
        GOOD.rstrip("\n"),
        GOOD.replace("\n3,", "\n\n  \n3,"),
        GOOD.replace(",", ", "),
        GOOD.replace("a,b,y", ' a ,"b", y'),
        GOOD.replace("3,2,v", '"3","2","v"'),
        GOOD.replace(",", ";"),
        GOOD.replace(",", "\t"),
    ],
    ids=["crlf", "bom", "no-end", "blank", "spaces", "names", "quotes", "semicolons", "tabs"],
)
def test_ways_of_writing(tmp_path: Path, content: str | bytes) -> None:
    plain, table = read(tmp_path, GOOD), read(tmp_path, content)
    assert table.feature_names == plain.feature_names
    np.testing.assert_array_equal(table.features, plain.features)
    np.testing.assert_array_equal(table.target, plain.target)


def test_another_delimiter_is_said(tmp_path: Path) -> None:
    (note,) = read(tmp_path, GOOD.replace(",", ";")).notes
    assert "semicolons" in note


def test_saved_row_index_is_left_out(tmp_path: Path) -> None:
    table = read(tmp_path, GOOD.replace("a,b,y", ",b,y"))
    assert table.feature_names == ("b",)
    assert "no name" in table.notes[0]


def test_booleans_and_large_numbers_are_features(tmp_path: Path) -> None:
    table = read(tmp_path, "\n".join(["a,b,y"] + ["True,99999999999999999999,1"] * N_ROWS))
    np.testing.assert_array_equal(table.features[0], [1.0, 1e20])


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "target", "message"),
    [
        ("", "y", "is empty"),
        ("\n \n\n", "y", "only blank lines"),
        ("a,b,y\n", "y", "a header and no rows"),
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
        ("a b y\n1 2 3\n", "y", "single column, 'a b y'.*separated by commas, semicolons or tabs"),
        ("y\n" + "1\n" * N_ROWS, "y", "single column"),
        (",y\n" + "0,1\n" * N_ROWS, "y", "no column but the target"),
        ("\n".join(GOOD.split("\n")[:8]), "y", "too few rows: 7; at least 10"),
        (
            GOOD.replace("\n5,", "\nfive,"),
            "y",
            "line 7, column 'a': 'five' is not a number.*1 of 20",
        ),
        (GOOD.replace("\n5,", '\n"5,5",'), "y", "'5,5' is not a number.*decimals with a point"),
        (GOOD, "b", "line 2, column 'y': 'u' is not a number.*every row"),
        (
            GOOD.replace(",4,u", ",four,u").replace("\n5,", "\nx,"),
            "y",
            "'a': 'x'.*text also in 'b'",
        ),
        (
            GOOD.replace("\n5,", "\n,"),
            "y",
            "line 7, column 'a': missing value; 1 missing in 1 of 20",
        ),
        (GOOD.replace("\n5,", "\nNA,"), "y", r"line 7, column 'a': missing value \('NA'\)"),
        (GOOD.replace("5,4,v", "5,4,"), "y", "line 7, column 'y': missing value"),
        (GOOD.replace("1,u", ",u"), "y", "remove these rows or fill the values in"),
        (GOOD.replace("\n5,", "\ninf,"), "y", "line 7, column 'a': 'inf' is infinite"),
        (GOOD.replace("\n5,", "\n-1e999,"), "y", "line 7, column 'a': '-1e999' is infinite"),
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


def test_refused_paths(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(GOOD)
    for name, message in [
        ("", "is a folder"),
        ("nothing.csv", "does not exist"),
        ("tabel.csv", r"does not exist; did you mean .*table\.csv\?"),
        ("no/such/folder.csv", "does not exist"),
        ("a\0b.csv", "cannot be read"),
    ]:
        with pytest.raises(UsageError, match=message):
            read_table(str(tmp_path / name), "y")


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
    bad_row = data.draw(st.integers(0, n_rows - 1))
    bad_column = data.draw(st.integers(0, 1))
    labels = st.sampled_from(["u", "v", '"two\nlines"', '"a ""b"", c"', '"\n\n"'])
    blanks = st.sampled_from(["", "\n", "  \n\n"])
    text, expected_line = "a,b,y\n", 0
    for row in range(n_rows):
        text += data.draw(blanks)
        numbers = [data.draw(cells), data.draw(cells)]
        if row == bad_row:
            expected_line = text.count("\n") + 1
            numbers[bad_column] = data.draw(st.sampled_from(["bad", '"b\na,d"', "1.2.3", "1_0"]))
        text += ",".join([*numbers, data.draw(labels)]) + "\n"
    with pytest.raises(UsageError, match=f"line {expected_line}, column '{'ab'[bad_column]}': "):
        read(tmp_path, text)


# --- task, labels, split -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "task", "reason"),
    [
        (["u", "v", "w"], "classification", "'y' holds 3 distinct text values"),
        (["True", "False"], "classification", "'y' holds true and false"),
        (["0", "1", "2"], "classification", "'y' holds whole numbers of 3 distinct values"),
        (["1.0", "2.0"], "classification", "whole numbers of 2 distinct values"),
        (["1.5", "2.5"], "regression", "'y' holds 2 distinct numbers"),
        ([str(i) for i in range(30)], "regression", "'y' holds 30 distinct numbers"),
        ([str(i) for i in range(15)], "regression", "'y' holds 15 distinct numbers"),
    ],
)
def test_task_is_told_from_the_target(
    tmp_path: Path, values: list[str], task: str, reason: str
) -> None:
    dataset = prepare(tmp_path, with_target(values * (60 // len(values))))
    assert dataset.task == task
    assert reason in dataset.reason


def test_task_option_overrides(tmp_path: Path) -> None:
    labels = with_target(["0", "1", "2"] * 10)
    assert prepare(tmp_path, labels, task="regression").n_outputs == 1
    numbers = with_target(["1.5", "2.5", "3.5"] * 10)
    assert prepare(tmp_path, numbers, task="classification").classes == ("1.5", "2.5", "3.5")


@pytest.mark.parametrize(
    ("values", "task", "message"),
    [
        (["u"] * 20, None, "one class only, 'u'"),
        (["u", "v"] * 10 + ["w"], None, "line 22, column 'y': class 'w' has this row only; each"),
        (["u", "v"] * 10 + ["w", "x"], None, "'w' has this row only, and so have 1 more classes"),
        (["u", "v"] * 10, "regression", "line 2, column 'y': 'u' is text; --task regression"),
        (["1.5", "u"] * 10, "regression", "line 3, column 'y': 'u' is text"),
        (["3"] * 20, "regression", "is 3 in every row"),
        ([str(i / 2) for i in range(20)], "classification", "numbers to predict call for --task"),
        (["1.5", "2.5"] * 10 + ["abc"], None, "line 22, column 'y': 'abc' is text in a target"),
    ],
)
def test_refused_targets(
    tmp_path: Path, values: list[str], task: Task | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        prepare(tmp_path, with_target(values), task=task)


@pytest.mark.parametrize("test_fraction", [0.001, 0.99])
def test_refused_fractions(tmp_path: Path, test_fraction: float) -> None:
    with pytest.raises(UsageError, match=r"--test-fraction .* of 20 rows leaves"):
        prepare(tmp_path, GOOD, test_fraction=test_fraction)


def test_every_class_is_on_both_sides(tmp_path: Path) -> None:
    values = ["u"] * 50 + ["v"] * 3 + ["w"] * 2
    dataset = prepare(tmp_path, with_target(values), test_fraction=0.3)
    assert set(dataset.y_train) == set(dataset.y_held_out) == {0, 1, 2}
    with pytest.raises(UsageError, match="needs one of each of 3 classes"):
        prepare(tmp_path, with_target(values), test_fraction=0.02)


def test_numbers_too_large_to_standardize(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="too large to be standardized"):
        prepare(tmp_path, GOOD.replace("\n5,", "\n1e308,").replace("\n6,", "\n-1e308,"))


def test_scaling_knows_the_training_rows_alone(tmp_path: Path) -> None:
    X, _ = load_iris(return_X_y=True)
    lines = ["a,b,c,d,y", *(",".join(map(str, [*row, row.sum() / 7])) for row in X)]
    dataset = prepare(tmp_path, "\n".join(lines))
    assert dataset.task == "regression"
    assert dataset.X_train.shape == (120, 4)
    assert dataset.X_held_out.shape == (30, 4)
    assert dataset.y_train.shape == (120, 1)
    assert dataset.X_train.dtype == dataset.y_train.dtype == np.float32
    np.testing.assert_allclose(dataset.X_train.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(dataset.X_train.std(axis=0), 1, rtol=1e-6)
    np.testing.assert_allclose([dataset.y_train.mean(), dataset.y_train.std()], [0, 1], atol=1e-6)
    assert abs(dataset.X_held_out.mean(axis=0)).max() > 1e-3
    assert dataset.target_scale == pytest.approx((X.sum(axis=1) / 7).std(), rel=0.1)


def test_split_depends_on_the_seed_alone(tmp_path: Path) -> None:
    table = read(tmp_path, GOOD)
    first, again, other = (prepare_table(table, None, 0.2, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.X_train, again.X_train)
    assert not np.array_equal(first.X_train, other.X_train)
