"""The rows that an estimator is fitted to and evaluated on. Called by the estimators' base."""

from __future__ import annotations

from numbers import Number
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.sparse import issparse
from sklearn.base import is_regressor
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import check_array, check_consistent_length

from .. import _arguments, _validation
from .._evaluation import Dataset, block_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from .._mlp import MLP
    from .._typing import Floats

# Of the rows of a sparse matrix that are dense at a time.
_DENSE_BYTES = 2**22


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
        x: Any = SparseRows(self.x) if issparse(self.x) else self.x
        return Dataset(x, targets, self.weights)

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
        of_fit, of_validation = Rows(*training, *none), Rows(*held_out, *none)
        for rows, name in ((of_fit, "training"), (of_validation, "held-out")):
            _validation.require_some_weight(rows.weights, f"sample_weight of the {name} rows")
        return of_fit, of_validation


class SparseRows:
    """Sparse features of an evaluation set; what is taken out of them is dense."""

    def __init__(self, x: Any) -> None:
        self._x = x
        self.shape = x.shape

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: slice) -> Floats:
        dense: Floats = self._x[rows].toarray(order="C")
        return dense


def rows_at_a_time(model: MLP, x: Any) -> int:
    """Return how many rows of x, dense or not, go through a network at a time."""
    n_rows: int = block_rows(model)
    if isinstance(x, np.ndarray):
        return n_rows
    bytes_of_row: int = x.shape[1] * model.dtype.itemsize
    return min(n_rows, max(1, _DENSE_BYTES // bytes_of_row))


def dense_blocks(X: Any, model: MLP) -> Iterator[tuple[slice, Floats]]:
    """Yield blocks of the rows of X, dense, with where they are."""
    step = rows_at_a_time(model, X)
    for start in range(0, X.shape[0], step):
        rows = slice(start, start + step)
        block = X[rows]
        yield rows, block.toarray(order="C") if issparse(block) else block


def dtypes(value: Any, X: Any) -> Any:
    """Return what X is converted to: the parameter `dtype`, or what it is, float64 if neither."""
    if value is not None:
        return _arguments.float_dtype(value)
    return np.float32 if _is_float32_table(X) else (np.float64, np.float32)


def _is_float32_table(X: Any) -> bool:
    """Whether all columns of a table are of float32, of types other than NumPy's."""
    columns = getattr(X, "dtypes", None)
    if columns is None or isinstance(X, np.ndarray):
        return False
    names = {str(getattr(column, "numpy_dtype", column)).lower() for column in columns}
    return names == {"float32"}


def is_constant(rows: Rows, estimator: Any) -> bool:
    """Whether a regression's targets, of the rows that count, are one value in each column."""
    if not is_regressor(estimator):
        return False
    counts = slice(None) if rows.weights is None else rows.weights > 0
    targets = rows.targets[counts]
    return bool((targets == targets[:1]).all())


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
    _validation.require_range(weights, argument, 0.0, None, "each row")
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
    sets = [
        _evaluation_set(estimator, X, y, weight, dtype, f"[{i}]")
        for i, ((X, y), weight) in enumerate(zip(pairs, weights, strict=True))
    ]
    # The core evaluates the last one, and takes dense rows alone.
    x: Any = sets[-1].x
    if issparse(x):
        sets[-1] = sets[-1]._replace(x=x.toarray(order="C"))
    return sets


def _evaluation_set(
    estimator: Any, X: Any, y: Any, weight: Any, dtype: np.dtype[Any], place: str
) -> Rows:
    """Check one set; sparse features stay sparse."""
    x = estimator._features(X, dtype)
    argument = f"eval_set{place}[1]"
    y = check_array(
        estimator._plain_targets(y, argument),
        accept_sparse="csr",
        ensure_2d=False,
        dtype=None,
        input_name=argument,
    )
    check_consistent_length(x, y)
    targets = estimator._read_evaluation_targets(y)
    argument = f"eval_sample_weight{place}"
    weights = row_weights(weight, x, argument)
    _validation.require_some_weight(weights, argument)
    return Rows(x, targets, weights)
