"""chainrule against the golden values of tests/golden, made with PyTorch: every variant and dtype.

Tolerances are computed (golden_rounding.py). A case fails when a field of it was not read, and the
file when it lacks something that chainrule lists, so that neither side goes untested.
"""

import datetime

import golden_checks as checks
import golden_formulas as formulas
import numpy as np
import pytest
from golden_cases import ENTRIES, Case, assert_within, names
from golden_rounding import Arithmetic

import chainrule as cr
from chainrule import _core, _losses, _optimizers
from chainrule._state import PlateauSchedule

SCHEDULES = {schedule.name: schedule for schedule in cr.Schedule.__subclasses__()}


def check_training(case, dtype, a):
    """Check a training step by step; the file has the condition of every result.

    A result's error is at most its condition times the unit roundoff, to first order; the
    conditions are below 1e4, so that terms of higher order are below a hundredth of it.
    """
    config = case.config
    layers = [
        cr.Dense(layer["out_features"], layer["activation"], norm=layer["norm"])
        for layer in config["layers"]
    ]
    model = cr.MLP([config["in_features"], *layers], dtype=dtype)
    model.parameters[:] = case["parameters"]
    optimizer = _optimizers.OPTIMIZERS[config["optimizer"]](
        config["learning_rate"], weight_decay=config["weight_decay"], **config["values"]
    )
    trainer = cr.Trainer(
        model,
        loss=config["loss"],
        optimizer=optimizer,
        l1=config["l1"],
        l2=config["l2"],
        clip_norm=config["clip_norm"] or None,
        clip_value=config["clip_value"] or None,
    )
    x, targets, weight = (case[k] for k in ("x", "targets", "sample_weight"))
    bounds = config["batches"]
    losses = []
    for t in range(len(case["losses"])):
        i = t % (len(bounds) - 1)
        rows = slice(bounds[i], bounds[i + 1])
        losses.append(trainer.step(x[rows], targets[rows], weight[rows]))
    results = {
        "losses": losses,
        "results": model.parameters,
        "running": model.running_statistics,
        "predicted": model.predict(x).ravel(),
    }
    for what, got in results.items():
        condition = case[f"{what}_condition"].astype(np.float64)
        assert not condition.size or condition.max() < 1e4
        error = 1.01 * condition * a.unit
        assert_within(got, case[what], error, dtype == np.float64, what)


def check_minimum(case, dtype, a):
    """Check the minimum that L-BFGS finds; how it gets there is the line search's affair.

    The penalty makes the loss strongly convex with modulus l2: where the gradient has norm g, the
    minimum is at most g / l2 away, and the loss at most g^2 / (2 l2) above it.
    """
    x, labels, l2 = case["x"], case["labels"], case.config["l2"]
    model = cr.MLP([x.shape[1], len(np.unique(labels))], initializer="zeros", dtype=dtype)
    # Above what rounding leaves of a gradient: its bound below is 2e-6 and 4e-15.
    tolerance = 1e-5 if dtype == np.float32 else 1e-9
    history = model.fit(
        x,
        labels,
        loss="cross_entropy",
        optimizer=cr.LBFGS(gradient_tolerance=tolerance),
        epochs=100,
        l2=l2,
        penalize_biases=True,
    )
    assert history.stop_reason == "converged"
    value, gradient = model.loss_and_gradient(
        x, labels, loss="cross_entropy", l2=l2, penalize_biases=True
    )
    assert np.abs(gradient).max() <= tolerance
    w, b = a.exact(model.weights[0]), a.exact(model.biases[0])
    rows, slopes = formulas.cross_entropy(a.exact(x) @ w + b, labels, 0.0)
    loss, slopes = formulas.reduced_loss(rows, slopes, "mean", np.ones(len(x)), 1.0)
    penalty = 0.5 * a.constant(l2) * ((w * w).sum() + (b * b).sum())
    errors = [(a.exact(x).T @ slopes + a.constant(l2) * w).error]
    errors.append((slopes.sum(0) + a.constant(l2) * b).error)
    rounding = np.sqrt(sum((error**2).sum() for error in errors))
    norm = np.linalg.norm(gradient.astype(np.float64)) + rounding
    assert np.linalg.norm(model.parameters - case["minimum"]) <= norm / l2
    # Those two stopped where their line searches could tell losses apart no more.
    for other in ("minimum_torch", "minimum_scipy"):
        assert np.linalg.norm(model.parameters - case[other]) <= norm / l2 + 1e-7
    assert abs(value - case["loss"]) <= norm**2 / (2 * l2) + (loss + penalty).error


def check_schedule(case, _, __):
    """Check the learning rate of every step, in double for both dtypes.

    A half cosine subtracts down from the learning rate: that is the scale of what it rounds.
    """
    config = case.config
    schedule = SCHEDULES[config["name"]](config["learning_rate"], **config["values"])
    want = case["rates"]
    if "losses" in case:
        plateau, scales = PlateauSchedule(schedule), [1.0]
        for loss in case["losses"]:
            plateau.plateau.state, scale = plateau.after(float(loss), scales[-1])
            scales.append(scale)
        got = config["learning_rate"] * np.array(scales[:-1])
    else:
        per_epoch, total = config["steps_per_epoch"], config["total_steps"]
        spec = schedule.spec()
        got = [_core.schedule_value(spec, t, per_epoch, total) for t in range(total)]
        whole = schedule.values(per_epoch, -(-total // per_epoch))
        if len(whole) == total:
            np.testing.assert_array_equal(got, whole)
    np.testing.assert_array_less(
        np.abs(got - want), 1e-12 * np.maximum(want, config["learning_rate"])
    )


CHECKS = {
    "activation": checks.check_activation,
    "loss": checks.check_loss,
    "dense": checks.check_dense,
    "layer_norm": checks.check_layer_norm,
    "batch_norm": checks.check_batch_norm,
    "optimizer": checks.check_optimizer,
    "schedule": check_schedule,
    "training": check_training,
    "minimum": check_minimum,
}


@pytest.mark.parametrize("name", names())
@pytest.mark.usefixtures("variant")
def test_equals_pytorch(name, dtype):
    case = Case(name)
    dtype = np.dtype(dtype)
    # Exponentials of large numbers overflow on the way to bounds that do not need them.
    with np.errstate(over="ignore"):
        CHECKS[case.group](case, dtype, Arithmetic(dtype))
    assert not case.unread


def test_everything_has_golden_values():
    assert {key.split("/")[0] for key in ENTRIES} == CHECKS.keys() | {"meta"}
    have = {}
    for name in names():
        case = Case(name)
        have.setdefault(case.group, set()).add(case.config.get("name"))
    assert have.keys() == CHECKS.keys()
    assert have["activation"] == set(_core.activations()) == formulas.ACTIVATIONS.keys()
    assert have["loss"] == set(_core.losses()) == _losses.LOSSES.keys()
    assert have["schedule"] == set(_core.schedules()) == SCHEDULES.keys()
    # L-BFGS is no kernel: the group "minimum" has its values. AdamW is Adam's kernel.
    assert have["optimizer"] | {"lbfgs"} == _optimizers.OPTIMIZERS.keys()
    assert have["optimizer"] - {"adamw"} == set(_core.optimizers()) - {"lbfgs"}


def test_says_what_made_it():
    assert str(ENTRIES["meta/torch"]).startswith("2.13.0")
    assert datetime.date.fromisoformat(str(ENTRIES["meta/date"])) >= datetime.date(2026, 11, 22)
    assert {key for key in ENTRIES if key.startswith("meta/")} == {"meta/torch", "meta/date"}
