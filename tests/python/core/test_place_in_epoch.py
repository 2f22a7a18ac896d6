"""Fits that end within an epoch and go on: the bits of one that did not end."""

import pytest
from bounds import same_bits
from test_training import numbers, problem, rich_model

import chainrule as cr

OPTIMIZERS = [
    cr.Adam(1e-2),
    cr.SGD(cr.ReduceOnPlateau(0.05, 0.7, 1, min_delta=1e-2), momentum=0.9),
    cr.SGD(cr.StepDecay(0.05, 1, 0.5)),
]
SETTINGS = {"loss": "mse", "batch_size": 9, "l2": 1e-3, "clip_norm": 0.5}  # ten batches an epoch


class StopsAt(cr.Callback):
    """Ends a fit after a step, by its answer or by an exception."""

    every_n_steps = 1

    def __init__(self, step, error=None):
        self.step, self.error = step, error

    def on_step_end(self, state):
        if state.step != self.step:
            return False
        if self.error is not None:
            raise self.error
        return True


def fit(model, rows, epochs, **arguments):
    return model.fit(*rows, epochs=epochs, **{**SETTINGS, **arguments})


def assert_same(got, want):
    assert same_bits(numbers(got), numbers(want))
    for name in ("loss", "validation_loss", "validation_score", "learning_rate", "best_epoch"):
        assert getattr(got.history, name) == getattr(want.history, name), name
    assert len(got.history.seconds) == len(got.history.loss)
    assert got._trainer.step_count == want._trainer.step_count
    assert got._trainer.epoch == want._trainer.epoch


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("error", [None, KeyboardInterrupt(), ValueError("mine")], ids=str)
@pytest.mark.parametrize("step", [1, 5, 10, 14, 20])
def test_a_fit_that_ended_after_a_step_is_resumed_there(step, error, optimizer, rng):
    rows = problem(rng, 90)
    whole, parts = rich_model(), rich_model()
    fit(whole, rows, 3, optimizer=optimizer)
    stop = StopsAt(step, error)
    if error is None:
        history = fit(parts, rows, 3, optimizer=optimizer, callbacks=[stop])
        assert history.stop_reason == "callback"
    else:
        with pytest.raises(type(error)):
            fit(parts, rows, 3, optimizer=optimizer, callbacks=[stop])
    assert parts._trainer.step_count == step
    fit(parts, rows, 3 - parts._trainer.epoch, resume=True, threads=1 + step % 2)
    assert parts._trainer.step_count == 30
    assert_same(parts, whole)


def test_stopped_within_an_epoch_again_and_again(variant, dtype, rng):
    rows = problem(rng, 90)
    whole, parts = rich_model(dtype), rich_model(dtype)
    weights = {"sample_weight": rng.uniform(0.5, 1, 90), "validation_fraction": 0.2}
    fit(whole, rows, 2, **weights)
    fit(parts, rows, 2, **weights, callbacks=[StopsAt(1)])
    for step in (3, 4, 8, 9, 15):
        left = 2 - parts._trainer.epoch
        fit(parts, rows, left, **weights, resume=True, callbacks=[StopsAt(step)])
        assert parts._trainer.step_count == step
    fit(parts, rows, 2 - parts._trainer.epoch, **weights, resume=True)
    assert_same(parts, whole)


