"""The same training by chainrule and by the pure-NumPy reference, in turns.

Same initial weights, same batches in the same order, same steps. Each takes some epochs in turn, so
that what else the machine does meets both alike, and each has the number of threads that is best
for it: chainrule finds its own, NumPy's BLAS is tried. No time holds loading, validation or a
progress bar. In float32 the two drift apart by rounding (the tests compare them in float64): what
tells that it was the same training is the held-out score.
"""

from __future__ import annotations

import importlib
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

import chainrule as cr
from chainrule import _core
from chainrule._command.stopwatch import Stopwatch, range_in_words, spread_is_wide

__all__ = ["LONGEST_SECONDS", "Comparison", "Problem", "compare"]

LONGEST_SECONDS = 10.0
_ROUNDS = 10
_TRIALS = 3
_LONGEST_TRIALS_SECONDS = 1.0
# Threads of OpenBLAS spin for some 30 ms when their work is done, on processors that are needed.
_PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class Problem:
    """What both train.

    Attributes
    ----------
    X, y : ndarray
        What to train on.
    X_held_out : ndarray
        What both are to predict.
    untrained : MLP
        With the initial weights; stays as it is.
    settings : dict
        Of `MLP.fit`: loss, an AdamW, batch_size, epochs, seed and threads, which is the most that
        either may use.
    """

    X: npt.NDArray[Any]
    y: npt.NDArray[Any]
    X_held_out: npt.NDArray[Any]
    untrained: cr.MLP
    settings: dict[str, Any]


@dataclass
class Comparison:
    """What came out.

    Attributes
    ----------
    reference_threads : int
        Of NumPy's BLAS, which were the fastest.
    epochs : int
        That were compared; fewer than those of the training if time was up.
    seconds, reference_seconds : list of float
        Time of each round.
    outputs, reference_outputs : ndarray, shape (n_held_out, n_outputs)
        What each predicts for the held-out rows after those epochs.
    alone : Stopwatch
        Of what NumPy did in the calling thread alone.
    """

    reference_threads: int = 1
    epochs: int = 0
    seconds: list[float] = field(default_factory=list)
    reference_seconds: list[float] = field(default_factory=list)
    outputs: Any = None
    reference_outputs: Any = None
    alone: Stopwatch = field(default_factory=Stopwatch)

    @property
    def ratios(self) -> list[float]:
        """How many times as fast chainrule was in each round."""
        pairs = zip(self.reference_seconds, self.seconds, strict=True)
        return [reference / own for reference, own in pairs]

    @property
    def ratio(self) -> float:
        """The median of the ratios."""
        return statistics.median(self.ratios)

    @property
    def disturbance(self) -> str | None:
        """What tells that other programs kept the machine busy, in words; None of an idle one."""
        if self.alone.is_busy:
            return f"NumPy waited for a processor {self.alone.waiting:.0%} of the time"
        if spread_is_wide(self.ratios):
            rounds = len(self.ratios)
            return f"the ratios of {rounds} rounds are {range_in_words(self.ratios)}"
        return None


def compare(problem: Problem, show: Callable[[int, float], None]) -> Comparison:
    """Train both in turns, for `LONGEST_SECONDS` at most or one round.

    Parameters
    ----------
    problem : Problem
    show : callable
        Called with the number of the epoch, from 1, and its loss when NumPy has ended one.

    Returns
    -------
    Comparison
    """
    turns = _Turns(problem, show)
    model = problem.untrained.copy()
    # It takes its turns; the reference takes its own in the callback.
    model.fit(problem.X, problem.y, callbacks=[turns], progress=False, **problem.settings)
    found = turns.comparison
    found.outputs = model.predict(problem.X_held_out)
    found.reference_outputs = turns.network.predict(problem.X_held_out)
    return found


class _Turns(cr.Callback):
    """Lets the reference train as many epochs whenever chainrule has trained some."""

    def __init__(self, problem: Problem, show: Callable[[int, float], None]) -> None:
        from threadpoolctl import ThreadpoolController

        self.comparison = Comparison()
        self._problem, self._show = problem, show
        self._epochs = int(problem.settings["epochs"])
        self._blas = ThreadpoolController()
        self._ends = time.perf_counter() + LONGEST_SECONDS
        epoch_seconds = self._find_threads(int(problem.settings["threads"]))
        self.network, self._trainer = self._start()
        # A tenth of the training, or what time allows.
        in_time = int(LONGEST_SECONDS / _ROUNDS / epoch_seconds)
        self._epochs_of_round = max(1, min(math.ceil(self._epochs / _ROUNDS), in_time))

    def on_epoch_end(self, state: cr.Progress) -> bool:
        found = self.comparison
        epochs = state.epoch - found.epochs
        if epochs < self._epochs_of_round and state.epoch < self._epochs:
            return False
        seconds = self._train(self._trainer, epochs, found.reference_threads, self._show)
        found.seconds.append(sum(state.history.seconds[-epochs:]))
        found.reference_seconds.append(seconds)
        found.epochs = state.epoch
        return time.perf_counter() > self._ends

    def _start(self) -> tuple[Any, Any]:
        """Return network and trainer of the reference at the beginning."""
        # Written and tested in benchmarks/; the build puts a copy into the package.
        reference = importlib.import_module("chainrule._benchmarks.numpy_reference")
        settings = self._problem.settings
        optimizer = settings["optimizer"]
        n_steps = -(-len(self._problem.X) // settings["batch_size"])
        rates = optimizer.schedule().values(n_steps, self._epochs)
        network = reference.NumpyMLP.from_model(self._problem.untrained)
        trainer = reference.NumpyTrainer(
            network,
            loss=settings["loss"],
            optimizer=reference.AdamW(
                learning_rate=rates.__getitem__, weight_decay=optimizer.weight_decay
            ),
        )
        return network, trainer

    def _find_threads(self, most: int) -> float:
        """Choose the number of threads of NumPy's BLAS; return the time of an epoch with it."""
        times: dict[int, list[float]] = {n: [] for n in dict.fromkeys((1, most))}
        began = time.perf_counter()
        for _ in range(_TRIALS):
            for threads, found in times.items():
                found.append(self._train(self._start()[1], 1, threads))
            if time.perf_counter() - began > _LONGEST_TRIALS_SECONDS:
                break
        medians = {threads: statistics.median(found) for threads, found in times.items()}
        best = self.comparison.reference_threads = min(medians, key=medians.__getitem__)
        return medians[best]

    def _train(
        self,
        trainer: Any,
        epochs: int,
        threads: int,
        show: Callable[[int, float], None] | None = None,
    ) -> float:
        """Train the reference; return the time."""
        problem = self._problem
        seed, n_rows = problem.settings["seed"], len(problem.X)
        stopwatch = self.comparison.alone if threads == 1 else Stopwatch()
        with self._blas.limit(limits=threads, user_api="blas"), stopwatch:
            trainer.fit(
                problem.X,
                problem.y,
                batch_size=problem.settings["batch_size"],
                epochs=epochs,
                order=lambda epoch: _core.permutation(seed, epoch, n_rows),
                callback=None if show is None else lambda epoch, loss: show(epoch + 1, loss),
            )
        if threads > 1:
            time.sleep(_PAUSE_SECONDS)
        return stopwatch.last
