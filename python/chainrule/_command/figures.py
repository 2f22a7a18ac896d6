"""The pictures of the report. Text in them is drawn as outlines, so that any font shows."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

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
FIRST, SECOND, GRAY = "#0b5394", "#d1701a", "#777777"
_LONGEST_LABEL = 24
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
        return _saved(figure, format="svg", dpi=150, metadata={"Date": None})


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
    line = " ".join(text.split())
    line = line if len(line) <= _LONGEST_LABEL else line[: _LONGEST_LABEL - 1] + "…"
    return line.replace("$", r"\$")


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
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if n <= 25:
        for i, j in np.ndindex(n, n):
            axes.text(
                *(j, i, f"{table[i, j]:,}"),
                ha="center",
                va="center",
                fontsize=9 if n <= 12 else 6,
                color="white" if shares[i, j] > 0.5 else "black" if table[i, j] else "#bbbbbb",
            )
    names = [_short(name) for name in classes]
    if n <= 60:
        fits = n * max(map(len, names)) <= 30
        turned = 0 if fits else 30 if n <= 6 else 90
        axes.set_xticks(range(n), names, rotation=turned, ha="right" if turned == 30 else "center")
        axes.set_yticks(range(n), names)
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
        predicted, actual, s=size, alpha=0.4, color=FIRST, edgecolors="none", rasterized=True
    )
    axes.set_xlabel(f"predicted {_short(name)}")
    axes.set_ylabel(f"actual {_short(name)}")
    axes.set_aspect("equal", adjustable="datalim")
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
    axes.set_yticks(places, [_short(name) for name, _ in shown])
    axes.set_xlabel(f"{what} when the column is shuffled")
    axes.grid(alpha=0.3, axis="x")
    return figure
