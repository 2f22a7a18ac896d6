"""Looks for a slip in a column of text that has more texts than are kept; `building` asks.

One cell of text makes text of a column of a million numbers or dates. Without their texts it would
be left out, and nobody told of the cell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from chainrule._command.date_finding import formats_of, sample_of
from chainrule._command.dates import seconds_of, to_number
from chainrule._command.source import Column

__all__ = ["DECIMAL_COMMAS", "NUMBERS", "Strays", "strays_of"]

NUMBERS, DECIMAL_COMMAS = "numbers", "decimal commas"
_BLOCK = 512


class Strays:
    """Counts the rows of a column that read in one way, and finds the first that does not.

    Attributes
    ----------
    of : str
        `NUMBERS`, `DECIMAL_COMMAS`, or a format of dates.
    n_fits, n_others : int
        Rows.
    first : tuple of (int, str) or None
        Row and text of the first that is to be corrected: what does not fit, or a decimal comma.
    """

    def __init__(self, of: str) -> None:
        self.of = of
        self.n_fits = self.n_others = 0
        self.first: tuple[int, str] | None = None

    def add(self, start: int, part: Column) -> None:
        """Count the rows of a part that begins at row `start`."""
        if part.kind != "categorical":
            self.n_fits += int((~part.missing()).sum())
            return
        fits = _reads(part.categories, self.of)
        of_text = np.bincount(part.values[part.values >= 0], minlength=len(part.categories))
        self.n_fits += int(of_text[fits].sum())
        self.n_others += int(of_text[~fits].sum())
        if self.first is not None:
            return
        wrong = fits & ~_reads(part.categories, NUMBERS) if self.of == DECIMAL_COMMAS else ~fits
        rows = np.flatnonzero(np.append(wrong, False)[part.values])
        if len(rows):
            self.first = start + int(rows[0]), part.categories[part.values[rows[0]]]


def strays_of(texts: Sequence[str]) -> list[Strays]:
    """Return one for each way in which most of a column's texts read."""
    sample = sample_of(texts)
    # Numbers first, which read as decimal commas, too.
    found = Counter({what: int(_reads(sample, what).sum()) for what in (NUMBERS, DECIMAL_COMMAS)})
    found.update(each for text in sample for each in formats_of(text, with_times=False))
    return [Strays(what) for what, n in found.items() if 2 * n > len(sample)]


def _reads(texts: Sequence[str], what: str) -> npt.NDArray[np.bool_]:
    """Return which texts are numbers, numbers with a decimal comma at most, or in a format."""
    if what == NUMBERS:
        return np.array([not np.isnan(to_number(text)) for text in texts], bool)
    if what == DECIMAL_COMMAS:
        return _reads([text.replace(",", ".", 1) for text in texts], NUMBERS)
    # Blocks at once, and one by one only those with a slip.
    found = []
    for start in range(0, len(texts), _BLOCK):
        block = texts[start : start + _BLOCK]
        if seconds_of(block, what) is not None:
            found += [True] * len(block)
        else:
            found += [seconds_of([text], what) is not None for text in block]
    return np.array(found, bool)
