"""Loss and score of a model, block of rows by block of rows, so that memory stays small."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from . import _core

if TYPE_CHECKING:
    from ._loss import Loss
    from ._mlp import MLP
    from ._typing import Floats, Labels

# Outputs that a block of rows may have: 4 MiB of float32.
_BLOCK_OUTPUTS = 2**20


class Evaluation(NamedTuple):
    """Loss and score of a model, as :meth:`MLP.evaluate` returns them.

    Attributes
    ----------
    loss : float
        Mean of the loss over the rows, without penalties.
    score : float or None
        Accuracy in [0, 1] for ``cross_entropy`` and ``binary_cross_entropy``; R^2 (at most 1,
        averaged over the targets) for ``mse``, ``mae``, ``huber``, ``poisson`` (of the rate) and
        ``gaussian_nll`` (of the mean); None for ``quantile``.
    """

    loss: float
    score: float | None


class Dataset(NamedTuple):
    """Rows that were checked against a model and its loss."""

    x: Floats
    targets: Floats | Labels
    weights: Floats | None


def block_rows(model: MLP) -> int:
    """Return the number of rows per block of an evaluation."""
    return max(256, _BLOCK_OUTPUTS // model.out_features)


def evaluate(
    model: MLP, data: Dataset, loss: Loss, n_rows_of_block: int, threads: int
) -> Evaluation:
    """Return the weighted mean of the loss and the score over checked data."""
    spec = loss.spec()
    score = loss.score(model.out_features)
    loss_sum = weight_sum = 0.0
    for start in range(0, len(data.x), n_rows_of_block):
        rows = slice(start, start + n_rows_of_block)
        targets = data.targets[rows]
        weights = None if data.weights is None else data.weights[rows]
        outputs = model._network.predict(data.x[rows], threads)
        loss_sum += _core.loss(spec, outputs, targets, weights, "sum")
        of_rows = loss.row_weights(targets, weights)
        weight_sum += len(outputs) if of_rows is None else float(of_rows.sum(dtype=np.float64))
        if score is not None:
            score.add(outputs, targets, weights)
    divisor = weight_sum * loss.terms(model.out_features)
    loss_mean = loss_sum / divisor if divisor else 0.0
    return Evaluation(loss_mean, None if score is None else score.value())
