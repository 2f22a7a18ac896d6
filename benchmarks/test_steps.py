"""Whole epochs of the eight shapes: chainrule beside the NumPy reference.

    pytest benchmarks/test_steps.py                        # minutes
    pytest benchmarks/test_steps.py --benchmark-disable    # each once: seconds

One group of the table is one shape; the number in parentheses is the ratio to the fastest.
"""

from functools import partial

import numpy as np
import pytest

from chainrule import kernels, runtime

from . import competitors
from .compare import TOLERANCE, distance
from .workloads import SEED, WORKLOADS, Task


@pytest.fixture(scope="module", params=WORKLOADS)
def task(request):
    return Task.make(WORKLOADS[request.param], partial(kernels.permutation, seed=SEED))


@pytest.fixture(scope="module")
def reached(task):
    """Weights of the reference after one epoch."""
    reference = competitors.load("numpy")(task, threads=1)
    reference.run([task.order])
    return reference.weights().copy()


@pytest.mark.parametrize("competitor", ["numpy", "chainrule", "chainrule_step"])
def test_epoch(benchmark, task, reached, competitor):
    runner = competitors.load(competitor)(task, threads=runtime.num_threads())
    runner.run([task.order])
    assert distance(np.asarray(runner.weights()), reached, task.parameters) < TOLERANCE
    benchmark.group = f"epoch of {task.workload.n_batches} steps: {task.workload.name}"
    benchmark(runner.run, [task.order])
