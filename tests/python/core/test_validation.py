"""Targets, labels, weights and scalar arguments: what is taken, and what is said otherwise."""

import fractions
import math
import sys

import numpy as np
import pytest
from bounds import same_bits
from hypothesis import given
from hypothesis import strategies as st

import chainrule as cr
from chainrule import _arguments, _validation

X = np.arange(20.0).reshape(4, 5)


def attempt(y, loss, n_outputs, sample_weight=None, **settings):
    """Fit, and check that a refusal leaves the model as it was."""
    model = cr.MLP([5, n_outputs])
    before = model.parameters.copy()
    try:
        model.fit(X, y, loss=loss, sample_weight=sample_weight, **{"epochs": 1, **settings})
    except (TypeError, ValueError):
        assert same_bits(model.parameters, before)
        assert model.history is None
        raise
    return model


@pytest.mark.parametrize(
    "labels",
    [
        [0, 1, 2, 0],
        (0, 1, 2, 0),
        np.array([0, 1, 2, 0], np.uint8),
        np.array([0, 1, 2, 0], np.int64),
        np.array([0, 1, 2, 0], ">i2"),
        np.array([0.0, 1.0, 2.0, -0.0]),
        np.array([0, 1, 2, 0], np.float16),
        np.array([0, 1, 2, 0], object),
        np.array([0, 9, 1, 9, 2, 9, 0, 9], np.int32)[::2],
        np.eye(3)[[0, 1, 2, 0]],
        np.eye(3, dtype=bool)[[0, 1, 2, 0]],
    ],
)
def test_labels_of_all_kinds(labels):
    model = attempt(labels, "cross_entropy", 3)
    want = attempt(np.array([0, 1, 2, 0]), "cross_entropy", 3)
    np.testing.assert_allclose(model.parameters, want.parameters, rtol=1e-5, atol=1e-6)


def test_bools_are_labels_of_two_classes():
    model = attempt(np.array([True, False, True, False]), "cross_entropy", 2)
    assert same_bits(model.parameters, attempt([1, 0, 1, 0], "cross_entropy", 2).parameters)


