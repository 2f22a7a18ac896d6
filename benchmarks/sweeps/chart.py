"""The picture of the cost sweep: time per operation over batch size, a line for each width."""

from pathlib import Path

from .. import machine

# Of a column of the picture
WIDTH_INCHES, HEIGHT_INCHES = 7.5, 6.5


def draw(result: dict, path: Path) -> None:
    """Write a PNG with one panel for each number of threads."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    counts = sorted({entry["threads"] for entry in result["results"]})
    figure = Figure(figsize=(WIDTH_INCHES * len(counts), HEIGHT_INCHES), layout="constrained")
    panels = figure.subplots(1, len(counts), sharey=True, squeeze=False)[0]
    widths = sorted({entry["width"] for entry in result["results"]})
    # From blue over green to red, without the ends, which are dark alike.
    last = max(1, len(widths) - 1)
    shades = [mpl.colormaps["turbo"](0.06 + 0.86 * i / last) for i in range(len(widths))]
    for axes, threads in zip(panels, counts, strict=True):
        entries = [entry for entry in result["results"] if entry["threads"] == threads]
        for index, width in enumerate(widths):
            line = sorted((e["batch_size"], e["gflops"]) for e in entries if e["width"] == width)
            if line:
                sizes, speeds = zip(*line, strict=True)
                cost = [1e3 / speed for speed in speeds]
                axes.plot(
                    sizes, cost, "o-", ms=3.5, lw=1.5, color=shades[index], label=f"{width:,}"
                )
        _dress(axes, entries, threads)
    panels[0].set_ylabel("time per floating-point operation (ps)")
    panels[-1].legend(title="hidden width w", loc="upper right", ncols=2, frameon=False)
    described = machine.describe()
    figure.suptitle(
        "Whole training steps of 64-w-w-10 (relu, cross-entropy, Adam, float32)\n"
        f"{described['architecture']}, {described['cpus']} processors, {described['date']}",
        fontsize=12,
    )
    figure.savefig(path, dpi=130)


def _dress(axes, entries: list[dict], threads: int) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    sizes = sorted({entry["batch_size"] for entry in entries})
    axes.set_xticks(sizes[::2], [f"{size:,}" for size in sizes[::2]], rotation=30)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.5g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("batch size")
    axes.grid(which="major", color="0.88")
    axes.spines[["top", "right"]].set_visible(False)
    fastest = max(entries, key=lambda entry: entry["gflops"])
    axes.axhline(1e3 / fastest["gflops"], color="0.5", lw=1, ls="--", zorder=0)
    axes.annotate(
        f"the fastest point: {fastest['gflops']:.0f} GFLOP/s",
        (sizes[0], 1e3 / fastest["gflops"]),
        xytext=(0, -4),
        textcoords="offset points",
        va="top",
        color="0.35",
    )
    axes.set_title(f"{threads} thread" + "s" * (threads > 1), fontsize=11)
