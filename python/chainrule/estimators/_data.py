"""The rows that an estimator is fitted to and evaluated on. Called by the estimators' base."""

from __future__ import annotations

from numbers import Number
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.sparse import issparse
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import check_array, check_consistent_length

from .. import _arguments
from .._evaluation import Dataset

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._typing import Floats


class Rows(NamedTuple):
    """Features, targets as the loss takes them, and weights."""

    x: Floats
    targets: npt.NDArray[Any]
    weights: Floats | None

    def weight(self) -> float:
        """Return the weight of all rows."""
        return len(self.x) if self.weights is None else float(self.weights.sum(dtype=np.float64))

    def given(self) -> tuple[Any, ...]:
        """Return what the core takes as `validation_data`."""
        return tuple(self) if self.weights is not None else (self.x, self.targets)

    def checked(self, dtype: np.dtype[Any]) -> Dataset:
        """Return what the core evaluates."""
        targets = self.targets
        if targets.dtype.kind == "f":
            targets = targets.astype(dtype, copy=False).reshape(len(targets), -1)
        return Dataset(self.x, targets, self.weights)

    def split(
        self,
        fraction: float,
        random_state: np.random.RandomState,
        stratify: npt.NDArray[Any] | None,
    ) -> tuple[Rows, Rows]:
        """Hold out a share of the rows, as scikit-learn's early stopping does."""
        parts = train_test_split(
            *(part for part in self if part is not None),
            random_state=random_state,
            test_size=fraction,
            stratify=stratify,
        )
        training, held_out = parts[0::2], parts[1::2]
        if len(held_out[0]) < 2:
            raise ValueError(
                "The validation set is too small: validation_fraction must hold out at least 2 "
                f"samples, got {fraction} of {len(self.x)}"
            )
        none = () if self.weights is not None else (None,)
        return Rows(*training, *none), Rows(*held_out, *none)


def dtypes(value: Any) -> Any:
    """Return what X is converted to: the parameter `dtype`, or what it is, float64 if neither."""
    return (np.float64, np.float32) if value is None else _arguments.float_dtype(value)


def row_weights(value: Any, X: Any, argument: str = "sample_weight") -> Floats | None:
    """Check weights: one number >= 0 for each row, or one for all."""
    if value is None:
        return None
    n_samples = X.shape[0]
    if isinstance(value, Number):
        value = np.full(n_samples, _arguments.number(value, argument, minimum=0.0))
    weights: Floats = check_array(value, ensure_2d=False, dtype=X.dtype, input_name=argument)
    if weights.ndim != 1:
        raise ValueError(f"{argument} must be a 1-D array or scalar, got shape {weights.shape}")
    if weights.shape != (n_samples,):
        raise ValueError(
            f"{argument} must be an array of shape ({n_samples},), one weight for each row of X, "
            f"got shape {weights.shape}"
        )
    return weights


def evaluation_sets(
    estimator: Any, eval_set: Any, eval_sample_weight: Any, dtype: np.dtype[Any]
) -> list[Rows]:
    """Check the arguments `eval_set` and `eval_sample_weight` of a fit."""
    if eval_set is None:
        if eval_sample_weight is not None:
            raise ValueError("eval_sample_weight must be None without an eval_set")
        return []
    is_one = isinstance(eval_set, tuple) and len(eval_set) == 2
    pairs = [eval_set] if is_one else eval_set
    is_list = isinstance(pairs, list | tuple) and len(pairs) > 0
    if not is_list or not all(isinstance(p, list | tuple) and len(p) == 2 for p in pairs):
        raise ValueError(
            "eval_set must be a tuple (X, y) or a list of such tuples, "
            f"got {_arguments.type_name(eval_set)}"
        )
    weights = eval_sample_weight
    if weights is None:
        weights = [None] * len(pairs)
    elif is_one and not (isinstance(weights, list) and len(weights) == 1):
        weights = [weights]
    if len(weights) != len(pairs):
        raise ValueError(
            f"eval_sample_weight must hold one array for each of the {len(pairs)} evaluation sets, "
            f"got {len(weights)}"
        )
    return [
        _evaluation_set(estimator, X, y, weight, dtype, f"[{i}]")
        for i, ((X, y), weight) in enumerate(zip(pairs, weights, strict=True))
    ]


def _evaluation_set(
    estimator: Any, X: Any, y: Any, weight: Any, dtype: np.dtype[Any], place: str
) -> Rows:
    checked = estimator._features(X, dtype)
    x = checked.toarray(order="C") if issparse(checked) else checked
    y = check_array(
        y, accept_sparse="csr", ensure_2d=False, dtype=None, input_name=f"eval_set{place}[1]"
    )
    check_consistent_length(x, y)
    targets = estimator._read_evaluation_targets(y)
    return Rows(x, targets, row_weights(weight, x, f"eval_sample_weight{place}"))
