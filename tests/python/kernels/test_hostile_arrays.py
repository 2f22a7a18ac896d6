"""Arrays whose shapes change in place during the calls that take them.

Another thread, or the `__array__` of another argument, may set the shape of an ndarray between the
checks in Python and the call of C++, and during that. A call raises, or gives what it would have
given; it neither reads nor writes beside the arrays.
"""

import inspect
import sys
import threading
import time

import numpy as np
import pytest
from bounds import same_bits
from test_wrong_arguments import KERNELS, REPRESENTATIVES
from wrong_arguments import KINDS, valid

import chainrule as cr
from chainrule import _core
from chainrule.kernels import _dense, _elementwise, _losses, _normalization, _optimizers

# Of rows and of columns: one that many shapes have, and large enough to work without the lock.
SIZE = 48
SHAPES = [(SIZE * SIZE,), (1, SIZE * SIZE), (SIZE // 2, SIZE * 2), (SIZE, SIZE, 1)]
TAKERS = [
    name
    for name in REPRESENTATIVES
    if {KINDS[p] for p in inspect.signature(KERNELS[name]).parameters} >= {"array"}
    and name not in ("dropout_mask", "initialize", "optimizer_states")
]


def call_of(name):
    """Return a call's arguments by name, and all arrays among them."""
    rng = np.random.default_rng(5)
    parameters = inspect.signature(KERNELS[name]).parameters
    arguments = {
        key: rng.uniform(0.1, 0.9, (SIZE,) * value.ndim) if isinstance(value, np.ndarray) else value
        for key, value in valid(name).items()
        if key in parameters
    }
    if name == "cross_entropy":
        arguments["targets"] = np.arange(SIZE, dtype=np.int32)
    if name == "gaussian_nll":
        arguments["targets"] = rng.uniform(size=(SIZE, SIZE // 2))
    if "out" in parameters:
        arguments["out"] = np.zeros((SIZE,) * (1 if "_step" in name else 2))
    if "saved" not in arguments and set(arguments) == {"x", "out"}:
        arguments["x"] = rng.uniform(size=(SIZE, SIZE))
    arrays = [value for value in arguments.values() if isinstance(value, np.ndarray)]
    if name.endswith("_step"):
        states = cr.kernels.optimizer_states(name[: -len("_step")], arguments["parameters"])
        arguments["states"] = states
        arrays += [state for state in states if state is not None]
    return arguments, arrays


def values_of(result, arrays):
    """Return what a call gave and what it left, without the shapes."""
    parts = result if isinstance(result, tuple) else (result,)
    flat = [part.ravel() for part in parts if isinstance(part, np.ndarray)]
    return [*flat, *[part for part in parts if isinstance(part, float)], *map(np.ravel, arrays)]


def assert_same(got, expected, name):
    for a, b in zip(got, expected, strict=True):
        assert same_bits(a, b) if isinstance(b, np.ndarray) else a == b, name


def set_shapes(arrays, stop):
    own = [array.shape for array in arrays]
    while not stop.is_set():
        for array, shape in zip(arrays, own, strict=True):
            for other in SHAPES if len(shape) > 1 else [(1, *shape), (*shape, 1)]:
                if array.size == np.prod(other):
                    array.shape = other
            array.shape = shape
        time.sleep(0)  # others run while shapes are as they were


@pytest.fixture
def eager_switching():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_shapes_set_by_another_thread(eager_switching):
    n_done = n_refused = 0
    for name in TAKERS:
        arguments, arrays = call_of(name)
        before = [array.copy() for array in arrays]
        expected = values_of(KERNELS[name](**arguments), arrays)
        stop = threading.Event()
        thread = threading.Thread(target=set_shapes, args=(arrays, stop))
        thread.start()
        try:
            end = time.monotonic() + 1 / len(TAKERS)
            while time.monotonic() < end:
                for array, values in zip(arrays, before, strict=True):
                    array.flat[:] = values.flat
                try:
                    result = KERNELS[name](**arguments)
                except (TypeError, ValueError):
                    n_refused += 1
                else:
                    n_done += 1
                    assert_same(values_of(result, arrays), expected, name)
        finally:
            stop.set()
            thread.join()
    assert n_done > 0
    assert n_refused > 0


class Recorder:
    """The compiled module, which keeps the last call with arrays."""

    def __getattr__(self, name):
        function = getattr(_core, name)

        def recorded(*arguments):
            if any(isinstance(argument, np.ndarray) for argument in arguments):
                self.call = function, arguments
            return function(*arguments)

        return recorded


@pytest.mark.parametrize("name", TAKERS)
def test_shapes_set_after_the_checks_in_python(name, monkeypatch):
    """The same, at the one moment that another thread would have to find."""
    arguments, arrays = call_of(name)
    recorder = Recorder()
    for module in (_dense, _elementwise, _losses, _normalization, _optimizers):
        monkeypatch.setattr(module, "_core", recorder)
    before = [array.copy() for array in arrays]
    expected = values_of(KERNELS[name](**arguments), arrays)
    function, compiled = recorder.call
    n_refused = 0
    for array in arrays:
        own, dtype = array.shape, array.dtype
        shapes = SHAPES if len(own) > 1 else [(1, *own), (*own, 1), (2, SIZE // 2)]
        changes = [("shape", shape) for shape in shapes if np.prod(shape) == array.size]
        for attribute, value in [*changes, ("dtype", np.uint8), ("dtype", np.float32)]:
            for each, values in zip(arrays, before, strict=True):
                each[...] = values
            setattr(array, attribute, value)
            try:
                result = function(*compiled)
            except (TypeError, ValueError):
                n_refused += 1
                array.dtype, array.shape = dtype, own
                assert_same(arrays, before, name)
            else:
                array.dtype, array.shape = dtype, own
                assert_same(values_of(result, arrays), expected, (name, attribute, value))
    assert n_refused >= 2 * len(arrays)


class SetsShapes:
    """What is converted to an array, which gives other arrays another shape meanwhile."""

    def __init__(self, array, others):
        self.array, self.others = array, others

    def __array__(self, dtype=None, copy=None):
        for other in self.others:
            other.shape = (1, other.size)
        return self.array


@pytest.mark.parametrize("name", TAKERS)
def test_shapes_set_by_another_argument(name):
    arguments, arrays = call_of(name)
    before = [array.copy() for array in arrays]
    expected = values_of(KERNELS[name](**arguments), arrays)
    for argument, value in call_of(name)[0].items():
        if not isinstance(value, np.ndarray) or argument in ("out", "parameters"):
            continue
        for turn in range(len(arrays)):
            arguments, arrays = call_of(name)
            arguments[argument] = SetsShapes(arguments[argument], arrays[turn : turn + 1])
            try:
                result = KERNELS[name](**arguments)
            except (TypeError, ValueError):
                left = values_of(None, arrays)
                assert_same(left, [array.ravel() for array in before], (argument, turn))
            else:
                assert_same(values_of(result, arrays), expected, (argument, turn))


@pytest.mark.parametrize("call", ["predict", "forward", "loss_and_gradient", "step", "evaluate"])
def test_shapes_set_while_a_model_works(call, eager_switching):
    rng = np.random.default_rng(6)
    model = cr.MLP([SIZE, 8, SIZE], dtype="float64")
    trainer = cr.Trainer(model, loss="mse", optimizer=cr.SGD(1e-9))
    X, y = rng.normal(size=(2, SIZE, SIZE))
    weights = np.ones(SIZE)
    calls = {
        "predict": lambda: model.predict(X),
        "forward": lambda: model.backward(model.forward(X)),
        "loss_and_gradient": lambda: model.loss_and_gradient(
            X, y, loss="mse", sample_weight=weights
        ),
        "step": lambda: trainer.step(X, y, weights),
        "evaluate": lambda: model.evaluate(X, y, loss="mse", sample_weight=weights),
    }
    stop = threading.Event()
    thread = threading.Thread(target=set_shapes, args=([X, y, weights], stop))
    thread.start()
    n_done = 0
    try:
        start = time.monotonic()
        while time.monotonic() < start + 0.1 or (not n_done and time.monotonic() < start + 20):
            try:
                calls[call]()
            except (TypeError, ValueError):
                continue
            n_done += 1
    finally:
        stop.set()
        thread.join()
    assert n_done > 0
    assert np.isfinite(model.predict(X)).all()


def test_targets_of_a_loss_of_ones_own_are_checked():
    class Short(cr.MSE):
        def targets(self, y, dtype, n_rows, out_features, argument="y"):
            return np.zeros((n_rows, 1), dtype)

    class Wild(cr.CrossEntropy):
        def targets(self, y, dtype, n_rows, out_features, argument="y"):
            return np.full(n_rows, 10**9, np.int32)

    class Labels(cr.MSE):
        def targets(self, y, dtype, n_rows, out_features, argument="y"):
            return np.zeros(n_rows, np.int32)

    model, X = cr.MLP([3, 4]), np.ones((5, 3))
    for loss, message in (
        (Short(), "y must have shape"),
        (Wild(), r"y must hold labels in \[0, 4"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(X, None, loss=loss)
        with pytest.raises(ValueError, match=message):
            cr.Trainer(model, loss=loss).step(X, None)
        with pytest.raises(ValueError, match=message):
            model.loss_and_gradient(X, None, loss=loss)
    with pytest.raises(TypeError, match="y must be a C-contiguous array of the dtype"):
        model.fit(X, None, loss=Labels())


def test_hyperparameters_of_ones_own_are_counted():
    class NoMomentum(cr.SGD):
        hyperparameters = ()

    class NoFactor(cr.StepDecay):
        parameters = ("every",)

    with pytest.raises(ValueError, match="sgd must have 2 values, got 0"):
        cr.Trainer(cr.MLP([3, 4]), loss="mse", optimizer=NoMomentum())
    with pytest.raises(ValueError, match="step must have 2 values, got 1"):
        NoFactor(0.1).values(2, 3)
