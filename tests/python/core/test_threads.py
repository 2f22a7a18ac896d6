"""Threads: how many, and that no number of them changes a bit."""

import inspect
import os
import subprocess
import sys

import numpy as np
import pytest
from bounds import same_bits
from thread_cases import N_ROWS, NETWORKS, train

import chainrule as cr

COUNTS = (2, 3, 4, 7, 16)
# baseline computes FMAs in software: the other variants take a tenth of its time.
FEWER = {"baseline": (4,)}
VARIABLES = ("CHAINRULE_NUM_THREADS", "OMP_NUM_THREADS")


def run(code, **environment):
    """Run Python code in a process of its own; return what it printed."""
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def count_kept():
    """Put the number of threads back."""
    before = cr.runtime.num_threads()
    yield before
    cr.runtime.set_num_threads(before)


# --- the argument --------------------------------------------------------------------------------

WRONG = [
    (0, ValueError, "must be an integer >= 1, got 0"),
    (-1, ValueError, "must be an integer >= 1, got -1"),
    (1025, ValueError, "must be an integer <= 1024, got 1025"),
    (5000, ValueError, "must be an integer <= 1024, got 5000"),
    (2**70, ValueError, "must be an integer <= 1024, got 1180591620717411303424"),
    (True, TypeError, "must be an integer, got bool"),
    (np.True_, TypeError, "must be an integer, got bool"),
    (1.5, TypeError, "must be an integer, got float 1.5"),
    (np.float32(2), TypeError, "must be an integer, got float32"),
    ("2", TypeError, "must be an integer, got str '2'"),
    ([2], TypeError, r"must be an integer, got list \[2\]"),
]
X, Y = np.ones((5, 3), np.float32), np.ones((5, 2), np.float32)


def calls(model):
    """Return every call that takes `threads`, by name."""
    trainer = cr.Trainer(model, loss="mse")
    model.forward(X)
    w = np.ones((3, 2), np.float32)
    return {
        "fit": lambda threads: model.fit(X, Y, loss="mse", threads=threads),
        "predict": lambda threads: model.predict(X, threads=threads),
        "__call__": lambda threads: model(X, threads=threads),
        "evaluate": lambda threads: model.evaluate(X, Y, loss="mse", threads=threads),
        "forward": lambda threads: model.forward(X, training=True, threads=threads),
        "backward": lambda threads: model.backward(Y, threads=threads),
        "loss_and_gradient": lambda threads: model.loss_and_gradient(
            X, Y, loss="mse", threads=threads
        ),
        "input_gradient": lambda threads: model.input_gradient(X, Y, loss="mse", threads=threads),
        "Trainer": lambda threads: cr.Trainer(model, loss="mse", threads=threads),
        "Trainer.fit": lambda threads: trainer.fit(X, Y, threads=threads),
        "dense_forward": lambda threads: cr.kernels.dense_forward(X, w, threads=threads),
        "dense_backward": lambda threads: cr.kernels.dense_backward(Y, X, w, threads=threads),
    }


CALLS = list(calls(cr.MLP([3, 2])))


@pytest.mark.parametrize("name", CALLS)
def test_wrong_numbers_are_refused_before_anything_changes(name):
    model = cr.MLP([3, cr.Dense(4, norm="batch"), 2])
    call = calls(model)[name]
    before = [a.copy() for a in (model.parameters, model.running_statistics, model.gradient)]
    for value, error, message in WRONG:
        with pytest.raises(error, match=f"threads {message}"):
            call(value)
    for array, kept in zip(
        (model.parameters, model.running_statistics, model.gradient), before, strict=True
    ):
        assert same_bits(array, kept)
    assert model.history is None


@pytest.mark.parametrize("name", CALLS)
def test_numbers_that_are_taken(name):
    for value in (None, 1, 2, np.int8(3), np.uint64(4), 16):
        calls(cr.MLP([3, 4, 2]))[name](value)


def test_the_argument_is_the_last_by_keyword():
    for call in (
        cr.MLP.predict,
        cr.MLP.fit,
        cr.MLP.backward,
        cr.Trainer,
        cr.kernels.dense_backward,
    ):
        name, parameter = list(inspect.signature(call).parameters.items())[-1]
        assert (name, parameter.default) == ("threads", None)
        assert parameter.kind is parameter.KEYWORD_ONLY


