"""A picture of a run: for every shape how many times as fast chainrule is as each peer."""

import io
import logging

from . import summary, workloads

# Distinct for color-blind eyes (Okabe and Ito); the lightness differs too.
_COLORS = {
    "numpy": "#0072b2",
    "torch": "#d55e00",
    "torch_compile": "#e69f00",
    "jax": "#009e73",
    "sklearn": "#56b4e9",
    "nn_engine_core": "#cc79a7",
    "chainrule_float32": "#000000",
    "torch_bf16": "#a03000",
}
_OTHER = "#777777"
_WIDTH = 0.84  # of a group of bars; the groups are 1 apart


def draw(report: dict, caption: str, mark: str) -> bytes:
    """Return the picture as PNG, with a caption under it and a mark in the file."""
    # On a slow first run matplotlib says that it looks for fonts; that is not this command's news.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    threads = sorted(report["plan"]["threads"], reverse=True)
    n_bars = len(summary.timed_peers(report)) * len(report["results"])
    width = min(max(7.0, 1.5 + 0.3 * n_bars), 16.0)
    figure = Figure(figsize=(width, 0.9 + 3.1 * len(threads)), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(threads), 1, squeeze=False, sharey=True)[:, 0]
    for axes, allowed in zip(panels, threads, strict=True):
        _panel(axes, report, allowed)
    handles, labels = panels[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside upper center", ncols=min(len(labels), 6))
    figure.supxlabel(caption, fontsize="x-small", color="#444444")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": mark})
    return picture.getvalue()


def _panel(axes, report: dict, threads: int) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    titles = workloads.find_competitors()
    peers = summary.timed_peers(report)
    bar = _WIDTH / max(len(peers), 1)
    labels, highest, lowest = [], 2.0, 0.8
    for place, result in enumerate(report["results"]):
        comparison = summary.comparison_of(result, threads)
        own = comparison["chainrule"]
        labels.append(f"{result['shape']}\n{_time(own) if own else 'not measured'}")
        for i, name in enumerate(peers):
            peer = comparison["peers"].get(name)
            if peer is None:
                continue
            ratio = peer["ratio"]
            highest, lowest = max(highest, ratio), min(lowest, ratio)
            x = place - _WIDTH / 2 + (i + 0.5) * bar
            axes.bar(x, ratio - 1, bar * 0.92, bottom=1, color=_COLORS.get(name, _OTHER))
            axes.annotate(
                summary.in_ratio(ratio).rstrip("x"),
                (x, max(ratio, 1.0)),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                va="bottom",
                rotation=90,
                fontsize="x-small",
            )
    for name in peers:  # one entry of the legend each, whatever was measured where
        axes.bar(0, 0, 0, bottom=1, color=_COLORS.get(name, _OTHER), label=titles[name])
    axes.axhline(1, color="black", linewidth=1)
    axes.set_yscale("log")
    axes.set_ylim(lowest / 1.25, highest * 1.9)
    axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(range(len(labels)), labels, fontsize="small")
    axes.set_xlim(-0.6, len(labels) - 0.4)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.set_ylabel("peer's time / chainrule's", fontsize="small")
    allowed = "1 thread" if threads == 1 else f"up to {threads} threads"
    precision = summary.precision_of(report)
    own = "chainrule" if precision == report["plan"]["dtype"] else f"chainrule in {precision}"
    axes.set_title(
        f"{allowed}: how many times as fast {own} is (under each shape its time)",
        fontsize="medium",
        loc="left",
    )


def _time(own: dict) -> str:
    time = summary.in_words(own["microseconds"])
    share = own["share_of_peak"]
    return time if share is None else f"{time}\n{share:.0%} of peak"
