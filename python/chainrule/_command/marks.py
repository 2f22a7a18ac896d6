"""Which texts stand for a missing value, in which column; `delimited.py` asks for them.

The usual ones are those of pandas, written out: they are documented, and do not change with it.
"""

from __future__ import annotations

from dataclasses import dataclass

from chainrule._command.errors import UsageError, quoted
from chainrule._command.report import count

__all__ = ["USUAL", "Marks", "marks_among", "note"]

USUAL = (
    *("", "NA", "N/A", "n/a", "#N/A", "#N/A N/A", "#NA", "<NA>", "NULL", "null", "None"),
    *("NaN", "nan", "-NaN", "-nan", "1.#IND", "1.#QNAN", "-1.#IND", "-1.#QNAN"),
)


@dataclass(frozen=True)
class Marks:
    """What the user says about missing values.

    Attributes
    ----------
    more : tuple of str
        Texts that stand for one, besides the usual ones.
    target : str or None
        The column whose marks are counted.
    classes : tuple of str
        Texts that are values of the target, whatever they look like.
    """

    more: tuple[str, ...] = ()
    target: str | None = None
    classes: tuple[str, ...] = ()

    def of(self, name: str) -> frozenset[str]:
        """Return the texts that stand for a missing value in a column."""
        marks = frozenset((*USUAL, *self.more))
        return marks - set(self.classes) if name == self.target else marks

    def check(self) -> None:
        """Raise UsageError unless every class was a mark, and only a usual one."""
        for text in self.classes:
            if text in self.more:
                raise UsageError(f"{quoted(text)} is both --missing and --not-missing")
            if text not in USUAL or text == "":
                usual = ", ".join(filter(None, USUAL))
                raise UsageError(
                    f"--not-missing {quoted(text)}: expected a text that stands for a missing "
                    f"value, which are {usual}"
                )


def marks_among(classes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the classes of a model that stand for a missing value where they are none."""
    return tuple(name for name in classes if name in USUAL)


def note(marked: dict[str, int], *, of_classes: bool) -> str:
    """Return what was taken for a missing target, and what to do if it was none."""
    words = " and ".join(
        f"{quoted(text)} ({count(n, 'row')})" for text, n in sorted(marked.items())
    )
    hint = "; if that is a class, give --not-missing" if of_classes else ""
    return f"{words} in the target taken for missing{hint}"
