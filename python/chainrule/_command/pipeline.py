"""Columns to predictions: the encoding, the network and the target, as one file holds them.

`train` makes and saves it, `predict` and `evaluate` load it. What is saved is numbers and JSON; a
file that says something else than `save` wrote is a ModelFileError.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

import chainrule as cr
from chainrule._command.date_option import read_formats
from chainrule._command.dates import ISO, NONE, check_format, is_time
from chainrule._command.encoding import CategoryStep, DateStep, Encoding, NumberStep, Step
from chainrule._command.errors import CommandError, UsageError, quoted
from chainrule._command.kinds import as_kind
from chainrule._command.lines import check_path
from chainrule._command.source import Chunk, Column, Source
from chainrule._command.target import Target
from chainrule._files import container
from chainrule._files.model import pack_model, unpack_model

__all__ = ["KIND", "Pipeline", "format_of", "load", "probabilities", "unpack"]

KIND = "pipeline"
_PREFIX = "model."
_FIELDS = ("columns", "target", "missing", "model")
_NUMBER = ("type", "column", "kind", "fill", "mean", "scale", "has_indicator")
_DATE = ("type", "column", "trend", "circles", "date_format")
_CATEGORY = ("type", "column", "frequent", "rare")
_TARGET = ("column", "task", "kind", "classes", "frequencies", "mean", "scale")


@dataclass(frozen=True)
class Pipeline:
    """A model of a table.

    Attributes
    ----------
    encoding : Encoding
    target : Target
    model : MLP
    missing : tuple of str
        Texts that stood for a missing value in the training table, besides the usual ones.
    """

    encoding: Encoding
    target: Target
    model: cr.MLP
    missing: tuple[str, ...] = ()

    def check_columns(self, source: Source) -> None:
        """Raise UsageError unless a file has every column that the model reads."""
        absent = [name for name in self.encoding.steps if name not in source.names]
        if absent:
            more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
            raise UsageError(
                f"{source.path} has no column {quoted(absent[0])}{more}, which the model was "
                "trained with"
            )

    def kinds(self) -> dict[str, Any]:
        """Return the kind to read each column as; text for dates that are not written as ISO's."""
        return {
            name: "categorical" if format_of(step) != ISO else step.kind
            for name, step in self.encoding.steps.items()
        }

    def columns_of(self, source: Source, chunk: Chunk) -> dict[str, Column]:
        """Return the columns of a chunk as the kinds that the model knows.

        Raises
        ------
        UsageError
            If a column holds something else; names line and text.
        """
        return {
            name: as_kind(source, name, chunk, step.kind, format_of(step))
            for name, step in self.encoding.steps.items()
        }

    def with_formats(self, source: Source, given: Sequence[str]) -> Pipeline:
        """Return it for a file whose dates are written as the user says.

        Raises
        ------
        UsageError
            For a column or a format that does not fit.
        """
        formats = read_formats(source.path, source.names, given)
        steps = dict(self.encoding.steps)
        for name, date_format in formats.of_column.items():
            step = steps.get(name)
            if not isinstance(step, DateStep) or date_format == NONE:
                holds = "dates" if isinstance(step, DateStep) else "no dates"
                raise UsageError(
                    f"--date-format {quoted(f'{name}={date_format}')}: the column held {holds} in "
                    "training"
                )
        for name, step in steps.items():
            told = formats.of_column.get(name, formats.of_all)
            if told is None or not isinstance(step, DateStep):
                continue
            if is_time(told) == is_time(step.date_format):
                steps[name] = replace(step, date_format=told)
            elif name in formats.of_column:
                what = "times of day" if is_time(step.date_format) else "dates"
                raise UsageError(
                    f"--date-format {quoted(f'{name}={told}')}: the column held {what} in training"
                )
        if formats.of_all is not None and steps == self.encoding.steps:
            raise UsageError(
                f"--date-format {quoted(formats.of_all)}: the model has no column of such dates "
                "that are written otherwise"
            )
        return replace(self, encoding=Encoding(steps))

    def unseen(self, columns: Mapping[str, Column]) -> dict[str, int]:
        """Return how many values of each categorical column were not seen in training."""
        return {
            name: step.n_unseen(columns[name])
            for name, step in self.encoding.steps.items()
            if isinstance(step, CategoryStep)
        }

    def outputs(self, columns: Mapping[str, Column], n_rows: int, threads: int) -> npt.NDArray[Any]:
        """Return the network's outputs for all rows of some columns."""
        X = self.encoding.encode(columns, slice(None), n_rows)
        return self.model.predict(X, threads=threads)

    def save(self, path: str, *, overwrite: bool) -> None:
        """Write the file.

        Raises
        ------
        CommandError
            If it cannot be written.
        """
        fields, tensors = pack_model(self.model, _PREFIX)
        target = {**vars(self.target), "column": self.target.name}
        del target["name"]
        metadata = {
            "columns": [_step_fields(name, step) for name, step in self.encoding.steps.items()],
            "target": target,
            "missing": self.missing,
            "model": fields,
        }
        try:
            container.write(path, KIND, metadata, tensors, overwrite=overwrite)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise CommandError(f"{path} cannot be written: {reason}") from None


def load(path: str) -> Pipeline:
    """Read the file of a model.

    Raises
    ------
    UsageError
        If there is none, or it does not hold what `Pipeline.save` wrote.
    """
    check_path(path)
    try:
        contents = container.read(path, KIND)
        with container.reading(path):
            return unpack(contents.metadata, contents.tensors)
    except cr.ModelFileError as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None


def format_of(step: Step) -> str:
    """Return how the dates of a column are written; `ISO` for columns without dates."""
    return step.date_format if isinstance(step, DateStep) else ISO


