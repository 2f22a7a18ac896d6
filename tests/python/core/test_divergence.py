"""Trainings that go wrong, or into each other's way."""

import pickle
import threading

import numpy as np
import pytest
from bounds import same_bits
from test_training import numbers, problem, rich_model

import chainrule as cr


@pytest.mark.parametrize("optimizer", [cr.SGD(1e25), cr.SGD(1e36, momentum=0.5)], ids=str)
def test_divergence_keeps_the_last_finite_numbers(optimizer, variant, rng):
    x, y = problem(rng, 40)
    model = cr.MLP([4, 8, 2])
    seen = []

    class Watch(cr.Callback):
        every_n_steps = 1

        def on_step_end(self, state):
            seen.append(model.parameters.copy())

    with pytest.raises(cr.DivergenceError, match="not finite in epoch 1, batch") as caught:
        model.fit(x, y, loss="mse", optimizer=optimizer, batch_size=4, callbacks=[Watch()])
    assert caught.value.epoch == 1
    assert caught.value.batch == len(seen) + 1
    assert caught.value.what in ("loss", "gradient", "parameters")
    assert isinstance(caught.value, ArithmeticError)
    assert np.isfinite(model.parameters).all()
    if seen:
        assert same_bits(model.parameters, seen[-1])
    assert model.history.stop_reason is None
    assert model.history.loss == []


def test_divergence_names_epoch_and_batch(rng):
    x, y = problem(rng, 40)
    model = cr.MLP([4, 2])
    model.fit(x, y, loss="mse", optimizer=cr.SGD(1e-3), batch_size=10, shuffle=False, epochs=3)
    x[25] = 1e30  # finite, but its square is not: the third batch
    with pytest.raises(cr.DivergenceError) as caught:
        model.fit(x, y, loss="mse", batch_size=10, shuffle=False, resume=True)
    assert (caught.value.epoch, caught.value.batch) == (4, 3)
    assert len(model.history.loss) == 3
    with pytest.raises(
        cr.DivergenceError, match=r"not finite in step 15; the model keeps"
    ) as caught:
        model._trainer.step(x, y)
    assert caught.value.epoch is None


def test_divergence_error_can_be_pickled():
    error = pickle.loads(pickle.dumps(cr.DivergenceError("loss", 2, 3)))
    assert (error.what, error.epoch, error.batch) == ("loss", 2, 3)
    assert str(error).startswith("the loss is not finite in epoch 2, batch 3; ")


def test_two_fits_of_one_model_at_once_are_refused(rng):
    x, y = problem(rng)
    model = rich_model()
    trainer = cr.Trainer(model, loss="mse")
    inside, leave = threading.Event(), threading.Event()

    def wait(state):
        inside.set()
        assert leave.wait(60)
        return True

    thread = threading.Thread(target=lambda: model.fit(x, y, loss="mse", callbacks=[wait]))
    thread.start()
    try:
        assert inside.wait(60)
        for call in (
            lambda: model.fit(x, y, loss="mse"),
            lambda: trainer.fit(x, y),
            lambda: trainer.step(x, y),
            lambda: model.loss_and_gradient(x, y, loss="mse"),
            lambda: model.input_gradient(x, y, loss="mse"),
            lambda: model.forward(x),
            lambda: model.initialize(),
        ):
            with pytest.raises(RuntimeError, match="another thread is training this model"):
                call()
        assert model.predict(x).shape == (83, 2)
    finally:
        leave.set()
        thread.join()
    model.fit(x, y, loss="mse", epochs=1)


def test_different_models_may_train_at_once(rng):
    x, y = problem(rng)
    want = rich_model()
    want.fit(x, y, loss="mse", epochs=10)
    models = [rich_model() for _ in range(6)]
    threads = [
        threading.Thread(target=model.fit, args=(x, y), kwargs={"loss": "mse", "epochs": 10})
        for model in models
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for model in models:
        assert same_bits(numbers(model), numbers(want))
