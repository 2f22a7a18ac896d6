"""Fits that are broken off and resumed from a checkpoint end in the bits of one that was not."""

import os
import pathlib
import time

import numpy as np
import pytest
from bounds import same_bits
from file_bytes import take_apart
from test_training import OPTIMIZERS, numbers, problem, rich_model

import chainrule as cr

PLATEAU = cr.ReduceOnPlateau(0.05, factor=0.5, patience=2, min_delta=1e-2)
SCHEDULES = [
    *(cr.StepDecay(0.05, 2, 0.5), cr.ExponentialDecay(0.05), cr.InverseScaling(0.05)),
    *(cr.Cosine(0.05, 0.3), cr.OneCycle(0.05), PLATEAU),
]


class BrokenOffError(Exception):
    pass


def breaks_off_at(*epochs):
    """Return a callback that ends a fit with an exception, once in each of the epochs."""
    left = list(epochs)

    def callback(state):
        if state.epoch in left:
            left.remove(state.epoch)
            raise BrokenOffError

    return callback


def fit_until_it_ends(make, x, y, path, *callbacks, every_epochs=1, before=(), **arguments):
    """Fit new models with the same call until one is not broken off."""
    for n_fits in range(1, 20):
        model = make()
        try:
            model.fit(
                x,
                y,
                callbacks=[*before, cr.Checkpoint(path, every_epochs), *callbacks],
                resume_from=path,
                **arguments,
            )
        except BrokenOffError:
            continue
        return model, n_fits
    raise AssertionError("never ended")


def assert_same_training(got, want):
    assert same_bits(numbers(got), numbers(want))
    for name in ("loss", "validation_loss", "validation_score", "learning_rate"):
        assert getattr(got.history, name) == getattr(want.history, name), name
    assert len(got.history.seconds) == len(got.history.loss)
    assert got.history.best_epoch == want.history.best_epoch
    assert got.history.stop_reason == want.history.stop_reason
    assert got.recipe == want.recipe
    for name in ("epoch", "step_count", "learning_rate"):
        assert getattr(got._trainer, name) == getattr(want._trainer, name), name


@pytest.mark.parametrize("every_epochs", [1, 3])
@pytest.mark.parametrize(
    "optimizer",
    [*OPTIMIZERS, *(cr.SGD(schedule, momentum=0.9) for schedule in SCHEDULES)],
    ids=str,
)
def test_a_broken_fit_ends_in_the_same_bits(optimizer, every_epochs, variant, dtype, rng, tmp_path):
    x, y = problem(rng)
    arguments = {
        "loss": "huber",
        "optimizer": optimizer,
        "batch_size": 16,
        "epochs": 12,
        "sample_weight": rng.uniform(0.5, 1, 83),
        "validation_fraction": 0.2,
        "early_stopping": cr.EarlyStopping(4),
        "l2": 1e-3,
        "clip_norm": 0.5,
        "seed": 77,
    }
    whole = rich_model(dtype)
    whole.fit(x, y, **arguments)
    path = tmp_path / "checkpoint"
    broken, n_fits = fit_until_it_ends(
        lambda: rich_model(dtype),
        *(x, y, path, breaks_off_at(1, 2, 4, 7)),
        every_epochs=every_epochs,
        **arguments,
    )
    assert n_fits == 1 + sum(epoch <= len(whole.history.loss) for epoch in (1, 2, 4, 7))
    assert_same_training(broken, whole)
    # What has come to its end is not trained any more.
    written = path.read_bytes()
    again = rich_model(dtype)
    again.fit(x, y, resume_from=path, callbacks=[lambda state: pytest.fail("trains")], **arguments)
    assert_same_training(again, whole)
    assert path.read_bytes() == written
    assert os.listdir(tmp_path) == ["checkpoint"]


