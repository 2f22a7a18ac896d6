"""Whole epochs of the eight shapes: chainrule beside the NumPy reference.

    pytest benchmarks/test_steps.py                        # minutes
    pytest benchmarks/test_steps.py --benchmark-disable    # each once: seconds

One group of the table is one shape; the number in parentheses is the ratio to the fastest.
"""

import pytest

from chainrule import runtime

from .workloads import BF16_PRECISIONS, load, training_step


@pytest.fixture(scope="module", params=training_step.SHAPES)
def task(request):
    return training_step.make_task(request.param, "float32")


@pytest.fixture(scope="module")
def reached(task):
    """Weights of the reference after one epoch."""
    reference = load("training_step", "numpy_", "Numpy")(task, threads=1)
    return training_step.check(reference, task).copy()


@pytest.mark.parametrize("precision", BF16_PRECISIONS)
@pytest.mark.parametrize("shape", ["rl", "tabular", "digits"])
def test_precisions_lead_near_float32(shape, precision):
    task = training_step.make_task(shape, "float32", precision)
    found = [
        training_step.check(load("training_step", "chainrule_", member)(task, 1), task)
        for member in ("Chainrule", "ChainruleFloat32")
    ]
    distance = training_step.distance(*found, task)
    assert distance < training_step.TOLERANCES[precision]
    # By the layers' sizes "auto" is float32 here.
    assert (distance == 0) is (precision == "auto")


@pytest.mark.parametrize(
    ("module", "member"),
    [("numpy_", "Numpy"), ("chainrule_", "Chainrule"), ("chainrule_", "ChainruleStep")],
)
def test_epoch(benchmark, task, reached, module, member):
    runner = load("training_step", module, member)(task, threads=runtime.num_threads())
    weights = training_step.check(runner, task)
    assert training_step.distance(weights, reached, task) < training_step.TOLERANCES["float32"]
    benchmark.group = f"epoch of {task.shape.n_batches} steps: {task.shape.name}"
    benchmark(runner.run, [task.order])
