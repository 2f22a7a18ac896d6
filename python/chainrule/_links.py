"""The links: what the outputs of a network trained with a loss mean.

The compiled module lists them (kernels/links.inc): their names, and how many outputs predict one
target. Each has a class here. A loss has its link, which scores, estimators and exports ask. The
exponentials are the core's: the same outputs give the same bits on every machine.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import _core, _validation
from ._repr import of_fields
from ._scores import Accuracy, Determination

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ._scores import Score

    # Floats of one dtype, in and out.
    Array = npt.NDArray[Any]

_OUTPUTS = _core.links()


@dataclass(frozen=True)
class Link(ABC):
    """What the outputs of a network mean; the base of the links that :attr:`Loss.link` returns.

    Attributes
    ----------
    name : str
        Its name in the list of links.
    outputs_per_target : int
        How many outputs predict one target.
    out_activation : str
        scikit-learn's name for what turns outputs into predictions.
    is_of_classes : bool
        Whether targets are classes or labels, and outputs logits.
    has_units : bool
        Whether outputs follow when targets are shifted and scaled; see :class:`WithUnits`.
    has_deviations : bool
        Whether outputs predict standard deviations too; see :meth:`deviations`.
    """

    name: ClassVar[str]
    out_activation: ClassVar[str] = "identity"
    is_of_classes: ClassVar[bool] = False
    has_units: ClassVar[bool] = False
    has_deviations: ClassVar[bool] = False

    @classmethod
    def of_values(cls, values: Sequence[float]) -> Link:
        """Make the link of a loss that has such values (levels of quantiles)."""
        return cls()

    @property
    def outputs_per_target(self) -> int:
        """How many outputs predict one target."""
        n = _OUTPUTS[self.name]
        assert n is not None
        return n

    def predictions(self, outputs: npt.ArrayLike) -> Array:
        """Compute what the outputs predict.

        Parameters
        ----------
        outputs : array_like, shape (batch_size, n_outputs)
            Outputs of a network, as :meth:`MLP.predict` returns them.

        Returns
        -------
        ndarray, shape (batch_size, n_targets)
            One number for each target: a mean, a rate, a probability. Several quantiles add an
            axis.

        Raises
        ------
        ValueError, TypeError
            For what cannot be outputs.
        """
        return self._predictions(self._checked(outputs))

    def _predictions(self, outputs: Array) -> Array:
        return outputs

    def deviations(self, outputs: npt.ArrayLike) -> Array:
        """Compute the standard deviations that the outputs predict.

        Parameters
        ----------
        outputs : array_like, shape (batch_size, n_outputs)
            Outputs of a network, as :meth:`MLP.predict` returns them.

        Returns
        -------
        ndarray, shape (batch_size, n_targets)
            A number >= 0 for each target.

        Raises
        ------
        ValueError, TypeError
            For what cannot be outputs, and unless `has_deviations`.
        """
        raise ValueError(f"the outputs of {self} predict no standard deviations")

    def _checked(self, value: npt.ArrayLike) -> Array:
        array = _validation.numeric_array(value, "outputs")
        if array.dtype != np.float32:
            array = _validation.convert(array, np.dtype(np.float64))
        if array.ndim != 2:
            raise ValueError(f"outputs must be a 2-D array, got shape {array.shape}")
        if array.shape[1] % self.outputs_per_target:
            raise ValueError(
                f"outputs must have a multiple of {self.outputs_per_target} columns for {self}, "
                f"got shape {array.shape}"
            )
        return array

    def shape(self, out_features: int) -> tuple[int, ...]:
        """Return the shape of the predictions for one row of outputs."""
        return (out_features // self.outputs_per_target,)

    def terms(self, out_features: int) -> int:
        """Return of how many terms the loss of a row is the mean."""
        return out_features

    def score(self, out_features: int) -> Score | None:
        """Return a new accumulator of the score, or None where there is none."""
        return Determination(self.predictions)

    def gradient(self, outputs: Array, column: int | None) -> Array:
        """Return the derivative of what one column predicts with respect to all outputs.

        Parameters
        ----------
        outputs : ndarray, shape (batch_size, n_outputs)
            Outputs of a network.
        column : int or None
            Of the outputs; of classes None is the most probable class of each row.

        Returns
        -------
        ndarray, shape (batch_size, n_outputs)
            The derivatives.
        """
        gradient = np.zeros_like(outputs)
        gradient[:, column] = 1
        return gradient

    @abstractmethod
    def texts(self, out_features: int) -> list[str]:
        """Say of each output what it is."""


class WithUnits(Link):
    """Outputs, or logarithms of their scale, have the units of targets."""

    has_units = True

    @abstractmethod
    def in_units(self, means: Array, deviations: Array) -> tuple[Array, Array]:
        """Return by what outputs for standardized targets become outputs for the targets.

        Parameters
        ----------
        means, deviations : ndarray, shape (n_targets,)
            By which the targets were standardized.

        Returns
        -------
        factors, offsets : ndarray, shape (n_outputs,)
            Outputs for the targets are outputs * factors + offsets.
        """


class Identity(WithUnits):
    """Outputs are targets."""

    name = "identity"

    def in_units(self, means: Array, deviations: Array) -> tuple[Array, Array]:
        """Return deviations and means."""
        return deviations, means

    def texts(self, out_features: int) -> list[str]:
        """Say of each output which target it is."""
        return [f"target {i}" for i in range(out_features)]


class Exp(Link):
    """Outputs are logarithms of targets."""

    name = "exp"
    out_activation = "exp"

    def _predictions(self, outputs: Array) -> Array:
        return _apply("exp", outputs)

    def score(self, out_features: int) -> Score:
        """Return a new accumulator of R^2 of the exponentials."""
        # By NumPy's, not by `predictions`: scores in files and histories keep their bits.
        return Determination(np.exp)

    def gradient(self, outputs: Array, column: int | None) -> Array:
        """Return the derivative of the exponential of a column."""
        gradient = np.zeros_like(outputs)
        gradient[:, column] = self._predictions(outputs)[:, column]
        return gradient

    def texts(self, out_features: int) -> list[str]:
        """Say of each output which target's logarithm it is."""
        return [f"logarithm of target {i}" for i in range(out_features)]


