"""The optimizers: small frozen dataclasses; the steps are kernels (kernels/optimizers.inc in C++).

Each has a learning rate (a float or a schedule) and the hyperparameters of its kernel. Only L-BFGS,
which steps over the whole vector with a line search, has no kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from . import _arguments, _core
from ._schedules import Constant, Schedule


@dataclass(frozen=True)
class Optimizer:
    """Base of the optimizers; never used directly.

    Parameters
    ----------
    learning_rate : float or Schedule
        Greater than 0.
    """

    learning_rate: float | Schedule = 0.01
    name: ClassVar[str]
    kernel: ClassVar[str]
    hyperparameters: ClassVar[tuple[str, ...]]  # in the order of the compiled module

    def __post_init__(self) -> None:
        if not isinstance(self.learning_rate, Schedule):
            self._check("learning_rate", above=0.0)
        for field in ("weight_decay", "momentum_decay", "initial_accumulator"):
            if hasattr(self, field):
                self._check(field, minimum=0.0)
        for field in ("beta1", "beta2", "rho", "momentum"):
            if hasattr(self, field):
                self._check(field, minimum=0.0, below=1.0)
        for field in ("epsilon", "gradient_tolerance"):
            if hasattr(self, field):
                self._check(field, above=0.0)
        for field in ("nesterov", "centered", "amsgrad", "epsilon_hat"):
            if hasattr(self, field):
                object.__setattr__(self, field, _arguments.boolean(getattr(self, field), field))
        for field in ("history", "max_line_search"):
            if hasattr(self, field):
                value = _arguments.integer(getattr(self, field), field, 1, 10_000)
                object.__setattr__(self, field, value)

    def _check(
        self,
        field: str,
        *,
        minimum: float | None = None,
        above: float | None = None,
        below: float | None = None,
    ) -> None:
        value = _arguments.number(
            getattr(self, field), field, minimum=minimum, above=above, below=below
        )
        object.__setattr__(self, field, value)

    def schedule(self) -> Schedule:
        """Return the learning rate as a schedule."""
        rate = self.learning_rate
        return rate if isinstance(rate, Schedule) else Constant(rate)

    def spec(self) -> _core.OptimizerSpec:
        """Return what the compiled module takes."""
        values = [float(getattr(self, field)) for field in self.hyperparameters]
        return _core.OptimizerSpec(self.kernel, getattr(self, "weight_decay", 0.0), values)


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent, with momentum: b = momentum * b + g, w -= learning_rate * b.

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.01
        Greater than 0.
    momentum : float, default 0.0
        At least 0; 0 keeps no state.
    nesterov : bool, default False
        Step by g + momentum * b instead of b; needs momentum.
    weight_decay : float, default 0.0
        Decoupled: weights are multiplied by 1 - learning_rate * weight_decay before the step.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.SGD(cr.Cosine(0.1), momentum=0.9).momentum
    0.9
    """

    learning_rate: float | Schedule = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    name: ClassVar[str] = "sgd"
    kernel: ClassVar[str] = "sgd"
    hyperparameters: ClassVar[tuple[str, ...]] = ("momentum", "nesterov")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and not self.momentum:
            raise ValueError("momentum must be a finite number > 0 when nesterov=True, got 0")


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """Divides the gradient by a running root mean square of itself.

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.01
        Greater than 0.
    rho : float, default 0.99
        Decay of the running mean square, in [0, 1).
    epsilon : float, default 1e-8
        Added to the root; greater than 0.
    momentum : float, default 0.0
        At least 0.
    centered : bool, default False
        Divide by the running standard deviation instead.
    weight_decay : float, default 0.0
        Decoupled: weights are multiplied by 1 - learning_rate * weight_decay before the step.

    References
    ----------
    T. Tieleman and G. Hinton, "Lecture 6.5: rmsprop", Coursera 2012; centered: A. Graves,
    "Generating Sequences With Recurrent Neural Networks" (2013).
    """

    learning_rate: float | Schedule = 0.01
    rho: float = 0.99
    epsilon: float = 1e-8
    momentum: float = 0.0
    centered: bool = False
    weight_decay: float = 0.0
    name: ClassVar[str] = "rmsprop"
    kernel: ClassVar[str] = "rmsprop"
    hyperparameters: ClassVar[tuple[str, ...]] = ("rho", "epsilon", "momentum", "centered")


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """Divides the gradient by the root of the sum of all its squares so far.

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.01
        Greater than 0.
    epsilon : float, default 1e-10
        Added to the root; greater than 0.
    initial_accumulator : float, default 0.0
        What the sum starts from; at least 0.
    weight_decay : float, default 0.0
        Decoupled: weights are multiplied by 1 - learning_rate * weight_decay before the step.

    References
    ----------
    J. Duchi, E. Hazan and Y. Singer, "Adaptive Subgradient Methods", JMLR 12 (2011).
    """

    learning_rate: float | Schedule = 0.01
    epsilon: float = 1e-10
    initial_accumulator: float = 0.0
    weight_decay: float = 0.0
    name: ClassVar[str] = "adagrad"
    kernel: ClassVar[str] = "adagrad"
    hyperparameters: ClassVar[tuple[str, ...]] = ("epsilon", "initial_accumulator")


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam: running mean of the gradient over the root of its running mean square.

    Parameters
    ----------
    learning_rate : float or Schedule, default 1e-3
        Greater than 0.
    beta1, beta2 : float, default 0.9 and 0.999
        Decay of the running mean and of the running mean square, in [0, 1).
    epsilon : float, default 1e-8
        Added to the root after its bias was corrected; greater than 0.
    amsgrad : bool, default False
        Use the largest running mean square so far.
    epsilon_hat : bool, default False
        Add epsilon to the root before its bias is corrected, as TensorFlow and scikit-learn do:
        the "epsilon hat" of Kingma and Ba, section 2.
    weight_decay : float, default 0.0
        Decoupled: weights are multiplied by 1 - learning_rate * weight_decay before the step.

    References
    ----------
    D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015; amsgrad:
    S. J. Reddi, S. Kale and S. Kumar, "On the Convergence of Adam and Beyond", ICLR 2018.
    """

    learning_rate: float | Schedule = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    amsgrad: bool = False
    epsilon_hat: bool = False
    weight_decay: float = 0.0
    name: ClassVar[str] = "adam"
    kernel: ClassVar[str] = "adam"
    hyperparameters: ClassVar[tuple[str, ...]] = (
        *("beta1", "beta2", "epsilon", "amsgrad"),
        "epsilon_hat",
    )


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay of 0.01; all parameters as in :class:`Adam`.

    References
    ----------
    I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.
    """

    weight_decay: float = 0.01
    name: ClassVar[str] = "adamw"


