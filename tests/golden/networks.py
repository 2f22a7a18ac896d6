"""Golden values of whole trainings: two networks step by step, and minima for L-BFGS.

Called by make_golden.py. Parameters are flat: per layer weight (in_features, out_features), bias,
then scale and shift where the layer has a normalization.
"""

import itertools

import numpy as np
import scipy.optimize
import torch
from elementwise import leaf, single
from first_order import Perturbations, forward, gradient_step, momentum, optimizer_step
from torch import nn
from torch.nn import functional as F  # noqa: N812

STEPS = 20
NORMS = {"layer": nn.LayerNorm, "batch": nn.BatchNorm1d}
ACTIVATIONS = {"gelu": nn.GELU, "tanh": nn.Tanh, "identity": nn.Identity}


def layer(out_features, activation="identity", norm=None):
    return {"out_features": out_features, "activation": activation, "norm": norm}


def initial_parameters(rng, in_features, layers):
    """Return the blocks by name, in the flat order."""
    w = {}
    for i, spec in enumerate(layers):
        out = spec["out_features"]
        w[f"weight_{i}"] = single(rng.normal(size=(in_features, out)) / np.sqrt(in_features))
        w[f"bias_{i}"] = single(0.1 * rng.normal(size=out))
        if spec["norm"]:
            w[f"scale_{i}"] = single(1 + 0.1 * rng.normal(size=out))
            w[f"shift_{i}"] = single(0.1 * rng.normal(size=out))
        in_features = out
    return w


def build(w, hyper):
    """Return the network in PyTorch's modules, and its tensors by block name."""
    modules, blocks = [], {}
    for i, spec in enumerate(hyper["layers"]):
        weight = torch.tensor(w[f"weight_{i}"]).double()
        dense = nn.Linear(*weight.shape)
        dense.weight.data, dense.bias.data = weight.T.clone(), torch.tensor(w[f"bias_{i}"]).double()
        modules.append(dense)
        blocks[f"weight_{i}"], blocks[f"bias_{i}"] = dense.weight, dense.bias
        if spec["norm"]:
            norm = NORMS[spec["norm"]](spec["out_features"])
            norm.weight.data = torch.tensor(w[f"scale_{i}"]).double()
            norm.bias.data = torch.tensor(w[f"shift_{i}"]).double()
            modules.append(norm)
            blocks[f"scale_{i}"], blocks[f"shift_{i}"] = norm.weight, norm.bias
        modules.append(ACTIVATIONS[spec["activation"]]())
    return nn.Sequential(*modules), blocks


def batches(hyper):
    """Return the rows of each step: the batches in turn, over and over."""
    pieces = [slice(a, b) for a, b in itertools.pairwise(hyper["batches"])]
    return [pieces[t % len(pieces)] for t in range(STEPS)]


def loss_of(hyper, outputs, targets, s):
    if hyper["loss"] == "cross_entropy":
        return F.cross_entropy(outputs, targets)
    return (s * F.mse_loss(outputs, targets, reduction="none").mean(1)).sum() / s.sum()


def flat(blocks):
    return torch.cat([v.T.reshape(-1) if v.ndim == 2 else v.reshape(-1) for v in blocks.values()])


def train(w, hyper, x, targets, s):
    """Train with torch.nn and torch.optim; return losses, parameters, running statistics."""
    model, blocks = build(w, hyper)
    values, lr = hyper["values"], hyper["learning_rate"]
    if hyper["optimizer"] == "adam":
        betas = (values["beta1"], values["beta2"])
        optimizer = torch.optim.Adam(model.parameters(), lr, betas, values["epsilon"])
    else:
        nesterov = values["nesterov"]
        optimizer = torch.optim.SGD(model.parameters(), lr, values["momentum"], nesterov=nesterov)
    weights = [v for k, v in blocks.items() if k.startswith("weight")]
    losses = []
    for rows in batches(hyper):
        optimizer.zero_grad()
        for module in model:
            if isinstance(module, nn.BatchNorm1d):
                module.momentum = momentum(hyper, rows.stop - rows.start)
        loss = loss_of(hyper, model(x[rows]), targets[rows], s[rows])
        loss = loss + sum(
            hyper["l1"] * v.abs().sum() + 0.5 * hyper["l2"] * (v * v).sum() for v in weights
        )
        loss.backward()
        losses.append(loss.item())
        # Never near the kink of a clipping, where errors would not pass on in first order.
        if clip := hyper["clip_norm"]:
            norm = nn.utils.clip_grad_norm_(model.parameters(), clip)
            assert abs(norm / clip - 1) > 1e-3
        if clip := hyper["clip_value"]:
            off = [(v.grad.abs() / clip - 1).abs().min() for v in model.parameters()]
            assert min(off) > 1e-5
            nn.utils.clip_grad_value_(model.parameters(), clip)
        with torch.no_grad():
            for v in weights:
                v.mul_(1 - lr * hyper["weight_decay"])
        optimizer.step()
    running = [
        v for m in model if isinstance(m, nn.BatchNorm1d) for v in (m.running_mean, m.running_var)
    ]
    running = torch.cat(running) if running else torch.zeros(0)
    predicted = model.eval()(x)
    return torch.tensor(losses), flat(blocks).detach(), running, predicted.detach()


