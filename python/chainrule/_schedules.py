"""Learning-rate schedules: small frozen dataclasses; the values are computed in C++."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from . import _arguments, _core

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True)
class Schedule:
    """Base of the schedules; never used directly.

    Parameters
    ----------
    learning_rate : float
        The learning rate that the schedule starts from (for :class:`OneCycle` its peak); greater
        than 0.
    """

    learning_rate: float
    name: ClassVar[str]
    parameters: ClassVar[tuple[str, ...]] = ()  # in the order of the compiled module
    needs_epochs: ClassVar[bool] = False  # whether the rate depends on epochs, not only on steps
    needs_total: ClassVar[bool] = False  # whether the rate depends on the number of epochs

    def __post_init__(self) -> None:
        self._check("learning_rate", above=0.0)

    def _check(
        self,
        field: str,
        *,
        minimum: float | None = None,
        above: float | None = None,
        below: float | None = None,
        maximum: float | None = None,
    ) -> None:
        value = _arguments.number(
            getattr(self, field), field, minimum=minimum, above=above, below=below, maximum=maximum
        )
        object.__setattr__(self, field, value)

    def _check_integer(self, field: str, minimum: int) -> None:
        object.__setattr__(self, field, _arguments.integer(getattr(self, field), field, minimum))

    def spec(self) -> _core.ScheduleSpec:
        """Return what the compiled module takes."""
        values = [float(getattr(self, field)) for field in self.parameters]
        return _core.ScheduleSpec(self.name, self.learning_rate, values)

    def values(self, steps_per_epoch: int, epochs: int) -> npt.NDArray[np.float64]:
        """Return the learning rate of every step of a training.

        Parameters
        ----------
        steps_per_epoch : int
            Batches in an epoch, at least 1.
        epochs : int
            Epochs of the training, at least 1.

        Returns
        -------
        ndarray of float64, shape (steps_per_epoch * epochs,)
            Learning rates. :class:`ReduceOnPlateau` depends on the course of a training: here it
            keeps its first value.

        Examples
        --------
        >>> import chainrule as cr
        >>> cr.StepDecay(0.1, every=2, factor=0.5).values(steps_per_epoch=1, epochs=5)
        array([0.1  , 0.1  , 0.05 , 0.05 , 0.025])
        """
        steps_per_epoch = _arguments.integer(steps_per_epoch, "steps_per_epoch", 1)
        total = steps_per_epoch * _arguments.integer(epochs, "epochs", 1)
        _arguments.integer(total, "steps_per_epoch * epochs")
        spec = self.spec()
        rates = (_core.schedule_value(spec, t, steps_per_epoch, total) for t in range(total))
        return np.fromiter(rates, np.float64, total)


@dataclass(frozen=True)
class Constant(Schedule):
    """The same learning rate throughout; a plain float means this.

    Parameters
    ----------
    learning_rate : float
        Greater than 0.
    """

    name: ClassVar[str] = "constant"


@dataclass(frozen=True)
class StepDecay(Schedule):
    """learning_rate * factor ** (epoch // every).

    Parameters
    ----------
    learning_rate : float
        Of the first epoch; greater than 0.
    every : int, default 10
        Epochs between two decays, at least 1.
    factor : float, default 0.1
        In (0, 1].
    """

    every: int = 10
    factor: float = 0.1
    name: ClassVar[str] = "step"
    needs_epochs: ClassVar[bool] = True
    parameters: ClassVar[tuple[str, ...]] = ("every", "factor")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_integer("every", 1)
        self._check("factor", above=0.0, maximum=1.0)


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """learning_rate * decay ** epoch.

    Parameters
    ----------
    learning_rate : float
        Of the first epoch; greater than 0.
    decay : float, default 0.95
        In (0, 1].
    """

    decay: float = 0.95
    name: ClassVar[str] = "exponential"
    needs_epochs: ClassVar[bool] = True
    parameters: ClassVar[tuple[str, ...]] = ("decay",)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("decay", above=0.0, maximum=1.0)


@dataclass(frozen=True)
class InverseScaling(Schedule):
    """learning_rate / step ** power, where the first step is 1.

    Parameters
    ----------
    learning_rate : float
        Of the first step; greater than 0.
    power : float, default 0.5
        At least 0.
    """

    power: float = 0.5
    name: ClassVar[str] = "inverse_scaling"
    parameters: ClassVar[tuple[str, ...]] = ("power",)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("power", minimum=0.0)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Linear warm-up, then half a cosine down to a share of the learning rate.

    Parameters
    ----------
    learning_rate : float
        At the end of the warm-up; greater than 0.
    warmup_fraction : float, default 0.0
        Share of the steps that warm up, in [0, 1).
    final_fraction : float, default 0.0
        Share of the learning rate that is left at the end, in [0, 1].

    References
    ----------
    I. Loshchilov and F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017.
    """

    warmup_fraction: float = 0.0
    final_fraction: float = 0.0
    name: ClassVar[str] = "cosine"
    needs_epochs: ClassVar[bool] = True
    needs_total: ClassVar[bool] = True
    parameters: ClassVar[tuple[str, ...]] = ("warmup_fraction", "final_fraction")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("warmup_fraction", minimum=0.0, below=1.0)
        self._check("final_fraction", minimum=0.0, maximum=1.0)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Half a cosine up to the peak, then half a cosine down to nearly nothing.

    Starts at learning_rate / initial_divisor and ends at
    learning_rate / initial_divisor / final_divisor.

    Parameters
    ----------
    learning_rate : float
        The peak; greater than 0.
    up_fraction : float, default 0.3
        Share of the steps that go up, between 0 and 1 (both excluded).
    initial_divisor : float, default 25.0
        At least 1.
    final_divisor : float, default 1e4
        At least 1.

    References
    ----------
    L. N. Smith and N. Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large
    Learning Rates" (2017).
    """

    up_fraction: float = 0.3
    initial_divisor: float = 25.0
    final_divisor: float = 1e4
    name: ClassVar[str] = "one_cycle"
    needs_epochs: ClassVar[bool] = True
    needs_total: ClassVar[bool] = True
    parameters: ClassVar[tuple[str, ...]] = ("up_fraction", "initial_divisor", "final_divisor")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("up_fraction", above=0.0, below=1.0)
        self._check("initial_divisor", minimum=1.0)
        self._check("final_divisor", minimum=1.0)


@dataclass(frozen=True)
class ReduceOnPlateau(Schedule):
    """Multiplies the learning rate by `factor` when the loss has stopped to fall.

    Watches the validation loss when there is validation data, else the training loss.

    Parameters
    ----------
    learning_rate : float
        Of the first epoch; greater than 0.
    factor : float, default 0.1
        Between 0 and 1 (both excluded).
    patience : int, default 10
        After this many epochs without a better loss the learning rate is reduced; at least 1.
    min_learning_rate : float, default 0.0
        Never reduced below this; at least 0, at most `learning_rate`.
    min_delta : float, default 1e-4
        A loss is better when it is lower by more than this; at least 0.
    """

    factor: float = 0.1
    patience: int = 10
    min_learning_rate: float = 0.0
    min_delta: float = 1e-4
    name: ClassVar[str] = "reduce_on_plateau"
    parameters: ClassVar[tuple[str, ...]] = (
        "factor",
        "patience",
        "min_learning_rate",
        "min_delta",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("factor", above=0.0, below=1.0)
        self._check_integer("patience", 1)
        self._check("min_learning_rate", minimum=0.0, maximum=self.learning_rate)
        self._check("min_delta", minimum=0.0)
