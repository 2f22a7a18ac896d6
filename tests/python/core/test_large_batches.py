"""Batches of thousands of rows, whose activations are not all there at a time.

Small networks take them by groups of rows that walk on, large ones by parts. Sums over rows
continue from one part to the next, so that gradients are those of the passes over all rows at once.
"""

import numpy as np
import pytest
from bounds import same_bits

import chainrule as cr

N_INPUTS = 21
# Beyond 65,536 parameters there are no groups. Rows are no multiple of anything.
NETWORKS = {"groups": ((40, 33), 9_001), "parts": ((290, 230), 4_403)}
FMA = [name for name in cr.runtime.variants() if name != "baseline"]


def make_model(name, n_outputs=3, dtype="float32", dropout=0.2):
    (first, second), n_rows = NETWORKS[name]
    layers = [
        N_INPUTS,
        cr.Dense(first, "gelu", norm="layer", dropout=dropout),
        cr.Dense(second, "tanh", dropout=dropout),
        n_outputs,
    ]
    return cr.MLP(layers, dtype=dtype, seed=2), n_rows


def make_data(n_rows, n_outputs, dtype="float32"):
    rng = np.random.default_rng(4)
    X = rng.standard_normal((n_rows, N_INPUTS)).astype(dtype)
    y = np.tanh(X[:, :n_outputs]) + 0.1 * rng.standard_normal((n_rows, n_outputs)).astype(dtype)
    return X, y.astype(dtype), rng.uniform(0.5, 2.0, n_rows).astype(dtype)


@pytest.fixture(params=FMA or ["baseline"])
def fast_variant(request):
    """Make each variant that computes FMAs in hardware the active one."""
    with cr.runtime.use_variant(request.param):
        yield request.param


# Narrow layers, of one output or a few, have products of their own.
@pytest.mark.parametrize("n_outputs", [1, 3, 21])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_have_the_bits_of_passes_over_all_rows(name, n_outputs, dtype, fast_variant):
    model, n_rows = make_model(name, n_outputs, dtype)
    X, y, weight = make_data(n_rows, n_outputs, dtype)
    loss = {"loss": "huber", "sample_weight": weight}
    step = {"training": True, "step": 7}  # the rows' dropout masks
    value, gradient = model.loss_and_gradient(X, y, **loss, **step)
    gradient = gradient.copy()
    grad_X = model.input_gradient(X, y, **loss, **step)

    outputs = model.forward(X, **step)
    want, grad_outputs = cr.kernels.huber(outputs, y, sample_weight=weight)
    assert same_bits(model.backward(grad_outputs), grad_X)
    assert same_bits(model.gradient, gradient)
    assert abs(value - want) <= 1e-13 * want
    _, other = model.loss_and_gradient(X, y, **loss, training=True, step=8)
    assert not same_bits(other, gradient)


@pytest.mark.once
@pytest.mark.parametrize("name", NETWORKS)
def test_threads_and_variants_train_the_same_bits(name, dtype):
    def train(variant, threads):
        model, n_rows = make_model(name, dtype=dtype)
        X, y, weight = make_data(2 * n_rows - 700, 3, dtype)  # the last batch is short
        with cr.runtime.use_variant(variant):
            history = model.fit(
                X,
                y,
                loss="mse",
                batch_size=n_rows,
                epochs=2,
                sample_weight=weight,
                clip_norm=0.5,
                l2=1e-4,
                threads=threads,
            )
        return np.concatenate([model.parameters, np.array(history.loss)])

    first, *others = FMA or ["baseline"]
    expected = train(first, 1)
    assert np.isfinite(expected).all()
    for variant, threads in [(first, 2), (first, 3), (first, 7), *((v, 2) for v in others)]:
        assert same_bits(train(variant, threads), expected), (variant, threads)


@pytest.mark.parametrize("name", NETWORKS)
def test_shuffled_rows_are_the_rows_in_that_order(name, fast_variant):
    model, n_rows = make_model(name)
    X, y, weight = make_data(n_rows + 1_500, 3)
    order = cr.kernels.permutation(len(X), seed=5, epoch=0)
    assert not (order == np.arange(len(X))).all()
    results = []
    for rows, settings in ((slice(None), {}), (order, {"shuffle": False})):
        model, _ = make_model(name)
        trainer = cr.Trainer(model, loss="mse", seed=5)
        trainer.fit(
            X[rows],
            y[rows],
            batch_size=n_rows,
            epochs=1,
            sample_weight=weight[rows],
            **settings,
        )
        assert trainer.step_count == 2
        results.append((model.parameters.copy(), np.array(trainer.history.loss)))
    for shuffled, ordered in zip(*results, strict=True):
        assert same_bits(shuffled, ordered)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradient_matches_central_differences(name, fast_variant):
    model, n_rows = make_model(name, dtype="float64")
    X, y, weight = make_data(n_rows, 3, "float64")
    settings = {"loss": "mse", "sample_weight": weight, "training": True, "l2": 0.1}
    _, gradient = model.loss_and_gradient(X, y, **settings)
    gradient, start, step = gradient.copy(), model.parameters.copy(), 1e-5
    for direction in np.random.default_rng(8).standard_normal((4, gradient.size)):
        line = direction / np.linalg.norm(direction)
        values = []
        for sign in (1.0, -1.0):
            model.parameters[:] = start + sign * step * line
            values.append(model.loss_and_gradient(X, y, **settings)[0])
        slope = (values[0] - values[1]) / (2 * step)
        assert abs(slope - gradient @ line) < 1e-7 * np.linalg.norm(gradient)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", NETWORKS)
def test_weights_are_those_of_the_whole_batch(name, reduction):
    # A weight of 0 for most rows leaves the gradient of the others.
    model, n_rows = make_model(name, dtype="float64", dropout=0.0)
    X, y, _ = make_data(n_rows, 3, "float64")
    weight = np.zeros(n_rows)
    weight[[0, 40, 2_500, n_rows - 1]] = 1.0, 2.0, 0.5, 3.0
    rows = weight > 0
    value, gradient = model.loss_and_gradient(
        X, y, loss="mse", sample_weight=weight, reduction=reduction
    )
    gradient = gradient.copy()
    want, few = model.loss_and_gradient(
        X[rows], y[rows], loss="mse", sample_weight=weight[rows], reduction=reduction
    )
    assert abs(value - want) <= 1e-14 * want
    np.testing.assert_allclose(gradient, few, rtol=0, atol=1e-14 * np.abs(few).max())