def train_perturbed(w, hyper, x, targets, s):
    """Train by the written-out formulas; return what train does and the conditions."""
    rounded = Perturbations()
    blocks = {k: torch.tensor(v).double().requires_grad_() for k, v in w.items()}
    running = {}
    for i, spec in enumerate(hyper["layers"]):
        if spec["norm"] == "batch":
            running[f"mean_{i}"] = torch.zeros(spec["out_features"])
            running[f"variance_{i}"] = torch.ones(spec["out_features"])
    states, losses = {}, []
    for t, rows in enumerate(batches(hyper), 1):
        loss, g = gradient_step(rounded, blocks, hyper, x[rows], targets[rows], s[rows], running)
        optimizer_step(rounded, blocks, g, states, t, hyper)
        losses.append(loss)
    parameters = torch.cat([v.reshape(-1) for v in blocks.values()])
    statistics = torch.cat([*running.values(), torch.zeros(0)])
    predicted, _ = forward(rounded, blocks, hyper, x, running, False)
    results = {
        "losses": torch.stack(losses),
        "results": parameters,
        "running": statistics,
        "predicted": predicted.reshape(-1),
    }
    return {k: (v.detach(), rounded.condition(v) if v.numel() else v) for k, v in results.items()}


def training_case(rng, in_features, layers, **hyper):
    hyper["layers"] = layers
    n, k = hyper["batches"][-1], layers[-1]["out_features"]
    x = single(rng.normal(size=(n, in_features)))
    if hyper["loss"] == "cross_entropy":
        targets = rng.integers(0, k, n).astype(np.int32)
        weight = np.ones(n, np.float32)
    else:
        targets, weight = single(rng.normal(size=(n, k))), single(rng.uniform(0.2, 2, n))
    w = initial_parameters(rng, in_features, layers)
    kind = torch.int64 if targets.dtype == np.int32 else torch.float64
    tensors = [torch.tensor(v).double() for v in (x, targets, weight)]
    tensors[1] = tensors[1].to(kind)
    losses, parameters, running, predicted = train(w, hyper, *tensors)
    found = {
        "losses": losses,
        "results": parameters,
        "running": running,
        "predicted": predicted.reshape(-1),
    }
    fields = {
        "config": {**hyper, "in_features": in_features},
        "x": x,
        "targets": targets,
        "sample_weight": weight,
        "parameters": np.concatenate([v.ravel() for v in w.values()]),
    }
    perturbed = train_perturbed(w, hyper, *tensors)
    for key, (value, condition) in perturbed.items():
        # Two independent ways to the same numbers.
        assert torch.allclose(value, found[key], rtol=1e-11, atol=1e-12), key
        fields[key] = found[key].numpy()
        fields[f"{key}_condition"] = single(condition.numpy())
        worst = (condition / value.abs().max()).max().item() if value.numel() else 0
        print(f"  {key}: worst condition {worst:.3g}")
    return fields


def logistic_case(rng, n, in_features, k, l2):
    """The minimum of L2-penalized logistic regression, found by three methods.

    The penalty covers the biases too, so that the problem is strictly convex.
    """
    x = single(rng.normal(size=(n, in_features)))
    labels = (x @ rng.normal(size=(in_features, k)) + rng.gumbel(size=(n, k))).argmax(1)
    tx, ty = torch.tensor(x).double(), torch.tensor(labels)

    def objective(w):
        z = tx @ w[: in_features * k].reshape(in_features, k) + w[in_features * k :]
        return F.cross_entropy(z, ty) + 0.5 * l2 * (w * w).sum()

    size = (in_features + 1) * k
    w = leaf(np.zeros(size))
    optimizer = torch.optim.LBFGS(
        [w], max_iter=1000, tolerance_grad=1e-12, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        loss = objective(w)
        loss.backward()
        return loss

    optimizer.step(closure)
    by_torch = w.detach().numpy().copy()

    def value_and_gradient(v):
        t = leaf(v)
        loss = objective(t)
        loss.backward()
        return loss.item(), t.grad.numpy()

    options = {"maxiter": 1000, "ftol": 1e-16, "gtol": 1e-10}
    by_scipy = scipy.optimize.minimize(
        value_and_gradient, np.zeros(size), jac=True, method="L-BFGS-B", options=options
    ).x
    minimum = torch.tensor(by_torch)
    for _ in range(3):  # Newton's method settles the last digits
        minimum = minimum - torch.linalg.solve(
            torch.autograd.functional.hessian(objective, minimum),
            torch.autograd.functional.jacobian(objective, minimum),
        )
    # A line search cannot tell losses apart that agree to eps: sqrt(2 * eps * loss / l2) away.
    assert np.abs(by_torch - minimum.numpy()).max() < 1e-7
    assert np.abs(by_scipy - minimum.numpy()).max() < 1e-7
    return {
        "config": {"l2": l2},
        "x": x,
        "labels": labels.astype(np.int32),
        "minimum": minimum.numpy(),
        "minimum_torch": by_torch,
        "minimum_scipy": by_scipy,
        "loss": objective(minimum).item(),
    }


def groups():
    rng = np.random.default_rng(6)
    adam = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "amsgrad": False}
    trainings = {
        "layer_norm_adam": training_case(
            rng, 5, [layer(8, "gelu", "layer"), layer(6, "gelu", "layer"), layer(4)],
            loss="cross_entropy", optimizer="adam", learning_rate=0.01, values=adam,
            batches=[0, 10, 20, 27],
            l1=0.0, l2=0.0, weight_decay=0.0, clip_norm=0.0, clip_value=0.04,
        ),
        "batch_norm_sgd": training_case(
            rng, 4, [layer(7, "tanh", "batch"), layer(5, "tanh"), layer(3)],
            loss="mse", optimizer="sgd", learning_rate=0.05,
            values={"momentum": 0.9, "nesterov": True}, batches=[0, 9, 18, 24],
            l1=0.001, l2=0.01, weight_decay=0.05, clip_norm=0.4, clip_value=0.15,
        ),
    }  # fmt: skip
    minima = {
        "three_classes": logistic_case(rng, 40, 4, 3, 0.1),
        "two_classes": logistic_case(rng, 25, 3, 2, 0.01),
    }
    return {"training": trainings, "minimum": minima}
