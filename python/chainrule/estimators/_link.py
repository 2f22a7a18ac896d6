"""From the outputs of a classifier's network, which are logits, to probabilities.

With the core's own exponential, so that the same outputs give the same bits on every machine.
Called by the classifier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .. import _core

if TYPE_CHECKING:
    from typing import Any

    import numpy.typing as npt

    # Floats of one dtype, in and out.
    Array = npt.NDArray[Any]


class Link(NamedTuple):
    """How logits of shape (n_samples, n_outputs) become probabilities.

    With softmax they add up to 1. Else each is a sigmoid: of the second of two classes when there
    is one output; of a label by itself when multilabel; and of a class against all others, which
    are then divided by their sum.
    """

    softmax: bool
    multilabel: bool

    def probabilities(self, outputs: Array) -> Array:
        """Return the probabilities, (n_samples, n_classes)."""
        if self.softmax:
            powers = _apply("exp", outputs - outputs.max(axis=1, keepdims=True))
            return np.asarray(powers / powers.sum(axis=1, keepdims=True))
        sigmoid = _apply("sigmoid", outputs)
        if self.multilabel:
            return sigmoid
        if outputs.shape[1] == 1:
            return np.hstack([1 - sigmoid, sigmoid])
        return np.asarray(sigmoid / _positive(sigmoid.sum(axis=1, keepdims=True)))

    def log_probabilities(self, outputs: Array) -> Array:
        """Return their logarithms, finite where a probability is too small for a number."""
        if self.softmax:
            shifted = outputs - outputs.max(axis=1, keepdims=True)
            powers = _apply("exp", shifted)
            return np.asarray(shifted - _apply("log", powers.sum(axis=1, keepdims=True)))
        of_sigmoid = np.asarray(-_softplus(-outputs))
        if self.multilabel:
            return of_sigmoid
        if outputs.shape[1] == 1:
            return np.hstack([-_softplus(outputs), of_sigmoid])
        total = _apply("sigmoid", outputs).sum(axis=1, keepdims=True)
        return np.asarray(of_sigmoid - _apply("log", _positive(total)))

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
        p = self.probabilities(outputs)
        column_of_row = p.argmax(axis=1) if column is None else np.full(len(p), column)
        is_chosen = column_of_row[:, np.newaxis] == np.arange(p.shape[1])
        chosen = p[is_chosen][:, np.newaxis]
        if self.softmax:
            gradient = chosen * (is_chosen - p)
        elif outputs.shape[1] == 1 and not self.multilabel:
            sign = is_chosen[:, 1:].astype(p.dtype) * 2 - 1
            gradient = sign * (p[:, :1] * p[:, 1:])
        else:
            sigmoid = _apply("sigmoid", outputs)
            gradient = sigmoid * (1 - sigmoid)
            if self.multilabel:
                gradient = gradient * is_chosen
            else:
                total = _positive(sigmoid.sum(axis=1, keepdims=True))
                gradient = gradient * (is_chosen - chosen) / total
        return np.asarray(gradient, outputs.dtype)


def _positive(total: Array) -> Array:
    return np.asarray(np.maximum(total, np.finfo(total.dtype).tiny))


def _softplus(x: Array) -> Array:
    return _apply("softplus", x)


def _apply(name: str, x: Array) -> Array:
    x = np.ascontiguousarray(x)
    if name in ("exp", "log"):
        return _core.math_function(name, x, None)
    return _core.activation_forward(name, 0.0, x, None)
