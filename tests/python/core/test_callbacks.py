"""Callbacks: what they see, and how they end a training."""

import numpy as np
import pytest
from bounds import same_bits

import chainrule as cr


def problem(rng, n_rows=50):
    x = rng.normal(size=(n_rows, 3))
    return x, np.sin(x.sum(axis=1))


def new_model():
    return cr.MLP([3, 8, 1], norm="batch", seed=2)


class Record(cr.Callback):
    """Keeps every state it is called with."""

    def __init__(self, every_n_steps=None):
        self.every_n_steps = every_n_steps
        self.epochs = []
        self.steps = []

    def on_epoch_end(self, state):
        self.epochs.append(state)

    def on_step_end(self, state):
        self.steps.append(state)


def test_states_say_where_the_training_stands(rng):
    x, y = problem(rng)
    record = Record(every_n_steps=2)
    model = new_model()
    history = model.fit(
        x,
        y,
        loss="mse",
        batch_size=20,
        epochs=4,
        optimizer=cr.Adam(cr.InverseScaling(1e-3)),
        validation_data=(x, y),
        callbacks=[record],
    )
    assert [s.epoch for s in record.epochs] == [1, 2, 3, 4]
    assert [s.step for s in record.epochs] == [3, 6, 9, 12]
    assert [s.loss for s in record.epochs] == history.loss
    assert [s.validation_loss for s in record.epochs] == history.validation_loss
    assert [s.validation_score for s in record.epochs] == history.validation_score
    assert [s.learning_rate for s in record.epochs] == history.learning_rate
    assert [s.step for s in record.steps] == [2, 4, 6, 8, 10, 12]
    assert [s.epoch for s in record.steps] == [1, 2, 2, 3, 4, 4]
    assert all(s.validation_loss is None for s in record.steps)
    rates = cr.InverseScaling(1e-3).values(3, 4)
    assert [s.learning_rate for s in record.steps] == rates[1::2].tolist()
    for state in record.epochs + record.steps:
        assert state.model is model
        assert state.trainer.model is model
        assert state.history is history
        assert state.epochs == 4
        assert state.steps_per_epoch == 3
    seconds = [s.seconds for s in record.epochs]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0
    # The loss so far is that of the batches so far; at the end of an epoch that of the epoch.
    assert record.steps[2].loss == history.loss[1]
    assert record.steps[1].loss != history.loss[1]


def test_steps_are_counted_over_epochs_and_fits(rng):
    x, y = problem(rng)
    record = Record(every_n_steps=4)
    model = new_model()
    settings = {"loss": "mse", "batch_size": 20, "callbacks": [record]}
    model.fit(x, y, epochs=3, **settings)
    model.fit(x, y, epochs=3, resume=True, **settings)
    assert [s.step for s in record.steps] == [4, 8, 12, 16]
    assert [s.epoch for s in record.epochs] == [1, 2, 3, 4, 5, 6]
    assert [s.epochs for s in record.epochs] == [3, 3, 3, 6, 6, 6]


@pytest.mark.parametrize("every", [1, 2, 3, 7, 1000])
def test_watching_changes_no_bit(every, variant, rng):
    x, y = problem(rng)
    alone, watched = new_model(), new_model()
    alone.fit(x, y, loss="mse", batch_size=7, epochs=3)
    record, other = Record(every), Record(5)
    watched.fit(x, y, loss="mse", batch_size=7, epochs=3, callbacks=[record, other])
    assert same_bits(alone.parameters, watched.parameters)
    assert same_bits(alone.running_statistics, watched.running_statistics)
    assert alone.history.loss == watched.history.loss
    # 50 rows make 7 batches: batch normalization takes the last row with those before it.
    assert [s.step for s in record.steps] == list(range(every, 22, every))
    assert [s.step for s in other.steps] == [5, 10, 15, 20]


def test_a_function_is_called_after_epochs(rng):
    x, y = problem(rng)
    seen = []
    new_model().fit(x, y, loss="mse", epochs=3, callbacks=[lambda state: seen.append(state.epoch)])
    assert seen == [1, 2, 3]


def test_any_object_with_the_methods_will_do(rng):
    class OnlySteps:
        every_n_steps = np.int64(1)

        def __init__(self):
            self.steps = 0

        def on_step_end(self, state):
            self.steps += 1

    x, y = problem(rng)
    watcher = OnlySteps()
    new_model().fit(x, y, loss="mse", batch_size=10, epochs=2, callbacks=(watcher,))
    assert watcher.steps == 10


