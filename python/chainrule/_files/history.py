"""A history as fields and arrays, and back. Called by model.py and checkpoint.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arguments
from .._history import History
from .._precision import PRECISIONS
from .container import require_keys, require_tensor

_ALWAYS = ("loss", "learning_rate", "seconds", "steps_per_second")
_VALIDATION = ("validation_loss", "validation_score")
_FIELDS = ("epochs", "best_epoch", "stop_reason", "precision")
_STOP_REASONS = ("epochs", "early_stopping", "callback", "converged", "line_search")


def pack_history(history: History) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Return fields and arrays (float64, named "history.loss" and so on) of a history."""
    metadata = {
        "epochs": len(history.loss),
        "best_epoch": history.best_epoch,
        "stop_reason": history.stop_reason,
        "precision": history.precision,
    }
    arrays = {
        f"history.{name}": np.array(getattr(history, name), np.float64)
        for name in (*_ALWAYS, *_VALIDATION)
    }
    return metadata, arrays


def unpack_history(value: Any, tensors: dict[str, npt.NDArray[Any]]) -> History:
    """Take the arrays of a history out of `tensors` and return the history.

    Raises ValueError or TypeError for what makes none.
    """
    metadata = require_keys(value, _FIELDS, "history", precision=None)
    epochs = _arguments.integer(metadata["epochs"], "epochs of the history", 0)
    history = History()
    for name in (*_ALWAYS, *_VALIDATION):
        key = f"history.{name}"
        is_empty = name in _VALIDATION and key in tensors and tensors[key].size == 0
        length = 0 if is_empty else epochs
        setattr(history, name, require_tensor(tensors, key, np.float64, (length,)).tolist())
        del tensors[key]
    if metadata["best_epoch"] is not None:
        best = _arguments.integer(metadata["best_epoch"], "best_epoch", 1, epochs)
        history.best_epoch = best
    if metadata["stop_reason"] is not None:
        reason = _arguments.one_of(metadata["stop_reason"], _STOP_REASONS, "stop_reason")
        history.stop_reason = reason
    if metadata["precision"] is not None:
        names = (*PRECISIONS, "float64")
        history.precision = _arguments.one_of(metadata["precision"], names, "precision")
    return history
