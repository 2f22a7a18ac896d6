"""The report for people: one HTML file that holds its pictures and asks the network for nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from chainrule._command.elements import Element, Node, element, picture, table
from chainrule._command.report import amount, count, duration, in_precision, in_shards
from chainrule._command.scores import in_words

__all__ = ["in_numbers", "render"]

_STYLE = """
:root { color-scheme: light dark;
  --page: #fff; --ink: #1a1a1a; --soft: #555; --line: #ddd; --row: #eee; }
@media (prefers-color-scheme: dark) { :root {
  --page: #16181b; --ink: #e4e4e4; --soft: #a6a6a6; --line: #44474b; --row: #2c2f33; } }
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem 1rem 4rem;
  background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: .5rem 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid var(--line); }
p { margin: .5rem 0; } .lead { font-size: 1.1rem; } .small { color: var(--soft); font-size: .9rem; }
.scrolls { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--row);
  vertical-align: top; overflow-wrap: anywhere; min-width: 4rem; max-width: 26rem; }
th { color: var(--soft); font-weight: 600; } .number { text-align: right; white-space: nowrap; }
td:first-child { min-width: 7rem; } td:nth-child(3):not(.number) { min-width: 9rem; }
figure { margin: 1rem 0; } figcaption { color: var(--soft); font-size: .9rem; max-width: 44rem; }
img { max-width: 100%; height: auto; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr));
  column-gap: 2rem; }
.broad img { min-width: 26rem; } .wide img { min-width: 36rem; }
@media print {
  :root { font-size: 11px; } .pair { grid-template-columns: 1fr 1fr; }
  img { max-height: 15cm; } .broad img, .wide img { min-width: 0; }
  body { max-width: none; } h2 { break-after: avoid; } figure { break-inside: avoid; } }
