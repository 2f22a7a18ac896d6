"""The command `chainrule bench`: chainrule and its peers on this machine, timed and compared.

What is measured, and how, stands in benchmarks/, which the build installs as a part of the package;
here are the options, the progress, the tables and the files.
"""

from __future__ import annotations

import difflib
import importlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import chainrule as cr
from chainrule._bar import make_bar
from chainrule._command.errors import CommandError, UsageError, quoted, require
from chainrule._command.outputs import check_place, write_file
from chainrule._command.picture import check_picture_path, mark
from chainrule._command.report import Report, count
from chainrule._precision import PRECISIONS

__all__ = ["BenchOptions", "bench"]

_KIND = "benchmark chart"
_SLOW_SHAPES = ("wide", "huge")
_SLOW_PEERS = ("torch_compile",)
_QUICK_SHAPES = ("rl", "tabular", "digits", "predict_row")
_ROUNDS = {"quick": 3, "usual": 5, "full": 15}


@dataclass(frozen=True)
class BenchOptions:
    """The arguments of `chainrule bench`; None stands for what the extent says."""

    extent: Literal["quick", "usual", "full"]
    shapes: tuple[str, ...] | None
    peers: tuple[str, ...] | None
    threads: tuple[str, ...]
    rounds: int | None
    dtype: str
    precision: str | None
    variant: str | None
    timeout: float
    json: str | None
    chart: str | None
    quiet: bool


def bench(options: BenchOptions) -> None:
    """Run `chainrule bench`.

    Raises
    ------
    CommandError
        If options cannot be used, or a competitor's result differs from that of NumPy.
    KeyboardInterrupt
        After Ctrl-C, when what was measured is printed.
    """
    plan = _plan(options)
    require("chainrule bench", ["sklearn", "matplotlib", "tqdm"])
    if options.json is not None and check_place(options.json, "--json"):
        raise UsageError(f"--json {options.json}: it exists; move it away or give another name")
    replaces = options.chart is not None and check_picture_path(options.chart, "--chart", _KIND)
    summary = _harness("summary")

    report = Report(options.quiet)
    run = _harness("engine").Run(plan)
    interrupted = False
    try:
        _measure(run, report, options)
    except KeyboardInterrupt:
        interrupted = True
    found = run.report
    if options.json is not None and found["results"]:
        content = json.dumps(found, indent=1) + "\n"
        write_file(options.json, content.encode())
    _print(report, found)
    if options.json is not None and found["results"]:
        report.field("times", options.json, result=True)
    if interrupted:
        done = "the table above holds what was measured" if found["results"] else "nothing measured"
        raise KeyboardInterrupt(done)
    if options.chart is not None and summary.timed_peers(found):
        caption = "\n".join(f"{label}: {text}" for label, text in _place(found))
        write_file(options.chart, _harness("chart").draw(found, caption, mark(_KIND)))
        replaced = " (an older one was replaced)" if replaces else ""
        report.field("chart", f"{options.chart}{replaced}", result=True)
    if summary.differs(found):
        raise CommandError("a result differs from that of NumPy; see the table")


def _harness(module: str) -> Any:
    # Written in benchmarks/; the build puts a copy into the package.
    return importlib.import_module(f"chainrule._benchmarks.{module}")


def _plan(options: BenchOptions) -> Any:
    workloads = _harness("workloads")
    shapes = list(workloads.find_shapes())
    precision = _precision(options)
    peers = workloads.find_peers(precision)
    for name in options.peers or ():
        fitting = [each for each in PRECISIONS if name in workloads.find_peers(each)]
        if fitting and name not in peers:
            raise UsageError(
                f"--peers {quoted(name)}: it is measured beside --precision "
                f"{' or '.join(fitting)}, got {precision}"
            )
    if options.variant is not None:
        _check_names((options.variant,), cr.runtime.variants(), "--variant")
    full = options.extent == "full"
    usual = _QUICK_SHAPES if options.extent == "quick" else None
    return _harness("engine").Plan(
        shapes=_chosen(options.shapes, shapes, "--shapes", usual, () if full else _SLOW_SHAPES),
        peers=_chosen(options.peers, peers, "--peers", None, () if full else _SLOW_PEERS),
        threads=_threads(options.threads),
        rounds=options.rounds or _ROUNDS[options.extent],
        dtype=options.dtype,
        precision=precision,
        variant=options.variant,
        timeout=options.timeout,
    )


def _precision(options: BenchOptions) -> str:
    if options.precision is not None and options.dtype != "float32":
        raise UsageError(
            f"--precision {options.precision}: expected --dtype float32, which has precisions to "
            f"choose from, got {options.dtype}"
        )
    return options.precision or options.dtype


