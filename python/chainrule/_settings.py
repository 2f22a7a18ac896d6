"""What makes a training, except its data and its length."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from . import _arguments
from ._losses import as_loss
from ._optimizers import as_optimizer, has_step
from ._precision import as_precision

if TYPE_CHECKING:
    from ._loss import Loss
    from ._mlp import MLP
    from ._optimizers import Optimizer


@dataclass(frozen=True)
class Settings:
    """The checked arguments of :class:`Trainer`."""

    loss: Loss
    optimizer: Optimizer
    l1: float
    l2: float
    penalize_biases: bool
    divide_penalties: bool
    clip_norm: float | None
    clip_value: float | None
    seed: int
    precision: str
    shards: int | None

    @classmethod
    def check(
        cls,
        model: MLP,
        *,
        loss: str | Loss,
        optimizer: str | Optimizer | None,
        l1: float,
        l2: float,
        penalize_biases: bool,
        divide_penalties: bool,
        clip_norm: float | None,
        clip_value: float | None,
        seed: int | None,
        precision: str | None,
        shards: int | None,
    ) -> Settings:
        """Check the arguments of :class:`Trainer`."""
        checked = as_loss(loss)
        checked.n_targets(model.out_features)
        settings = cls(
            checked,
            as_optimizer(optimizer),
            _arguments.number(l1, "l1", minimum=0.0),
            _arguments.number(l2, "l2", minimum=0.0),
            _arguments.boolean(penalize_biases, "penalize_biases"),
            _arguments.boolean(divide_penalties, "divide_penalties"),
            None if clip_norm is None else _arguments.number(clip_norm, "clip_norm", above=0.0),
            None if clip_value is None else _arguments.number(clip_value, "clip_value", above=0.0),
            model.seed if seed is None else _arguments.seed(seed),
            as_precision(precision, model.dtype, model.precision),
            _arguments.shards(shards, mixes_rows=model._mixes_rows),
        )
        if not has_step(settings.optimizer):
            name = type(settings.optimizer).__name__
            if any(layer.dropout for layer in model.layers):
                raise ValueError(f"optimizer must not be {name} for a model with dropout")
            if clip_norm is not None or clip_value is not None:
                raise ValueError(f"clip_norm and clip_value must be None with {name}")
        return settings

    def require_same(self, resumed: Settings) -> None:
        """Raise unless a fit that resumes this training has these settings."""
        for field in fields(self):
            before, now = getattr(self, field.name), getattr(resumed, field.name)
            if before != now:
                raise ValueError(
                    f"{field.name} must be {before!r}, as in the fit that is resumed, got {now!r}"
                )
