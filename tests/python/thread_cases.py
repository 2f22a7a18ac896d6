"""Trainings large enough for several threads, and what they leave behind as one text.

A module of its own, because processes that are spawned import it.
"""

import hashlib

import numpy as np

import chainrule as cr

N_ROWS, IN_FEATURES = 600, 65

# name -> layers, loss, settings of the fit. All optimizer families, normalizations and dropout;
# widths on both sides of multiples of the vectors' lanes.
NETWORKS = {
    "relu-adam": ([300, 128, 10], "cross_entropy", {"optimizer": cr.Adam()}),
    "gelu-dropout-layer-adamw": (
        [
            cr.Dense(257, "gelu", dropout=0.2, norm="layer"),
            cr.Dense(96, "gelu", dropout=0.1, norm="layer"),
            3,
        ],
        "mse",
        {"optimizer": cr.AdamW(cr.Cosine(1e-2, warmup_fraction=0.1))},
    ),
    "tanh-batch-sgd": (
        [cr.Dense(130, "tanh", norm="batch", bias=False), cr.Dense(64, "tanh", norm="batch"), 5],
        "mae",
        {"optimizer": cr.SGD(0.05, momentum=0.9, nesterov=True), "l1": 1e-5, "l2": 1e-4},
    ),
    "silu-rmsprop-clipped": (
        [cr.Dense(200, "silu"), cr.Dense(200, "mish"), 4],
        cr.Huber(0.5),
        {"optimizer": cr.RMSprop(1e-3, momentum=0.5, centered=True), "clip_norm": 1.0},
    ),
    "deep-lion": (
        [*[cr.Dense(99, "leaky_relu", dropout=0.05)] * 5, 10],
        cr.CrossEntropy(0.05),
        {"optimizer": cr.Lion(), "clip_value": 0.01},
    ),
    "selu-adagrad": (
        [cr.Dense(255, "selu", norm="batch"), 6],
        "gaussian_nll",
        {"optimizer": cr.Adagrad(0.01)},
    ),
    "narrow-nadam": ([cr.Dense(191, "elu"), 1], "binary_cross_entropy", {"optimizer": cr.NAdam()}),
    "tanh-lbfgs": (
        [cr.Dense(128, "tanh", norm="layer"), cr.Dense(64, "softplus"), 10],
        "cross_entropy",
        {"optimizer": cr.LBFGS()},
    ),
    "standardize-groups-adam": (
        [cr.Standardize(), cr.Dense(40, "silu", dropout=0.1), 3],
        "mse",
        {"optimizer": cr.Adam()},
    ),
    "standardize-batch-sgd": (
        [cr.Standardize(), cr.Dense(300, "tanh", norm="batch"), cr.Dense(200, "relu"), 3],
        "mse",
        {"optimizer": cr.SGD(0.05)},
    ),
    # float64 has no such precision and is trained in its own.
    "sigmoid-bf16x3-adam": (
        [cr.Dense(70, "sigmoid", norm="layer"), cr.Dense(40, "tanh"), 10],
        "cross_entropy",
        {"optimizer": cr.Adam(), "precision": "bf16x3"},
    ),
}


def targets(loss, n_outputs, rng):
    name = loss if isinstance(loss, str) else loss.name
    if name == "cross_entropy":
        return rng.integers(0, n_outputs, N_ROWS)
    if name == "binary_cross_entropy":
        return rng.integers(0, 2, N_ROWS)
    columns = n_outputs // 2 if name == "gaussian_nll" else n_outputs
    return rng.normal(size=(N_ROWS, columns))


def digest(*arrays):
    """Return a text that differs when a bit of an array does."""
    hasher = hashlib.blake2b(digest_size=16)
    for array in arrays:
        hasher.update(np.ascontiguousarray(array).tobytes())
    return hasher.hexdigest()


def placed(values, place):
    """Return the values in memory as `place` says: a layout, or bytes behind an aligned address."""
    if isinstance(place, str):
        from layouts import LAYOUTS  # which imports pandas

        return LAYOUTS[place](values, None)
    raw = np.empty(values.nbytes + 128, np.uint8)
    start = -raw.ctypes.data % 64 + place
    array = raw[start : start + values.nbytes].view(values.dtype).reshape(values.shape)
    array[...] = values
    return array


def on_variant(variant, function):
    """Return the function on a variant, whatever thread it is called on."""

    def call(*arguments):
        with cr.runtime.use_variant(variant):
            return function(*arguments)

    return call


def train(name, dtype="float32", threads=None, *, place=0, variant=None):
    """Train one of the networks, its features where `place` says; return a digest of all numbers.

    Those are the parameters, the running statistics, the losses and a prediction.
    """
    if variant is not None:
        with cr.runtime.use_variant(variant):
            return train(name, dtype, threads, place=place)
    layers, loss, settings = NETWORKS[name]
    if dtype == "float64":
        settings = {key: value for key, value in settings.items() if key != "precision"}
    model = cr.MLP([IN_FEATURES, *layers], dtype=dtype, seed=5)
    rng = np.random.default_rng(11)
    x = rng.normal(size=(N_ROWS, IN_FEATURES)).astype(dtype)
    if model.input_layer is not None:
        x = 1e3 * x + 1e4
    x = placed(x, place)
    y = targets(loss, model.out_features, rng)
    first = model.parameters.copy()
    whole = isinstance(settings["optimizer"], cr.LBFGS)
    history = model.fit(
        x,
        y,
        loss=loss,
        batch_size=N_ROWS if whole else 256,
        epochs=4 if whole else 2,
        sample_weight=rng.uniform(0.5, 2.0, N_ROWS),
        validation_data=(x[:70], y[:70]),  # a fraction would be copied, and with it the rest
        threads=threads,
        **settings,
    )
    assert np.isfinite(model.parameters).all()
    assert not np.array_equal(first, model.parameters)
    outputs = model.predict(x, threads=threads)
    losses = np.array([history.loss, history.validation_loss])
    return digest(model.parameters, model.running_statistics, outputs, losses)
