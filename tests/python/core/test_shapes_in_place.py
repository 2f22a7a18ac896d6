"""Arrays whose shape changes while they are in use, and calls within calls."""

import re
import threading
import time

import numpy as np
import pytest
from bounds import same_bits

import chainrule as cr


def new_model(dtype="float64"):
    return cr.MLP([3, 16, 2], activation="tanh", seed=1, dtype=dtype)


def test_backward_takes_the_rows_of_forward(rng):
    x, gradient = rng.normal(size=(1000, 3)), rng.normal(size=(1000, 2))
    expected = new_model()
    expected.forward(x.copy())
    of_x = expected.backward(gradient)
    model = new_model()
    model.forward(x)
    x.shape = (3000, 1)
    assert same_bits(model.backward(gradient), of_x)
    assert same_bits(model.gradient, expected.gradient)


class Converted:
    """Calls a function when it is converted to an array."""

    def __init__(self, array, function):
        self.array, self.function = array, function

    def __array__(self, dtype=None, copy=None):
        self.function()
        return self.array


@pytest.mark.parametrize("rows", [4, 5000])
def test_a_gradient_that_calls_forward_is_refused(rows, rng):
    model = new_model()
    gradient, other = rng.normal(size=(4, 2)), rng.normal(size=(rows, 3))
    model.forward(rng.normal(size=(4, 3)))
    with pytest.raises(RuntimeError, match="a single forward, got 2"):
        model.backward(Converted(gradient, lambda: model.forward(other)))


def test_the_rows_of_a_gradient_are_those_of_the_last_forward(rng):
    model = new_model()
    gradient, other = rng.normal(size=(4, 2)), rng.normal(size=(5000, 3))
    model.forward(rng.normal(size=(4, 3)))
    model.backward(gradient)
    with pytest.raises(
        ValueError, match=r"grad_outputs must be .* \(5000, 2\), .* got shape \(4, 2\)"
    ):
        model.backward(Converted(gradient, lambda: model.forward(other)))


def test_two_forwards_before_a_backward_are_refused(rng):
    a, b, gradient = rng.normal(size=(8, 3)), rng.normal(size=(8, 3)), rng.normal(size=(8, 2))
    expected = new_model()
    expected.forward(a)
    of_a = expected.backward(gradient)
    model = new_model()
    model.forward(a)
    model.forward(b)
    with pytest.raises(RuntimeError, match="a single forward, got 2 since the last backward"):
        model.backward(gradient)
    with pytest.raises(RuntimeError, match="must follow forward"):
        model.backward(gradient)
    # It starts over with the next forward; predict in between takes nothing away.
    model.forward(a)
    model.predict(b)
    assert same_bits(model.backward(gradient), of_a)
    assert same_bits(model.backward(gradient), of_a)  # once more through the same activations


@pytest.mark.parametrize("call", ["predict", "forward", "step", "fit", "evaluate", "gradient"])
def test_a_shape_that_another_thread_changes(call, rng):
    """Each call gives the result for one of the shapes or says what is wrong; none crashes."""
    model = cr.MLP([4, 8, 4], seed=1)
    x = rng.normal(size=(3000, 4)).astype(np.float32)
    y = x.copy()
    trainer = cr.Trainer(model, loss="mse", optimizer=cr.SGD(1e-9))
    calls = {
        "predict": lambda: model.predict(x),
        "forward": lambda: model.forward(x),
        "step": lambda: trainer.step(x, y),
        "fit": lambda: trainer.fit(x, y, epochs=1, batch_size=512),
        "evaluate": lambda: model.evaluate(x, y, loss="mse"),
        "gradient": lambda: model.loss_and_gradient(x, y, loss="mse"),
    }
    done, errors = threading.Event(), []

    def flip():
        while not done.is_set():
            for shape in ((12000, 1), (1500, 8), (3000, 4)):
                x.shape = shape
                y.shape = shape

    other = threading.Thread(target=flip)
    other.start()
    try:
        end = time.monotonic() + 0.3
        right = 0
        while time.monotonic() < end or right == 0:
            try:
                calls[call]()
                right += 1
            except ValueError as error:
                errors.append(str(error))
    finally:
        done.set()
        other.join()
    assert right + len(errors) > 10
    assert all(re.search(r"\b(X|y|targets)\b", error) for error in errors)


def test_shapes_set_while_other_arguments_are_converted(rng):
    x, y, weights = rng.normal(size=(60, 3)), rng.normal(size=(60, 2)), rng.uniform(0.5, 1, 60)

    def trained(given, targets, given_weights):
        model = new_model()
        settings = {"loss": "mse", "epochs": 2, "batch_size": 16, "validation_fraction": 0.2}
        model.fit(given, targets, **settings, sample_weight=given_weights)
        return model

    def flatten(*arrays):
        for array in arrays:
            array.shape = (1, array.size)

    expected = trained(x.copy(), y.copy(), weights.copy())
    given, targets = x.copy(), y.copy()
    model = trained(
        given,
        Converted(targets, lambda: flatten(given)),
        Converted(weights, lambda: flatten(given, targets)),
    )
    assert given.shape == (1, 180)
    assert targets.shape == (1, 120)
    assert same_bits(model.parameters, expected.parameters)
    assert model.history.validation_loss == expected.history.validation_loss


def test_shapes_that_a_callback_changes_do_not_reach_the_fit(rng):
    def arrays(n_rows):
        weights = rng.uniform(0.5, 1, n_rows)
        return rng.normal(size=(n_rows, 3)), rng.normal(size=(n_rows, 2)), weights

    training, validation = arrays(60), arrays(20)

    def flatten(state):
        for array in (*training, *validation):
            array.shape = (1, array.size)

    def fit(given, held, callbacks):
        x, y, weights = given
        model = new_model()
        settings = {"loss": "mse", "epochs": 3, "batch_size": 16}
        model.fit(
            *(x, y),
            **settings,
            sample_weight=weights,
            validation_data=held,
            callbacks=callbacks,
        )
        return model

    copies = [tuple(array.copy() for array in part) for part in (training, validation)]
    expected = fit(*copies, [])
    model = fit(training, validation, [flatten])
    assert training[2].shape == (1, 60)
    assert same_bits(model.parameters, expected.parameters)
    assert model.history.validation_loss == expected.history.validation_loss
