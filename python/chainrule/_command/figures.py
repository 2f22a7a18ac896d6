"""The pictures of the report. Text in them is drawn as outlines, so that any font shows.

They have no background, and ink that follows the reader's theme: colors must do on
white and on black.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule._command.report import amount

__all__ = [
    "as_png",
    "as_svg",
    "calibration_of_classes",
    "calibration_of_values",
    "confusion_matrix",
    "importance",
    "learning_curve",
    "predicted_against_actual",
]

# Distinct for color-blind eyes, and by lightness in gray.
FIRST, SECOND, GRAY = "#2a79ba", "#d1701a", "#808080"
_LONGEST_LABEL = 28
_INK = b"""<style>svg { color: #1a1a1a; fill: currentColor; }
@media (prefers-color-scheme: dark) { svg { color: #e4e4e4; } }</style>"""
_MOST_COLUMNS = 20
_MOST_POINTS = 5000
_BINS = 10


def _figure(width: float, height: float, columns: int = 1) -> tuple[Any, Any]:
    # On a slow first run matplotlib says that it looks for fonts; that is not this command's news.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    # No pyplot: no display is needed, and no global backend is changed.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns)
    for each in np.atleast_1d(axes):
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def as_svg(figure: Any) -> bytes:
    """Return a figure as SVG, the same bytes for the same figure."""
    import matplotlib as mpl

    settings: Any = {"svg.fonttype": "path", "svg.hashsalt": "chainrule"}
    with mpl.rc_context(settings):
        svg = _saved(figure, format="svg", dpi=150, transparent=True, metadata={"Date": None})
    # Black is matplotlib's ink; in outlines of text it is not even written.
    svg = svg.replace(b": #000000", b": currentColor")
    end = svg.index(b">", svg.index(b"<svg")) + 1
    return svg[:end] + _INK + svg[end:]


def as_png(figure: Any, mark: str) -> bytes:
    """Return a figure as PNG with a mark by which it is known again."""
    return _saved(figure, format="png", dpi=150, metadata={"Software": mark})


def _saved(figure: Any, **arguments: Any) -> bytes:
    picture = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # names in any script
        figure.savefig(picture, **arguments)
    return picture.getvalue()


def _short(text: str) -> str:
    """Return a label of one line; of a long text, both ends."""
    line = " ".join(text.split())
    if len(line) > _LONGEST_LABEL:
        half = _LONGEST_LABEL // 2
        line = f"{line[:half]}…{line[1 - half :]}"
    return line.replace("$", r"\$")


def _labels(names: Sequence[str]) -> list[str]:
    """Return short labels; those that would be alike are cut where the names begin to differ."""
    labels = [_short(name) for name in names]
    alike: dict[str, list[int]] = {}
    for i, label in enumerate(labels):
        alike.setdefault(label, []).append(i)
    for places in alike.values():
        if len(places) > 1:
            lines = [" ".join(names[i].split()) for i in places]
            # The first and the last in order begin alike as far as all do.
            first, last = min(lines), max(lines)
            n_alike = next(
                (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first)
            )
            start = max(0, n_alike - 8)
            for i, line in zip(places, lines, strict=True):
                labels[i] = _short(f"…{line[start : start + _LONGEST_LABEL - 2]}…")
    return labels


def _in_amounts(*axes: Any) -> None:
    """Write the numbers of an axis out, without a power of ten in a corner."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    for axis in axes:
        axis.set_major_formatter(FuncFormatter(lambda value, _: amount(value)))
        axis.set_major_locator(MaxNLocator(nbins=4))


def learning_curve(
    training: Sequence[float],
    validation: Sequence[float],
    score: Sequence[float],
    score_name: str,
    best_epoch: int | None,
    watched: str = "validation",
) -> Any:
    """Draw losses and score by epoch; `watched` is what the rows are called that do not train."""
    from matplotlib.ticker import MaxNLocator

    figure, (left, right) = _figure(9, 3.4, columns=2)
    epochs = range(1, len(training) + 1)
    marker = "o" if len(training) == 1 else None  # a line of one point cannot be seen
    left.plot(epochs, training, color=FIRST, marker=marker, label="training")
    left.plot(epochs, validation, color=SECOND, marker=marker, label=watched)
    left.set_ylabel("loss")
    values = [*training, *validation]
    if min(values) > 0 and max(values) > 10 * min(values):
        left.set_yscale("log")
    right.plot(epochs, score, color=SECOND, marker=marker)
    right.set_ylabel(f"{watched} {score_name}")
    for axes in (left, right):
        if best_epoch is not None:
            axes.axvline(best_epoch, color=GRAY, linestyle=":", label=f"epoch {best_epoch}, kept")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
    left.legend(frameon=False)
    return figure


def confusion_matrix(counts: list[list[int]], classes: Sequence[str]) -> Any:
    """Draw how many rows of each class were taken for which, shaded by share of the class."""
    table = np.array(counts)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    n = len(classes)
    side = min(max(3.6, 1.6 + 0.42 * n), 10)
    figure, axes = _figure(side + 0.6, side)
    from matplotlib.colors import ListedColormap, to_rgba

    opacities = np.linspace(0, 1, 256)
    colors = ListedColormap([(*to_rgba(FIRST)[:3], opacity) for opacity in opacities])
    axes.imshow(shares, cmap=colors, vmin=0, vmax=1)
    if n <= 25:
        for i, j in np.ndindex(n, n):
            axes.text(
                *(j, i, f"{table[i, j]:,}"),
                ha="center",
                va="center",
                fontsize=9 if n <= 12 else 6,
                color="white" if shares[i, j] > 0.5 else "black" if table[i, j] else GRAY,
            )
    names = _labels(classes)
    if n <= 60:
        fits = n * max(map(len, names)) <= 30
        turned = 0 if fits else 30 if n <= 6 else 90
        axes.set_xticks(range(n), names, rotation=turned, ha="right" if turned == 30 else "center")
        axes.set_yticks(range(n), names)
        if n > 25:
            axes.tick_params(labelsize=8)
    axes.set_xlabel("predicted")
    axes.set_ylabel("actual")
    return figure


def predicted_against_actual(
    predicted: npt.NDArray[np.float64], actual: npt.NDArray[np.float64], name: str, seed: int
) -> Any:
    """Draw a point for each row; of many rows, 5,000 drawn from the seed."""
    if len(actual) > _MOST_POINTS:
        rows = np.random.default_rng(seed).choice(len(actual), _MOST_POINTS, replace=False)
        predicted, actual = predicted[rows], actual[rows]
    figure, axes = _figure(4.6, 4.4)
    low = float(min(predicted.min(), actual.min()))
    high = float(max(predicted.max(), actual.max()))
    axes.plot([low, high], [low, high], color=GRAY, linewidth=1, label="exact")
    size = 14 if len(actual) < 500 else 5
    axes.scatter(
        predicted, actual, s=size, alpha=0.6, color=FIRST, edgecolors="none", rasterized=True
    )
    axes.set_xlabel(f"predicted {_short(name)}")
    axes.set_ylabel(f"actual {_short(name)}")
    axes.set_aspect("equal", adjustable="datalim")
    _in_amounts(axes.xaxis, axes.yaxis)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="upper left")
    return figure


def calibration_of_classes(confidence: npt.NDArray[np.float64], right: npt.NDArray[Any]) -> Any:
    """Draw how often predictions of some confidence are right."""
    from sklearn.calibration import calibration_curve

    share, mean = calibration_curve(right, confidence, n_bins=_BINS, strategy="quantile")
    figure, axes = _figure(4.4, 4)
    low = max(0.0, min(float(share.min()), float(mean.min())) - 0.05)
    axes.plot([low, 1], [low, 1], color=GRAY, linewidth=1, label="as it should be")
    axes.plot(mean, share, "o-", color=FIRST, label="held-out rows")
    axes.set_xlabel("probability of the predicted class")
    axes.set_ylabel("share of rows where it is right")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure


def calibration_of_values(
    predicted: npt.NDArray[np.float64], actual: npt.NDArray[np.float64], name: str
) -> Any:
    """Draw the mean actual value of rows with similar predictions."""
    groups = np.array_split(np.argsort(predicted, kind="stable"), min(_BINS, len(actual)))
    mean = [float(predicted[rows].mean()) for rows in groups]
    found = [float(actual[rows].mean()) for rows in groups]
    figure, axes = _figure(4.4, 4)
    ends = [min(*mean, *found), max(*mean, *found)]
    axes.plot(ends, ends, color=GRAY, linewidth=1, label="as it should be")
    axes.plot(mean, found, "o-", color=FIRST, label="tenths of the held-out rows")
    axes.set_xlabel(f"mean predicted {_short(name)}")
    axes.set_ylabel(f"mean actual {_short(name)}")
    _in_amounts(axes.xaxis, axes.yaxis)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure


def importance(harm: Mapping[str, tuple[float, float]], what: str) -> Any:
    """Draw what shuffling a column does, for the first twenty."""
    shown = list(harm.items())[:_MOST_COLUMNS][::-1]
    figure, axes = _figure(6.4, 1.1 + 0.3 * len(shown))
    places = range(len(shown))
    axes.barh(
        places,
        [mean for _, (mean, _) in shown],
        xerr=[deviation for _, (_, deviation) in shown],
        color=FIRST,
        ecolor=GRAY,
    )
    axes.set_yticks(places, _labels([name for name, _ in shown]))
    axes.set_xlabel(f"{what} when the column is shuffled")
    axes.grid(alpha=0.3, axis="x")
    return figure
