"""A call of everything public, by name, with small data. `missing` tells what has none."""

import atexit
import contextvars
import inspect
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

import chainrule as cr
from chainrule import _core

# Classes that hold what they are given.
HOLDERS = {
    *("Callback", "DivergenceError", "Evaluation", "History", "Loss", "ModelFileError"),
    *(
        "Optimizer",
        "Progress",
        "ScaleWarning",
        "Schedule",
        "kernels.BatchNorm",
        "kernels.DenseGradients",
        "kernels.LayerNorm",
    ),
    "kernels.NormGradients",
}
# Settings and their defaults.
SETTINGS = [
    *(cr.LBFGS, cr.SGD, cr.Adagrad, cr.Adam, cr.AdamW, cr.Lion, cr.NAdam, cr.RMSprop),
    *(cr.MAE, cr.MSE, cr.BinaryCrossEntropy, cr.CrossEntropy, cr.GaussianNLL, cr.Huber),
    *(cr.Poisson, cr.EarlyStopping, cr.Standardize),
]
LEVELS = (0.1, 0.7)
FOLDER = tempfile.TemporaryDirectory()
atexit.register(FOLDER.cleanup)


def public_names():
    """Return the names of what can be called, and the properties of the classes that compute."""
    names = set()
    for prefix, module in (("", cr), ("kernels.", cr.kernels), ("runtime.", cr.runtime)):
        names |= {prefix + name for name in module.__all__ if callable(getattr(module, name))}
    for owner in (cr.MLP, cr.Trainer):
        members = (name for name in dir(owner) if name == "__call__" or not name.startswith("_"))
        names |= {f"{owner.__name__}.{name}" for name in members}
    return names


def numbers(result):
    """Return the bytes of all arrays and numbers of a result."""
    if isinstance(result, cr.MLP):
        return numbers([result.parameters, result.running_statistics])
    if isinstance(result, list | tuple):
        return [numbers(part) for part in result]
    return result.tobytes() if isinstance(result, np.ndarray) else repr(result)


def calls(dtype):
    """Return the calls by name; the data and models are new, and drawn before any call."""
    return {**_settings(), **_runtime(), **_kernels(dtype), **_models(dtype)}


def _settings():
    made = {cls.__name__: cls for cls in SETTINGS}
    return {
        **made,
        "Checkpoint": lambda: cr.Checkpoint("training.checkpoint", every_seconds=0.1),
        "Activation": lambda: cr.Activation("leaky_relu", negative_slope=0.1),
        "Constant": lambda: cr.Constant(0.1),
        "Cosine": lambda: cr.Cosine(0.1, warmup_fraction=0.3),
        "Dense": lambda: cr.Dense(3, "elu", dropout=0.1),
        "ExponentialDecay": lambda: cr.ExponentialDecay(0.1),
        "InverseScaling": lambda: cr.InverseScaling(0.1),
        "OneCycle": lambda: cr.OneCycle(0.1),
        "Quantile": lambda: cr.Quantile(LEVELS),
        "ReduceOnPlateau": lambda: cr.ReduceOnPlateau(0.1),
        "StepDecay": lambda: cr.StepDecay(0.1, 3),
    }


def _use(context):
    with context:
        return cr.runtime.active_variant()


def _runtime():
    runtime = cr.runtime
    variant, threads = runtime.active_variant(), runtime.num_threads()
    default = contextvars.Context().run(runtime.active_variant)  # outside of all blocks
    return {
        "runtime.active_variant": runtime.active_variant,
        "runtime.build_config": lambda: sorted(runtime.build_config().items()),
        "runtime.compiled_variants": runtime.compiled_variants,
        "runtime.has_bf16_tiles": runtime.has_bf16_tiles,
        "runtime.num_threads": runtime.num_threads,
        "runtime.peak_flops": lambda: runtime.peak_flops(1) > 0,
        "runtime.set_num_threads": lambda: runtime.set_num_threads(threads),
        "runtime.set_variant": lambda: runtime.set_variant(default),
        "runtime.use_num_threads": lambda: _use(runtime.use_num_threads(2)),
        "runtime.use_variant": lambda: _use(runtime.use_variant(variant)),
        "runtime.variants": runtime.variants,
    }


