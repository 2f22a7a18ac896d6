"""The command `chainrule evaluate MODEL FILE`: scores of a model on a file that has the target."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

import chainrule as cr
from chainrule._command.errors import UsageError, quoted, require
from chainrule._command.imports import import_all
from chainrule._command.info import num_threads
from chainrule._command.kinds import as_kind
from chainrule._command.marks import Marks, marks_among, note
from chainrule._command.outputs import check_output, write_file
from chainrule._command.page import in_numbers
from chainrule._command.pipeline import load
from chainrule._command.report import Report, count, in_precision
from chainrule._command.scores import baseline, confusion, in_words, score
from chainrule._command.source import open_source
from chainrule._command.values import file_name, plain

__all__ = ["EvaluateOptions", "evaluate"]


@dataclass(frozen=True)
class EvaluateOptions:
    """The arguments of `chainrule evaluate`."""

    model: str
    file: str
    date_format: list[str]
    json: str | None
    threads: int | None
    force: bool
    quiet: bool


def evaluate(options: EvaluateOptions) -> None:
    """Run `chainrule evaluate`.

    Raises
    ------
    CommandError
        If options or files cannot be used.
    """
    require("chainrule evaluate", ["sklearn", "pandas"])
    pipeline = load(options.model)
    target = pipeline.target
    classes = marks_among(target.classes)
    source = open_source(options.file, Marks(pipeline.missing, target.name, classes))
    pipeline.check_columns(source)
    pipeline = pipeline.with_formats(source, options.date_format)
    if target.name not in source.names:
        raise UsageError(
            f"{options.file} has no column {quoted(target.name)}, which {options.model} predicts: "
            "there is nothing to compare with"
        )
    if options.json is not None:
        inputs = (options.model, options.file)
        check_output(options.json, "--json", force=options.force, inputs=inputs)
    kinds = {**pipeline.kinds(), target.name: target.kind}
    threads = options.threads or num_threads()
    outputs, y = [], []
    unseen: dict[str, int] = {}
    n_rows = n_missing = n_unknown = 0
    import_all("pandas", "sklearn.metrics")
    for chunk in source.chunks(list(kinds), kinds):
        columns = pipeline.columns_of(source, chunk)
        known = as_kind(source, target.name, chunk, target.kind)
        values = target.encode(known)
        missing = known.missing() | (~np.isfinite(known.values))
        usable = values >= 0 if target.classes else np.isfinite(values)
        n_rows += chunk.n_rows
        n_missing += int(missing.sum())
        n_unknown += int((~usable & ~missing).sum())
        for name, n in pipeline.unseen(columns).items():
            unseen[name] = unseen.get(name, 0) + n
        outputs.append(pipeline.outputs(columns, chunk.n_rows, threads)[usable])
        y.append(values[usable])
    if not sum(map(len, y)):
        raise UsageError(
            f"{options.file}: none of {count(n_rows, 'row')} has a target that the model knows"
        )
    all_outputs, all_y = np.concatenate(outputs), np.concatenate(y)
    scores = {
        "model": score(target, all_outputs, all_y),
        "baseline": baseline(target, all_y),
    }
    report = Report(options.quiet)
    model = pipeline.model
    precision = in_precision(model.dtype.name, model.precision)
    parameters = count(model.n_parameters, "parameter")
    report.field("model", f"{options.model}: {parameters} in {precision}")
    used = f"{len(all_y):,} of {count(n_rows, 'row')}"
    report.field("data", f"{options.file}: {used}, target {quoted(target.name)}")
    for n, why in (
        (n_missing, "without a target"),
        (n_unknown, "with a class that training never saw"),
    ):
        if n:
            report.field("left out", f"{count(n, 'row')} {why}")
    if source.marked:
        report.field("note", note(source.marked, of_classes=False))
    for name, n in unseen.items():
        if n:
            report.field(
                "note", f"{count(n, 'row')} with a value of {quoted(name)} that training never saw"
            )
    report.line()
    rows = [["score", "model", "trivial", ""]]
    for name, value in scores["model"].items():
        shown = [in_numbers(name, each) for each in (value, scores["baseline"][name])]
        rows.append([in_words(name), *shown, ""])
    report.table(rows)
    if options.json is None:
        return
    found: dict[str, Any] = {
        "format": "chainrule evaluation",
        "format_version": 1,
        "chainrule_version": cr.__version__,
        "model": file_name(options.model),
        "file": file_name(options.file),
        "rows": n_rows,
        "rows_scored": len(all_y),
        "rows_without_target": n_missing,
        "rows_of_unknown_class": n_unknown,
        "unseen_values": unseen,
        "target": {"name": target.name, "classes": list(target.classes)},
        "scores": scores,
        "confusion": confusion(target, all_outputs, all_y) if target.classes else None,
    }
    text = json.dumps(plain(found), indent=1, ensure_ascii=False, allow_nan=False)
    write_file(options.json, f"{text}\n".encode(), force=options.force)
    report.line()
    report.field("report", options.json, result=True)
