"""What the times of a run say: medians, shares of the peak, ratios, and tables of them.

``engine.py`` completes its results here; the command, ``chart.py`` and ``report.py`` show them.

A ratio is how many times as fast chainrule is: the median over the rounds of (time of the peer /
time of chainrule) in one round. With N threads allowed, chainrule decides itself how many it takes,
and a peer is timed with each number of threads up to N and in each of its settings; the lowest
ratio of these counts.
"""

import statistics

from . import workloads

# Of the time, by a thread that computes: on an idle machine it is below 1%.
MOST_WAITING = 0.1


def complete(result: dict, peaks: dict[str, float] | None, threads: list[int]) -> None:
    """Add to a result what follows from its times; without peaks no shares of them."""
    for entry in result["entries"]:
        times = entry.get("times")
        if entry["status"] == "waiting" or (entry["status"] == "timed" and not times):
            entry["status"] = "unfinished"
        if entry["status"] == "timed":
            entry["microseconds"] = statistics.median(times)
            entry["microseconds_range"] = [min(times), max(times)]
            entry["gflops"] = result["flops"] / entry["microseconds"] / 1e3
    result["comparisons"] = [_compare(result, n, peaks and peaks[str(n)]) for n in threads]


def _compare(result: dict, threads: int, peak: float | None) -> dict:
    timed = [entry for entry in result["entries"] if entry["status"] == "timed"]
    comparison: dict = {"threads": threads, "chainrule": None, "peers": {}, "fastest": None}
    own = next(
        (e for e in timed if e["competitor"] == "chainrule" and e["threads"] == threads), None
    )
    if own is None:
        return comparison
    comparison["chainrule"] = {
        "microseconds": own["microseconds"],
        "microseconds_range": own["microseconds_range"],
        "gflops": own["gflops"],
        "share_of_peak": None if peak is None else own["gflops"] * 1e9 / peak,
    }
    allowed = [e for e in timed if e["competitor"] != "chainrule" and e["threads"] <= threads]
    for name in dict.fromkeys(entry["competitor"] for entry in allowed):
        found = [_peer(entry, own) for entry in allowed if entry["competitor"] == name]
        comparison["peers"][name] = min(found, key=lambda peer: peer["ratio"])
    if comparison["peers"]:
        comparison["fastest"] = min(
            comparison["peers"], key=lambda name: comparison["peers"][name]["ratio"]
        )
    return comparison


def _peer(entry: dict, own: dict) -> dict:
    # After Ctrl-C some have a round more than others.
    ratios = [a / b for a, b in zip(entry["times"], own["times"], strict=False)]
    return {
        "threads": entry["threads"],
        "setting": entry["setting"],
        "microseconds": entry["microseconds"],
        "ratio": statistics.median(ratios),
        "ratio_range": [min(ratios), max(ratios)],
    }


def table(report: dict, threads: int) -> list[list[str]]:
    """Lay out the ratios with so many threads allowed; the first row is the header."""
    titles = workloads.find_competitors()
    peers = timed_peers(report)
    precision = precision_of(report)
    shares = precision == report["plan"]["dtype"]  # the peak is that of multiply-adds
    own_title = "chainrule" if shares else f"chainrule {precision}"
    header = ["shape", own_title, "GFLOP/s", *(["of peak"] if shares else [])]
    rows = [[*header, *(titles[name] for name in peers), "fastest peer"]]
    for result in report["results"]:
        comparison = comparison_of(result, threads)
        own = comparison["chainrule"]
        if own is None:
            cells = [result["shape"], _status(result, "chainrule")]
            rows.append([*cells, *["-"] * (len(rows[0]) - len(cells))])
            continue
        row = [
            result["shape"],
            in_words(own["microseconds"]),
            f"{own['gflops']:.3g}",
            *([f"{own['share_of_peak']:.0%}"] if shares else []),
        ]
        for name in peers:
            peer = comparison["peers"].get(name)
            row.append(in_ratio(peer["ratio"]) if peer else _status(result, name))
        fastest = comparison["fastest"]
        if fastest is None:
            row.append("-")
        else:
            row.append(f"{titles[fastest]} {in_ratio(comparison['peers'][fastest]['ratio'])}")
        rows.append(row)
    return rows


