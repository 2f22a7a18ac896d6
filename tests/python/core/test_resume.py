"""Fits that go on where another one ended."""

import numpy as np
import pytest
from bounds import same_bits
from test_training import OPTIMIZERS, numbers, problem, rich_model

import chainrule as cr


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, cr.Adam(cr.ExponentialDecay(1e-3))], ids=str)
def test_a_resumed_fit_ends_in_the_same_bits(optimizer, variant, dtype, rng):
    x, y = problem(rng)
    settings = {
        "loss": "mse",
        "optimizer": optimizer,
        "batch_size": 16,
        "sample_weight": rng.uniform(0.5, 1, 83),
        "l2": 1e-3,
        "validation_fraction": 0.2,
        "seed": 77,
    }
    whole, parts = rich_model(dtype), rich_model(dtype)
    history = whole.fit(x, y, epochs=20, **settings)
    parts.fit(x, y, epochs=10, **settings)
    del settings["optimizer"], settings["seed"]  # those of before
    continued = parts.fit(x, y, epochs=10, resume=True, **settings)
    assert same_bits(numbers(whole), numbers(parts))
    assert continued is parts.history
    assert continued.loss == history.loss
    assert continued.validation_loss == history.validation_loss
    assert continued.learning_rate == history.learning_rate
    assert continued.best_epoch == history.best_epoch


def test_lbfgs_resumes_too(variant, rng):
    x, y = problem(rng)
    whole, parts = (cr.MLP([4, 8, 2], activation="tanh", seed=1, dtype="float64") for _ in "ab")
    whole.fit(x, y, loss="mse", optimizer="lbfgs", epochs=20)
    parts.fit(x, y, loss="mse", optimizer="lbfgs", epochs=10)
    parts.fit(x, y, loss="mse", epochs=10, resume=True)
    assert same_bits(whole.parameters, parts.parameters)


def test_a_plateau_is_remembered_by_a_resumed_fit(rng):
    x, y = problem(rng)
    # Nothing is ever better by 1e9: the rate is halved every two epochs.
    schedule = cr.ReduceOnPlateau(0.01, factor=0.5, patience=2, min_delta=1e9)
    whole, parts = rich_model(), rich_model()
    history = whole.fit(x, y, loss="mse", optimizer=cr.SGD(schedule), epochs=9)
    parts.fit(x, y, loss="mse", optimizer=cr.SGD(schedule), epochs=4)
    continued = parts.fit(x, y, loss="mse", epochs=5, resume=True)
    rates = np.array(history.learning_rate)
    # The first epoch is better than none at all.
    np.testing.assert_allclose(rates / 0.01, [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125])
    assert continued.learning_rate == history.learning_rate
    assert same_bits(numbers(whole), numbers(parts))


def test_a_plateau_ends_at_the_smallest_rate(rng):
    x, y = problem(rng)
    schedule = cr.ReduceOnPlateau(
        0.01, factor=0.1, patience=1, min_delta=1e9, min_learning_rate=4e-4
    )
    history = rich_model().fit(x, y, loss="mse", optimizer=cr.SGD(schedule), epochs=5)
    np.testing.assert_allclose(history.learning_rate, [0.01, 0.01, 1e-3, 4e-4, 4e-4])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"loss": "mae"}, r"loss must be MSE\(\), as in the fit that is resumed, got MAE\(\)"),
        ({"optimizer": cr.Adam(2e-3)}, r"optimizer must be Adam\(learning_rate=0.001, .* got Adam"),
        ({"l1": 0.1}, "l1 must be 0.0, as in the fit that is resumed, got 0.1"),
        ({"l2": 0.0}, "l2 must be 0.5, as in the fit that is resumed, got 0.0"),
        ({"clip_norm": 1}, "clip_norm must be None, as in the fit that is resumed, got 1.0"),
        ({"clip_value": None}, "clip_value must be 2.0, as in the fit that is resumed, got None"),
        ({"penalize_biases": True}, "penalize_biases must be False, as in the fit"),
        ({"divide_penalties": True}, "divide_penalties must be False, as in the fit"),
        ({"seed": 6}, "seed must be 5, as in the fit that is resumed, got 6"),
    ],
)
def test_a_resumed_fit_keeps_its_settings(given, message, rng):
    x, y = problem(rng)
    model = rich_model()
    settings = {"loss": "mse", "optimizer": "adam", "l2": 0.5, "clip_value": 2.0}
    model.fit(x, y, epochs=1, **settings)
    before = numbers(model)
    with pytest.raises(ValueError, match=message):
        model.fit(x, y, epochs=1, resume=True, **{**settings, **given})
    assert same_bits(numbers(model), before)
    model.fit(x, y, epochs=1, resume=True, **settings, seed=5)


def test_a_new_fit_starts_the_optimizer_anew(rng):
    x, y = problem(rng)
    one, two = rich_model(), rich_model()
    one.fit(x, y, loss="mse", epochs=3)
    two.parameters[:] = one.parameters
    two.running_statistics[:] = one.running_statistics
    first = one.history
    assert one.fit(x, y, loss="mse", epochs=2) is not first
    two.fit(x, y, loss="mse", epochs=2)
    assert same_bits(numbers(one), numbers(two))
    assert len(first.loss) == 3
    assert len(one.history.loss) == 2


def test_a_trainer_goes_on(rng):
    x, y = problem(rng)
    whole, parts = rich_model(), rich_model()
    whole.fit(x, y, loss="mse", epochs=5)
    trainer = cr.Trainer(parts, loss="mse")
    trainer.fit(x, y, epochs=2)
    assert trainer.fit(x, y, epochs=3) is trainer.history is parts.history
    assert same_bits(numbers(whole), numbers(parts))
    assert trainer.epoch == 5
    assert len(trainer.history.loss) == 5
    parts.fit(x, y, loss="mse", epochs=1, resume=True)
    assert trainer.epoch == 6
