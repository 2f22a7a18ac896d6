"""The command `chainrule train FILE`: table, network, training, scores, model, reports."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import sys
from dataclasses import dataclass
from typing import Any

import chainrule as cr
from chainrule._command import figures
from chainrule._command.errors import CommandError, UsageError, quoted, require
from chainrule._command.importance import MOST_ROWS, permutation_importance
from chainrule._command.info import num_threads
from chainrule._command.outputs import check_output, write_file
from chainrule._command.page import in_numbers, render
from chainrule._command.pipeline import Pipeline, probabilities
from chainrule._command.preparation import Prepared, prepare
from chainrule._command.progress import EpochLog
from chainrule._command.recipe import Recipe, choose, weight_decays
from chainrule._command.report import Report, count, duration
from chainrule._command.rival import train_rival
from chainrule._command.scores import MAIN, baseline, confusion, in_words, score
from chainrule._command.table import Choices
from chainrule._command.target import Task
from chainrule._command.values import plain

__all__ = ["TrainOptions", "train"]

_EXTENSION = ".safetensors"
_MOST_COLUMNS_SHOWN = 30


@dataclass(frozen=True)
class TrainOptions:
    """The arguments of `chainrule train FILE`; None stands for a default told from the data."""

    file: str
    target: str | None
    task: Task | None
    choices: Choices
    test_fraction: float
    time_column: str | None
    hidden: tuple[int, ...] | None
    activation: str | None
    dropout: float | None
    epochs: int | None
    batch_size: int | None
    learning_rate: float | None
    weight_decay: float | None
    seed: int
    threads: int | None
    output: str | None
    force: bool
    compare: bool
    quiet: bool


@dataclass(frozen=True)
class _Trained:
    """What came out of a training."""

    model: cr.MLP
    history: cr.History
    recipe: Recipe
    tried: tuple[float, ...]
    seconds: float


def train(options: TrainOptions) -> None:
    """Run `chainrule train FILE`.

    Raises
    ------
    CommandError
        If options or file cannot be used, or the training fails.
    """
    require("chainrule train", ["sklearn", "matplotlib", "tqdm", "pandas"])
    model_path, json_path, page_path = _outputs(options)
    threads = options.threads or num_threads()
    prepared = prepare(
        options.file,
        options.target,
        options.choices,
        options.task,
        options.test_fraction,
        options.seed,
        options.time_column,
    )
    report = Report(options.quiet)
    _describe(report, options, prepared)
    try:
        trained = _train(report, options, prepared, threads)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the training has not ended and nothing was written") from None
    pipeline = Pipeline(
        prepared.encoding, prepared.target, trained.model, options.choices.missing
    )
    found = _report(options, prepared, trained, threads, model_path)
    _print_scores(report, found)
    pipeline.save(model_path, overwrite=options.force)
    text = json.dumps(plain(found), indent=1, ensure_ascii=False, allow_nan=False)
    write_file(json_path, f"{text}\n".encode(), force=options.force)
    pictures = {
        heading: (figures.as_svg(figure), caption)
        for heading, (figure, caption) in _figures(
            options, prepared, trained, found, threads
        ).items()
    }
    page = render(found, pictures)
    write_file(page_path, page.encode(), force=options.force)
    report.line()
    report.field("model", model_path, result=True)
    report.field("report", f"{page_path}, {json_path}", result=True)


def _outputs(options: TrainOptions) -> tuple[str, str, str]:
    """Return the paths of model, JSON and page, all of which may be written."""
    path = options.output
    if path is None:
        path = os.path.splitext(os.path.basename(options.file))[0] + _EXTENSION
    if not path.endswith(_EXTENSION):
        raise UsageError(f"--output {path}: expected a name that ends in {_EXTENSION}")
    stem = path.removesuffix(_EXTENSION)
    paths = (path, f"{stem}.json", f"{stem}.html")
    for each in paths:
        inputs = [options.file] if os.path.exists(options.file) else []
        check_output(each, "--output", force=options.force, inputs=inputs)
    return paths


def _describe(report: Report, options: TrainOptions, prepared: Prepared) -> None:
    target, columns = prepared.target, prepared.columns
    n_used = sum(len(part.y) for part in (prepared.train, prepared.validation, prepared.held_out))
    parts = [count(prepared.n_rows, "row"), count(len(columns), "column")]
    report.field("data", f"{options.file}: {', '.join(parts)} and the target")
    for column in columns[:_MOST_COLUMNS_SHOWN]:
        missing = f"; {column.n_missing:,} missing" if column.n_missing else ""
        kind = column.kind + (f" ({column.n_distinct:,})" if column.n_distinct else "")
        report.field(f"  {quoted(column.name)}", f"{kind}: {column.encoded}{missing}")
    if len(columns) > _MOST_COLUMNS_SHOWN:
        report.field("", f"and {len(columns) - _MOST_COLUMNS_SHOWN:,} more")
    for name, why in prepared.left_out.items():
        report.field("left out", f"{quoted(name)}: {why}")
    for why, n in prepared.unusable.items():
        report.field("left out", f"{count(n, 'row')} {why}")
    for note in prepared.notes:
        report.field("note", note)
    classes = f" ({len(target.classes)} classes)" if target.classes else ""
    report.field("task", f"{target.task}{classes}, because {prepared.reason}")
    report.field(
        "split",
        f"{n_used:,} rows: {len(prepared.train.y):,} to train on, "
        f"{len(prepared.validation.y):,} to say when to stop, {len(prepared.held_out.y):,} held out "
        f"({prepared.how_split})",
    )
    report.flush()


def _train(report: Report, options: TrainOptions, prepared: Prepared, threads: int) -> _Trained:
    n_rows = len(prepared.train.y)
    recipe = choose(n_rows, options)
    target = prepared.target
    widths = (prepared.encoding.width, *recipe.hidden, target.n_outputs)
    untrained = cr.MLP(
        widths, activation=recipe.activation, dropout=recipe.dropout, seed=options.seed
    )
    report.field(
        "network",
        f"{'-'.join(map(str, widths))}, {recipe.activation}; "
        f"{count(untrained.n_parameters, 'parameter')} in {untrained.dtype}",
    )
    decays = weight_decays(n_rows, options.weight_decay)
    report.field(
        "training",
        f"{target.loss}, AdamW (learning rate {recipe.learning_rate:g}, warm-up then cosine; weight "
        f"decay {' or '.join(f'{decay:g}' for decay in decays)}), batches of {recipe.batch_size:,}, "
        f"up to {count(recipe.epochs, 'epoch')}, stopped early",
    )
    report.field(
        "machine", f"variant {cr.runtime.active_variant()}, {count(threads, 'thread')}"
    )
    report.line()
    report.flush()
    y_train, y_validation = prepared.train.y, prepared.validation.y
    if not target.classes:
        y_train, y_validation = target.standardize(y_train), target.standardize(y_validation)
    shows_bar = not options.quiet and sys.stderr.isatty()
    best: _Trained | None = None
    seconds = 0.0
    for decay in decays:
        chosen = dataclasses.replace(recipe, weight_decay=decay)
        model = untrained.copy()
        log = EpochLog(report, f"weight decay {decay:g}" if len(decays) > 1 else "")
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
            best = _Trained(model, history, chosen, tuple(decays), 0.0)
    assert best is not None
    return dataclasses.replace(best, seconds=seconds)


def _loss(history: cr.History) -> float:
    return min(history.validation_loss)


def _report(
    options: TrainOptions, prepared: Prepared, trained: _Trained, threads: int, model_path: str
) -> dict[str, Any]:
    """Return all that is known, as the JSON file and the page say it."""
    target, model, history = prepared.target, trained.model, trained.history
    held_out = prepared.held_out
    outputs = model.predict(held_out.X, threads=threads)
    scores: dict[str, Any] = {
        "model": score(target, outputs, held_out.y),
        "baseline": baseline(target, held_out.y),
    }
    compared = None
    if options.compare:
        scores["scikit_learn"], seconds, description = train_rival(
            prepared, trained.recipe, options.seed
        )
        compared = {"description": description, "seconds": seconds}
    importance = permutation_importance(
        model, prepared.encoding, target, held_out, options.seed, threads
    )
    recipe = dataclasses.asdict(trained.recipe)
    return {
        "format": "chainrule report",
        "format_version": 1,
        "chainrule_version": cr.__version__,
        "created": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "task": target.task,
        "reason": prepared.reason,
        "main_score": MAIN[target.task],
        "scores": scores,
        "compared": compared,
        "data": {
            "file": os.path.basename(options.file),
            "rows": prepared.n_rows,
            "unusable_rows": prepared.unusable,
            "columns": [
                {
                    "name": column.name,
                    "kind": column.kind,
                    "missing": column.n_missing,
                    "distinct": column.n_distinct,
                    "encoded": column.encoded,
                }
                for column in prepared.columns
            ],
            "left_out": prepared.left_out,
            "notes": prepared.notes,
        },
        "target": {"name": target.name, "classes": list(target.classes)},
        "split": {
            "train": len(prepared.train.y),
            "validation": len(prepared.validation.y),
            "held_out": len(held_out.y),
            "how": prepared.how_split,
        },
        "model": {
            "file": os.path.basename(model_path),
            "widths": [model.in_features, *(layer.out_features for layer in model.layers)],
            "activation": recipe["activation"],
            "dropout": recipe["dropout"],
            "parameters": model.n_parameters,
            "dtype": str(model.dtype),
        },
        "training": {
            "loss": target.loss,
            **{
                name: recipe[name]
                for name in ("learning_rate", "weight_decay", "batch_size", "epochs", "patience")
            },
            "weight_decays_tried": list(trained.tried),
            "epochs_run": len(history.loss),
            "best_epoch": history.best_epoch,
            "stop_reason": history.stop_reason,
            "seconds": trained.seconds,
            "threads": threads,
            "variant": cr.runtime.active_variant(),
            "seed": options.seed,
            "history": {
                "loss": history.loss,
                "validation_loss": history.validation_loss,
                "validation_score": history.validation_score,
            },
        },
        "confusion": confusion(target, outputs, held_out.y) if target.classes else None,
        "importance": [
            {"column": name, "mean": mean, "standard_deviation": deviation}
            for name, (mean, deviation) in importance.items()
        ],
    }


def _print_scores(report: Report, found: dict[str, Any]) -> None:
    report.line()
    given = {"model": "model", "baseline": "trivial", "scikit_learn": "scikit-learn"}
    scores = {given[key]: value for key, value in found["scores"].items()}
    rows = [["held-out score", *scores, ""]]
    for name in found["scores"]["model"]:
        values = [in_numbers(name, each[name]) for each in scores.values()]
        rows.append([in_words(name), *values, ""])
    report.table(rows)
    seconds = duration(found["training"]["seconds"])
    compared = found["compared"]
    if compared is not None:
        seconds += f"; {compared['description']}: {duration(compared['seconds'])}"
    report.line()
    report.field("training time", seconds)


def _figures(
    options: TrainOptions,
    prepared: Prepared,
    trained: _Trained,
    found: dict[str, Any],
    threads: int,
) -> dict[str, tuple[Any, str]]:
    """Return figure and caption by heading, in the order of the page."""
    target, held_out, history = prepared.target, prepared.held_out, trained.history
    outputs = trained.model.predict(held_out.X, threads=threads)
    main = in_words(found["main_score"])
    pictures = {}
    if target.classes:
        shares = probabilities(outputs)
        predicted = shares.argmax(axis=1)
        pictures["Confusion matrix"] = (
            figures.confusion_matrix(found["confusion"], target.classes),
            "Held-out rows by their class and by the one that the model named; the darker, the "
            "greater the share of the class.",
        )
        pictures["Calibration"] = (
            figures.calibration_of_classes(shares.max(axis=1), predicted == held_out.y),
            "How often the model is right when it is so sure; below the line it is too sure.",
        )
    else:
        values = target.values(outputs)
        pictures["Predicted against actual"] = (
            figures.predicted_against_actual(values, held_out.y, target.name, options.seed),
            "One point for each held-out row, 5,000 at most.",
        )
        pictures["Calibration"] = (
            figures.calibration_of_values(values, held_out.y, target.name),
            "Held-out rows in tenths, by what was predicted: means of predicted and actual values.",
        )
    falls = {
        item["column"]: (item["mean"], item["standard_deviation"]) for item in found["importance"]
    }
    pictures["What the model goes by"] = (
        figures.importance(falls, main),
        f"Permutation importance: by how much {main} falls on held-out rows ({MOST_ROWS:,} at most) "
        "when a column's values are shuffled, mean and standard deviation of five shuffles. Columns "
        "that say the same share it.",
    )
    pictures["Learning curve"] = (
        figures.learning_curve(
            history.loss, history.validation_loss, history.validation_score, main, history.best_epoch
        ),
        "Loss by epoch on the rows to learn from and on those that say when to stop.",
    )
    return pictures
