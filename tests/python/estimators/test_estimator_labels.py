"""Labels of every container: `classes_` and predictions are of scikit-learn's dtype and values.

Where a container of numbers or bools is not NumPy's, scikit-learn's labels are floats; these stay
what they are, as those of a plain array are.
"""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from bounds import same_bits
from estimator_cases import WINE
from sklearn.neural_network import MLPClassifier as TheirMLPClassifier

from chainrule.estimators import MLPClassifier, MLPRegressor

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
    "pandas category": pd.Series(TEXTS, dtype="category"),
    "pandas ordered": pd.Series(pd.Categorical(TEXTS, categories=ORDERED, ordered=True)),
    "pandas category of numbers": pd.Series(NUMBERS, dtype="category"),
    "pandas Float64": pd.Series(NUMBERS, dtype="Float64"),
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

# What holds the labels, and those that it holds.
NOT_NUMPYS = {
    **{
        f"pandas {name}": (pd.Series(NUMBERS, dtype=name), NUMBERS.astype(name.lower()))
        for name in ("Int64", "Int8", "UInt8", "Float32", "Float64")
    },
    "pandas boolean": (pd.Series(FLAGS, dtype="boolean"), FLAGS),
    "pandas frame": (pd.DataFrame({"target": pd.Series(NUMBERS, dtype="Int64")}), NUMBERS),
    "arrow int64": (pd.Series(NUMBERS, dtype=pd.ArrowDtype(pa.int64())), NUMBERS),
    "arrow uint8": (pd.Series(NUMBERS, dtype=pd.ArrowDtype(pa.uint8())), NUMBERS.astype("uint8")),
    "arrow double": (pd.Series(NUMBERS, dtype=pd.ArrowDtype(pa.float64())), NUMBERS.astype(float)),
    "arrow bool": (pd.Series(FLAGS.tolist(), dtype=pd.ArrowDtype(pa.bool_())), FLAGS),
    "arrow string": (pd.Series(TEXTS, dtype=pd.ArrowDtype(pa.string())), TEXTS),
    "category of bools": (pd.Series(FLAGS, dtype="category"), FLAGS),
    "category of Int64": (pd.Series(NUMBERS, dtype="Int64").astype("category"), NUMBERS),
    "polars UInt8": (pl.Series(NUMBERS.tolist(), dtype=pl.UInt8), NUMBERS.astype("uint8")),
    "polars Boolean": (pl.Series(FLAGS.tolist()), FLAGS),
    "float16": (NUMBERS.astype("float16"), NUMBERS.astype("float16")),
    "objects of int": (NUMBERS.astype(object), NUMBERS),
    "objects of float": (NUMBERS.astype(float).astype(object), NUMBERS.astype(float)),
    "objects of bool": (FLAGS.astype(object), FLAGS),
    "objects of NumPy's": (np.array([*FLAGS], object), FLAGS),
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


def assert_same_labels(theirs, own):
    for got, want in (
        (own.classes_, theirs.classes_),
        (own.predict(X), theirs.predict(X)),
    ):
        assert type(got) is type(want)
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)
    assert {type(one) for one in own.classes_} == {type(one) for one in theirs.classes_}


@pytest.mark.parametrize("name", LABELS)
def test_a_fit_has_their_labels(name):
    y = LABELS[name]
    theirs, own = (model.fit(X, y) for model in both())
    assert_same_labels(theirs, own)
    assert own.score(X, y) == theirs.score(X, y)


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


# --- what scikit-learn makes floats of, or refuses -----------------------------------------------


def ours(**kwargs):
    return MLPClassifier(
        **{"hidden_layer_sizes": 4, "max_iter": 3, "random_state": 0, "shuffle": False, **kwargs}
    )


def assert_as_plain(model, y, plain):
    """Assert that a model fitted to y is that of the plain labels, bit for bit."""
    want = ours().fit(X, plain)
    assert same_bits(model.model_.parameters, want.model_.parameters)
    for got, labels in ((model.classes_, want.classes_), (model.predict(X), want.predict(X))):
        assert got.dtype == labels.dtype == plain.dtype
        np.testing.assert_array_equal(got, labels)
    assert model.score(X, y) == want.score(X, plain)


@pytest.mark.parametrize("name", NOT_NUMPYS)
def test_labels_of_other_containers_are_those_of_plain_arrays(name):
    y, plain = NOT_NUMPYS[name]
    assert_as_plain(ours().fit(X, y), y, plain)


