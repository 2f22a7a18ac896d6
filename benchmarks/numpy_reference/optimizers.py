"""Optimizers of the reference: in place on one flat parameter vector."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# Elements of one pass: an optimizer's arrays then stay in the last-level cache (1.6 times as fast
# at 12 million parameters); smaller chunks pay more for NumPy's calls than they save.
CHUNK = 1 << 18


@dataclass
class Optimizer:
    """Base of the optimizers; ``learning_rate`` is a number or a function of the step from 0."""

    learning_rate: float | Callable[[int], float] = 1e-3
    weight_decay: float = 0.0

    n_states = 0
    initial_state = 0.0

    def bind(
        self, parameters: np.ndarray, gradient: np.ndarray, decayed: list[np.ndarray]
    ) -> "Optimizer":
        """Return a copy that updates ``parameters``; ``decayed`` are the views that decay."""
        bound = copy.copy(self)
        size = parameters.size
        states = [np.full_like(parameters, self.initial_state) for _ in range(self.n_states)]
        scratch = [np.empty_like(parameters[:CHUNK]) for _ in range(2)]
        bound._decayed = decayed
        bound._chunks = [
            [array[start : start + CHUNK] for array in (parameters, gradient)]
            + [[state[start : start + CHUNK] for state in states]]
            + [array[: min(CHUNK, size - start)] for array in scratch]
            for start in range(0, size, CHUNK)
        ]
        bound.step_count = 0
        return bound

    def step(self) -> None:
        """Update the parameters from the gradient."""
        rate = self.learning_rate
        rate = float(rate(self.step_count)) if callable(rate) else rate
        self.step_count += 1
        if self.weight_decay:
            for block in self._decayed:
                block *= 1.0 - rate * self.weight_decay
        for chunk in self._chunks:
            self._update(*chunk, rate)

    def _update(self, w, g, states, a, b, rate):
        """Update one chunk; a and b are scratch."""
        raise NotImplementedError


@dataclass
class SGD(Optimizer):
    """Gradient descent with momentum."""

    learning_rate: float | Callable[[int], float] = 1e-2
    momentum: float = 0.0
    nesterov: bool = False

    @property
    def n_states(self):
        """Momentum, when there is any."""
        return int(self.momentum > 0.0)

    def _update(self, w, g, states, a, b, rate):
        direction = g
        if self.momentum > 0.0:
            direction = states[0]
            direction *= self.momentum
            direction += g
            if self.nesterov:
                np.multiply(direction, self.momentum, out=b)
                b += g
                direction = b
        w -= np.multiply(direction, rate, out=a)


@dataclass
class RMSprop(Optimizer):
    """Gradient over the root of its running mean square."""

    learning_rate: float | Callable[[int], float] = 1e-2
    rho: float = 0.99
    epsilon: float = 1e-8
    momentum: float = 0.0
    centered: bool = False

    @property
    def n_states(self):
        """Mean square, then what centering and momentum need."""
        return 1 + int(self.centered) + int(self.momentum > 0.0)

    def _update(self, w, g, states, a, b, rate):
        square = states[0]
        np.multiply(g, g, out=a)
        _decay_towards(square, a, self.rho, a)
        np.copyto(a, square)
        if self.centered:
            _decay_towards(states[1], g, self.rho, b)
            a -= np.multiply(states[1], states[1], out=b)
            np.maximum(a, 0.0, out=a)
        np.sqrt(a, out=a)
        a += self.epsilon
        np.divide(g, a, out=a)
        if self.momentum > 0.0:
            velocity = states[-1]
            velocity *= self.momentum
            velocity += a
            np.copyto(a, velocity)
        a *= rate
        w -= a


@dataclass
class Adagrad(Optimizer):
    """Gradient over the root of the sum of its squares."""

    learning_rate: float | Callable[[int], float] = 1e-2
    epsilon: float = 1e-10
    initial_accumulator: float = 0.0

    n_states = 1

    @property
    def initial_state(self):
        """Where the sum of squares starts."""
        return self.initial_accumulator

    def _update(self, w, g, states, a, b, rate):
        total = states[0]
        total += np.multiply(g, g, out=a)
        np.sqrt(total, out=a)
        a += self.epsilon
        np.divide(g, a, out=a)
        a *= rate
        w -= a


@dataclass
class Adam(Optimizer):
    """Adam; with ``weight_decay`` it is AdamW."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    amsgrad: bool = False
    epsilon_hat: bool = False

    @property
    def n_states(self):
        """Mean, mean square, and the largest mean square of AMSGrad."""
        return 2 + int(self.amsgrad)

    def _update(self, w, g, states, a, b, rate):
        mean, square = states[:2]
        _decay_towards(mean, g, self.beta1, a)
        np.multiply(g, g, out=a)
        _decay_towards(square, a, self.beta2, a)
        if self.amsgrad:
            square = np.maximum(states[2], square, out=states[2])
        np.sqrt(square, out=a)
        correction = 1.0 / math.sqrt(1.0 - self.beta2**self.step_count)
        a *= correction
        a += self.epsilon * correction if self.epsilon_hat else self.epsilon
        np.divide(mean, a, out=a)
        a *= rate / (1.0 - self.beta1**self.step_count)
        w -= a


@dataclass
class AdamW(Adam):
    """Adam with decoupled weight decay."""

    weight_decay: float = 1e-2


@dataclass
class NAdam(Optimizer):
    """Adam with Nesterov momentum."""

    learning_rate: float | Callable[[int], float] = 2e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    momentum_decay: float = 4e-3

    n_states = 2
    _product = 1.0

    def _momentum(self, step):
        return self.beta1 * (1.0 - 0.5 * 0.96 ** (step * self.momentum_decay))

    def step(self) -> None:
        """Update the parameters from the gradient."""
        self._product *= self._momentum(self.step_count + 1)
        super().step()

    def _update(self, w, g, states, a, b, rate):
        step = self.step_count
        momentum, following = self._momentum(step), self._momentum(step + 1)
        mean, square = states
        _decay_towards(mean, g, self.beta1, a)
        np.multiply(g, g, out=a)
        _decay_towards(square, a, self.beta2, a)
        np.sqrt(square, out=a)
        a *= 1.0 / math.sqrt(1.0 - self.beta2**step)
        a += self.epsilon
        np.divide(g, a, out=b)
        b *= rate * (1.0 - momentum) / (1.0 - self._product)
        w -= b
        np.divide(mean, a, out=b)
        b *= rate * following / (1.0 - self._product * following)
        w -= b


@dataclass
class Lion(Optimizer):
    """Sign of an interpolated momentum."""

    learning_rate: float | Callable[[int], float] = 1e-4
    beta1: float = 0.9
    beta2: float = 0.99

    n_states = 1

    def _update(self, w, g, states, a, b, rate):
        mean = states[0]
        np.multiply(mean, self.beta1, out=a)
        a += np.multiply(g, 1.0 - self.beta1, out=b)
        np.sign(a, out=a)
        a *= rate
        w -= a
        _decay_towards(mean, g, self.beta2, b)


def _decay_towards(state, value, decay, scratch):
    """Move a running mean: state = decay * state + (1 - decay) * value."""
    state *= decay
    state += np.multiply(value, 1.0 - decay, out=scratch)


OPTIMIZERS: dict[str, type[Optimizer]] = {
    cls.__name__.lower(): cls for cls in (SGD, RMSprop, Adagrad, Adam, AdamW, NAdam, Lion)
}
