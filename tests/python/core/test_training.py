"""Fits and single steps: what they compute."""

import numpy as np
import pytest
from bounds import same_bits

import chainrule as cr

OPTIMIZERS = [
    cr.SGD(0.05),
    cr.SGD(0.05, momentum=0.9),
    cr.RMSprop(1e-3, momentum=0.5, centered=True),
    cr.Adagrad(0.05),
    cr.Adam(),
    cr.Adam(amsgrad=True),
    cr.AdamW(),
    cr.NAdam(),
    cr.Lion(),
]


def problem(rng, n_rows=83):
    x = rng.normal(size=(n_rows, 4))
    y = np.stack([np.sin(x[:, 0]) + x[:, 1], x[:, 2] * x[:, 3]], axis=1)
    return x, y


def rich_model(dtype="float32", seed=5, dropout=0.2):
    return cr.MLP(
        [
            4,
            cr.Dense(16, "relu", dropout=dropout, norm="batch"),
            cr.Dense(8, "tanh", norm="layer"),
            2,
        ],
        dtype=dtype,
        seed=seed,
    )


def numbers(model):
    return np.concatenate([model.parameters, model.running_statistics])


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, cr.LBFGS()], ids=str)
def test_training_learns(optimizer, variant, dtype, rng):
    x, y = problem(rng, 200)
    model = cr.MLP([4, 32, 2], activation="tanh", dtype=dtype, seed=1)
    before = model.evaluate(x, y, loss="mse")
    epochs = 300 if optimizer.name in ("adagrad", "lion", "sgd") else 100
    history = model.fit(x, y, loss="mse", optimizer=optimizer, batch_size=128, epochs=epochs)
    after = model.evaluate(x, y, loss="mse")
    assert after.loss < 0.6 * before.loss
    assert history.loss[-1] < history.loss[0]
    assert after.score > before.score


def test_lbfgs_converges_to_the_exact_solution(variant, rng):
    x = rng.normal(size=(60, 4))
    y = x @ [1.0, -2.0, 3.0, 0.5] + 0.7 + 0.1 * rng.normal(size=60)
    model = cr.MLP([4, 1], dtype="float64")
    history = model.fit(x, y, loss="mse", optimizer=cr.LBFGS(gradient_tolerance=1e-9), epochs=100)
    assert history.stop_reason == "converged"
    assert 2 <= len(history.loss) < 60
    assert all(b <= a for a, b in zip(history.loss, history.loss[1:], strict=False))
    want, *_ = np.linalg.lstsq(np.column_stack([x, np.ones(60)]), y, rcond=None)
    np.testing.assert_allclose(model.parameters, want, rtol=1e-7)
    # Starting where it ended, there is nothing left to do.
    again = model.fit(x, y, loss="mse", optimizer=cr.LBFGS(gradient_tolerance=1e-6), epochs=5)
    assert again.stop_reason == "converged"
    assert again.loss == [history.loss[-1]]
    assert again.best_epoch == 1


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_a_fit_is_its_steps(optimizer, shuffle, variant, dtype, rng):
    x, y = problem(rng)
    weights = rng.uniform(0.1, 2, 83)
    settings = {"loss": "huber", "optimizer": optimizer, "l1": 1e-4, "l2": 1e-3, "clip_norm": 0.5}
    whole, stepped = rich_model(dtype), rich_model(dtype)
    history = whole.fit(
        x, y, batch_size=20, epochs=3, shuffle=shuffle, sample_weight=weights, **settings
    )
    trainer = cr.Trainer(stepped, **settings)
    for epoch in range(3):
        order = np.arange(83)
        if shuffle:
            order = cr.kernels.permutation(83, seed=5, epoch=epoch)
        total = 0.0
        for start in range(0, 83, 20):
            rows = order[start : start + 20]
            loss = trainer.step(x[rows], y[rows], weights[rows])
            total += loss * weights[rows].astype(dtype).sum(dtype=np.float64)
        mean = total / weights.astype(dtype).sum(dtype=np.float64)
        assert history.loss[epoch] == pytest.approx(mean, rel=1e-12)
    assert same_bits(numbers(whole), numbers(stepped))
    assert trainer.step_count == 15
    assert trainer.epoch == 0
    assert trainer.learning_rate == optimizer.learning_rate


def test_the_seed_decides(dtype, rng):
    x, y = problem(rng)

    def fitted(**settings):
        model = rich_model(dtype, dropout=0.0)
        model.fit(x, y, loss="mse", epochs=2, batch_size=10, **settings)
        return numbers(model)

    assert same_bits(fitted(), fitted())
    assert same_bits(fitted(), fitted(seed=5))
    assert not same_bits(fitted(), fitted(seed=6))
    assert same_bits(fitted(shuffle=False), fitted(shuffle=False, seed=6))


