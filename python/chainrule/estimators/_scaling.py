"""The parameter `standardize`: of X by a layer of the network, of y around a fit.

Called by the estimators' base. A fit to standardized targets ends in a network whose last layer
takes them back, so that predictions, files and exports know nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._layers import Standardize
from .._links import WithUnits
from .._scale import found_in_x, found_in_y, largest_target, odd_columns, warn
from .._training import Trainer
from ._state import attach

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._loss import Loss
    from .._mlp import MLP
    from .._typing import Floats
    from ._data import Rows

_CURE = "standardize='auto' standardizes them"
# Where an estimator holds by what the targets of the fit at work on it are standardized.
_SCALE = "_scale_at_work"


def input_layers(estimator: Any, x: Floats, warns: bool) -> list[Standardize]:
    """Return the layer that standardizes X, in a list, or none; warn where it is missing."""
    if estimator.standardize is True:
        return [Standardize()]
    found = odd_columns(x)
    if found is None:
        return []
    if estimator.standardize == "auto":
        return [Standardize()]
    if warns:
        names = getattr(estimator, "feature_names_in_", None)
        warn(f"{found_in_x(found, x.shape[1], names)}. {_CURE}, or a StandardScaler before it")
    return []


class TargetScale(NamedTuple):
    """Means and standard deviations of the columns of y; a constant one has the deviation 1."""

    means: npt.NDArray[np.float64]
    deviations: npt.NDArray[np.float64]

    def of_rows(self, rows: Rows) -> Rows:
        """Return rows with standardized targets."""
        return rows._replace(targets=(rows.targets - self.means) / self.deviations)

    def put_into(self, model: MLP, loss: Loss, *, inverse: bool = False) -> None:
        """Let the last layer turn standardized outputs into those of y, or the other way round."""
        weight, bias = model.weights[-1], model.biases[-1]
        assert bias is not None
        link = loss.link
        assert isinstance(link, WithUnits)
        factors, offsets = link.in_units(*self)
        if inverse:
            weight[:] = weight / factors
            bias[:] = (bias - offsets) / factors
        else:
            weight[:] = weight * factors
            bias[:] = bias * factors + offsets


def target_scale(
    choice: bool | str,
    loss: Loss,
    targets: npt.NDArray[Any],
    dtype: np.dtype[Any],
    *,
    warns: bool,
) -> TargetScale | None:
    """Return by what targets are standardized, None for not at all; warn where it is missing."""
    limit = largest_target(loss)
    if limit is None:
        return None
    if choice is not True:
        found = odd_columns(targets, limit)
        if found is None:
            return None
        if choice is False:
            if warns:
                warn(f"{found_in_y(found)}. {_CURE}, or scikit-learn's TransformedTargetRegressor")
            return None
    first = targets[0].astype(np.float64)
    varies = (targets != targets[0]).any(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        means = np.where(varies, targets.mean(axis=0, dtype=np.float64), first)
        deviations = np.where(varies, targets.std(axis=0, dtype=np.float64), 1.0)
        fits = np.isfinite(np.array([means, deviations]).astype(dtype)).all()
    if not fits or (deviations == 0).any():
        raise ValueError(
            f"y must have means and standard deviations within {dtype} to be standardized, "
            f"got {means} +- {deviations}"
        )
    return TargetScale(means, deviations)


@contextmanager
def scaled_targets(
    estimator: Any, scale: TargetScale | None, rows: Rows, sets: list[Rows], is_first: bool
) -> Iterator[tuple[Rows, list[Rows]]]:
    """Give what a fit trains on and evaluates; afterwards the network predicts y as it was."""
    if scale is None:
        yield rows, sets
        return
    loss = estimator._objective().loss
    if not is_first:  # others predict by the last fit's network until this one ends
        attach(estimator, estimator.model_.copy())
        scale.put_into(estimator.model_, loss, inverse=True)
    scaled = scale.of_rows(rows), [scale.of_rows(part) for part in sets]
    vars(estimator)[_SCALE] = scale
    try:
        yield scaled
    finally:
        scale.put_into(estimator.model_, loss)
        _renew_trainer(estimator)
        del vars(estimator)[_SCALE]


def is_in_other_units(estimator: Any) -> bool:
    """Return whether the network predicts standardized targets, or is on the way from there."""
    return _SCALE in vars(estimator)


def in_units_of_y(estimator: Any) -> Any:
    """Return an estimator, within `scaled_targets` a copy, whose network predicts y as it was."""
    state = vars(estimator).copy()
    scale = state.pop(_SCALE, None)
    if scale is None:
        return estimator
    whole = object.__new__(type(estimator))
    whole.__dict__ = state
    attach(whole, estimator.model_.copy())
    scale.put_into(whole.model_, estimator._objective().loss)
    _renew_trainer(whole)
    return whole


def _renew_trainer(estimator: Any) -> None:
    """Make a new trainer: the optimizer's state of the last one is that of another last layer."""
    last = estimator._trainer
    if last is not None:
        estimator._trainer = Trainer(estimator.model_, **vars(last._settings))
        estimator._trainer._state.history = last.history
