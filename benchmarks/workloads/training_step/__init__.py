"""One training step: gather the rows of a batch, forward, loss, backward, Adam.

A competitor's class has ``run(orders)``, which trains one epoch for each order of rows given, and
``weights()``, the flat parameters in the layout of ``Task.parameters``. What is compared are the
weights after one epoch.
"""

import time
from functools import partial
from pathlib import Path

import numpy as np

from .. import BF16_PRECISIONS, Competitor
from .shapes import SHAPES, Task

__all__ = ["COMPETITORS", "SHAPES", "TOLERANCES", "UNIT"]

UNIT = "step"

# Two float32 runs of one epoch may differ by this part of the way that the weights went. Adam's
# first steps have the size of the learning rate however small the gradient is, so its rounding
# near zero shows in the weights: up to 0.004 for PyTorch, 0.01 for the epsilon of scikit-learn,
# 0.03 for NumPy itself on another number of threads and for bf16x6. One such weight changes the
# gradients of all others, the more the deeper the network: 0.002 (rl) to 0.24 (deep) for bf16,
# PyTorch's as well, and up to 0.09 (deep) for bf16x3. Another order of the rows leads 0.1 (rl) to
# 0.9 (deep) away.
_FLOAT = 0.05
TOLERANCES = {
    "float32": _FLOAT,
    "float64": _FLOAT,
    "bf16x6": _FLOAT,
    "auto": _FLOAT,
    "bf16x3": 0.2,
    "bf16": 0.4,
}

_SINGLE = ("float32",)
COMPETITORS = {
    "numpy": Competitor("NumPy", "numpy_", {"": "Numpy"}, "numpy", "numpy"),
    "chainrule": Competitor("chainrule", "chainrule_", {"": "Chainrule"}, "chainrule", "chainrule"),
    "chainrule_float32": Competitor(
        "chainrule float32",
        "chainrule_",
        {"": "ChainruleFloat32"},
        "chainrule",
        "chainrule",
        _SINGLE,
        precision="float32",
        beside=BF16_PRECISIONS,
    ),
    "torch_bf16": Competitor(
        "PyTorch bf16",
        "torch_",
        {"flush": "TorchBf16", "no flush": "TorchBf16NoFlush"},
        "torch",
        "torch",
        _SINGLE,
        precision="bf16",
        beside=("bf16",),
    ),
    "torch": Competitor(
        "PyTorch", "torch_", {"flush": "Torch", "no flush": "TorchNoFlush"}, "torch", "torch"
    ),
    "torch_compile": Competitor(
        "torch.compile", "torch_", {"": "TorchCompile"}, "torch", "torch", _SINGLE
    ),
    "jax": Competitor("JAX", "jax_", {"": "Jax"}, "jax", "jax"),
    "sklearn": Competitor("scikit-learn", "sklearn_", {"": "Sklearn"}, "sklearn", "scikit-learn"),
    "nn_engine_core": Competitor(
        "nn-engine-core",
        "nn_engine_core_",
        {"": "NnEngineCore"},
        "nnengine",
        "nn-engine-core",
        _SINGLE,
    ),
}

_generator = np.random.default_rng(1)  # of the orders, in a worker


def make_task(shape: str, dtype: str, precision: str | None = None) -> Task:
    """Draw the data and the parameters, and take the first epoch's order from chainrule."""
    from chainrule import kernels

    order = partial(kernels.permutation, seed=0)
    return Task.make(SHAPES[shape], dtype, order, precision)


def load_task(shape: str, path: Path) -> Task:
    """Read a task."""
    return Task.load(SHAPES[shape], path)


def units(shape: str) -> int:
    """Return how many steps a timed round has."""
    return SHAPES[shape].n_steps


def flops(shape: str) -> float:
    """Operations of the products of one step; no gradient goes to the input."""
    return SHAPES[shape].flops


def check(runner, task: Task) -> np.ndarray:
    """Train the task's first epoch."""
    runner.run([task.order])
    return np.asarray(runner.weights())


def seconds(runner, task: Task) -> float:
    """Train some untimed epochs, then those of a timed round, whose orders are drawn before."""
    epochs = task.shape.epochs
    return train(runner, task, epochs, warm_up=max(1, epochs // 3))


def train(runner, task: Task, epochs: int, warm_up: int) -> float:
    """Seconds of ``epochs`` epochs after ``warm_up`` untimed ones."""
    orders = [_generator.permutation(len(task.X)) for _ in range(warm_up + epochs)]
    if warm_up:
        runner.run(orders[:warm_up])
    start = time.perf_counter()
    runner.run(orders[warm_up:])
    return time.perf_counter() - start


def distance(weights: np.ndarray, reached: np.ndarray, task: Task) -> float:
    """Difference of two results as a part of the way from the start."""
    way = np.linalg.norm(reached - task.parameters)
    return float(np.linalg.norm(weights - reached) / way)
