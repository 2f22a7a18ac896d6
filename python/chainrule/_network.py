"""A network without its training: parameters, predictions and gradients.

It wraps the compiled network, which owns all the numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _arguments, _core, _validation
from ._layers import Dense, Standardize
from ._lock import TrainingLock
from ._losses import as_loss
from ._precision import as_precision
from ._repr import network_code

if TYPE_CHECKING:
    import numpy.typing as npt

    from ._loss import Loss
    from ._typing import Floats, Reduction


class Network:
    """The part of :class:`MLP` without training; never used alone."""

    def __init__(
        self,
        in_features: int,
        input_layer: Standardize | None,
        layers: tuple[Dense, ...],
        dtype: np.dtype[Any],
        seed: int,
        precision: str,
    ) -> None:
        self.in_features = in_features
        self.out_features = layers[-1].out_features
        self.input_layer = input_layer
        self.layers = layers
        self.dtype = dtype
        self.seed = seed
        widths = [in_features, *(layer.out_features for layer in layers)]
        self.n_parameters = sum(
            layer.n_parameters(width) for layer, width in zip(layers, widths, strict=False)
        )
        if self.n_parameters * dtype.itemsize > _arguments.INT64_MAX:
            raise ValueError(
                f"layers must have fewer than 2**63 bytes of parameters, got {widths}, "
                f"which make {self.n_parameters} parameters"
            )
        kind = _core.Network32 if dtype == np.float32 else _core.Network64
        first, *others = layers
        specs = [first.spec(input_layer is not None), *(layer.spec() for layer in others)]
        self._network: _core._Network = kind(in_features, specs, seed)
        self._network.precision = precision
        self._lock = TrainingLock()
        self._mixes_rows = any(layer.norm == "batch" for layer in layers)
        self._forward_rows: int | None = None  # of the last forward, until the parameters change
        self._forwards = 0  # since the last backward
        self._forward_count = 0

    def __repr__(self) -> str:
        return network_code(self, is_abridged=True)

    @property
    def precision(self) -> str:
        """Precision of the products of matrices; see :class:`MLP`. Writable."""
        return self._network.precision

    @precision.setter
    def precision(self, value: str) -> None:
        if value is None:
            raise TypeError("precision must be one of its names, got NoneType")
        self._network.precision = as_precision(value, self.dtype)

    def _items(self) -> list[int | Standardize | Dense]:
        """Return the argument `layers` with which :class:`MLP` makes this network."""
        return [self.in_features, *([self.input_layer] if self.input_layer else []), *self.layers]

    # --- numbers ---------------------------------------------------------------------------------

    @property
    def parameters(self) -> Floats:
        """All parameters: a flat, writable view of shape (n_parameters,), not a copy.

        Layer by layer: weight, bias, then scale and shift of a normalization.
        """
        return self._network.parameters

    @property
    def gradient(self) -> Floats:
        """Gradient of the last `backward` or `loss_and_gradient`: a flat, writable view.

        Ordered as `parameters`. Training uses a separate gradient.
        """
        return self._network.gradient

    @property
    def running_statistics(self) -> Floats:
        """Running mean, then running variance, of each batch normalization: a flat view.

        With :class:`Standardize`, the means of the inputs and their factors follow, see
        `input_statistics`; all 0 before they are fitted.
        """
        return self._network.running_statistics

    @property
    def input_statistics(self) -> tuple[Floats, Floats] | None:
        """Means of the inputs and 1 / their standard deviations in :class:`Standardize`.

        Copies of shape (in_features,), of the model's dtype; None without that layer, and before it
        is fitted.
        """
        if self.input_layer is None or not self._network.is_ready:
            return None
        mean, factor = self.running_statistics[-2 * self.in_features :].reshape(2, -1).copy()
        return mean, factor

    def standardize(self, X: npt.ArrayLike) -> None:
        """Fit the layer :class:`Standardize`: compute mean and deviation of each column of X.

        Replaces earlier statistics. :meth:`MLP.fit` does this with its training rows if nothing has
        been fitted; :meth:`Trainer.step` and :meth:`forward`, which see only a batch, require it
        first. Sums are in double; each row counts once, whatever its weight.

        Parameters
        ----------
        X : array_like, shape (n_samples, in_features)
            Features; finite, at least one row.

        Raises
        ------
        ValueError, TypeError
            If the model has no such layer, X is not such an array, or a standard deviation is too
            large for the model's dtype; nothing has changed then.
        RuntimeError
            If the model is in training, by another thread or around a callback.

        Examples
        --------
        >>> import chainrule as cr
        >>> model = cr.MLP([1, cr.Standardize(), 1], initializer="zeros")
        >>> model.standardize([[10.0], [30.0]])
        >>> model.input_statistics
        (array([20.], dtype=float32), array([0.1], dtype=float32))
        """
        if self.input_layer is None:
            raise ValueError("standardize needs a model with Standardize() behind its inputs")
        x = _validation.matrix(X, "X", self.dtype, self.in_features)
        if len(x) == 0:
            raise ValueError(f"X must have at least one row, got shape {x.shape}")
        with self._lock.hold("standardize", changes_training=True):
            self._forget_forward()
            self._network.standardize(x)

    def _require_ready(self, caller: str) -> None:
        if self.input_layer is not None and not self._network.is_ready:
            raise RuntimeError(
                f"{caller} needs the statistics of the inputs, which Standardize() takes in the "
                "first fit: call fit or standardize(X) before"
            )

    @property
    def weights(self) -> tuple[Floats, ...]:
        """Weights of each layer: views of shape (in_features, out_features)."""
        return tuple(view for view in self._views("weight") if view is not None)

    @property
    def biases(self) -> tuple[Floats | None, ...]:
        """Biases of each layer: views of shape (out_features,); None for a layer without."""
        return self._views("bias")

    def _views(self, role: str) -> tuple[Floats | None, ...]:
        flat = self._network.parameters
        views: list[Floats | None] = [None] * len(self.layers)
        for block in self._network.parameter_blocks():
            if block["role"] == role:
                end = block["offset"] + int(np.prod(block["shape"]))
                views[block["layer"]] = flat[block["offset"] : end].reshape(block["shape"])
        return tuple(views)

    def _forget_forward(self) -> None:
        """Forget the last forward, above all its rows."""
        if self._forwards or self._forward_rows is not None:
            self._forward_rows = None
            self._forwards = 0
            self._network.forget_forward()

    def _require_normalizable(self, n_rows: int, argument: str = "X") -> None:
        """Raise for a training batch from which batch normalization would learn nothing."""
        if self._mixes_rows and n_rows < 2:
            what = "be" if argument == "batch_size" else "have"
            raise ValueError(
                f"{argument} must {what} at least 2 rows to train with batch normalization, which "
                f"takes the variance over them, got {n_rows}"
            )

    # --- prediction ------------------------------------------------------------------------------

    def predict(
        self, X: npt.ArrayLike, *, precision: str | None = None, threads: int | None = None
    ) -> Floats:
        """Compute the outputs: logits, logarithms of rates, or values, depending on the loss.

        Dropout is off and batch normalization uses the running statistics. The outputs of a row do
        not depend on the other rows, bit for bit. Several threads may predict at once, each with
        the same bits as alone. While another thread fits the model, outputs may mix parameters of
        two steps: predict in a callback of the fit, or with a :meth:`copy` that a callback made.

        Parameters
        ----------
        X : array_like, shape (n_samples, in_features)
            Features; finite.
        precision : str, optional
            Of the products, see :class:`MLP`; by default the model's.
        threads : int, optional
            Maximum number of threads; see :meth:`fit`. The result has the same bits for any
            number.

        Returns
        -------
        ndarray, shape (n_samples, out_features)
            Outputs, of the model's dtype.

        Raises
        ------
        ValueError, TypeError
            If X is not an array of finite numbers of that shape, or another argument is invalid.
        RuntimeError
            Before the inputs' statistics of a layer :class:`Standardize` are fitted.
        """
        most_threads = _arguments.threads(threads)
        if precision is None:
            outputs = self._network.predict_if_valid(X, most_threads)
            if outputs is not None:
                return outputs  # otherwise X needs a conversion, or is wrong
        self._require_ready("predict")
        x = _validation.matrix(X, "X", self.dtype, self.in_features)
        chosen = as_precision(precision, self.dtype, self.precision)
        return self._network.predict(x, most_threads, chosen)

    __call__ = predict

    # --- gradients -------------------------------------------------------------------------------

    def forward(
        self,
        X: npt.ArrayLike,
        *,
        training: bool = False,
        step: int | None = None,
        threads: int | None = None,
    ) -> Floats:
        """Compute the outputs and keep what :meth:`backward` needs, until the next call.

        Parameters
        ----------
        X : array_like, shape (batch_size, in_features)
            Features; do not change their values before :meth:`backward`.
        training : bool, default False
            Apply dropout, normalize by the statistics of the batch and update the running
            statistics with them.
        step : int, optional
            Which dropout masks to use, at least 0; by default new ones in each call.
        threads : int, optional
            Maximum number of threads; see :meth:`fit`. The result has the same bits for any
            number.

        Returns
        -------
        ndarray, shape (batch_size, out_features)
            Outputs.

        Raises
        ------
        ValueError, TypeError
            For an invalid argument; for one row in training with batch normalization.
        RuntimeError
            If another thread is training the model; in a callback of its fit, if batch
            normalization would update statistics; before the inputs' statistics of a layer
            :class:`Standardize` are fitted.
        """
        x = _validation.features(X, self.dtype, self.in_features, "X")
        training = _arguments.boolean(training, "training")
        n_rows = x.shape[0]
        if training:
            self._require_normalizable(n_rows)
        if step is not None:
            step = _arguments.integer(step, "step", 0)
        n_threads = _arguments.threads(threads)
        outputs: Floats = np.empty((n_rows, self.out_features), self.dtype)
        with self._lock.hold("forward", changes_training=training and self._mixes_rows):
            self._require_ready("forward")
            if step is None:
                step = self._forward_count
                self._forward_count += training
            self._forward_rows = None
            self._network.forward(x, training, step, outputs, n_threads)
            self._forward_rows = n_rows
            self._forwards += 1
        return outputs

    def backward(
        self,
        grad_outputs: npt.ArrayLike,
        *,
        shards: int | None = None,
        threads: int | None = None,
    ) -> Floats:
        """Propagate a gradient back through the last :meth:`forward`.

        `gradient` then holds the gradient with respect to the parameters.

        Parameters
        ----------
        grad_outputs : array_like, shape (batch_size, out_features)
            Gradient of the caller's loss with respect to the outputs.
        shards : int, optional
            In how many blocks of rows to sum the gradient of the parameters; see :meth:`fit`.
        threads : int, optional
            Maximum number of threads; see :meth:`fit`. The result has the same bits for any
            number.

        Returns
        -------
        ndarray, shape (batch_size, in_features)
            Gradient with respect to X.

        Raises
        ------
        ValueError, TypeError
            If `grad_outputs` is not an array of finite numbers of that shape, or another argument
            is invalid.
        RuntimeError
            Without a :meth:`forward` since the last training step; with more than one since the
            last :meth:`backward`, because only the last one's activations are kept; or if another
            thread is training the model.

        Examples
        --------
        >>> import numpy as np
        >>> import chainrule as cr
        >>> model = cr.MLP([2, 1], initializer="zeros")
        >>> outputs = model.forward([[1.0, 2.0]])
        >>> model.backward(np.ones_like(outputs))
        array([[0., 0.]], dtype=float32)
        >>> model.gradient
        array([1., 2., 1.], dtype=float32)
        """
        # First, since it may run the array's code, which may call forward.
        gradient = _validation.matrix(
            grad_outputs, "grad_outputs", self.dtype, self.out_features, self._forward_rows
        )
        n_shards = _arguments.shards(shards, mixes_rows=self._mixes_rows) or 0
        n_threads = _arguments.threads(threads)
        with self._lock.hold("backward"):
            n_rows, n_forwards = self._forward_rows, self._forwards
            if n_rows is None:
                raise RuntimeError(
                    "backward must follow forward, without a change of the parameters by a "
                    "training in between"
                )
            if n_forwards > 1:
                self._forget_forward()
                raise RuntimeError(
                    f"backward must follow a single forward, got {n_forwards} since the last "
                    "backward, and only the last one's activations are kept; call backward after "
                    "each forward, predict where no gradient is needed, or forward of a copy"
                )
            if gradient.shape[0] != n_rows:
                raise ValueError(
                    f"grad_outputs must be a 2-D array of shape ({n_rows}, {self.out_features}), "
                    f"as forward returned, got shape {gradient.shape}"
                )
            grad_x: Floats = np.empty((n_rows, self.in_features), self.dtype)
            self._network.backward(gradient, grad_x, n_shards, n_threads)
            self._forwards = 0
        return grad_x

    def loss_and_gradient(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        *,
        loss: str | Loss,
        sample_weight: npt.ArrayLike | None = None,
        reduction: Reduction = "mean",
        l1: float = 0.0,
        l2: float = 0.0,
        penalize_biases: bool = False,
        training: bool = False,
        step: int = 0,
        shards: int | None = None,
        threads: int | None = None,
    ) -> tuple[float, Floats]:
        """Compute the loss of a batch and its gradient with respect to the parameters.

        Changes neither parameters nor running statistics.

        Parameters
        ----------
        X : array_like, shape (batch_size, in_features)
            Features.
        y : array_like
            Targets; see :meth:`fit`.
        loss : str or Loss
            See :class:`Trainer`.
        sample_weight : array_like, shape (batch_size,), optional
            A weight >= 0 for each row.
        reduction : {"mean", "sum"}, default "mean"
            Weighted mean over the rows (and mean over the columns), or weighted sum over all.
        l1, l2, penalize_biases
            Penalties; see :class:`Trainer`.
        training : bool, default False
            Apply dropout and normalize by the statistics of the batch.
        step : int, default 0
            Which dropout masks to use; at least 0.
        shards : int, optional
            In how many blocks of rows to sum loss and gradient; see :meth:`fit`.
        threads : int, optional
            Maximum number of threads; see :meth:`fit`. The result has the same bits for any
            number.

        Returns
        -------
        loss : float
            The loss, with penalties.
        gradient : ndarray, shape (n_parameters,)
            A copy, ordered as `parameters`.

        Raises
        ------
        ValueError, TypeError
            For input that does not fit the model and the loss.
        RuntimeError
            If another thread is training the model, or before the inputs' statistics of a layer
            :class:`Standardize` are fitted.
        """
        with self._lock.hold("loss_and_gradient"):
            penalties = (l1, l2, penalize_biases)
            value, _ = self._differentiate(
                X,
                y,
                loss,
                sample_weight,
                reduction,
                penalties,
                training,
                step,
                shards,
                threads,
                grad_x=False,
            )
            return value, self.gradient.copy()

    def input_gradient(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        *,
        loss: str | Loss,
        sample_weight: npt.ArrayLike | None = None,
        reduction: Reduction = "mean",
        training: bool = False,
        step: int = 0,
        threads: int | None = None,
    ) -> Floats:
        """Compute the gradient of the loss of a batch with respect to its features.

        Parameters
        ----------
        X, y, loss, sample_weight, reduction, training, step, threads
            See :meth:`loss_and_gradient`. With ``reduction="sum"`` the gradient of a row does not
            depend on the number of rows.

        Returns
        -------
        ndarray, shape (batch_size, in_features)
            The gradient.

        Raises
        ------
        ValueError, TypeError, RuntimeError
            See :meth:`loss_and_gradient`.
        """
        with self._lock.hold("input_gradient"):
            penalties = (0.0, 0.0, False)
            _, grad_x = self._differentiate(
                X,
                y,
                loss,
                sample_weight,
                reduction,
                penalties,
                training,
                step,
                None,
                threads,
                grad_x=True,
            )
        assert grad_x is not None
        return grad_x

    def _differentiate(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        loss: str | Loss,
        sample_weight: npt.ArrayLike | None,
        reduction: Reduction,
        penalties: tuple[float, float, bool],
        training: bool,
        step: int,
        shards: int | None,
        threads: int | None,
        grad_x: bool,
    ) -> tuple[float, Floats | None]:
        """Write `gradient`; return the loss and, on request, the gradient of the features."""
        self._require_ready("the gradient")
        checked = as_loss(loss)
        x = _validation.features(X, self.dtype, self.in_features, "X")
        targets = checked.targets(y, self.dtype, len(x), self.out_features)
        weights = _validation.sample_weights(sample_weight, self.dtype, len(x))
        _arguments.one_of(reduction, ("mean", "sum"), "reduction")
        l1, l2, penalize_biases = penalties
        l1 = _arguments.number(l1, "l1", minimum=0.0)
        l2 = _arguments.number(l2, "l2", minimum=0.0)
        penalize_biases = _arguments.boolean(penalize_biases, "penalize_biases")
        training = _arguments.boolean(training, "training")
        if training:
            self._require_normalizable(x.shape[0])
        step = _arguments.integer(step, "step", 0)
        n_shards = _arguments.shards(shards, mixes_rows=self._mixes_rows) or 0
        n_threads = _arguments.threads(threads)
        out: Floats | None = np.empty(x.shape, self.dtype) if grad_x else None
        value = self._network.loss_and_gradient(
            x,
            targets,
            checked.spec(),
            weights,
            reduction,
            l1,
            l2,
            penalize_biases,
            training,
            step,
            out,
            n_shards,
            n_threads,
        )
        return value, out
