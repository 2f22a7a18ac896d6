"""Writes model_2.safetensors, a model file of version 2 of the format, which stays readable.

Run by hand, once for each version of the format; tests/python/files/test_model_files.py knows what
the file holds.
"""

from pathlib import Path

import numpy as np

import chainrule as cr
from chainrule._files.container import FORMAT_VERSION

model = cr.MLP(
    [
        4,
        cr.Dense(3, cr.Activation("elu", alpha=0.5), 0.25, "batch", True, "orthogonal"),
        cr.Dense(2, "tanh", norm="layer", bias=False),
        2,
    ],
    dtype="float64",
    seed=2**63 + 1,
)
model.fit(
    np.zeros((32, 4)),
    np.arange(32) % 2,
    loss=cr.CrossEntropy(0.1, [1, 2]),
    optimizer=cr.AdamW(cr.Cosine(0.1, 0.2), weight_decay=0.5, epsilon_hat=True),
    l2=0.125,
    penalize_biases=True,
    divide_penalties=True,
    clip_norm=0.5,
    seed=7,
    batch_size=16,
    epochs=2,
    shuffle=False,
    validation_fraction=0.25,
    early_stopping=cr.EarlyStopping(3, 0.5, "score", False),
)
model.parameters[:] = np.arange(1, model.n_parameters + 1) / 3
model.running_statistics[:] = np.arange(1, 7) / 7
model.history = cr.History(
    *([0.5, 0.25], [0.75, 0.125], [0.5, 1.0], [0.1, 0.05], [1.0, 2.0], [3.0, 1.5]),
    best_epoch=2,
    stop_reason="epochs",
)
model.save(Path(__file__).parent / f"model_{FORMAT_VERSION}.safetensors")