@dataclass(frozen=True)
class NAdam(Optimizer):
    """Adam with Nesterov momentum.

    Parameters
    ----------
    learning_rate : float or Schedule, default 2e-3
        Greater than 0.
    beta1, beta2 : float, default 0.9 and 0.999
        Decay of the running mean and of the running mean square, in [0, 1).
    epsilon : float, default 1e-8
        Added to the root after its bias was corrected; greater than 0.
    momentum_decay : float, default 4e-3
        How fast the momentum of step t, beta1 * (1 - 0.96 ** (t * momentum_decay) / 2), grows.
    weight_decay : float, default 0.0
        Decoupled: weights are multiplied by 1 - learning_rate * weight_decay before the step.

    References
    ----------
    T. Dozat, "Incorporating Nesterov Momentum into Adam", ICLR workshop 2016.
    """

    learning_rate: float | Schedule = 2e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    momentum_decay: float = 4e-3
    weight_decay: float = 0.0
    name: ClassVar[str] = "nadam"
    kernel: ClassVar[str] = "nadam"
    hyperparameters: ClassVar[tuple[str, ...]] = ("beta1", "beta2", "epsilon", "momentum_decay")


@dataclass(frozen=True)
class Lion(Optimizer):
    """Steps by the sign of a running mean of the gradient.

    Parameters
    ----------
    learning_rate : float or Schedule, default 1e-4
        Greater than 0; every parameter moves by this much in each step.
    beta1, beta2 : float, default 0.9 and 0.99
        Share of the running mean in the step, and its decay, in [0, 1).
    weight_decay : float, default 0.0
        Decoupled: weights are multiplied by 1 - learning_rate * weight_decay before the step.

    References
    ----------
    X. Chen et al., "Symbolic Discovery of Optimization Algorithms", NeurIPS 2023.
    """

    learning_rate: float | Schedule = 1e-4
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.0
    name: ClassVar[str] = "lion"
    kernel: ClassVar[str] = "lion"
    hyperparameters: ClassVar[tuple[str, ...]] = ("beta1", "beta2")


@dataclass(frozen=True)
class LBFGS(Optimizer):
    """L-BFGS with a line search that satisfies the strong Wolfe conditions; full batch.

    One iteration is one step and one epoch. The data is always one batch, and there can be no
    dropout. The training ends when no element of the gradient is larger than the tolerance.

    Parameters
    ----------
    learning_rate : float or Schedule, default 1.0
        Step length that a line search tries first, from the second iteration on.
    history : int, default 10
        Pairs of steps and gradient differences that are kept, in [1, 10000].
    gradient_tolerance : float, default 1e-6
        In the maximum norm; greater than 0.
    max_line_search : int, default 25
        Evaluations of the loss in one line search, in [1, 10000].

    References
    ----------
    J. Nocedal and S. J. Wright, "Numerical Optimization" (2006), algorithms 3.5, 3.6 and 7.5.
    """

    learning_rate: float | Schedule = 1.0
    history: int = 10
    gradient_tolerance: float = 1e-6
    max_line_search: int = 25
    name: ClassVar[str] = "lbfgs"
    kernel: ClassVar[str] = "lbfgs"
    hyperparameters: ClassVar[tuple[str, ...]] = (
        "history",
        "gradient_tolerance",
        "max_line_search",
    )


OPTIMIZERS: dict[str, type[Optimizer]] = {
    optimizer.name: optimizer
    for optimizer in (SGD, RMSprop, Adagrad, Adam, AdamW, NAdam, Lion, LBFGS)
}


def has_step(optimizer: Optimizer | type[Optimizer]) -> bool:
    """Return whether an optimizer takes steps of batches; else it searches lines with all rows."""
    return optimizer.kernel not in _core.line_searches()


def as_optimizer(value: str | Optimizer | None, argument: str = "optimizer") -> Optimizer:
    """Turn a name into an optimizer with default hyperparameters; None into Adam."""
    if value is None:
        return Adam()
    if isinstance(value, Optimizer):
        return value
    return OPTIMIZERS[_arguments.one_of(value, OPTIMIZERS, argument)]()