@pytest.mark.parametrize("name", NOT_NUMPYS)
def test_partial_fits_and_evaluation_sets_take_them(name):
    y, plain = NOT_NUMPYS[name]
    classes = pd.unique(y["target"]) if isinstance(y, pd.DataFrame) else pd.Series(y).unique()
    model, want = ours(), ours()
    for _ in range(2):
        model.partial_fit(X, y, classes=classes)
        want.partial_fit(X, plain, classes=np.unique(plain))
    assert same_bits(model.model_.parameters, want.model_.parameters)
    assert model.predict(X).dtype == plain.dtype
    model = ours(warm_start=True).fit(X, plain, eval_set=(X, y)).fit(X, y, eval_set=(X, plain))
    assert model.evals_result_["validation_0"]["score"][-1] == model.score(X, y)


@pytest.mark.parametrize(
    "columns",
    [
        pd.DataFrame({"a": FLAGS, "b": NUMBERS > 1}).astype("boolean"),
        pd.DataFrame({"a": FLAGS, "b": NUMBERS > 1}).astype(int).astype("Int64"),
        pd.DataFrame({"a": FLAGS, "b": NUMBERS > 1}).astype("bool[pyarrow]"),
        pl.DataFrame({"a": FLAGS, "b": NUMBERS > 1}),
        np.column_stack([FLAGS, NUMBERS > 1]).astype(object),
    ],
    ids=["boolean", "Int64", "arrow", "polars", "objects"],
)
def test_indicators_of_other_containers(columns):
    want = ours().fit(X, np.column_stack([FLAGS, NUMBERS > 1]).astype(int))
    model = ours().fit(X, columns)
    assert same_bits(model.model_.parameters, want.model_.parameters)
    assert model.score(X, columns) == want.score(X, np.column_stack([FLAGS, NUMBERS > 1]))


@pytest.mark.parametrize("name", [name for name in NOT_NUMPYS if "string" not in name])
def test_regressions_and_weights_of_other_containers(name):
    y, plain = NOT_NUMPYS[name]
    plain = plain.astype(float)
    model, want = (MLPRegressor(hidden_layer_sizes=4, max_iter=3, random_state=0) for _ in range(2))
    model.fit(X, y)
    want.fit(X, plain)
    assert same_bits(model.model_.parameters, want.model_.parameters)
    assert model.score(X, y) == want.score(X, plain)
    if not isinstance(y, pd.DataFrame):
        model.fit(X, X[:, 0], sample_weight=y)
        want.fit(X, X[:, 0], sample_weight=plain)
        assert same_bits(model.model_.parameters, want.model_.parameters)


TABLES = {
    "Int64": ("Int64", np.float64),
    "boolean": ("boolean", np.float64),
    "category": ("category", np.float64),
    "arrow int64": ("int64[pyarrow]", np.float64),
    "arrow bool": ("bool[pyarrow]", np.float64),
    "mixed": ({"a": "Int64", "b": "double[pyarrow]", "c": "UInt8"}, np.float64),
    "Float32": ("Float32", np.float32),
    "arrow float": ("float[pyarrow]", np.float32),
    "mixed float32": ({"a": "Float32", "b": "float[pyarrow]", "c": "float32"}, np.float32),
}


@pytest.mark.parametrize("name", [*TABLES, "polars float32"])
def test_features_of_other_containers_are_those_of_plain_arrays(name):
    dtypes, dtype = TABLES.get(name, ("float32", np.float32))
    values = np.random.default_rng(0).integers(0, 2 if "bool" in str(dtypes) else 5, (178, 3))
    table = pd.DataFrame(values, columns=list("abc")).astype(dtypes)
    if name == "polars float32":
        table = pl.DataFrame(table)
    model, want = ours().fit(table, NUMBERS), ours().fit(values.astype(dtype), NUMBERS)
    assert model.model_.dtype == dtype
    assert same_bits(model.model_.parameters, want.model_.parameters)
    assert same_bits(model.predict_proba(table), want.predict_proba(values.astype(dtype)))


MISSING = {
    **{
        name: pd.Series([*NUMBERS.tolist()[:3], None, *NUMBERS.tolist()[4:]], dtype=name)
        for name in ("Int64", "UInt8", "Float64", "int64[pyarrow]")
    },
    **{
        name: pd.Series([*FLAGS.tolist()[:3], None, *FLAGS.tolist()[4:]], dtype=name)
        for name in ("boolean", "bool[pyarrow]")
    },
    **{
        str(name): pd.Series([*TEXTS.tolist()[:3], None, *TEXTS.tolist()[4:]], dtype=name)
        for name in ("string", "string[pyarrow]", "category", object)
    },
    "list": [*NUMBERS.tolist()[:3], None, *NUMBERS.tolist()[4:]],
    "NaN among texts": np.array([*TEXTS[:3], np.nan, *TEXTS[4:]], object),
    "dates": np.array([*["2020-01-01"] * 3, "NaT", *["2021-01-01"] * 174], "datetime64[D]"),
    "polars": pl.Series([*FLAGS.tolist()[:3], None, *FLAGS.tolist()[4:]]),
}


