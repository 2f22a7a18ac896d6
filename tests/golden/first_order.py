"""How rounding errors of a whole training reach its results, to first order. Used by networks.py.

The training is written out once more, forward and backward, with a perturbation of its own added
to every intermediate array. PyTorch differentiates the results with respect to all perturbations;

    condition[j] = sum over perturbations i of |d result_j / d perturbation_i| * size_i

where size_i is the largest error that the operation itself can make, in units of the unit roundoff
u: the number of its roundings times the magnitudes that it adds up. |error_j| <= condition[j] * u,
up to terms of order u^2. Counts are those of the plain formula, one more for each hyperparameter
that is itself rounded, and four (2 ULP) for an elementary function.
"""

import itertools
import math

import torch


class Perturbations:
    """The perturbations of one training."""

    def __init__(self):
        self.items = []

    def __call__(self, value, size):
        """Return value plus a zero perturbation whose size is bounded by size * u."""
        perturbation = torch.zeros_like(value, requires_grad=True)
        self.items.append((perturbation, size.detach()))
        return value + perturbation

    def condition(self, results):
        """Return the bound, in units of u, for each element of results."""
        leaves = [p for p, _ in self.items]
        bounds = []
        for result in results:
            gradients = torch.autograd.grad(result, leaves, retain_graph=True, allow_unused=True)
            terms = zip(gradients, self.items, strict=True)
            bounds.append(sum((g.abs() * size).sum() for g, (_, size) in terms if g is not None))
        return torch.stack(bounds)


def product(rounded, a, b):
    """Matrix product: a sum of k products takes k + 1 roundings with the bias that follows."""
    return rounded(a @ b, (a.shape[1] + 1) * (a.abs() @ b.abs()))


def norm_forward(rounded, z, axis, scale, shift, epsilon, statistics=None):
    """Return y and what backward needs; with given statistics, y alone."""
    n = z.shape[axis]
    if statistics is None:
        mean = rounded(z.mean(axis, keepdim=True), (n + 1) * z.abs().mean(axis, keepdim=True))
    else:
        mean, variance = statistics
    d = z - mean
    d = rounded(d, d.abs())
    if statistics is None:
        variance = (d * d).mean(axis, keepdim=True)
        variance = rounded(variance, (n + 2) * variance)
    inverse = 1 / torch.sqrt(variance + epsilon)
    inverse = rounded(inverse, 4 * inverse)
    normalized = d * inverse
    normalized = rounded(normalized, normalized.abs())
    y = scale * normalized + shift
    y = rounded(y, 2 * ((scale * normalized).abs() + shift.abs()))
    return y if statistics else (y, (normalized, inverse, mean, variance))


def norm_backward(rounded, dy, axis, scale, saved):
    normalized, inverse = saved[:2]
    n, m = dy.shape[axis], dy.shape[0]
    grad_scale = (dy * normalized).sum(0)
    grad_scale = rounded(grad_scale, (m + 1) * (dy * normalized).abs().sum(0))
    grad_shift = rounded(dy.sum(0), m * dy.abs().sum(0))
    dn = dy * scale
    dn = rounded(dn, dn.abs())
    first = rounded(dn.mean(axis, keepdim=True), (n + 1) * dn.abs().mean(axis, keepdim=True))
    along = dn * normalized
    second = along.mean(axis, keepdim=True)
    second = rounded(second, (n + 2) * along.abs().mean(axis, keepdim=True))
    dz = inverse * (dn - first - normalized * second)
    size = 4 * inverse * (dn.abs() + first.abs() + (normalized * second).abs())
    return rounded(dz, size), grad_scale, grad_shift


def activation_forward(rounded, name, x):
    if name == "identity":
        return x
    if name == "tanh":
        y = torch.tanh(x)
        return rounded(y, 4 * y.abs())
    u = rounded(x / math.sqrt(2), 2 * x.abs() / math.sqrt(2))
    c = torch.erf(u)
    phi = 0.5 * (1 + rounded(c, 4 * c.abs()))
    y = x * rounded(phi, phi)
    return rounded(y, y.abs())


def activation_backward(rounded, name, dy, x, y):
    if name == "identity":
        return dy
    if name == "tanh":
        derivative = rounded(1 - y * y, 2 * (1 + y * y))
    else:
        density = torch.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
        density = rounded(density, (6 + x * x) * density)  # exp makes x * x / 2 of two roundings
        u = rounded(x / math.sqrt(2), 2 * x.abs() / math.sqrt(2))
        c = torch.erf(u)
        phi = 0.5 * (1 + rounded(c, 4 * c.abs()))
        derivative = phi + x * density
        derivative = rounded(derivative, 2 * (phi.abs() + (x * density).abs()))
    dx = dy * derivative
    return rounded(dx, dx.abs())


def cross_entropy(rounded, logits, labels, _):
    m, k = logits.shape
    shifted = logits - logits.max(1, keepdim=True).values.detach()
    shifted = rounded(shifted, shifted.abs())
    e = rounded(shifted.exp(), 4 * shifted.exp())
    total = rounded(e.sum(1, keepdim=True), k * e.sum(1, keepdim=True))
    log = rounded(total.log(), 4 * total.log().abs())
    hot = torch.nn.functional.one_hot(labels, k).to(logits.dtype)
    rows = log[:, 0] - (shifted * hot).sum(1)
    rows = rounded(rows, log[:, 0].abs() + (shifted * hot).sum(1).abs())
    p = e / total
    p = rounded(p, p)
    return rows.mean(), rounded((p - hot) / m, 3 * (p + hot) / m)


