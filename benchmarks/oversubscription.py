"""Several processes that train at once, as in a grid search: what automatic threads cost.

    python -m benchmarks.oversubscription                          # 3 minutes
    python -m benchmarks.oversubscription --shapes rl --starts spawn --rounds 3

Every round has the processes take the same fits from one queue, once with `threads` left at None,
then with each number given; the order changes from round to round. A spawned process of Python's
own sees the whole machine; joblib (scikit-learn's ``n_jobs``) tells its processes how many
processors are theirs. Printed are the median wall time of the queue and the median over the rounds
of (automatic / fastest number given) in one round.
"""

import argparse
import functools
import hashlib
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

from . import machine
from .workloads.training_step.shapes import LEARNING_RATE, SHAPES, make_data

Run = Callable[[int | None], float]

# What would stand in for the machine, in this process and in those that inherit from it.
_VARIABLES = ("CHAINRULE_NUM_THREADS", "OMP_NUM_THREADS")

# Threads of the fit before spin for some tens of microseconds, then sleep.
_PAUSE_SECONDS = 0.02


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.oversubscription", description=__doc__
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    names = {"type": lambda text: text.split(","), "metavar": "NAMES"}
    numbers = {"type": lambda text: [int(n) for n in text.split(",")], "metavar": "NUMBERS"}
    parser.add_argument("--shapes", default=["rl", "tabular", "mnist", "mid"], **names)
    parser.add_argument("--starts", default=list(_STARTS), **names)
    parser.add_argument("--threads", default=[1, machine.n_cpus()], **numbers)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--fits", type=int, default=2, help="per process")
    parser.add_argument("--epochs", type=int, default=4, help="times those of the workload")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args(arguments)
    given = sorted(set(options.threads))
    print(f"{options.processes} processes, {machine.n_cpus()} processors")
    columns = ["shape", "start", "automatic, s", *(f"{n} threads, s" for n in given), "ratio"]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for shape in options.shapes:
        for start in options.starts:
            fits = [(shape, options.epochs)] * (options.processes * options.fits)
            with _without_variables(), _STARTS[start](options.processes, fits) as run:
                rounds = measure(run, [None, *given], options.rounds)
            medians = [statistics.median(r[n] for r in rounds) for n in (None, *given)]
            ratio = statistics.median(r[None] / min(r[n] for n in given) for r in rounds)
            row = [shape, start, *(f"{seconds:.3f}" for seconds in medians), f"{ratio:.2f}"]
            print(f"| {' | '.join(row)} |", flush=True)


def measure(run: Run, numbers: list[int | None], n_rounds: int) -> list[dict[int | None, float]]:
    """Return the seconds of each number of threads, for each round."""
    for threads in numbers:
        run(threads)  # starts the processes and their threads
    rounds = []
    for i in range(n_rounds):
        turn = i % len(numbers)
        rounds.append({threads: run(threads) for threads in numbers[turn:] + numbers[:turn]})
    return rounds


def _timed(map_fits: Callable[[int | None], list[str]], threads: int | None) -> float:
    time.sleep(_PAUSE_SECONDS)
    start = time.perf_counter()
    digests = map_fits(threads)
    seconds = time.perf_counter() - start
    if len(set(digests)) != 1:
        raise RuntimeError(f"the same fits ended in different weights on {threads} threads")
    return seconds


@contextmanager
def _without_variables() -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in _VARIABLES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


@contextmanager
def _spawned(n_processes: int, fits: list[tuple[str, int]]) -> Iterator[Run]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_processes, context) as executor:
        yield functools.partial(
            _timed,
            lambda threads: list(executor.map(functools.partial(_fit, threads=threads), fits)),
        )


@contextmanager
def _with_joblib(n_processes: int, fits: list[tuple[str, int]]) -> Iterator[Run]:
    from joblib import Parallel, delayed

    with Parallel(n_processes, backend="loky", batch_size=1, pre_dispatch="all") as parallel:
        yield functools.partial(
            _timed, lambda threads: parallel(delayed(_fit)(fit, threads) for fit in fits)
        )


_STARTS = {"spawn": _spawned, "joblib": _with_joblib}


_data = functools.cache(make_data)


def _fit(fit: tuple[str, int], threads: int | None) -> str:
    """Train in the worker process; return a digest of the weights."""
    import chainrule as cr

    name, epochs = fit
    shape = SHAPES[name]
    X, y = _data(shape)
    model = cr.MLP(list(shape.widths), activation=shape.activation)
    model.fit(
        X,
        y,
        loss=shape.loss,
        optimizer=cr.Adam(LEARNING_RATE),
        batch_size=shape.batch_size,
        epochs=epochs * shape.epochs,
        progress=False,
        threads=threads,
    )
    return hashlib.sha256(model.parameters.tobytes()).hexdigest()


if __name__ == "__main__":
    # By the name under which other processes can import it.
    from benchmarks.oversubscription import main as run_benchmark

    run_benchmark()
