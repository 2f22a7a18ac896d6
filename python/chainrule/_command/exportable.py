"""What `chainrule export` takes: any file that holds a model, and what goes into and out of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import chainrule as cr
from chainrule._command import pipeline as pipelines
from chainrule._command.dates import is_time
from chainrule._command.encoding import LIMIT, PERIODS, CategoryStep, DateStep, NumberStep, Step
from chainrule._command.errors import UsageError, require
from chainrule._command.lines import check_path
from chainrule._command.pipeline import Pipeline
from chainrule._files import container
from chainrule._files.model import KIND as MLP_KIND
from chainrule._files.model import unpack_model
from chainrule.exchange._onnx_estimator import link_of

__all__ = [
    "Exportable",
    "feature_texts",
    "load",
    "missing_text",
    "name_text",
    "origin_text",
    "output_texts",
]

_ESTIMATORS = ("classifier", "regressor")


@dataclass(frozen=True)
class Exportable:
    """A model and what was found around it.

    Attributes
    ----------
    model : MLP
    pipeline : Pipeline or None
        Of a file that `chainrule train` wrote.
    estimator : MLPClassifier, MLPRegressor or None
        Of a file that `save` of an estimator wrote.
    """

    model: cr.MLP
    pipeline: Pipeline | None = None
    estimator: Any = None


def load(path: str) -> Exportable:
    """Read the file of a model, an estimator, or a pipeline.

    Raises
    ------
    CommandError
        If there is none, it holds something else, or scikit-learn is missing for an estimator.
    """
    check_path(path)
    try:
        contents = container.read(path, (MLP_KIND, *_ESTIMATORS, pipelines.KIND))
        if contents.kind in _ESTIMATORS:
            require(f"exporting {path}, an estimator,", ["sklearn"])
        with container.reading(path):
            return _unpack(contents)
    except cr.ModelFileError as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None


def _unpack(contents: container.Contents) -> Exportable:
    if contents.kind == MLP_KIND:
        return Exportable(unpack_model(contents.metadata, contents.tensors))
    if contents.kind == pipelines.KIND:
        pipeline = pipelines.unpack(contents.metadata, contents.tensors)
        return Exportable(pipeline.model, pipeline=pipeline)
    from chainrule.estimators import MLPClassifier, MLPRegressor
    from chainrule.estimators._file import unpack

    cls = MLPClassifier if contents.kind == "classifier" else MLPRegressor
    estimator = unpack(cls, contents)
    return Exportable(estimator.model_, estimator=estimator)


# --- the network's own inputs and outputs --------------------------------------------------------


def feature_texts(found: Exportable) -> list[str]:
    """Say of each input of the network what it is, for whoever has to compute it."""
    if found.pipeline is not None:
        return [
            text
            for name, step in found.pipeline.encoding.steps.items()
            for text in _step_texts(name_text(name), step)
        ]
    names = getattr(found.estimator, "feature_names_in_", None)
    if names is not None:
        return [name_text(name) for name in names]
    return [f"feature {i}" for i in range(found.model.in_features)]


def missing_text(found: Exportable) -> str:
    """Say what counts as missing, and how features of a table are computed; "" without one."""
    if found.pipeline is None:
        return ""
    texts = " and ".join(name_text(text) for text in ("", *found.pipeline.missing))
    return (
        f"Missing are NaN, infinite numbers, and the texts {texts}. All is computed in double "
        "precision and then rounded to float."
    )


def output_texts(found: Exportable) -> list[str]:
    """Say of each output of the network what it is."""
    if found.pipeline is not None:
        target = found.pipeline.target
        if target.classes:
            names = map(name_text, target.classes)
            return [f"logit of {name}; softmax makes probabilities" for name in names]
        return [f"{name_text(target.name)} is output * {target.scale!r} + {target.mean!r}"]
    n = found.model.out_features
    if found.estimator is None:
        return [f"output {i}" for i in range(n)]
    link = link_of(found.estimator)
    if not hasattr(found.estimator, "classes_"):
        return link.texts(n)
    classes = [name_text(label) for label in found.estimator.classes_.tolist()]
    if n == 1:
        return [f"logit of {classes[-1]}; the sigmoid is its probability"]
    if link.name == "softmax":
        return [f"logit of {name}; softmax makes probabilities" for name in classes]
    if found.estimator._is_multilabel:
        return [f"logit of label {name}; the sigmoid is its probability" for name in classes]
    return [f"logit of {name}; sigmoids divided by their sum are probabilities" for name in classes]


def _step_texts(name: str, step: Step) -> list[str]:
    if isinstance(step, NumberStep):
        value = f"1 if {name} is true, 0 if false" if step.kind == "boolean" else f"value of {name}"
        return _number_texts(value, name, step)
    if isinstance(step, CategoryStep):
        texts = [
            f"1 if {name} is {'missing' if value is None else name_text(value)}, else 0"
            for value in step.frequent
        ]
        return [*texts, f"1 if {name} is anything else, else 0"] if step.rare else texts
    assert isinstance(step, DateStep)
    origin = origin_text(step)
    days = f"days since {origin.removesuffix(' (UTC)')} of {name}"
    texts = [] if step.trend is None else _number_texts(days, name, step.trend)
    for circle in step.circles:
        period = PERIODS[circle]
        turn = f"2 pi * seconds since {origin} of {name} / {period!r}"
        texts += [f"{function} of {turn}, or 0 if missing" for function in ("sine", "cosine")]
    return texts


def origin_text(step: DateStep) -> str:
    """Say since when the seconds of a column count."""
    return "midnight" if is_time(step.date_format) else "1970-01-01 (UTC)"


def _number_texts(value: str, name: str, step: NumberStep) -> list[str]:
    texts = [
        f"({value}, or {step.fill!r} if missing, minus {step.mean!r}) / {step.scale!r}, "
        f"at most {LIMIT:g} and at least -{LIMIT:g}"
    ]
    return [*texts, f"1 if {name} is missing, else 0"] if step.has_indicator else texts


def name_text(value: object) -> str:
    """Return a text as JSON: in ASCII, in quotes, on one line; it cannot end a comment in C."""
    if not isinstance(value, str):
        return str(value)
    # Nor begin one, of which compilers warn.
    return json.dumps(value).replace("/", "\\/").replace("/*", "/\\u002a")
