"""What is found out about a trained network: scores and more, as plain data and as figures."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import chainrule as cr
from chainrule._command import figures
from chainrule._command.fitting import Trained
from chainrule._command.importance import permutation_importance
from chainrule._command.options import TrainOptions
from chainrule._command.pipeline import probabilities
from chainrule._command.preparation import Prepared
from chainrule._command.report import count
from chainrule._command.rival import train_rival
from chainrule._command.scores import MAIN, baseline, confusion, in_words, score
from chainrule._command.values import file_name

__all__ = ["draw", "find"]


def find(
    options: TrainOptions, prepared: Prepared, trained: Trained, threads: int, model_path: str
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
        scores["scikit_learn"], compared = train_rival(prepared, trained.recipe, options.seed)
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
            "file": file_name(options.file),
            "rows": prepared.n_rows,
            "unusable_rows": prepared.unusable,
            "columns": [
                {
                    "name": column.name,
                    "kind": column.kind,
                    "missing": column.n_missing,
                    "distinct": column.n_distinct,
                    "encoded": column.encoded,
                    "date_format": column.date_format,
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
            "folds": prepared.folds,
            "how": prepared.how_split,
        },
        "model": {
            "file": file_name(model_path),
            "widths": [model.in_features, *(layer.out_features for layer in model.layers)],
            "activation": recipe["activation"],
            "dropout": recipe["dropout"],
            "parameters": model.n_parameters,
            "dtype": str(model.dtype),
            "precision": model.precision,
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
            "shards": options.shards,
            "history": {
                "loss": history.loss,
                "validation_loss": history.validation_loss,
                "validation_score": history.validation_score,
            },
        },
        "confusion": confusion(target, outputs, held_out.y) if target.classes else None,
        "importance_of": "rise of log loss" if target.classes else "fall of R²",
        "importance": [
            {"column": name, "mean": mean, "standard_deviation": deviation}
            for name, (mean, deviation) in importance.harm.items()
        ],
        "importance_measured": {
            "columns": len(importance.harm),
            "of_columns": importance.n_columns,
            "rows": importance.n_rows,
            "in_words": importance.in_words(),
        },
    }


def draw(
    options: TrainOptions,
    prepared: Prepared,
    trained: Trained,
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
            "Held-out rows by their class and by the one that the model named; the stronger the "
            "color, the greater the share of the class.",
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
    harm = {
        item["column"]: (item["mean"], item["standard_deviation"]) for item in found["importance"]
    }
    pictures["What the model goes by"] = (
        figures.importance(harm, found["importance_of"]),
        f"Permutation importance: {found['importance_of']} when a column's values are shuffled, "
        "mean and standard deviation of five shuffles "
        f"({found['importance_measured']['in_words']}). "
        "Columns that say the same share it.",
    )
    pictures["Learning curve"] = (
        figures.learning_curve(
            history.loss,
            history.validation_loss,
            history.validation_score,
            main,
            history.best_epoch,
        ),
        f"Loss by epoch, mean of {count(trained.folds, 'training')}: on the rows to learn from and "
        "on the fold that was left out. The model then learned from all of them."
        if trained.folds
        else "Loss by epoch on the rows to learn from and on those that say when to stop.",
    )
    return pictures
