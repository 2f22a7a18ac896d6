"""What a callback may not do within its own fit, and what is left when a fit is over."""

import gc
import pickle
import weakref

import numpy as np
import pytest
from bounds import same_bits
from traces import python_calls

import chainrule as cr


def rows(rng, n_rows=60):
    x = rng.normal(size=(n_rows, 3)).astype(np.float32)
    return x, x.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("norm", [None, "batch"])
def test_a_callback_cannot_change_its_own_training(norm, rng):
    x, y = rows(rng)
    layers = [3, cr.Standardize(), 8, 1]
    alone, watched = (cr.MLP(layers, norm=norm, seed=1) for _ in "ab")
    watched.standardize(x)
    other = cr.Trainer(watched, loss="mse")
    refused = []

    def meddle(state):
        model = state.model
        calls = [
            lambda: model.initialize(),
            lambda: model.standardize(2 * x),
            lambda: model.fit(x, y, loss="mse"),
            lambda: state.trainer.step(x, y),
            lambda: state.trainer.fit(x, y),
            lambda: other.step(x, y),
            lambda: other.fit(x, y),
        ]
        if norm == "batch":
            calls.append(lambda: model.forward(x, training=True))
        for call in calls:
            with pytest.raises(RuntimeError, match="within a fit of the same model"):
                call()
            refused.append(call)
        # What only looks at the model may be called.
        model.evaluate(x, y, loss="mse")
        model.backward(model.forward(x))
        model.loss_and_gradient(x, y, loss="mse", training=True)
        model.copy().initialize()

    settings = {"loss": "mse", "batch_size": 16, "epochs": 3}
    alone.fit(x, y, **settings)
    watched.fit(x, y, **settings, callbacks=[meddle])
    assert len(refused) == 3 * (7 + (norm == "batch"))
    assert same_bits(alone.parameters, watched.parameters)
    assert same_bits(alone.running_statistics, watched.running_statistics)
    watched.initialize()  # when it is over


# By this rule no epoch is better than the first.
@pytest.mark.parametrize("stopping", [None, cr.EarlyStopping(2, min_delta=1e9)], ids=["", "rule"])
def test_backward_is_refused_when_the_fit_has_gone_on_after_forward(stopping, rng):
    x, y = rows(rng)
    refused = []

    class Differentiates(cr.Callback):
        every_n_steps = 2

        def on_step_end(self, state):
            if state.step > 2:
                with pytest.raises(RuntimeError, match="backward must follow forward, without"):
                    state.model.backward(np.ones((5, 1)))
                refused.append(state.step)
            state.model.forward(x[:5])

        def on_epoch_end(self, state):
            state.model.forward(x[:5])

    model = cr.MLP([3, 8, 1], seed=1)
    settings = {"loss": "mse", "batch_size": 16, "epochs": 3}
    model.fit(x, y, **settings, early_stopping=stopping, callbacks=[Differentiates()])
    assert refused == [4, 6, 8, 10, 12]
    if stopping is not None:
        assert model.history.best_epoch == 1
        with pytest.raises(RuntimeError, match="backward must follow forward, without"):
            model.backward(np.ones((5, 1)))


class Ends(Exception):  # noqa: N818
    pass


@pytest.mark.parametrize("ending", ["epochs", "exception", "callback", "interrupt"])
@pytest.mark.parametrize("keeps_model", [True, False])
def test_nothing_of_the_data_outlives_a_fit(ending, keeps_model, rng, tmp_path):
    def end(state):
        if ending == "exception":
            raise Ends
        if ending == "interrupt":
            raise KeyboardInterrupt
        return ending == "callback"

    gc.collect()
    gc.disable()
    try:
        model = cr.MLP([3, 8, 1], seed=1)
        x, y = rows(rng)
        weight, held = np.ones(60, np.float32), rows(rng, 20)
        arrays = [weakref.ref(array) for array in (x, y, weight, *held)]
        try:
            model.fit(
                *(x, y),
                loss="mse",
                epochs=2,
                sample_weight=weight,
                validation_data=held,
                early_stopping=cr.EarlyStopping(),
                callbacks=[end, cr.Checkpoint(tmp_path / "c")],
            )
        except (Ends, KeyboardInterrupt):
            assert ending in ("exception", "interrupt")
        del x, y, weight, held
        of_model = weakref.ref(model)
        if not keeps_model:
            del model
            assert of_model() is None
        assert [array() for array in arrays] == [None] * 5
    finally:
        gc.enable()


def test_a_fit_in_a_loop_costs_the_same_later(rng):
    x, y = rows(rng, 4)
    trainer = cr.Trainer(cr.MLP([3, 2, 1]), loss="mse", optimizer=cr.SGD(1e-6))

    def fit():
        trainer.fit(x, y, epochs=1)

    for _ in range(5):
        fit()
    early = python_calls(fit)
    for _ in range(2000):
        fit()
    assert python_calls(fit) == early
    assert trainer.epoch == len(trainer.history.loss) == 2007


def test_the_best_epoch_is_that_of_all_losses(rng):
    """However it was found: fits with and without validation and early stopping in turn."""
    x, y = rows(rng)
    trainer = cr.Trainer(cr.MLP([3, 4, 1], seed=2), loss="mse", optimizer=cr.SGD(0.02))
    turns = [{}, {}, {"validation_fraction": 0.3}, {"validation_fraction": 0.3}, {}]
    turns.append({"validation_fraction": 0.3, "early_stopping": cr.EarlyStopping(3)})
    for arguments in [*turns, *turns]:
        trainer.fit(x, y, epochs=3, batch_size=7, **arguments)
        if "early_stopping" not in arguments:
            history = trainer.history
            losses = np.array(history.validation_loss or history.loss)
            assert history.best_epoch == np.nanargmin(losses) + 1


def test_a_model_in_a_pickle_knows_nothing_of_its_training(rng):
    x, y = rows(rng)
    model = cr.MLP([3, 4, 1])
    model.fit(x, y, loss="mse", epochs=1)
    again = pickle.loads(pickle.dumps(model))
    assert same_bits(again.parameters, model.parameters)
    with pytest.raises(ValueError, match="resume must be False before the first fit"):
        again.fit(x, y, loss="mse", resume=True)
