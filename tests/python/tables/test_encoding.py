"""The steps of columns beside scikit-learn's own transformers, on real data with gaps."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tables import cancer

from chainrule._command.encoding import (
    CategoryStep,
    DateStep,
    Encoding,
    NumberStep,
    Step,
    fit_step,
)
from chainrule._command.source import Column

NUMBERS = ["mean radius", "mean texture", "mean concavity", "worst radius"]


def encoded(step: Step | None, column: Column) -> np.ndarray:
    assert step is not None
    out = np.full((len(column.values), step.width), np.nan, np.float32)
    step.encode(column, out)
    return out


def text_column(texts: list[str | None]) -> Column:
    names = sorted({text for text in texts if text is not None})
    codes = [-1 if text is None else names.index(text) for text in texts]
    return Column("categorical", np.array(codes, np.int32), names)


def test_the_same_bits_as_scikit_learn() -> None:
    frame = cancer()[[*NUMBERS, "clinic"]]
    frame["clinic"] = frame["clinic"].astype(object).where(frame["clinic"].notna(), None)
    train, test = frame.iloc[:400], frame.iloc[400:]
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    texts = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="~", missing_values=None),
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    )
    theirs = ColumnTransformer([("n", numbers, NUMBERS), ("t", texts, ["clinic"])])
    theirs.fit(train)
    columns = {
        **{name: Column("numeric", frame[name].to_numpy(np.float64)) for name in NUMBERS},
        "clinic": text_column(frame["clinic"].tolist()),
    }
    steps = {name: fit_step(column.take(slice(400))) for name, column in columns.items()}
    encoding = Encoding({name: step for name, step in steps.items() if step is not None})
    ours = encoding.encode(columns, slice(400, None), len(test))
    expected = theirs.transform(test).astype(np.float32)
    # Ours has one column more: which radii were missing.
    where = encoding.slices()
    assert where["mean radius"] == slice(0, 2)
    np.testing.assert_array_equal(ours[:, 1], frame["mean radius"].isna().to_numpy()[400:])
    np.testing.assert_array_equal(np.delete(ours, 1, axis=1)[:, :4], expected[:, :4])
    # "~" sorts behind the clinics, None goes before them.
    order = [
        sorted(["Bonn", "Ulm & Neu-Ulm", "<b>Köln</b>", "~"]).index(text or "~")
        for text in steps["clinic"].frequent
    ]
    np.testing.assert_array_equal(ours[:, where["clinic"]], expected[:, 4:][:, order])


def test_numbers_are_clipped_and_never_infinite() -> None:
    step = fit_step(Column("numeric", np.arange(10.0)))
    found = encoded(step, Column("numeric", np.array([1e300, -np.inf, np.nan, 4.5])))
    np.testing.assert_array_equal(found[:, 0], [10, 0, 0, 0])
    assert fit_step(Column("numeric", np.full(5, 3.0))) is None
    assert fit_step(Column("numeric", np.full(5, np.nan))) is None
    # One value and gaps: only the gaps say something.
    step = fit_step(Column("numeric", np.array([3.0, np.nan])))
    np.testing.assert_array_equal(
        encoded(step, Column("numeric", np.array([3.0, np.nan]))), [[0, 0], [0, 1]]
    )
    with pytest.raises(OverflowError):
        fit_step(Column("numeric", np.array([1e308, -1e308, 0])))


def test_booleans_take_the_more_frequent_value() -> None:
    step = fit_step(Column("boolean", np.array([1, 1, 0, np.nan])))
    assert isinstance(step, NumberStep)
    assert (step.kind, step.fill, step.has_indicator) == ("boolean", 1.0, True)


def test_rare_and_unseen_categories() -> None:
    texts = [f"common {i}" for i in range(31) for _ in range(5)] + ["rare 1", "rare 2", "rare 3"]
    step = fit_step(text_column([*texts]))
    assert isinstance(step, CategoryStep)
    assert len(step.frequent) == 31
    assert step.rare == ("rare 1", "rare 2", "rare 3")
    column = text_column(["common 7", "rare 2", "new", None])
    found = encoded(step, column)
    assert found.sum(axis=1).tolist() == [1, 1, 1, 1]
    assert found[0, step.frequent.index("common 7")] == 1
    assert found[1:, -1].tolist() == [1, 1, 1]
    assert step.n_unseen(column) == 1
    few = fit_step(text_column(["a", "b"] * 5))
    assert isinstance(few, CategoryStep)
    np.testing.assert_array_equal(
        encoded(few, text_column(["b", "c", None])), [[0, 1], [0, 0], [0, 0]]
    )
    assert fit_step(text_column(["a"] * 5)) is None


def test_dates() -> None:
    day = 86400.0
    days = np.arange(0, 800, 5) * day
    step = fit_step(Column("date", days))
    assert isinstance(step, DateStep)
    assert step.circles == ("year", "week")
    found = encoded(step, Column("date", np.array([0.0, 7 * day, np.nan])))
    np.testing.assert_allclose(found[0, 3:5], [0, 1], atol=1e-7)
    np.testing.assert_allclose(found[0, 3:5], found[1, 3:5], atol=1e-6)  # a week later
    np.testing.assert_array_equal(found[2, 1:5], 0)
    # The column that orders the rows says nothing about how late it is.
    ordering = fit_step(Column("date", days), orders_rows=True)
    assert isinstance(ordering, DateStep)
    assert ordering.trend is None
    assert ordering.width == 4
    assert fit_step(Column("numeric", days), orders_rows=True) is None
    hours = fit_step(Column("date", np.arange(0, 20, 0.25) * day))
    assert isinstance(hours, DateStep)
    assert hours.circles == ("week", "day")
    assert fit_step(Column("date", np.full(4, day))) is None


def test_a_row_is_encoded_alike_in_any_company() -> None:
    frame = cancer()
    values = frame["mean radius"].to_numpy(np.float64)
    step = fit_step(Column("numeric", values))
    whole = encoded(step, Column("numeric", values))
    for i in range(0, len(values), 37):
        one = encoded(step, Column("numeric", values[i : i + 1]))
        assert one.tobytes() == whole[i : i + 1].tobytes()
