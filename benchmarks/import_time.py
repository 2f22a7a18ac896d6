"""Time of ``import chainrule`` beyond NumPy's own, and the size of a wheel.

python -m benchmarks.import_time
python -m benchmarks.import_time --wheel dist/chainrule-*.whl
"""

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

_TIMED = """
import time
import numpy
start = time.perf_counter()
import chainrule
print(time.perf_counter() - start)
"""


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.import_time", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--wheel", type=Path, help="file whose size is printed")
    options = parser.parse_args(arguments)
    _seconds()  # writes the bytecode files and fills the page cache
    times = [_seconds() * 1e3 for _ in range(options.repeats)]
    print(
        f"import chainrule beyond NumPy: median {statistics.median(times):.1f} ms, "
        f"fastest {min(times):.1f} ms, slowest {max(times):.1f} ms of {len(times)} processes"
    )
    if options.wheel:
        print(f"wheel: {options.wheel.stat().st_size / 1e6:.2f} MB")


def _seconds() -> float:
    command = [sys.executable, "-c", _TIMED]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


if __name__ == "__main__":
    main()