class OfClasses(Link):
    """Outputs are logits of classes or labels: base of softmax and sigmoid."""

    is_of_classes = True

    @abstractmethod
    def log_predictions(self, outputs: Array) -> Array:
        """Return logarithms of probabilities, finite where a probability is 0 in the dtype."""

    def texts(self, out_features: int) -> list[str]:
        """Say of each output which class's logit it is."""
        return [f"logit of class {i}" for i in range(out_features)]


class Softmax(OfClasses):
    """Outputs are logits of classes that exclude each other: probabilities are their softmax."""

    name = "softmax"
    out_activation = "softmax"

    def _predictions(self, outputs: Array) -> Array:
        powers = _apply("exp", outputs - outputs.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def log_predictions(self, outputs: Array) -> Array:
        """Return logarithms of probabilities, finite where a probability is 0 in the dtype."""
        shifted = outputs - outputs.max(axis=1, keepdims=True)
        return np.asarray(shifted - logarithm(_apply("exp", shifted).sum(axis=1, keepdims=True)))

    def gradient(self, outputs: Array, column: int | None) -> Array:
        """Return the derivative of one probability of each row."""
        p = self._predictions(outputs)
        is_chosen = chosen_columns(p, column)
        gradient = p[is_chosen][:, np.newaxis] * (is_chosen - p)
        return np.asarray(gradient, outputs.dtype)

    def terms(self, out_features: int) -> int:
        """Return 1: the loss of a row is a sum over the classes."""
        return 1

    def score(self, out_features: int) -> Score:
        """Return a new accumulator of the accuracy."""
        return Accuracy(binary=False)


class Sigmoid(OfClasses):
    """Outputs are logits of labels, each separate: probabilities are their sigmoid."""

    name = "sigmoid"
    out_activation = "logistic"

    def _predictions(self, outputs: Array) -> Array:
        return _apply("sigmoid", outputs)

    def log_predictions(self, outputs: Array) -> Array:
        """Return logarithms of probabilities, finite where a probability is 0 in the dtype."""
        return np.asarray(-_apply("softplus", -outputs))

    def gradient(self, outputs: Array, column: int | None) -> Array:
        """Return the derivative of one probability of each row."""
        p = self._predictions(outputs)
        return np.asarray(p * (1 - p) * chosen_columns(p, column), outputs.dtype)

    def score(self, out_features: int) -> Score:
        """Return a new accumulator of the accuracy."""
        return Accuracy(binary=True)


class Gaussian(WithUnits):
    """Outputs are the means of all targets, then the logarithms of their variances."""

    name = "gaussian"
    has_deviations = True

    def _predictions(self, outputs: Array) -> Array:
        return outputs[:, : outputs.shape[1] // 2]

    def deviations(self, outputs: npt.ArrayLike) -> Array:
        """Compute the standard deviations that the outputs predict; see :meth:`Link.deviations`."""
        checked = self._checked(outputs)
        log_variances = checked[:, checked.shape[1] // 2 :]
        return np.asarray(np.sqrt(_apply("exp", log_variances)))

    def terms(self, out_features: int) -> int:
        """Return the number of targets: a mean and a variance make one term."""
        return out_features // 2

    def in_units(self, means: Array, deviations: Array) -> tuple[Array, Array]:
        """Return factors and offsets; logarithms of variances move by those of the factors."""
        factors = np.concatenate([deviations, np.ones_like(deviations)])
        return factors, np.concatenate([means, 2 * np.log(deviations)])

    def texts(self, out_features: int) -> list[str]:
        """Say of each output which target's mean or log variance it is."""
        parts = ("mean", "logarithm of the variance")
        return [f"{part} of target {i}" for part in parts for i in range(out_features // 2)]


@dataclass(frozen=True)
class Quantiles(WithUnits):
    """Outputs are quantiles of the targets: all levels of the first target, then of the next.

    Attributes
    ----------
    levels : tuple of float
        The levels, each between 0 and 1.
    """

    levels: tuple[float, ...]
    name = "quantiles"
    __repr__ = of_fields

    @classmethod
    def of_values(cls, values: Sequence[float]) -> Link:
        """Make the link of quantiles of such levels."""
        return cls(tuple(values))

    @property
    def outputs_per_target(self) -> int:
        """How many levels there are."""
        return len(self.levels)

    def _predictions(self, outputs: Array) -> Array:
        return outputs.reshape(len(outputs), *self.shape(outputs.shape[1]))

    def shape(self, out_features: int) -> tuple[int, ...]:
        """Return (n_targets, n_levels), or (n_targets,) for one level."""
        n_targets, n_levels = out_features // len(self.levels), len(self.levels)
        return (n_targets, n_levels) if n_levels > 1 else (n_targets,)

    def score(self, out_features: int) -> Score | None:
        """Return None: a quantile has no score of general use."""
        return None

    def in_units(self, means: Array, deviations: Array) -> tuple[Array, Array]:
        """Return deviations and means, once for each level."""
        return np.repeat(deviations, len(self.levels)), np.repeat(means, len(self.levels))

    def texts(self, out_features: int) -> list[str]:
        """Say of each output which level of which target it is."""
        targets = range(out_features // len(self.levels))
        return [f"quantile {level!r} of target {i}" for i in targets for level in self.levels]


_CLASSES: dict[str, type[Link]] = {
    link.name: link for link in (Identity, Exp, Softmax, Sigmoid, Gaussian, Quantiles)
}
# By name, in the order of the list.
LINKS: dict[str, type[Link]] = {name: _CLASSES[name] for name in _OUTPUTS}


def link_of_fit(link: Link | None, out_activation: str) -> Link:
    """Return the link of a fitted estimator.

    Parameters
    ----------
    link : Link or None
        That of its loss, where this is known; the loss may have been replaced since the fit.
    out_activation : str
        What the fit wrote down.

    Returns
    -------
    Link
        `link`, or the first in the list with such an out_activation; else the identity.
    """
    if link is not None and link.out_activation == out_activation:
        return link
    return next((c for c in LINKS.values() if c.out_activation == out_activation), Identity)()


def chosen_columns(probabilities: Array, column: int | None) -> npt.NDArray[np.bool_]:
    """Return a mask of one column, or for None of the largest element of each row."""
    n_rows, n_columns = probabilities.shape
    columns = probabilities.argmax(axis=1) if column is None else np.full(n_rows, column)
    return np.asarray(columns[:, np.newaxis] == np.arange(n_columns))


def logarithm(x: Array) -> Array:
    """Return logarithms, the core's own."""
    return _apply("log", x)


def _apply(name: str, x: Array) -> Array:
    x = np.ascontiguousarray(x)
    if name in ("exp", "log"):
        return _core.math_function(name, x, None)
    return _core.activation_forward(name, 0.0, x, None)