@pytest.mark.parametrize(
    ("y", "loss", "n_outputs", "error", "message"),
    [
        ([0, 1, 3, 0], "cross_entropy", 3, ValueError, r"labels in \[0, 3\), got 3 at y\[2\]"),
        ([0, -1, 3, 0], "cross_entropy", 3, ValueError, r"labels in \[0, 3\), got -1 at y\[1\]"),
        (
            np.array([0, 2**63, 1, 0], np.uint64),
            "cross_entropy",
            3,
            ValueError,
            r"got 9223372036854775808 at y\[1\]",
        ),
        ([0, 1, 1.5, 0], "cross_entropy", 3, ValueError, r"integer labels .* got 1.5 at y\[2\]"),
        ([0, 1, np.nan, 0], "cross_entropy", 3, ValueError, r"integer labels .* nan at y\[2\]"),
        ([0, 1, np.inf, 0], "cross_entropy", 3, ValueError, r"labels .* got inf at y\[2\]"),
        (
            ["a", "b", "a", "b"],
            "cross_entropy",
            3,
            TypeError,
            r"y must be an array of real numbers.*np.unique\(y, return_inverse=True\)",
        ),
        ([0, 1, 2], "cross_entropy", 3, ValueError, r"y must be an array of shape \(4,\) with one"),
        (
            [[0], [1], [2], [0]],
            "cross_entropy",
            3,
            ValueError,
            r"got shape \(4, 1\); use y.ravel\(\)",
        ),
        (np.eye(4), "cross_entropy", 3, ValueError, r"shape \(4, 3\), .* got shape \(4, 4\)"),
        (
            np.full((4, 3), 0.5),
            "cross_entropy",
            3,
            ValueError,
            "probabilities with the sum 1 in each row, got the sum 1.5 in row 0",
        ),
        (
            np.array([[0.5, 0.5, 0], [2, -1, 0], [1, 0, 0], [1, 0, 0]]),
            "cross_entropy",
            3,
            ValueError,
            r"must be in \[0, 1\] for class probabilities, got 2 at y\[1, 0\]",
        ),
        ([0, 0, 0, 0], "cross_entropy", 1, ValueError, "at least 2 outputs .* binary_cross_ent"),
        (
            [0, 1, 0, 1],
            cr.CrossEntropy(class_weight=[1, 1]),
            3,
            ValueError,
            "one weight for each of the 3 outputs, got 2",
        ),
        ([0, 1, 0.5, 2], "binary_cross_entropy", 1, ValueError, r"got 2 at y\[3, 0\]"),
        ([0, 1, 2, -1], "poisson", 1, ValueError, r"y must be >= 0 for poisson, got -1"),
        (
            [0, 1, 2, 3],
            "mse",
            2,
            ValueError,
            r"y must be an array of shape \(4, 2\), one row for each row of X, got shape \(4,\)",
        ),
        (
            [0, 1, 2],
            "mse",
            1,
            ValueError,
            r"y must be an array of shape \(4,\) or \(4, 1\), .* got shape \(3,\)",
        ),
        ([0, 1, 2, 1e39], "mse", 1, ValueError, r"y must fit in float32 .* 1e\+39 at y\[3\]"),
        ([0, 1, np.nan, 0], "mse", 1, ValueError, r"y must be finite, got nan at y\[2\]"),
        (np.ones((4, 3)), "gaussian_nll", 3, ValueError, "two outputs .* got 3 outputs"),
        (np.ones((4, 3)), "gaussian_nll", 4, ValueError, r"shape \(4, 2\), .* got shape \(4, 3\)"),
        (np.ones(4), cr.Quantile([0.1, 0.9]), 3, ValueError, "a multiple of 2 outputs for Quant"),
        (np.ones(4), cr.Quantile([0.1, 0.9]), 4, ValueError, r"shape \(4, 2\), .* shape \(4,\)"),
        (None, "mse", 1, TypeError, "y must be an array of real numbers, got NoneType"),
    ],
)
def test_targets_are_checked(y, loss, n_outputs, error, message):
    with pytest.raises(error, match=message):
        attempt(y, loss, n_outputs)


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ([1, 1, 1], ValueError, r"sample_weight must be an array of shape \(4,\), .* shape \(3,\)"),
        (np.ones((4, 1)), ValueError, r"got shape \(4, 1\)"),
        (1.0, TypeError, "sample_weight must be an array of real numbers, got float 1.0"),
        ([1, 1, -0.5, 1], ValueError, r"must be >= 0 for each row, got -0.5 at sample_weight\[2\]"),
        ([1, np.nan, 1, 1], ValueError, r"must be finite, got nan at sample_weight\[1\]"),
        ([1, np.inf, 1, 1], ValueError, r"must be finite, got inf at sample_weight\[1\]"),
        ([1, 1e39, 1, 1], ValueError, "sample_weight must fit in float32"),
        ([0, 0, 0, 0], ValueError, "at least one positive weight, got zeros only"),
        (["a", "b", "c", "d"], TypeError, "sample_weight must be an array of real numbers"),
        ("balanced", TypeError, "sample_weight must be an array of real numbers"),
    ],
)
def test_sample_weights_are_checked(weights, error, message):
    with pytest.raises(error, match=message):
        attempt([0.0, 1, 2, 3], "mse", 1, weights)


