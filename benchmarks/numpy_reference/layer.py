"""A layer of the reference: dense, then norm, then activation, then dropout."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .activations import ACTIVATIONS

NORM_EPSILON = 1e-5

# Fills `out` with a dropout mask, 0 or 1 / (1 - probability): masks(layer, step, probability, out).
Masks = Callable[[int, int, float, np.ndarray], object]


@dataclass(frozen=True)
class Layer:
    """Dense, then norm (None, "layer", "batch"), then activation, then dropout."""

    out_features: int
    activation: str = "identity"
    parameter: float | None = None
    dropout: float = 0.0
    norm: str | None = None
    bias: bool = True


# --- optimizers ----------------------------------------------------------------------------------


def standardize(x: np.ndarray, axis: int, out: np.ndarray) -> tuple[np.ndarray, ...]:
    """Write ``(x - mean) / sqrt(variance + epsilon)``; return mean, variance, inverse deviation.

    axis=1 is layer normalization (statistics of a row), axis=0 batch normalization.
    """
    size = x.shape[axis]
    mean = x.mean(axis=axis, keepdims=True)
    np.subtract(x, mean, out=out)
    variance = np.einsum("ij,ij->j" if axis == 0 else "ij,ij->i", out, out)
    variance = np.expand_dims(variance, axis) / size
    inverse_deviation = 1.0 / np.sqrt(variance + NORM_EPSILON)
    out *= inverse_deviation
    return mean, variance, inverse_deviation


def standardize_backward(
    grad: np.ndarray, normalized: np.ndarray, inverse_deviation: np.ndarray, axis: int
) -> None:
    """Turn ``grad`` from the gradient of the standardized values into that of the input."""
    product = grad * normalized
    projection = product.mean(axis=axis, keepdims=True)
    mean = grad.mean(axis=axis, keepdims=True)
    np.multiply(normalized, projection, out=product)
    grad -= product
    grad -= mean
    grad *= inverse_deviation


class DenseLayer:
    """One layer: views of its parameters and gradients, and buffers for one batch size."""

    def __init__(self, options: Layer, in_features: int, index: int):
        self.options = options
        self.in_features = in_features
        self.index = index
        self.activation = ACTIVATIONS[options.activation]
        self.parameter = (
            self.activation.default_parameter if options.parameter is None else options.parameter
        )
        self.norm_axis = {None: None, "none": None, "layer": 1, "batch": 0}[options.norm]
        self.batch_size = -1
        self._buffers: dict[str, np.ndarray] = {}

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the parameter blocks in their order."""
        n_vectors = int(self.options.bias) + (0 if self.norm_axis is None else 2)
        return [(self.in_features, self.options.out_features)] + [
            (self.options.out_features,)
        ] * n_vectors

    def attach(self, parameters: list[np.ndarray], gradients: list[np.ndarray]) -> None:
        """Take the views of this layer's blocks in the flat vectors."""
        self.parameters, self.gradients = parameters, gradients
        self.weight, self.grad_weight = parameters[0], gradients[0]
        self.bias, self.grad_bias = (
            (parameters[1], gradients[1]) if self.options.bias else (None, None)
        )
        if self.norm_axis is not None:
            self.scale, self.shift = parameters[-2:]
            self.grad_scale, self.grad_shift = gradients[-2:]
        if self.norm_axis == 0:
            self.running_mean = np.zeros_like(self.scale)
            self.running_variance = np.ones_like(self.scale)

    def resize(self, batch_size: int) -> None:
        """Make the buffers for a batch of this size, or views where they are larger already."""
        if batch_size == self.batch_size:
            return
        if batch_size > len(self._buffers.get("ones", ())):
            self._buffers = self._make_buffers(batch_size)
        self.batch_size = batch_size
        for name, buffer in self._buffers.items():
            setattr(self, name, buffer[:batch_size])
        if self.activation.from_output:
            self.activated = self.preactivation

    def _make_buffers(self, batch_size):
        n_in, n_out = self.in_features, self.options.out_features
        widths = {"preactivation": n_out, "grad_input": n_in}
        if not self.activation.from_output:
            widths["activated"] = n_out
        if self.norm_axis is not None:
            widths["normalized"] = n_out
        if self.options.dropout:
            widths |= {"mask": n_out, "dropped": n_out}
        dtype = self.weight.dtype
        buffers = {name: np.empty((batch_size, width), dtype) for name, width in widths.items()}
        return buffers | {"ones": np.ones(batch_size, dtype)}

    def forward(self, x: np.ndarray, training: bool, masks: Masks, step: int) -> np.ndarray:
        """Return the outputs in a buffer of this layer; keep what ``backward`` reads."""
        self.resize(len(x))
        self.x = x
        z = np.matmul(x, self.weight, out=self.preactivation)
        if self.bias is not None:
            z += self.bias
        if self.norm_axis is not None:
            self._normalize(z, training)
        y = self.activated
        self.activation.forward(z, y, self.parameter)
        self.dropping = training and self.options.dropout > 0.0
        if self.dropping:
            masks(self.index, step, self.options.dropout, self.mask)
            y = np.multiply(y, self.mask, out=self.dropped)
        return y

    def backward(self, grad: np.ndarray, need_input: bool) -> np.ndarray | None:
        """Write the gradients; overwrites ``grad`` and this layer's activations."""
        if self.dropping:
            grad *= self.mask
        if self.options.activation != "identity":
            y = self.activated
            self.activation.derivative(self.preactivation, y, y, self.parameter)
            grad *= y
        if self.norm_axis is not None:
            self._normalize_backward(grad)
        np.matmul(self.x.T, grad, out=self.grad_weight)
        if self.bias is not None:
            # A product with ones is twice as fast as grad.sum(axis=0).
            np.matmul(self.ones, grad, out=self.grad_bias)
        return np.matmul(grad, self.weight.T, out=self.grad_input) if need_input else None

    def _normalize(self, z, training):
        if self.norm_axis == 0 and not training:
            np.subtract(z, self.running_mean, out=self.normalized)
            self.inverse_deviation = 1.0 / np.sqrt(self.running_variance + NORM_EPSILON)
            self.normalized *= self.inverse_deviation
            self.batch_statistics = None
        else:
            mean, variance, self.inverse_deviation = standardize(z, self.norm_axis, self.normalized)
            self.batch_statistics = (mean, variance) if self.norm_axis == 0 else None
        np.multiply(self.normalized, self.scale, out=z)
        z += self.shift

    def _normalize_backward(self, grad):
        np.matmul(self.ones, grad, out=self.grad_shift)
        np.einsum("ij,ij->j", grad, self.normalized, out=self.grad_scale)
        grad *= self.scale
        if self.norm_axis == 0 and self.batch_statistics is None:
            grad *= self.inverse_deviation
        else:
            standardize_backward(grad, self.normalized, self.inverse_deviation, self.norm_axis)

    def update_running_statistics(self, share: float) -> None:
        """Mix the statistics of the last training batch into the running ones, by its share."""
        mean, variance = self.batch_statistics
        unbiased = self.batch_size / max(1, self.batch_size - 1)
        self.running_mean += 0.1 * share * (mean[0] - self.running_mean)
        self.running_variance += 0.1 * share * (unbiased * variance[0] - self.running_variance)
