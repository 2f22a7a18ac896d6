"""From the outputs of a classifier's network, which are logits, to probabilities of its classes.

Called by the classifier. What the outputs mean by themselves is in ``_links.py`` of the package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .._links import OfClasses, chosen_columns, logarithm

if TYPE_CHECKING:
    from typing import Any

    import numpy.typing as npt

    # Floats of one dtype, in and out.
    Array = npt.NDArray[Any]


class ClassLink(NamedTuple):
    """How logits of shape (n_samples, n_outputs) become probabilities.

    Those of softmax and of several labels are the link's own. Else each logit is a sigmoid's: of
    the second of two classes when there is one output; or of a class against all others, and the
    sigmoids are divided by their sum.
    """

    link: OfClasses
    multilabel: bool

    @property
    def _are_own(self) -> bool:
        return self.multilabel or self.link.name != "sigmoid"

    def probabilities(self, outputs: Array) -> Array:
        """Return the probabilities, (n_samples, n_classes)."""
        p = self.link.predictions(outputs)
        if self._are_own:
            return p
        if outputs.shape[1] == 1:
            return np.hstack([1 - p, p])
        return np.asarray(p / _total(p))

    def log_probabilities(self, outputs: Array) -> Array:
        """Return their logarithms, finite where a probability is too small for a number."""
        logarithms = self.link.log_predictions(outputs)
        if self._are_own:
            return logarithms
        if outputs.shape[1] == 1:
            return np.hstack([self.link.log_predictions(-outputs), logarithms])
        return np.asarray(logarithms - logarithm(_total(self.link.predictions(outputs))))

    def gradient(self, outputs: Array, column: int | None) -> Array:
        """Return the derivative of one probability of each row with respect to its outputs.

        Parameters
        ----------
        outputs : ndarray, shape (n_samples, n_outputs)
            Logits.
        column : int or None
            Which probability; None: the largest of each row.

        Returns
        -------
        ndarray, shape (n_samples, n_outputs)
            The derivatives.
        """
        if self._are_own:
            return self.link.gradient(outputs, column)
        p = self.probabilities(outputs)
        is_chosen = chosen_columns(p, column)
        if outputs.shape[1] == 1:
            sign = is_chosen[:, 1:].astype(p.dtype) * 2 - 1
            gradient = sign * (p[:, :1] * p[:, 1:])
        else:
            sigmoid = self.link.predictions(outputs)
            chosen = p[is_chosen][:, np.newaxis]
            gradient = sigmoid * (1 - sigmoid) * (is_chosen - chosen) / _total(sigmoid)
        return np.asarray(gradient, outputs.dtype)


def _total(sigmoids: Array) -> Array:
    """Return the sums of the rows, greater than 0."""
    sums = sigmoids.sum(axis=1, keepdims=True)
    return np.asarray(np.maximum(sums, np.finfo(sigmoids.dtype).tiny))
