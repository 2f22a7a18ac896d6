"""The same seed and data give the same bits: on every variant with FMA, in any split of rows."""

import numpy as np
import pytest
from bounds import same_bits

import chainrule as cr

FMA = [name for name in cr.runtime.variants() if name != "baseline"]
# What is compared with the first; where there is no other, a second run of the same.
FIRST, *OTHERS = FMA if len(FMA) > 1 else (FMA or ["baseline"]) * 2

OPTIMIZERS = [
    cr.SGD(0.05),
    cr.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    cr.RMSprop(1e-3, momentum=0.5, centered=True),
    cr.Adagrad(0.05),
    cr.Adam(),
    cr.Adam(1e-3, amsgrad=True),
    cr.AdamW(cr.OneCycle(1e-2)),
    cr.NAdam(),
    cr.Lion(),
    cr.LBFGS(),
]


def train(variant, optimizer, dtype):
    """Train for at least 200 steps with all that a layer can have; return every number left."""
    rng = np.random.default_rng(8)
    n_rows, batch_size = 203, 32  # 7 batches, the last one short
    x = rng.normal(size=(n_rows, 13))
    y = rng.integers(0, 5, n_rows)
    full_batch = isinstance(optimizer, cr.LBFGS)
    model = cr.MLP(
        [
            13,
            cr.Dense(37, "gelu", dropout=0.0 if full_batch else 0.2, norm="layer"),
            cr.Dense(24, "mish", norm="batch", bias=False),
            cr.Dense(17, "selu", dropout=0.0 if full_batch else 0.1),
            cr.Dense(9, "softplus", norm=None),
            5,
        ],
        dtype=dtype,
        seed=4,
    )
    first = model.parameters.copy()
    with cr.runtime.use_variant(variant):
        history = model.fit(
            x,
            y,
            loss=cr.CrossEntropy(0.05),
            optimizer=optimizer,
            batch_size=n_rows if full_batch else batch_size,
            epochs=200 if full_batch else 29,
            sample_weight=rng.uniform(0.5, 2, n_rows),
            l1=1e-5,
            l2=1e-4,
            clip_norm=None if full_batch else 1.0,
        )
        steps = model._trainer.step_count
        outputs = model.predict(x)
    assert np.isfinite(model.parameters).all()
    assert not same_bits(first, model.parameters)
    return steps, [model.parameters, model.running_statistics, outputs, np.array(history.loss)]


@pytest.mark.once
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_variants_with_fma_agree_to_the_last_bit(optimizer, dtype):
    steps, want = train(FIRST, optimizer, dtype)
    assert steps >= 200 or (isinstance(optimizer, cr.LBFGS) and steps >= 20)
    for other in OTHERS:
        got_steps, got = train(other, optimizer, dtype)
        assert got_steps == steps
        for a, b in zip(got, want, strict=True):
            assert same_bits(a, b), f"{other} and {FIRST} differ"


def test_two_runs_agree(variant, dtype):
    _, first = train(variant, cr.Adam(), dtype)
    _, second = train(variant, cr.Adam(), dtype)
    for a, b in zip(first, second, strict=True):
        assert same_bits(a, b)


@pytest.mark.parametrize("norm", [None, "layer", "batch"])
def test_predict_of_a_row_does_not_depend_on_the_batch(norm, variant, dtype, rng):
    model = cr.MLP([9, 16, 3], activation="silu", norm=norm, dtype=dtype)
    if norm == "batch":
        size = model.running_statistics.size
        model.running_statistics[:] = rng.uniform(0.5, 2, size)
    n_rows = 100_000
    x = rng.normal(size=(n_rows, 9)).astype(dtype)
    whole = model.predict(x)
    for size in (1, 2, 3, 7, 100, 255, 256, 257, 1000):
        for start in (0, 1, 50_001, n_rows - size):
            rows = slice(start, start + size)
            assert same_bits(model.predict(x[rows]), whole[rows]), (start, size)
    assert same_bits(model.predict(x[1:]), whole[1:])
    order = rng.permutation(n_rows)
    assert same_bits(model.predict(x[order]), whole[order])
    alone = np.concatenate([model.predict(x[i : i + 1]) for i in range(0, n_rows, 97)])
    assert same_bits(alone, whole[::97])