def precision_of(report: dict) -> str:
    """Return the precision of chainrule's products; before format 2 there was that of the data."""
    return report["plan"].get("precision", report["plan"]["dtype"])


def in_full(precision: str, place: dict) -> str:
    """Return a precision, and what computes it, in words.

    A report is a place; of it count ``variant``, ``variants`` and ``bf16_tiles``, which says
    whether that variant has them.
    """
    if precision not in workloads.BF16_PRECISIONS:
        return precision
    if place["bf16_tiles"]:
        return f"{precision}, on bf16 tiles"
    best = place["variant"] == place["variants"][0]
    who = "this machine" if best else f"the variant {place['variant']}"
    return (
        f"{precision}; {who} has no bf16 tiles: products of bf16 terms take FMAs, more slowly than "
        "float32"
    )


def timed_peers(report: dict) -> list[str]:
    """Return the peers that have a time for some shape, in the order of the plan."""
    found = {
        name
        for result in report["results"]
        for comparison in result["comparisons"]
        for name in comparison["peers"]
    }
    return [name for name in report["plan"]["peers"] if name in found]


def comparison_of(result: dict, threads: int) -> dict:
    """Return the comparison with so many threads allowed."""
    return next(c for c in result["comparisons"] if c["threads"] == threads)


def remarks(report: dict) -> list[tuple[str, str]]:
    """Return why something has no time: a label, and a line for each competitor and reason."""
    titles = workloads.find_competitors()
    where: dict[tuple[str, str, str], list[str]] = {}
    for result in report["results"]:
        for entry in result["entries"]:
            if entry["status"] not in ("absent", "differs", "failed"):
                continue
            how = [entry["setting"]] if entry["setting"] else []
            if entry["status"] != "absent":
                how.append(f"{entry['threads']} threads" if entry["threads"] > 1 else "1 thread")
            place = result["shape"] + (f" ({', '.join(how)})" if how else "")
            key = (entry["status"], entry["competitor"], entry["reason"])
            places = where.setdefault(key, [])
            if place not in places:
                places.append(place)
    busy = disturbance(report)
    lines = [] if busy is None else [("busy", busy)]
    for (status, name, reason), places in where.items():
        everywhere = reason.startswith("is not installed")
        on = "" if everywhere else f" on {', '.join(places)}"
        lines.append((status, f"{titles[name]} {reason}{on}"))
    return lines


def disturbance(report: dict) -> str | None:
    """Return what tells that other programs kept the machine busy; None of an idle one.

    On one thread NumPy and chainrule compute in the main thread, which waits for a processor alone.
    """
    waiting = {
        (entry["competitor"], result["shape"]): statistics.median(entry["waiting"])
        for result in report["results"]
        for entry in result["entries"]
        if entry["competitor"] in ("numpy", "chainrule") and entry["threads"] == 1
        if entry.get("waiting")  # reports of before do not have it
    }
    if not waiting or max(waiting.values()) <= MOST_WAITING:
        return None
    name, shape = longest = max(waiting, key=waiting.__getitem__)
    title = workloads.find_competitors()[name]
    return (
        f"other programs kept the machine busy: {title} waited for a processor "
        f"{waiting[longest]:.0%} of its time on {shape}; these ratios say little"
    )


def differs(report: dict) -> bool:
    """Return whether any competitor's result was not that of NumPy."""
    return any(
        entry["status"] == "differs" for result in report["results"] for entry in result["entries"]
    )


def in_words(microseconds: float) -> str:
    """Return a time with three digits: "23.1 us", "1.89 ms"."""
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if microseconds >= size:
            return f"{three_digits(microseconds / size)} {unit}"
    return f"{three_digits(microseconds)} us"


def in_ratio(ratio: float) -> str:
    """Return a ratio: "0.85x", "3.2x", "14x"."""
    digits = 2 if ratio < 1.995 else 1 if ratio < 9.95 else 0
    return f"{ratio:.{digits}f}x"


def three_digits(value: float) -> str:
    """Return a number with three digits, or all that stand before the point."""
    return f"{value:,.{max(0, 3 - len(str(int(value))))}f}"


def _status(result: dict, name: str) -> str:
    found = [e["status"] for e in result["entries"] if e["competitor"] == name]
    return next((status for status in ("differs", "failed") if status in found), "-")