def test_weights_of_rows_count_rows(variant, rng):
    x, y = problem(rng, 30)
    weights = rng.integers(0, 4, 30)
    repeated = np.repeat(np.arange(30), weights)
    results = []
    for data, given in (((x, y), weights), ((x[repeated], y[repeated]), None)):
        model = cr.MLP([4, 8, 2], dtype="float64", seed=3)
        model.fit(*data, loss="mse", batch_size=1000, epochs=20, sample_weight=given)
        results.append(model.parameters.copy())
    np.testing.assert_allclose(*results, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_weights_of_classes_are_weights_of_rows(loss, rng):
    x = rng.normal(size=(50, 4))
    n_outputs = 3 if loss == "cross_entropy" else 1
    y = rng.integers(0, max(2, n_outputs), 50)
    n_classes = max(2, n_outputs)
    counts = np.bincount(y, minlength=n_classes)
    rows = rng.uniform(0.5, 2, 50)

    def fitted(sample_weight=None, class_weight=None):
        model = cr.MLP([4, 6, n_outputs], dtype="float64")
        model.fit(x, y, loss=loss, epochs=2, sample_weight=sample_weight, class_weight=class_weight)
        return model.parameters.copy()

    balanced = 50 / (n_classes * counts)
    assert same_bits(fitted(class_weight="balanced"), fitted(balanced[y]))
    assert same_bits(fitted(rows, "balanced"), fitted(rows * balanced[y]))
    given = np.array([2.0, 0.5, 1.0])[:n_classes]
    assert same_bits(fitted(class_weight=given), fitted(given[y]))
    assert same_bits(fitted(class_weight={0: 2, 1: np.float32(0.5)}), fitted(given[y]))
    assert not same_bits(fitted(class_weight=given), fitted())


def test_balanced_weights_do_without_absent_classes(rng):
    x = rng.normal(size=(20, 4))
    model = cr.MLP([4, 5])
    model.fit(x, np.arange(20) % 3, loss="cross_entropy", class_weight="balanced", epochs=1)
    assert np.isfinite(model.parameters).all()


def test_validation_data_is_evaluated(variant, rng):
    x, y = problem(rng)
    x_val, y_val = problem(rng, 31)
    weights = rng.uniform(size=31)
    model = rich_model()
    seen = []

    def evaluate(state):
        seen.append(model.evaluate(x_val, y_val, loss="mse", sample_weight=weights))

    history = model.fit(
        x, y, loss="mse", epochs=3, validation_data=(x_val, y_val, weights), callbacks=[evaluate]
    )
    assert history.validation_loss == [e.loss for e in seen]
    assert history.validation_score == [e.score for e in seen]
    alone = rich_model()
    alone.fit(x, y, loss="mse", epochs=3)
    assert same_bits(numbers(alone), numbers(model))


def test_validation_fraction_holds_rows_out(rng):
    x = np.arange(100.0).reshape(-1, 1) / 100
    held_out = {}
    for seed in (1, 1, 2):
        model = cr.MLP([1, 4, 1], dtype="float64")
        weights = np.ones(100)
        model.fit(x, x, loss="mse", validation_fraction=0.3, seed=seed, epochs=2)
        # Which rows were held out shows when a row alone is made heavy: it then changes nothing.
        unchanged = []
        for row in range(100):
            other = cr.MLP([1, 4, 1], dtype="float64")
            heavier = weights.copy()
            heavier[row] = 5
            other.fit(
                x,
                x,
                loss="mse",
                validation_fraction=0.3,
                seed=seed,
                epochs=2,
                sample_weight=heavier,
            )
            if np.allclose(other.parameters, model.parameters, rtol=1e-12, atol=1e-14):
                unchanged.append(row)
        assert len(unchanged) == 30
        assert held_out.setdefault(seed, unchanged) == unchanged
    assert held_out[1] != held_out[2]


def test_small_validation_fractions_hold_out_one_row(rng):
    x, y = problem(rng, 3)
    history = rich_model().fit(x, y, loss="mse", validation_fraction=0.01, epochs=1)
    assert len(history.validation_loss) == 1
    with pytest.raises(ValueError, match=r"validation_fraction must leave .* got 0.5 of 1 row$"):
        rich_model().fit(x[:1], y[:1], loss="mse", validation_fraction=0.5)


def test_clipping_bounds_a_step(rng):
    x, y = problem(rng)
    before = cr.MLP([4, 8, 2], dtype="float64")
    _, gradient = before.loss_and_gradient(x, 100 * y, loss="mse")
    norm = np.linalg.norm(gradient)
    assert norm > 1
    wanted = {
        "clip_norm": gradient / (norm + 1e-6),
        "clip_value": np.clip(gradient, -1, 1),
    }
    for setting, want in wanted.items():
        model = before.copy()
        trainer = cr.Trainer(model, loss="mse", optimizer=cr.SGD(0.5), **{setting: 1.0})
        trainer.step(x, 100 * y)
        moved = (before.parameters - model.parameters) / 0.5
        np.testing.assert_allclose(moved, want, rtol=1e-9, atol=1e-12)


def test_weight_decay_leaves_biases(rng):
    x, y = problem(rng)
    for everything in (False, True):
        plain, decayed = (cr.MLP([4, 3, 2], dtype="float64") for _ in "ab")
        start = plain.parameters.copy()
        start[:] = rng.normal(size=start.size)
        for model, decay in ((plain, 0.0), (decayed, 0.5)):
            model.parameters[:] = start
            optimizer = cr.SGD(0.1, weight_decay=decay)
            cr.Trainer(model, loss="mse", optimizer=optimizer, penalize_biases=everything).step(
                x, y
            )
        want = start * 0.1 * 0.5
        if not everything:
            want[12:15] = want[21:] = 0
        np.testing.assert_allclose(plain.parameters - decayed.parameters, want, atol=1e-14)


def test_a_batch_may_be_larger_than_the_data(rng):
    x, y = problem(rng, 5)
    one, two = rich_model(), rich_model()
    one.fit(x, y, loss="mse", batch_size=10**30, epochs=2)
    two.fit(x, y, loss="mse", batch_size=5, epochs=2)
    assert same_bits(numbers(one), numbers(two))
