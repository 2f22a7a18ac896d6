"""JAX: an epoch is one compiled program, ``lax.scan`` over its full batches and then the rest."""

import os

# XLA makes as many threads as there are processors, or as NPROC says when it is loaded.
os.environ.setdefault("NPROC", os.environ.get("OMP_NUM_THREADS", "1"))

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .shapes import LEARNING_RATE, Task

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


class Jax:
    """Parameters and moments are given away to each call, so that they are updated in place."""

    def __init__(self, task: Task, threads: int):
        jax.config.update("jax_enable_x64", task.parameters.dtype == np.float64)
        self.task = task
        self.X, self.y = jnp.asarray(task.X), jnp.asarray(task.y)
        parameters = [tuple(map(jnp.asarray, layer)) for layer in task.split(task.parameters)]
        zeros = [jax.tree.map(jnp.zeros_like, parameters) for _ in range(2)]
        self.state = (parameters, *zeros, jnp.zeros((), jnp.int32))
        self.epoch = jax.jit(self._epoch, donate_argnums=0)

    def _outputs(self, parameters, X):
        activation = {"relu": jax.nn.relu, "tanh": jnp.tanh}[self.task.shape.activation]
        for weight, bias in parameters[:-1]:
            X = activation(X @ weight + bias)
        weight, bias = parameters[-1]
        return X @ weight + bias

    def _loss(self, parameters, X, y):
        outputs = self._outputs(parameters, X)
        if self.task.shape.loss == "mse":
            return jnp.mean((outputs - y) ** 2)
        chosen = jnp.take_along_axis(jax.nn.log_softmax(outputs), y[:, None], axis=1)
        return -jnp.mean(chosen)

    def _step(self, state, rows, X, y):
        parameters, first, second, step = state
        loss, gradient = jax.value_and_grad(self._loss)(parameters, X[rows], y[rows])
        step = step + 1
        first = jax.tree.map(lambda m, g: _BETA1 * m + (1 - _BETA1) * g, first, gradient)
        second = jax.tree.map(lambda v, g: _BETA2 * v + (1 - _BETA2) * g * g, second, gradient)
        correction1 = 1 - _BETA1 ** step.astype(loss.dtype)
        correction2 = 1 - _BETA2 ** step.astype(loss.dtype)

        def update(p, m, v):
            return p - LEARNING_RATE * (m / correction1) / (jnp.sqrt(v / correction2) + _EPSILON)

        return (jax.tree.map(update, parameters, first, second), first, second, step), loss

    def _epoch(self, state, batches, rest, X, y):
        state, losses = lax.scan(lambda s, rows: self._step(s, rows, X, y), state, batches)
        if len(rest):
            state, _ = self._step(state, rest, X, y)
        return state, losses

    def run(self, orders: list[np.ndarray]) -> None:
        """Train one epoch for each order, and wait for the last."""
        batch_size = self.task.shape.batch_size
        for order in orders:
            full = len(order) // batch_size * batch_size
            batches = order[:full].reshape(-1, batch_size).astype(np.int32)
            self.state, _ = self.epoch(
                self.state, batches, order[full:].astype(np.int32), self.X, self.y
            )
        jax.block_until_ready(self.state)

    def weights(self) -> np.ndarray:
        """Return the flat parameters."""
        return np.concatenate([np.asarray(part).ravel() for part in jax.tree.leaves(self.state[0])])
