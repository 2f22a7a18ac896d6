"""The work between two epochs of an estimator's training, as in scikit-learn.

A callback of :class:`chainrule.Trainer`, made by the estimators' base for each fit: records losses
and scores, prints them, changes the learning rate, and says when the training has converged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._callbacks import Callback, Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._training import Trainer
    from .._typing import Floats
    from ._recipe import Objective

# scipy's L-BFGS-B ends when the loss falls by less than this share in an iteration, and
# scikit-learn leaves that as it is.
_RELATIVE_DECREASE = 2.220446049250313e-09
_LOWEST_RATE = 1e-6  # below which `adaptive` gives up


@dataclass(frozen=True)
class Plan:
    """What a fit asks of its watch.

    Attributes
    ----------
    n_samples : int
        Rows of an epoch.
    weight : float
        Of these rows.
    objective : Objective
        How scikit-learn's loss and penalty relate to the core's.
    offset : float
        What scikit-learn's loss has more.
    score : callable or None
        From the state of an epoch to the score that early stopping follows; None: it follows the
        training loss.
    best_by_loss : bool
        Whether the best epoch has the lowest validation loss, because the score says nothing.
    evaluate : callable or None
        Takes the state of an epoch and records the evaluation sets.
    """

    n_samples: int
    weight: float
    objective: Objective
    offset: float
    score: Callable[[Progress], float] | None
    best_by_loss: bool
    evaluate: Callable[[Progress], object] | None

    def loss(self, loss: float, penalty: float) -> float:
        """Return scikit-learn's loss for the core's, of which `penalty` is a part."""
        ours = self.objective
        # Where both scales are the same, as they mostly are, no rounding comes in.
        rest = (ours.gradient - ours.value) * penalty if ours.gradient != ours.value else 0.0
        return ours.value * loss + rest + self.offset


class Watch(Callback):
    """Follows the epochs of a stochastic solver."""

    def __init__(self, estimator: Any, trainer: Trainer, plan: Plan) -> None:
        self._estimator = estimator
        self._trainer = trainer
        self._plan = plan
        self._lowest = math.inf
        self._follows_sgd = estimator.optimizer is None and estimator.solver == "sgd"
        self._best = self._first = self._state() if plan.score is not None else None
        # Of a fit that goes on with a warm start, the best epoch is the present state; else there
        # is none yet, and an interrupt leaves what there is.
        if not estimator.loss_curve_:
            self._best = None

    def on_epoch_end(self, state: Progress) -> bool:
        """Take in an epoch; return whether the training has converged."""
        estimator, plan = self._estimator, self._plan
        loss = plan.loss(state.loss, self._trainer._state.epoch_penalty / plan.weight)
        self._record(loss)
        if estimator.verbose:
            print(f"Iteration {estimator.n_iter_}, loss = {loss:.8f}")
        if plan.evaluate is not None:
            plan.evaluate(state)
        if plan.score is None:
            self._follow_loss(loss)
        else:
            self._follow_score(plan.score(state), state.validation_loss)
        if self._follows_sgd and estimator.learning_rate == "invscaling":
            self._set_rate_scale((estimator.t_ + 1) ** -estimator.power_t)
        if estimator._no_improvement_count <= estimator.n_iter_no_change:
            return False
        return self._is_stopping()

    def diverged(self) -> str | None:
        """Record an epoch that diverged; return which weights there are to go back to, if any."""
        if self._first is None:
            return None
        weights = "those of the best epoch" if self._best else "those before the first epoch"
        self._best = self._best or self._first
        self._record(math.nan)
        self._estimator.validation_scores_.append(math.nan)
        self._estimator.best_validation_score_ = self._best_score()
        return weights

    def restore(self) -> None:
        """Put back the best epoch of early stopping."""
        if self._best is not None:
            model = self._trainer.model
            model.parameters[:], model.running_statistics[:] = self._best

    def _record(self, loss: float) -> None:
        estimator = self._estimator
        estimator.loss_ = loss
        estimator.loss_curve_.append(loss)
        estimator.n_iter_ += 1
        estimator.t_ += self._plan.n_samples

    def _follow_loss(self, loss: float) -> None:
        estimator = self._estimator
        best = estimator.best_loss_
        if best is not None and loss > best - estimator.tol:
            estimator._no_improvement_count += 1
        else:
            estimator._no_improvement_count = 0
        if best is None or loss < best:
            estimator.best_loss_ = loss

    def _follow_score(self, score: float, loss: float | None) -> None:
        estimator = self._estimator
        estimator.validation_scores_.append(score)
        if estimator.verbose:
            print(f"Validation score: {score:f}")
        best = self._best_score()
        if score < best + estimator.tol:
            estimator._no_improvement_count += 1
        else:
            estimator._no_improvement_count = 0
        is_best = score > best
        if self._plan.best_by_loss:
            assert loss is not None
            is_best = loss < self._lowest
            self._lowest = min(loss, self._lowest)
        if is_best:
            self._best = self._state()
        best = max(score, best)
        estimator.best_validation_score_ = best

    def _best_score(self) -> float:
        best: float | None = self._estimator.best_validation_score_
        return -math.inf if best is None else best

    def _state(self) -> tuple[Floats, Floats]:
        model = self._trainer.model
        return model.parameters.copy(), model.running_statistics.copy()

    def _is_stopping(self) -> bool:
        estimator = self._estimator
        what = "Training loss" if self._plan.score is None else "Validation score"
        epochs = estimator.n_iter_no_change
        message = f"{what} did not improve by more than tol={estimator.tol:f} in {epochs} epochs."
        rate = self._trainer._core.learning_rate_scale * estimator.learning_rate_init
        adapts = self._follows_sgd and estimator.learning_rate == "adaptive"
        if adapts and rate > _LOWEST_RATE:
            self._set_rate_scale(self._trainer._core.learning_rate_scale / 5.0)
            estimator._no_improvement_count = 0
            message += f" Setting learning rate to {rate / 5.0:f}."
        elif adapts:
            message += " Learning rate too small. Stopping."
        else:
            message += " Stopping."
        if estimator.verbose:
            print(message)
        return bool(estimator._no_improvement_count > 0)

    def _set_rate_scale(self, scale: float) -> None:
        # scikit-learn's velocity holds the learning rates of the steps it comes from; the core's
        # momentum does not, and is multiplied by the new one.
        core = self._trainer._core
        for state in core.states:
            if state is not None:
                state *= core.learning_rate_scale / scale
        core.learning_rate_scale = scale


class WatchLBFGS(Callback):
    """Follows the iterations of L-BFGS."""

    def __init__(self, estimator: Any, trainer: Trainer, plan: Plan) -> None:
        self._estimator = estimator
        self._trainer = trainer
        self._plan = plan
        self._before: float | None = None
        self._evaluations = trainer._core.evaluations
        self.out_of_evaluations = False

    def on_epoch_end(self, state: Progress) -> bool:
        """Take in an iteration; return whether the training ends."""
        estimator, plan = self._estimator, self._plan
        loss = plan.loss(state.loss, self._penalty())
        estimator.loss_ = loss
        estimator.n_iter_ += 1
        if estimator.verbose:
            print(f"Iteration {estimator.n_iter_}, loss = {loss:.8f}")
        if plan.evaluate is not None:
            plan.evaluate(state)
        before, self._before = self._before, loss
        if before is not None:
            scale = max(abs(before), abs(loss), 1.0)
            if before - loss <= _RELATIVE_DECREASE * scale:
                return True
        used = self._trainer._core.evaluations - self._evaluations
        self.out_of_evaluations = used > estimator.max_fun
        return self.out_of_evaluations

    def diverged(self) -> str | None:
        """Return that there are no weights to go back to."""
        return None

    def restore(self) -> None:
        """Leave everything as it is: each iteration is better than the one before."""

    def _penalty(self) -> float:
        squares = sum(float(np.vdot(weight, weight)) for weight in self._trainer.model.weights)
        return self._trainer._settings.l2 / 2 * squares / self._plan.weight