def _kernels(dtype):
    kernels, rng = cr.kernels, np.random.default_rng(3)

    def draw(*shape):
        return rng.normal(size=shape).astype(dtype)

    x, w, b, grad, normalized = (draw(*s) for s in ((37, 19), (19, 23), (23,), (37, 23), (37, 19)))
    outputs, targets = draw(37, 4), draw(37, 4)
    scale, shift, mean, positive = draw(19), draw(19), draw(19), np.abs(draw(19)) + 1
    extreme = np.append(positive, [0, 1e30, -1e30, np.inf, np.nan]).astype(dtype)
    inverse = (1 / (1 + np.abs(draw(37)))).astype(dtype)
    of_losses = {
        "binary_cross_entropy": (targets > 0).astype(dtype),
        "cross_entropy": np.arange(37) % 4,
        "gaussian_nll": targets[:, :2].copy(),
        "poisson": np.abs(targets),
        "quantile": targets[:, :2].copy(),
    }
    of_losses_settings = {
        "cross_entropy": {"label_smoothing": 0.1},
        "huber": {"delta": 0.3},
        "quantile": {"levels": LEVELS},
    }
    made = {
        "dense_forward": lambda: kernels.dense_forward(x, w, b, "gelu", threads=2),
        "dense_backward": lambda: kernels.dense_backward(grad, x, w, threads=2),
        "dropout_mask": lambda: kernels.dropout_mask((5, 37), 0.3, seed=1, dtype=dtype),
        "initialize": lambda: [
            kernels.initialize(name, (19, 23), seed=1, dtype=dtype) for name in _core.initializers()
        ],
        "permutation": lambda: kernels.permutation(100, seed=1),
        "optimizer_states": lambda: kernels.optimizer_states("adam", b),
        "layer_norm_forward": lambda: kernels.layer_norm_forward(x, scale, shift),
        "layer_norm_backward": lambda: kernels.layer_norm_backward(x, normalized, inverse, scale),
        "batch_norm_forward": lambda: kernels.batch_norm_forward(x, scale, shift),
        "batch_norm_predict": lambda: kernels.batch_norm_predict(x, scale, shift, mean, positive),
        "batch_norm_backward": lambda: kernels.batch_norm_backward(x, normalized, positive, scale),
    }
    for name in _core.math_functions():
        made[name] = partial(getattr(kernels, name), extreme)
    for name, info in _core.activations().items():
        setting = {info["parameter"]: 0.3} if info["parameter"] else {}
        made[f"{name}_forward"] = partial(getattr(kernels, f"{name}_forward"), extreme, **setting)
        made[f"{name}_backward"] = partial(getattr(kernels, f"{name}_backward"), x, x, **setting)
    for name in _core.losses():
        arguments = (outputs, of_losses.get(name, targets), np.abs(draw(37)))
        setting = of_losses_settings.get(name, {})
        made[name] = partial(getattr(kernels, name), *arguments, **setting)
    for name in {*_core.optimizers(), "adamw"} - {"lbfgs"}:
        step = getattr(kernels, f"{name}_step")
        made[f"{name}_step"] = partial(_stepped, step, name, b.copy(), draw(23))
    return {f"kernels.{name}": call for name, call in made.items()}


def _stepped(step, name, parameters, gradient):
    states = cr.kernels.optimizer_states(name, parameters)
    step(parameters, gradient, states, 1, learning_rate=0.1)
    return [parameters, states]


