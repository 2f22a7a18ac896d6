"""Inputs of any layout, type and byte order: the result of a plain copy, the input untouched."""

import numpy as np
import pandas as pd
import pytest
from bounds import same_bits
from layouts import DTYPES, LAYOUTS, content, frozen, plain

import chainrule as cr
from chainrule import _validation

X = np.arange(35).reshape(7, 5) * 3 % 11
Y = np.arange(14).reshape(7, 2) % 5
LABELS = np.arange(7) % 3
WEIGHTS = np.arange(1, 8)


def new_model(n_outputs, dtype):
    return cr.MLP([5, 6, n_outputs], dtype=dtype, seed=2)


def fitted(x, y, weights, loss, n_outputs, dtype):
    model = new_model(n_outputs, dtype)
    model.fit(
        x,
        y,
        loss=loss,
        epochs=2,
        batch_size=3,
        sample_weight=weights,
        validation_data=(x, y, weights),
    )
    return model.parameters.copy()


def stepped(x, y, weights, loss, n_outputs, dtype):
    model = new_model(n_outputs, dtype)
    cr.Trainer(model, loss=loss).step(x, y, weights)
    return model.parameters.copy()


ENTRIES = {
    "fit": fitted,
    "step": stepped,
    "loss_and_gradient": lambda x, y, w, loss, n, dtype: new_model(n, dtype).loss_and_gradient(
        x, y, loss=loss, sample_weight=w
    )[1],
    "input_gradient": lambda x, y, w, loss, n, dtype: new_model(n, dtype).input_gradient(
        x, y, loss=loss, sample_weight=w
    ),
    "evaluate": lambda x, y, w, loss, n, dtype: np.array(
        new_model(n, dtype).evaluate(x, y, loss=loss, sample_weight=w)
    ),
    "predict": lambda x, y, w, loss, n, dtype: new_model(n, dtype).predict(x),
    "forward": lambda x, y, w, loss, n, dtype: new_model(n, dtype).forward(x),
}