def test_threads_of_a_trainer():
    model = cr.MLP([3, 2])
    trainer = cr.Trainer(model, loss="mse", threads=np.int64(2))
    assert trainer.threads == 2
    assert trainer._core.threads == 2
    seen = []
    trainer.fit(X, Y, epochs=1, callbacks=[lambda state: seen.append(trainer._core.threads)])
    trainer.fit(
        X, Y, epochs=1, threads=5, callbacks=[lambda state: seen.append(trainer._core.threads)]
    )
    assert seen == [2, 5]
    assert trainer._core.threads == 2  # for steps and later fits

    def fail(state):
        raise LookupError

    with pytest.raises(LookupError):
        trainer.fit(X, Y, threads=6, callbacks=[fail])
    assert trainer._core.threads == 2
    assert cr.Trainer(model, loss="mse").threads is None


def test_a_fit_may_be_resumed_with_another_number(rng):
    x, y = rng.normal(size=(N_ROWS, 64)), rng.normal(size=N_ROWS)
    whole, parts = (cr.MLP([64, 128, 1], dropout=0.1, seed=2) for _ in range(2))
    whole.fit(x, y, loss="mse", epochs=4, threads=1)
    for threads in (2, 3, None, 7):
        parts.fit(x, y, loss="mse", epochs=1, threads=threads, resume=parts.history is not None)
    assert same_bits(whole.parameters, parts.parameters)


# --- the number by default -----------------------------------------------------------------------


def test_number_can_be_set(count_kept):
    assert 1 <= count_kept <= 1024
    cr.runtime.set_num_threads(3)
    assert cr.runtime.num_threads() == 3
    with cr.runtime.use_num_threads(np.int64(5)):
        assert cr.runtime.num_threads() == 5
        with cr.runtime.use_num_threads(1024):
            assert cr.runtime.num_threads() == 1024
        assert cr.runtime.num_threads() == 5
    assert cr.runtime.num_threads() == 3
    with pytest.raises(KeyError), cr.runtime.use_num_threads(2):
        raise KeyError
    assert cr.runtime.num_threads() == 3
    with cr.runtime.use_num_threads(None):
        assert cr.runtime.num_threads() == count_kept
    assert cr.runtime.num_threads() == 3
    cr.runtime.set_num_threads(None)
    assert cr.runtime.num_threads() == count_kept


@pytest.mark.parametrize(("value", "error", "message"), WRONG)
def test_wrong_numbers_are_not_set(count_kept, value, error, message):
    with pytest.raises(error, match=f"n {message}"):
        cr.runtime.set_num_threads(value)
    with pytest.raises(error, match=f"n {message}"), cr.runtime.use_num_threads(value):
        pass
    assert cr.runtime.num_threads() == count_kept


@pytest.mark.once
@pytest.mark.parametrize(
    ("environment", "count"),
    [
        ({"CHAINRULE_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": "5"}, 5),
        ({"OMP_NUM_THREADS": "6,2"}, 6),
        ({"CHAINRULE_NUM_THREADS": " 4 ", "OMP_NUM_THREADS": "5"}, 4),
        ({"CHAINRULE_NUM_THREADS": "", "OMP_NUM_THREADS": "7"}, 7),
        ({"CHAINRULE_NUM_THREADS": "99999"}, 1024),
    ],
    ids=str,
)
def test_the_environment_gives_the_number(environment, count):
    code = """
import chainrule as cr
print(cr.runtime.num_threads())
cr.runtime.set_num_threads(2)
cr.runtime.set_num_threads(None)
print(cr.runtime.num_threads())
"""
    assert run(code, **environment).split() == [str(count)] * 2


@pytest.mark.once
@pytest.mark.parametrize("value", ["0", "-2", "two", "1.5", "4,2"])
def test_wrong_numbers_of_the_environment_raise_at_the_first_use(value):
    code = """
import chainrule as cr
model = cr.MLP([1, 1])
calls = [
    cr.runtime.num_threads,
    lambda: model.predict([[1.0]]),
    lambda: model.fit([[1.0]], [1.0], loss="mse"),
]
for call in calls:
    try:
        call()
    except ValueError as error:
        assert "CHAINRULE_NUM_THREADS" in str(error), error
        assert "expected a positive integer" in str(error), error
    else:
        raise AssertionError(call)
model.predict([[1.0]], threads=1)  # does not ask
cr.runtime.set_num_threads(2)
print(cr.runtime.num_threads(), model.predict([[1.0]]).shape)
"""
    assert run(code, CHAINRULE_NUM_THREADS=value) == "2 (1, 1)"


