"""Columns by whose scale a network hardly learns: found in a sample of rows, and warned of.

Called by fits: the core's, and the estimators', which know the names of columns. The bounds were
measured: with 8 columns, widths of 64 and 64, Adam and 700 steps, R^2 is 0.83 with all columns
standard; 0.63 with one of deviation 100, 0.41 with 300, 0.05 with 1000; 0.42, as without the
column, with 0.01; 0.36 with a mean of 30 deviations. Targets of deviation 300 give 0.70, 1000 0.64,
10^6 0.01, and 0.01 less than -100, as does a mean of 100 deviations; by gaussian_nll, 10 gives 0.55
and 30 gives 0.06.
"""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ._errors import ScaleWarning

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ._evaluation import Dataset
    from ._loss import Loss
    from ._mlp import MLP

_ROWS, _ELEMENTS = 512, 2**18  # of the sample, at most; 8 rows at least
_GOLDEN = 0.5 * (5**0.5 - 1)
_LARGEST = 256.0
_SMALLEST = 0.01
_FARTHEST, _FAR = 30.0, 10.0
_NAMED = 5

# Of whom a warning does not speak: it shows the line that called one of them.
_INNER = ("chainrule", "sklearn", "joblib")


class OddColumns(NamedTuple):
    """Columns with a scale that needs a cure, their means and standard deviations."""

    indices: npt.NDArray[np.intp]
    means: npt.NDArray[np.float64]
    deviations: npt.NDArray[np.float64]

    def listed(self, names: Sequence[str] | None = None) -> str:
        """Return names, means and deviations of the first few."""
        parts = [
            f"{f'column {j}' if names is None else repr(names[j])} ({mean:.3g} +- {deviation:.3g})"
            for j, mean, deviation in zip(*self, strict=True)
        ]
        rest = len(parts) - _NAMED
        return ", ".join(parts[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def odd_columns(x: npt.NDArray[Any], largest_target: float | None = None) -> OddColumns | None:
    """Return the columns of finite numbers that :class:`ScaleWarning` is about, None for none.

    With `largest_target`, which see in _loss.py, they are targets.
    """
    is_target = largest_target is not None
    limit = _LARGEST if largest_target is None else largest_target
    n_rows = min(_ROWS, max(8, _ELEMENTS // x.shape[1]))
    if len(x) > n_rows:  # spread evenly, and in step with no period of the data
        x = x[(len(x) * (np.arange(n_rows) * _GOLDEN % 1.0)).astype(np.intp)]
    sample = x.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        means = sample.mean(axis=0)
        centered = sample - means
        deviations = np.sqrt(np.einsum("ij,ij->j", centered, centered) / len(sample))
        distances = np.abs(means)
        sizes = distances + deviations  # one to the root of two root mean squares
    is_suspect = ~(sizes <= limit)
    is_suspect |= (deviations if is_target else sizes) < 2 * _SMALLEST
    is_suspect |= distances > _FARTHEST * deviations
    odd = [
        int(j)
        for j in np.flatnonzero(is_suspect)
        if _is_odd(sample[:, j], means[j], deviations[j], limit, is_target)
    ]
    return OddColumns(np.array(odd), means[odd], deviations[odd]) if odd else None


def _is_odd(
    values: npt.NDArray[np.float64],
    mean: float,
    deviation: float,
    limit: float,
    is_target: bool,
) -> bool:
    low, high = values.min(), values.max()
    if low == high:
        return False
    if not np.hypot(mean, deviation) <= limit:
        return True
    if (deviation if is_target else max(-low, high)) < _SMALLEST:
        return True
    if abs(mean) <= max(_FARTHEST * deviation, 0.0 if is_target else _FAR):
        return False
    # Not of rare events, whose deviation is small because they are rare.
    return bool(max(np.mean(values == low), np.mean(values == high)) < 0.5)


def largest_target(loss: Loss) -> float | None:
    """Return the bound of :func:`odd_columns`, None where outputs have no units of targets."""
    return loss.largest_target if loss.link.has_units else None


def warn_of_scale(model: MLP, loss: Loss, data: Dataset) -> None:
    """Warn of columns of checked data, before a model is first trained by them."""
    if model.input_layer is None:
        found = odd_columns(data.x)
        if found is not None:
            n = model.in_features
            cure = f"Have them standardized: cr.MLP([{n}, cr.Standardize(), ...])"
            warn(f"{found_in_x(found, n)}. {cure}")
    limit = largest_target(loss)
    if limit is not None:
        found = odd_columns(data.targets, limit)
        if found is not None:
            cure = "Fit to (y - mean) / deviation, and take outputs * deviation + mean"
            warn(f"{found_in_y(found)}. {cure}")


def found_in_x(found: OddColumns, n_columns: int, names: Sequence[str] | None = None) -> str:
    """Say which columns of X were found."""
    return (
        f"a network hardly learns by columns of the scale that {len(found.indices)} of {n_columns} "
        f"in X have (mean +- standard deviation): {found.listed(names)}"
    )


def found_in_y(found: OddColumns) -> str:
    """Say which columns of y were found."""
    return (
        "a network hardly learns targets of the scale that y has (mean +- standard deviation): "
        f"{found.listed()}"
    )


def warn(text: str) -> None:
    """Warn, at the line that called this package or what stands around its estimators."""
    level = 1
    frame = sys._getframe()
    while frame.f_back is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.partition(".")[0] not in _INNER:
            break
        frame = frame.f_back
        level += 1
    warnings.warn(text, ScaleWarning, stacklevel=level)
