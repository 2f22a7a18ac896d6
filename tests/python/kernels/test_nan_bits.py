"""Every NaN in an output is NumPy's: on each variant, alone and among others, whatever made it.

The inputs hold NaNs of both signs and with payloads, infinities, and numbers that overflow, so that
instructions return NaNs of their operands as well as new ones.
"""

from functools import partial

import numpy as np
import pytest
from bounds import same_bits

import chainrule as cr
from chainrule import _core
from chainrule.kernels import _optimizers

BITS = {"float32": np.uint32, "float64": np.uint64}
FMA = [name for name in cr.runtime.variants() if name != "baseline"]
NAN = {"float32": 0x7FC00000, "float64": 0x7FF8000000000000}
OTHER_NANS = {
    "float32": [0xFFC00000, 0x7FC00123, 0xFFFFFFFF, 0x7F800001, 0xFF812345],
    "float64": [0xFFF8000000000000, 0x7FF8000000000123, 2**64 - 1, 0x7FF0000000000001],
}
LEVELS = (0.1, 0.7)


def poisoned(rng, shape, dtype, share=0.05):
    """Return normal numbers, of which some are replaced by what makes or is a NaN."""
    values = rng.normal(size=shape).astype(dtype)
    info = np.finfo(dtype)
    extreme = [np.inf, -np.inf, info.max, -info.max, info.tiny / 4, 0.0, -0.0]
    special = np.array(extreme, dtype).view(BITS[dtype])
    special = np.concatenate([special, np.array(OTHER_NANS[dtype], BITS[dtype])])
    chosen = rng.random(shape) < share
    values.view(BITS[dtype])[chosen] = rng.choice(special, chosen.sum())
    return values


def arrays(result):
    """Return all arrays and numbers of a result as a flat list of arrays."""
    if isinstance(result, tuple | list):
        return [array for part in result for array in arrays(part)]
    return [] if result is None else [np.asarray(result)]


def count_nans(results):
    """Return how many NaNs there are, after checking that each is the one."""
    count = 0
    for array in arrays(results):
        if array.dtype.kind == "f":
            bits = np.atleast_1d(array).view(BITS[array.dtype.name])[np.isnan(np.atleast_1d(array))]
            assert (bits == NAN[array.dtype.name]).all(), [hex(b) for b in np.unique(bits)]
            count += bits.size
    return count


def on_variants(call):
    """Return how many NaNs a call gives, the same and in the same places on every variant."""
    results = {}
    for name in cr.runtime.variants():
        with cr.runtime.use_variant(name):
            results[name] = arrays(call())
    counts = [count_nans(result) for result in results.values()]
    for name in FMA[1:]:
        for got, want in zip(results[name], results[FMA[0]], strict=True):
            assert same_bits(got, want), f"{name} and {FMA[0]} differ"
    return counts[0]


def kernel_calls(rng, dtype, rows, columns):
    """Return a call of each kernel that computes with what it is given."""
    kernels = cr.kernels

    def draw(*shape):
        return poisoned(rng, shape, dtype)

    x, w, grad = draw(rows, columns), draw(columns, 21), draw(rows, 21)
    b, scale, shift = draw(21), draw(columns), draw(columns)
    mean, variance, per_row = draw(columns), np.abs(draw(columns)), draw(rows)
    made = {
        "layer_norm_forward": lambda: kernels.layer_norm_forward(x, scale, shift),
        "layer_norm_backward": lambda: kernels.layer_norm_backward(x, x[::-1], per_row, scale),
        "batch_norm_forward": lambda: kernels.batch_norm_forward(x, scale, shift),
        "batch_norm_backward": lambda: kernels.batch_norm_backward(x, x[::-1], mean, scale),
        "batch_norm_predict": lambda: kernels.batch_norm_predict(x, scale, shift, mean, variance),
    }
    precisions = ["float32", "bf16x6", "bf16x3", "bf16"] if dtype == "float32" else ["float64"]
    forward = [
        (activation, precision)
        for activation in ("identity", "relu", "mish")
        for precision in precisions
    ]
    made["dense_forward"] = lambda: [
        kernels.dense_forward(x, w, bias, activation, precision=precision, preactivation=z)
        for activation, precision in forward
        for bias in (None, b)
        for z in (None, np.empty((rows, 21), dtype))
    ]
    made["dense_backward"] = lambda: [
        kernels.dense_backward(grad, x, w, precision=precision) for precision in precisions
    ]
    for name in _core.math_functions():
        made[name] = partial(getattr(kernels, name), x)
    for name in _core.activations():
        made[f"{name}_forward"] = partial(getattr(kernels, f"{name}_forward"), x)
        made[f"{name}_backward"] = partial(getattr(kernels, f"{name}_backward"), x, x[::-1])
    outputs = poisoned(rng, (rows, 4), dtype, 0.3)
    weights = np.abs(rng.normal(size=rows)).astype(dtype)
    of_losses = {name: rng.random((rows, 4)).astype(dtype) for name in _core.losses()}
    of_losses["cross_entropy"] = np.arange(rows) % 4
    of_losses["gaussian_nll"] = of_losses["quantile"] = rng.random((rows, 2)).astype(dtype)
    settings = {"cross_entropy": {"label_smoothing": 0.1}, "quantile": {"levels": LEVELS}}
    for name, targets in of_losses.items():
        loss, setting = getattr(kernels, name), settings.get(name, {})
        made[name] = lambda loss=loss, targets=targets, setting=setting: [
            loss(outputs, targets, given, **setting) for given in (None, weights)
        ]
    for name in _optimizers.made():
        step, start, gradient = getattr(kernels, name), draw(rows * columns), draw(rows * columns)
        states = kernels.optimizer_states(name.removesuffix("_step"), start)
        before = [None if state is None else draw(rows * columns) for state in states]

        def stepped(step=step, start=start, gradient=gradient, before=before):
            parameters = start.copy()
            kept = [None if state is None else state.copy() for state in before]
            step(parameters, gradient, kept, 3, learning_rate=0.1)
            return [parameters, kept]

        made[name] = stepped
    return made


