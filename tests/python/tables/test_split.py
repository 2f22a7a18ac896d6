"""Which rows train, stop and score: by class, at random, by time; and what a target calls for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chainrule._command import recipe
from chainrule._command.errors import UsageError
from chainrule._command.preparation import Prepared, prepare
from chainrule._command.split import fold_of_rows
from chainrule._command.table import Choices
from chainrule._command.target import Task


def prepared(
    tmp_path: Path,
    text: str,
    *,
    task: Task | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
    time: str | None = None,
) -> Prepared:
    path = tmp_path / "table.csv"
    path.write_text(text)
    return prepare(str(path), "y", Choices(), task, test_fraction, seed, time)


def with_target(values: list[str]) -> str:
    """Return a table of one feature with these values of the target."""
    return "a,y\n" + "".join(f"{i},{value}\n" for i, value in enumerate(values))


@pytest.mark.parametrize(
    ("values", "task", "reason"),
    [
        (["u", "v"] * 20, "classification", "2 distinct text values"),
        (["True", "False"] * 20, "classification", "true and false"),
        (["0", "1", "2"] * 20, "classification", "whole numbers of 3 distinct values"),
        ([str(i % 20) for i in range(200)], "classification", "20 distinct values"),
        ([str(i % 21) for i in range(400)], "regression", "21 distinct numbers"),
        ([str(i % 5) for i in range(20)], "regression", "5 distinct numbers"),
        (["0.5", "1"] * 20, "regression", "2 distinct numbers"),
    ],
)
def test_task(tmp_path: Path, values: list[str], task: str, reason: str) -> None:
    found = prepared(tmp_path, with_target(values))
    assert found.target.task == task
    assert reason in found.reason


@pytest.mark.parametrize(
    ("values", "task", "message"),
    [
        (["u"] * 20, None, "holds one class only, 'u'"),
        ([f"u{i}" for i in range(20)], None, "20 classes in 20 rows, 20 of them in one row"),
        (["u", "v"] * 10, "regression", "line 2, column 'y': 'u' is text; --task regression"),
        (["3"] * 20, "regression", "is 3 in every row"),
        ([str(i / 2) for i in range(20)], "classification", "numbers to predict call for --task"),
        (["1.5", "2.5"] * 10 + ["abc"], None, "line 22, column 'y': 'abc' is text in a column"),
        (["2020-01-02", "2020-01-03"] * 10, None, "holds dates"),
        ([""] * 20, None, "has no value in any row"),
        (["1e308", "-1e308"] * 10, "regression", "too large to be standardized"),
        (["1.5", *[""] * 19], None, "1 row of 20 can be used"),
    ],
)
def test_refused_targets(
    tmp_path: Path, values: list[str], task: Task | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        prepared(tmp_path, with_target(values), task=task)


def test_rows_without_a_target_are_left_out_and_counted(tmp_path: Path) -> None:
    found = prepared(tmp_path, with_target(["1.5", "", "2.5", "inf", "NA"] * 20))
    assert found.unusable == {"without a target": 60}
    assert found.n_rows == 100
    assert [len(part.y) for part in (found.train, found.validation, found.held_out)] == [32, 0, 8]


def test_every_class_is_in_every_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = ["u"] * 80 + ["v"] * 10 + ["w"] * 5
    found = prepared(tmp_path, with_target(values))
    for part in (found.train, found.held_out):
        assert set(part.y) == {0, 1, 2}
    assert found.how_split == "seed 0, stratified"
    assert found.folds == 5
    monkeypatch.setattr(recipe, "_MOST_ROWS_OF_FOLDS", 94)
    found = prepared(tmp_path, with_target(values))
    for part in (found.train, found.validation, found.held_out):
        assert set(part.y) == {0, 1, 2}
    assert found.folds == 0


def test_folds_share_every_class() -> None:
    labels = np.repeat([0, 1, 2], [50, 7, 3])
    fold = fold_of_rows(labels, 60, 5, 0)
    assert np.bincount(fold).tolist() == [12] * 5
    of_class = np.array([np.bincount(fold[labels == k], minlength=5) for k in range(3)])
    assert (of_class.max(axis=1) - of_class.min(axis=1)).max() <= 1
    assert not np.array_equal(fold, fold_of_rows(labels, 60, 5, 1))
    assert np.bincount(fold_of_rows(None, 11, 5, 0)).tolist() == [3, 2, 2, 2, 2]


def test_a_class_of_one_row_is_trained_on(tmp_path: Path) -> None:
    found = prepared(tmp_path, with_target(["u", "v"] * 30 + ["w"]))
    assert set(found.train.y) == {0, 1, 2}
    assert set(found.held_out.y) == {0, 1}
    assert "1 class with a single row" in found.notes[-1]


def test_the_smallest_table(tmp_path: Path) -> None:
    found = prepared(tmp_path, with_target(["u", "v"] * 5))
    assert len(found.train.y) + len(found.validation.y) + len(found.held_out.y) == 10
    found = prepared(tmp_path, with_target(["u", "v"] * 5), test_fraction=0.6)
    assert "say" not in found.how_split
    with pytest.raises(UsageError, match=r"--test-fraction 0\.95 of 10 usable rows"):
        prepared(tmp_path, with_target(["u", "v"] * 5), test_fraction=0.95)


@pytest.mark.parametrize("test_fraction", [0.001, 0.99])
def test_fractions_at_the_ends(tmp_path: Path, test_fraction: float) -> None:
    text = with_target([str(i / 2) for i in range(20)])
    with pytest.raises(UsageError, match=r"--test-fraction .* of 20 usable rows leaves"):
        prepared(tmp_path, text, test_fraction=test_fraction)


def test_split_depends_on_the_seed_alone(tmp_path: Path) -> None:
    text = with_target([str(i / 2) for i in range(50)])
    first, again, other = (prepared(tmp_path, text, seed=seed) for seed in (1, 1, 2))
    assert first.train.X.tobytes() == again.train.X.tobytes()
    assert first.train.X.tobytes() != other.train.X.tobytes()


def test_numbers_are_learned_from_the_training_rows_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = [f"{a:.6f},{a * 3 + 1:.6f}" for a in rng.normal(size=100)]
    found = prepared(tmp_path, "a,y\n" + "\n".join(lines))
    np.testing.assert_allclose(found.train.X.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(found.train.X.std(axis=0), 1, rtol=1e-5)
    assert abs(found.held_out.X.mean()) > 1e-3
    assert found.target.mean == pytest.approx(found.train.y.mean(), rel=1e-12)
    assert found.target.scale == pytest.approx(found.train.y.std(), rel=1e-12)


def test_by_time(tmp_path: Path) -> None:
    rows = [(f"2021-{m:02}-{d:02}", m * 100 + d) for m in range(1, 11) for d in range(1, 11)]
    order = np.random.default_rng(0).permutation(100)
    lines = [f"{rows[i][0]},{rows[i][1] / 4},{i % 7}" for i in order]
    text = "day,y,a\n" + "\n".join([*lines, ",5,5"])
    found = prepared(tmp_path, text, time="day")
    assert found.train.y.max() < found.validation.y.min()
    assert found.validation.y.max() < found.held_out.y.min()
    assert [len(part.y) for part in (found.train, found.validation, found.held_out)] == [68, 12, 20]
    assert found.unusable == {"without a time": 1}
    assert found.how_split == "the last by 'day'"
    assert next(note.encoded for note in found.columns) == "circle of week"


def test_rows_of_one_time_stay_together(tmp_path: Path) -> None:
    lines = [f"{i // 25},{i / 3},{i % 5}" for i in range(100)]
    found = prepared(tmp_path, "t,y,a\n" + "\n".join(lines), time="t")
    assert [len(part.y) for part in (found.train, found.validation, found.held_out)] == [50, 25, 25]
    assert found.left_out == {"t": "it divides the rows"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("".join(f"w{i % 3},{i / 2},{i}\n" for i in range(20)), "'t' of .* holds categorical"),
        ("".join(f"1,{i / 2},{i}\n" for i in range(20)), "too few distinct times"),
        (
            "".join(f"{i},{'u' if i < 10 else 'v' if i < 36 else 'w'},{i}\n" for i in range(40)),
            "1 class of the target come only after",
        ),
    ],
)
def test_refused_times(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        prepared(tmp_path, "t,y,a\n" + text, time="t")
