"""Golden values of the activations, forward and backward. Called by make_golden.py."""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

# Zeros, values whose square or cube underflows, values around the points where exp, expm1, tanh,
# erf and softplus are usually cut into pieces, and beyond the range of exp in float32 (88.7) and
# in float64 (709.8).
AWKWARD = (
    "0 1e-30 1e-8 1e-4 1e-3 0.1 0.25 0.3465 0.34658 0.5 0.549 0.55 0.625 0.6932 0.75 0.84375 0.999 "
    "1 1.001 1.25 1.5 2 2.857 3 3.919 4 5 5.54 6 7.9 8.31 9.01 9.1 10 13 16.6 16.7 18 19.06 19.9 "
    "20 20.1 22 33 36.7 37.5 40 80 87.3 87.4 88.7 88.8 100 103.9 104 200 700 709.8 745.2 1000"
)

ACTIVATIONS = {
    "identity": lambda x, _: x * 1.0,
    "relu": lambda x, _: F.relu(x),
    "leaky_relu": lambda x, p: F.leaky_relu(x, **p),
    "elu": lambda x, p: F.elu(x, **p),
    "selu": lambda x, _: F.selu(x),
    "gelu": lambda x, _: F.gelu(x),
    "gelu_tanh": lambda x, _: F.gelu(x, approximate="tanh"),
    "silu": lambda x, _: F.silu(x),
    "mish": lambda x, _: F.mish(x),
    "sigmoid": lambda x, _: torch.sigmoid(x),
    "tanh": lambda x, _: torch.tanh(x),
    # By default PyTorch returns x from 20 on, which is off by 1e-10 of the value.
    "softplus": lambda x, _: F.softplus(x, threshold=600.0),
}

PARAMETERS = {
    "leaky_relu": [{"negative_slope": value} for value in (0.01, 0.2, 0.0)],
    "elu": [{"alpha": value} for value in (1.0, 0.3, 1.7)],
}


def single(values):
    """Return the nearest float32 numbers."""
    return np.asarray(values, dtype=np.float32)


def leaf(values):
    """Return a float64 tensor that collects its gradient."""
    return torch.tensor(np.asarray(values, dtype=np.float64), requires_grad=True)


def activation_case(name, parameters, x, grad_output):
    inputs = leaf(x)
    y = ACTIVATIONS[name](inputs, parameters)
    y.backward(torch.tensor(grad_output, dtype=torch.float64))
    return {
        "config": {"name": name, "parameters": parameters},
        "y": y.detach().numpy(),
        "grad_x": inputs.grad.numpy(),
    }


def groups():
    rng = np.random.default_rng(1)
    awkward = np.array(AWKWARD.split(), float)
    random = np.concatenate([rng.normal(0, 2, 48), rng.uniform(-12, 12, 33)])
    x = single(np.concatenate([awkward, -awkward, random]))  # -awkward holds -0.0
    grad_output = single(rng.normal(size=x.size))
    cases = {"common": {"x": x, "grad_output": grad_output}}
    for name in ACTIVATIONS:
        for parameters in PARAMETERS.get(name, [{}]):
            label = "_".join([name, *map(str, parameters.values())])
            cases[label] = activation_case(name, parameters, x, grad_output)
    return {"activation": cases}
