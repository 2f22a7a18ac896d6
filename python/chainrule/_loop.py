"""The loop over epochs: the epochs themselves run in C++, everything between them is here."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._bar import Bar
from ._callbacks import Callbacks, EarlyStopping, Plateau, Progress
from ._checkpoint import CheckpointWriter
from ._errors import DIVERGED, DivergenceError
from ._evaluation import Dataset, Evaluation, block_rows, evaluate
from ._schedules import ReduceOnPlateau

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
    epochs: int
    shuffle: bool
    early_stopping: EarlyStopping | None
    callbacks: Callbacks
    bar: Bar
    threads: int
    first_epoch: int  # epochs completed when the fit began, before it was killed and resumed
    resumed: Training | None
    call: dict[str, Any] | None  # for checkpoints

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch; the last may be short."""
        return -(-len(self.training.x) // self.batch_size)


class PlateauSchedule:
    """The part of :class:`ReduceOnPlateau` that depends on the course of the training."""

    def __init__(self, schedule: ReduceOnPlateau) -> None:
        self._schedule = schedule
        self.plateau = Plateau(schedule.min_delta)

    def scale(self, loss: float, scale: float) -> float:
        """Return by what to multiply the learning rate after an epoch with this loss."""
        self.plateau.update(loss)
        if self.plateau.epochs < self._schedule.patience:
            return scale
        self.plateau.epochs = 0
        lowest = self._schedule.min_learning_rate / self._schedule.learning_rate
        return max(scale * self._schedule.factor, lowest)


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
            self._model.parameters[:] = self.kept[0]
            self._model.running_statistics[:] = self.kept[1]


class Loop:
    """One fit of a trainer over checked data."""

    def __init__(self, trainer: Trainer, plan: Plan) -> None:
        self._trainer = trainer
        self._core = trainer._core
        self._plan = plan
        self._history = trainer.history
        self._last_epoch = plan.first_epoch + plan.epochs
        self._unrecorded = self._core.epoch - len(self._history.loss)
        self._best: Best | None = None
        if plan.early_stopping is not None:
            self._best = Best(plan.early_stopping, trainer.model)
            if plan.resumed is not None:
                plan.resumed.restore_best(self._best)
        self._checkpoints = CheckpointWriter(
            plan.callbacks.checkpoints, self._core.epoch, self._save
        )
        self._lowest: float | None = None  # loss of the history's best epoch
        self._block = block_rows(trainer.model)
        self._began = time.perf_counter()
        # Of the present epoch.
        self._loss_sum = self._weight_sum = 0.0
        self._steps = 0
        self._validation: Evaluation | None = None
        self._epoch_number = self._core.epoch
        self._is_between_epochs = True
        self._reason: str | None = None  # why the training ends

    def run(self) -> None:
        """Train until the last epoch or until something ends the training."""
        plan = self._plan
        self._history.stop_reason = None
        threads_of_steps = self._core.threads
        try:
            self._core.threads = plan.threads
            self._core.bind(*plan.training, plan.batch_size, plan.shuffle, self._last_epoch)
            self._reason = self._finished()
            while self._reason is None:
                self._reason = self._epoch()
                if self._is_between_epochs:
                    self._checkpoints.epoch_end(self._core.epoch, is_last=self._reason is not None)
            plan.bar.complete()
        except BaseException:
            self._forget_unrecorded()
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
        if resumed.ended_by_callback:
            # A callback that ended it for want of time may now let it go on.
            if history.loss:
                self._loss_sum, self._weight_sum = history.loss[-1], 1.0
            if self._plan.validation is not None and history.validation_loss:
                score = history.validation_score[-1] if history.validation_score else None
                self._validation = Evaluation(history.validation_loss[-1], score)
            if self._plan.callbacks.epoch_end(self._state):
                return "callback"
        if self._best is not None and self._best.exhausted():
            return "early_stopping"
        return "epochs" if self._core.epoch >= self._last_epoch else None

    def _save(self, path: str) -> None:
        from ._files import checkpoint

        assert self._plan.call is not None
        checkpoint.write(
            path,
            self._trainer,
            self._plan.call,
            first_epoch=self._plan.first_epoch,
            ended_by_callback=self._reason == "callback",
            best=self._best,
        )

    def _forget_unrecorded(self) -> None:
        # An interrupt can come between the end of an epoch and its record, or within that.
        n_epochs = self._history.trim()
        self._core.epoch = min(self._core.epoch, n_epochs + self._unrecorded)

    def _epoch(self) -> str | None:
        """Run an epoch; return why the training ends with it, or None."""
        epoch = self._epoch_number = self._core.epoch + 1
        self._loss_sum = self._weight_sum = 0.0
        self._steps = 0
        self._validation = None
        began = time.perf_counter()
        ending = self._run_steps()
        seconds = time.perf_counter() - began
        self._is_between_epochs = ending != "callback"
        # Without a step there is an epoch to record only if there is no other.
        if ending == "callback" or (self._steps == 0 and self._history.loss):
            return ending
        loss = self._loss()
        if self._plan.validation is not None:
            self._validation = evaluate(
                self._trainer.model,
                self._plan.validation,
                self._trainer.loss,
                self._block,
                self._plan.threads,
            )
        self._history.record(
            loss=loss,
            validation=self._validation,
            learning_rate=self._core.learning_rate,
            seconds=seconds,
            steps=self._steps,
        )
        stops = self._judge(epoch, loss)
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
                plan.bar.steps_until_due(plan.steps_per_epoch),
            )
            result = core.run(min(piece for piece in pieces if piece is not None))
            self._loss_sum += result.loss_sum
            self._weight_sum += result.weight_sum
            self._steps += result.steps
            plan.bar.advance(result.steps)
            status = result.status
            if status in DIVERGED:
                raise DivergenceError(status, self._epoch_number, self._steps + 1)
            if result.steps and plan.callbacks.is_due(core.step_count):
                with plan.bar.aside():
                    stops = plan.callbacks.step_end(core.step_count, self._state)
                if stops:
                    return "callback"
            if status != "running":
                return status if status in ("converged", "line_search") else None

    def _judge(self, epoch: int, loss: float) -> bool:
        """Let early stopping and the schedule see the epoch; return whether to stop."""
        watched = loss if self._validation is None else self._validation.loss
        plateau = self._trainer._plateau_schedule
        if plateau is not None:
            self._core.learning_rate_scale = plateau.scale(watched, self._core.learning_rate_scale)
        if self._best is None:
            self._follow_lowest_loss()
            return False
        if self._best.update(loss, self._validation):
            self._history.best_epoch = epoch
        return self._best.exhausted()

    def _follow_lowest_loss(self) -> None:
        # All losses are read once for a fit, since a history can be long.
        history = self._history
        losses = history.validation_loss or history.loss
        if self._lowest is None:
            history.best_epoch = history.best_of_losses()
        elif losses[-1] < self._lowest:
            history.best_epoch = len(losses)
        if history.best_epoch is not None:
            self._lowest = losses[history.best_epoch - 1]

    def _loss(self) -> float:
        return self._loss_sum / self._weight_sum if self._weight_sum else 0.0

    def _state(self) -> Progress:
        return Progress(
            model=self._trainer.model,
            trainer=self._trainer,
            history=self._history,
            epoch=self._epoch_number,
            epochs=self._last_epoch,
            step=self._core.step_count,
            steps_per_epoch=self._plan.steps_per_epoch,
            loss=self._loss(),
            validation_loss=self._validation and self._validation.loss,
            validation_score=self._validation and self._validation.score,
            learning_rate=self._core.learning_rate,
            seconds=time.perf_counter() - self._began,
        )
