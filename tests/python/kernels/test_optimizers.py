"""Optimizers: the fused steps against plain NumPy, and the dataclasses."""

import dataclasses

import numpy as np
import pytest
from bounds import same_bits

import chainrule as cr
from chainrule import _core
from chainrule._optimizers import OPTIMIZERS, as_optimizer, has_step

SIZES = [0, 1, 2, 7, 8, 15, 16, 17, 33, 100]


def sgd(o, w, g, s, t):
    if not o.momentum:
        return w - o.learning_rate * g
    s["b"] = o.momentum * s.get("b", 0) + g
    return w - o.learning_rate * (g + o.momentum * s["b"] if o.nesterov else s["b"])


def rmsprop(o, w, g, s, t):
    s["v"] = o.rho * s.get("v", 0) + (1 - o.rho) * g**2
    v = s["v"]
    if o.centered:
        s["a"] = o.rho * s.get("a", 0) + (1 - o.rho) * g
        v = np.maximum(v - s["a"] ** 2, 0)
    u = g / (np.sqrt(v) + o.epsilon)
    if o.momentum:
        u = s["b"] = o.momentum * s.get("b", 0) + u
    return w - o.learning_rate * u


def adagrad(o, w, g, s, t):
    s["s"] = s.get("s", o.initial_accumulator) + g**2
    return w - o.learning_rate * g / (np.sqrt(s["s"]) + o.epsilon)


def moments(o, g, s):
    s["m"] = o.beta1 * s.get("m", 0) + (1 - o.beta1) * g
    s["v"] = o.beta2 * s.get("v", 0) + (1 - o.beta2) * g**2


def adam(o, w, g, s, t):
    moments(o, g, s)
    v = s["v"]
    if o.amsgrad:
        v = s["largest"] = np.maximum(s.get("largest", 0), v)
    before, after = (o.epsilon, 0) if o.epsilon_hat else (0, o.epsilon)
    root = (np.sqrt(v) + before) / np.sqrt(1 - o.beta2**t) + after
    return w - o.learning_rate / (1 - o.beta1**t) * s["m"] / root


def nadam(o, w, g, s, t):
    moments(o, g, s)

    def mu(step):
        return o.beta1 * (1 - 0.5 * 0.96 ** (step * o.momentum_decay))

    product = s["product"] = s.get("product", 1.0) * mu(t)
    root = np.sqrt(s["v"] / (1 - o.beta2**t)) + o.epsilon
    of_gradient = (1 - mu(t)) / (1 - product) * g
    of_momentum = mu(t + 1) / (1 - product * mu(t + 1)) * s["m"]
    return w - o.learning_rate * (of_gradient + of_momentum) / root


def lion(o, w, g, s, t):
    m = s.get("m", np.zeros_like(g))
    s["m"] = o.beta2 * m + (1 - o.beta2) * g
    return w - o.learning_rate * np.sign(o.beta1 * m + (1 - o.beta1) * g)


STEPS = {
    "sgd": sgd,
    "rmsprop": rmsprop,
    "adagrad": adagrad,
    "adam": adam,
    "adamw": adam,
    "nadam": nadam,
    "lion": lion,
}
CASES = [
    cr.SGD(),
    cr.SGD(0.1, momentum=0.9),
    cr.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    cr.RMSprop(),
    cr.RMSprop(0.05, rho=0.9, momentum=0.5),
    cr.RMSprop(0.05, centered=True, weight_decay=0.2),
    cr.RMSprop(0.05, centered=True, momentum=0.8),
    cr.Adagrad(),
    cr.Adagrad(0.1, initial_accumulator=0.5, weight_decay=0.1),
    cr.Adam(),
    cr.Adam(0.1, beta1=0.5, beta2=0.9, epsilon=1e-3),
    cr.Adam(0.1, amsgrad=True),
    cr.Adam(0.1, epsilon=0.1, epsilon_hat=True),
    cr.AdamW(0.1, weight_decay=0.5),
    cr.NAdam(),
    cr.NAdam(0.1, momentum_decay=0.1, weight_decay=0.1),
    cr.Lion(),
    cr.Lion(0.1, weight_decay=0.1),
]


def test_every_optimizer_is_here():
    assert {o.name for o in CASES} == set(STEPS) == set(OPTIMIZERS) - {"lbfgs"}
    assert {o.kernel for o in CASES} | {"lbfgs"} == set(_core.optimizers())
    for name, hyperparameters in _core.optimizers().items():
        assert list(OPTIMIZERS[name].hyperparameters) == hyperparameters


