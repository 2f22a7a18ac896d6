"""Labels of every container: `classes_` and predictions are of scikit-learn's dtype and values."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from estimator_cases import WINE
from sklearn.neural_network import MLPClassifier as TheirMLPClassifier

from chainrule.estimators import MLPClassifier

X, NUMBERS = WINE
TEXTS = np.array(["barolo", "grignolino", "barbera d'asti"])[NUMBERS]
FLAGS = NUMBERS > 0
ORDERED = ["grignolino", "barolo", "barbera d'asti"]

LABELS = {
    "list of str": TEXTS.tolist(),
    "numpy str": TEXTS,
    "objects": TEXTS.astype(object),
    "objects of numpy": np.array([*TEXTS], object),
    "column of objects": TEXTS.astype(object).reshape(-1, 1),
    "list of int": NUMBERS.tolist(),
    "list of bool": FLAGS.tolist(),
    **{name: NUMBERS.astype(name) for name in ("int8", "uint16", "int64", "float32", "float64")},
    "bool": FLAGS,
    "dates": np.array(["2020-01-01", "2021-01-01", "2022-01-01"], "datetime64[D]")[NUMBERS],
    "pandas object": pd.Series(TEXTS.astype(object), dtype=object),
    "pandas default": pd.Series(TEXTS.tolist()),
    "pandas string": pd.Series(TEXTS, dtype="string"),
    "pandas string[pyarrow]": pd.Series(TEXTS, dtype="string[pyarrow]"),
    "pandas arrow": pd.Series(TEXTS, dtype=pd.ArrowDtype(pa.string())),
    "pandas arrow numbers": pd.Series(NUMBERS, dtype=pd.ArrowDtype(pa.int64())),
    "pandas category": pd.Series(TEXTS, dtype="category"),
    "pandas ordered": pd.Series(pd.Categorical(TEXTS, categories=ORDERED, ordered=True)),
    "pandas category of numbers": pd.Series(NUMBERS, dtype="category"),
    **{f"pandas {name}": pd.Series(NUMBERS, dtype=name) for name in ("Int64", "Int8", "Float64")},
    "pandas boolean": pd.Series(FLAGS, dtype="boolean"),
    "pandas bool": pd.Series(FLAGS),
    "pandas frame": pd.DataFrame({"target": TEXTS}),
    "polars str": pl.Series(TEXTS.tolist()),
    "polars categorical": pl.Series(TEXTS.tolist(), dtype=pl.Categorical),
    "polars enum": pl.Series(TEXTS.tolist(), dtype=pl.Enum(ORDERED)),
    "polars int": pl.Series(NUMBERS.tolist(), dtype=pl.Int16),
    "polars bool": pl.Series(FLAGS.tolist()),
    "polars frame": pl.DataFrame({"target": TEXTS.tolist()}),
    "pyarrow str": pa.array(TEXTS.tolist()),
    "pyarrow chunks": pa.chunked_array([TEXTS[:50].tolist(), TEXTS[50:].tolist()]),
    "pyarrow dictionary": pa.array(TEXTS.tolist()).dictionary_encode(),
    "pyarrow int": pa.array(NUMBERS.tolist()),
    "pyarrow bool": pa.array(FLAGS.tolist()),
}

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning"),
]


def both(**kwargs):
    return [
        kind(hidden_layer_sizes=(4,), max_iter=3, random_state=0, shuffle=False, **kwargs)
        for kind in (TheirMLPClassifier, MLPClassifier)
    ]


def assert_same_labels(theirs, ours):
    for got, want in (
        (ours.classes_, theirs.classes_),
        (ours.predict(X), theirs.predict(X)),
    ):
        assert type(got) is type(want)
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)
    assert {type(one) for one in ours.classes_} == {type(one) for one in theirs.classes_}


@pytest.mark.parametrize("name", LABELS)
def test_a_fit_has_their_labels(name):
    y = LABELS[name]
    theirs, ours = (model.fit(X, y) for model in both())
    assert_same_labels(theirs, ours)
    assert ours.score(X, y) == theirs.score(X, y)


@pytest.mark.parametrize("name", LABELS)
def test_partial_fits_have_their_labels(name):
    y = LABELS[name]
    classes = np.unique(np.asarray(y))
    if classes.dtype == object and not isinstance(classes[0], str):
        classes = np.array(classes.tolist())  # numbers that pandas 2.1 holds as objects
    models = both()
    for model in models:
        model.partial_fit(X, y, classes=classes)
        model.partial_fit(X, y)
        model.partial_fit(X, y, classes=classes)
    assert_same_labels(*models)


@pytest.mark.parametrize("name", ["objects", "pandas string", "polars categorical"])
def test_containers_may_change(name):
    """A warm start, an evaluation set and a file know the labels again, whatever holds them."""
    y = LABELS[name]
    model = both(warm_start=True)[1].fit(X, y, eval_set=(X, TEXTS))
    model.fit(X, TEXTS.tolist(), eval_set=(X, y))
    assert model.classes_.dtype == TEXTS.dtype
    assert model.evals_result_["validation_0"]["score"][-1] == model.score(X, y)


def test_labels_of_a_file(tmp_path):
    model = both()[1].fit(X, LABELS["pandas default"])
    model.save(tmp_path / "file")
    again = MLPClassifier.load(tmp_path / "file")
    assert_same_labels(model, again)


@pytest.mark.parametrize("values", [NUMBERS, FLAGS, NUMBERS.reshape(-1, 1)], ids=str)
def test_objects_that_are_no_texts_are_refused_by_both(values):
    for model in both():
        with pytest.raises(ValueError, match="Unknown label type"):
            model.fit(X, values.astype(object))