"""

_MOST_ROWS = 200
_MSE = " of the standardized target"
_MOST_SMALL = 12  # classes of a confusion matrix that can be read on half the page


def in_numbers(name: str, value: float) -> str:
    """Return a score as text: shares with four digits, others with as many that count."""
    if math.isnan(value):
        return "-"
    return amount(value) if name in ("rmse", "mae") else f"{value:.4f}"


def render(report: Mapping[str, Any], pictures: Mapping[str, tuple[bytes, str]]) -> str:
    """Return the page.

    Parameters
    ----------
    report : mapping
        What is written as JSON too.
    pictures : mapping of str to tuple of bytes and str
        SVG and caption, by heading, in the order of the page.
    """
    data, target = report["data"], report["target"]
    title = f"{target['name']}, learned from {data['file']}"
    body: list[Node] = [
        element("h1", title),
        element("p", _lead(report), class_="lead"),
        element(
            "p",
            f"chainrule {report['chainrule_version']}, {report['created']}; "
            f"model: {report['model']['file']}",
            class_="small",
        ),
        element("h2", "Scores on held-out rows"),
        _scores(report),
        element("p", _split(report), class_="small"),
    ]
    sections = [
        element(
            "section",
            element("h2", heading),
            element(
                "figure",
                element("div", picture(svg, f"{heading}: {caption}"), class_="scrolls"),
                element("figcaption", caption),
            ),
            class_=_width(heading, report),
        )
        for heading, (svg, caption) in pictures.items()
    ]
    # The first two are about as high as wide.
    large = _width(next(iter(pictures)), report) == "wide"
    body += sections if large else [element("div", *sections[:2], class_="pair"), *sections[2:]]
    body += [element("h2", "Columns"), *_columns(report)]
    body += [element("h2", "Training"), _training(report)]
    head = element(
        "head",
        Element('<meta charset="utf-8">'),
        Element('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        element("title", title),
        Element(f"<style>{_STYLE}</style>"),
    )
    return f"<!DOCTYPE html>\n{element('html', head, element('body', *body), lang='en').html}\n"


def _width(heading: str, report: Mapping[str, Any]) -> str:
    """Return the class of a picture, which scrolls where it would be too small to read."""
    if heading == "Learning curve":
        return "wide"
    if heading == "Confusion matrix" and len(report["target"]["classes"]) > _MOST_SMALL:
        return "wide"
    return "broad" if heading == "What the model goes by" else ""


def _lead(report: Mapping[str, Any]) -> str:
    scores = report["scores"]
    main = report["main_score"]
    model, baseline = scores["model"][main], scores["baseline"][main]
    if report["task"] == "classification":
        n_classes = len(report["target"]["classes"])
        return (
            f"The model names the right one of {n_classes} classes for {model:.1%} of the rows "
            f"that it had not seen. Always naming the commonest class is right for {baseline:.1%}."
        )
    if math.isnan(model):
        return "The held-out rows all have the same value: there is no R²."
    return (
        f"The model explains {model:.1%} of the variance (R²) of rows that it had not seen; "
        f"its typical error (RMSE) is {amount(scores['model']['rmse'])}, that of always predicting "
        f"the mean {amount(scores['baseline']['rmse'])}."
    )


def _scores(report: Mapping[str, Any]) -> Element:
    columns = {"model": "this model", "baseline": "trivial", "scikit_learn": "scikit-learn's MLP"}
    given = [key for key in columns if report["scores"].get(key)]
    names = list(report["scores"]["model"])
    rows = [
        [in_words(name), *(in_numbers(name, report["scores"][key][name]) for key in given)]
        for name in names
    ]
    if report["scores"].get("scikit_learn"):
        seconds = [
            duration(report["training"]["seconds"]),
            "-",
            duration(report["compared"]["seconds"]),
        ]
        rows.append(["training time", *seconds])
    return table(["score", *(columns[key] for key in given)], rows, numbers_from=1)


def _split(report: Mapping[str, Any]) -> str:
    split, data = report["split"], report["data"]
    text = (
        f"{data['rows']:,} rows: {split['train']:,} to learn from, "
        + (
            f"in {split['folds']} folds to choose the weight decay, "
            if split["folds"]
            else f"{split['validation']:,} to say when to stop, "
        )
        + f"{split['held_out']:,} held out ({split['how']})."
    )
    for why, n in data["unusable_rows"].items():
        text += f" {count(n, 'row')} {why} left out."
    if report.get("compared"):
        text += f" Compared with {report['compared']['description']}."
        if report["compared"]["busy"]:
            text += " Other programs kept the machine busy: the times say little."
    return (
        text
        + " Trivial: the training rows' "
        + (
            "class frequencies."
            if report["task"] == "classification"
            else "mean. RMSE and mean absolute error are in the units of "
            f"{report['target']['name']}."
        )
    )


def _columns(report: Mapping[str, Any]) -> list[Node]:
    data = report["data"]
    rows = [
        [
            column["name"],
            column["kind"]
            + (f", {column['distinct']:,} values" if column["distinct"] else "")
            + (f", {column['date_format']}" if column["date_format"] else ""),
            column["encoded"],
            f"{column['missing']:,}",
        ]
        for column in data["columns"][:_MOST_ROWS]
    ]
    parts: list[Node] = [table(["column", "type", "becomes", "missing"], rows, numbers_from=3)]
    if len(data["columns"]) > _MOST_ROWS:
        parts.append(element("p", f"And {len(data['columns']) - _MOST_ROWS:,} more."))
    if data["left_out"]:
        items = [
            element("li", f"{name or '(no name)'}: {why}") for name, why in data["left_out"].items()
        ]
        parts += [element("p", "Left out:"), element("ul", *items[:_MOST_ROWS])]
    parts += [element("p", note + ".", class_="small") for note in data["notes"]]
    return parts


def _training(report: Mapping[str, Any]) -> Element:
    model, training = report["model"], report["training"]
    tried = training["weight_decays_tried"]
    decay = f"{training['weight_decay']:g}"
    if len(tried) > 1:
        decay += f" (the best of {', '.join(f'{value:g}' for value in tried)} by validation loss)"
    epochs = f"{training['epochs_run']} of {training['epochs']}"
    if not report["split"]["folds"]:
        epochs += f"; the network of epoch {training['best_epoch']} kept"
    rows = [
        ["task", f"{report['task']}, because {report['reason']}"],
        [
            "network",
            f"{'-'.join(map(str, model['widths']))}, {model['activation']}, "
            f"dropout {model['dropout']:g}; {count(model['parameters'], 'parameter')}, "
            + in_precision(model["dtype"], model["precision"]),
        ],
        ["loss", training["loss"] + (" in nats" if report["task"] == "classification" else _MSE)],
        [
            "optimizer",
            f"AdamW, learning rate {training['learning_rate']:g} with warm-up and cosine, "
            f"weight decay {decay}",
        ],
        ["batches", f"of {training['batch_size']:,} rows{in_shards(training['shards'])}"],
        ["epochs", epochs],
        [
            "time",
            f"{duration(training['seconds'])}, up to {count(training['threads'], 'thread')}, "
            f"variant {training['variant']}",
        ],
        ["seed", str(training["seed"])],
    ]
    return table(["", ""], rows, numbers_from=9)
