"""Many Python threads at once: predictions, trainings, and a model that is being trained."""

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from bounds import same_bits
from test_threads import run
from thread_cases import NETWORKS, on_variant, train

import chainrule as cr


@pytest.mark.parametrize("n_predictions", [50, pytest.param(1000, marks=pytest.mark.slow)])
def test_64_threads_predict_at_once(n_predictions, variant, rng):
    # baseline computes FMAs in software: a thirtieth takes as long.
    n_rows = 600 if variant != "baseline" else 20
    model = cr.MLP([16, 200, 200, 5], norm="layer")
    # One in fifty is large enough for several threads.
    inputs = [rng.normal(size=(n, 16)).astype("float32") for n in (1, 2, 5, n_rows)]
    serial = [model.predict(x, threads=1) for x in inputs]

    def predict(caller):
        for i in range(n_predictions):
            case = 3 if (caller + i) % 50 == 0 else (caller + i) % 3
            got = model.predict(inputs[case], threads=(None, 2, 4)[i % 3])
            if not same_bits(got, serial[case]):
                return f"prediction {i} of {len(inputs[case])} rows"
        return None

    with ThreadPoolExecutor(64) as pool:
        assert list(pool.map(on_variant(variant, predict), range(64))) == [None] * 64


@pytest.mark.parametrize("threads", [1, 2])
def test_a_model_in_training_is_refused_and_not_disturbed(threads, variant, rng):
    n_rows = 600 if variant != "baseline" else 20
    x = rng.normal(size=(n_rows, 64)).astype("float32")
    y = x[:, :1].copy()
    settings = {"loss": "mse", "batch_size": 256, "threads": threads}
    model, again = (cr.MLP([64, 128, 128, 1], dropout=0.1, norm="batch") for _ in range(2))
    trainer = cr.Trainer(model, loss="mse")
    refused = [
        lambda: model.fit(x, y, loss="mse"),
        lambda: trainer.fit(x, y),
        lambda: trainer.step(x[:9], y[:9]),
        lambda: model.loss_and_gradient(x[:9], y[:9], loss="mse"),
        lambda: model.input_gradient(x[:9], y[:9], loss="mse"),
        lambda: model.forward(x[:9], training=True),
        lambda: model.backward(y[:9]),
        lambda: model.initialize(3),
        model.copy,
        lambda: copy.deepcopy(model),
        lambda: pickle.dumps(model),
        lambda: cr.exchange.to_c(model),
    ]
    busy, stop = threading.Event(), threading.Event()

    def until_stopped(state):
        busy.set()
        return stop.is_set()

    def fit():
        model.fit(x, y, epochs=10**6, callbacks=[until_stopped], **settings)

    fitting = threading.Thread(target=on_variant(variant, fit))
    fitting.start()
    try:
        assert busy.wait(60)
        for i in range(160):
            with pytest.raises(RuntimeError, match="another thread is training this model"):
                refused[i % len(refused)]()
            assert np.isfinite(model.predict(x[:9])).all()
    finally:
        stop.set()
        fitting.join()
    again.fit(x, y, epochs=len(model.history.loss), **settings)
    assert same_bits(model.parameters, again.parameters)
    assert same_bits(model.running_statistics, again.running_statistics)
    for call in refused[:6]:  # backward waits for forward, initialize for nothing
        call()


def test_callbacks_see_whole_steps(rng):
    x = rng.normal(size=(200, 16)).astype("float32")
    settings = {"loss": "mse", "batch_size": 50}
    model = cr.MLP([16, 64, 1], norm="batch")
    copies, outputs = [], []

    def keep(state):
        copies.append(state.model.copy())
        outputs.append(state.model.predict(x))
        assert pickle.loads(pickle.dumps(state.model)).history is None

    model.fit(x, x[:, :1], epochs=3, callbacks=[keep], **settings)
    for epochs, (kept, output) in enumerate(zip(copies, outputs, strict=True), start=1):
        again = cr.MLP([16, 64, 1], norm="batch")
        again.fit(x, x[:, :1], epochs=epochs, **settings)
        assert same_bits(kept.parameters, again.parameters)
        assert same_bits(kept.running_statistics, again.running_statistics)
        assert same_bits(kept.predict(x), output)


def test_a_copy_is_refused_when_a_fit_begins_meanwhile():
    model = cr.MLP([1, 1])
    refused = pytest.raises(RuntimeError, match="copy must wait: another thread")
    with refused, model._lock.read("copy"):
        model.fit([[0.0], [1.0]], [0.0, 1.0], loss="mse", epochs=1)


def test_copies_at_once_are_not_refused():
    model = cr.MLP([64, 256, 64])
    with ThreadPoolExecutor(16) as pool:
        copies = list(pool.map(lambda _: model.copy().parameters, range(200)))
    assert all(same_bits(kept, model.parameters) for kept in copies)


def test_trainings_at_once_have_the_same_bits():
    serial = {name: train(name, "float32", 1) for name in NETWORKS}
    with ThreadPoolExecutor(4) as pool:
        trained = pool.map(lambda name: train(name, "float32", 4), NETWORKS)
        assert dict(zip(NETWORKS, trained, strict=True)) == serial


def test_the_process_may_end_during_a_fit():
    # Taking the lock back while Python ends once aborted the process.
    code = """
import threading, time
import numpy as np
import chainrule as cr

X = np.random.default_rng(0).normal(size=(4000, 64))
model = cr.MLP([64, 256, 256, 1])
fit = lambda: model.fit(X, X[:, :1], loss="mse", epochs=10**6)
threading.Thread(target=fit, daemon=True).start()
time.sleep(0.2)
print("ends")
"""
    for _ in range(3):
        assert run(code) == "ends"
