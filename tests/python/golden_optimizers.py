"""chainrule's optimizer steps over Rounded arrays.

function(arithmetic, values, learning_rate, step, g, w, states) returns the new w; states is updated
in place.
"""

import math

from golden_rounding import maximum, sqrt


def sgd(a, v, lr, _, g, w, states):
    momentum = a.constant(v["momentum"])
    if v["momentum"]:
        states[0] = momentum * states[0] + g
        g = momentum * states[0] + g if v["nesterov"] else states[0]
    return w - a.constant(lr) * g


def rmsprop(a, v, lr, _, g, w, states):
    rho, rest = a.constant(v["rho"]), a.constant(1 - v["rho"])
    states[0] = rho * states[0] + rest * (g * g)
    variance = states[0]
    if v["centered"]:
        states[2] = rho * states[2] + rest * g
        variance = variance - states[2] * states[2]
    u = g / (sqrt(variance) + a.constant(v["epsilon"]))
    if v["momentum"]:
        u = states[1] = a.constant(v["momentum"]) * states[1] + u
    return w - a.constant(lr) * u


def adagrad(a, v, lr, _, g, w, states):
    states[0] = states[0] + g * g
    return w - a.constant(lr) * (g / (sqrt(states[0]) + a.constant(v["epsilon"])))


def moments(a, v, step, g, states):
    """Update adam's two moments; return the denominator."""
    for i, (beta, x) in enumerate([(v["beta1"], g), (v["beta2"], g * g)]):
        states[i] = a.constant(beta) * states[i] + a.constant(1 - beta) * x
    second = states[1]
    if v.get("amsgrad"):
        second = states[2] = maximum(states[2], second)
    correction = a.constant(1 / math.sqrt(1 - v["beta2"] ** step))
    return sqrt(second) * correction + a.constant(v["epsilon"])


def adam(a, v, lr, step, g, w, states):
    denominator = moments(a, v, step, g, states)
    return w - a.constant(lr / (1 - v["beta1"] ** step)) * (states[0] / denominator)


def nadam(a, v, lr, step, g, w, states):
    denominator = moments(a, v, step, g, states)
    mu = [v["beta1"] * (1 - 0.5 * 0.96 ** (t * v["momentum_decay"])) for t in range(1, step + 2)]
    memory = math.prod(mu[:step])
    of_gradient = a.constant(lr * (1 - mu[step - 1]) / (1 - memory))
    of_moment = a.constant(lr * mu[step] / (1 - memory * mu[step]))
    return w - (of_moment * states[0] + of_gradient * g) / denominator


def lion(a, v, lr, _, g, w, states):
    beta1, beta2 = v["beta1"], v["beta2"]
    u = (a.constant(beta1) * states[0] + a.constant(1 - beta1) * g).sign()
    states[0] = a.constant(beta2) * states[0] + a.constant(1 - beta2) * g
    return w - a.constant(lr) * u


OPTIMIZERS = {
    "sgd": sgd,
    "rmsprop": rmsprop,
    "adagrad": adagrad,
    "adam": adam,
    "adamw": adam,
    "nadam": nadam,
    "lion": lion,
}
