"""The optimizers' steps over plain arrays, as one fused pass each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .. import _arguments, _core
from .._optimizers import OPTIMIZERS, Optimizer, as_optimizer, has_step
from ._arrays import inputs, writable
from ._naming import named

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._typing import Floats


class OptimizerKernel(Protocol):
    """What the step functions look like to a type checker."""

    __name__: str

    def __call__(
        self,
        parameters: npt.NDArray[Any],
        gradient: npt.ArrayLike,
        states: Sequence[npt.NDArray[Any] | None],
        step: int,
        *,
        clip_value: float | None = None,
        grad_scale: float = 1.0,
        **hyperparameters: float,
    ) -> None:
        """Take a step, in place."""


_DOC = """Take one step of {name}, in place.

    Parameters
    ----------
    parameters : ndarray of float32 or float64, any shape
        Updated in place: C-contiguous.
    gradient : array_like, of the same shape and dtype
        Gradient of the loss.
    states : sequence of three (ndarray or None)
        What :func:`optimizer_states` made; updated in place.
    step : int
        1 for the first step.
    clip_value : float, optional
        Clamp each element of the gradient to [-clip_value, clip_value]; greater than 0.
    grad_scale : float, default 1.0
        Multiply the gradient by this first (clipping by norm).
    **hyperparameters
        Those of :class:`chainrule.{cls}`; `learning_rate` is a float, and `weight_decay` acts on
        all of `parameters`.

    Raises
    ------
    ValueError, TypeError
        For arguments that are not as described; nothing has changed then.
    """


def optimizer_states(
    optimizer: str | Optimizer, parameters: npt.NDArray[Any]
) -> list[Floats | None]:
    """Make the buffers in which an optimizer keeps its state.

    Parameters
    ----------
    optimizer : str or Optimizer
        Name or object; its hyperparameters determine the buffers. Not L-BFGS, which is no kernel.
    parameters : ndarray of float32 or float64
        What is to be optimized.

    Returns
    -------
    list of three (ndarray or None)
        Buffers of the shape and dtype of `parameters`, as they are before the first step; None
        where the optimizer needs none.

    Raises
    ------
    ValueError, TypeError
        For invalid arguments.

    Examples
    --------
    >>> import numpy as np
    >>> import chainrule as cr
    >>> w = np.array([1.0, -2.0])
    >>> states = cr.kernels.optimizer_states("adam", w)
    >>> cr.kernels.adam_step(w, np.array([0.5, -0.5]), states, step=1, learning_rate=0.1)
    >>> w.round(6)
    array([ 0.9, -1.9])
    """
    if optimizer is None:  # which stands for Adam where there are defaults
        raise TypeError("optimizer must be a name or an Optimizer, got NoneType")
    chosen = as_optimizer(optimizer)
    if not has_step(chosen):
        raise ValueError(f"optimizer must be one with a kernel, got {type(chosen).__name__}")
    writable(parameters, "parameters")
    spec = chosen.spec()
    kept, starts = _core.optimizer_states(spec), _core.optimizer_starts(spec)
    states: list[Floats | None] = [
        np.zeros_like(parameters) if is_kept else None for is_kept in kept
    ]
    for state, start in zip(states, starts, strict=True):
        if state is not None and start:
            state.fill(start)
    return states


def _step(cls: type[Optimizer]) -> OptimizerKernel:
    def kernel(
        parameters: npt.NDArray[Any],
        gradient: npt.ArrayLike,
        states: Sequence[npt.NDArray[Any] | None],
        step: int,
        *,
        clip_value: float | None = None,
        grad_scale: float = 1.0,
        **hyperparameters: Any,
    ) -> None:
        optimizer = cls(**hyperparameters)
        rate = _arguments.number(optimizer.learning_rate, "learning_rate", above=0.0)
        step = _arguments.integer(step, "step", 1, _arguments.INT64_MAX - 1)
        clip = _arguments.optional_number(clip_value, "clip_value", above=0.0)
        scale = _arguments.number(grad_scale, "grad_scale")
        is_array = isinstance(states, np.ndarray) and states.ndim > 0
        if isinstance(states, str | bytes) or not (is_array or isinstance(states, Sequence)):
            raise TypeError(
                f"states must be what optimizer_states made, got {_arguments.described(states)}"
            )
        writable(parameters, "parameters")
        _, grad = inputs(parameters=parameters, gradient=gradient)
        _core.optimizer_step(
            optimizer.spec(), step, rate, parameters, grad, list(states), clip, scale
        )

    defaults = {field.name: field.default for field in fields(cls)}
    doc = _DOC.format(name=cls.name, cls=cls.__name__)
    made_kernel: OptimizerKernel = named(kernel, f"{cls.name}_step", doc, defaults)
    return made_kernel


def made() -> dict[str, OptimizerKernel]:
    """Make a function of each optimizer that is a kernel."""
    return {f"{name}_step": _step(cls) for name, cls in OPTIMIZERS.items() if has_step(cls)}
