"""The command `chainrule predict MODEL FILE`: a prediction for each row, in their order."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule._command.errors import CommandError, UsageError, quoted, require
from chainrule._command.imports import import_all
from chainrule._command.info import num_threads
from chainrule._command.marks import Marks
from chainrule._command.outputs import check_output
from chainrule._command.pipeline import Pipeline, load, probabilities
from chainrule._command.report import Report, count
from chainrule._command.source import Source, open_source
from chainrule._command.target import Target
from chainrule._files.storage import replace_file

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PredictOptions", "predict"]

_PARQUET = (".parquet", ".pq")
_TEXT = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True)
class PredictOptions:
    """The arguments of `chainrule predict`."""

    model: str
    file: str
    date_format: list[str]
    output: str | None
    probabilities: bool
    threads: int | None
    force: bool
    quiet: bool


def predict(options: PredictOptions) -> None:
    """Run `chainrule predict`.

    Raises
    ------
    CommandError
        If options or files cannot be used, or the output cannot be written.
    """
    require("chainrule predict", ["pandas"])
    extension = _extension(options.output)
    pipeline = load(options.model)
    if options.probabilities and not pipeline.target.classes:
        raise UsageError(f"--probabilities: {options.model} predicts numbers, which have none")
    source = open_source(options.file, Marks(pipeline.missing))
    pipeline.check_columns(source)
    pipeline = pipeline.with_formats(source, options.date_format)
    if options.output is not None:
        inputs = (options.model, options.file)
        check_output(options.output, "--output", force=options.force, inputs=inputs)
    import_all("pandas")
    run = _Run(options, pipeline, source, options.threads or num_threads())
    if options.output is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            # As in a file, and as the command reads tables: not every locale has all letters.
            sys.stdout.reconfigure(encoding="utf-8")
        for text in _as_text(run.frames(), ","):
            sys.stdout.write(text)
        sys.stdout.flush()
    else:
        pieces = (
            _as_parquet(run.frames())
            if extension in _PARQUET
            else (text.encode() for text in _as_text(run.frames(), _TEXT[extension]))
        )
        try:
            replace_file(options.output, pieces, overwrite=options.force)
        except OSError as error:
            raise CommandError(f"{options.output} cannot be written: {error.strerror}") from None
    # Predictions on standard output stay alone there.
    report = Report(options.quiet, sys.stderr if options.output is None else sys.stdout)
    for name, n in run.unseen.items():
        if n:
            report.field(
                "note", f"{count(n, 'row')} with a value of {quoted(name)} that training never saw"
            )
    if options.output is not None:
        report.field("predictions", f"{options.output}: {count(run.n_rows, 'row')}", result=True)


def _extension(output: str | None) -> str:
    if output is None:
        return ".csv"
    for extension in (*_TEXT, *_PARQUET):
        if output.endswith(extension):
            if extension in _PARQUET:
                require(f"writing {output}", ["pyarrow"])
            return extension
    known = ", ".join((*_TEXT, *_PARQUET))
    raise UsageError(f"--output {output}: expected a name that ends in one of {known}")


class _Run:
    """Reads the file chunk by chunk and predicts; counts rows and unseen values."""

    def __init__(
        self, options: PredictOptions, pipeline: Pipeline, source: Source, threads: int
    ) -> None:
        self._options = options
        self._threads = threads
        self._pipeline = pipeline
        self._source = source
        self.n_rows = 0
        self.unseen: dict[str, int] = {}

    def frames(self) -> Iterator[pd.DataFrame]:
        """Yield the predictions of each chunk, and an empty frame for a file without rows."""
        pipeline = self._pipeline
        kinds = pipeline.kinds()
        empty = np.empty((0, pipeline.target.n_outputs), np.float32)
        for chunk in self._source.chunks(list(kinds), kinds):
            columns = pipeline.columns_of(self._source, chunk)
            outputs = pipeline.outputs(columns, chunk.n_rows, self._threads)
            for name, n in pipeline.unseen(columns).items():
                self.unseen[name] = self.unseen.get(name, 0) + n
            self.n_rows += chunk.n_rows
            yield _frame(pipeline.target, outputs, self._options.probabilities)
        if self.n_rows == 0:
            yield _frame(pipeline.target, empty, self._options.probabilities)


def _frame(target: Target, outputs: Any, with_probabilities: bool) -> pd.DataFrame:
    import pandas as pd

    if not target.classes:
        values: pd.DataFrame = pd.DataFrame({target.name: target.values(outputs)})
        return values
    shares = probabilities(outputs)
    best = outputs.argmax(axis=1)
    columns = {
        target.name: _class_values(target)[best],
        f"{target.name}_probability": shares[np.arange(len(best)), best],
    }
    if with_probabilities:
        columns |= {
            f"{target.name}_probability_{name}": shares[:, i]
            for i, name in enumerate(target.classes)
        }
    frame: pd.DataFrame = pd.DataFrame(columns)
    return frame


def _class_values(target: Target) -> Any:
    """Return the classes as the training table held them: texts, numbers, or true and false."""
    if target.kind == "boolean":
        return np.array([name == "True" for name in target.classes])
    if target.kind == "numeric":
        values = np.array([float(name) for name in target.classes])
        return values.astype(np.int64) if (values == np.floor(values)).all() else values
    return np.array(target.classes, dtype=object)


def _as_text(frames: Iterator[pd.DataFrame], delimiter: str) -> Iterator[str]:
    for i, frame in enumerate(frames):
        yield frame.to_csv(index=False, header=i == 0, sep=delimiter, lineterminator="\n")


def _as_parquet(frames: Iterator[pd.DataFrame]) -> Iterator[memoryview]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = io.BytesIO()
    writer = None
    for frame in frames:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        if writer is None:
            writer = pq.ParquetWriter(file, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()
    yield file.getbuffer()
