"""The training itself: the network, its progress, and the choice of the weight decay.

Of few rows folds choose it, and the network is then trained on all of them to the end; of many, or
where the rows have an order in time, rows that stand aside choose it, and the epoch too.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import chainrule as cr
from chainrule._command.errors import CommandError
from chainrule._command.info import in_machine
from chainrule._command.options import TrainOptions
from chainrule._command.preparation import Prepared
from chainrule._command.progress import EpochBar, EpochLog
from chainrule._command.recipe import Recipe, choose, weight_decays
from chainrule._command.report import Report, count, in_precision, in_shards
from chainrule._command.scores import MAIN, in_words
from chainrule._command.split import fold_of_rows

__all__ = ["Trained", "fit_network"]


@dataclass(frozen=True)
class Trained:
    """What came out of a training.

    Attributes
    ----------
    model : MLP
        That of the best weight decay; with the parameters of its best epoch if it was stopped.
    history : History
        With folds the means of theirs.
    recipe : Recipe
    tried : tuple of float
        Weight decays.
    folds : int
        That chose the weight decay, or 0.
    seconds : float
        Of all trainings.
    """

    model: cr.MLP
    history: cr.History
    recipe: Recipe
    tried: tuple[float, ...]
    folds: int
    seconds: float


def fit_network(report: Report, options: TrainOptions, prepared: Prepared, threads: int) -> Trained:
    """Train a network on what was prepared, with each weight decay; return the best one.

    Raises
    ------
    CommandError
        If the training diverges.
    """
    training = _Training(report, options, prepared, threads)
    return training.with_folds() if prepared.folds else training.stopped_early()


class _Training:
    def __init__(
        self, report: Report, options: TrainOptions, prepared: Prepared, threads: int
    ) -> None:
        n_rows = len(prepared.train.y)
        self._report, self._options, self._threads = report, options, threads
        self._target, self._folds = prepared.target, prepared.folds
        self._recipe = choose(n_rows, options, stops_early=not self._folds)
        self._decays = weight_decays(n_rows, options.weight_decay, stops_early=not self._folds)
        recipe = self._recipe
        widths = (prepared.encoding.width, *recipe.hidden, self._target.n_outputs)
        self._untrained = cr.MLP(
            widths,
            activation=recipe.activation,
            dropout=recipe.dropout,
            seed=options.seed,
            precision=options.precision,
        )
        self._seconds = 0.0
        self._train, self._validation = (
            (part.X, part.y if self._target.classes else self._target.standardize(part.y))
            for part in (prepared.train, prepared.validation)
        )
        self._score_name = f"validation {in_words(MAIN[self._target.task])}"
        self._shows_bar = not options.quiet and sys.stderr.isatty()
        self._describe(widths)

    def _describe(self, widths: Sequence[int]) -> None:
        report, recipe, model = self._report, self._recipe, self._untrained
        report.field(
            "network",
            f"{'-'.join(map(str, widths))}, {recipe.activation}; "
            f"{count(model.n_parameters, 'parameter')} in "
            f"{in_precision(model.dtype.name, model.precision)}",
        )
        epochs = count(recipe.epochs, "epoch")
        report.field(
            "training",
            f"{self._target.loss}, AdamW (learning rate {recipe.learning_rate:g}, warm-up then "
            f"cosine; weight decay {' or '.join(f'{decay:g}' for decay in self._decays)}), "
            f"batches of {recipe.batch_size:,}{in_shards(self._options.shards)}, "
            + (epochs if self._folds else f"up to {epochs}, stopped early"),
        )
        report.field("machine", in_machine(model.precision, self._threads))
        report.line()
        report.flush()

    def with_folds(self) -> Trained:
        """Return a network of all rows, with the weight decay that is best on average."""
        X, y = self._train
        fold = fold_of_rows(y if self._target.classes else None, len(y), self._folds, self._seed)
        best: tuple[Recipe, cr.History] | None = None
        n_epochs = (len(self._decays) * self._folds + 1) * self._recipe.epochs
        with EpochBar(n_epochs, shown=self._shows_bar) as bar:
            for decay in self._decays:
                recipe = dataclasses.replace(self._recipe, weight_decay=decay)
                histories = []
                for k in range(self._folds):
                    train, validation = (X[fold != k], y[fold != k]), (X[fold == k], y[fold == k])
                    fit = self._fit(recipe, train, callbacks=[bar], validation_data=validation)
                    histories.append(fit[1])
                history = _mean(histories, np.bincount(fold, minlength=self._folds))
                if not self._target.classes:
                    # R² of all folds together, whose targets have variance 1: that of a fold of
                    # few rows says little.
                    history.validation_score = [1 - loss for loss in history.validation_loss]
                if not self._shows_bar:
                    self._report.field(
                        f"weight decay {decay:g}",
                        f"validation loss {history.validation_loss[-1]:.4g}, {self._score_name} "
                        f"{history.validation_score[-1]:.4f} ({self._folds} folds)",
                    )
                    self._report.flush()
                if best is None or history.validation_loss[-1] < best[1].validation_loss[-1]:
                    best = recipe, history
            assert best is not None
            model, _ = self._fit(best[0], self._train, callbacks=[bar])
        return self._trained(model, best[1], best[0])

    def stopped_early(self) -> Trained:
        """Return the network of the epoch and weight decay that are best on the rows aside."""
        best: tuple[cr.MLP, cr.History, Recipe] | None = None
        for decay in self._decays:
            recipe = dataclasses.replace(self._recipe, weight_decay=decay)
            what = f"weight decay {decay:g}" if len(self._decays) > 1 else ""
            log = EpochLog(self._report, self._score_name, what)
            assert recipe.patience is not None
            model, history = self._fit(
                recipe,
                self._train,
                callbacks=[] if self._options.quiet or self._shows_bar else [log],
                validation_data=self._validation,
                early_stopping=cr.EarlyStopping(patience=recipe.patience),
                progress=self._shows_bar,
            )
            if best is None or min(history.validation_loss) < min(best[1].validation_loss):
                best = model, history, recipe
        assert best is not None
        return self._trained(*best)

    @property
    def _seed(self) -> int:
        return self._options.seed

    def _trained(self, model: cr.MLP, history: cr.History, recipe: Recipe) -> Trained:
        return Trained(model, history, recipe, self._decays, self._folds, self._seconds)

    def _fit(
        self, recipe: Recipe, train: tuple[npt.NDArray[Any], npt.NDArray[Any]], **more: Any
    ) -> tuple[cr.MLP, cr.History]:
        model = self._untrained.copy()
        try:
            history = model.fit(
                *train,
                loss=self._target.loss,
                optimizer=recipe.optimizer(),
                batch_size=recipe.batch_size,
                epochs=recipe.epochs,
                seed=self._seed,
                shards=self._options.shards,
                threads=self._threads,
                **{"progress": False, **more},
            )
        except cr.DivergenceError as error:
            raise CommandError(
                f"the {error.what} became infinite or NaN in epoch {error.epoch}, batch "
                f"{error.batch}; try a lower --learning-rate than {recipe.learning_rate:g}"
            ) from None
        self._seconds += sum(history.seconds)
        return model, history


def _mean(histories: list[cr.History], n_rows: npt.NDArray[Any]) -> cr.History:
    """Return the course of the folds together: each counts by its rows, the last epoch is kept."""

    def mean(name: str) -> list[float]:
        curves = np.array([getattr(history, name) for history in histories])
        return np.average(curves, axis=0, weights=n_rows).tolist()  # type: ignore[no-any-return]

    n_epochs = len(histories[0].loss)
    return cr.History(
        loss=mean("loss"),
        validation_loss=mean("validation_loss"),
        validation_score=mean("validation_score"),
        best_epoch=n_epochs,
        stop_reason="epochs",
        precision=histories[0].precision,
    )