@pytest.mark.once
def test_wrong_numbers_for_openmp_are_its_affair():
    assert int(run("import chainrule as cr; print(cr.runtime.num_threads())", OMP_NUM_THREADS="x"))


if sys.platform == "linux":

    def test_the_affinity_mask_gives_the_number():
        code = """
import os
import chainrule as cr
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
print(cr.runtime.num_threads())
"""
        assert run(code) == "1"

    def test_threads_are_made_when_work_needs_them():
        code = """
import os
import numpy as np
import chainrule as cr

def new_threads():
    return len(os.listdir("/proc/self/task")) - before

model = cr.MLP([64, 256, 256, 1])
x = np.ones((5000, 64), np.float32)
before = len(os.listdir("/proc/self/task"))
model.predict(x, threads=1)
model.predict(x[:1], threads=16)
counts = [new_threads()]
model.predict(x, threads=3)
counts.append(new_threads())
model.fit(x, x[:, 0], loss="mse", epochs=1, threads=2)
counts.append(new_threads())
model.predict(x, threads=8)
counts.append(new_threads())
print(counts)
"""
        assert run(code) == "[0, 2, 2, 7]"


# --- the same bits -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_trainings_have_the_same_bits(name, variant, dtype):
    serial = train(name, dtype, 1)
    for threads in FEWER.get(variant, COUNTS):
        assert train(name, dtype, threads) == serial, threads


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_trainings_have_the_same_bits_in_baseline(name, dtype):
    serial = train(name, dtype, 1, variant="baseline")
    for threads in COUNTS:
        assert train(name, dtype, threads, variant="baseline") == serial, threads


def test_predictions_have_the_same_bits(variant, dtype, rng):
    model = cr.MLP([33, 300, 65, 7], activation="gelu", norm="layer", dtype=dtype)
    n_rows = 5000 if variant != "baseline" else 300
    x = rng.normal(size=(n_rows, 33)).astype(dtype)
    serial = model.predict(x, threads=1)
    for threads in FEWER.get(variant, range(2, 17)):
        assert same_bits(model.predict(x, threads=threads), serial), threads
    assert same_bits(model(x), serial)
    for row in range(0, n_rows, 97):
        assert same_bits(model.predict(x[row : row + 1], threads=4), serial[row : row + 1])


@pytest.mark.parametrize("n_rows", [2, 255, 600])
def test_gradients_have_the_same_bits(n_rows, variant, dtype, rng):
    x = rng.normal(size=(n_rows, 130)).astype(dtype)
    y = rng.normal(size=(n_rows, 3)).astype(dtype)
    layers = [130, cr.Dense(201, "tanh", dropout=0.3, norm="batch"), cr.Dense(64, "mish"), 3]
    model = cr.MLP(layers, dtype=dtype)

    def gradients(threads):
        settings = {"loss": "huber", "training": True, "step": 3, "threads": threads}
        value, gradient = model.loss_and_gradient(x, y, **settings)
        outputs = model.forward(x, training=False, step=3, threads=threads)
        grad_x = model.backward(outputs - y, threads=threads)
        evaluation = model.evaluate(x, y, loss="mse", threads=threads)
        return [
            *(np.array(value), gradient, outputs, grad_x, model.gradient.copy()),
            *(model.input_gradient(x, y, **settings), np.array(evaluation)),
        ]

    serial = gradients(1)
    for threads in FEWER.get(variant, COUNTS):
        for got, want in zip(gradients(threads), serial, strict=True):
            assert same_bits(got, want), threads


@pytest.mark.parametrize("shape", [(1, 64, 64), (257, 1, 300), (511, 300, 1), (600, 130, 257)])
def test_dense_kernels_have_the_same_bits(shape, variant, dtype, rng):
    n_rows, n_in, n_out = shape
    x, w, b, grad = (
        rng.normal(size=size).astype(dtype)
        for size in ((n_rows, n_in), (n_in, n_out), n_out, (n_rows, n_out))
    )

    def everything(threads):
        before = np.empty((n_rows, n_out), dtype)
        out = cr.kernels.dense_forward(x, w, b, "silu", preactivation=before, threads=threads)
        return [out, before, *cr.kernels.dense_backward(grad, x, w, threads=threads)]

    serial = everything(1)
    for threads in (None, *FEWER.get(variant, COUNTS)):
        for got, want in zip(everything(threads), serial, strict=True):
            assert same_bits(got, want), threads
