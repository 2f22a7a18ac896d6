"""Sweeps over widths, batch sizes and threads; prints a table and a verdict.

    python -m benchmarks.sweeps widths                    # every width 1 to 300: half a minute
    python -m benchmarks.sweeps threads                   # automatic against one: a minute
    python -m benchmarks.sweeps cost --chart cost.png     # batch 1 to 65,536: 6 minutes, 10 GB
    python -m benchmarks.sweeps widths --json widths.json # the same, kept

Every sweep can be run in parts (``--widths``, ``--series``, ``--kinds``, ``--batch-sizes``); see
README.md for how results are taken.
"""

import argparse
import json
import sys
from pathlib import Path

from .. import machine
from . import cost, threads, widths

SWEEPS = {"widths": widths, "threads": threads, "cost": cost}


def main(arguments: list[str] | None = None) -> None:
    """Run a sweep, print and keep its result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweeps", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parts = parser.add_subparsers(dest="sweep", required=True)
    for name, module in SWEEPS.items():
        part = parts.add_parser(name, description=module.__doc__)
        part.formatter_class = argparse.RawDescriptionHelpFormatter
        module.add_arguments(part)
        part.add_argument("--json", type=Path, help="file to write")
    options = parser.parse_args(arguments)
    result = SWEEPS[options.sweep].sweep(options)
    if options.json:
        kept = {"sweep": options.sweep, "machine": machine.describe()} | result
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print(SWEEPS[options.sweep].report(result))


if __name__ == "__main__":
    sys.exit(main())