@pytest.mark.parametrize("norm", [None, "batch"])
@pytest.mark.parametrize("history", [3, 10])
def test_lbfgs_goes_on_with_its_memory(history, norm, variant, dtype, rng, tmp_path):
    x, y = problem(rng)

    def make():
        return cr.MLP([4, 8, 2], activation="tanh", norm=norm, seed=1, dtype=dtype)

    arguments = {"loss": "mse", "optimizer": cr.LBFGS(history=history), "epochs": 40}
    whole, forgetful = make(), make()
    whole.fit(x, y, **arguments)
    broken, n_fits = fit_until_it_ends(
        make, x, y, tmp_path / "c", breaks_off_at(1, 2, 9, 23), **arguments
    )
    assert n_fits == 5
    assert_same_training(broken, whole)
    # Without the memory the bits would be others.
    for epochs in (23, 17):
        forgetful.fit(x, y, **{**arguments, "epochs": epochs})
    assert not same_bits(numbers(forgetful), numbers(whole))


def test_lbfgs_that_converges(variant, rng, tmp_path):
    x = rng.normal(size=(60, 4))
    arguments = {"loss": "mse", "optimizer": cr.LBFGS(gradient_tolerance=1e-4), "epochs": 100}

    def make():
        return cr.MLP([4, 1], dtype="float64")

    whole = make()
    whole.fit(x, x[:, 0], **arguments)
    assert whole.history.stop_reason == "converged"
    path = tmp_path / "c"
    broken, n_fits = fit_until_it_ends(
        make, x, x[:, 0], path, breaks_off_at(2, 4), every_epochs=3, **arguments
    )
    assert n_fits == 3
    assert_same_training(broken, whole)
    again, n_fits = fit_until_it_ends(make, x, x[:, 0], path, **arguments)
    assert n_fits == 1
    assert_same_training(again, whole)


def test_lbfgs_whose_parameters_a_callback_moved(rng, tmp_path):
    x, y = problem(rng)

    def move(state):
        if state.epoch == 5:
            state.model.parameters[:] *= 1.5

    def make():
        return cr.MLP([4, 8, 2], activation="tanh", seed=1, dtype="float64")

    arguments = {"loss": "mse", "optimizer": "lbfgs", "epochs": 12}
    whole = make()
    whole.fit(x, y, callbacks=[move], **arguments)
    # Callbacks are called before the checkpoint is written: what they do is in it.
    broken, n_fits = fit_until_it_ends(
        make, x, y, tmp_path / "c", breaks_off_at(6), before=[move], **arguments
    )
    assert n_fits == 2
    assert_same_training(broken, whole)


def test_a_plain_problem_of_classes(variant, rng, tmp_path):
    x = rng.normal(size=(100, 3)).astype(np.float32)
    y = (x[:, 0] > 0).astype(int) + (x[:, 1] > 0)

    def make():
        return cr.MLP([3, 16, 3], dropout=0.5, norm="batch", seed=4)

    arguments = {
        "loss": cr.CrossEntropy(0.1),
        "class_weight": "balanced",
        "validation_data": (x[:30], y[:30], np.ones(30)),
        "early_stopping": cr.EarlyStopping(3, monitor="score"),
        "epochs": 30,
        "shuffle": False,
    }
    whole = make()
    whole.fit(x, y, **arguments)
    assert whole.history.stop_reason == "early_stopping"
    n_epochs = len(whole.history.loss)
    broken, n_fits = fit_until_it_ends(
        make, x, y, tmp_path / "c", breaks_off_at(2, n_epochs - 1, n_epochs), **arguments
    )
    assert n_fits == 4
    assert_same_training(broken, whole)


# --- when ----------------------------------------------------------------------------------------


