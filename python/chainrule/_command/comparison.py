"""The same training by chainrule and by the pure-NumPy reference, timed alike.

Same initial weights, same batches in the same order, same steps, same number of threads. Neither
time holds loading, validation or a progress bar. In float32 the two drift apart by rounding (the
tests compare them in float64): what tells that it was the same training is the held-out score.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

import chainrule as cr
from chainrule import _core

__all__ = ["Comparison", "compare"]

# Short trainings are timed this often in turns and the best time of each counts: the machine's
# other work only ever adds.
_REPEATS = 3
_SHORT_SECONDS = 2.0


@dataclass(frozen=True)
class Comparison:
    """What came out.

    Attributes
    ----------
    seconds, reference_seconds : float
        Time of the whole training.
    repeats : int
        How many trainings each time is the best of.
    reference_outputs : ndarray, shape (n_held_out, n_outputs)
        What the reference predicts for the held-out rows.
    threads : int
        Of each.
    """

    seconds: float
    reference_seconds: float
    repeats: int
    reference_outputs: npt.NDArray[Any]
    threads: int


def compare(
    X: npt.NDArray[Any],
    y: npt.NDArray[Any],
    X_held_out: npt.NDArray[Any],
    untrained: cr.MLP,
    *,
    loss: str,
    optimizer: cr.AdamW,
    batch_size: int,
    epochs: int,
    seed: int,
    threads: int,
) -> Comparison:
    """Train both from `untrained` and compare.

    Parameters
    ----------
    X, y : ndarray
        What to train on.
    X_held_out : ndarray
        What the reference is to predict.
    untrained : MLP
        With the initial weights; stays as it is.
    loss, optimizer, batch_size, epochs, seed, threads
        As for `MLP.fit`; NumPy gets the same number of threads.

    Returns
    -------
    Comparison
    """
    from threadpoolctl import threadpool_limits

    # Written and tested in benchmarks/; the build puts a copy into the package.
    reference = importlib.import_module("chainrule._benchmarks.numpy_reference")

    rates = optimizer.schedule().values(-(-len(X) // batch_size), epochs)
    reference_optimizer = reference.AdamW(
        learning_rate=rates.__getitem__, weight_decay=optimizer.weight_decay
    )

    def train_chainrule() -> None:
        untrained.copy().fit(
            X,
            y,
            loss=loss,
            optimizer=optimizer,
            batch_size=batch_size,
            epochs=epochs,
            seed=seed,
            threads=threads,
        )

    def train_reference() -> Any:
        network = reference.NumpyMLP.from_model(untrained)
        network.fit(
            X,
            y,
            loss=loss,
            optimizer=reference_optimizer,
            batch_size=batch_size,
            epochs=epochs,
            order=lambda epoch: _core.permutation(seed, epoch, len(X)),
        )
        return network

    with threadpool_limits(limits=threads):
        seconds = _timed(train_chainrule)[1]
        network, reference_seconds = _timed(train_reference)
        repeats = 1 if reference_seconds > _SHORT_SECONDS else _REPEATS
        for _ in range(repeats - 1):
            seconds = min(seconds, _timed(train_chainrule)[1])
            reference_seconds = min(reference_seconds, _timed(train_reference)[1])
        outputs = network.predict(X_held_out)
    return Comparison(
        seconds=seconds,
        reference_seconds=reference_seconds,
        repeats=repeats,
        reference_outputs=outputs,
        threads=threads,
    )


def _timed(run: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    result = run()
    return result, time.perf_counter() - began
