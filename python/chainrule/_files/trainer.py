"""The state of a trainer as fields and arrays, and back.

checkpoint.py keeps one with a training, the estimators when they are pickled or written. Shuffles
and dropout are drawn from seeds and counts, which is all there is to keep of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import _arguments
from .._optimizers import LBFGS
from . import container

if TYPE_CHECKING:
    from .._mlp import MLP
    from .._training import Trainer

    Tensors = dict[str, npt.NDArray[Any]]

# Counts of epochs and steps: what is added to them stays in 64 bits.
MOST = 2**62

FIELDS = ("epoch", "step_count", "schedule_epochs", "progress")

_RATES = ("learning_rate", "learning_rate_scale")
_SCHEDULE_BEST = "schedule_best"
_PROGRESS = ("rows", "steps", "key")  # of an epoch that is not over
_SUMS = "progress"  # of loss, weight and penalty over its steps, and of seconds
_LBFGS = ("lbfgs.s", "lbfgs.y", "lbfgs.inverse_curvature")


@dataclass(frozen=True)
class TrainerState:
    """What a trainer has besides its model, settings and history, checked against them."""

    epoch: int
    step_count: int
    schedule: tuple[float, int] | None  # of ReduceOnPlateau, see Plateau.state
    tensors: Tensors  # the optimizer's
    learning_rate: float
    learning_rate_scale: float
    progress: tuple[int, int, float, float, float]  # in the epoch, see _core.pyi
    epoch_key: int | None
    epoch_seconds: float

    def restore(self, trainer: Trainer) -> None:
        """Put a trainer into this state."""
        core = trainer._core
        for i, state in enumerate(core.states):
            if state is not None:
                state[:] = self.tensors[f"optimizer.{i}"]
        if core.lbfgs_memory is not None:
            s, y, inverse_curvature = (self.tensors[name] for name in _LBFGS)
            core.lbfgs_memory = (s, y, inverse_curvature)
        core.epoch = self.epoch
        core.step_count = self.step_count
        core.learning_rate = self.learning_rate
        core.learning_rate_scale = self.learning_rate_scale
        core.progress = self.progress
        trainer._state.epoch_key = self.epoch_key
        trainer._state.epoch_seconds = self.epoch_seconds
        if trainer._plateau_schedule is not None and self.schedule is not None:
            trainer._plateau_schedule.plateau.state = self.schedule


def pack_trainer(trainer: Trainer) -> tuple[dict[str, Any], Tensors]:
    """Return fields and arrays (some of them views) of a trainer's state."""
    core = trainer._core
    tensors = {f"optimizer.{i}": state for i, state in enumerate(core.states) if state is not None}
    if core.lbfgs_memory is not None:
        tensors |= zip(_LBFGS, core.lbfgs_memory, strict=True)
    schedule = trainer._plateau_schedule and trainer._plateau_schedule.plateau.state
    # As arrays: JSON has no infinity.
    tensors["learning_rate"] = np.array(core.learning_rate)
    tensors["learning_rate_scale"] = np.array(core.learning_rate_scale)
    tensors[_SCHEDULE_BEST] = np.array(schedule[0] if schedule else np.nan)
    fields: dict[str, Any] = {
        "epoch": core.epoch,
        "step_count": core.step_count,
        "schedule_epochs": schedule and schedule[1],
        "progress": None,
    }
    rows, steps, *sums = core.progress
    if rows > 0:
        place = (rows, steps, trainer._state.epoch_key)
        fields["progress"] = dict(zip(_PROGRESS, place, strict=True))
        tensors[_SUMS] = np.array([*sums, trainer._state.epoch_seconds])
    return fields, tensors


def unpack_trainer(fields: dict[str, Any], tensors: Tensors, trainer: Trainer) -> TrainerState:
    """Take a trainer's state out of `tensors`; `fields` has those of FIELDS and maybe others.

    Parameters
    ----------
    fields, tensors : dict
        As :func:`pack_trainer` returned them; what belongs to the state is removed from `tensors`.
    trainer : Trainer
        A trainer with the same settings.

    Raises
    ------
    ValueError, TypeError
        For what makes no state of this trainer.
    """
    model = trainer.model
    kept = {}
    for i, state in enumerate(trainer._core.states):
        if state is not None:
            name = f"optimizer.{i}"
            kept[name] = container.require_tensor(tensors, name, model.dtype, state.shape)
    if isinstance(trainer.optimizer, LBFGS):
        kept |= _lbfgs_memory(tensors, model, trainer.optimizer.history)
    floats = {name: require_float(tensors, name) for name in (*_RATES, _SCHEDULE_BEST)}
    for name in (*kept, *floats):
        del tensors[name]
    progress, key, seconds = _progress(fields.get("progress"), tensors)
    rates = {name: _arguments.number(floats[name], name, minimum=0.0) for name in _RATES}
    return TrainerState(
        epoch=_arguments.integer(fields["epoch"], "epoch", 0, MOST),
        step_count=_arguments.integer(fields["step_count"], "step_count", 0, MOST),
        schedule=plateau_state(
            fields["schedule_epochs"],
            floats[_SCHEDULE_BEST],
            "schedule_epochs",
            trainer._plateau_schedule is not None,
        ),
        tensors=kept,
        progress=progress,
        epoch_key=key,
        epoch_seconds=seconds,
        **rates,
    )


def require_float(tensors: Tensors, name: str) -> float:
    """Return a number that is kept as an array of shape ()."""
    return float(container.require_tensor(tensors, name, np.float64, ()))


def plateau_state(epochs: Any, best: float, field: str, is_kept: bool) -> tuple[float, int] | None:
    """Return the state of a Plateau, None where there is none to keep."""
    if is_kept:
        return best, _arguments.integer(epochs, field, 0)
    if epochs is not None:
        raise ValueError(f"{field} must be null, got {epochs!r}")
    return None


def _progress(
    value: Any, tensors: Tensors
) -> tuple[tuple[int, int, float, float, float], int | None, float]:
    """Return the place in the epoch, the key of its rows, and its seconds."""
    if value is None:
        return (0, 0, 0.0, 0.0, 0.0), None, 0.0
    place = container.require_keys(value, _PROGRESS, "progress")
    rows, steps = (_arguments.integer(place[name], name, 1, MOST) for name in ("rows", "steps"))
    key = _arguments.integer(place["key"], "key", 0, 2**32 - 1)
    sums = container.require_tensor(tensors, _SUMS, np.float64, (4,))
    loss, weight, penalty, seconds = (
        _arguments.number(number, f"{_SUMS}[{i}]") for i, number in enumerate(sums.tolist())
    )
    del tensors[_SUMS]
    return (rows, steps, loss, weight, penalty), key, seconds


def _lbfgs_memory(tensors: Tensors, model: MLP, most: int) -> Tensors:
    s, y, curvature = _LBFGS
    array = tensors.get(curvature)
    pairs = 0 if array is None or array.ndim != 1 else array.size
    if pairs > most:
        raise ValueError(f"{curvature} must have at most {most} elements, got {pairs}")
    shape = (pairs, model.parameters.size)
    return {
        s: container.require_tensor(tensors, s, model.dtype, shape),
        y: container.require_tensor(tensors, y, model.dtype, shape),
        curvature: container.require_tensor(tensors, curvature, np.float64, (pairs,)),
    }