def squared_error(rounded, outputs, targets, s):
    d = outputs - targets
    d = rounded(d, d.abs())
    rows = (d * d).mean(1)
    rows = rounded(rows, (outputs.shape[1] + 2) * rows)
    grad = 2 * d * s[:, None] / (s.sum() * outputs.shape[1])
    return (s * rows).sum() / s.sum(), rounded(grad, 4 * grad.abs())


LOSSES = {"cross_entropy": cross_entropy, "mse": squared_error}


def momentum(hyper, rows):
    """Return the weight of a batch in the running statistics: 0.1 for the largest."""
    bounds = hyper["batches"]
    return 0.1 * rows / max(b - a for a, b in itertools.pairwise(bounds))


def forward(rounded, w, hyper, x, running, training):
    """Return outputs and what backward needs; training updates the running statistics in place."""
    a, kept = x, []
    for i, layer in enumerate(hyper["layers"]):
        z = product(rounded, a, w[f"weight_{i}"]) + w[f"bias_{i}"]
        saved = None
        if layer["norm"]:
            axis = 1 if layer["norm"] == "layer" else 0
            kind = (axis, w[f"scale_{i}"], w[f"shift_{i}"], 1e-5)
            if layer["norm"] == "batch" and not training:
                y = norm_forward(
                    rounded, z, *kind, (running[f"mean_{i}"], running[f"variance_{i}"])
                )
            else:
                y, saved = norm_forward(rounded, z, *kind)
            if layer["norm"] == "batch" and training:
                unbiased = saved[3] * len(z) / (len(z) - 1)
                for key, new in (("mean", saved[2][0]), ("variance", unbiased[0])):
                    old, taken = running[f"{key}_{i}"], momentum(hyper, len(z))
                    value = (1 - taken) * old + taken * new
                    size = (1 - taken) * old.abs() + taken * new.abs()
                    running[f"{key}_{i}"] = rounded(value, 3 * size)
        else:
            y = z
        out = activation_forward(rounded, layer["activation"], y)
        kept.append((a, y, out, saved))
        a = out
    return a, kept


def gradient_step(rounded, w, hyper, x, targets, s, running):
    """Return the loss and the gradients of all blocks."""
    a, kept = forward(rounded, w, hyper, x, running, True)
    loss, grad = LOSSES[hyper["loss"]](rounded, a, targets, s)
    g = {}
    for i in reversed(range(len(kept))):
        a, y, out, saved = kept[i]
        layer = hyper["layers"][i]
        grad = activation_backward(rounded, layer["activation"], grad, y, out)
        if saved is not None:
            axis = 1 if layer["norm"] == "layer" else 0
            scale = w[f"scale_{i}"]
            grad, *blocks = norm_backward(rounded, grad, axis, scale, saved)
            g[f"scale_{i}"], g[f"shift_{i}"] = blocks
        g[f"weight_{i}"] = product(rounded, a.T, grad)
        g[f"bias_{i}"] = rounded(grad.sum(0), len(a) * grad.abs().sum(0))
        if i:
            grad = product(rounded, grad, w[f"weight_{i}"].T)
    l1, l2 = hyper["l1"], hyper["l2"]
    for i in range(len(kept)):
        v = w[f"weight_{i}"]
        key = f"weight_{i}"
        loss = loss + l1 * v.abs().sum() + 0.5 * l2 * (v * v).sum()
        g[key] = g[key] + l1 * v.sign() + l2 * v
        g[key] = rounded(g[key], 3 * (g[key].abs() + l1 + l2 * v.abs()))
    loss = rounded(loss, 2 * loss)  # and the penalties' sums, which are in double
    if hyper["clip_norm"]:
        total = torch.sqrt(sum((v * v).sum() for v in g.values()))
        count = sum(v.numel() for v in g.values())
        total = rounded(total, (count / 2 + 2) * total)
        factor = torch.clamp(hyper["clip_norm"] / (total + 1e-6), max=1.0)
        g = {k: rounded(v * factor, 4 * (v * factor).abs()) for k, v in g.items()}
    if bound := hyper["clip_value"]:
        g = {k: rounded(v.clamp(-bound, bound), bound * (v.abs() > bound)) for k, v in g.items()}
    return loss, g


def optimizer_step(rounded, w, g, states, t, hyper):
    values, lr = hyper["values"], hyper["learning_rate"]
    for key, gradient in g.items():
        v = w[key]
        if key.startswith("weight") and hyper["weight_decay"]:
            v = v * (1 - lr * hyper["weight_decay"])
            v = rounded(v, 3 * v.abs())
        first, second = states.get(key, (torch.zeros_like(v), torch.zeros_like(v)))
        if hyper["optimizer"] == "sgd":
            mu = values["momentum"]
            first = rounded(mu * first + gradient, 3 * ((mu * first).abs() + gradient.abs()))
            u = gradient + mu * first if values["nesterov"] else first
            u = rounded(u, 3 * (gradient.abs() + (mu * first).abs()))
            update = lr * u
        else:
            b1, b2 = values["beta1"], values["beta2"]
            old, new = b1 * first, (1 - b1) * gradient
            first = rounded(old + new, 3 * (old.abs() + new.abs()))
            second = b2 * second + (1 - b2) * gradient**2
            second = rounded(second, 4 * second)
            denominator = torch.sqrt(second) / math.sqrt(1 - b2**t) + values["epsilon"]
            denominator = rounded(denominator, 5 * denominator)
            update = lr / (1 - b1**t) * first / denominator
        states[key] = (first, second)
        w[key] = rounded(v - update, 4 * update.abs() + v.abs())
