"""A training between two epochs as a file, and back; called by fits, see _checkpoint.py.

The file also holds what the training was asked to do, item by item, with checksums in place of the
data: a fit that resumes it must ask for the same.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import _arguments
from .._optimizers import LBFGS
from . import container
from .history import pack_history, unpack_history
from .recipe import from_fields, to_fields

if TYPE_CHECKING:
    from .._callbacks import EarlyStopping
    from .._checkpoint import Checkpoint
    from .._evaluation import Dataset
    from .._history import History
    from .._loop import Best
    from .._mlp import MLP
    from .._training import Trainer

    Tensors = dict[str, npt.NDArray[Any]]

KIND = "checkpoint"

_FIELDS = (
    *("call", "first_epoch", "epoch", "step_count", "history", "ended_by_callback"),
    *("schedule_epochs", "stopping_epochs", "has_best"),
)
_FLOATS = ("learning_rate", "learning_rate_scale", "schedule_best", "stopping_best")
_LBFGS = ("lbfgs.s", "lbfgs.y", "lbfgs.inverse_curvature")
_BEST = ("best.parameters", "best.running_statistics")
# Counts of epochs and steps: what is added to them stays in 64 bits.
_MOST = 2**62


@dataclass(frozen=True)
class Training:
    """What a checkpoint holds of a training, checked against the trainer that is to go on."""

    first_epoch: int  # epochs completed when the fit began that wrote the checkpoint
    epoch: int
    step_count: int
    learning_rate: float
    learning_rate_scale: float
    history: History
    ended_by_callback: bool
    schedule: tuple[float, int] | None  # of ReduceOnPlateau, see Plateau.state
    stopping: tuple[float, int] | None  # of early stopping
    tensors: Tensors  # parameters, running statistics, the optimizer's, those of the best epoch

    def restore(self, trainer: Trainer) -> None:
        """Put a trainer and its model where the training stood."""
        core, model = trainer._core, trainer.model
        model.parameters[:] = self.tensors["parameters"]
        model.running_statistics[:] = self.tensors["running_statistics"]
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
        if trainer._plateau_schedule is not None and self.schedule is not None:
            trainer._plateau_schedule.plateau.state = self.schedule
        vars(trainer.history).update(vars(self.history))

    def restore_best(self, best: Best) -> None:
        """Put early stopping where it stood."""
        if self.stopping is not None:
            best.plateau.state = self.stopping
        if _BEST[0] in self.tensors:
            best.kept = (self.tensors[_BEST[0]], self.tensors[_BEST[1]])


def describe(
    trainer: Trainer,
    *,
    training: Dataset,
    validation: Dataset | None,
    validation_fraction: float | None,
    batch_size: int,
    epochs: int,
    shuffle: bool,
    early_stopping: EarlyStopping | None,
) -> dict[str, Any]:
    """Return, by name, all that decides how a fit goes."""
    model = trainer.model
    call = {
        "in_features": model.in_features,
        "layers": model.layers,
        "dtype": model.dtype.name,
        "seed of the model": model.seed,
        **vars(trainer._settings),
        "batch_size": batch_size,
        "epochs": epochs if trainer.optimizer.schedule().needs_total else None,
        "shuffle": shuffle,
        "early_stopping": early_stopping,
        "validation_fraction": validation_fraction,
    }
    call = {name: to_fields(value) for name, value in call.items()}
    for where, data in (("", training), ("validation ", validation)):
        for name, array in zip(("X", "y", "sample_weight"), data or (None,) * 3, strict=True):
            call[where + name] = None if array is None else _fingerprint(array)
    return call


def _fingerprint(array: npt.NDArray[Any]) -> str:
    digest = hashlib.sha256(array.data).hexdigest()[:32]
    return f"{array.dtype} of shape {array.shape} with checksum {digest}"


def find(
    path: str, trainer: Trainer, call: dict[str, Any], epochs: int, written: Iterable[Checkpoint]
) -> Training | None:
    """Return the training of a checkpoint, or None to begin anew; see `resume_from` of a fit."""
    try:
        contents = container.read(path, KIND)
    except FileNotFoundError:
        target = os.path.realpath(path)
        if any(os.path.realpath(checkpoint.path) == target for checkpoint in written):
            return None
        raise
    with container.reading(path):
        fields = container.require_keys(contents.metadata, _FIELDS, "the checkpoint")
        before = container.require_keys(fields["call"], [*call], "call")
        other = next((name for name in call if before[name] != call[name]), None)
        then = _shown(before[other], other) if other else ""
    if other:
        now = _shown(call[other], other)
        raise ValueError(f"{other} must be {then}, as in the checkpoint {path!r}, got {now}")
    with container.reading(path):
        training = _unpack(fields, contents.tensors, trainer)
    if trainer.epoch not in (0, training.first_epoch):
        raise ValueError(
            f"resume_from must be a checkpoint of a fit that began after {trainer.epoch} epochs of "
            f"the trainer, got {path!r} of one that began after {training.first_epoch}"
        )
    done = training.epoch - training.first_epoch
    if epochs < done:
        raise ValueError(
            f"epochs must be at least {done}, those done in the checkpoint {path!r}, got {epochs}"
        )
    return training


def require_folders(checkpoints: Iterable[Checkpoint]) -> None:
    """Raise before a training, and not after its first epoch, when a file has no folder."""
    for checkpoint in checkpoints:
        folder = os.path.dirname(os.path.realpath(checkpoint.path))
        if not os.path.isdir(folder):
            raise FileNotFoundError(errno.ENOENT, "No such folder for a Checkpoint", folder)


def _shown(value: Any, name: str) -> str:
    made = from_fields(value, object, name)
    return made if isinstance(made, str) else repr(made)


def write(
    path: str,
    trainer: Trainer,
    call: dict[str, Any],
    *,
    first_epoch: int,
    ended_by_callback: bool,
    best: Best | None,
) -> None:
    """Write a training as it stands between two epochs."""
    core, model = trainer._core, trainer.model
    history, tensors = pack_history(trainer.history)
    tensors["parameters"] = model.parameters
    tensors["running_statistics"] = model.running_statistics
    for i, state in enumerate(core.states):
        if state is not None:
            tensors[f"optimizer.{i}"] = state
    memory = core.lbfgs_memory
    if memory is not None:
        tensors |= zip(_LBFGS, memory, strict=True)
    kept = None if best is None else best.kept
    if kept is not None:
        tensors |= zip(_BEST, kept, strict=True)
    schedule = trainer._plateau_schedule and trainer._plateau_schedule.plateau.state
    stopping = None if best is None else best.plateau.state
    floats = (
        core.learning_rate,
        core.learning_rate_scale,
        schedule[0] if schedule else np.nan,
        stopping[0] if stopping else np.nan,
    )
    # As arrays: JSON has no infinity.
    tensors |= {name: np.array(value) for name, value in zip(_FLOATS, floats, strict=True)}
    metadata = {
        "call": call,
        "first_epoch": first_epoch,
        "epoch": core.epoch,
        "step_count": core.step_count,
        "history": history,
        "ended_by_callback": ended_by_callback,
        "schedule_epochs": schedule and schedule[1],
        "stopping_epochs": stopping and stopping[1],
        "has_best": kept is not None,
    }
    container.write(path, KIND, metadata, tensors)


def _unpack(fields: dict[str, Any], tensors: Tensors, trainer: Trainer) -> Training:
    """Check the fields and tensors of a checkpoint whose call is the trainer's."""
    model = trainer.model
    history = unpack_history(fields["history"], tensors)
    shapes = {
        "parameters": model.parameters.shape,
        "running_statistics": model.running_statistics.shape,
    }
    if _arguments.boolean(fields["has_best"], "has_best"):
        shapes |= zip(_BEST, [*shapes.values()], strict=True)
    for i, state in enumerate(trainer._core.states):
        if state is not None:
            shapes[f"optimizer.{i}"] = state.shape
    kept = {
        name: container.require_tensor(tensors, name, model.dtype, shape)
        for name, shape in shapes.items()
    }
    if isinstance(trainer.optimizer, LBFGS):
        kept |= _lbfgs_memory(tensors, model, trainer.optimizer.history)
    floats = {
        name: float(container.require_tensor(tensors, name, np.float64, ())) for name in _FLOATS
    }
    others = tensors.keys() - kept.keys() - floats.keys()
    if others:
        raise ValueError(f"the checkpoint must have no other tensors, got {sorted(others)}")
    rates = {name: _arguments.number(floats[name], name, minimum=0.0) for name in _FLOATS[:2]}
    first_epoch = _arguments.integer(fields["first_epoch"], "first_epoch", 0, _MOST)

    def plateau(name: str, is_kept: bool) -> tuple[float, int] | None:
        field = f"{name}_epochs"
        if is_kept:
            return floats[f"{name}_best"], _arguments.integer(fields[field], field, 0)
        if fields[field] is not None:
            raise ValueError(f"{field} must be null, got {fields[field]!r}")
        return None

    return Training(
        first_epoch=first_epoch,
        epoch=_arguments.integer(fields["epoch"], "epoch", first_epoch, _MOST),
        step_count=_arguments.integer(fields["step_count"], "step_count", 0, _MOST),
        **rates,
        history=history,
        ended_by_callback=_arguments.boolean(fields["ended_by_callback"], "ended_by_callback"),
        schedule=plateau("schedule", trainer._plateau_schedule is not None),
        stopping=plateau("stopping", fields["call"]["early_stopping"] is not None),
        tensors=kept,
    )


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