def test_a_batch_without_weight_may_be_stepped():
    model = cr.MLP([5, 1])
    before = model.parameters.copy()
    trainer = cr.Trainer(model, loss="mse", optimizer=cr.SGD())
    assert trainer.step(X, np.ones(4), np.zeros(4)) == 0
    assert same_bits(model.parameters, before)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"optimizer": "adm"}, ValueError, "did you mean 'adam'"),
        ({"optimizer": 0.1}, TypeError, "optimizer must be one of .* got float"),
        ({"batch_size": 0}, ValueError, "batch_size must be an integer >= 1, got 0"),
        ({"batch_size": 2.0}, TypeError, "batch_size must be an integer, got float 2.0"),
        ({"batch_size": None}, TypeError, "batch_size must be an integer, got NoneType"),
        ({"epochs": 0}, ValueError, "epochs must be an integer >= 1, got 0"),
        ({"epochs": True}, TypeError, "epochs must be an integer, got bool"),
        ({"epochs": 2**62, "batch_size": 1}, ValueError, "epochs .* must be an integer <= 922"),
        ({"shuffle": 1}, TypeError, "shuffle must be True or False, got int 1"),
        ({"l1": -0.1}, ValueError, "l1 must be a finite number >= 0, got -0.1"),
        ({"l2": "1"}, TypeError, "l2 must be a finite number >= 0, got str '1'"),
        ({"penalize_biases": None}, TypeError, "penalize_biases must be True or False"),
        ({"divide_penalties": 1}, TypeError, "divide_penalties must be True or False"),
        ({"shards": 0}, ValueError, "shards must be an integer >= 1, got 0"),
        ({"shards": "two"}, TypeError, "shards must be an integer, got str 'two'"),
        ({"clip_norm": 0}, ValueError, "clip_norm must be a finite number > 0, got 0"),
        ({"clip_value": np.nan}, ValueError, "clip_value must be a finite number > 0, got nan"),
        ({"validation_fraction": 0.0}, ValueError, "validation_fraction must be .* > 0 and < 1"),
        ({"validation_fraction": 1}, ValueError, "validation_fraction must be .* < 1, got 1"),
        ({"validation_fraction": 0.9}, ValueError, "must leave at least one row to train on"),
        ({"validation_data": X}, TypeError, r"must be a tuple \(X, y\) or .*got ndarray"),
        ({"validation_data": (X,)}, TypeError, r"must be a tuple \(X, y\) or .*got tuple of 1"),
        (
            {"validation_data": (X[:, :4], np.ones(4))},
            ValueError,
            r"validation_data\[0\] must be a 2-D array of shape \(n_samples, 5\)",
        ),
        (
            {"validation_data": (X, np.ones(3))},
            ValueError,
            r"validation_data\[1\] must be an array of shape \(4,\) or \(4, 1\)",
        ),
        (
            {"validation_data": (X, np.ones(4), -np.ones(4))},
            ValueError,
            r"got -1 at validation_data\[2\]\[0\]",
        ),
        (
            {"validation_data": (X, np.ones(4)), "validation_fraction": 0.5},
            ValueError,
            "validation_fraction must be None when validation_data is given, got 0.5",
        ),
        ({"class_weight": "balanced"}, ValueError, r"class_weight must be None .* with MSE\(\)"),
        ({"early_stopping": True}, TypeError, "early_stopping must be an EarlyStopping or None"),
        ({"callbacks": print}, TypeError, "callbacks must be a sequence of functions and"),
        ({"callbacks": [3]}, TypeError, r"callbacks\[0\] must be a function or an object with"),
        ({"callbacks": [cr.Callback]}, TypeError, r"callbacks\[0\] must be a function or an obj"),
        ({"progress": 1}, TypeError, "progress must be True or False, got int 1"),
        ({"resume": None}, TypeError, "resume must be True or False, got NoneType"),
        ({"resume": True}, ValueError, "resume must be False before the first fit of this model"),
        ({"seed": -1}, ValueError, "seed must be an integer >= 0, got -1"),
        ({"seed": "0"}, TypeError, "seed must be an integer, got str '0'"),
    ],
)
def test_settings_are_checked(settings, error, message):
    with pytest.raises(error, match=message):
        attempt(np.arange(4.0), "mse", 1, **settings)


@pytest.mark.parametrize(
    ("class_weight", "error", "message"),
    [
        ("even", ValueError, "class_weight must be one of 'balanced', got 'even'"),
        ({3: 1.0}, ValueError, "label in class_weight must be an integer <= 2, got 3"),
        ({-1: 1.0}, ValueError, "label in class_weight must be an integer >= 0, got -1"),
        ({"a": 1.0}, TypeError, "label in class_weight must be an integer, got str 'a'"),
        ({0: -1.0}, ValueError, r"class_weight\[0\] must be a finite number >= 0, got -1"),
        ({0: 0, 1: 0}, ValueError, r"class_weight \(times sample_weight\) .* got zeros only"),
        ([1.0, 2.0], ValueError, r"an array of shape \(3,\), got shape \(2,\)"),
        ([1.0, 2.0, -1.0], ValueError, r"got -1 at class_weight\[2\]"),
        ([1.0, 2.0, np.nan], ValueError, r"got nan at class_weight\[2\]"),
    ],
)
def test_class_weights_are_checked(class_weight, error, message):
    with pytest.raises(error, match=message):
        attempt([0, 1, 0, 1], "cross_entropy", 3, class_weight=class_weight)


def test_class_weights_need_labels():
    with pytest.raises(ValueError, match="class_weight must be None unless the loss is cross_ent"):
        attempt(np.eye(4), "cross_entropy", 4, class_weight="balanced")
    with pytest.raises(ValueError, match="y must hold only 0 and 1 for class_weight"):
        attempt([0, 1, 0.5, 1], "binary_cross_entropy", 1, class_weight="balanced")
    with pytest.raises(ValueError, match="class_weight must be None unless"):
        attempt(np.ones((4, 2)), "binary_cross_entropy", 2, class_weight="balanced")


