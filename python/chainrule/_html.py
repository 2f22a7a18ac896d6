"""What a notebook shows of a history, a model and a trainer: HTML that needs nothing else.

Ink and lines take the notebook's own color, so that they can be read in light and dark themes.
`_repr_html_` of the classes calls these functions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from ._layers import as_activation
from ._repr import counted, number

if TYPE_CHECKING:
    from ._history import History
    from ._network import Network
    from ._training import Trainer

__all__ = ["history_html", "model_html", "trainer_html"]

# Readable on white and on black, and distinct for color-blind eyes.
_TRAINING, _VALIDATION, _SCORE = "#2a79ba", "#d1701a", "#3f9163"
_WIDTH, _HEIGHT = 564, 220
# "-1.234e-105" has eleven characters, of 7 each.
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 84, 26, 30
_MOST_POINTS = 200
_MOST_LAYERS, _LAYERS_AT_EACH_END = 24, 10
# Losses over more than this range are drawn by their logarithms.
_WIDEST_LINEAR_RANGE = 30.0


def history_html(history: History) -> str:
    """Return the curves of a history, and the numbers of its best and its last epoch."""
    n_epochs = len(history.loss)
    if n_epochs == 0:
        return f"<div>{escape(repr(history))}</div>"
    best = history.best_epoch
    columns = {
        "loss": history.loss,
        "validation loss": history.validation_loss,
        "validation score": history.validation_score,
        "learning rate": history.learning_rate,
    }
    known = {name: values for name, values in columns.items() if len(values) == n_epochs}
    if best == n_epochs:
        epochs = {f"best, last: {best:,}": n_epochs}
    else:
        epochs = {} if best is None or best > n_epochs else {f"best: {best:,}": best}
        epochs[f"last: {n_epochs:,}"] = n_epochs
    rows = [
        [label, *(number(values[epoch - 1]) for values in known.values())]
        for label, epoch in epochs.items()
    ]
    seconds = f" in {number(sum(history.seconds))} s" if history.seconds else ""
    ended = f"; ended by: {history.stop_reason}" if history.stop_reason else ""
    caption = f"{counted(n_epochs, 'epoch')}{seconds}{ended}"
    return f"<div>{_curves(history)}{_table(['epoch', *known], rows)}{_note(caption)}</div>"


def model_html(model: Network) -> str:
    """Return the layers of a network as a table."""
    rows = []
    width = model.in_features
    if model.input_layer is not None:
        rows.append([type(model.input_layer).__name__, "", "", "", f"{width:,}", "0"])
    for layer in model.layers:
        activation = as_activation(layer.activation)
        name = activation.name + (f" ({activation.parameter:g})" if activation.parameter else "")
        rows.append(
            [
                "Dense" if layer.bias else "Dense, no bias",
                name,
                layer.norm or "",
                f"{layer.dropout:g}" if layer.dropout else "",
                f"{width:,} → {layer.out_features:,}",
                f"{layer.n_parameters(width):,}",
            ]
        )
        width = layer.out_features
    numbered = [[str(i), *row] for i, row in enumerate(rows, 1)]
    if len(numbered) > _MOST_LAYERS:
        hidden = len(numbered) - 2 * _LAYERS_AT_EACH_END
        gap = ["…", f"{hidden:,} more", *[""] * 5]
        numbered[_LAYERS_AT_EACH_END:-_LAYERS_AT_EACH_END] = [gap]
    header = ["", "layer", "activation", "norm", "dropout", "shape", "parameters"]
    # A column that would be empty says nothing.
    used = [i for i, _ in enumerate(header) if any(row[i] for row in numbered)]
    table = _table([header[i] for i in used], [[row[i] for i in used] for row in numbered])
    precision = "" if model.precision == model.dtype.name else f", products in {model.precision}"
    caption = f"MLP: {model.n_parameters:,} parameters in {model.dtype}{precision}"
    return f"<div>{_note(caption)}{table}</div>"


def trainer_html(trainer: Trainer) -> str:
    """Return loss and optimizer of a trainer, its model, and its history if there is one."""
    caption = (
        f"Trainer: {trainer.loss}, {trainer.optimizer}; "
        f"{counted(trainer.epoch, 'epoch')}, {counted(trainer.step_count, 'step')}"
    )
    history = history_html(trainer.history) if trainer.history.loss else ""
    return f"<div>{_note(caption)}{model_html(trainer.model)}{history}</div>"


def _note(text: str) -> str:
    return f'<div style="font-size:90%;margin:4px 0">{escape(text)}</div>'


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def line(tag: str, cells: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(line("td", row) for row in rows)
    return f"<table><thead>{line('th', header)}</thead><tbody>{body}</tbody></table>"


class _Axis:
    """Maps values of some curves to heights, lowest at the bottom; by logarithms if asked."""

    def __init__(self, curves: Sequence[Sequence[float]], *, may_be_logarithmic: bool) -> None:
        values = [value for curve in curves for value in curve if math.isfinite(value)]
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        self.logarithmic = may_be_logarithmic and 0 < low * _WIDEST_LINEAR_RANGE < high
        if low == high:
            margin = abs(low) / 10 or 1.0
            low, high = low - margin, high + margin
        self._low, self._high = self._scaled(low), self._scaled(high)

    def _scaled(self, value: float) -> float:
        # Half of each, since a difference of the largest floats has no float.
        return math.log(value) / 2 if self.logarithmic else value / 2

    def height(self, value: float) -> float:
        share = (self._scaled(value) - self._low) / (self._high - self._low)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

    def ticks(self) -> list[tuple[float, str]]:
        """Return height and label of bottom, middle and top."""
        found = []
        for share in (0.0, 0.5, 1.0):
            value = 2 * (self._low + share * (self._high - self._low))
            value = math.exp(value) if self.logarithmic else value
            found.append((_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM), number(value)))
        return found


def _curves(history: History) -> str:
    n_epochs = len(history.loss)
    losses = {"loss": (history.loss, _TRAINING)}
    if history.validation_loss:
        losses["validation loss"] = (history.validation_loss, _VALIDATION)
    score = history.validation_score
    right = _RIGHT if score else 16
    axis = _Axis([values for values, _ in losses.values()], may_be_logarithmic=True)
    parts = [_axis_labels(axis, _LEFT - 6, "end", "currentColor")]
    if history.best_epoch is not None:
        x = _across(history.best_epoch, n_epochs, right)
        parts.append(
            f'<line x1="{x}" x2="{x}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" stroke="currentColor" '
            'stroke-dasharray="2 3" opacity="0.6"><title>best epoch</title></line>'
        )
    for values, color in losses.values():
        parts.append(_curve(values, axis, color, n_epochs, right))
    legend = [(name, color) for name, (_, color) in losses.items()]
    if score:
        score_axis = _Axis([score], may_be_logarithmic=False)
        parts.append(_axis_labels(score_axis, _WIDTH - right + 6, "start", _SCORE))
        parts.append(_curve(score, score_axis, _SCORE, n_epochs, right))
        legend.append(("validation score (right)", _SCORE))
    if axis.logarithmic:
        legend.append(("log scale", "currentColor"))
    x = float(_LEFT)
    for name, color in legend:
        parts.append(f'<text x="{x:g}" y="14" fill="{color}">{name}</text>')
        x += 7.0 * len(name) + 18
    bottom = _HEIGHT - _BOTTOM
    end = _WIDTH - right
    parts.append(
        f'<path d="M{_LEFT} {_TOP}V{bottom}H{end}" fill="none" stroke="currentColor" '
        'opacity="0.5"/>'
    )
    if n_epochs > 1:
        parts.append(_text(_LEFT, bottom + 16, "start", "1"))
        parts.append(_text(end, bottom + 16, "end", f"{n_epochs:,}"))
    label = "epoch" if n_epochs > 1 else "epoch 1"
    parts.append(_text((_LEFT + end) / 2, bottom + 16, "middle", label))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" style="max-width:100%" font-family="sans-serif" font-size="12" '
        f'fill="currentColor" role="img" aria-label="loss by epoch">{"".join(parts)}</svg>'
    )


def _across(epoch: int, n_epochs: int, right: int) -> float:
    share = (epoch - 1) / (n_epochs - 1) if n_epochs > 1 else 0.5
    return round(_LEFT + share * (_WIDTH - _LEFT - right), 1)


def _text(x: float, y: float, anchor: str, text: str, color: str = "currentColor") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{color}">{escape(text)}</text>'


def _axis_labels(axis: _Axis, x: float, anchor: str, color: str) -> str:
    return "".join(_text(x, y + 4, anchor, label, color) for y, label in axis.ticks())


def _curve(values: Sequence[float], axis: _Axis, color: str, n_epochs: int, right: int) -> str:
    """Draw some of the values, first and last among them, with gaps where there is no number."""
    chosen = np.unique(np.linspace(0, len(values) - 1, _MOST_POINTS).round().astype(int)).tolist()
    pieces: list[list[str]] = [[]]
    for i in chosen:
        if math.isfinite(values[i]):
            pieces[-1].append(f"{_across(i + 1, n_epochs, right):g},{axis.height(values[i]):.1f}")
        elif pieces[-1]:
            pieces.append([])
    drawn = []
    for points in filter(None, pieces):
        if len(points) > 1:
            drawn.append(
                f'<polyline points="{" ".join(points)}" fill="none" stroke="{color}" '
                'stroke-width="1.6"/>'
            )
        else:
            x, y = points[0].split(",")
            drawn.append(f'<circle cx="{x}" cy="{y}" r="3" fill="{color}"/>')
    return "".join(drawn)