def _chosen(
    given: tuple[str, ...] | None,
    known: list[str],
    option: str,
    usual: tuple[str, ...] | None,
    slow: tuple[str, ...],
) -> list[str]:
    """Return the names to measure: those given, else the usual ones, all but the slow ones."""
    if given == ("all",):
        return known
    if given is not None:
        _check_names(given, known, option)
    chosen = given or usual or tuple(name for name in known if name not in slow)
    return [name for name in known if name in chosen]


def _check_names(given: Sequence[str], known: Sequence[str], option: str) -> None:
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise UsageError(f"{option} {quoted(name)}: expected some of {', '.join(known)}{hint}")


def _threads(given: tuple[str, ...]) -> list[int]:
    available = _harness("machine").n_cpus()
    found = set()
    for text in given:
        number = available if text == "all" else int(text) if text.isdecimal() else 0
        if not 1 <= number <= available:
            raise UsageError(
                f"--threads {quoted(text)}: expected all or numbers from 1 to {available}, "
                "the processors of this machine"
            )
        found.add(number)
    return sorted(found)


def _measure(run: Any, report: Report, options: BenchOptions) -> None:
    plan = run.plan
    variant = options.variant or cr.runtime.active_variant()
    with cr.runtime.use_variant(variant):
        place = {
            "variant": variant,
            "variants": cr.runtime.variants(),
            "bf16_tiles": cr.runtime.has_bf16_tiles(),
        }
    report.field("precision", _harness("summary").in_full(plan.precision, place))
    report.field("shapes", ", ".join(plan.shapes))
    report.field("peers", ", ".join(plan.peers))
    report.field(
        "rounds",
        f"{plan.rounds} of each competitor in turn, {plan.dtype}, threads allowed: "
        f"{', '.join(map(str, plan.threads))}; nothing else should run meanwhile",
    )
    report.line()
    report.flush()
    shows_bar = not options.quiet and sys.stderr.isatty()
    with make_bar(total=run.n_advances, disable=not shows_bar, leave=False, unit="round") as bar:
        run.advance = _advance(bar)
        for result in run.results():
            if not shows_bar:
                report.field(result["shape"], _line(result))
                report.flush()
    if not shows_bar:
        report.line()


def _advance(bar: Any) -> Callable[[str], None]:
    def advance(shape: str) -> None:
        bar.set_description(shape, refresh=False)
        bar.update()

    return advance


def _line(result: dict[str, Any]) -> str:
    summary = _harness("summary")
    comparison = result["comparisons"][-1]
    if comparison["chainrule"] is None:
        return "not measured"
    line = f"{summary.in_words(comparison['chainrule']['microseconds'])} a {result['unit']}"
    if comparison["fastest"] is not None:
        ratio = comparison["peers"][comparison["fastest"]]["ratio"]
        line += f"; fastest peer {comparison['fastest']} {summary.in_ratio(ratio)}"
    return line


def _print(report: Report, found: dict[str, Any]) -> None:
    summary = _harness("summary")
    if not found["results"]:
        return
    for threads in sorted(found["plan"]["threads"], reverse=True):
        allowed = "1 thread" if threads == 1 else f"up to {threads} threads"
        report.field(allowed, "ratio: how many times as fast chainrule is", result=True)
        report.table(summary.table(found, threads))
        report.line()
    for label, text in summary.remarks(found):
        report.field(label, text, result=True)
    for label, text in _place(found):
        report.field(label, text)


def _place(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Return label and text of what a time depends on, the most telling first."""
    summary = _harness("summary")
    machine = found["machine"]
    virtual = ", virtual" if machine["virtual"] else ""
    memory = f", {machine['memory_gb']:.0f} GB" if machine["memory_gb"] else ""
    peaks = [
        f"{dtype} "
        + ", ".join(
            f"{flops / 1e9:.0f} GFLOP/s on {count(int(threads), 'thread')}"
            for threads, flops in by_threads.items()
        )
        for dtype, by_threads in found["peak"].items()
    ]
    commit = ""
    if machine["commit"] is not None:
        changed = ", changed since" if machine["changed_since_commit"] else ""
        commit = f"; checkout at {machine['commit']}{changed}"
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return [
        (
            "machine",
            f"{machine['cpu']}, {count(machine['cpus'], 'processor')}{virtual}{memory}; "
            f"{' '.join(machine['features'])}",
        ),
        ("precision", summary.in_full(summary.precision_of(found), found)),
        ("variant", f"{found['variant']} (of {', '.join(found['variants'])})"),
        ("peak", "; ".join(peaks)),
        ("versions", f"Python {machine['python']}, {versions}"),
        ("date", f"{machine['date']}{commit}"),
    ]
