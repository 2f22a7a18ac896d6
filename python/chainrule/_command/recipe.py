"""How a network is trained when the user leaves it open."""

from __future__ import annotations

import math
from dataclasses import dataclass

import chainrule as cr

__all__ = ["Recipe", "choose"]

STEPS = 6000
HIDDEN = (128, 64)
VALIDATION_FRACTION = 0.15


@dataclass(frozen=True)
class Recipe:
    """A network and its training, with every default filled in."""

    hidden: tuple[int, ...]
    activation: str
    dropout: float
    learning_rate: float
    weight_decay: float
    batch_size: int
    epochs: int
    patience: int

    def optimizer(self) -> cr.AdamW:
        """Return the optimizer: the rate rises for a tenth of the steps, then falls as a cosine."""
        schedule = cr.Cosine(self.learning_rate, warmup_fraction=0.1)
        return cr.AdamW(schedule, weight_decay=self.weight_decay)


def choose(
    n_rows: int,
    task: str,
    *,
    hidden: tuple[int, ...] | None = None,
    activation: str | None = None,
    dropout: float | None = None,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
    batch_size: int | None = None,
    epochs: int | None = None,
) -> Recipe:
    """Fill in what is None, by the number of training rows and the task."""
    told = 32 if n_rows < 10_000 else 128 if n_rows < 100_000 else 512 if n_rows < 1_000_000 else 1024
    batch = min(batch_size or told, n_rows)
    steps = math.ceil(n_rows / batch)
    if epochs is None:
        epochs = min(max(math.ceil(STEPS / steps), 10), 200)
    return Recipe(
        hidden=HIDDEN if hidden is None else hidden,
        activation=activation or "relu",
        dropout=0.1 if dropout is None else dropout,
        learning_rate=learning_rate or 3e-3,
        weight_decay=(0.1 if task == "classification" else 0.1)
        if weight_decay is None
        else weight_decay,
        batch_size=batch,
        epochs=epochs,
        patience=max(10, epochs // 3),
    )