def test_an_optimizer_without_a_step_has_none():
    spec = _core.OptimizerSpec("lbfgs", 0.0, [10, 1e-5, 25])
    w = np.ones(3)
    with pytest.raises(ValueError, match="spec must be of an optimizer with a step, got lbfgs"):
        _core.optimizer_step(spec, 1, 0.1, w, np.ones(3), [None] * 3, 0.0, 1.0)
    assert (w == 1).all()
    assert _core.optimizer_states(spec) == [False] * 3


def test_who_has_a_step():
    assert [name for name, cls in OPTIMIZERS.items() if not has_step(cls)] == ["lbfgs"]
    assert not has_step(cr.LBFGS())
    assert has_step(cr.AdamW())


def test_states_start_as_the_list_says():
    spec = cr.Adagrad(initial_accumulator=0.5).spec()
    assert _core.optimizer_states(spec) == [True, False, False]
    assert _core.optimizer_starts(spec) == [0.5, 0.0, 0.0]
    assert _core.optimizer_starts(cr.Adam().spec()) == [0.0] * 3


@pytest.mark.parametrize("optimizer", CASES, ids=str)
def test_steps_are_the_formula(optimizer, variant, dtype, rng):
    step = getattr(cr.kernels, f"{optimizer.name}_step")
    hyperparameters = dataclasses.asdict(optimizer)
    for size in SIZES:
        w = rng.normal(size=size).astype(dtype)
        want = w.astype(np.float64)
        states = cr.kernels.optimizer_states(optimizer, w)
        memory = {}
        for t in range(1, 11):
            # Steps of 1/64 make the running sums of lion exact enough to have the same signs.
            g = (rng.integers(-300, 300, size) / 64 + 1 / 128).astype(dtype)
            clipped = np.clip(0.5 * g.astype(np.float64), -1, 1)
            want *= 1 - optimizer.learning_rate * optimizer.weight_decay
            want = STEPS[optimizer.name](optimizer, want, clipped, memory, t)
            before = g.copy()
            step(w, g, states, t, clip_value=1.0, grad_scale=0.5, **hyperparameters)
            assert same_bits(g, before)
        unit = np.finfo(dtype).eps
        np.testing.assert_allclose(w, want, rtol=200 * unit, atol=200 * unit)


def test_clipping_comes_after_scaling(variant, dtype):
    w = np.zeros(4, dtype)
    g = np.array([10.0, -10.0, 1.0, 0.0], dtype)
    cr.kernels.sgd_step(w, g, [None] * 3, 1, learning_rate=1.0, clip_value=2.0, grad_scale=0.25)
    np.testing.assert_array_equal(w, np.array([-2.0, 2.0, -0.25, 0.0], dtype))


def test_states():
    w = np.zeros((2, 3), np.float32)
    kept = {
        cr.SGD(): (0, 0, 0),
        cr.SGD(momentum=0.5): (1, 0, 0),
        cr.RMSprop(): (1, 0, 0),
        cr.RMSprop(momentum=0.5, centered=True): (1, 1, 1),
        cr.Adagrad(): (1, 0, 0),
        cr.Adam(): (1, 1, 0),
        cr.Adam(amsgrad=True): (1, 1, 1),
        cr.NAdam(): (1, 1, 0),
        cr.Lion(): (1, 0, 0),
    }
    for optimizer, which in kept.items():
        states = cr.kernels.optimizer_states(optimizer, w)
        assert tuple(s is not None for s in states) == tuple(map(bool, which)), optimizer
        for state in states:
            assert state is None or (state.shape == w.shape and not state.any())
    accumulator = cr.kernels.optimizer_states(cr.Adagrad(initial_accumulator=0.5), w)[0]
    assert (accumulator == 0.5).all()


def test_nadam_takes_any_step(variant, dtype):
    # Its product of momenta is 0 by then, and beta2 ** step too.
    moved = []
    for step in (10**6, 2**63 - 2):
        w = np.ones(3, dtype)
        cr.kernels.nadam_step(w, w * 0.5, cr.kernels.optimizer_states("nadam", w), step)
        moved.append(w)
    assert (moved[0] != 1).all()
    assert same_bits(*moved)


