"""Permutation importance: what it finds, and how sizes bound its work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import chainrule as cr
from chainrule._cli import main
from chainrule._command import importance
from chainrule._command.encoding import Encoding, NumberStep
from chainrule._command.importance import Importance, permutation_importance
from chainrule._command.preparation import Part
from chainrule._command.target import Target

N_ROWS, N_COLUMNS = 800, 40
ENCODING = Encoding(
    {f"c{i}": NumberStep("numeric", 0.0, 0.0, 1.0, False) for i in range(N_COLUMNS)}
)


def measure(seed: int = 0, threads: int = 1) -> Importance:
    """Return the importance of a model that goes by columns 3, 17 and 30, from most to least."""
    X = np.random.default_rng(1).normal(size=(N_ROWS, N_COLUMNS)).astype(np.float32)
    X[:, 5] = 0  # of great weight, and without variance
    model = cr.MLP([N_COLUMNS, 1], seed=0)
    model.weights[0][:] = 0.01
    model.weights[0][[3, 5, 17, 30], 0] = 3, 50, 2, 1
    y = model.predict(X)[:, 0].astype(np.float64)
    target = Target("y", "regression", "numeric")
    return permutation_importance(model, ENCODING, target, Part(X, y), seed, threads)


def test_all_columns_where_that_is_little_work() -> None:
    found = measure()
    assert list(found.harm)[:3] == ["c3", "c17", "c30"]
    assert set(found.harm) == set(ENCODING.steps)
    assert found.harm["c5"] == (0.0, 0.0)
    assert (found.n_columns, found.n_rows) == (N_COLUMNS, N_ROWS)
    assert found.in_words() == "800 held-out rows"


def test_work_is_bounded_by_rows_then_by_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    predict = cr.MLP.predict

    def counted(self: cr.MLP, X: Any, *, threads: int | None = None) -> Any:
        rows.append(len(X))
        return predict(self, X, threads=threads)

    monkeypatch.setattr(cr.MLP, "predict", counted)
    of_row = 5 * (N_COLUMNS + 1)  # multiplications of five shuffles of a column
    for n_rows, n_columns, work in (
        (600, 40, 600 * 40 * of_row),
        (250, 25, 250 * 25 * of_row),
        (250, 20, 0),  # never less than that
    ):
        rows.clear()
        monkeypatch.setattr(importance, "_MOST_WORK", work)
        found = measure()
        assert (len(found.harm), found.n_rows) == (n_columns, n_rows)
        assert rows[1:] == [n_rows] * (1 + 5 * n_columns)  # the first makes the target
        assert list(found.harm)[:3] == ["c3", "c17", "c30"]
        assert n_columns == N_COLUMNS or "c5" not in found.harm
    assert found.in_words() == (
        "20 of 40 columns, those whose gradient is greatest; 250 held-out rows"
    )


def test_the_same_for_a_seed_and_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance, "_MOST_WORK", 0)
    assert measure(0, 1) == measure(0, 2) != measure(1, 1)


@pytest.mark.pictures  # of 20 of 30 columns
def test_reports_say_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance, "_MOST_WORK", 0)
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 30))).add_prefix("x")
    frame["y"] = frame["x7"] * 2
    frame.to_csv("t.csv", index=False)
    assert main(["train", "t.csv", "--target", "y", "--epochs", "20", "--quiet"]) == 0
    report = json.loads(Path("t.json").read_text(encoding="utf-8"))
    assert len(report["importance"]) == 20
    assert report["importance"][0]["column"] == "x7"
    assert report["importance_measured"] == {
        "columns": 20,
        "of_columns": 30,
        "rows": 12,
        "in_words": "20 of 30 columns, those whose gradient is greatest; 12 held-out rows",
    }
    assert report["importance_measured"]["in_words"] in Path("t.html").read_text(encoding="utf-8")