def epochs_written(rng, checkpoint, epochs=7, before=lambda state: None, **arguments):
    """Return the epochs after which a checkpoint was written, as a callback behind it sees."""
    x, y = problem(rng, 20)
    path = pathlib.Path(checkpoint.path)
    path.unlink(missing_ok=True)
    seen = []

    def look(state):
        before(state)
        if path.exists():
            header, _ = take_apart(path.read_bytes())
            seen.append(header["__metadata__"]["content"]["epoch"])

    cr.MLP([4, 2]).fit(x, y, loss="mse", epochs=epochs, callbacks=[look, checkpoint], **arguments)
    header, _ = take_apart(path.read_bytes())
    return [*dict.fromkeys([*seen, header["__metadata__"]["content"]["epoch"]])]


def test_when_a_checkpoint_is_written(rng, tmp_path):
    path = tmp_path / "c"
    assert epochs_written(rng, cr.Checkpoint(path)) == [1, 2, 3, 4, 5, 6, 7]
    assert epochs_written(rng, cr.Checkpoint(path, 3)) == [3, 6, 7]
    assert epochs_written(rng, cr.Checkpoint(path, 100)) == [7]
    assert epochs_written(rng, cr.Checkpoint(path, every_seconds=1000)) == [7]
    assert epochs_written(rng, cr.Checkpoint(path, 3, every_seconds=0)) == [3, 6, 7]

    def wait_in_the_fourth(state):
        time.sleep(0.3 if state.epoch == 4 else 0.0)

    assert epochs_written(
        rng, cr.Checkpoint(path, every_seconds=0.3), before=wait_in_the_fourth
    ) == [4, 7]


def test_a_relative_path_stays_where_it_was(rng, tmp_path, monkeypatch):
    x, y = problem(rng)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    checkpoint = cr.Checkpoint("c")
    move = lambda state: os.chdir(tmp_path / "elsewhere")  # noqa: E731
    rich_model().fit(x, y, loss="mse", epochs=2, callbacks=[move, checkpoint])
    assert sorted(os.listdir(tmp_path)) == ["c", "elsewhere"]
    assert os.listdir(tmp_path / "elsewhere") == []


def test_several_checkpoints(rng, tmp_path):
    x, y = problem(rng)
    every, few = cr.Checkpoint(tmp_path / "every"), cr.Checkpoint(tmp_path / "few", 4)
    with pytest.raises(BrokenOffError):
        rich_model().fit(x, y, loss="mse", epochs=8, callbacks=[every, few, breaks_off_at(7)])
    whole, one, two = (rich_model() for _ in range(3))
    whole.fit(x, y, loss="mse", epochs=8)
    seen = []
    for model, path in ((one, every.path), (two, few.path)):
        model.fit(
            *(x, y),
            loss="mse",
            epochs=8,
            resume_from=path,
            callbacks=[lambda state: seen.append(state.epoch)],
        )
        assert_same_training(model, whole)
    assert seen == [7, 8, 5, 6, 7, 8]


def test_callbacks_see_the_whole_training(rng, tmp_path):
    x, y = problem(rng)
    states = {}

    def look(state):
        states.setdefault(state.epoch, []).append(
            (state.epochs, state.step, state.loss, state.validation_score, state.learning_rate)
        )
        assert len(state.history.loss) == state.epoch

    arguments = {"loss": "mse", "epochs": 6, "validation_fraction": 0.2}
    rich_model().fit(x, y, callbacks=[look], **arguments)
    fit_until_it_ends(
        rich_model, x, y, tmp_path / "c", look, breaks_off_at(4), every_epochs=2, **arguments
    )
    assert {epoch: len(seen) for epoch, seen in states.items()} == dict(
        zip(range(1, 7), [2, 2, 3, 3, 2, 2], strict=True)
    )
    assert all(len(set(seen)) == 1 for seen in states.values())


