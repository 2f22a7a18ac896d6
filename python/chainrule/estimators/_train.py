"""The training of an estimator: its trainer, the rows held out, and what a fit ends with.

Called by the estimators' base with what it has checked.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .. import _arguments
from .._callbacks import EarlyStopping
from .._errors import DivergenceError
from .._evaluation import evaluate
from .._history import History
from .._optimizers import has_step
from .._training import Trainer
from ._data import Rows, is_constant, rows_at_a_time
from ._recipe import core_seed, make_optimizer
from ._sharing import mark_changed
from ._watch import Plan, Watch, WatchLBFGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._callbacks import Progress
    from ._recipe import Objective

_AUTOMATIC_BATCH = 200
# Frames from the one that warns to the user's: train, _fit_alone, _fit, fit, scikit-learn's check.
_OF_USER = 6


def train(
    estimator: Any,
    rows: Rows,
    random_state: np.random.RandomState,
    *,
    incremental: bool,
    uses_lbfgs: bool,
    sets: list[Rows],
    precision: str,
) -> None:
    """Train the network of an estimator, with its records, until one of its rules ends it."""
    objective = estimator._objective()
    stops_early = bool(estimator.early_stopping) and not uses_lbfgs
    rule = estimator.early_stopping if isinstance(estimator.early_stopping, EarlyStopping) else None
    validation = sets[-1] if sets else None
    if stops_early and validation is None:
        rows, validation = estimator._hold_out(rows, random_state)
    # R^2 of targets without spread is 0 whatever is predicted.
    best_by_loss = validation is not None and stops_early and is_constant(validation, estimator)
    if rule is not None and best_by_loss:
        rule = replace(rule, monitor="loss")
    n_samples = len(rows.x)
    trainer = _make_trainer(estimator, objective, random_state, incremental, uses_lbfgs, precision)
    is_auto = estimator.batch_size == "auto"
    takes_all = uses_lbfgs or (is_auto and not has_step(trainer.optimizer))
    vars(estimator).pop("evals_result_", None)  # of a fit before this one
    plan = Plan(
        n_samples=n_samples,
        weight=rows.weight(),
        objective=objective,
        offset=estimator._loss_offset(rows.targets, rows.weights),
        score=_scorer(estimator, validation) if stops_early and rule is None else None,
        best_by_loss=best_by_loss,
        evaluate=_recorder(estimator, trainer, sets) if sets else None,
    )
    if not uses_lbfgs:
        _begin_records(estimator, stops_early)
    watch = (WatchLBFGS if uses_lbfgs else Watch)(estimator, trainer, plan)
    estimator.n_iter_ = 0
    n_steps, earlier = trainer.step_count, trainer.history
    if incremental:
        # Each call has a separate history: what a call costs does not grow with their number.
        trainer._state.history = History(precision=precision)
    estimator.history_ = trainer.history
    try:
        trainer.fit(
            rows.x,
            rows.targets,
            batch_size=n_samples if takes_all else _batch_size(estimator, n_samples),
            epochs=1 if incremental else estimator.max_iter,
            shuffle=bool(estimator.shuffle),
            sample_weight=rows.weights,
            validation_data=None if validation is None else validation.given(),
            early_stopping=rule if stops_early else None,
            callbacks=[watch, *(estimator.callbacks or ())],
            progress=estimator.progress,
            threads=estimator.n_threads,
        )
    except DivergenceError as error:
        mark_changed(estimator)
        text = "Solver produced non-finite parameter weights"
        kept = watch.diverged()
        if kept is None:
            raise ValueError(
                f"{text}. The input data may contain large values and need to be preprocessed. "
                f"In detail: {error}"
            ) from error
        watch.restore()
        warnings.warn(
            f"{text} in epoch {error.epoch}: the model keeps {kept}. "
            "The input data may need to be scaled.",
            ConvergenceWarning,
            stacklevel=_OF_USER,
        )
    except KeyboardInterrupt:
        mark_changed(estimator)
        watch.restore()
        warnings.warn("Training interrupted by user.", stacklevel=_OF_USER)
    except BaseException:
        if trainer.step_count != n_steps:
            mark_changed(estimator)
        else:
            trainer._state.history = earlier
        raise
    else:
        mark_changed(estimator)  # though the warning be an error
        watch.restore()
        if not incremental:
            _warn_unless_converged(estimator, trainer, watch)


def _begin_records(estimator: Any, stops_early: bool) -> None:
    """Make the records of a stochastic solver that no fit before has made."""
    if not hasattr(estimator, "loss_curve_"):
        estimator.loss_curve_ = []
        estimator._no_improvement_count = 0
        estimator.best_loss_ = None
        estimator.best_validation_score_ = estimator.validation_scores_ = None
    if stops_early and estimator.validation_scores_ is None:
        estimator.validation_scores_ = []


def _batch_size(estimator: Any, n_samples: int) -> int:
    if estimator.batch_size == "auto":
        return min(_AUTOMATIC_BATCH, n_samples)
    if estimator.batch_size > n_samples:
        warnings.warn(
            f"batch_size must be at most the number of samples, {n_samples}, "
            f"got {estimator.batch_size}: it is clipped",
            stacklevel=_OF_USER + 1,
        )
    return int(min(estimator.batch_size, n_samples))


def _make_trainer(
    estimator: Any,
    objective: Objective,
    random_state: np.random.RandomState,
    incremental: bool,
    uses_lbfgs: bool,
    precision: str,
) -> Trainer:
    """Return the trainer; that of the last fit when that is to go on."""
    penalty = estimator.alpha / objective.gradient
    optimizer = make_optimizer(estimator, objective)
    if incremental and optimizer.schedule().needs_epochs:
        raise ValueError(
            "partial_fit needs a learning rate that does not depend on the number of epochs, "
            f"got {optimizer.learning_rate}"
        )
    shards = _arguments.shards(estimator.shards, mixes_rows=estimator.model_._mixes_rows)
    last: Trainer | None = estimator._trainer
    if incremental and last is not None:
        same = (objective.loss, optimizer, penalty, precision, shards)
        if same == (last.loss, last.optimizer, last._settings.l2, last.precision, last.shards):
            return last
    seed = core_seed(random_state) if estimator.shuffle and not uses_lbfgs else 0
    trainer = Trainer(
        estimator.model_,
        loss=objective.loss,
        optimizer=optimizer,
        l2=penalty,
        divide_penalties=True,
        seed=seed,
        precision=precision,
        shards=shards,
    )
    trainer._warns_of_scale = False
    estimator._trainer = trainer
    return trainer


def _scorer(estimator: Any, validation: Rows | None) -> Callable[[Progress], float]:
    assert validation is not None
    data = validation.checked(estimator.model_.dtype)

    def score(state: Progress) -> float:
        own: float | None = estimator._own_score(data)
        if own is not None:
            return own
        if state.validation_score is not None:
            return state.validation_score
        assert state.validation_loss is not None
        return -state.validation_loss  # a loss without a score, as of quantiles

    return score


def _recorder(estimator: Any, trainer: Trainer, sets: list[Rows]) -> Callable[[Progress], None]:
    """Return what evaluates the sets after an epoch; the last one the core has evaluated."""
    names = [f"validation_{i}" for i in range(len(sets))]
    records: dict[str, dict[str, list[float]]] = {name: {"loss": [], "score": []} for name in names}
    estimator.evals_result_ = records
    others = [rows.checked(estimator.model_.dtype) for rows in sets[:-1]]
    n_threads = estimator.n_threads or 0

    def record(state: Progress) -> None:
        model, loss = trainer.model, trainer.loss
        for name, data in zip(names, others, strict=False):
            result = evaluate(model, data, loss, rows_at_a_time(model, data.x), n_threads)
            _append(records[name], result.loss, result.score)
        _append(records[names[-1]], state.validation_loss, state.validation_score)

    return record


def _warn_unless_converged(estimator: Any, trainer: Trainer, watch: Watch | WatchLBFGS) -> None:
    evaluations = isinstance(watch, WatchLBFGS) and watch.out_of_evaluations
    if evaluations:
        text = f"L-BFGS: more than max_fun={estimator.max_fun} evaluations of the loss"
    elif trainer.history.stop_reason != "epochs" or trainer.optimizer.schedule().needs_epochs:
        return  # converged, stopped by a callback, or at the end of a planned course
    else:
        solver = "L-BFGS" if isinstance(watch, WatchLBFGS) else "Stochastic optimizer"
        text = f"{solver}: maximum iterations ({estimator.max_iter}) reached"
    warnings.warn(
        f"{text} and the optimization hasn't converged yet.",
        ConvergenceWarning,
        stacklevel=_OF_USER + 1,
    )


def _append(record: dict[str, list[float]], loss: float | None, score: float | None) -> None:
    record["loss"].append(np.nan if loss is None else loss)
    record["score"].append(np.nan if score is None else score)
