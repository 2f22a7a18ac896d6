"""The command `chainrule train FILE`: table, network, training, scores, model, reports."""

from __future__ import annotations

import json
import os
from typing import Any

from chainrule._command import figures
from chainrule._command.compression import without_compression_ending
from chainrule._command.errors import UsageError, quoted, require
from chainrule._command.findings import draw, find
from chainrule._command.fitting import fit_network
from chainrule._command.info import num_threads
from chainrule._command.lines import check_path
from chainrule._command.options import TrainOptions
from chainrule._command.outputs import check_output, write_file
from chainrule._command.page import in_numbers, render
from chainrule._command.pipeline import Pipeline
from chainrule._command.preparation import Prepared, prepare
from chainrule._command.report import Report, count, duration
from chainrule._command.scores import in_words
from chainrule._command.values import plain

__all__ = ["train"]

_EXTENSION = ".safetensors"
_MOST_COLUMNS_SHOWN = 30


def train(options: TrainOptions) -> None:
    """Run `chainrule train FILE`.

    Raises
    ------
    CommandError
        If options or file cannot be used, or the training fails.
    """
    require("chainrule train", ["sklearn", "matplotlib", "tqdm", "pandas"])
    check_path(options.file)
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
        trained = fit_network(report, options, prepared, threads)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the training has not ended and nothing was written") from None
    pipeline = Pipeline(prepared.encoding, prepared.target, trained.model, options.choices.missing)
    if options.compare:
        report.field("comparison", "scikit-learn's MLP is trained on the same rows")
        report.flush()
    found = find(options, prepared, trained, threads, model_path)
    _print_scores(report, found)
    text = json.dumps(plain(found), indent=1, ensure_ascii=False, allow_nan=False)
    pictures = {
        heading: (figures.as_svg(figure), caption)
        for heading, (figure, caption) in draw(options, prepared, trained, found, threads).items()
    }
    page = render(found, pictures)
    pipeline.save(model_path, overwrite=options.force)
    try:
        write_file(json_path, f"{text}\n".encode(), force=options.force)
        write_file(page_path, page.encode(), force=options.force)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"{model_path} was written, its reports were not") from None
    report.line()
    report.field("model", model_path, result=True)
    report.field("report", f"{page_path}, {json_path}", result=True)


def _outputs(options: TrainOptions) -> tuple[str, str, str]:
    """Return the paths of model, JSON and page, all of which may be written."""
    path = options.output
    if path is None:
        name = without_compression_ending(os.path.basename(options.file))
        path = os.path.splitext(name)[0] + _EXTENSION
    if not path.endswith(_EXTENSION):
        raise UsageError(f"--output {path}: expected a name that ends in {_EXTENSION}")
    stem = path.removesuffix(_EXTENSION)
    paths = (path, f"{stem}.json", f"{stem}.html")
    inputs = [options.file, *([options.config] if options.config else [])]
    for each in paths:
        check_output(each, "--output", force=options.force, inputs=inputs)
    return paths


def _describe(report: Report, options: TrainOptions, prepared: Prepared) -> None:
    target, columns = prepared.target, prepared.columns
    n_used = sum(len(part.y) for part in (prepared.train, prepared.validation, prepared.held_out))
    parts = [count(prepared.n_rows, "row"), count(len(columns), "column")]
    report.field("data", f"{options.file}: {', '.join(parts)} and the target")
    for column in columns[:_MOST_COLUMNS_SHOWN]:
        missing = f"; {column.n_missing:,} missing" if column.n_missing else ""
        kind = column.in_words() + (f" ({column.n_distinct:,})" if column.n_distinct else "")
        report.field(f"  {quoted(column.name)}", f"{kind}: {column.encoded}{missing}")
    if len(columns) > _MOST_COLUMNS_SHOWN:
        report.field("", f"and {len(columns) - _MOST_COLUMNS_SHOWN:,} more")
    for name, why in prepared.left_out.items():
        report.field(f"  {quoted(name)}", f"left out: {why}")
    for why, n in prepared.unusable.items():
        report.field("left out", f"{count(n, 'row')} {why}")
    for note in prepared.notes:
        report.field("note", note)
    classes = f" ({len(target.classes)} classes)" if target.classes else ""
    report.field("task", f"{target.task}{classes}, because {prepared.reason}")
    report.field(
        "split",
        f"{n_used:,} rows: {len(prepared.train.y):,} to train on, "
        + (
            f"in {prepared.folds} folds to choose the weight decay, "
            if prepared.folds
            else f"{len(prepared.validation.y):,} to say when to stop, "
        )
        + f"{len(prepared.held_out.y):,} held out ({prepared.how_split})",
    )
    report.flush()


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
        if compared["busy"]:
            seconds += "; other programs kept this machine busy: the times say little"
    report.line()
    report.field("training time", seconds)