def test_interrupted_in_the_validation(monkeypatch, rng):
    rows = problem(rng, 90)
    whole, parts = rich_model(), rich_model()
    data = {"validation_data": problem(rng, 20)}
    fit(whole, rows, 3, **data)
    with monkeypatch.context() as patch:

        def interrupt(*_):
            raise KeyboardInterrupt

        patch.setattr("chainrule._loop.evaluate", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fit(parts, rows, 3, **data)
    assert (parts._trainer.epoch, parts._trainer.step_count) == (0, 10)
    assert parts.history.loss == []
    fit(parts, rows, 3, resume=True, **data)
    assert parts._trainer.step_count == 30
    assert_same(parts, whole)


def test_a_trainer_goes_on_within_the_epoch(rng):
    x, y = problem(rng, 90)
    whole, parts = rich_model(), rich_model()
    cr.Trainer(whole, loss="mse").fit(x, y, batch_size=9, epochs=2)
    trainer = cr.Trainer(parts, loss="mse")
    trainer.fit(x, y, batch_size=9, epochs=2, callbacks=[StopsAt(13)])
    trainer.fit(x, y, batch_size=9, epochs=1)
    assert same_bits(numbers(parts), numbers(whole))
    assert trainer.history.loss == whole.history.loss


@pytest.mark.parametrize("other", ["rows", "fewer rows", "batch_size", "shuffle"])
def test_another_walk_begins_the_epoch_anew(other, rng):
    x, y = problem(rng, 90)
    model = rich_model()
    fit(model, (x, y), 2, callbacks=[StopsAt(4)])
    given, arguments = (x, y), {}
    if other == "rows":
        given = problem(rng, 90)
    elif other == "fewer rows":
        given = (x[:40], y[:40])
    else:
        arguments = {other: 5 if other == "batch_size" else False}
    steps = -(-len(given[0]) // arguments.get("batch_size", 9))
    fit(model, given, 1, resume=True, **arguments)
    assert model._trainer.step_count == 4 + steps
    assert len(model.history.loss) == 1


class BrokenOffError(Exception):
    pass


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_a_checkpoint_within_an_epoch(optimizer, variant, dtype, rng, tmp_path):
    rows = problem(rng, 90)
    path = tmp_path / "c"
    rule = {"early_stopping": cr.EarlyStopping(3), "validation_fraction": 0.2}
    whole = rich_model(dtype)
    fit(whole, rows, 4, optimizer=optimizer, **rule)
    for step in (2, 5, 7, 12, 23):
        broken = rich_model(dtype)
        with pytest.raises(BrokenOffError):
            fit(
                *(broken, rows, 4),
                optimizer=optimizer,
                callbacks=[StopsAt(step, BrokenOffError()), cr.Checkpoint(path, every_steps=3)],
                resume_from=path,
                **rule,
            )
        # The last multiple of three, or the end of the last epoch: 8 batches each.
        expected = max(step - 1 - (step - 1) % 3, (step - 1) // 8 * 8)
        assert path.exists() == (expected > 0)
    resumed = rich_model(dtype)
    fit(
        *(resumed, rows, 4),
        optimizer=optimizer,
        callbacks=[cr.Checkpoint(path, every_steps=3)],
        resume_from=path,
        threads=2,
        **rule,
    )
    assert_same(resumed, whole)


@pytest.mark.parametrize("step", [11, 20])  # in the middle of the second epoch, and at its end
def test_epochs_count_the_one_that_a_checkpoint_has_begun(step, rng, tmp_path):
    rows = problem(rng, 90)
    path = tmp_path / "c"
    fit(rich_model(), rows, 3, callbacks=[StopsAt(step), cr.Checkpoint(path)])
    resumed = rich_model()
    before = numbers(resumed).copy()
    with pytest.raises(ValueError, match="epochs must be at least 2, those begun in the"):
        fit(resumed, rows, 1, resume_from=path)
    assert same_bits(numbers(resumed), before)
    whole = rich_model()
    fit(whole, rows, 2)
    fit(resumed, rows, 2, resume_from=path)
    assert_same(resumed, whole)


def test_when_checkpoints_are_written_within_epochs(rng, tmp_path):
    x, y = problem(rng, 90)
    path = tmp_path / "c"
    written = []

    class Look(cr.Callback):
        every_n_steps = 1

        def on_step_end(self, state):
            if path.exists():
                written.append(state.step - 1)
                path.unlink()

    def steps_of(checkpoint):
        written.clear()
        path.unlink(missing_ok=True)
        model = rich_model()
        fit(model, (x, y), 3, callbacks=[Look(), checkpoint])
        return written + [30] * path.exists()

    assert steps_of(cr.Checkpoint(path, every_steps=4)) == [4, 8, 10, 12, 16, 20, 24, 28, 30]
    assert steps_of(cr.Checkpoint(path, 100, every_steps=7)) == [7, 14, 21, 28, 30]
    assert steps_of(cr.Checkpoint(path, 100, every_steps=10)) == [10, 20, 30]
    assert steps_of(cr.Checkpoint(path, 100, every_seconds=1e9, every_steps=1)) == [30]
    with pytest.raises(ValueError, match="every_steps must be an integer >= 1, got 0"):
        cr.Checkpoint(path, every_steps=0)