def test_lbfgs_takes_all_rows_and_no_dropout():
    y = np.arange(4.0)
    with pytest.raises(ValueError, match="batch_size must be at least the number of rows, 4, for"):
        attempt(y, "mse", 1, optimizer="lbfgs", batch_size=3)
    for batch_size in (4, 128, 1000):
        attempt(y, "mse", 1, optimizer="lbfgs", batch_size=batch_size)
    with pytest.raises(ValueError, match="clip_norm and clip_value must be None with LBFGS"):
        attempt(y, "mse", 1, optimizer="lbfgs", clip_norm=1.0)
    with pytest.raises(ValueError, match="optimizer must not be LBFGS for a model with dropout"):
        cr.MLP([5, 4, 1], dropout=0.1).fit(X, y, loss="mse", optimizer=cr.LBFGS())


def test_trainer_needs_a_model():
    with pytest.raises(TypeError, match="model must be an MLP, got list"):
        cr.Trainer([5, 1], loss="mse")
    with pytest.raises(ValueError, match=r"two outputs .* got 3 outputs"):
        cr.Trainer(cr.MLP([5, 3]), loss="gaussian_nll")


def test_numpy_scalars_are_numbers():
    model = cr.MLP([np.int32(5), np.uint8(1)], dropout=np.float16(0.5), seed=np.uint64(2**63))
    model.fit(
        X,
        np.ones(4),
        loss=cr.Huber(np.array(0.5)),
        optimizer=cr.Adam(np.float32(0.125), beta1=np.longdouble(0.5)),
        batch_size=np.int16(2),
        epochs=np.int64(1),
        shuffle=np.True_,
        l1=np.int8(0),
        clip_norm=fractions.Fraction(1, 2),
    )
    assert model.history.learning_rate == [0.125]


# --- the checks themselves -----------------------------------------------------------------------


@given(st.integers(-(2**70), 2**70), st.integers(-5, 5))
def test_integer(value, minimum):
    if minimum <= value <= _arguments.INT64_MAX:
        assert _arguments.integer(value, "n", minimum) == value
    else:
        with pytest.raises(ValueError, match=r"n must be an integer [<>]= "):
            _arguments.integer(value, "n", minimum)


@given(st.floats() | st.integers(-(10**400), 10**400))
def test_number(value):
    fits = abs(value) <= sys.float_info.max if isinstance(value, int) else math.isfinite(value)
    if fits and 0 <= value < 1:
        assert _arguments.number(value, "p", minimum=0.0, below=1.0) == float(value)
    else:
        with pytest.raises(ValueError, match="p must be a finite number >= 0 and < 1, got "):
            _arguments.number(value, "p", minimum=0.0, below=1.0)


@given(st.text(max_size=12))
def test_one_of(text):
    names = ["relu", "tanh"]
    if text in names:
        assert _arguments.one_of(text, names, "name") == text
    else:
        with pytest.raises(ValueError, match="name must be one of 'relu', 'tanh', got "):
            _arguments.one_of(text, names, "name")


@given(
    st.lists(st.floats(width=32) | st.integers(-(2**20), 2**20), min_size=1, max_size=30),
    st.sampled_from(["float32", "float64"]),
)
def test_matrix_is_exact_or_refused(values, dtype):
    kind = np.dtype(dtype)
    rows = [[v] for v in values]
    if all(math.isfinite(v) for v in values):
        got = _validation.matrix(rows, "X", kind, 1)
        assert same_bits(got, np.array(rows, kind))
        assert got.flags.c_contiguous
        assert got.flags.aligned
        return
    first = next(i for i, v in enumerate(values) if not math.isfinite(v))
    with pytest.raises(ValueError, match=rf"X must be finite, got .* at X\[{first}, 0\]"):
        _validation.matrix(rows, "X", kind, 1)


@given(st.lists(st.integers(-3, 8), min_size=1, max_size=30), st.integers(1, 6))
def test_labels_are_exact_or_refused(values, n_classes):
    wrong = [i for i, v in enumerate(values) if not 0 <= v < n_classes]
    for array in (np.array(values), np.array(values, float), values):
        if wrong:
            with pytest.raises(ValueError, match=rf"at y\[{wrong[0]}\]"):
                _validation.labels(array, "y", len(values), n_classes)
        else:
            got = _validation.labels(array, "y", len(values), n_classes)
            assert got.dtype == np.int32
            assert got.tolist() == values
