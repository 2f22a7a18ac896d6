"""How each group of golden cases runs chainrule's kernels; called by test_golden.py.

check_<group>(case, dtype, arithmetic) compares every result of the case with PyTorch's.
"""

import itertools

import golden_formulas as formulas
import numpy as np
from golden_cases import assert_close
from golden_optimizers import OPTIMIZERS

import chainrule as cr
from chainrule import _core, _optimizers


def kernel(name):
    return getattr(cr.kernels, name)


def check_activation(case, dtype, a):
    name, parameters = case.config["name"], case.config["parameters"]
    x, grad_output = case["x"].astype(dtype), case["grad_output"].astype(dtype)
    forward, derivative = formulas.ACTIVATIONS[name]
    activation = cr.Activation(name, **parameters)
    exact = a.exact(x)
    y_bound = forward(exact, activation.parameter)
    y = kernel(f"{name}_forward")(x, **parameters)
    assert_close(y, case["y"], y_bound, "y")
    saved = x if _core.activations()[name]["saved"] == "input" else y
    grad_x = kernel(f"{name}_backward")(grad_output, saved, **parameters)
    bound = a.exact(grad_output) * derivative(exact, y_bound, activation.parameter)
    assert_close(grad_x, case["grad_x"], bound, "grad_x")


def check_loss(case, dtype, a):
    name, parameters = case.config["name"], case.config["parameters"]
    outputs, targets = case["outputs"].astype(dtype), case["targets"]
    sample_weight = case["sample_weight"].astype(dtype)
    class_weight = 1.0
    if targets.dtype.kind == "f":
        targets = targets.astype(dtype)
    elif "class_weight" in parameters:
        class_weight = np.asarray(parameters["class_weight"])[targets]
    bound_targets = targets.astype(np.float64) if targets.dtype.kind == "f" else targets
    parts = formulas.LOSSES[name](a.exact(outputs), bound_targets, **parameters)
    settings = itertools.product((None, sample_weight), ("mean", "sum"))
    for i, (weight, reduction) in enumerate(settings):
        got = kernel(name)(outputs, targets, weight, reduction, **parameters)
        weights = np.ones(len(outputs)) if weight is None else weight.astype(np.float64)
        bounds = formulas.reduced_loss(*parts, reduction, weights, class_weight)
        for what, value, bound in zip(("values", "grads"), got, bounds, strict=True):
            assert_close(value, case[what][i], bound, (what, weight is not None, reduction))


def check_dense(case, dtype, a):
    config = case.config
    x, weight, grad = (case[k].astype(dtype) for k in ("x", "weight", "grad_preactivation"))
    bias = case["bias"].astype(dtype) if config["bias"] else None
    activation = cr.Activation(config["activation"], **config["parameters"])
    z = np.empty((len(x), weight.shape[1]), dtype)
    y = cr.kernels.dense_forward(x, weight, bias, activation, preactivation=z)
    z_bound = a.exact(x) @ a.exact(weight)
    if bias is not None:
        z_bound = z_bound + a.exact(bias)
    assert_close(z, case["z"], z_bound, "z")
    forward, _ = formulas.ACTIVATIONS[activation.name]
    assert_close(y, case["y"], forward(z_bound, activation.parameter), "y")
    grads = cr.kernels.dense_backward(grad, x, weight)
    g = a.exact(grad)
    assert_close(grads.x, case["grad_x"], g @ a.exact(weight).T, "grad_x")
    assert_close(grads.w, case["grad_weight"], a.exact(x).T @ g, "grad_weight")
    if bias is not None:
        assert_close(grads.b, case["grad_bias"], g.sum(0), "grad_bias")


def check_norm(case, dtype, a, kind, suffix=""):
    """Check forward and backward of one batch; return its mean and variance."""
    axis = 1 if kind == "layer" else 0
    epsilon = case.config["epsilon"]
    x, grad = (case[k + suffix].astype(dtype) for k in ("x", "grad_output"))
    scale, shift = case["scale"].astype(dtype), case["shift"].astype(dtype)
    exact = (a.exact(scale), a.exact(shift))
    y_bound, saved = formulas.norm_forward(a.exact(x), *exact, epsilon, axis)
    result = kernel(f"{kind}_norm_forward")(x, scale, shift, epsilon=epsilon)
    assert_close(result.out, case["y" + suffix], y_bound, f"y{suffix}")
    grads = kernel(f"{kind}_norm_backward")(
        grad, result.normalized, result.inverse_deviation, scale
    )
    bounds = formulas.norm_backward(a.exact(grad), *saved[:2], exact[0], axis)
    for got, what, bound in zip(grads, ("grad_x", "grad_scale", "grad_shift"), bounds, strict=True):
        assert_close(got, case[what + suffix], bound, what + suffix)
    return saved[2:]


