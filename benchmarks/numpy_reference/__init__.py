"""A complete trainer of multilayer perceptrons in pure NumPy: chainrule's oracle and its peer.

Tests compare chainrule with it in float64; benchmarks and ``chainrule train`` compare times with
it. So it is written for speed the way NumPy allows: one flat parameter vector, buffers made once
for a batch size, results written with ``out=``, optimizers in place. It imports NumPy alone.

    model = NumpyMLP(64, [Layer(100, "relu"), Layer(10)], seed=0)
    losses = model.fit(X, y, loss="cross_entropy", optimizer=Adam(1e-3), epochs=20)
    outputs = model.predict(X)
"""

from .activations import ACTIVATIONS, Activation, erf
from .layer import Layer
from .losses import LOSSES
from .network import NumpyMLP, RandomMasks, as_targets
from .optimizers import OPTIMIZERS, SGD, Adagrad, Adam, AdamW, Lion, NAdam, Optimizer, RMSprop
from .trainer import NumpyTrainer

__all__ = [
    "ACTIVATIONS",
    "LOSSES",
    "OPTIMIZERS",
    "SGD",
    "Activation",
    "Adagrad",
    "Adam",
    "AdamW",
    "Layer",
    "Lion",
    "NAdam",
    "NumpyMLP",
    "NumpyTrainer",
    "Optimizer",
    "RMSprop",
    "RandomMasks",
    "as_targets",
    "erf",
]