def _models(dtype):
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(40, 9)).astype(dtype), rng.normal(size=(40, 2)).astype(dtype)
    layers = [
        *(9, cr.Dense(17, cr.Activation("leaky_relu", negative_slope=0.1), dropout=0.3)),
        *(cr.Dense(16, "gelu", norm="batch"), cr.Dense(9, "mish", norm="layer"), 2),
    ]
    loss = cr.Huber(0.3)
    rules = {"l1": 1e-3, "l2": 1e-2, "clip_norm": 0.7}
    fitting = {"batch_size": 16, "epochs": 2, "threads": 2}

    def new():
        return cr.MLP(layers, dtype=dtype, seed=6)

    def trainer(model):
        return cr.Trainer(model, loss=loss, optimizer=cr.RMSprop(centered=True), **rules)

    model, forward, fitted, initialized, forwarded, trained, stepped = (new() for _ in range(7))
    path, saved = Path(FOLDER.name, f"{dtype}.safetensors"), new()
    saved.fit(x[:3], y[:3], loss=loss, epochs=1)
    saved.history.seconds = saved.history.steps_per_second = [1.0]  # the only thing that differs
    saved.save(path)
    standardized = cr.MLP([9, cr.Standardize(), 2], dtype=dtype)
    small, by_lbfgs, also_by_lbfgs = (cr.MLP([9, 5, 2], dtype=dtype) for _ in range(3))
    forward.forward(x, training=True)
    of_fit, of_step, of_lbfgs = (
        trainer(trained),
        trainer(stepped),
        cr.Trainer(by_lbfgs, loss=loss, optimizer="lbfgs"),
    )

    def fit():
        fitted.fit(x, y, loss=loss, optimizer=cr.AdamW(cr.Cosine(0.1)), **rules, **fitting)
        also_by_lbfgs.fit(x, y[:, :1], loss=cr.Quantile(LEVELS), optimizer=cr.LBFGS(0.7), epochs=3)
        return [fitted, also_by_lbfgs]

    def step():
        # Python divides by the weights of the rows, in the caller's state.
        losses = [of_step.step(x, y), of_step.step(x[:7], y[:7]), of_lbfgs.step(x, y)]
        return [loss > 0 for loss in losses] + [stepped, by_lbfgs]

    return {
        **{f"MLP.{name}": partial(getattr, model, name) for name in _properties(cr.MLP)},
        **{f"Trainer.{name}": partial(getattr, of_fit, name) for name in _properties(cr.Trainer)},
        "MLP": new,
        "MLP.__call__": lambda: model(x, threads=2),
        "MLP.backward": lambda: [forward.backward(y, threads=2), forward.gradient],
        "MLP.copy": model.copy,
        # Python adds up the losses of blocks of rows, in the caller's state.
        "MLP.evaluate": lambda: model.evaluate(x, y, loss=loss).loss > 0,
        "MLP.fit": fit,
        "MLP.forward": lambda: [forwarded.forward(x, training=True), forwarded],
        "MLP.initialize": lambda: [initialized.initialize(8), initialized],
        "MLP.input_gradient": lambda: model.input_gradient(x, y, loss=loss, training=True),
        "MLP.load": lambda: cr.MLP.load(path),
        "MLP.loss_and_gradient": lambda: model.loss_and_gradient(x, y, loss=loss, l1=0.1, l2=0.3),
        "MLP.save": lambda: [saved.save(path), path.read_bytes()],
        "MLP.predict": lambda: model.predict(x, threads=2),
        "MLP.standardize": lambda: [standardized.standardize(x), standardized],
        "Trainer": lambda: trainer(small).learning_rate,
        "Trainer.fit": lambda: [of_fit.fit(x, y, **fitting).stop_reason, trained],
        "Trainer.step": step,
        "Trainer.require_same": lambda: of_fit.require_same(of_fit._settings),
    }


def _properties(owner):
    names = (name for name in dir(owner) if not name.startswith("_"))
    return [name for name in names if isinstance(getattr(owner, name), property)]


def missing():
    """Return the public names without a call, and the calls without a public name."""
    return public_names() ^ (set(calls("float32")) | HOLDERS)


def wrong_calls():
    """Return calls with wrong arguments, by name: of all that takes arguments, which it refuses."""
    model = cr.MLP([2, 3, 1])
    trainer = cr.Trainer(model, loss="mse")
    owners = {"MLP": model, "Trainer": trainer, "kernels": cr.kernels, "runtime": cr.runtime}
    made = {}
    for name in public_names() - HOLDERS:
        owner, dot, attribute = name.partition(".")
        call = getattr(owners[owner] if dot else cr, attribute if dot else name)
        if not callable(call):
            continue
        needed = [p for p in inspect.signature(call).parameters.values() if p.default is p.empty]
        by_name = {p.name: object() for p in needed if p.kind is p.KEYWORD_ONLY}
        by_place = [object() for p in needed if p.kind is p.POSITIONAL_OR_KEYWORD]
        wrong = partial(call, *by_place, **(by_name if needed else {"no_such_argument": 0}))
        # A context manager checks when it is entered.
        made[name] = wrong if ".use_" not in name else lambda wrong=wrong: _use(wrong())
    return made