@pytest.mark.parametrize("at", ["epoch", "step"])
def test_a_callback_that_ends_a_training_may_let_it_go_on(at, rng, tmp_path):
    x, y = problem(rng)
    path = tmp_path / "c"

    class Stop(cr.Callback):
        every_n_steps = 1 if at == "step" else None
        seen = ()

        def on_epoch_end(self, state):
            self.seen = (*self.seen, (state.epoch, state.loss, state.validation_loss))
            return at == "epoch" and state.epoch == 4

        def on_step_end(self, state):
            return state.step == 23

    def make_and_fit(callback, **arguments):
        model = rich_model()
        model.fit(
            *(x, y),
            loss="mse",
            epochs=9,
            batch_size=10,
            validation_fraction=0.2,
            callbacks=[cr.Checkpoint(path), *callback],
            **arguments,
        )
        return model

    stop = Stop()
    stopped = make_and_fit([stop])
    assert stopped.history.stop_reason == "callback"
    # Stopped again by the same callback, in the same bits, after seeing the same.
    asked = Stop()
    again = make_and_fit([asked], resume_from=path)
    assert_same_training(again, stopped)
    assert asked.seen == (stop.seen[-1:] if at == "epoch" else ())
    # By another one, which has more time, it is let go on.
    onward = make_and_fit([], resume_from=path)
    path.unlink()
    whole = make_and_fit([])
    assert_same_training(onward, whole)


def test_ctrl_c_leaves_the_checkpoint_before(rng, tmp_path):
    x, y = problem(rng)
    path = tmp_path / "c"
    whole = rich_model()
    whole.fit(x, y, loss="mse", epochs=6, batch_size=10)

    class Interrupt(cr.Callback):
        every_n_steps = 1
        left = 1

        def on_step_end(self, state):
            if state.step == 31 and self.left:
                self.left = 0
                raise KeyboardInterrupt

    interrupt, model = Interrupt(), rich_model()
    arguments = {
        "loss": "mse",
        "epochs": 6,
        "batch_size": 10,
        "callbacks": [cr.Checkpoint(path), interrupt],
    }
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, **arguments)
    assert model.history.stop_reason is None
    assert len(model.history.loss) == 3
    model.fit(x, y, resume_from=path, **arguments)
    assert_same_training(model, whole)


def test_a_checkpoint_that_cannot_be_written_ends_the_fit(rng, tmp_path):
    x, y = problem(rng)
    model = rich_model()
    folder = tmp_path / "folder"

    def remove(state):
        if state.epoch == 3:
            (folder / "c").rename(tmp_path / "c")
            folder.rmdir()

    with pytest.raises(FileNotFoundError, match=r"No such folder for a Checkpoint.*folder"):
        model.fit(x, y, loss="mse", callbacks=[cr.Checkpoint(folder / "c")])
    assert model.history is None
    folder.mkdir()
    with pytest.raises(FileNotFoundError, match="folder"):
        model.fit(x, y, loss="mse", callbacks=[remove, cr.Checkpoint(folder / "c")])
    assert len(model.history.loss) == 3
    assert model.history.stop_reason is None
    whole = rich_model()
    whole.fit(x, y, loss="mse")
    model.fit(x, y, loss="mse", resume_from=tmp_path / "c")
    assert_same_training(model, whole)


# --- where to go on from -------------------------------------------------------------------------


def test_a_missing_file(rng, tmp_path, monkeypatch):
    x, y = problem(rng)
    monkeypatch.chdir(tmp_path)
    model = rich_model()
    before = numbers(model)
    for callbacks in ([], [cr.Checkpoint("other")]):
        with pytest.raises(FileNotFoundError, match="missing"):
            model.fit(x, y, loss="mse", resume_from="missing", callbacks=callbacks)
    assert same_bits(numbers(model), before)
    assert model.history is model.recipe is None
    assert os.listdir(tmp_path) == []
    # However the path is written.
    there = cr.Checkpoint(tmp_path / "missing")
    model.fit(x, y, loss="mse", resume_from="./missing", callbacks=[there], epochs=2)
    assert os.listdir(tmp_path) == ["missing"]


