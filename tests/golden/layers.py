"""Golden values of dense layers and of layer and batch normalization. Called by make_golden.py."""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from elementwise import ACTIVATIONS, leaf, single

EPSILON = 1e-5


def dense_case(rng, shape, activation, parameters=None, bias=True):
    batch_size, _, out_features = shape
    x, weight = single(rng.normal(size=shape[:2])), single(rng.normal(size=shape[1:]))
    b = single(rng.normal(size=out_features))
    grad = single(rng.normal(size=(batch_size, out_features)))
    tx, tw, tb = leaf(x), leaf(weight), leaf(b)
    z = F.linear(tx, tw.T, tb if bias else None)
    z.backward(torch.tensor(grad, dtype=torch.float64))
    fields = {
        "config": {"activation": activation, "parameters": parameters or {}, "bias": bias},
        "x": x,
        "weight": weight,
        "grad_preactivation": grad,
        "z": z.detach().numpy(),
        "y": ACTIVATIONS[activation](z, parameters).detach().numpy(),
        "grad_x": tx.grad.numpy(),
        "grad_weight": tw.grad.numpy(),
    }
    if bias:
        fields.update(bias=b, grad_bias=tb.grad.numpy())
    return fields


def dense_cases(rng):
    return {
        "tanh": dense_case(rng, (7, 5, 3), "tanh"),
        "gelu": dense_case(rng, (17, 33, 19), "gelu"),
        "leaky_relu": dense_case(rng, (4, 16, 31), "leaky_relu", {"negative_slope": 0.2}),
        "identity_without_bias": dense_case(rng, (9, 12, 8), "identity", bias=False),
        "one_row": dense_case(rng, (1, 10, 6), "relu"),
        "one_of_each": dense_case(rng, (1, 1, 1), "sigmoid"),
        "no_inputs": dense_case(rng, (3, 0, 2), "softplus"),
        "deep": dense_case(rng, (5, 301, 4), "silu"),
    }


def norm_inputs(rng, shape):
    """Rows and columns of unlike scale; a constant row; a row and a column of large mean."""
    x = rng.normal(size=shape) * 10.0 ** rng.integers(-2, 3, size=(shape[0], 1))
    if shape[0] > 4:
        x[1] = 2.5
        x[2] = rng.normal(size=shape[1]) + 1000
        x[:, -1] = rng.normal(size=shape[0]) + 300
        x[3] = 0
    return single(x)


def scale_and_shift(rng, features):
    return single(rng.normal(size=features) + 1), single(rng.normal(size=features))


def layer_norm_case(rng, shape):
    x = norm_inputs(rng, shape)
    scale, shift = scale_and_shift(rng, shape[1])
    grad = single(rng.normal(size=shape))
    tx, tscale, tshift = leaf(x), leaf(scale), leaf(shift)
    y = F.layer_norm(tx, (shape[1],), tscale, tshift, EPSILON)
    y.backward(torch.tensor(grad, dtype=torch.float64))
    return {
        "config": {"epsilon": EPSILON},
        "x": x,
        "scale": scale,
        "shift": shift,
        "grad_output": grad,
        "y": y.detach().numpy(),
        "grad_x": tx.grad.numpy(),
        "grad_scale": tscale.grad.numpy(),
        "grad_shift": tshift.grad.numpy(),
    }


def batch_norm_case(rng, sizes, features):
    """Several batches through one layer, then predictions with what it has collected."""
    scale, shift = scale_and_shift(rng, features)
    layer = torch.nn.BatchNorm1d(features, eps=EPSILON, momentum=0.1)
    layer.weight.data = torch.tensor(scale, dtype=torch.float64)
    layer.bias.data = torch.tensor(shift, dtype=torch.float64)
    fields = {"config": {"epsilon": EPSILON, "batches": len(sizes)}, "scale": scale, "shift": shift}
    for i, size in enumerate(sizes):
        x, grad = norm_inputs(rng, (size, features)), single(rng.normal(size=(size, features)))
        tx = leaf(x)
        layer.zero_grad()
        y = layer(tx)
        y.backward(torch.tensor(grad, dtype=torch.float64))
        fields.update(
            {
                f"x_{i}": x,
                f"grad_output_{i}": grad,
                f"y_{i}": y.detach().numpy(),
                f"grad_x_{i}": tx.grad.numpy(),
                f"grad_scale_{i}": layer.weight.grad.numpy().copy(),
                f"grad_shift_{i}": layer.bias.grad.numpy().copy(),
                f"running_mean_{i}": layer.running_mean.numpy().copy(),
                f"running_variance_{i}": layer.running_var.numpy().copy(),
            }
        )
    layer.eval()
    x = norm_inputs(rng, (6, features))
    predicted = layer(torch.tensor(x, dtype=torch.float64)).detach().numpy()
    fields.update(x_predict=x, y_predict=predicted)
    return fields


def groups():
    rng = np.random.default_rng(3)
    return {
        "dense": dense_cases(rng),
        "layer_norm": {
            f"{m}x{n}": layer_norm_case(rng, (m, n)) for m, n in ((9, 37), (5, 16), (1, 8), (6, 1))
        },
        "batch_norm": {
            "five_features": batch_norm_case(rng, (8, 16, 5, 31), 5),
            "seventeen_features": batch_norm_case(rng, (2, 33), 17),
        },
    }
