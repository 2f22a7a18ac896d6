"""The network that the sweeps train: 64-w-w-10, relu, cross-entropy, Adam, float32."""

from functools import cache

import numpy as np

import chainrule as cr

from .timing import SEED, Run

N_INPUTS, N_CLASSES = 64, 10
# An epoch has this many rows or one batch, and at most so many steps: 64, or as many as update this
# many parameters, so that an epoch of the widest networks takes less than a second.
ROWS, MOST_STEPS, MOST_UPDATES = 4096, 64, 1 << 25


def hidden(width: int) -> list[int]:
    """Widths of the network with two hidden layers."""
    return [N_INPUTS, width, width, N_CLASSES]


def trainer(widths: list[int], threads: int | None) -> cr.Trainer:
    """Make a network and what trains it."""
    model = cr.MLP(widths, activation="relu", seed=SEED)
    return cr.Trainer(model, loss="cross_entropy", optimizer=cr.Adam(1e-3), threads=threads)


def epochs(widths: list[int], batch_size: int, threads: int | None) -> tuple[Run, int]:
    """Return the run of some epochs, timed without the checks before them, and their steps."""
    fitted = trainer(widths, threads)
    updates = MOST_UPDATES // fitted.model.parameters.size
    n_steps = max(1, min(MOST_STEPS, ROWS // batch_size, updates))
    X, y = data(n_steps * batch_size)

    def run(times: int) -> float:
        fitted.fit(X, y, batch_size=batch_size, epochs=times, progress=False)
        return sum(fitted.history.seconds[-times:])

    return run, n_steps


def data(n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and labels, always the same."""
    X, y = _all_data(max(ROWS, 1 << (n_rows - 1).bit_length()))
    return X[:n_rows], y[:n_rows]


@cache
def _all_data(n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(SEED)
    X = generator.standard_normal((n_rows, N_INPUTS), dtype=np.float32)
    return X, generator.integers(0, N_CLASSES, n_rows).astype(np.int32)
