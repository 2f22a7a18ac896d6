"""The training loop of the reference."""

import itertools
from collections.abc import Callable

import numpy as np

from .layer import Masks
from .network import Loss, NumpyMLP, RandomMasks, as_targets
from .optimizers import Optimizer


class NumpyTrainer:
    """Trains a ``NumpyMLP``; every call of ``step`` or ``fit`` goes on where the last one ended.

    Parameters
    ----------
    model : NumpyMLP
    loss : str or callable
    optimizer : Optimizer
    l1, l2 : float
        Penalties on the weights, with ``penalize_biases`` on every parameter.
    divide_penalties : bool
        Divide them by the weight of each batch.
    clip_norm, clip_value : float, optional
        Limits of the gradient's norm and of its elements.
    masks : callable, optional
        Dropout masks; by default from a NumPy generator with ``seed``.
    seed : int
    """

    def __init__(
        self,
        model: NumpyMLP,
        *,
        loss: Loss,
        optimizer: Optimizer,
        l1: float = 0.0,
        l2: float = 0.0,
        penalize_biases: bool = False,
        divide_penalties: bool = False,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        masks: Masks | None = None,
        seed: int = 0,
    ):
        self.model = model
        self.loss = loss
        self.penalties = {"l1": l1, "l2": l2}
        self.penalize_biases, self.divide_penalties = penalize_biases, divide_penalties
        self.clip_norm, self.clip_value = clip_norm, clip_value
        self.masks = masks or RandomMasks(seed)
        self.seed = seed
        self.epoch = self.step_count = self.whole_batch = 0
        decayed = [parameters for parameters, _ in model.blocks(penalize_biases)]
        self.optimizer = optimizer.bind(model.parameters, model.gradient, decayed)

    def step(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> float:
        """One step on one batch; the loss before it."""
        dtype = self.model.parameters.dtype
        self.whole_batch = max(self.whole_batch, len(X))
        return self._step(np.asarray(X, dtype), as_targets(y, self.loss, dtype), sample_weight)

    def fit(
        self,
        X: np.ndarray,
        y: np.ndarray,
        *,
        batch_size: int = 128,
        epochs: int = 20,
        order: Callable[[int], np.ndarray] | None = None,
        sample_weight: np.ndarray | None = None,
        callback: Callable[[int, float], object] | None = None,
    ) -> list[float]:
        """Train and return the mean loss of each epoch.

        Parameters
        ----------
        X : ndarray, shape (n_rows, in_features)
        y : ndarray, shape (n_rows,) or (n_rows, n_targets)
        batch_size, epochs : int
        order : callable, optional
            ``order(epoch)`` returns the order of the rows; by default a NumPy generator does.
        sample_weight : ndarray, shape (n_rows,), optional
        callback : callable, optional
            ``callback(epoch, loss)`` is called after each epoch; returning True ends the fit.
        """
        model = self.model
        X = np.asarray(X, model.parameters.dtype)
        y = as_targets(y, self.loss, X.dtype)
        order = order or (lambda epoch: _shuffled(self.seed, epoch, len(X)))
        batch_size = self.whole_batch = min(batch_size, len(X))
        starts = [*range(0, len(X), batch_size)]
        if len(starts) > 1 and len(X) - starts[-1] < 2 and model.has_batch_norm:
            del starts[-1]  # a row alone has no variance, and goes with the batch before
        bounds = [*starts, len(X)]
        n_rows = max(end - start for start, end in itertools.pairwise(bounds))
        X_buffer = np.empty((n_rows, X.shape[1]), X.dtype)
        y_buffer = np.empty((n_rows, *y.shape[1:]), y.dtype)
        losses = []
        for _ in range(epochs):
            rows = order(self.epoch)
            total = 0.0
            for start, end in itertools.pairwise(bounds):
                batch = rows[start:end]
                # mode="clip" spares np.take a copy that guards `out` against a bad index.
                X_batch = np.take(X, batch, axis=0, out=X_buffer[: len(batch)], mode="clip")
                y_batch = np.take(y, batch, axis=0, out=y_buffer[: len(batch)], mode="clip")
                weight = None if sample_weight is None else sample_weight[batch]
                total += len(batch) * self._step(X_batch, y_batch, weight)
            losses.append(total / len(rows))
            self.epoch += 1
            if callback is not None and callback(self.epoch - 1, losses[-1]) is True:
                break
        return losses

    def _step(self, X, y, sample_weight):
        share = 1.0
        if self.divide_penalties:
            share /= len(X) if sample_weight is None else float(sample_weight.sum())
        value, gradient = self.model.loss_and_gradient(
            X,
            y,
            loss=self.loss,
            sample_weight=sample_weight,
            training=True,
            masks=self.masks,
            step=self.step_count,
            penalize_biases=self.penalize_biases,
            **{name: share * strength for name, strength in self.penalties.items()},
        )
        self.model.update_running_statistics(len(X) / self.whole_batch)
        if self.clip_norm:
            norm = float(np.sqrt(np.vdot(gradient, gradient)))
            if norm + 1e-6 > self.clip_norm:
                gradient *= self.clip_norm / (norm + 1e-6)
        if self.clip_value:
            np.clip(gradient, -self.clip_value, self.clip_value, out=gradient)
        self.optimizer.step()
        self.step_count += 1
        return value


def _shuffled(seed, epoch, size):
    return np.random.default_rng((seed, epoch)).permutation(size)
