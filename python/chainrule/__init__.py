"""Multilayer perceptrons trained on the CPU: C++ kernels under a thin Python API.

>>> import chainrule as cr
>>> model = cr.MLP([784, 256, 128, 10], dropout=0.1)

Models are :class:`MLP`; :mod:`chainrule.kernels` has their arithmetic on plain arrays, and
:mod:`chainrule.runtime` sets the variant of the kernels and the number of threads.
:mod:`chainrule.exchange` converts models from and to PyTorch, scikit-learn, ONNX and C.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _threadpoolctl, kernels, runtime
from ._callbacks import Callback, EarlyStopping, Progress
from ._checkpoint import Checkpoint
from ._core import __version__
from ._errors import DivergenceError, ModelFileError, ScaleWarning
from ._evaluation import Evaluation
from ._history import History
from ._layers import Activation, Dense, Standardize
from ._loss import Loss
from ._losses import (
    MAE,
    MSE,
    BinaryCrossEntropy,
    CrossEntropy,
    GaussianNLL,
    Huber,
    Poisson,
    Quantile,
)
from ._mlp import MLP
from ._optimizers import LBFGS, SGD, Adagrad, Adam, AdamW, Lion, NAdam, Optimizer, RMSprop
from ._schedules import (
    Constant,
    Cosine,
    ExponentialDecay,
    InverseScaling,
    OneCycle,
    ReduceOnPlateau,
    Schedule,
    StepDecay,
)
from ._training import Trainer

# A wrong CHAINRULE_VARIANT raises here, not in the middle of a program.
runtime._check_environment()

if TYPE_CHECKING:
    from . import exchange

_threadpoolctl.register()

__all__ = [
    "LBFGS",
    "MAE",
    "MLP",
    "MSE",
    "SGD",
    "Activation",
    "Adagrad",
    "Adam",
    "AdamW",
    "BinaryCrossEntropy",
    "Callback",
    "Checkpoint",
    "Constant",
    "Cosine",
    "CrossEntropy",
    "Dense",
    "DivergenceError",
    "EarlyStopping",
    "Evaluation",
    "ExponentialDecay",
    "GaussianNLL",
    "History",
    "Huber",
    "InverseScaling",
    "Lion",
    "Loss",
    "ModelFileError",
    "NAdam",
    "OneCycle",
    "Optimizer",
    "Poisson",
    "Progress",
    "Quantile",
    "RMSprop",
    "ReduceOnPlateau",
    "ScaleWarning",
    "Schedule",
    "Standardize",
    "StepDecay",
    "Trainer",
    "__version__",
    "exchange",
    "kernels",
    "runtime",
]


def __getattr__(name: str) -> Any:
    """Import `exchange` when it is first used: training does not need it."""
    if name == "exchange":
        from importlib import import_module

        return import_module("chainrule.exchange")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
