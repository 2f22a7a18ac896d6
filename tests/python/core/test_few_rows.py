"""Batch normalization with few rows in a batch."""

import numpy as np
import pytest
from bounds import same_bits

import chainrule as cr
from chainrule.estimators import MLPRegressor


def task(n_rows):
    rng = np.random.default_rng(n_rows)
    x = rng.normal(size=(n_rows, 4))
    return x, np.sin(x[:, 0]) + x[:, 1] * x[:, 2]


@pytest.mark.parametrize("batch_size", [32, 200])
@pytest.mark.parametrize("n_rows", [32, 33, 64, 65, 201, 257, 401])
def test_a_network_fits_the_rows_it_was_trained_on(n_rows, batch_size):
    x, y = task(n_rows)
    model = cr.MLP([4, 64, 64, 1], norm="batch", seed=1)
    model.fit(x, y, loss="mse", optimizer=cr.Adam(5e-3), batch_size=batch_size, epochs=200)
    assert model.evaluate(x, y, loss="mse").score > 0.95


@pytest.mark.parametrize("n_rows", [33, 34, 65, 97])
def test_running_statistics_are_those_of_the_data(n_rows, variant, dtype):
    x, y = task(n_rows)
    model = cr.MLP([4, cr.Dense(8, norm="batch"), 1], dtype=dtype)
    z = x @ model.weights[0]
    # A rate so small that the parameters stay: the statistics are of one distribution.
    model.fit(x, y, loss="mse", optimizer=cr.SGD(1e-30), batch_size=32, epochs=400)
    mean, variance = np.split(model.running_statistics, 2)
    np.testing.assert_allclose(mean, z.mean(0), atol=0.25)
    np.testing.assert_allclose(variance, z.var(0, ddof=1), rtol=0.25)


def test_a_row_left_over_is_taken_with_the_batch_before(rng):
    x, y = task(65)
    joined, steps = (cr.MLP([4, 8, 1], norm="batch", seed=3) for _ in "ab")
    joined.fit(x, y, loss="mse", batch_size=32, epochs=1, shuffle=False)
    trainer = cr.Trainer(steps, loss="mse")
    trainer.step(x[:32], y[:32])
    trainer.step(x[32:], y[32:])
    assert joined._trainer.step_count == 2
    assert same_bits(joined.parameters, steps.parameters)


def test_statistics_are_weighted_by_rows():
    x, y = task(40)
    model = cr.MLP([4, cr.Dense(3, norm="batch"), 1], dtype="float64")
    z = x @ model.weights[0]
    model.fit(x, y, loss="mse", optimizer=cr.SGD(1e-200), batch_size=30, epochs=1, shuffle=False)
    expected = np.zeros(3), np.ones(3)
    for rows, weight in ((z[:30], 0.1), (z[30:], 0.1 / 3)):
        for running, batch in zip(expected, (rows.mean(0), rows.var(0, ddof=1)), strict=True):
            running += weight * (batch - running)
    np.testing.assert_allclose(model.running_statistics, np.concatenate(expected), rtol=1e-12)


def test_training_on_single_rows_is_refused():
    x, y = task(40)
    model = cr.MLP([4, 8, 1], norm="batch")
    before = model.parameters.copy(), model.running_statistics.copy()
    trainer = cr.Trainer(model, loss="mse")
    one = x[:1], y[:1]
    for call in (
        lambda: model.fit(*one, loss="mse"),
        lambda: model.fit(x, y, loss="mse", batch_size=1),
        lambda: model.fit(x[:2], y[:2], loss="mse", validation_fraction=0.5),
        lambda: trainer.step(*one),
        lambda: trainer.fit(*one),
        lambda: model.forward(x[:1], training=True),
        lambda: model.loss_and_gradient(*one, loss="mse", training=True),
        lambda: model.input_gradient(*one, loss="mse", training=True),
        lambda: MLPRegressor(hidden_layer_sizes=(8,), norm="batch").fit(*one),
        lambda: MLPRegressor(hidden_layer_sizes=(8,), norm="batch", batch_size=1).fit(x, y),
        lambda: MLPRegressor(hidden_layer_sizes=(8,), norm="batch").partial_fit(*one),
        lambda: (
            MLPRegressor(hidden_layer_sizes=(8,), norm="batch").partial_fit(x, y).partial_fit(*one)
        ),
    ):
        with pytest.raises(ValueError, match=r"at least 2 rows .*batch normalization.* got 1$"):
            call()
    assert same_bits(model.parameters, before[0])
    assert same_bits(model.running_statistics, before[1])
    # Where nothing is learned from them, single rows are as good as many.
    assert model.forward(x[:1]).shape == (1, 1)
    model.loss_and_gradient(*one, loss="mse")
    assert model.predict(x[:1]).shape == (1, 1)
    cr.MLP([4, 8, 1], norm="layer").fit(x, y, loss="mse", batch_size=1, epochs=1)
