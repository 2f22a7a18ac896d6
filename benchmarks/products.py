"""Products of square matrices in every precision, in turns: times as fast as float32.

python -m benchmarks.products                 # 256, 512 and 1024, one thread: seconds
"""

import argparse
import time

import numpy as np

import chainrule as cr
from chainrule._precision import PRECISIONS


def measure(n: int, rounds: int, threads: int) -> dict[str, float]:
    """Return the best time of each precision, in seconds, of ``rounds`` rounds."""
    rng = np.random.default_rng(n)
    a, b = (rng.normal(size=(n, n)).astype(np.float32) for _ in range(2))
    out = np.empty((n, n), np.float32)
    names = [name for name in PRECISIONS if name != "auto"]
    best = dict.fromkeys(names, float("inf"))
    for _ in range(rounds):
        for name in names:
            start = time.perf_counter()
            cr.kernels.dense_forward(a, b, out=out, precision=name, threads=threads)
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="benchmarks.products", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--sizes", default="256,512,1024")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    tiles = "tiles" if cr.runtime.has_bf16_tiles() else "FMAs"
    print(f"variant {cr.runtime.active_variant()}, bf16 by {tiles}, threads {arguments.threads}")
    print("| n | precision | GFLOP/s | times as fast as float32 |\n|---|---|---|---|")
    for n in map(int, arguments.sizes.split(",")):
        best = measure(n, arguments.rounds, arguments.threads)
        for name, seconds in best.items():
            ratio = best["float32"] / seconds
            print(f"| {n} | {name} | {2 * n**3 / seconds / 1e9:.1f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
