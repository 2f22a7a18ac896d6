"""The picture of ``precision_curves.py``: a panel for each network, a line for each precision.

Under each panel of losses is one of differences from float32, in standard deviations of its seeds.
"""

from itertools import chain
from pathlib import Path

import numpy as np

# Of Okabe and Ito, as in chart.py; float32 is the broad line under the others.
_LINES = {
    "float32": {"color": "#bbbbbb", "lw": 4.5},
    "bf16x6": {"color": "#0072b2", "lw": 1.6},
    "bf16x3": {"color": "#e69f00", "lw": 1.6, "ls": (0, (4, 3))},
    "bf16": {"color": "#d1495b", "lw": 1.3, "ls": (0, (1, 1.2))},
}
_N_COLUMNS = 3
_LEAST = 1.5  # standard deviations that the axis of differences shows


def draw(report: dict, path: Path) -> None:
    """Write a PNG."""
    from matplotlib.figure import Figure

    results = report["results"]
    n_rows = -(-len(results) // _N_COLUMNS)
    figure = Figure(figsize=(12.5, 0.9 + 3.6 * n_rows), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.06, hspace=0.04, wspace=0.03)
    cells = figure.add_gridspec(n_rows, _N_COLUMNS)
    for place, result in enumerate(results):
        pair = cells[divmod(place, _N_COLUMNS)].subgridspec(2, 1, height_ratios=(2.4, 1), hspace=0)
        losses = figure.add_subplot(pair[0])
        distances = figure.add_subplot(pair[1], sharex=losses)
        _panel(losses, distances, result)
        if place % _N_COLUMNS == 0:
            losses.set_ylabel("training loss")
            distances.set_ylabel("difference")
        if place >= len(results) - _N_COLUMNS:
            distances.set_xlabel("step")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    figure.supxlabel(_caption(report), fontsize=9, color="0.3")
    figure.savefig(path, dpi=110)


def _panel(losses, distances, result: dict) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    curves = {
        name: np.array([run["curve"] for run in result["runs"] if run["precision"] == name])
        for name in _LINES
    }
    n_points = curves["float32"].shape[1]
    blocks = np.array_split(np.arange(1, result["steps"] + 1), n_points)
    steps = [block.mean() for block in blocks]
    usual = curves["float32"].mean(axis=0)
    deviation = curves["float32"].std(axis=0, ddof=1)
    band = {"color": "0.88", "lw": 0, "label": "float32, mean and deviation of its seeds"}
    losses.fill_between(steps, usual - deviation, usual + deviation, **band)
    distances.axhspan(-1, 1, color=band["color"], lw=0)
    highest = _LEAST
    marker = "o" if n_points < 20 else None
    for name, style in _LINES.items():
        label = None if name == "float32" else name
        mean = curves[name].mean(axis=0)
        losses.plot(steps, mean, label=label, marker=marker, ms=3, **style)
        distance = (mean - usual) / deviation
        highest = max(highest, 1.1 * np.abs(distance).max())
        distances.plot(steps, distance, marker=marker, ms=3, **style)
    distances.set_ylim(-highest, highest)
    for axes in (losses, distances):
        axes.grid(color="0.92")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    if usual.max() > 4 * usual.min():
        losses.set_yscale("log")
        losses.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=7))
        losses.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        losses.yaxis.set_minor_locator(NullLocator())
    distances.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    losses.tick_params(labelbottom=False)
    widths = _widths(result["widths"])
    title = f"{result['name']}: {widths}, batches of {result['batch_size']:,}"
    extent = f"{result['steps']:,} steps, {result['seeds']} seeds"
    losses.set_title(f"{title}\n{extent}", fontsize=9.5, loc="left")


def _widths(widths: list[int]) -> str:
    """Return widths, equal ones in one: "128-8x256-10"."""
    parts: list[list[int]] = []
    for width in widths:
        if parts and parts[-1][0] == width:
            parts[-1][1] += 1
        else:
            parts.append([width, 1])
    texts = ([f"{width}"] * n if n < 4 else [f"{n}x{width}"] for width, n in parts)
    return "-".join(chain.from_iterable(texts))


def _caption(report: dict) -> str:
    place = report["machine"]
    few = [f"{r['name']} {r['steps']}" for r in report["results"] if r["steps"] < 20]
    lines = [
        "Means over the seeds. Differences are those from float32, in standard deviations of its "
        "seeds at that step; the gray band is one to either side."
    ]
    if few and not report["bf16_tiles"]:
        lines.append(f"Few steps where they take long without bf16 tiles: {', '.join(few)}.")
    tiles = "with bf16 tiles" if report["bf16_tiles"] else "without bf16 tiles"
    lines.append(f"{place['cpu']}, variant {report['variant']}, {tiles}; {place['date'][:10]}")
    return "\n".join(lines)
