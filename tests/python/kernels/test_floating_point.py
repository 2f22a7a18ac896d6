"""The caller's floating-point state: no call changes it, and it changes no result."""

import functools
import signal
import threading

import floating_point
import numpy as np
import pytest
from bounds import same_bits
from public_calls import calls, missing, numbers, wrong_calls

import chainrule as cr


def here():
    """Return the state of this thread, as read and as seen."""
    return floating_point.control(), floating_point.seen_by_numpy()


def test_no_public_call_is_forgotten():
    assert missing() == set()


@functools.cache
def results_by_default(variant, dtype):
    return {name: numbers(call()) for name, call in calls(dtype).items()}


@pytest.mark.parametrize("state", floating_point.STATES)
def test_state_is_kept_and_does_not_show(state, variant, dtype):
    want = results_by_default(variant, dtype)
    changed, differ = [], []
    for name, call in calls(dtype).items():
        with floating_point.state(state):
            before = here()
            result = call()
            after = here()
        if after != before:
            changed.append(name)
        if numbers(result) != want[name]:
            differ.append(name)
    assert changed == []
    assert differ == []


def test_states_are_told_apart():
    assert floating_point.seen_by_numpy() == floating_point.seen_by_numpy()
    controls, seen = set(), set()
    for state in floating_point.STATES:
        with floating_point.state(state):
            controls.add(floating_point.control())
            if state != "trapping":
                seen.add(tuple(floating_point.seen_by_numpy()))
    assert len(controls) == len(floating_point.STATES)
    assert len(seen) == len(set(floating_point.STATES) - {"trapping"})


@pytest.mark.parametrize("state", floating_point.STATES)
def test_refusals_keep_the_state(state):
    for name, call in wrong_calls().items():
        with floating_point.state(state):
            before = here()
            with pytest.raises((TypeError, ValueError, AttributeError, RuntimeError)):
                call()
            assert here() == before, name


def failing_calls():
    """Yield calls that fail within the compiled code, or around it, and with what."""
    x, y = np.ones((64, 3), np.float32), np.ones((64, 1), np.float32)
    model, normed = cr.MLP([3, 4, 1]), cr.MLP([3, cr.Dense(4, norm="batch"), 1])
    trainer = cr.Trainer(model, loss="mse", optimizer=cr.SGD(1e-3))
    read_only = np.zeros(8)
    read_only.flags.writeable = False

    def fail(_):
        raise LookupError

    yield ValueError, lambda: normed.forward(x * 1e25, training=True)
    yield cr.DivergenceError, lambda: normed.fit(x * 1e25, y, loss="mse")
    yield cr.DivergenceError, lambda: trainer.step(x * 1e30, y)
    yield LookupError, lambda: model.fit(x, y, loss="mse", callbacks=[fail])
    yield ValueError, lambda: cr.kernels.exp(np.ones(8), out=read_only)
    yield ValueError, lambda: model.predict(x * np.nan)
    yield RuntimeError, lambda: model.backward(y)


@pytest.mark.parametrize("state", [name for name in floating_point.STATES if name != "trapping"])
def test_failures_keep_the_state(state):
    for error, call in failing_calls():
        with floating_point.state(state):
            before = here()
            with pytest.raises(error):
                call()
            assert here() == before


# The rows that take most of the calls below a tenth of a second or more.
SIZE = 30_000 if cr.runtime.active_variant() != "baseline" else 5_000


def long_calls():
    x, y = np.ones((SIZE, 256), np.float32), np.ones((SIZE, 1), np.float32)
    model = cr.MLP([256, 512, 512, 1], norm="batch")
    settings = {"loss": "mse", "threads": 2}
    trainer = cr.Trainer(model, loss="mse", threads=2)
    return {
        "fit": lambda: model.fit(x, y, epochs=1000, **settings),
        "step": lambda: trainer.step(x, y),
        "predict": lambda: model.predict(x, threads=2),
        "evaluate": lambda: model.evaluate(x, y, **settings),
        "forward": lambda: model.forward(x, training=True, threads=2),
        "loss_and_gradient": lambda: model.loss_and_gradient(x, y, **settings),
        "input_gradient": lambda: model.input_gradient(x, y, **settings),
    }


@pytest.fixture
def interrupted():
    """Have the alarm raise KeyboardInterrupt; collect the states of its handler."""
    seen = []

    def interrupt(*_):
        seen.append(here())
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    yield seen
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    signal.signal(signal.SIGALRM, previous)


def repeat_until_alarm(call):
    # The alarm must not come when the only call is over.
    signal.setitimer(signal.ITIMER_REAL, 0.03)
    while True:
        call()


@pytest.mark.parametrize(
    "state", sorted({"default", "upward", "flushing"} & {*floating_point.STATES})
)
@pytest.mark.parametrize("name", long_calls())
def test_interrupted_calls_keep_the_state(name, state, interrupted):
    default = here()
    call = long_calls()[name]
    with floating_point.state(state):
        before = here()
        with pytest.raises(KeyboardInterrupt):
            repeat_until_alarm(call)
        after = here()
    assert after == before
    # Between two compiled calls the handler has the caller's state, within one the default one.
    assert interrupted in ([default], [before])


@pytest.mark.parametrize("state", floating_point.STATES)
def test_callbacks_have_the_state_of_the_caller(state):
    x, y = np.ones((64, 3), np.float32), np.ones((64, 1), np.float32)
    seen = []
    with floating_point.state(state):
        before = here()
        cr.MLP([3, 4, 1]).fit(x, y, loss="mse", epochs=2, callbacks=[lambda _: seen.append(here())])
    assert seen == [before] * 2


@pytest.mark.parametrize("state", floating_point.STATES)
def test_threads_have_states_of_their_own(state, rng):
    x = rng.normal(size=(500, 64)).astype(np.float32)
    y = x[:, :1].copy()

    def trained():
        model = cr.MLP([64, 128, 128, 1], norm="layer")
        model.fit(x, y, loss="mse", batch_size=500, epochs=4, threads=4)
        return np.append(model.parameters, model.predict(x, threads=3))

    want = trained()
    results = []

    def work():
        with floating_point.state(state):
            before = here()
            results.append(trained())
            results.append(here() == before)

    default = here()
    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        assert same_bits(trained(), want)
        assert here() == default
    thread.join()
    assert same_bits(results[0], want)
    assert results[1]