def test_alignment_of_the_input_does_not_matter(variant, dtype, rng):
    values = rng.normal(size=(200, 9)).astype(dtype)
    y = rng.normal(size=200)
    results = []
    for offset in range(8):
        x = np.empty(values.size + 8, dtype)[offset : offset + values.size].reshape(200, 9)
        x[...] = values
        model = cr.MLP([9, 17, 1], dtype=dtype)
        model.fit(x, y, loss="mse", batch_size=33, epochs=2)
        results.append(model.parameters.copy())
    for got in results[1:]:
        assert same_bits(got, results[0])


@pytest.mark.once
def test_variants_take_turns_on_one_network(rng):
    # Packed for one of them the weights fit where packed weights are kept, for another they do not.
    model = cr.MLP([40_000, 129, 1])
    x = rng.normal(size=(64, 40_000)).astype(np.float32)
    variants = [name for name in cr.runtime.variants() if name != "baseline"]
    results = []
    for name in [*variants, *reversed(variants)]:
        with cr.runtime.use_variant(name):
            outputs = model.forward(x, training=True)
        for other in variants:
            with cr.runtime.use_variant(other):
                results.append((outputs, model.backward(np.ones_like(outputs))))
    for outputs, gradient in results[1:]:
        assert same_bits(outputs, results[0][0])
        assert same_bits(gradient, results[0][1])


def test_large_layers_have_the_bits_of_their_parts(variant, dtype, rng):
    # Inputs in the thousands are copied by blocks, some columns by themselves are not.
    n_rows, n_in, n_out = (40, 1040, 270) if variant == "baseline" else (530, 1061, 1070)
    check_parts(n_rows, n_in, n_out, dtype, rng)
    check_parts(1, 1040, 270, dtype, rng)


def test_weights_too_large_to_pack_have_the_bits_of_their_parts(rng):
    check_parts(64, 3600, 3700, np.float32, rng, width=900)


def check_parts(n_rows, n_in, n_out, dtype, rng, width=50):
    x = rng.normal(size=(n_rows, n_in)).astype(dtype)
    w = rng.normal(size=(n_in, n_out)).astype(dtype)
    b = rng.normal(size=n_out).astype(dtype)
    grad_z = rng.normal(size=(n_rows, n_out)).astype(dtype)
    y = cr.kernels.dense_forward(x, w, b)
    grad_x, grad_w, grad_b = cr.kernels.dense_backward(grad_z, x, w)
    for first in range(0, n_out, width):
        part = slice(first, first + width)
        assert same_bits(y[:, part], cr.kernels.dense_forward(x, w[:, part].copy(), b[part]))
        _, w_part, b_part = cr.kernels.dense_backward(grad_z[:, part].copy(), x, w[:, part].copy())
        assert same_bits(grad_w[:, part], w_part)
        assert same_bits(grad_b[part], b_part)
    for first in range(0, n_in, width):
        part = slice(first, first + width)
        x_part, _, _ = cr.kernels.dense_backward(grad_z, x[:, part].copy(), w[part])
        assert same_bits(grad_x[:, part], x_part)


@pytest.mark.parametrize("norm", [None, "layer"])
def test_groups_of_rows_are_the_same_in_every_call(norm, variant, dtype, rng):
    # Small networks take 64 rows and more in groups, whose sums are added in a fixed order.
    x = rng.normal(size=(203, 9)).astype(dtype)
    y = rng.integers(0, 3, 203)
    layers = [9, cr.Dense(16, activation="gelu", dropout=0.2, norm=norm), 3]
    model = cr.MLP(layers, dtype=dtype, seed=1)
    loss, gradient = model.loss_and_gradient(x, y, loss="cross_entropy")
    gradient = gradient.copy()
    outputs = model.forward(x, training=False)
    value, grad_outputs = cr.kernels.cross_entropy(outputs, y)
    model.backward(grad_outputs)
    assert same_bits(model.gradient, gradient)
    assert abs(loss - value) <= 1e-6 * abs(loss)

    trainer = cr.Trainer(model, loss="cross_entropy", optimizer=cr.SGD(0.5))
    before = model.parameters.copy()
    again = cr.MLP(layers, dtype=dtype, seed=1)
    _, trained = again.loss_and_gradient(x, y, loss="cross_entropy", training=True)
    trainer.step(x, y)
    expected = np.float64(before) - 0.5 * np.float64(trained)
    np.testing.assert_allclose(model.parameters, expected, rtol=4 * np.finfo(dtype).eps, atol=1e-7)
