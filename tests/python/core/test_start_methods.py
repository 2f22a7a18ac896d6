"""Threads, variants, places of the input and processes however started: one digest per network."""

import itertools
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_all_start_methods, get_context

import pytest
from thread_cases import NETWORKS, train

import chainrule as cr

pytestmark = pytest.mark.once

THREADS = (1, 2, 3, 4, 7, 8, 16)
# baseline has other bits (no FMA); test_threads.py has its trainings.
VARIANTS = [name for name in cr.runtime.variants() if name != "baseline"] or ["baseline"]
# Forks come before the threads that the other methods start in this process.
METHODS = ["main", *(m for m in ("fork", "spawn") if m in get_all_start_methods()), "loky"]
LAYOUTS = ["fortran", "reversed_rows", "every_other", "misaligned"]
# Every distance from a cache line that an element can have, and layouts that have to be copied.
PLACES = {
    "float32": [*range(0, 64, 4), *LAYOUTS],
    "float64": [*range(0, 64, 8), *LAYOUTS],
}
CASES = list(itertools.product(NETWORKS, PLACES))


def all_trainings():
    """Return (network, dtype, method, threads, variant, place) for all trainings.

    Every network is trained with all combinations of method, threads and variant, and in all
    places; all four together are met by some network.
    """
    trainings = []
    for (i, name), dtype in itertools.product(enumerate(NETWORKS), PLACES):
        places = PLACES[dtype]
        n_places = -(-len(places) // len(NETWORKS))  # of each combination
        for j, combination in enumerate(itertools.product(METHODS, THREADS, VARIANTS)):
            for k in range(n_places):
                place = places[(j + i * n_places + k) % len(places)]
                trainings.append((name, dtype, *combination, place))
    return trainings


def some_trainings():
    """Return a training of every network, in both precisions, with each method.

    Threads, variants and places take turns, so that all of them are met.
    """
    threads = itertools.cycle(THREADS)
    places = {dtype: itertools.cycle(PLACES[dtype]) for dtype in PLACES}
    return [
        (name, dtype, method, next(threads), VARIANTS[(i + j) % len(VARIANTS)], next(places[dtype]))
        for i, (name, dtype) in enumerate(CASES)
        for j, method in enumerate(METHODS)
    ]


def digests_of(trainings):
    """Run the trainings, each method's in a process of its own; return the digests in order."""
    executors = {}
    with ExitStack() as stack:
        for method in METHODS:
            if method == "loky":
                from joblib.externals.loky import ProcessPoolExecutor as LokyExecutor

                executors[method] = stack.enter_context(LokyExecutor(1))
            elif method != "main":
                executor = ProcessPoolExecutor(1, get_context(method))
                executors[method] = stack.enter_context(executor)
        digests = []
        for name, dtype, method, threads, variant, place in trainings:
            settings = {"place": place, "variant": variant}
            if method == "main":
                digests.append(train(name, dtype, threads, **settings))
            else:
                future = executors[method].submit(train, name, dtype, threads, **settings)
                digests.append(future.result(timeout=120))
    return digests


def check(trainings):
    digests = digests_of(trainings)
    first = {}
    for training, digest in zip(trainings, digests, strict=True):
        assert digest == first.setdefault(training[:2], digest), training
    # Digests that could not differ would show nothing.
    assert len(set(first.values())) == len(first) == len(CASES)


def test_what_is_trained():
    some, every = some_trainings(), all_trainings()
    for trainings in every, some:
        axes = [set(values) for values in zip(*trainings, strict=True)]
        assert axes == [
            *(set(NETWORKS), set(PLACES), set(METHODS), set(THREADS), set(VARIANTS)),
            {place for places in PLACES.values() for place in places},
        ]
        for a, b in itertools.combinations((2, 3, 4), 2):
            pairs = {(training[a], training[b]) for training in trainings}
            assert pairs == set(itertools.product(axes[a], axes[b]))
    assert len(set(every)) == len(every) >= 500 * len(VARIANTS)
    for dtype, places in PLACES.items():
        met = Counter(training[2:] for training in every if training[1] == dtype)
        assert set(met) == set(itertools.product(METHODS, THREADS, VARIANTS, places))
        for name in NETWORKS:
            own = [training[2:] for training in every if training[:2] == (name, dtype)]
            assert {training[-1] for training in own} == set(places)
            combinations = {training[:-1] for training in own}
            assert combinations == set(itertools.product(METHODS, THREADS, VARIANTS))


FORK_WARNING = "ignore:.*multi-threaded, use of fork:DeprecationWarning"


@pytest.mark.filterwarnings(FORK_WARNING)
def test_some_trainings_have_the_same_bits():
    check(some_trainings())


@pytest.mark.slow
@pytest.mark.filterwarnings(FORK_WARNING)
def test_thousands_of_trainings_have_the_same_bits():
    check(all_trainings())
