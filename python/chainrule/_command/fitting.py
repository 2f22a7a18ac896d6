"""The training itself: the network, its progress, and the choice of the weight decay."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass

import chainrule as cr
from chainrule._command.errors import CommandError
from chainrule._command.info import in_machine
from chainrule._command.options import TrainOptions
from chainrule._command.preparation import Prepared
from chainrule._command.progress import EpochLog
from chainrule._command.recipe import Recipe, choose, weight_decays
from chainrule._command.report import Report, count, in_precision
from chainrule._command.scores import MAIN, in_words

__all__ = ["Trained", "fit_network"]


@dataclass(frozen=True)
class Trained:
    """What came out of a training.

    Attributes
    ----------
    model : MLP
        That of the best weight decay, with the parameters of its best epoch.
    history : History
    recipe : Recipe
    tried : tuple of float
        Weight decays.
    seconds : float
        Of all that were tried.
    """

    model: cr.MLP
    history: cr.History
    recipe: Recipe
    tried: tuple[float, ...]
    seconds: float


def fit_network(report: Report, options: TrainOptions, prepared: Prepared, threads: int) -> Trained:
    """Train a network on what was prepared, with each weight decay; return the best one.

    Raises
    ------
    CommandError
        If the training diverges.
    """
    n_rows = len(prepared.train.y)
    recipe = choose(n_rows, options)
    target = prepared.target
    widths = (prepared.encoding.width, *recipe.hidden, target.n_outputs)
    untrained = cr.MLP(
        widths,
        activation=recipe.activation,
        dropout=recipe.dropout,
        seed=options.seed,
        precision=options.precision,
    )
    report.field(
        "network",
        f"{'-'.join(map(str, widths))}, {recipe.activation}; "
        f"{count(untrained.n_parameters, 'parameter')} in "
        f"{in_precision(untrained.dtype.name, untrained.precision)}",
    )
    decays = weight_decays(n_rows, options.weight_decay)
    report.field(
        "training",
        f"{target.loss}, AdamW (learning rate {recipe.learning_rate:g}, warm-up then cosine; "
        f"weight decay {' or '.join(f'{decay:g}' for decay in decays)}), "
        f"batches of {recipe.batch_size:,}, up to {count(recipe.epochs, 'epoch')}, stopped early",
    )
    report.field("machine", in_machine(untrained.precision, threads))
    report.line()
    report.flush()
    y_train, y_validation = prepared.train.y, prepared.validation.y
    if not target.classes:
        y_train, y_validation = target.standardize(y_train), target.standardize(y_validation)
    shows_bar = not options.quiet and sys.stderr.isatty()
    best: Trained | None = None
    seconds = 0.0
    for decay in decays:
        chosen = dataclasses.replace(recipe, weight_decay=decay)
        model = untrained.copy()
        name = f"validation {in_words(MAIN[target.task])}"
        log = EpochLog(report, name, f"weight decay {decay:g}" if len(decays) > 1 else "")
        try:
            history = model.fit(
                prepared.train.X,
                y_train,
                loss=target.loss,
                optimizer=chosen.optimizer(),
                batch_size=chosen.batch_size,
                epochs=chosen.epochs,
                validation_data=(prepared.validation.X, y_validation),
                early_stopping=cr.EarlyStopping(patience=chosen.patience),
                callbacks=[] if options.quiet or shows_bar else [log],
                progress=shows_bar,
                seed=options.seed,
                threads=threads,
            )
        except cr.DivergenceError as error:
            raise CommandError(
                f"the {error.what} became infinite or NaN in epoch {error.epoch}, batch "
                f"{error.batch}; try a lower --learning-rate than {chosen.learning_rate:g}"
            ) from None
        seconds += sum(history.seconds)
        if best is None or _loss(history) < _loss(best.history):
            best = Trained(model, history, chosen, tuple(decays), 0.0)
    assert best is not None
    return dataclasses.replace(best, seconds=seconds)


def _loss(history: cr.History) -> float:
    return min(history.validation_loss)
