"""Schedules: every value against its formula, and the dataclasses."""

import dataclasses
import math

import numpy as np
import pytest

import chainrule as cr
from chainrule import _core

SPANS = [(1, 1), (1, 10), (7, 6), (10, 1), (3, 100)]


def half_cosine(start, end, fraction):
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2


def cosine(o, t, e, total):
    warmup = math.floor(o.warmup_fraction * total + 0.5)
    if t < warmup:
        return o.learning_rate * (t + 1) / warmup
    fraction = (t - warmup) / max(1, total - warmup)
    return half_cosine(o.learning_rate, o.learning_rate * o.final_fraction, fraction)


def one_cycle(o, t, e, total):
    initial = o.learning_rate / o.initial_divisor
    up_end, down_end = o.up_fraction * total - 1, total - 1
    if t <= up_end:
        return half_cosine(initial, o.learning_rate, t / up_end if up_end > 0 else 1)
    fraction = (t - up_end) / (down_end - up_end)
    return half_cosine(o.learning_rate, initial / o.final_divisor, fraction)


FORMULAS = {
    cr.Constant: lambda o, t, e, total: o.learning_rate,
    cr.StepDecay: lambda o, t, e, total: o.learning_rate * o.factor ** (e // o.every),
    cr.ExponentialDecay: lambda o, t, e, total: o.learning_rate * o.decay**e,
    cr.InverseScaling: lambda o, t, e, total: o.learning_rate / (t + 1) ** o.power,
    cr.Cosine: cosine,
    cr.OneCycle: one_cycle,
    cr.ReduceOnPlateau: lambda o, t, e, total: o.learning_rate,
}
CASES = [
    cr.Constant(0.1),
    cr.StepDecay(0.1),
    cr.StepDecay(0.1, every=2, factor=0.5),
    cr.ExponentialDecay(0.1),
    cr.ExponentialDecay(0.1, decay=1.0),
    cr.InverseScaling(0.1),
    cr.InverseScaling(0.1, power=0.0),
    cr.Cosine(0.1),
    cr.Cosine(0.1, warmup_fraction=0.25, final_fraction=0.1),
    cr.OneCycle(0.1),
    cr.OneCycle(0.1, up_fraction=0.5, initial_divisor=10, final_divisor=100),
    cr.ReduceOnPlateau(0.1),
]


def test_every_schedule_is_here():
    assert {type(s) for s in CASES} == set(FORMULAS)
    assert {cls.name: list(cls.parameters) for cls in FORMULAS} == _core.schedules()


@pytest.mark.parametrize("schedule", CASES, ids=str)
@pytest.mark.parametrize(("steps_per_epoch", "epochs"), SPANS)
def test_values(schedule, steps_per_epoch, epochs):
    values = schedule.values(steps_per_epoch, epochs)
    total = steps_per_epoch * epochs
    formula = FORMULAS[type(schedule)]
    want = [formula(schedule, t, t // steps_per_epoch, total) for t in range(total)]
    assert values.dtype == np.float64
    np.testing.assert_allclose(values, want, rtol=1e-13, atol=1e-17)


@pytest.mark.parametrize("schedule", CASES, ids=str)
def test_a_fit_follows_them(schedule, rng):
    model = cr.MLP([3, 1])
    x, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    history = model.fit(x, y, loss="mse", optimizer=cr.SGD(schedule), batch_size=6, epochs=8)
    want = schedule.values(steps_per_epoch=4, epochs=8)[3::4]
    assert history.learning_rate == want.tolist()


def test_one_cycle_goes_up_and_down():
    values = cr.OneCycle(1.0).values(10, 10)
    peak = int(np.argmax(values))
    assert peak == 29
    assert (np.diff(values[: peak + 1]) > 0).all()
    assert (np.diff(values[peak:]) < 0).all()
    assert values[0] == pytest.approx(0.04)
    assert values[-1] == pytest.approx(4e-6)


def test_a_single_step_does_not_know_epochs():
    x, y = np.ones((2, 3)), np.ones(2)
    for schedule in CASES:
        trainer = cr.Trainer(cr.MLP([3, 1]), loss="mse", optimizer=cr.SGD(schedule))
        if isinstance(schedule, cr.Constant | cr.InverseScaling | cr.ReduceOnPlateau):
            trainer.step(x, y)
            trainer.step(x, y)
            want = FORMULAS[type(schedule)](schedule, 1, 0, 0)
            assert trainer.learning_rate == pytest.approx(want, rel=1e-14)
        else:
            with pytest.raises(ValueError, match="learning_rate must be a float, InverseScaling"):
                trainer.step(x, y)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: cr.Constant(0.0), ValueError, "learning_rate must be a finite number > 0, got 0"),
        (lambda: cr.Constant("a"), TypeError, "learning_rate must be a finite number > 0, got str"),
        (lambda: cr.StepDecay(0.1, every=0), ValueError, "every must be an integer >= 1, got 0"),
        (lambda: cr.StepDecay(0.1, every=1.0), TypeError, "every must be an integer, got float"),
        (lambda: cr.StepDecay(0.1, factor=2), ValueError, "factor must be .*> 0 and <= 1, got 2"),
        (lambda: cr.ExponentialDecay(0.1, 0), ValueError, "decay must be .* got 0"),
        (lambda: cr.InverseScaling(0.1, -1), ValueError, "power must be .* >= 0, got -1"),
        (lambda: cr.Cosine(0.1, 1.0), ValueError, "warmup_fraction must be .* < 1, got 1"),
        (lambda: cr.Cosine(0.1, 0, 1.5), ValueError, "final_fraction must be .* <= 1, got 1.5"),
        (lambda: cr.OneCycle(0.1, 0), ValueError, "up_fraction must be .* > 0 and < 1, got 0"),
        (lambda: cr.OneCycle(0.1, 0.5, 0.5), ValueError, "initial_divisor must be .* >= 1, got"),
        (lambda: cr.ReduceOnPlateau(0.1, factor=1), ValueError, "factor must be .* < 1, got 1"),
        (lambda: cr.ReduceOnPlateau(0.1, patience=0), ValueError, "patience must be .* >= 1"),
        (
            lambda: cr.ReduceOnPlateau(0.1, min_learning_rate=0.2),
            ValueError,
            "min_learning_rate must be a finite number >= 0 and <= 0.1, got 0.2",
        ),
        (lambda: cr.Constant(0.1).values(0, 1), ValueError, "steps_per_epoch must be .* got 0"),
        (lambda: cr.Constant(0.1).values(1, 1.5), TypeError, "epochs must be an integer, got flo"),
    ],
)
def test_parameters_are_checked(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_objects():
    assert cr.Cosine(np.float64(0.1)) == cr.Cosine(0.1)
    assert hash(cr.Cosine(0.1)) == hash(cr.Cosine(0.1))
    assert cr.Constant(0.1) != cr.ReduceOnPlateau(0.1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        cr.Cosine(0.1).learning_rate = 0.2
