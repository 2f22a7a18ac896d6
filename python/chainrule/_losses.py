"""The losses: small frozen dataclasses, each named in kernels/losses.inc of the C++ source.

A loss knows its parameters and its targets; its link knows what outputs mean. The compiled module
has the arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import _arguments, _core
from ._loss import Loss, listed
from ._repr import of_fields

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ._typing import Floats, Labels


@dataclass(frozen=True)
class MSE(Loss):
    """Mean squared error, (p - y)^2.

    Rows and columns are averaged under "mean" and summed under "sum".

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.MSE()
    MSE()
    """

    name: ClassVar[str] = "mse"


@dataclass(frozen=True)
class MAE(Loss):
    """Mean absolute error, abs(p - y), with derivative 0 at 0."""

    name: ClassVar[str] = "mae"


@dataclass(frozen=True)
class Huber(Loss):
    """Huber's loss: squares small errors, grows linearly for large ones.

    With d = p - y: d^2 / 2 where abs(d) <= delta, delta * (abs(d) - delta / 2) elsewhere.

    Parameters
    ----------
    delta : float, default 1.0
        Where the two pieces meet, in units of the target; greater than 0.

    References
    ----------
    P. J. Huber, "Robust Estimation of a Location Parameter", Ann. Math. Statist. 35 (1964).
    """

    delta: float = 1.0
    name: ClassVar[str] = "huber"

    def __post_init__(self) -> None:
        object.__setattr__(self, "delta", _arguments.number(self.delta, "delta", above=0.0))

    def spec(self) -> _core.LossSpec:
        """Return what the compiled module takes."""
        return _core.LossSpec(self.name, self.delta)


@dataclass(frozen=True)
class Quantile(Loss):
    """Pinball loss of one or several quantiles: max(tau * e, (tau - 1) * e) with e = y - p.

    A model for t targets and Q levels has t * Q outputs; output j * Q + q predicts level q of
    target j. There is no score.

    Parameters
    ----------
    levels : sequence of float, default (0.5,)
        The quantiles, each between 0 and 1 (both excluded).

    References
    ----------
    R. Koenker and G. Bassett, "Regression Quantiles", Econometrica 46 (1978).

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.Quantile([0.1, 0.5, 0.9])
    Quantile(levels=(0.1, 0.5, 0.9))
    """

    levels: Sequence[float] = (0.5,)
    name: ClassVar[str] = "quantile"
    __repr__ = of_fields

    def __post_init__(self) -> None:
        levels = _arguments.numbers_tuple(self.levels, "levels", above=0.0, below=1.0)
        object.__setattr__(self, "levels", levels)

    def spec(self) -> _core.LossSpec:
        """Return what the compiled module takes."""
        return _core.LossSpec(self.name, values=self.levels)

    def _values(self) -> Sequence[float]:
        return self.levels


@dataclass(frozen=True)
class BinaryCrossEntropy(Loss):
    """Binary cross-entropy of logits z: softplus(z) - y * z, for each output column separately.

    Targets are in [0, 1]: labels or probabilities. The score is the share of elements predicted on
    the correct side of 1/2.
    """

    name: ClassVar[str] = "binary_cross_entropy"
    target_range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """Cross-entropy of softmax(outputs): the outputs are logits, one for each class.

    Targets are labels, integers of shape (batch_size,), or probabilities of shape
    (batch_size, n_classes). With q the (smoothed) target and w the class weights, a row's loss is
    -sum_c w_c q_c log softmax(z)_c. "mean" divides by the sum of the class weights of the rows'
    labels (for probabilities by the number of rows), each times the sample weight, as PyTorch's
    ``CrossEntropyLoss`` does. The score is the accuracy.

    Parameters
    ----------
    label_smoothing : float, default 0.0
        Share of each target that is spread evenly over all classes, in [0, 1).
    class_weight : sequence of float, optional
        One weight >= 0 for each class, not all 0.

    References
    ----------
    C. Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016, for
    label smoothing.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.CrossEntropy(label_smoothing=0.1, class_weight=[1, 2])
    CrossEntropy(label_smoothing=0.1, class_weight=(1.0, 2.0))
    """

    label_smoothing: float = 0.0
    class_weight: Sequence[float] | None = None
    name: ClassVar[str] = "cross_entropy"
    __repr__ = of_fields

    def __post_init__(self) -> None:
        smoothing = _arguments.number(
            self.label_smoothing, "label_smoothing", minimum=0.0, below=1.0
        )
        object.__setattr__(self, "label_smoothing", smoothing)
        if self.class_weight is not None:
            weights = _arguments.numbers_tuple(self.class_weight, "class_weight", minimum=0.0)
            if not any(weights):
                raise ValueError("class_weight must hold a positive weight, got zeros only")
            object.__setattr__(self, "class_weight", weights)

    def spec(self) -> _core.LossSpec:
        """Return what the compiled module takes."""
        return _core.LossSpec(self.name, self.label_smoothing, self.class_weight or ())

    def n_targets(self, out_features: int) -> int:
        """Return the number of classes, which equals the number of outputs."""
        if out_features < 2:
            raise ValueError(
                f"the model must have at least 2 outputs for cross_entropy, got {out_features}; "
                "use binary_cross_entropy for two classes and one output"
            )
        if self.class_weight is not None and len(self.class_weight) != out_features:
            raise ValueError(
                f"class_weight must hold one weight for each of the {out_features} outputs, "
                f"got {len(self.class_weight)}"
            )
        return out_features

    def row_weights(
        self, targets: Floats | Labels, sample_weight: Floats | None
    ) -> npt.NDArray[np.floating[Any]] | None:
        """Return the weights by which "mean" averages rows, including weights of labels."""
        if self.class_weight is None or targets.ndim == 2:
            return sample_weight
        of_labels = np.asarray(self.class_weight)[targets]
        return of_labels if sample_weight is None else of_labels * sample_weight


@dataclass(frozen=True)
class Poisson(Loss):
    """Poisson deviance, up to a constant, for counts: exp(z) - y * z, the output z = log(rate).

    Targets are >= 0. The score is R^2 of the rate exp(z).
    """

    name: ClassVar[str] = "poisson"
    target_range: ClassVar[tuple[float | None, float | None]] = (0.0, None)


@dataclass(frozen=True)
class GaussianNLL(Loss):
    """Negative log likelihood of a normal distribution, up to a constant.

    A model for t targets has 2 * t outputs: t means, then t log variances s. The loss of an element
    is (s + (y - mean)^2 * exp(-s)) / 2. The score is R^2 of the mean.

    References
    ----------
    D. A. Nix and A. S. Weigend, "Estimating the Mean and Variance of the Target Probability
    Distribution", ICNN 1994.
    """

    name: ClassVar[str] = "gaussian_nll"
    largest_target: ClassVar[float] = 30.0

    def n_targets(self, out_features: int) -> int:
        """Return how many target columns go with a model of `out_features` outputs."""
        if out_features % 2:
            raise ValueError(
                "the model must have two outputs (mean, log variance) for each target of "
                f"gaussian_nll, got {out_features} outputs"
            )
        return out_features // 2


_WRITTEN: dict[str, type[Loss]] = {
    loss.name: loss
    for loss in (
        MSE,
        MAE,
        Huber,
        Quantile,
        BinaryCrossEntropy,
        CrossEntropy,
        Poisson,
        GaussianNLL,
    )
}


# By name; a loss that is new in the list of the compiled module is here without more ado.
LOSSES: dict[str, type[Loss]] = {
    name: _WRITTEN.get(name) or listed(name, info) for name, info in _core.losses().items()
}


def as_loss(value: str | Loss, argument: str = "loss") -> Loss:
    """Turn a name into a loss with default parameters; a loss stays what it is."""
    if isinstance(value, Loss):
        return value
    return LOSSES[_arguments.one_of(value, LOSSES, argument)]()
