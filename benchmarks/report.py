"""Markdown tables of a result that `chainrule bench --json` wrote.

    python -m benchmarks.report RESULT.json
    python -m benchmarks.report RESULT.json --into docs/performance.md
    python -m benchmarks.report RESULT.json --into README.md --name summary --short

With --into the tables replace what stands in that file between the lines
``<!-- bench: NAME -->`` and ``<!-- end -->``, NAME being that of --name. With --short the table of
all times is left out.
"""

import argparse
import json
import re
from pathlib import Path

from . import summary, workloads


def main(arguments: list[str] | None = None) -> None:
    """Print or insert the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("result", type=Path)
    parser.add_argument("--into", type=Path, metavar="FILE.md")
    parser.add_argument("--name", default="float32", help="of the place (default: float32)")
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args(arguments)
    text = markdown(json.loads(options.result.read_text(encoding="utf-8")), options.short)
    if options.into is None:
        print(text)
        return
    document = options.into.read_text(encoding="utf-8")
    place = re.compile(rf"(<!-- bench: {re.escape(options.name)} -->\n).*?(<!-- end -->)", re.S)
    if not place.search(document):
        parser.error(f"{options.into} has no place <!-- bench: {options.name} -->")
    changed = place.sub(lambda match: f"{match[1]}\n{text}\n\n{match[2]}", document)
    options.into.write_text(changed, encoding="utf-8")


def markdown(report: dict, short: bool = False) -> str:
    """Lay out a report: where it was taken, a table for each number of threads, all times."""
    parts = [_place(report)]
    for threads in sorted(report["plan"]["threads"], reverse=True):
        allowed = "One thread" if threads == 1 else f"Up to {threads} threads"
        parts += [f"{allowed}:", _rows(summary.table(report, threads))]
    if not short:
        parts += ["Medians and ranges of all times, in microseconds:", _rows(_times(report))]
    parts += [f"- {text}." for _, text in summary.remarks(report)]
    return "\n\n".join(parts)


def _rows(rows: list[list[str]]) -> str:
    header, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([header, "|" + " --- |" * len(rows[0]), *body])


def _place(report: dict) -> str:
    place = report["machine"]
    kind = "virtual machine" if place["virtual"] else "machine"
    peaks = ", ".join(
        f"{flops / 1e9:.0f} GFLOP/s on {threads}"
        for threads, flops in report["peak"][report["plan"]["dtype"]].items()
    )
    precision = summary.in_full(summary.precision_of(report), report)
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    commit = f", commit {place['commit']}" if place["commit"] else ""
    return (
        f"{place['date'][:10]}{commit}; {place['cpu']}, {kind} of {place['cpus']} processors "
        f"({', '.join(place['features'])}); {precision}, variant "
        f"{report['variant']}, peak {peaks} threads; median of {report['plan']['rounds']} rounds; "
        f"Python {place['python']}, {versions}."
    )


def _times(report: dict) -> list[list[str]]:
    titles = workloads.find_competitors()
    columns = list(
        dict.fromkeys(
            (entry["competitor"], entry["setting"], entry["threads"])
            for result in report["results"]
            for entry in result["entries"]
            if entry["status"] == "timed"
        )
    )
    shapes = [result["shape"] for result in report["results"]]
    rows = [["competitor", "threads", *shapes]]
    for name, setting, threads in columns:
        row = [titles[name] + (f", {setting}" if setting else ""), str(threads)]
        for result in report["results"]:
            row.append(_cell(result, (name, setting, threads)))
        rows.append(row)
    return rows


def _cell(result: dict, who: tuple[str, str, int]) -> str:
    for entry in result["entries"]:
        if (entry["competitor"], entry["setting"], entry["threads"]) == who:
            if entry["status"] != "timed":
                return entry["status"]
            times = (entry["microseconds"], *entry["microseconds_range"])
            return "{} ({}-{})".format(*map(summary.three_digits, times))
    return "-"


if __name__ == "__main__":
    main()
