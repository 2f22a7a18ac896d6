"""The losses over plain arrays: value and gradient."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Protocol

from .. import _arguments, _core, _validation
from .._losses import LOSSES
from ._arrays import inputs
from ._naming import named

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from .._loss import Loss
    from .._typing import Floats, Reduction


class LossKernel(Protocol):
    """What the loss functions look like to a type checker."""

    __name__: str

    def __call__(
        self,
        outputs: npt.ArrayLike,
        targets: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        reduction: Reduction = "mean",
        out: npt.NDArray[Any] | None = None,
        **parameters: float | Sequence[float] | None,
    ) -> tuple[float, Floats]:
        """Compute the loss and its gradient with respect to the outputs."""


_DOC = """Compute {name} and its gradient.

    Parameters
    ----------
    outputs : array_like, shape (batch_size, n_outputs)
        Outputs of a model.
    targets : array_like
        One row for each row of `outputs`; see :class:`chainrule.{cls}`.
    sample_weight : array_like, shape (batch_size,), optional
        A weight >= 0 for each row.
    reduction : {{"mean", "sum"}}, default "mean"
        Weighted mean over the rows (and mean over the columns), or weighted sum over all.
    out : ndarray, shape (batch_size, n_outputs), optional
        Where to write the gradient: C-contiguous, of the dtype of `outputs`, apart from it.
    **parameters
        Those of :class:`chainrule.{cls}`.

    Returns
    -------
    value : float
        The loss.
    gradient : ndarray, shape (batch_size, n_outputs)
        `out`, or a new array: the gradient with respect to `outputs`.

    Raises
    ------
    ValueError, TypeError
        For invalid arguments.
    """


def _loss(cls: type[Loss]) -> LossKernel:
    def kernel(
        outputs: npt.ArrayLike,
        targets: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        reduction: Reduction = "mean",
        out: npt.NDArray[Any] | None = None,
        **parameters: Any,
    ) -> tuple[float, Floats]:
        loss = cls(**parameters)
        (outputs_,) = inputs(outputs=outputs)
        if outputs_.ndim != 2:
            raise ValueError(f"outputs must be a 2-D array, got shape {outputs_.shape}")
        n_rows, n_outputs = outputs_.shape
        checked = loss.targets(targets, outputs_.dtype, n_rows, n_outputs, "targets")
        weights = _validation.sample_weights(sample_weight, outputs_.dtype, n_rows)
        _arguments.one_of(reduction, ("mean", "sum"), "reduction")
        return _core.loss_and_gradient(loss.spec(), outputs_, checked, weights, reduction, out)

    defaults = {field.name: field.default for field in fields(cls)}  # type: ignore[arg-type]
    doc = _DOC.format(name=cls.name, cls=cls.__name__)
    made_kernel: LossKernel = named(kernel, cls.name, doc, defaults)
    return made_kernel


def made() -> dict[str, LossKernel]:
    """Make a function of each loss."""
    return {name: _loss(cls) for name, cls in LOSSES.items()}