@pytest.mark.parametrize("name", MISSING)
def test_missing_targets_are_named(name):
    y = MISSING[name]
    for model in (ours(), MLPRegressor()):
        with pytest.raises(ValueError, match=r"y must have no missing values, got .+ in row 3"):
            model.fit(X, y)
        assert not hasattr(model, "n_features_in_")
    with pytest.raises(ValueError, match="classes must have no missing values"):
        ours().partial_fit(X, TEXTS, classes=pd.Series(y).unique())
    plain = np.delete(np.asarray(y, object), 3)
    plain = plain.astype("datetime64[D]") if name == "dates" else np.array(plain.tolist())
    with pytest.raises(ValueError, match=r"eval_set\[0\]\[1\] must have no missing values"):
        ours().fit(np.delete(X, 3, axis=0), plain, eval_set=(X, y))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array(["a", 1] * 89, object), "Unknown label type.* got int and str"),
        (np.array([1, "a"] * 89, object), "Unknown label type.* got int and str"),
        (np.array([1j, 1] * 89, object), "Unknown label type"),
        (np.array([2**64, -1] * 89, object), "Unknown label type"),
    ],
    ids=["text first", "number first", "complex", "beyond 64 bits"],
)
def test_objects_of_no_one_type_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        ours().fit(X, values)


# --- what messages say ---------------------------------------------------------------------------

# Labels, one of them, and another of the same type that is none of them.
SHOWN = {
    "bools": (FLAGS, True, 7),
    "nullable bools": (pd.Series(FLAGS, dtype="boolean"), True, 7),
    "texts": (np.where(FLAGS, "red", "white"), "red", "blue"),
    "numbers": (np.where(FLAGS, 7, 9), 7, 3),
    "boxed numbers": (np.where(FLAGS, 7, 9).astype(object), 7, 3),
}


@pytest.mark.parametrize("name", SHOWN)
def test_messages_show_the_labels_that_were_given(name):
    y, label, other = SHOWN[name]
    has_label = np.asarray(y).astype(type(label)) == label
    rare = np.r_[np.flatnonzero(has_label)[:1], np.flatnonzero(~has_label)]
    with pytest.raises(ValueError, match=rf"In the labels of y: \[{label!r}\]"):
        ours(early_stopping=True).fit(X[rare], y[rare])
    rest = y[rare[1:]]
    model = ours(warm_start=True).fit(X, y)
    classes = rf"\[[^]]*{label}[^]]*\]"
    with pytest.raises(ValueError, match=rf"Previously got {classes}, `y` has"):
        model.fit(X[rare[1:]], rest)
    with pytest.raises(ValueError, match=rf"target must be one of {classes}, got 'x'"):
        model.input_gradient(X, target="x")
    with pytest.raises(ValueError, match=rf"last call to fit or partial_fit, {classes}"):
        model.partial_fit(X, y, classes=pd.Series(rest).unique())
    others = np.resize(np.array([other, *pd.Series(rest).unique()], object), len(X))
    message = rf"classes not in `self.classes_`: \['?{other}'?\], expected some of {classes}"
    with pytest.raises(ValueError, match=message):
        model.set_params(warm_start=False).partial_fit(X, others)
    with pytest.raises(ValueError, match=message):
        ours().fit(X, y, eval_set=(X, others))


# --- probabilities of float32 --------------------------------------------------------------------


@pytest.mark.parametrize("labels", [NUMBERS, FLAGS], ids=["three classes", "two"])
@pytest.mark.parametrize("loss", ["log_loss", "binary_cross_entropy", "cross_entropy"])
def test_probabilities_of_float32_can_be_drawn_from(labels, loss):
    """A row as it is; after the docstring's line, for what asks for more digits, too."""
    probabilities = ours(loss=loss, dtype="float32").fit(X, labels).predict_proba(X * 3)
    assert probabilities.dtype == np.float32
    rng = np.random.default_rng(0)
    classes = np.unique(labels)
    assert all(rng.choice(classes, p=row) in classes for row in probabilities)
    p = probabilities / probabilities.sum(axis=1, keepdims=True, dtype=np.float64)
    assert p.dtype == np.float64
    assert (np.abs(p.sum(axis=1) - 1) <= 4 * np.finfo(float).eps).all()
    assert all(rng.choice(classes, p=row.tolist()) in classes for row in p)
    assert (rng.multinomial(5, p).sum(axis=1) == 5).all()