def probabilities(outputs: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the classes' probabilities: the softmax of each row of outputs."""
    logits = outputs.astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    return logits


# --- fields --------------------------------------------------------------------------------------


def _step_fields(name: str, step: Step) -> dict[str, Any]:
    if isinstance(step, NumberStep):
        return {"type": "number", "column": name, **vars(step)}
    if isinstance(step, DateStep):
        trend = None if step.trend is None else _step_fields(name, step.trend)
        return {
            "type": "date",
            "column": name,
            "trend": trend,
            "circles": step.circles,
            "date_format": step.date_format,
        }
    return {"type": "category", "column": name, "frequent": step.frequent, "rare": step.rare}


def unpack(metadata: Any, tensors: dict[str, npt.NDArray[Any]]) -> Pipeline:
    """Make a pipeline of what a file holds; ValueError or TypeError for what makes none."""
    fields = container.require_keys(metadata, _FIELDS, "the pipeline")
    if not isinstance(fields["columns"], list) or not fields["columns"]:
        raise ValueError("columns must be a list with one step at least")
    steps: dict[str, Step] = {}
    for value in fields["columns"]:
        name, step = _unpack_step(value)
        if name in steps:
            raise ValueError(f"columns must have different names, got {name!r} twice")
        steps[name] = step
    encoding = Encoding(steps)
    target = _unpack_target(fields["target"])
    if target.name in steps:
        raise ValueError(f"the target {target.name!r} must not be one of the columns")
    stray = [name for name in tensors if not name.startswith(_PREFIX)]
    if stray:
        raise ValueError(f"the pipeline must have no other tensors, got {stray}")
    model = unpack_model(fields["model"], tensors, _PREFIX)
    if (model.in_features, model.out_features) != (encoding.width, target.n_outputs):
        raise ValueError(
            f"the model must have {encoding.width} inputs and {target.n_outputs} outputs, as the "
            f"columns and the target say, got {model.in_features} and {model.out_features}"
        )
    return Pipeline(encoding, target, model, _texts(fields["missing"], "missing"))


def _unpack_step(value: Any) -> tuple[str, Step]:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "number":
        return _unpack_number(value)
    if kind == "date":
        # Files from before there were formats hold dates as ISO's.
        fields = container.require_keys(value, _DATE, "the step of a date", date_format=ISO)
        date_format = _text(fields["date_format"], "date_format")
        check_format(date_format)
        circles = _texts(fields["circles"], "circles")
        if not set(circles) <= {"year", "week", "day"} or len(set(circles)) < len(circles):
            raise ValueError(f"circles must be some of year, week and day, got {circles}")
        trend = None if fields["trend"] is None else _unpack_number(fields["trend"])[1]
        return _text(fields["column"], "column"), DateStep(trend, circles, date_format)
    if kind == "category":
        fields = container.require_keys(value, _CATEGORY, "the step of a text")
        frequent = _texts(fields["frequent"], "frequent", or_none=True)
        rare = _texts(fields["rare"], "rare", or_none=True)
        if len({*frequent, *rare}) < len(frequent) + len(rare) or not frequent:
            raise ValueError("frequent and rare must hold different values")
        return _text(fields["column"], "column"), CategoryStep(frequent, rare)
    raise ValueError(f"the type of a column must be number, date or category, got {kind!r}")


def _unpack_number(value: Any) -> tuple[str, NumberStep]:
    fields = container.require_keys(value, _NUMBER, "the step of a number")
    scale = _finite(fields["scale"], "scale")
    if scale <= 0:
        raise ValueError(f"scale must be greater than 0, got {scale}")
    if fields["kind"] not in ("numeric", "boolean") or not isinstance(
        fields["has_indicator"], bool
    ):
        raise ValueError("the step of a number must say its kind, and whether it has an indicator")
    return _text(fields["column"], "column"), NumberStep(
        fields["kind"],
        _finite(fields["fill"], "fill"),
        _finite(fields["mean"], "mean"),
        scale,
        fields["has_indicator"],
    )


def _unpack_target(value: Any) -> Target:
    fields = container.require_keys(value, _TARGET, "the target")
    task, kind = fields["task"], fields["kind"]
    if task not in ("classification", "regression"):
        raise ValueError(f"task must be classification or regression, got {task!r}")
    if kind not in ("numeric", "boolean", "categorical"):
        raise ValueError(f"kind must be numeric, boolean or categorical, got {kind!r}")
    classes = _texts(fields["classes"], "classes")
    frequencies = fields["frequencies"]
    if not isinstance(frequencies, list) or len(frequencies) != len(classes):
        raise ValueError("frequencies must be one number for each class")
    if (task == "classification") != (len(set(classes)) >= 2) or len(set(classes)) < len(classes):
        raise ValueError(
            f"classes must be two or more different ones, none in regression, got {len(classes)}"
        )
    scale = _finite(fields["scale"], "scale")
    if scale <= 0:
        raise ValueError(f"scale must be greater than 0, got {scale}")
    return Target(
        name=_text(fields["column"], "column"),
        task=task,
        kind=kind,
        classes=classes,
        frequencies=tuple(_finite(share, "frequencies") for share in frequencies),
        mean=_finite(fields["mean"], "mean"),
        scale=scale,
    )


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a text, got {value!r}")
    return value


def _texts(value: Any, what: str, *, or_none: bool = False) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise TypeError(f"{what} must be a list, got {type(value).__name__}")
    return tuple(None if or_none and item is None else _text(item, what) for item in value)


def _finite(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"{what} must be a finite number, got {value!r}")
    return float(value)
