"""The command `chainrule export MODEL OUTPUT`: a model as ONNX, as C, or for PyTorch."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any, TypeAlias

from chainrule._command.errors import CommandError, UsageError, quoted, require
from chainrule._command.export_c import raw_signature, raw_values
from chainrule._command.exportable import (
    Exportable,
    feature_texts,
    load,
    missing_text,
    output_texts,
)
from chainrule._command.imports import import_all
from chainrule._command.outputs import check_output, write_file
from chainrule._command.report import Report, count
from chainrule._files import container
from chainrule.exchange._c import Extras, c_text, check_name

__all__ = ["ExportOptions", "export"]

_SUFFIXES = {".onnx": "onnx", ".c": "c", ".safetensors": "torch"}
_PICKLES = (".pt", ".pth", ".bin")
_DEFAULT_OPSET = 17
_COMMENT_WIDTH = 96
_MOST_LINES = 20

Fields: TypeAlias = list[tuple[str, str]]  # label and text of what is printed
# Each format is made by a function that returns what writes the file, and what to print.
Made: TypeAlias = tuple[Callable[[], None], Fields]


@dataclass(frozen=True)
class ExportOptions:
    """The arguments of `chainrule export`."""

    model: str
    output: str
    format: str | None
    opset: int | None
    name: str | None
    force: bool
    quiet: bool


def export(options: ExportOptions) -> None:
    """Run `chainrule export`.

    Raises
    ------
    CommandError
        If options or files cannot be used, or the model cannot be written in that format.
    """
    form = options.format or _format_of(options.output)
    for option, value, of in (("--opset", options.opset, "onnx"), ("--name", options.name, "c")):
        if value is not None and form != of:
            raise UsageError(f"{option} is for the format {of}; this is {form}")
    if form == "onnx":
        require("chainrule export to ONNX", ["onnx"])
    found = load(options.model)
    check_output(options.output, "OUTPUT", force=options.force, inputs=[options.model])
    exporters = {"onnx": _as_onnx, "c": _as_c, "torch": _as_torch}
    try:
        write, fields = exporters[form](found, options)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{options.model} cannot be exported as {form}: {error}") from None
    write()
    report = Report(options.quiet)
    report.field("model", f"{options.model}: {_in_words(found)}")
    for label, text in fields:
        report.field(label, text)
    report.field(
        "written", f"{options.output}: {os.path.getsize(options.output):,} bytes", result=True
    )


def _format_of(output: str) -> str:
    suffix = PurePath(output).suffix.lower()
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    if suffix in _PICKLES:
        raise UsageError(
            f"OUTPUT {output}: such files are pickles, which run code when loaded; a name that "
            "ends in .safetensors gives a state dictionary that PyTorch loads as well"
        )
    known = ", ".join(_SUFFIXES)
    raise UsageError(f"OUTPUT {output}: expected a name that ends in one of {known}, or --format")


def _in_words(found: Exportable) -> str:
    widths = [found.model.in_features, *(layer.out_features for layer in found.model.layers)]
    network = f"{'-'.join(map(str, widths))}, {found.model.dtype}"
    if found.pipeline is not None:
        target = found.pipeline.target
        n_columns = count(len(found.pipeline.encoding.steps), "column")
        return f"{target.task} of {quoted(target.name)} by {n_columns}, network {network}"
    if found.estimator is not None:
        return f"{type(found.estimator).__name__}, network {network}"
    return f"network {network}"


# --- formats -------------------------------------------------------------------------------------


def _as_onnx(found: Exportable, options: ExportOptions) -> Made:
    import_all("onnx")
    from chainrule._command.export_onnx import make_onnx

    opset = _DEFAULT_OPSET if options.opset is None else options.opset
    proto = make_onnx(found, opset)
    fields: Fields = [("format", f"ONNX, opset {opset}")]
    n_inputs = len(proto.graph.input)
    for i, value in enumerate(proto.graph.input):
        if i == _MOST_LINES and n_inputs > _MOST_LINES + 1:
            fields.append(("", f"and {n_inputs - i} more"))
            break
        fields.append(("" if i else "inputs", _value_text(value)))
    for i, value in enumerate(proto.graph.output):
        fields.append(("" if i else "outputs", _value_text(value)))
    if found.pipeline is not None:
        fields.append(
            (
                "missing values",
                "NaN in numbers and dates, the empty text in texts; dates are seconds since "
                "1970-01-01 (UTC), times of day since midnight, true and false are 1 and 0",
            )
        )
    content = proto.SerializeToString()
    return lambda: write_file(options.output, content, force=options.force), fields


def _value_text(value: Any) -> str:
    import onnx

    kind = value.type.tensor_type
    shape = ", ".join(d.dim_param or str(d.dim_value) for d in kind.shape.dim)
    name = onnx.TensorProto.DataType.Name(kind.elem_type).lower()
    return f"{quoted(value.name)}: {name} ({shape})"


def _as_c(found: Exportable, options: ExportOptions) -> Made:
    name = options.name
    if name is None:
        stem = PurePath(options.output).stem
        name = stem if re.fullmatch("[A-Za-z][A-Za-z0-9_]*", stem) else "model"
    check_name(name)
    lines = ["The network alone computes outputs y of inputs x:", "", missing_text(found)]
    for letter, texts in (("x", feature_texts(found)), ("y", output_texts(found))):
        lines += [f"{letter}[{i}]: {text}" for i, text in enumerate(texts)]
    comment = "\n".join(
        textwrap.fill(
            line,
            _COMMENT_WIDTH,
            initial_indent="   ",
            subsequent_indent="       ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in lines
    )
    real = "float" if found.model.dtype == "float32" else "double"
    extras = Extras(comment)
    fields: Fields = [
        ("format", "C99 and C++17, one file; its first lines say how to compile and test it")
    ]
    if found.pipeline is not None:
        extras = raw_values(found.pipeline, name)
        extras = replace(extras, comment=f"{extras.comment}\n\n{comment}")
        fields += [
            ("of a row", raw_signature(found.pipeline, name)[:-1]),
            (
                "missing values",
                "NaN in numbers and dates, NULL and the empty text in texts; dates are seconds "
                "since 1970-01-01 (UTC), times of day since midnight, true and false are 1 and 0",
            ),
        ]
    label = "function" if found.pipeline is None else "of the network"
    fields.append((label, f"int {name}_predict(const {real} *x, {real} *y)"))
    fields += _bare(found, "inputs", "what the preprocessing of the table makes")
    content = c_text(found.model, name, extras).encode("ascii")
    return lambda: write_file(options.output, content, force=options.force), fields


def _as_torch(found: Exportable, options: ExportOptions) -> Made:
    from chainrule.exchange._sequential import sequential

    module, state = sequential(found.model)
    metadata = {
        "module": module,
        "inputs": feature_texts(found),
        "missing": missing_text(found),
        "outputs": output_texts(found),
    }
    fields: Fields = [
        ("format", "safetensors, a state dictionary of PyTorch: safetensors.torch.load_file"),
        ("module", module),
        *_bare(found, "not included", "the preprocessing of the table: inputs are what it makes"),
    ]

    def write() -> None:
        try:
            container.write(options.output, "state_dict", metadata, state, overwrite=options.force)
        except OSError as error:
            raise CommandError(f"{options.output} cannot be written: {error.strerror}") from None

    return write, fields


def _bare(found: Exportable, label: str, of_table: str) -> Fields:
    """Say what inputs and outputs of the network alone are, and those of a table in these words."""
    n_inputs, n_outputs = found.model.in_features, found.model.out_features
    fields: Fields = []
    if found.pipeline is not None:
        fields.append(
            (label, f"{of_table} of the columns, in this order; the file lists every one")
        )
        for name, part in found.pipeline.encoding.slices().items():
            step = found.pipeline.encoding.steps[name]
            last = f" to x[{part.stop - 1}]" if step.width > 1 else ""
            fields.append((f"  x[{part.start}]{last}", f"{quoted(name)}: {step.in_words()}"))
    else:
        fields.append(("inputs", f"{count(n_inputs, 'feature')}, finite"))
    texts = output_texts(found)
    for i, text in enumerate(texts[:_MOST_LINES]):
        fields.append(("" if i else "outputs", f"y[{i}]: {text}"))
    if n_outputs > _MOST_LINES:
        fields.append(("", f"and {n_outputs - _MOST_LINES} more, which the file lists"))
    return fields
