"""A training between two steps as a file, and back; called by fits, see _checkpoint.py.

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
from . import container
from .history import pack_history, unpack_history
from .recipe import from_fields, to_fields
from .trainer import (
    FIELDS,
    TrainerState,
    pack_trainer,
    plateau_state,
    require_float,
    unpack_trainer,
)

if TYPE_CHECKING:
    from .._callbacks import EarlyStopping
    from .._checkpoint import Checkpoint
    from .._evaluation import Dataset
    from .._history import History
    from .._loop import Best
    from .._training import Trainer

    Tensors = dict[str, npt.NDArray[Any]]

KIND = "checkpoint"

_FIELDS = (
    *("call", "first_epoch", *FIELDS, "history", "ended_by_callback"),
    *("stopping_epochs", "has_best"),
)
_STOPPING_BEST = "stopping_best"
_BEST = ("best.parameters", "best.running_statistics")


@dataclass(frozen=True)
class Training:
    """What a checkpoint holds of a training, checked against the trainer that is to resume it."""

    first_epoch: int  # epochs completed when the fit began that wrote the checkpoint
    state: TrainerState
    history: History
    ended_by_callback: bool
    stopping: tuple[float, int] | None  # of early stopping, see Plateau.state
    tensors: Tensors  # parameters, running statistics, those of the best epoch

    @property
    def epoch(self) -> int:
        """Epochs completed."""
        return self.state.epoch

    def restore(self, trainer: Trainer) -> None:
        """Put a trainer and its model where the training stood."""
        trainer.model.parameters[:] = self.tensors["parameters"]
        trainer.model.running_statistics[:] = self.tensors["running_statistics"]
        self.state.restore(trainer)
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
        "input_layer": model.input_layer,
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
        fields = container.require_keys(contents.metadata, _FIELDS, "the checkpoint", progress=None)
        before = container.require_keys(
            fields["call"],
            [*call],
            "call",
            input_layer=None,
            precision=trainer.model.dtype.name,
            shards=None,
        )
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
    # One that has begun is done with as well: its steps have been taken.
    begun = training.epoch - training.first_epoch + (training.state.progress[1] > 0)
    if epochs < begun:
        raise ValueError(
            f"epochs must be at least {begun}, those begun in the checkpoint {path!r}, got {epochs}"
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
    """Write a training as it stands between two steps."""
    history, tensors = pack_history(trainer.history)
    tensors["parameters"] = trainer.model.parameters
    tensors["running_statistics"] = trainer.model.running_statistics
    state, arrays = pack_trainer(trainer)
    tensors |= arrays
    kept = None if best is None else best.kept
    if kept is not None:
        tensors |= zip(_BEST, kept, strict=True)
    stopping = None if best is None else best.plateau.state
    tensors[_STOPPING_BEST] = np.array(stopping[0] if stopping else np.nan)
    metadata = {
        "call": call,
        "first_epoch": first_epoch,
        **state,
        "history": history,
        "ended_by_callback": ended_by_callback,
        "stopping_epochs": stopping and stopping[1],
        "has_best": kept is not None,
    }
    container.write(path, KIND, metadata, tensors)


def _unpack(fields: dict[str, Any], tensors: Tensors, trainer: Trainer) -> Training:
    """Check the fields and tensors of a checkpoint whose call is the trainer's."""
    model = trainer.model
    history = unpack_history(fields["history"], tensors)
    state = unpack_trainer(fields, tensors, trainer)
    shapes = {
        "parameters": model.parameters.shape,
        "running_statistics": model.running_statistics.shape,
    }
    if _arguments.boolean(fields["has_best"], "has_best"):
        shapes |= zip(_BEST, [*shapes.values()], strict=True)
    kept = {
        name: container.require_tensor(tensors, name, model.dtype, shape)
        for name, shape in shapes.items()
    }
    best = require_float(tensors, _STOPPING_BEST)
    others = tensors.keys() - kept.keys() - {_STOPPING_BEST}
    if others:
        raise ValueError(f"the checkpoint must have no other tensors, got {sorted(others)}")
    return Training(
        first_epoch=_arguments.integer(fields["first_epoch"], "first_epoch", 0, state.epoch),
        state=state,
        history=history,
        ended_by_callback=_arguments.boolean(fields["ended_by_callback"], "ended_by_callback"),
        stopping=plateau_state(
            fields["stopping_epochs"],
            best,
            "stopping_epochs",
            fields["call"]["early_stopping"] is not None,
        ),
        tensors=kept,
    )