def test_every_kernel_that_computes_is_among_the_calls(rng):
    made = kernel_calls(rng, "float32", 3, 2)
    names = {name for name in cr.kernels.__all__ if not name[0].isupper()}
    drawn = {"dropout_mask", "initialize", "optimizer_states", "permutation"}
    assert set(made) == names - drawn


# Around the vectors of every variant and around a tile; one column; more steps than a block holds.
@pytest.mark.parametrize("shape", [(1, 1), (5, 17), (37, 19), (13, 64), (64, 1), (40, 1100)])
def test_kernels_write_one_nan(rng, dtype, shape):
    for name, call in kernel_calls(rng, dtype, *shape).items():
        count = on_variants(call)
        assert count > 0 or shape[0] * shape[1] < 100, f"{name} was given nothing to compare"


def test_no_sign_of_a_nan_reaches_a_number(variant, dtype):
    # A gradient that takes its sign from a difference, and an update from a gradient.
    nans = np.array(OTHER_NANS[dtype], BITS[dtype]).view(dtype)[:, None]
    targets = np.zeros_like(nans)
    for loss in (cr.kernels.mae, cr.kernels.huber):
        value, gradient = loss(nans, targets)
        assert np.isnan(value)
        assert np.isnan(gradient).all()
        assert count_nans([np.float64(value), gradient]) == 1 + len(nans)
    parameters, states = np.ones(len(nans), dtype), [np.zeros(len(nans), dtype), None, None]
    cr.kernels.lion_step(parameters, nans[:, 0], states, 1, learning_rate=0.1)
    assert count_nans([parameters, states]) == 2 * len(nans)


def networks(dtype):
    yield cr.MLP([7, 19, 21, 3], activation="tanh", dtype=dtype, seed=1)
    yield cr.MLP([7, cr.Dense(33, "gelu", norm="layer"), cr.Dense(5, "relu"), 1], dtype=dtype)
    yield cr.MLP([7, cr.Dense(18, "selu", norm="batch", dropout=0.2), 4], dtype=dtype, seed=2)
    if dtype == "float32":
        yield cr.MLP([7, 40, 35, 2], precision="bf16x3", seed=3)


def poison(model, rng, share):
    with np.errstate(invalid="ignore"):
        model.parameters[...] = poisoned(rng, model.parameters.shape, str(model.dtype), share)


@pytest.mark.parametrize("share", [0.005, 0.05, 0.3])
def test_networks_write_one_nan_and_rows_do_not_meet(rng, dtype, share):
    total = 0
    for model in networks(dtype):
        poison(model, rng, share)
        x = rng.normal(size=(130, 7)).astype(dtype)
        y = rng.normal(size=(130, model.out_features)).astype(dtype)

        def passes(model=model, x=x, y=y):
            # Outputs of a forward pass whose batch statistics are not finite are refused.
            outputs = model.forward(x)
            grad_x = model.backward(y)
            kept = [outputs.copy(), grad_x, model.gradient.copy()]
            loss, grads = model.loss_and_gradient(x, y, loss="mse", l1=0.1, l2=0.1)
            batch = [model.input_gradient(x, y, loss="huber"), np.float64(loss), grads.copy()]
            return [model.predict(x), kept, batch]

        total += on_variants(passes)

        def among(rows, model=model, x=x):
            return model.predict(x[rows])

        for name in cr.runtime.variants():
            with cr.runtime.use_variant(name):
                whole = among(slice(None))
                for rows in (slice(0, 1), slice(57, 58), slice(129, 130), slice(20, 31)):
                    assert same_bits(among(rows), whole[rows]), name
    assert total > 0


def test_a_loss_that_is_nan_is_the_one(variant, dtype):
    model = cr.MLP([3, 4, 1], dtype=dtype)
    model.parameters.view(BITS[dtype])[:] = OTHER_NANS[dtype][0]
    x, y = np.ones((5, 3), dtype), np.ones((5, 1), dtype)
    loss, _ = model.loss_and_gradient(x, y, loss="mse")
    found = [loss, model.evaluate(x, y, loss="mse").loss]
    assert [np.float64(value).view(np.uint64) for value in found] == [NAN["float64"]] * 2
