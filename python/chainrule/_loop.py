"""The loop over epochs: the epochs themselves run in C++, everything between them is here.

A fit may end at any line, by Ctrl-C: the place in an epoch is kept by the core until the epoch is
recorded, and what a recorded epoch changes besides is decided before it is recorded.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._bar import Bar
from ._callbacks import Callbacks, EarlyStopping, Plateau, Progress
from ._checkpoint import CheckpointWriter
from ._errors import DIVERGED, DivergenceError
from ._evaluation import Dataset, Evaluation, block_rows, evaluate

if TYPE_CHECKING:
    from ._files.checkpoint import Training
    from ._mlp import MLP
    from ._training import Trainer
    from ._typing import Floats


@dataclass(frozen=True)
class Plan:
    """The checked arguments of a fit."""

    training: Dataset
    validation: Dataset | None
    batch_size: int
    steps_per_epoch: int
    epochs: int
    shuffle: bool
    early_stopping: EarlyStopping | None
    callbacks: Callbacks
    bar: Bar
    threads: int
    first_epoch: int  # epochs completed when the fit began, before it was killed and resumed
    resumed: Training | None
    call: dict[str, Any] | None  # for checkpoints


@dataclass(frozen=True)
class Outcome:
    """What a recorded epoch changes, besides the history."""

    epoch: int  # epochs completed with it
    plateau: tuple[tuple[float, int], float] | None  # its state and the scale of the rate


class Best:
    """Follows the best epoch for early stopping and keeps its numbers to go back to."""

    def __init__(self, rule: EarlyStopping, model: MLP) -> None:
        self._rule = rule
        self._model = model
        self.plateau = Plateau(rule.min_delta, higher_is_better=rule.monitor == "score")
        self.kept: tuple[Floats, Floats] | None = None

    def update(self, loss: float, validation: Evaluation | None) -> bool:
        """Take in an epoch; return whether it is the best."""
        value: float | None = loss if validation is None else validation.loss
        if self._rule.monitor == "score":
            value = None if validation is None else validation.score
        assert value is not None
        better = self.plateau.update(value)
        if better and self._rule.restore_best:
            self.kept = (self._model.parameters.copy(), self._model.running_statistics.copy())
        return better

    def exhausted(self) -> bool:
        """Return whether the patience is at its end."""
        return self.plateau.epochs >= self._rule.patience

    def restore(self) -> None:
        """Put back the numbers of the best epoch."""
        if self.kept is not None:
            self._model._forget_forward()
            self._model.parameters[:] = self.kept[0]
            self._model.running_statistics[:] = self.kept[1]


class Loop:
    """One fit of a trainer over checked data."""

    def __init__(self, trainer: Trainer, plan: Plan) -> None:
        self._trainer = trainer
        self._training = trainer._state
        self._core = self._training.core
        self._plan = plan
        self._history = trainer.history
        self._last_epoch = plan.first_epoch + plan.epochs
        self._best: Best | None = None
        if plan.early_stopping is not None:
            self._best = Best(plan.early_stopping, trainer.model)
            if plan.resumed is not None:
                plan.resumed.restore_best(self._best)
        self._checkpoints = CheckpointWriter(plan.callbacks.checkpoints, self._core.epoch)
        self._block = block_rows(trainer.model)
        self._began = time.perf_counter()
        # Of the present epoch.
        self._loss: float | None = None  # once it is recorded
        self._validation: Evaluation | None = None
        self._outcome: Outcome | None = None
        self._epoch_number = self._core.epoch
        self._reason: str | None = None  # why the training ends

    def run(self) -> None:
        """Train until the last epoch or until something ends the training."""
        plan = self._plan
        self._history.stop_reason = None
        threads_of_steps = self._core.threads
        n_recorded = len(self._history.loss)
        try:
            self._core.threads = plan.threads
            self._core.bind(*plan.training, plan.batch_size, plan.shuffle, self._last_epoch)
            self._reason = self._finished()
            while self._reason is None:
                n_recorded = len(self._history.loss)
                self._outcome = None
                self._reason = self._epoch()
                is_last = self._reason is not None
                self._write(self._checkpoints.at_epoch_end(*self._counts(), is_last=is_last))
            plan.bar.complete()
        except BaseException:
            if self._history.trim() > n_recorded:
                self._take_effect()
            raise
        finally:
            self._core.unbind()
            self._core.threads = threads_of_steps
            plan.bar.close()
        if self._best is not None:
            self._best.restore()
        self._history.stop_reason = self._reason

    def _finished(self) -> str | None:
        """Return why a training that is resumed has no epoch left, or None."""
        resumed, history = self._plan.resumed, self._history
        if resumed is None:
            return None
        # A callback that ended it for want of time may now let it go on.
        if resumed.ended_by_callback and self._core.progress[1]:
            self._epoch_number += 1
            if self._plan.callbacks.step_end(self._core.step_count, self._state):
                return "callback"
        elif resumed.ended_by_callback:
            self._loss = history.loss[-1] if history.loss else None
            if self._plan.validation is not None and history.validation_loss:
                score = history.validation_score[-1] if history.validation_score else None
                self._validation = Evaluation(history.validation_loss[-1], score)
            if self._plan.callbacks.epoch_end(self._state):
                return "callback"
        if self._best is not None and self._best.exhausted():
            return "early_stopping"
        return "epochs" if self._core.epoch >= self._last_epoch else None

    def _counts(self) -> tuple[int, int]:
        return self._core.epoch, self._core.step_count

    def _write(self, paths: list[str]) -> None:
        if not paths:
            return
        from ._files import checkpoint

        assert self._plan.call is not None
        for path in paths:
            checkpoint.write(
                path,
                self._trainer,
                self._plan.call,
                first_epoch=self._plan.first_epoch,
                ended_by_callback=self._reason == "callback",
                best=self._best,
            )

    def _epoch(self) -> str | None:
        """Run an epoch, or the rest of one; return why the training ends with it, or None."""
        core, history = self._core, self._history
        epoch = self._epoch_number = core.epoch + 1
        self._loss = self._validation = None
        ending = self._run_steps()
        # Without a step there is an epoch to record only if there is no other.
        if ending == "callback" or (core.progress[1] == 0 and history.loss):
            return ending
        loss = self._mean_loss()
        if self._plan.validation is not None:
            self._validation = evaluate(
                self._trainer.model,
                self._plan.validation,
                self._trainer.loss,
                self._block,
                self._plan.threads,
            )
        self._outcome = self._decide(loss, is_complete=ending is None)
        history.record(
            loss=loss,
            validation=self._validation,
            learning_rate=core.learning_rate,
            seconds=self._training.epoch_seconds,
            steps=core.progress[1],
        )
        self._loss = loss
        self._take_effect()
        stops = self._stops_early(epoch, loss)
        self._plan.bar.show(self._state)
        with self._plan.bar.aside():
            stops_by_callback = self._plan.callbacks.epoch_end(self._state)
        if stops_by_callback:
            return "callback"
        if ending is not None or stops:
            return ending or "early_stopping"
        return "epochs" if epoch >= self._last_epoch else None

    def _run_steps(self) -> str | None:
        """Run the steps of an epoch; return why the training ends when one of them ends it."""
        plan, core = self._plan, self._core
        while True:
            pieces = (
                plan.steps_per_epoch,
                plan.callbacks.steps_until_due(core.step_count),
                self._checkpoints.steps_until_due(core.step_count),
                plan.bar.steps_until_due(plan.steps_per_epoch),
            )
            self._trainer.model._forget_forward()  # of a callback: the parameters change
            began = time.perf_counter()
            try:
                status, steps = core.run(min(piece for piece in pieces if piece is not None))
            finally:
                self._training.epoch_seconds += time.perf_counter() - began
            plan.bar.advance(steps)
            if status in DIVERGED:
                raise DivergenceError(status, self._epoch_number, core.progress[1] + 1)
            if steps and plan.callbacks.is_due(core.step_count):
                with plan.bar.aside():
                    stops = plan.callbacks.step_end(core.step_count, self._state)
                if stops:
                    return "callback"
            if status != "running":
                return status if status in ("converged", "line_search") else None
            self._write(self._checkpoints.within_epoch(core.step_count))

    def _decide(self, loss: float, *, is_complete: bool) -> Outcome:
        """Return what the epoch will change, once it is recorded."""
        schedule, core = self._training.plateau_schedule, self._core
        watched = loss if self._validation is None else self._validation.loss
        return Outcome(
            epoch=core.epoch + is_complete,
            plateau=None if schedule is None else schedule.after(watched, core.learning_rate_scale),
        )

    def _take_effect(self) -> None:
        """Let the recorded epoch change what it changes; doing so again changes nothing."""
        outcome, training, core = self._outcome, self._training, self._core
        assert outcome is not None
        if training.plateau_schedule is not None and outcome.plateau is not None:
            training.plateau_schedule.plateau.state, core.learning_rate_scale = outcome.plateau
        lowest = training.best_of_losses()
        if self._best is None:
            self._history.best_epoch = lowest
        if core.epoch < outcome.epoch:
            training.epoch_penalty = core.progress[4]
            core.finish_epoch()
            training.epoch_seconds = 0.0

    def _stops_early(self, epoch: int, loss: float) -> bool:
        """Let early stopping see the epoch; return whether to stop."""
        if self._best is None:
            return False
        if self._best.update(loss, self._validation):
            self._history.best_epoch = epoch
        return self._best.exhausted()

    def _mean_loss(self) -> float:
        _, _, loss_sum, weight_sum, _ = self._core.progress
        return loss_sum / weight_sum if weight_sum else 0.0

    def _state(self) -> Progress:
        return Progress(
            model=self._trainer.model,
            trainer=self._trainer,
            history=self._history,
            epoch=self._epoch_number,
            epochs=self._last_epoch,
            step=self._core.step_count,
            steps_per_epoch=self._plan.steps_per_epoch,
            loss=self._mean_loss() if self._loss is None else self._loss,
            validation_loss=self._validation and self._validation.loss,
            validation_score=self._validation and self._validation.score,
            learning_rate=self._core.learning_rate,
            seconds=time.perf_counter() - self._began,
        )
