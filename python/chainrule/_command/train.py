"""The command `chainrule train`: data, network, training, scores, comparison, picture."""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import chainrule as cr
from chainrule._command.comparison import compare
from chainrule._command.dataset import Dataset, Task, load_digits, prepare_table
from chainrule._command.errors import CommandError, require
from chainrule._command.info import num_threads
from chainrule._command.lines import check_path
from chainrule._command.picture import check_picture_path, write_learning_curve
from chainrule._command.report import Report, count, duration
from chainrule._command.table import read_table

__all__ = ["TrainOptions", "train"]

# Chosen by held-out scores on scikit-learn's bundled data sets. On 120 other seeds the digits had
# a mean accuracy of 0.985, three of them below 0.97 (0.967): width, dropout and more epochs do not
# change that, the split does. Regression: noisy small tables want the larger weight decay.
_HIDDEN, _HIDDEN_DIGITS = (128, 64), (256, 128)
_STEPS_WANTED = 1500
_FEWEST_EPOCHS, _MOST_EPOCHS = 10, 60
_WARMUP_FRACTION = 0.1
_WEIGHT_DECAY = {"classification": 0.3, "regression": 1.0}

# The reference takes several times as long; longer trainings on a file run it only if asked to.
_LONG_SECONDS = 10.0

# Without a terminal a training prints so many lines, in place of a progress bar.
_LOG_LINES = 10


@dataclass(frozen=True)
class TrainOptions:
    """The arguments of `chainrule train`; None stands for a default told from the data."""

    file: str | None
    target: str | None
    task: Task | None
    test_fraction: float
    hidden: tuple[int, ...] | None
    activation: str
    epochs: int | None
    batch_size: int | None
    learning_rate: float
    seed: int
    threads: int | None
    plot: str
    reference: bool | None
    quiet: bool


@dataclass(frozen=True)
class Recipe:
    """How a network is trained, with every default filled in."""

    loss: str
    optimizer: cr.AdamW
    batch_size: int
    epochs: int
    steps: int
    threads: int

    @classmethod
    def choose(cls, options: TrainOptions, dataset: Dataset) -> Recipe:
        """Fill in what the user left open."""
        rows = len(dataset.X_train)
        told = 32 if rows < 10_000 else 128 if rows < 100_000 else 512
        batch_size = min(options.batch_size or told, rows)
        steps_per_epoch = math.ceil(rows / batch_size)
        wanted = math.ceil(_STEPS_WANTED / steps_per_epoch)
        epochs = options.epochs or min(max(wanted, _FEWEST_EPOCHS), _MOST_EPOCHS)
        schedule = cr.Cosine(options.learning_rate, warmup_fraction=_WARMUP_FRACTION)
        return cls(
            loss="cross_entropy" if dataset.task == "classification" else "mse",
            optimizer=cr.AdamW(schedule, weight_decay=_WEIGHT_DECAY[dataset.task]),
            batch_size=batch_size,
            epochs=epochs,
            steps=epochs * steps_per_epoch,
            threads=options.threads or num_threads(),
        )


def train(options: TrainOptions) -> None:
    """Run `chainrule train`.

    Raises
    ------
    CommandError
        If options or file cannot be used, or the training fails.
    """
    libraries = ["sklearn", "matplotlib", "tqdm"]
    require("chainrule train", [*libraries, "pandas"] if options.file else libraries)
    if options.file is not None:
        check_path(options.file)
    replaces = check_picture_path(options.plot)
    dataset = _load(options)
    recipe = Recipe.choose(options, dataset)
    hidden = options.hidden
    if hidden is None:
        hidden = _HIDDEN_DIGITS if options.file is None else _HIDDEN
    widths = (dataset.X_train.shape[1], *hidden, dataset.n_outputs)
    model = cr.MLP(widths, activation=options.activation, seed=options.seed)
    untrained = model.copy()

    report = Report(options.quiet)
    _describe(report, options, dataset, recipe, model)
    history = _fit(report, options, dataset, recipe, model)
    _print_scores(report, dataset, model, recipe.threads)
    write_learning_curve(
        options.plot,
        title=f"{os.path.basename(dataset.name)}: {_network(model, options.activation)}",
        loss_name=recipe.loss,
        score_name=dataset.score_name.replace("^2", "²"),
        history=history,
        baseline=_baseline(dataset),
    )
    replaced = " (an older one was replaced)" if replaces else ""
    report.field("learning curve", f"{options.plot}{replaced}", result=True)
    _print_comparison(report, options, dataset, recipe, untrained, sum(history.seconds))


def _load(options: TrainOptions) -> Dataset:
    if options.file is None:
        return load_digits(options.test_fraction, options.seed)
    table = read_table(options.file, options.target)
    return prepare_table(table, options.task, options.test_fraction, options.seed)


def _network(model: cr.MLP, activation: str) -> str:
    widths = (model.in_features, *(layer.out_features for layer in model.layers))
    return f"{'-'.join(map(str, widths))}, {activation}"


