"""Golden values of the losses, value and gradient. Called by make_golden.py.

Each case holds four results: mean and sum without sample weights, mean and sum with them. PyTorch
has no sample weights: its losses are taken row by row (reduction="none") and weighted by hand.
"""

import numpy as np
import torch
from elementwise import leaf, single
from torch import nn

ROWS = 17


def quantile_loss(levels):
    """Return the pinball loss; column j * Q + q predicts level q of target j."""
    tau = torch.tensor(levels)

    def elements(outputs, targets):
        columns = outputs.reshape(len(outputs), -1, len(levels))
        e = targets[:, :, None] - columns
        loss = torch.where(e > 0, tau * e, torch.where(e < 0, (tau - 1) * e, 0 * e))
        return loss.reshape(outputs.shape)

    return elements


def gaussian_nll(reduction):
    """Return PyTorch's loss on the columns (means, log variances)."""
    # eps clamps the variance from below; 1e-300 is out of reach.
    inner = nn.GaussianNLLLoss(eps=1e-300, reduction=reduction)

    def loss(outputs, targets):
        n = targets.shape[1]
        return inner(outputs[:, :n], targets, outputs[:, n:].exp())

    return loss


def by_reduction(make):
    """Return the losses for mean, sum and none."""
    return {reduction: make(reduction) for reduction in ("mean", "sum", "none")}


def from_elements(elements):
    return {
        "mean": lambda *a: elements(*a).mean(),
        "sum": lambda *a: elements(*a).sum(),
        "none": elements,
    }


def results(losses, outputs, targets, sample_weight, row_weight=None):
    """Return value and gradient for each reduction, without and with sample weights.

    row_weight, when given, joins the normalizer of the weighted mean (class weights of labels).
    """
    values, grads = [], []
    s = torch.tensor(sample_weight, dtype=torch.float64)
    normalizer = (s if row_weight is None else s * row_weight).sum()
    for weighted in (False, True):
        for reduction in ("mean", "sum"):
            p = leaf(outputs)
            if weighted:
                rows = losses["none"](p, targets)
                if rows.ndim == 2:
                    rows = rows.mean(1) if reduction == "mean" else rows.sum(1)
                value = (s * rows).sum() / (normalizer if reduction == "mean" else 1)
            else:
                value = losses[reduction](p, targets)
            value.backward()
            values.append(value.item())
            grads.append(p.grad.numpy())
    return {"values": values, "grads": np.array(grads)}


def case(config, losses, outputs, targets, sample_weight, row_weight=None):
    sample_weight = sample_weight[: len(outputs)]
    tensor = torch.tensor(targets)
    if targets.dtype.kind == "f":
        tensor = tensor.double()
    elif targets.dtype.kind == "i":
        tensor = tensor.long()
    return {
        "config": {"parameters": {}, **config},
        "outputs": outputs,
        "targets": targets,
        "sample_weight": sample_weight,
        **results(losses, outputs, tensor, sample_weight, row_weight),
    }