def test_objects():
    for name, cls in OPTIMIZERS.items():
        assert as_optimizer(name) == cls()
        assert hash(cls()) == hash(cls())
        assert cls(learning_rate=cr.Cosine(0.1)).schedule() == cr.Cosine(0.1)
        assert cls(learning_rate=np.float32(0.5)).schedule() == cr.Constant(0.5)
    assert as_optimizer(None) == cr.Adam()
    assert cr.Adam() != cr.AdamW(weight_decay=0.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        cr.Adam().beta1 = 0.5


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: cr.Adam(0), ValueError, "learning_rate must be a finite number > 0, got 0"),
        (lambda: cr.Adam("fast"), TypeError, "learning_rate must be .* got str 'fast'"),
        (lambda: cr.Adam(beta1=1), ValueError, "beta1 must be .* >= 0 and < 1, got 1"),
        (lambda: cr.Adam(epsilon=0), ValueError, "epsilon must be a finite number > 0, got 0"),
        (lambda: cr.Adam(amsgrad=1), TypeError, "amsgrad must be True or False, got int 1"),
        (lambda: cr.Adam(epsilon_hat=1), TypeError, "epsilon_hat must be True or False, got int 1"),
        (lambda: cr.SGD(momentum=-0.1), ValueError, "momentum must be .* >= 0 and < 1, got -0.1"),
        (lambda: cr.SGD(nesterov=True), ValueError, "momentum must be .* nesterov=True"),
        (lambda: cr.SGD(weight_decay=-1), ValueError, "weight_decay must be .* got -1"),
        (lambda: cr.LBFGS(history=0), ValueError, "history must be an integer >= 1, got 0"),
        (lambda: cr.LBFGS(history=2.0), TypeError, "history must be an integer, got float 2.0"),
        (lambda: cr.RMSprop(rho=2), ValueError, "rho must be .* < 1, got 2"),
        (lambda: as_optimizer("adamax"), ValueError, "one of 'sgd', .* did you mean 'adam'"),
        (lambda: as_optimizer(cr.Adam), TypeError, "optimizer must be one of .* got type"),
    ],
)
def test_hyperparameters_are_checked(make, error, message):
    with pytest.raises(error, match=message):
        make()


W = np.ones(3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda k: k.sgd_step([1.0], [1.0], [], 1), TypeError, "parameters must be a NumPy array"),
        (lambda k: k.sgd_step(W[::2], W[::2], [], 1), ValueError, "parameters must be a C-contig"),
        (lambda k: k.sgd_step(W, np.ones(2), [], 1), ValueError, r"gradient must have shape \(3,"),
        (lambda k: k.sgd_step(W, np.ones(3, "f"), [], 1), TypeError, "gradient must have the dty"),
        (lambda k: k.sgd_step(W, W, [None] * 3, 1), ValueError, "gradient must not overlap"),
        (lambda k: k.sgd_step(W, W + 1, [None], 1), ValueError, "states must hold 3 items, got 1"),
        (lambda k: k.lion_step(W, W + 1, [None] * 3, 1), TypeError, r"states\[0\] must be a NumPy"),
        (lambda k: k.lion_step(W, W + 1, 3, 1), TypeError, r"states must be what optimizer_states"),
        (
            lambda k: k.lion_step(W, W + 1, [np.ones(2), None, None], 1),
            ValueError,
            r"states\[0\] must have shape \(3,\)",
        ),
        (
            lambda k: k.lion_step(W, W + 1, [W, None, None], 1),
            ValueError,
            r"states\[0\] must not overlap",
        ),
        (lambda k: k.sgd_step(W, W + 1, [None] * 3, 0), ValueError, "step must be .* >= 1, got 0"),
        (
            lambda k: k.sgd_step(W, W + 1, [None] * 3, 1, learning_rate=cr.Cosine(0.1)),
            TypeError,
            "learning_rate must be a finite number > 0, got Cosine",
        ),
        (
            lambda k: k.sgd_step(W, W + 1, [None] * 3, 1, clip_value=0),
            ValueError,
            "clip_value must be a finite number > 0, got 0",
        ),
        (lambda k: k.sgd_step(W, W + 1, [None] * 3, 1, beta1=1), TypeError, "unexpected keyword"),
        (lambda k: k.optimizer_states("lbfgs", W), ValueError, "one with a kernel, got LBFGS"),
    ],
)
def test_kernels_check_their_arguments(call, error, message):
    before = W.copy()
    with pytest.raises(error, match=message):
        call(cr.kernels)
    assert same_bits(W, before)