def _describe(
    report: Report, options: TrainOptions, dataset: Dataset, recipe: Recipe, model: cr.MLP
) -> None:
    n_train, n_held_out = len(dataset.X_train), len(dataset.X_held_out)
    parts = [count(n_train + n_held_out, "row"), count(model.in_features, "feature")]
    if dataset.classes:
        parts.append(count(len(dataset.classes), "class", "classes"))
    report.field("data", f"{dataset.name}: {', '.join(parts)}; {dataset.scaling}")
    for note in dataset.notes:
        report.field("note", note)
    reason = f", because {dataset.reason}" if dataset.reason else ""
    report.field("task", f"{dataset.task}{reason}")
    stratified = ", stratified" if dataset.classes else ""
    report.field(
        "split",
        f"{n_train:,} rows to train on, {n_held_out:,} held out (seed {options.seed}{stratified})",
    )
    report.field(
        "network",
        f"{_network(model, options.activation)}; "
        f"{count(model.n_parameters, 'parameter')} in {model.dtype}",
    )
    report.field(
        "training",
        f"{recipe.loss}, AdamW (learning rate {options.learning_rate:g}, warm-up then cosine; "
        f"weight decay {recipe.optimizer.weight_decay:g}), batches of {recipe.batch_size}, "
        f"{count(recipe.epochs, 'epoch')}, {count(recipe.steps, 'step')}",
    )
    report.field(
        "machine",
        f"variant {cr.runtime.active_variant()}, {count(recipe.threads, 'thread')}",
    )
    report.line()
    report.flush()


def _fit(
    report: Report, options: TrainOptions, dataset: Dataset, recipe: Recipe, model: cr.MLP
) -> cr.History:
    shows_bar = not options.quiet and sys.stderr.isatty()
    callbacks = [] if options.quiet or shows_bar else [_Log(report, dataset.score_name)]
    try:
        return model.fit(
            dataset.X_train,
            dataset.y_train,
            loss=recipe.loss,
            optimizer=recipe.optimizer,
            batch_size=recipe.batch_size,
            epochs=recipe.epochs,
            validation_data=(dataset.X_held_out, dataset.y_held_out),
            callbacks=callbacks,
            progress=shows_bar,
            seed=options.seed,
            threads=recipe.threads,
        )
    except cr.DivergenceError as error:
        raise CommandError(
            f"the {error.what} became infinite or NaN in epoch {error.epoch}, batch {error.batch}; "
            f"try a lower --learning-rate than {options.learning_rate:g}"
        ) from None
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the training has not ended and no picture was written") from None


class _Log(cr.Callback):
    """Prints a line for some of the epochs, where a progress bar would be garbage."""

    def __init__(self, report: Report, score_name: str) -> None:
        self._report = report
        self._score_name = score_name

    def on_epoch_end(self, state: cr.Progress) -> None:
        """Print the epochs that are multiples of a tenth, and the last."""
        every = -(-state.epochs // _LOG_LINES)
        if state.epoch % every and state.epoch < state.epochs:
            return
        self._report.field(
            f"epoch {state.epoch}/{state.epochs}",
            f"loss {state.loss:.4g}, {self._score_name} {state.validation_score:.4f}",
        )
        self._report.flush()


def _baseline(dataset: Dataset) -> str:
    if dataset.classes:
        return f"always the commonest class: {dataset.baseline:.4f}"
    return "always the mean: 0"


def _scores(dataset: Dataset, outputs: npt.NDArray[Any]) -> list[tuple[str, float, str]]:
    """Return name, value and remark of each held-out score, the main one first."""
    y = dataset.y_held_out
    if dataset.classes:
        right = outputs.argmax(axis=1) == y
        remark = f"{int(right.sum()):,} of {len(y):,} rows; "
        return [
            (
                "held-out accuracy",
                float(right.mean()),
                f"{remark}{_baseline(dataset)}",
            )
        ]
    error = float(np.mean((outputs.astype(np.float64) - y) ** 2))
    spread = float(np.mean((y.astype(np.float64) - y.mean()) ** 2))
    trivial = dataset.target_scale * math.sqrt(float(np.mean(y.astype(np.float64) ** 2)))
    return [
        ("held-out R^2", 1 - error / spread if spread > 0 else math.nan, _baseline(dataset)),
        (
            "held-out RMSE",
            dataset.target_scale * math.sqrt(error),
            f"in units of the target; always the mean: {trivial:.4g}",
        ),
    ]


def _print_scores(report: Report, dataset: Dataset, model: cr.MLP, threads: int) -> None:
    report.line()
    outputs = model.predict(dataset.X_held_out, threads=threads)
    for name, value, remark in _scores(dataset, outputs):
        shown = f"{value:.4g}" if name.endswith("RMSE") else f"{value:.4f}"
        report.field(name, f"{shown} ({remark})", result=True)


def _print_comparison(
    report: Report,
    options: TrainOptions,
    dataset: Dataset,
    recipe: Recipe,
    untrained: cr.MLP,
    seconds: float,
) -> None:
    report.field("training time", f"{duration(seconds)} ({recipe.steps / seconds:,.0f} steps/s)")
    wanted = options.reference
    if wanted is None and options.file is not None and seconds > _LONG_SECONDS:
        report.field("NumPy reference", "left out, for it would take long; --reference runs it")
        return
    if wanted is False:
        return
    report.flush()
    try:
        comparison = compare(
            dataset,
            untrained,
            loss=recipe.loss,
            optimizer=recipe.optimizer,
            batch_size=recipe.batch_size,
            epochs=recipe.epochs,
            seed=options.seed,
            threads=recipe.threads,
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"{options.plot} was written, the NumPy reference has not ended"
        ) from None
    name, score, _ = _scores(dataset, comparison.reference_outputs)[0]
    best_of = f", best of {comparison.repeats}" if comparison.repeats > 1 else ""
    threads = count(comparison.threads, "thread")
    report.field(
        "NumPy reference",
        f"the same training takes {duration(comparison.reference_seconds)}, chainrule "
        f"{duration(comparison.seconds)} ({threads} each, no validation{best_of}); "
        f"its {name}: {score:.4f}",
    )
    ratio = comparison.reference_seconds / comparison.seconds
    report.field("ratio", f"chainrule is {ratio:.1f} times as fast as NumPy", result=True)