@pytest.mark.parametrize("answer", [True, np.True_])
def test_true_after_an_epoch_stops(answer, rng):
    x, y = problem(rng)
    model = new_model()
    history = model.fit(
        x, y, loss="mse", callbacks=[lambda state: answer if state.epoch == 3 else None]
    )
    assert history.stop_reason == "callback"
    assert len(history.loss) == 3
    same = new_model()
    same.fit(x, y, loss="mse", epochs=3)
    assert same_bits(model.parameters, same.parameters)


@pytest.mark.parametrize("answer", [None, False, 0, 1, "stop", [1], np.ones(3)])
def test_nothing_but_true_stops(answer, rng):
    x, y = problem(rng)
    history = new_model().fit(x, y, loss="mse", epochs=2, callbacks=[lambda state: answer])
    assert history.stop_reason == "epochs"
    assert len(history.loss) == 2


def test_all_callbacks_see_the_epoch_that_stops(rng):
    x, y = problem(rng)
    record = Record()
    new_model().fit(x, y, loss="mse", callbacks=[lambda state: True, record])
    assert len(record.epochs) == 1


def test_true_after_a_step_stops_there(rng):
    class StopAt(cr.Callback):
        every_n_steps = 1

        def on_step_end(self, state):
            return state.step == 8

    x, y = problem(rng)
    model = new_model()
    history = model.fit(x, y, loss="mse", batch_size=10, callbacks=[StopAt()])
    assert history.stop_reason == "callback"
    assert len(history.loss) == 1
    trainer = model._trainer
    assert trainer.step_count == 8
    assert trainer.epoch == 1
    stepped = new_model()
    by_hand = cr.Trainer(stepped, loss="mse")
    rows = np.concatenate([cr.kernels.permutation(50, seed=2, epoch=e) for e in (0, 1)])
    for i in range(8):
        batch = rows[10 * i : 10 * i + 10]
        by_hand.step(x[batch], y[batch])
    assert same_bits(model.parameters, stepped.parameters)


def test_step_callbacks_say_how_often():
    class Forgetful(cr.Callback):
        def on_step_end(self, state):
            return None

    x, y = np.ones((4, 3)), np.ones(4)
    with pytest.raises(ValueError, match=r"callbacks\[1\].every_n_steps must be .* got none"):
        new_model().fit(x, y, loss="mse", callbacks=[cr.Callback(), Forgetful()])
    wrong = Record(every_n_steps=0)
    with pytest.raises(ValueError, match=r"callbacks\[0\].every_n_steps must be .* got 0"):
        new_model().fit(x, y, loss="mse", callbacks=[wrong])


def test_an_exception_passes_and_leaves_a_usable_model(rng):
    x, y = problem(rng)
    model = new_model()

    def fail(state):
        if state.epoch == 2:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        model.fit(x, y, loss="mse", epochs=5, callbacks=[fail])
    assert len(model.history.loss) == 2
    assert model.history.stop_reason is None
    model.fit(x, y, loss="mse", epochs=3, resume=True)
    same = new_model()
    same.fit(x, y, loss="mse", epochs=5)
    assert same_bits(model.parameters, same.parameters)
    assert model.history.loss == same.history.loss


def test_a_callback_may_use_the_model(rng):
    x, y = problem(rng)
    alone, watched = new_model(), new_model()
    alone.fit(x, y, loss="mse", epochs=3)
    kept = []

    def use(state):
        state.model.evaluate(x, y, loss="mse")
        state.model.loss_and_gradient(x, y, loss="mae")
        state.model.backward(state.model.forward(x))
        kept.append(state.model.copy())

    watched.fit(x, y, loss="mse", epochs=3, callbacks=[use])
    assert same_bits(alone.parameters, watched.parameters)
    assert same_bits(kept[-1].parameters, alone.parameters)
    assert not same_bits(kept[0].parameters, alone.parameters)


def test_a_callback_may_not_fit_the_model_again(rng):
    x, y = problem(rng)
    model = new_model()
    with pytest.raises(RuntimeError, match="fit must not be called within a fit of the same"):
        model.fit(x, y, loss="mse", callbacks=[lambda state: model.fit(x, y, loss="mse")])
    model.fit(x, y, loss="mse", epochs=1)
