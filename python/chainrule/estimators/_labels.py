"""The targets of the classifier: which classes there are, labels to numbers, and their loss."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import column_or_1d, compute_sample_weight
from sklearn.utils.multiclass import type_of_target

from .._losses import BinaryCrossEntropy, CrossEntropy, as_loss
from ._base import BaseMLP
from ._plain import distinct, plain
from ._recipe import Objective

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._evaluation import Dataset
    from .._loss import Loss
    from .._typing import Floats
    from ._data import Rows


class LabelTargets(BaseMLP):
    """Base of the classifier; never used directly."""

    _is_multilabel: bool
    _sparse_targets: bool

    # --- targets ---------------------------------------------------------------------------------

    def _plain_targets(self, y: Any, argument: str) -> Any:
        return plain(y, argument)

    def _read_targets(
        self, y: Any, classes: Any, incremental: bool, is_first: bool
    ) -> npt.NDArray[Any]:
        y, is_multilabel = self._checked_labels(y, warn=True)
        present, numbers = (None, None) if is_multilabel else distinct(y)
        if is_first:
            if incremental and classes is None and not is_multilabel:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            self._is_multilabel = is_multilabel
            self._sparse_targets = issparse(y)
            if present is None:
                self.classes_ = np.arange(y.shape[1])
            else:
                self.classes_ = present if classes is None else classes
        elif classes is not None and not np.array_equal(self.classes_, classes):
            raise ValueError(
                f"classes must be those of the last call to fit or partial_fit, {self.classes_}, "
                f"got {classes}"
            )
        elif is_multilabel != self._is_multilabel:
            raise ValueError("y must be of the kind of the fit that goes on: labels or indicators")
        elif self.warm_start and present is not None and set(present) != set(self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous "
                f"call to fit. Previously got {self.classes_}, `y` has {present}"
            )
        return self._encode(y, present, numbers, "y")

    def _checked_labels(self, y: Any, warn: bool = False) -> tuple[Any, bool]:
        """Check the kind of y; return it and whether it is one of several labels."""
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y.toarray() if issparse(y) else y, warn=warn)
        kind = type_of_target(y, input_name="y", raise_unknown=True)
        if kind.startswith("continuous"):
            raise ValueError(
                f"Unknown label type: {kind}. y must hold classes, got values as of a regression"
            )
        if kind == "multiclass-multioutput":
            raise ValueError(
                "Multioutput target data is not supported: y must be labels of shape (n_samples,) "
                "or indicators of shape (n_samples, n_labels)"
            )
        return y, kind.startswith("multilabel")

    def _encode(
        self,
        y: Any,
        present: npt.NDArray[Any] | None,
        numbers: npt.NDArray[np.intp] | None,
        argument: str,
    ) -> npt.NDArray[Any]:
        """Turn labels into numbers, (n_samples, 1) or (n_samples,), or indicators into floats.

        `present` are the distinct labels and `numbers` says which of them each row has.
        """
        n_classes = len(self.classes_)
        if present is None or numbers is None:
            indicators = y.toarray() if issparse(y) else np.asarray(y)
            if indicators.shape[1] != n_classes:
                raise ValueError(
                    f"{argument} must have {n_classes} labels, as before, got {indicators.shape[1]}"
                )
            return np.asarray(indicators, np.float64)
        unknown = np.setdiff1d(present, self.classes_, assume_unique=True)
        if len(unknown):
            raise ValueError(
                f"`{argument}` has classes not in `self.classes_`: {unknown}, "
                f"expected some of {self.classes_}"
            )
        labels: npt.NDArray[Any] = np.searchsorted(self.classes_, present)[numbers]
        if self._uses_softmax():
            return labels.astype(np.int32)
        if n_classes <= 2:
            return labels.astype(np.float64).reshape(-1, 1)
        return np.asarray(labels[:, np.newaxis] == np.arange(n_classes), np.float64)

    def _read_evaluation_targets(self, y: Any) -> npt.NDArray[Any]:
        y, is_multilabel = self._checked_labels(y)
        if is_multilabel != self._is_multilabel:
            raise ValueError("y of eval_set must be of the kind of y: labels or indicators")
        present, numbers = (None, None) if is_multilabel else distinct(y)
        return self._encode(y, present, numbers, "eval_set")

    def _row_weights(self, y: Any, incremental: bool) -> npt.NDArray[np.float64] | None:
        if self.class_weight is None:
            return None
        if incremental and self.class_weight == "balanced":
            raise ValueError(
                "class_weight must not be 'balanced' for partial_fit, which sees a part of the "
                "rows; give a dict, for example of compute_class_weight('balanced', ...)"
            )
        y, _ = self._checked_labels(y)
        weights: npt.NDArray[np.float64] = compute_sample_weight(self.class_weight, y)
        return weights

    def _hold_out(self, rows: Rows, random_state: np.random.RandomState) -> tuple[Rows, Rows]:
        labels = self._stratify(rows.targets)
        try:
            return rows.split(self.validation_fraction, random_state, labels)
        except ValueError as error:
            if labels is None:
                raise
            numbers = labels.ravel().astype(np.intp)
            is_rare = np.bincount(numbers, minlength=len(self.classes_)) < 2
            if not is_rare.any():
                raise
            raise ValueError(
                f"{error} In the labels of y: {self.classes_[is_rare].tolist()}. early_stopping "
                "holds out rows of each class"
            ) from None

    def _stratify(self, targets: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
        """Return by what a validation split is stratified."""
        if self._is_multilabel:
            return None
        labels = targets.argmax(axis=1) if targets.ndim == 2 and targets.shape[1] > 1 else targets
        # Three classes or more scikit-learn does not stratify: its fits go on where such a split is
        # not possible, and so do these.
        n_classes = len(self.classes_)
        n_held_out = math.ceil(self.validation_fraction * len(labels))
        if n_classes > 2 and (
            np.bincount(labels).min() < 2 or not n_classes <= n_held_out <= len(labels) - n_classes
        ):
            return None
        # As scikit-learn has them, whose message on a rare one shows the bool.
        return np.asarray(labels, bool if n_classes <= 2 and labels.ndim == 2 else None)

    # --- loss ------------------------------------------------------------------------------------

    def _chosen_loss(self) -> Loss | None:
        """Return the loss of the core; None for scikit-learn's, which depends on the classes."""
        return None if self.loss == "log_loss" else as_loss(self.loss)

    def _uses_softmax(self) -> bool:
        loss = self._chosen_loss()
        if self._is_multilabel:
            return False
        if loss is None:
            return len(self.classes_) > 2
        return loss.link.name == "softmax" and len(self.classes_) > 1

    def _out_features(self) -> int:
        n_classes = len(self.classes_)
        return n_classes if self._uses_softmax() or self._is_multilabel or n_classes > 2 else 1

    def _objective(self) -> Objective:
        loss = self._chosen_loss()
        if loss is None:
            loss = CrossEntropy() if self._uses_softmax() else BinaryCrossEntropy()
        if loss.link.name == "softmax":
            if not self._uses_softmax():
                raise ValueError(
                    f"loss must not be {self.loss!r} for multilabel y or a single class"
                )
            return Objective(loss)
        # A sum over the labels, of which the core takes the mean.
        n_labels = self._out_features()
        return Objective(loss, n_labels, n_labels)

    def _loss_offset(self, targets: npt.NDArray[Any], weights: Floats | None) -> float:
        return 0.0

    def _own_score(self, data: Dataset) -> float | None:
        if data.targets.ndim == 1 or data.targets.shape[1] == 1:
            return None
        # The core counts elements; here a row counts when all of it is right.
        outputs = self.model_._network.predict(data.x, self.n_threads or 0)
        if self._is_multilabel:
            right = ((outputs > 0) == (data.targets > 0.5)).all(axis=1)
        else:
            right = outputs.argmax(axis=1) == data.targets.argmax(axis=1)
        return float(np.average(right, weights=data.weights))
