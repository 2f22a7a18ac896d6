"""Whole epochs of the eight shapes: chainrule beside the NumPy reference.

    pytest benchmarks/test_steps.py                        # minutes
    pytest benchmarks/test_steps.py --benchmark-disable    # each once: seconds

One group of the table is one shape; the number in parentheses is the ratio to the fastest.
"""

import pytest

from chainrule import runtime

from .workloads import load, training_step


@pytest.fixture(scope="module", params=training_step.SHAPES)
def task(request):
    return training_step.make_task(request.param, "float32")


@pytest.fixture(scope="module")
def reached(task):
    """Weights of the reference after one epoch."""
    reference = load("training_step", "numpy_", "Numpy")(task, threads=1)
    return training_step.check(reference, task).copy()


@pytest.mark.parametrize(
    ("module", "member"),
    [("numpy_", "Numpy"), ("chainrule_", "Chainrule"), ("chainrule_", "ChainruleStep")],
)
def test_epoch(benchmark, task, reached, module, member):
    runner = load("training_step", module, member)(task, threads=runtime.num_threads())
    weights = training_step.check(runner, task)
    assert training_step.distance(weights, reached, task) < training_step.TOLERANCE
    benchmark.group = f"epoch of {task.shape.n_batches} steps: {task.shape.name}"
    benchmark(runner.run, [task.order])
