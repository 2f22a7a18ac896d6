"""Reads Parquet, and Arrow or Feather files and streams, batch by batch, through pyarrow."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np

from chainrule._command.dates import ISO, TIME, seconds_of
from chainrule._command.errors import UsageError, quoted, require
from chainrule._command.imports import import_all
from chainrule._command.source import Chunk, Column, Kind, dated, texts_of

__all__ = ["ColumnarSource", "format_of"]

Format: TypeAlias = Literal["Parquet", "Arrow file", "Arrow stream", "Feather, version 1"]

_TICKS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_ROWS_OF_BATCH = 131_072
_SIGNATURES: tuple[tuple[bytes, Format], ...] = (
    (b"PAR1", "Parquet"),
    (b"ARROW1", "Arrow file"),
    (b"\xff\xff\xff\xff", "Arrow stream"),
    (b"FEA1", "Feather, version 1"),
)


def format_of(start: bytes) -> Format | None:
    """Return the format of a file by its first bytes, or None if it is none of these."""
    return next((name for sign, name in _SIGNATURES if start.startswith(sign)), None)


class ColumnarSource:
    """A file whose columns have types of their own."""

    def __init__(self, path: str, kind: Format, missing: Collection[str]) -> None:
        require(f"reading {path} ({kind})", ["pyarrow"])
        import_all("pyarrow.parquet", "pyarrow.compute")
        self.path = path
        self._format = kind
        self._missing = frozenset(missing)
        self.marked: dict[str, int] = {}  # what is missing is no text here
        with self._errors():
            self._schema = self._read_schema()
        self.names = tuple(self._schema.names)

    def chunks(self, columns: Collection[str], kinds: Mapping[str, Kind]) -> Iterator[Chunk]:
        """Read the file from its start."""
        start = 0
        for batch in self._batches(list(columns)):
            found = {
                name: self._column(batch.column(name), forced=kinds.get(name) == "categorical")
                for name in columns
            }
            yield Chunk(start, batch.num_rows, found)
            start += batch.num_rows

    def place(self, row: int, name: str | None = None) -> str:
        """Return file, row and column."""
        where = f"{self.path}, row {row + 1}"
        return where if name is None else f"{where}, column {quoted(name)}"

    def text(self, row: int, name: str) -> str:
        """Return the text of a cell."""
        start = 0
        for batch in self._batches([name]):
            if row < start + batch.num_rows:
                return str(batch.column(name)[row - start].as_py())
            start += batch.num_rows
        raise UsageError(f"{self.path} changed while it was read")

    def _errors(self) -> _ReadErrors:
        return _ReadErrors(self.path, self._format)

    def _read_schema(self) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._format == "Parquet":
            return pq.read_schema(self.path)
        if self._format == "Feather, version 1":
            raise UsageError(
                f"{self.path} is a Feather file of version 1; write it anew as version 2 or Parquet"
            )
        with pa.memory_map(self.path) as file:
            opened = pa.ipc.open_file if self._format == "Arrow file" else pa.ipc.open_stream
            with opened(file) as reader:
                return reader.schema

    def _batches(self, columns: list[str]) -> Iterator[Any]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        with self._errors():
            if self._format == "Parquet":
                with pq.ParquetFile(self.path) as file:
                    yield from file.iter_batches(_ROWS_OF_BATCH, columns=columns)
                return
            with pa.memory_map(self.path) as memory:
                if self._format == "Arrow file":
                    with pa.ipc.open_file(memory) as reader:
                        batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
                        yield from (batch.select(columns) for batch in batches)
                else:
                    with pa.ipc.open_stream(memory) as stream:
                        yield from (batch.select(columns) for batch in stream)

    def _column(self, array: Any, *, forced: bool) -> Column:
        import pyarrow as pa
        import pyarrow.compute as pc

        kind = array.type
        if pa.types.is_dictionary(kind):
            array = array.dictionary_decode()
            kind = array.type
        if array.null_count == len(array):
            return Column("empty", np.full(len(array), np.nan))
        if _is_text(kind):
            return self._text_column(array, forced)
        column: Column
        if pa.types.is_boolean(kind):
            column = Column("boolean", _floats(pc.cast(array, pa.int8())))
        elif forced and pa.types.is_integer(kind):
            return self._text_column(pc.cast(array, pa.string()), forced)  # exact beyond 2**53
        elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            column = Column("numeric", _floats(pc.cast(array, pa.float64(), safe=False)))
        elif pa.types.is_date(kind) or pa.types.is_timestamp(kind):
            if pa.types.is_date(kind):
                array = pc.cast(array, pa.timestamp("s"))
                kind = array.type
            column = Column("date", _floats(pc.cast(array, pa.int64())) / _TICKS[kind.unit])
        elif pa.types.is_time(kind):
            width = pa.int32() if pa.types.is_time32(kind) else pa.int64()
            values = _floats(pc.cast(array, width)) / _TICKS[kind.unit]
            column = Column("date", values, date_format=TIME)
        else:
            return Column("unsupported", np.full(len(array), np.nan))
        return texts_of(column) if forced and column.kind in ("boolean", "numeric") else column

    def _text_column(self, array: Any, forced: bool) -> Column:
        import pyarrow.compute as pc

        encoded = pc.dictionary_encode(array)
        codes = np.asarray(pc.fill_null(encoded.indices, -1)).astype(np.int32)
        distinct = [text.strip() for text in encoded.dictionary.to_pylist()]
        used = set(distinct) - {""} - self._missing
        known = {text: code for code, text in enumerate(sorted(used))}
        table = np.array([known.get(text, -1) for text in distinct] + [-1], np.int32)
        column = Column("categorical", table[codes], list(known))
        seconds = seconds_of(known) if known and not forced else None
        return column if seconds is None else dated(column, seconds, ISO)


class _ReadErrors:
    """Turns pyarrow's errors into a UsageError that names the file."""

    def __init__(self, path: str, kind: str) -> None:
        self._path = path
        self._kind = kind

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: Any, _: object) -> None:
        import pyarrow as pa

        if isinstance(error, pa.ArrowException | OSError) and not isinstance(error, MemoryError):
            reason = " ".join(str(error).split())
            raise UsageError(
                f"{self._path} ({self._kind} by its first bytes) cannot be read: {reason}"
            ) from None


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _floats(array: Any) -> Any:
    values = array.to_numpy(zero_copy_only=False)
    return values.astype(np.float64)  # nulls are NaN, where there are any