def check_layer_norm(case, dtype, a):
    check_norm(case, dtype, a, "layer")


def check_batch_norm(case, dtype, a):
    """Check the kernels, and running statistics and predictions of a layer whose weight is I."""
    n = len(case["scale"])
    layer = cr.Dense(n, norm="batch", bias=False)
    model = cr.MLP([n, layer], dtype=dtype)
    scale, shift = case["scale"].astype(dtype), case["shift"].astype(dtype)
    model.parameters[:] = np.concatenate([np.eye(n, dtype=dtype).ravel(), scale, shift])
    running = [a.exact(np.zeros(n)), a.exact(np.ones(n))]
    for i in range(case.config["batches"]):
        suffix = f"_{i}"
        mean, variance = check_norm(case, dtype, a, "batch", suffix)
        m = len(case["x" + suffix])
        model.forward(case["x" + suffix].astype(dtype), training=True)
        new = (mean[0], variance[0] * a.constant(m / (m - 1)))
        running = [
            a.constant(0.9) * old + a.constant(0.1) * v for old, v in zip(running, new, strict=True)
        ]
        statistics = model.running_statistics.reshape(2, n)
        for j, what in enumerate(("running_mean", "running_variance")):
            assert_close(statistics[j], case[what + suffix], running[j], what + suffix)
    x = case["x_predict"].astype(dtype)
    inverse = 1.0 / formulas.sqrt(running[1] + a.constant(case.config["epsilon"]))
    bound = (a.exact(x) - running[0]) * inverse * a.exact(scale) + a.exact(shift)
    assert_close(model.predict(x), case["y_predict"], bound, "y_predict")
    predicted = cr.kernels.batch_norm_predict(x, scale, shift, *statistics)
    assert_close(predicted, case["y_predict"], bound, "y_predict by the kernel")


def check_optimizer(case, dtype, a):
    config = case.config
    values = {"learning_rate": config["learning_rate"], **config["values"]}
    if config["weight_decay"]:
        values["weight_decay"] = config["weight_decay"]
    parameters = case["parameters"].astype(dtype)
    optimizer = _optimizers.OPTIMIZERS[config["name"]](**values)
    states = cr.kernels.optimizer_states(optimizer, parameters)
    w = a.exact(parameters)
    bounds = [a.exact(0 * parameters)] * 3
    if "initial_accumulator" in values:
        bounds[0] = a.constant(np.full(w.value.shape, values["initial_accumulator"]))
    results = dict(zip(case["checkpoints"].tolist(), case["results"], strict=True))
    for step, gradient in enumerate(case["gradients"], start=1):
        g, scale = a.exact(gradient), 1.0
        if config["clip_norm"]:
            scale = min(1.0, config["clip_norm"] / (np.linalg.norm(g.value) + 1e-6))
            g = g * a.constant(scale)
        if clip := config["clip_value"]:
            g = g.clamped(-clip, clip)
        if config["weight_decay"]:
            w = w * a.constant(1 - config["learning_rate"] * config["weight_decay"])
        w = OPTIMIZERS[config["name"]](
            a, config["values"], config["learning_rate"], step, g, w, bounds
        )
        kernel(f"{config['name']}_step")(
            parameters,
            gradient.astype(dtype),
            states,
            step,
            clip_value=clip or None,
            grad_scale=scale,
            **values,
        )
        if step in results:
            assert_close(parameters, results[step], w, f"parameters of step {step}")
    for i, (state, bound) in enumerate(zip(states, bounds, strict=True)):
        assert (state is not None) == (f"state_{i}" in case)
        if state is not None:
            assert_close(state, case[f"state_{i}"], bound, f"state {i}")