def element_cases(rng, weight):
    """Losses of each element on its own."""
    cases = {}
    y = single(rng.normal(size=(ROWS, 3)))
    p = single(y + rng.normal(size=y.shape) * 10.0 ** rng.integers(-3, 3, size=y.shape))
    p[:4, 0] = y[:4, 0]  # no error: the kink of mae and quantile
    cases["mse"] = ({"name": "mse"}, by_reduction(lambda r: nn.MSELoss(reduction=r)), p, y)
    cases["mse_one_column"] = ({"name": "mse"}, cases["mse"][1], p[:, 1:2], y[:, 1:2])
    cases["mse_one_row"] = ({"name": "mse"}, cases["mse"][1], p[4:5], y[4:5])
    cases["mae"] = ({"name": "mae"}, by_reduction(lambda r: nn.L1Loss(reduction=r)), p, y)
    q = p.copy()
    q[4:8, 1] = y[4:8, 1] + single([1, -1, 1.5, -1.5])  # at the kink of Huber's loss, nearly
    for delta in (1.0, 0.25, 1.5):
        losses = by_reduction(lambda r, d=delta: nn.HuberLoss(reduction=r, delta=d))
        cases[f"huber_{delta}"] = ({"name": "huber", "parameters": {"delta": delta}}, losses, q, y)
    for label, levels, targets in (
        ("quantile_median", [0.5], y),
        ("quantile_three", [0.1, 0.5, 0.9], y[:, :2]),
        ("quantile_many", [0.01, 0.05, 0.25, 0.6, 0.975], y[:, :1]),
    ):
        shape = (ROWS, targets.shape[1] * len(levels))
        outputs = single(np.repeat(targets, len(levels), axis=1) + rng.normal(size=shape))
        outputs[0] = np.repeat(targets[0], len(levels))
        losses = from_elements(quantile_loss(levels))
        cases[label] = (
            {"name": "quantile", "parameters": {"levels": levels}},
            losses,
            outputs,
            targets,
        )
    logits = single(rng.normal(size=(ROWS, 4)) * 4)
    logits[:7, 0] = [0, 1e-8, -1e-8, 20, -20, 100, -100]
    losses = by_reduction(lambda r: nn.BCEWithLogitsLoss(reduction=r))
    soft = single(rng.uniform(size=logits.shape))
    soft[:, 1] = rng.integers(0, 2, ROWS)
    name = {"name": "binary_cross_entropy"}
    cases["binary_cross_entropy"] = (name, losses, logits, single(rng.integers(0, 2, logits.shape)))
    cases["binary_cross_entropy_soft"] = (name, losses, logits, soft)
    cases["binary_cross_entropy_one_column"] = (name, losses, logits[:, :1], soft[:, 1:2])
    rate = single(rng.normal(size=(ROWS, 2)) * 2)
    rate[:4, 0] = [0, -20, 10, 1e-8]
    losses = by_reduction(lambda r: nn.PoissonNLLLoss(log_input=True, full=False, reduction=r))
    cases["poisson"] = ({"name": "poisson"}, losses, rate, single(rng.poisson(3, rate.shape)))
    losses = by_reduction(gaussian_nll)
    outputs = np.hstack([y + single(rng.normal(size=y.shape)), single(rng.normal(size=y.shape))])
    outputs[:4, 3] = [0, 8, -8, 20]
    name = {"name": "gaussian_nll"}
    cases["gaussian_nll"] = (name, losses, outputs, y)
    cases["gaussian_nll_one_column"] = (name, losses, outputs[:, [1, 4]], y[:, 1:2])
    return {label: case(*arguments, weight) for label, arguments in cases.items()}


def cross_entropy_cases(rng, weight):
    """Labels and probabilities, with and without label smoothing and class weights."""
    cases = {}
    k = 5
    logits = single(rng.normal(size=(ROWS, k)) * 3)
    logits[0] = 0
    logits[1] = [100, -100, 20, -20, 0]
    logits[2] = [1000, 1000.0625, -1000, 0, 999]
    logits[3] = 1e-8
    labels = rng.integers(0, k, ROWS).astype(np.int32)
    labels[:4] = [3, 1, 0, 4]
    probabilities = single(rng.dirichlet(np.ones(k), ROWS))
    probabilities[4] = np.eye(k)[2]
    class_weight = single([0.5, 2.0, 1.0, 0.25, 3.7])
    for kind, targets in (("labels", labels), ("probabilities", probabilities)):
        for smoothing in (0.0, 0.1):
            for weights in (None, class_weight):
                tensor = None if weights is None else torch.tensor(weights, dtype=torch.float64)

                def make(reduction, w=tensor, eps=smoothing):
                    return nn.CrossEntropyLoss(w, reduction=reduction, label_smoothing=eps)

                row_weight = None
                if weights is not None and kind == "labels":
                    row_weight = tensor[torch.tensor(labels).long()]
                label = f"cross_entropy_{kind}"
                label += f"_smoothing_{smoothing}" if smoothing else ""
                label += "_class_weight" if weights is not None else ""
                parameters = {"label_smoothing": smoothing}
                if weights is not None:
                    parameters["class_weight"] = weights.tolist()
                config = {"name": "cross_entropy", "parameters": parameters}
                losses = by_reduction(make)
                cases[label] = case(config, losses, logits, targets, weight, row_weight)
    return cases


def groups():
    rng = np.random.default_rng(2)
    sample_weight = single(rng.uniform(0.1, 3, ROWS))
    sample_weight[5] = 0
    cases = element_cases(rng, sample_weight)
    cases.update(cross_entropy_cases(rng, sample_weight))
    return {"loss": cases}
