"""The comparison of `chainrule train` with NumPy: the same training, in turns."""

import os
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import chainrule as cr
from chainrule._command import comparison, stopwatch
from chainrule._command.comparison import Comparison, Problem, compare
from chainrule._command.stopwatch import Stopwatch

EPOCHS = 12


def a_problem(rng: np.random.Generator, epochs: int = EPOCHS) -> Problem:
    """Return rows of three classes, and a training of 16 steps an epoch in double precision."""
    X = rng.normal(size=(512, 16))
    y = np.argmax(X[:, :3] + X[:, 3:6] ** 2, axis=1)
    settings = {
        "loss": "cross_entropy",
        "optimizer": cr.AdamW(cr.Cosine(1e-2), weight_decay=0.1),
        "batch_size": 32,
        "epochs": epochs,
        "seed": 3,
        "threads": 2,
    }
    model = cr.MLP([16, 32, 3], dtype="float64", seed=1)
    return Problem(X, y, rng.normal(size=(50, 16)), model, settings)


def test_both_train_the_same(rng: np.random.Generator) -> None:
    problem = a_problem(rng)
    before = problem.untrained.parameters.copy()
    pools = [(pool["user_api"], pool["num_threads"]) for pool in threadpool_info()]
    shown: list[tuple[int, float]] = []
    found = compare(problem, lambda epoch, loss: shown.append((epoch, loss)))
    model = problem.untrained.copy()
    history = model.fit(problem.X, problem.y, **problem.settings)
    assert found.epochs == EPOCHS
    # Every other round would be a step of the schedule behind if it began anew.
    np.testing.assert_allclose(found.outputs, model.predict(problem.X_held_out), rtol=1e-12)
    np.testing.assert_allclose(found.reference_outputs, found.outputs, atol=1e-9)
    assert [epoch for epoch, _ in shown] == [*range(1, EPOCHS + 1)]
    np.testing.assert_allclose([loss for _, loss in shown], history.loss, rtol=1e-9)
    assert len(found.seconds) == len(found.reference_seconds) == len(found.ratios) == 6
    assert found.reference_threads in (1, 2)
    assert (problem.untrained.parameters == before).all()
    assert [(pool["user_api"], pool["num_threads"]) for pool in threadpool_info()] == pools


def test_time_is_bounded_and_both_stop_at_the_same_epoch(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "LONGEST_SECONDS", 0.0)
    problem = a_problem(rng)
    found = compare(problem, lambda epoch, loss: None)
    assert (found.epochs, len(found.ratios)) == (1, 1)
    np.testing.assert_allclose(found.reference_outputs, found.outputs, atol=1e-9)


def test_the_ratio_is_the_median_of_the_rounds() -> None:
    found = Comparison(seconds=[1.0, 2.0, 1.0], reference_seconds=[3.0, 8.0, 50.0])
    assert found.ratio == 4.0
    assert found.disturbance is None  # three rounds are too few to tell


@pytest.mark.parametrize(
    ("ratios", "is_wide"),
    [
        ([4.6, 4.8, 4.7, 5.1, 4.9, 4.7], False),
        ([4.6, 4.8, 4.7, 5.1, 4.9, 40.0], False),  # one disturbed round does not move a median
        ([4.6, 9.8, 4.7, 11.0, 4.9, 40.0], True),
        ([1.0, 9.0], False),
    ],
)
def test_ratios_that_differ_tell_of_a_busy_machine(ratios: list[float], is_wide: bool) -> None:
    found = Comparison(seconds=[1.0] * len(ratios), reference_seconds=ratios)
    assert stopwatch.spread_is_wide(ratios) == is_wide
    assert (found.disturbance is not None) == is_wide


@pytest.mark.parametrize(
    ("wall", "computing", "resolution", "waiting", "is_busy"),
    [
        (2.0, 1.99, 1e-9, 0.005, False),
        (2.0, 1.0, 1e-9, 0.5, True),
        (0.01, 0.0, 1e-9, 0.0, False),
        (0.25, 0.1, 1 / 64, 0.0, False),  # Windows
    ],
)
def test_a_stopwatch_tells_computing_from_waiting(
    monkeypatch: pytest.MonkeyPatch,
    wall: float,
    computing: float,
    resolution: float,
    waiting: float,
    is_busy: bool,
) -> None:
    clocks = {"perf_counter": iter([5.0, 5.0 + wall]), "thread_time": iter([1.0, 1.0 + computing])}
    for name, times in clocks.items():
        monkeypatch.setattr(time, name, lambda times=times: next(times))
    clock = SimpleNamespace(resolution=resolution)
    monkeypatch.setattr(time, "get_clock_info", lambda name: clock)
    with Stopwatch() as watch:
        pass
    assert watch.seconds == watch.last == pytest.approx(wall)
    assert watch.waiting == pytest.approx(waiting)
    assert watch.is_busy == is_busy


if hasattr(os, "sched_setaffinity"):

    def test_other_programs_are_noticed(rng: np.random.Generator) -> None:
        allowed = os.sched_getaffinity(0)
        cpu = min(allowed)
        code = f"import os; os.sched_setaffinity(0, {{{cpu}}})\nprint('on', flush=True)\nwhile 1: 0"
        others: list[subprocess.Popen[Any]] = []
        try:
            os.sched_setaffinity(0, {cpu})
            for _ in range(3):
                others.append(
                    subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
                )
            for other in others:
                assert other.stdout is not None
                other.stdout.readline()
            problem = a_problem(rng, epochs=100)
            problem.settings["threads"] = 1
            disturbance = compare(problem, lambda *_: None).disturbance
        finally:
            os.sched_setaffinity(0, allowed)
            for other in others:
                other.kill()
                other.communicate()
        assert disturbance is not None
        assert "waited for a processor" in disturbance
