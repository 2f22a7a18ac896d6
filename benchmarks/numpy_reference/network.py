"""The network of the reference: layers over one flat parameter vector."""

from collections.abc import Callable, Sequence

import numpy as np

from .layer import DenseLayer, Layer, Masks
from .losses import LOSSES, cross_entropy, reduce_loss

# A name, or a function like those in losses.py (functools.partial sets its parameters).
Loss = str | Callable[..., tuple[np.ndarray, np.ndarray | None]]


class RandomMasks:
    """Dropout masks from a NumPy generator."""

    def __init__(self, seed: int = 0):
        self._generator = np.random.default_rng(seed)

    def __call__(self, layer: int, step: int, probability: float, out: np.ndarray) -> None:
        """Fill ``out`` with 0 or 1 / (1 - probability)."""
        self._generator.random(dtype=out.dtype, out=out)
        np.greater_equal(out, probability, out=out)
        out *= 1.0 / (1.0 - probability)


class NumpyMLP:
    """A multilayer perceptron in NumPy.

    Parameters
    ----------
    in_features : int
    layers : sequence of Layer
    dtype : {"float32", "float64"}
    seed : int
        Of the initial weights: He for rectifiers, LeCun for selu, else Glorot.

    Attributes
    ----------
    parameters, gradient : ndarray, shape (n_parameters,)
        Flat; for each layer weight, bias, scale and shift, those that it has.
    input_statistics : tuple of ndarray, shape (in_features,), or None
        Means of the inputs and 1 / their deviations, which standardize them.
    """

    def __init__(
        self, in_features: int, layers: Sequence[Layer], *, dtype: str = "float32", seed: int = 0
    ):
        widths = [in_features] + [options.out_features for options in layers]
        self.in_features, self.out_features = in_features, widths[-1]
        self.input_statistics: tuple[np.ndarray, np.ndarray] | None = None
        self.layers = [
            DenseLayer(options, width, index)
            for index, (options, width) in enumerate(zip(layers, widths, strict=False))
        ]
        sizes = [int(np.prod(shape)) for layer in self.layers for shape in layer.shapes]
        self.parameters = np.zeros(sum(sizes), dtype)
        self.gradient = np.zeros_like(self.parameters)
        offset = 0
        for layer in self.layers:
            views = []
            for shape in layer.shapes:
                block = slice(offset, offset := offset + int(np.prod(shape)))
                views.append([v[block].reshape(shape) for v in (self.parameters, self.gradient)])
            layer.attach(*zip(*views, strict=True))
        self.initialize(seed)

    @classmethod
    def from_model(cls, model, dtype: str | None = None) -> "NumpyMLP":
        """Copy the layers, parameters and running statistics of a ``chainrule.MLP``."""
        layers = []
        for dense in model.layers:
            activation = dense.activation
            parameter = None
            if not isinstance(activation, str):
                activation, parameter = activation.name, activation.parameter
            layers.append(
                Layer(
                    dense.out_features,
                    activation,
                    parameter,
                    dropout=dense.dropout,
                    norm=dense.norm,
                    bias=dense.bias,
                )
            )
        network = cls(model.in_features, layers, dtype=dtype or str(np.dtype(model.dtype)))
        network.parameters[:] = model.parameters
        running = np.asarray(model.running_statistics)
        for layer in network.layers:
            if layer.norm_axis == 0:
                n = layer.options.out_features
                layer.running_mean[:], layer.running_variance[:] = running[:n], running[n : 2 * n]
                running = running[2 * n :]
        if model.input_statistics is not None:
            network.input_statistics = tuple(
                v.astype(network.parameters.dtype) for v in model.input_statistics
            )
        return network

    @property
    def running_statistics(self) -> np.ndarray:
        """Running mean and variance of each batch normalization, flat."""
        parts = [
            part
            for layer in self.layers
            if layer.norm_axis == 0
            for part in (layer.running_mean, layer.running_variance)
        ]
        return np.concatenate(parts) if parts else self.parameters[:0].copy()

    def initialize(self, seed: int = 0) -> None:
        """Draw new weights; biases and shifts become 0, scales 1."""
        generator = np.random.default_rng(seed)
        self.parameters.fill(0.0)
        for layer in self.layers:
            fan_in, fan_out = layer.weight.shape
            if layer.options.activation in ("tanh", "sigmoid", "identity"):
                deviation = (2.0 / (fan_in + fan_out)) ** 0.5
            else:
                deviation = ((1.0 if layer.options.activation == "selu" else 2.0) / fan_in) ** 0.5
            layer.weight[:] = deviation * generator.standard_normal(layer.weight.shape)
            if layer.norm_axis is not None:
                layer.scale.fill(1.0)

    def forward(
        self, X: np.ndarray, *, training: bool = False, masks: Masks | None = None, step: int = 0
    ) -> np.ndarray:
        """Return outputs in a buffer of the last layer, which the next call overwrites."""
        if self.input_statistics is not None:
            mean, factor = self.input_statistics
            X = (X - mean) * factor
        for layer in self.layers:
            X = layer.forward(X, training, masks, step)
        return X

    def backward(self, grad: np.ndarray, *, need_input: bool = False) -> np.ndarray | None:
        """Write ``gradient``; consumes ``grad`` and what the last forward pass kept."""
        for layer in reversed(self.layers):
            grad = layer.backward(grad, need_input or layer.index > 0)
        if need_input and self.input_statistics is not None:
            grad *= self.input_statistics[1]
        return grad

    def predict(self, X: np.ndarray, batch_size: int = 1024) -> np.ndarray:
        """Return outputs, shape (n_rows, out_features)."""
        X = np.asarray(X, self.parameters.dtype)
        outputs = np.empty((len(X), self.out_features), X.dtype)
        for start in range(0, len(X), batch_size):
            outputs[start : start + batch_size] = self.forward(X[start : start + batch_size])
        return outputs

    def loss_and_gradient(
        self,
        X: np.ndarray,
        y: np.ndarray,
        *,
        loss: Loss,
        sample_weight: np.ndarray | None = None,
        reduction: str = "mean",
        l1: float = 0.0,
        l2: float = 0.0,
        penalize_biases: bool = False,
        training: bool = False,
        masks: Masks | None = None,
        step: int = 0,
        need_input: bool = False,
    ) -> tuple[float, np.ndarray]:
        """Loss with penalties, and its gradient: the buffer ``gradient``, not a copy.

        With ``need_input`` the gradient with respect to X stands in ``grad_input``.
        """
        loss = LOSSES[loss] if isinstance(loss, str) else loss
        outputs = self.forward(X, training=training, masks=masks, step=step)
        grad = np.empty_like(outputs)
        value = reduce_loss(*loss(outputs, y, grad), grad, sample_weight, reduction)
        self.grad_input = self.backward(grad, need_input=need_input)
        if l1 or l2:
            value += self._penalize(l1, l2, penalize_biases)
        return value, self.gradient

    def blocks(self, biases: bool) -> list[tuple[np.ndarray, np.ndarray]]:
        """Weights and their gradients, or with ``biases`` every parameter and its gradient."""
        if biases:
            return [(self.parameters, self.gradient)]
        return [(layer.weight, layer.grad_weight) for layer in self.layers]

    def _penalize(self, l1, l2, penalize_biases):
        value = 0.0
        for parameters, gradient in self.blocks(penalize_biases):
            if l1:
                value += l1 * float(np.abs(parameters).sum(dtype=np.float64))
                gradient += l1 * np.sign(parameters)
            if l2:
                value += 0.5 * l2 * float(np.vdot(parameters, parameters))
                gradient += l2 * parameters
        return value

    @property
    def has_batch_norm(self) -> bool:
        """Whether a layer normalizes over the rows of a batch."""
        return any(layer.norm_axis == 0 for layer in self.layers)

    def update_running_statistics(self, share: float = 1.0) -> None:
        """Let batch normalization remember the statistics of the last training batch."""
        for layer in self.layers:
            if layer.norm_axis == 0:
                layer.update_running_statistics(share)

    def fit(self, X: np.ndarray, y: np.ndarray, *, loss: Loss, optimizer, **options) -> list[float]:
        """Train; the options are those of ``NumpyTrainer`` and of its ``fit``."""
        from .trainer import NumpyTrainer

        names = ("batch_size", "epochs", "order", "sample_weight", "callback")
        of_fit = {name: options.pop(name) for name in names if name in options}
        trainer = NumpyTrainer(self, loss=loss, optimizer=optimizer, **options)
        return trainer.fit(X, y, **of_fit)


def as_targets(y: np.ndarray, loss: Loss, dtype: np.dtype) -> np.ndarray:
    """Labels stay whole numbers; other targets become a matrix of the network's dtype."""
    loss = LOSSES[loss] if isinstance(loss, str) else loss
    y = np.asarray(y)
    if y.ndim == 1 and getattr(loss, "func", loss) is cross_entropy:
        return np.ascontiguousarray(y, np.intp)
    return np.ascontiguousarray(y.reshape(len(y), -1), dtype)