@pytest.mark.parametrize("given", DTYPES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_and_type(layout, given, dtype, tmp_path):
    kinds = {"mse": (Y, 2), "cross_entropy": (LABELS, 3)}
    for loss, (targets, n_outputs) in kinds.items():
        arrays = []
        for i, values in enumerate((X, targets, WEIGHTS)):
            directory = tmp_path / loss / str(i)
            directory.mkdir(parents=True)
            arrays.append(frozen(LAYOUTS[layout](values.astype(given), directory)))
        before = [content(a) for a in arrays]
        copies = [plain(arrays[0], dtype), plain(arrays[1], dtype), plain(arrays[2], dtype)]
        if loss == "cross_entropy":
            copies[1] = copies[1].astype(np.int32)
        for entry, call in ENTRIES.items():
            got = call(*arrays, loss, n_outputs, dtype)
            want = call(*copies, loss, n_outputs, dtype)
            assert same_bits(got, want), (loss, entry)
            assert [content(a) for a in arrays] == before, (loss, entry)


@pytest.mark.parametrize("given", DTYPES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_kernels_take_every_layout_and_type(layout, given, tmp_path):
    x, w = X.astype(given), X.T.astype(given)[:, :4]
    kernels = cr.kernels
    for i, (values, call) in enumerate(
        {
            "relu": (x, lambda a: kernels.relu_forward(a)),
            "dense": (x, lambda a: kernels.dense_forward(a, w.astype(float))),
            "weight": (w, lambda a: kernels.dense_forward(x.astype(float), a)),
            "norm": (x, lambda a: kernels.layer_norm_forward(a, np.ones(5), np.zeros(5)).out),
            "loss": (x, lambda a: kernels.mse(a, np.ones((7, 5)))[1]),
        }.values()
    ):
        directory = tmp_path / str(i)
        directory.mkdir()
        array = frozen(LAYOUTS[layout](values, directory))
        if getattr(array, "dtype", None) in (np.float32, np.dtype(">f4")) and i in (1, 2, 3):
            with pytest.raises(TypeError, match="a kernel call never mixes dtypes"):
                call(array)
            continue
        before = content(array)
        got = call(array)
        assert same_bits(got, call(plain(array, got.dtype)))
        assert content(array) == before


def test_nothing_is_copied_that_fits(dtype):
    kind = np.dtype(dtype)
    x, y = np.ones((4, 5), dtype), np.ones((4, 2), dtype)
    for array in (x, y):
        array.flags.writeable = False
    assert _validation.matrix(x, "X", kind, 5) is x
    assert np.shares_memory(_validation.target_values(y, "y", kind, 4, 2), y)
    assert np.shares_memory(_validation.sample_weights(x[0], kind, 5), x)
    labels = np.arange(4, dtype=np.int32)
    # Labels are indices into memory, so they are always the fit's own.
    assert not np.shares_memory(_validation.labels(labels, "y", 4, 4), labels)
    turned = np.asfortranarray(x)
    assert not np.shares_memory(_validation.matrix(turned, "X", kind, 5), turned)


BAD = {
    "complex": (X * 1j, TypeError, "X must be an array of real numbers, got dtype complex128"),
    "text": (X.astype(str), TypeError, "X must be an array of real numbers, got dtype <U"),
    "text_in_objects": (
        [[1.0, 2.0, 3.0, 4.0, "5"]],
        TypeError,
        "X must be an array of real numbers, got dtype <U",
    ),
    "objects": (
        np.array([[None] * 5], object),
        TypeError,
        "X must be an array of real numbers, got dtype object",
    ),
    "dates": (X.astype("M8[s]"), TypeError, r"X must be an array of real numbers, got dtype date"),
    "records": (
        np.zeros(3, np.dtype([("a", "f4")])),
        TypeError,
        r"X must be an array of real numbers, got dtype \[\('a'",
    ),
    "ragged": ([[1.0] * 5, [1.0] * 4], ValueError, "X must be an array of numbers whose rows have"),
    "scalar": (1.0, TypeError, "X must be an array of real numbers, got float 1.0"),
    "flat": (
        np.ones(5),
        ValueError,
        r"got shape \(5,\); use X.reshape\(1, -1\) for one sample",
    ),
    "solid": (np.ones((1, 1, 5)), ValueError, r"got shape \(1, 1, 5\)"),
    "narrow": (np.ones((10, 4)), ValueError, r"shape \(n_samples, 5\), got shape \(10, 4\)"),
    "nan": (np.where(X == 7, np.nan, X), ValueError, r"X must be finite, got nan at X\[1, 1\]"),
    "inf": (np.where(X == 7, -np.inf, X), ValueError, r"X must be finite, got -inf at X\[1, 1\]"),
    "masked": (np.ma.masked_equal(X, 7), ValueError, "X must have no masked values"),
    "none": (None, TypeError, "X must be an array of real numbers, got NoneType"),
    "nested_frames": (pd.DataFrame({"a": ["x", "y"]}), TypeError, "X must be an array of real"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_matrix_of_numbers_is_refused(kind):
    x, error, message = BAD[kind]
    model = cr.MLP([5, 2])
    before = model.parameters.copy()
    trainer = cr.Trainer(model, loss="mse")
    y = np.zeros((7, 2))
    for call in (
        lambda: model.fit(x, y, loss="mse"),
        lambda: model.predict(x),
        lambda: model.evaluate(x, y, loss="mse"),
        lambda: model.loss_and_gradient(x, y, loss="mse"),
        lambda: model.input_gradient(x, y, loss="mse"),
        lambda: model.forward(x),
        lambda: trainer.step(x, y),
    ):
        with pytest.raises(error, match=message):
            call()
    assert same_bits(model.parameters, before)
    assert model.history is None


def test_what_overflows_is_refused():
    x = np.ones((3, 5))
    x[2, 1] = 1e39
    with pytest.raises(ValueError, match=r"X must fit in float32 .* got 1e\+39 at X\[2, 1\]"):
        cr.MLP([5, 2]).predict(x)
    assert cr.MLP([5, 2], dtype="float64").predict(x).shape == (3, 2)
    tiny = np.full((3, 5), 1e-320)
    assert np.isfinite(cr.MLP([5, 2]).predict(tiny)).all()
    if np.finfo(np.longdouble).max > np.finfo(float).max:
        huge = x.astype(np.longdouble) * np.longdouble(1e300) * np.longdouble(1e300)
        with pytest.raises(ValueError, match="X must fit in float64"):
            cr.MLP([5, 2], dtype="float64").predict(huge)


def test_one_feature_gets_another_hint():
    with pytest.raises(ValueError, match=r"use X.reshape\(-1, 1\) for one feature"):
        cr.MLP([1, 2]).predict(np.ones(7))


def test_sparse_matrices_get_a_hint():
    import scipy.sparse

    with pytest.raises(TypeError, match=r"dense array, got the sparse csr_.*use X.toarray\(\)"):
        cr.MLP([5, 2]).predict(scipy.sparse.csr_array(X))


def test_no_rows(dtype):
    model = cr.MLP([5, 2], dtype=dtype)
    none = np.empty((0, 5))
    assert model.predict(none).shape == (0, 2)
    for call in (
        lambda: model.fit(none, np.empty((0, 2)), loss="mse"),
        lambda: model.evaluate(none, np.empty((0, 2)), loss="mse"),
        lambda: model.loss_and_gradient(none, np.empty((0, 2)), loss="mse"),
        lambda: model.forward(none),
        lambda: cr.Trainer(model, loss="mse").step(none, np.empty((0, 2))),
    ):
        with pytest.raises(ValueError, match=r"X must have at least one row, got shape \(0, 5\)"):
            call()


def test_pandas_with_missing_values_of_its_own():
    frame = pd.DataFrame({"a": pd.array([1, 2, None], dtype="Int64"), "b": [1.0, 2.0, 3.0]})
    with pytest.raises(TypeError, match="X must be an array of real numbers, got dtype object"):
        cr.MLP([2, 1]).predict(frame)
    assert cr.MLP([2, 1]).predict(frame.fillna(0)).shape == (3, 1)
