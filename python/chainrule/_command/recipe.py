"""How a network is trained where the user leaves it open.

Chosen by held-out scores, means of ten seeds (`benchmarks/defaults.py`; docs/command.md has them
beside those of scikit-learn). What matters most on small noisy tables is the weight decay
(diabetes: R² of 0.31 with 0.1, 0.44 with 10; homes: 0.89 and 0.81), and that many rows choose it:
some 70 of breast cancer's, to say which decay and which epoch is best, chose networks that were too
sure of themselves (log loss 0.11, with five folds 0.06). Up to 5,000 rows folds choose, beyond that
a part that stands aside. GELU, wider networks and dropout of 0.1 made no difference beyond the
standard error, or helped one table alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import chainrule as cr
from chainrule._command.options import NetworkOptions

__all__ = ["VALIDATION_FRACTION", "Recipe", "choose", "n_folds", "weight_decays"]

VALIDATION_FRACTION = 0.15  # of the rows that are not held out, where no folds choose

_HIDDEN = (128, 64)
_ACTIVATION = "relu"
_LEARNING_RATE = 3e-3
_WARMUP_FRACTION = 0.1
_FEWEST_EPOCHS, _MOST_EPOCHS = 10, 200
# Of a training that is stopped early, and of one that runs to its end.
_STEPS_TO_STOP_IN, _STEPS_TO_THE_END = 6000, 2000

_FOLDS = 5
_MOST_ROWS_OF_FOLDS = 5000
_WEIGHT_DECAYS_OF_FOLDS = (0.1, 1.0, 3.0, 10.0)
_WEIGHT_DECAYS = (0.1, 1.0, 10.0)
_MOST_ROWS_TO_TRY = 50_000
# Rows, and the batch size below so many.
_BATCH_SIZES = ((10_000, 32), (100_000, 128), (1_000_000, 512))
_LARGEST_BATCH = 1024


@dataclass(frozen=True)
class Recipe:
    """A network and its training, with every default filled in; no patience with folds."""

    hidden: tuple[int, ...]
    activation: str
    dropout: float
    learning_rate: float
    weight_decay: float
    batch_size: int
    epochs: int
    patience: int | None

    def optimizer(self) -> cr.AdamW:
        """Return the optimizer: the rate rises for a tenth of the steps, then falls as a cosine."""
        schedule = cr.Cosine(self.learning_rate, warmup_fraction=_WARMUP_FRACTION)
        return cr.AdamW(schedule, weight_decay=self.weight_decay)


def n_folds(n_rows: int) -> int:
    """Return how many folds of the rows to train on choose the weight decay, or 0."""
    return _FOLDS if n_rows <= _MOST_ROWS_OF_FOLDS else 0


def choose(n_rows: int, wishes: NetworkOptions, *, stops_early: bool) -> Recipe:
    """Fill in what the user left open, by the number of training rows.

    The weight decay is the first of `weight_decays`.
    """
    told = next((size for rows, size in _BATCH_SIZES if n_rows < rows), _LARGEST_BATCH)
    batch_size = min(wishes.batch_size or told, n_rows)
    steps = _STEPS_TO_STOP_IN if stops_early else _STEPS_TO_THE_END
    wanted = math.ceil(steps / math.ceil(n_rows / batch_size))
    epochs = wishes.epochs or min(max(wanted, _FEWEST_EPOCHS), _MOST_EPOCHS)
    return Recipe(
        hidden=_HIDDEN if wishes.hidden is None else wishes.hidden,
        activation=wishes.activation or _ACTIVATION,
        dropout=wishes.dropout or 0.0,
        learning_rate=wishes.learning_rate or _LEARNING_RATE,
        weight_decay=weight_decays(n_rows, wishes.weight_decay, stops_early=stops_early)[0],
        batch_size=batch_size,
        epochs=epochs,
        patience=max(10, epochs // 3) if stops_early else None,
    )


def weight_decays(n_rows: int, wish: float | None, *, stops_early: bool) -> tuple[float, ...]:
    """Return the weight decays to try: the user's, or some when that takes little time."""
    if wish is not None:
        return (wish,)
    if not stops_early:
        return _WEIGHT_DECAYS_OF_FOLDS
    return _WEIGHT_DECAYS if n_rows <= _MOST_ROWS_TO_TRY else _WEIGHT_DECAYS[:1]
