"""Losses of the reference.

A loss writes the derivative of every value with respect to the outputs into ``grad`` and returns
the values, ``(batch_size, columns)`` or ``(batch_size,)``, and the factor by which each row counts
in the normalizer of a mean (None: one). ``reduce_loss`` makes one number of them.
"""

from collections.abc import Callable

import numpy as np

from .activations import sigmoid, softplus


def mse(outputs, targets, grad):
    """Squared error."""
    np.subtract(outputs, targets, out=grad)
    values = grad * grad
    grad *= 2.0
    return values, None


def mae(outputs, targets, grad):
    """Absolute error."""
    np.subtract(outputs, targets, out=grad)
    values = np.abs(grad)
    np.sign(grad, out=grad)
    return values, None


def huber(outputs, targets, grad, delta=1.0):
    """Squared error near zero, absolute error beyond ``delta``."""
    error = outputs - targets
    np.clip(error, -delta, delta, out=grad)
    error -= 0.5 * grad
    error *= grad
    return error, None


def quantile(outputs, targets, grad, levels=(0.5,)):
    """Pinball loss; output column ``j * len(levels) + q`` predicts level q of target j."""
    n_targets = outputs.shape[1] // len(levels)
    column_levels = np.tile(np.asarray(levels, outputs.dtype), n_targets)
    error = np.repeat(targets, len(levels), axis=1) - outputs
    np.subtract(error < 0.0, column_levels, out=grad)
    grad[error == 0.0] = 0.0
    error *= -grad
    return error, None


def binary_cross_entropy(outputs, targets, grad):
    """Logistic loss of logits, one target in [0, 1] for each column."""
    sigmoid(outputs, grad)
    grad -= targets
    values = softplus(outputs, np.empty_like(outputs))
    values -= targets * outputs
    return values, None


def cross_entropy(outputs, targets, grad, label_smoothing=0.0, class_weight=None):
    """Softmax loss of logits; targets are labels ``(batch_size,)`` or probabilities."""
    np.subtract(outputs, outputs.max(axis=1, keepdims=True), out=grad)
    if targets.ndim == 1 and not label_smoothing and class_weight is None:
        return _plain_cross_entropy(targets, grad), None
    if targets.ndim == 1:
        wanted = np.zeros_like(outputs)
        wanted[np.arange(len(targets)), targets] = 1.0
    else:
        wanted = targets.copy()
    wanted *= 1.0 - label_smoothing
    wanted += label_smoothing / outputs.shape[1]
    row_weight = None
    if class_weight is not None:
        class_weight = np.asarray(class_weight, outputs.dtype)
        wanted *= class_weight
        row_weight = class_weight[targets] if targets.ndim == 1 else None
    mass = wanted.sum(axis=1, keepdims=True)
    reached = np.einsum("ij,ij->i", wanted, grad)
    np.exp(grad, out=grad)
    total = grad.sum(axis=1, keepdims=True)
    grad *= mass / total
    grad -= wanted
    return (mass * np.log(total))[:, 0] - reached, row_weight


def _plain_cross_entropy(labels, grad):
    """Labels alone: no matrix of wanted probabilities is needed."""
    rows = np.arange(len(labels))
    picked = grad[rows, labels]
    np.exp(grad, out=grad)
    total = grad.sum(axis=1)
    grad /= total[:, None]
    grad[rows, labels] -= 1.0
    return np.log(total) - picked


def poisson(outputs, targets, grad):
    """Negative Poisson log-likelihood; outputs are the logarithm of the rate."""
    np.exp(outputs, out=grad)
    values = grad - targets * outputs
    grad -= targets
    return values, None


def gaussian_nll(outputs, targets, grad):
    """Negative Gaussian log-likelihood; outputs are means, then logarithms of variances."""
    n_targets = targets.shape[1]
    mean, log_variance = outputs[:, :n_targets], outputs[:, n_targets:]
    grad_mean, grad_log_variance = grad[:, :n_targets], grad[:, n_targets:]
    error = mean - targets
    np.multiply(error, np.exp(-log_variance), out=grad_mean)
    error *= grad_mean
    np.subtract(0.5, 0.5 * error, out=grad_log_variance)
    error += log_variance
    error *= 0.5
    return error, None


LOSSES: dict[str, Callable] = {
    "mse": mse,
    "mae": mae,
    "huber": huber,
    "quantile": quantile,
    "binary_cross_entropy": binary_cross_entropy,
    "cross_entropy": cross_entropy,
    "poisson": poisson,
    "gaussian_nll": gaussian_nll,
}


def reduce_loss(
    values: np.ndarray,
    row_weight: np.ndarray | None,
    grad: np.ndarray,
    sample_weight: np.ndarray | None = None,
    reduction: str = "mean",
) -> float:
    """Mean or sum of a loss over the rows; scales ``grad`` in place to match."""
    if sample_weight is None and row_weight is None:
        scale = 1.0 / values.size if reduction == "mean" else 1.0
        grad *= scale
        return float(values.sum(dtype=np.float64)) * scale
    rows = values.reshape(len(values), -1).sum(axis=1, dtype=np.float64)
    weight = np.ones(len(rows)) if sample_weight is None else sample_weight.astype(np.float64)
    if reduction == "mean":
        total = float(weight.sum() if row_weight is None else weight @ row_weight)
        columns = values.size // len(values)
        weight *= 1.0 / (columns * total) if total > 0.0 else 0.0
    grad *= weight[:, None].astype(grad.dtype)
    return float(weight @ rows)
