"""What the command prints: labeled lines that fit 80 columns, and the lines of a training log."""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TextIO

from chainrule._command.errors import printable

__all__ = ["Report", "amount", "count", "duration", "in_precision", "in_shards"]

_LABEL_WIDTH = 20
_NARROWEST_TEXT = 30
_NARROW_INDENT = 2
_WIDEST = 100


class Report:
    """Prints labeled lines on standard output.

    Parameters
    ----------
    quiet : bool
        Print results only, no account of what is done.
    stream : text file, optional
        Standard output by default.
    """

    def __init__(self, quiet: bool = False, stream: TextIO | None = None) -> None:
        self.quiet = quiet
        self._stream = sys.stdout if stream is None else stream
        self._width = min(shutil.get_terminal_size((80, 24)).columns, _WIDEST)

    def field(self, label: str, text: str, *, result: bool = False) -> None:
        """Print `text` after its label, wrapped and indented under itself.

        On a narrow terminal the label has a line of its own.
        """
        if self.quiet and not result:
            return
        is_narrow = self._width < _LABEL_WIDTH + _NARROWEST_TEXT
        indent = _NARROW_INDENT if is_narrow else _LABEL_WIDTH
        wrapped = textwrap.wrap(
            printable(text),
            width=max(self._width - indent, 1),
            break_long_words=False,  # a path must stay in one piece
            break_on_hyphens=False,
        )
        if label and len(label) >= indent:
            self._print(label)
            label = ""
        for i, line in enumerate(wrapped):
            self._print(f"{label if i == 0 else '':<{indent}}{line}")

    def table(self, rows: list[list[str]]) -> None:
        """Print rows with a header, all but the first and the last column aligned to the right."""
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        last = len(widths) - 1
        for row in rows:
            cells = [
                f"{cell:<{width}}" if i in (0, last) else f"{cell:>{width}}"
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            self._print("  ".join(cells).rstrip())

    def line(self, text: str = "") -> None:
        """Print a line that is no result, or an empty one."""
        if not self.quiet:
            self._print(text)

    def _print(self, line: str) -> None:
        # A file may be named in letters that the stream does not have.
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        print(line.encode(encoding, "backslashreplace").decode(encoding), file=self._stream)

    def flush(self) -> None:
        """Bring out what was printed, so that a progress bar on standard error comes after it."""
        self._stream.flush()


def count(number: int, singular: str, plural: str = "") -> str:
    """Return a number with its noun: "1 row", "1,797 rows"."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def amount(value: float) -> str:
    """Return a value of any size with the four digits that count: "131,600", "0.0514"."""
    if value == 0 or 1e-4 <= abs(value) < 1e9:
        return f"{float(f'{value:.4g}'):,.10g}"
    return f"{value:.4g}"


def in_precision(dtype: str, precision: str) -> str:
    """Return type and precision of a network in words: "float32, products in bf16x3"."""
    return dtype if precision == dtype else f"{dtype}, products in {precision}"


def duration(seconds: float) -> str:
    """Return a time in words: "4.2 ms", "0.52 s", "83 s", "12 min 5 s"."""
    if seconds < 0.1:
        return f"{1e3 * seconds:.2g} ms" if seconds < 0.01 else f"{1e3 * seconds:.0f} ms"
    if seconds < 120:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def in_shards(shards: int | None) -> str:
    """Return how batches are cut, to follow their size: " in 4 shards"; nothing by default."""
    return "" if shards is None else f" in {count(shards, 'shard')}"