def test_more_epochs_than_before(rng, tmp_path):
    x, y = problem(rng)
    path = tmp_path / "c"
    whole, first, second = (rich_model() for _ in range(3))
    whole.fit(x, y, loss="mse", epochs=9)
    first.fit(x, y, loss="mse", epochs=4, callbacks=[cr.Checkpoint(path)])
    second.fit(x, y, loss="mse", epochs=9, resume_from=path)
    assert_same_training(second, whole)
    with pytest.raises(ValueError, match="epochs must be at least 4, those begun in the"):
        second.fit(x, y, loss="mse", epochs=3, resume_from=path)
    second.fit(x, y, loss="mse", epochs=4, resume_from=path)
    assert_same_training(second, first)
    cosine = cr.Adam(cr.Cosine(1e-3))
    first.fit(x, y, loss="mse", optimizer=cosine, epochs=4, callbacks=[cr.Checkpoint(path)])
    with pytest.raises(ValueError, match=r"epochs must be 4, as in the checkpoint .*, got 9"):
        second.fit(x, y, loss="mse", optimizer=cosine, epochs=9, resume_from=path)


def test_a_fit_that_resumes_another_one(rng, tmp_path):
    x, y = problem(rng)
    path = tmp_path / "c"
    whole = rich_model()
    whole.fit(x, y, loss="mse", epochs=3)
    whole.fit(x, y, loss="mse", epochs=5, resume=True)

    def second(model, *callbacks):
        model.fit(
            *(x, y),
            loss="mse",
            epochs=5,
            resume=True,
            callbacks=[cr.Checkpoint(path), *callbacks],
            resume_from=path,
        )

    broken = rich_model()
    broken.fit(x, y, loss="mse", epochs=3)
    with pytest.raises(BrokenOffError):
        second(broken, breaks_off_at(6))
    # The same calls once more.
    broken = rich_model()
    broken.fit(x, y, loss="mse", epochs=3)
    second(broken)
    assert_same_training(broken, whole)
    # Or that one alone: the file has all that went before.
    alone = rich_model()
    alone.fit(x, y, loss="mse", epochs=5, resume_from=path)
    assert_same_training(alone, whole)
    with pytest.raises(ValueError, match=r"began after 8 epochs of the trainer, got .* after 3"):
        second(alone)


def test_a_trainer_resumes(rng, tmp_path):
    x, y = problem(rng)
    path = str(tmp_path / "c")
    trainers = [cr.Trainer(rich_model(), loss="mse", optimizer="nadam") for _ in range(3)]
    trainers[0].fit(x, y, epochs=7)
    with pytest.raises(BrokenOffError):
        trainers[1].fit(x, y, epochs=7, callbacks=[cr.Checkpoint(path), breaks_off_at(5)])
    history = trainers[2].fit(x, y, epochs=7, resume_from=path, threads=2)
    assert history is trainers[2].history
    assert_same_training(trainers[2].model, trainers[0].model)
    # It goes on from there, fit by fit and step by step.
    for trainer in (trainers[0], trainers[2]):
        trainer.fit(x, y, epochs=2)
        trainer.step(x, y)
    assert same_bits(numbers(trainers[2].model), numbers(trainers[0].model))


def test_threads_callbacks_and_layouts_may_be_others(rng, tmp_path):
    x, y = problem(rng)
    path = tmp_path / "c"
    arguments = {"loss": "mse", "batch_size": 10, "epochs": 3, "validation_fraction": 0.2}
    whole, model = rich_model(), rich_model()
    whole.fit(x, y, **arguments)
    with pytest.raises(BrokenOffError):
        rich_model().fit(
            x, y, threads=1, callbacks=[cr.Checkpoint(path), breaks_off_at(2)], **arguments
        )
    model.fit(
        *(np.asfortranarray(x).astype(">f8"), y.astype(np.float32)[:, ::-1][:, ::-1]),
        resume_from=path,
        threads=2,
        callbacks=[lambda state: None],
        **arguments,
    )
    assert_same_training(model, whole)
