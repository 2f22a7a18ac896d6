"""Activations and elementary functions: made from the lists of the compiled module.

A new function needs only a row of kernels/activations.inc or kernels/math_functions.inc.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from .. import _arguments, _core
from ._arrays import inputs
from ._naming import named

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._typing import Floats


class ElementwiseKernel(Protocol):
    """The type of the functions made here."""

    __name__: str

    def __call__(
        self, *arrays: npt.ArrayLike, out: npt.NDArray[Any] | None = None, **parameter: float
    ) -> Floats:
        """Compute the function of each element."""


_FORWARD_DOC = """Compute {name} of each element.

    Parameters
    ----------
    x : array_like of any shape, with at least one dimension
        Input; infinities and NaN follow IEEE 754.
    out : ndarray, optional
        Where to write: C-contiguous, of the input's shape and dtype; may be `x` itself.{parameter}

    Returns
    -------
    ndarray
        `out`, or a new array of the shape of `x`.

    Raises
    ------
    ValueError, TypeError
        For invalid arguments.
    """

_BACKWARD_DOC = """Compute the gradient of {name}: grad_output times its derivative.

    Parameters
    ----------
    grad_output : array_like of any shape, with at least one dimension
        Gradient with respect to the output of ``{name}_forward``.
    saved : array_like, of the same shape
        The {saved} of ``{name}_forward``.
    out : ndarray, optional
        Where to write: C-contiguous, of the inputs' shape and dtype; may be `grad_output` or
        `saved` itself.{parameter}

    Returns
    -------
    ndarray
        `out`, or a new array: the gradient with respect to the input.

    Raises
    ------
    ValueError, TypeError
        For invalid arguments.
    """

_PARAMETER_DOC = """
    {field} : float, default {default}
        At least 0; see :class:`chainrule.Activation`."""


def _parameter(name: str, given: dict[str, float], fields: dict[str, float]) -> float:
    value = next(iter(fields.values()), 0.0)
    for field, number in given.items():
        if field not in fields:
            raise TypeError(f"{name}() got an unexpected keyword argument {field!r}")
        value = _arguments.number(number, field, minimum=0.0)
    return value


def _activation(name: str, info: _core.ActivationInfo) -> dict[str, ElementwiseKernel]:
    field = info["parameter"]
    fields = {} if field is None else {field: info["default"]}
    parameter_doc = "".join(
        _PARAMETER_DOC.format(field=field, default=default) for field, default in fields.items()
    )

    def forward(
        x: npt.ArrayLike, out: npt.NDArray[Any] | None = None, **parameter: float
    ) -> Floats:
        value = _parameter(f"{name}_forward", parameter, fields)
        (x_,) = inputs(x=x)
        return _core.activation_forward(name, value, x_, out)

    def backward(
        grad_output: npt.ArrayLike,
        saved: npt.ArrayLike,
        out: npt.NDArray[Any] | None = None,
        **parameter: float,
    ) -> Floats:
        value = _parameter(f"{name}_backward", parameter, fields)
        grad, saved_ = inputs(grad_output=grad_output, saved=saved)
        return _core.activation_backward(name, value, grad, saved_, out)

    forward_doc = _FORWARD_DOC.format(name=name, parameter=parameter_doc)
    backward_doc = _BACKWARD_DOC.format(name=name, saved=info["saved"], parameter=parameter_doc)
    return {
        f"{name}_forward": named(forward, f"{name}_forward", forward_doc, fields),
        f"{name}_backward": named(backward, f"{name}_backward", backward_doc, fields),
    }


def _math_function(name: str) -> ElementwiseKernel:
    def function(x: npt.ArrayLike, out: npt.NDArray[Any] | None = None) -> Floats:
        (x_,) = inputs(x=x)
        return _core.math_function(name, x_, out)

    kernel: ElementwiseKernel = named(
        function, name, _FORWARD_DOC.format(name=name, parameter=""), {}
    )
    return kernel


def made() -> dict[str, ElementwiseKernel]:
    """Make all the functions that the lists of the compiled module name."""
    functions = {name: _math_function(name) for name in _core.math_functions()}
    for name, info in _core.activations().items():
        functions.update(_activation(name, info))
    return functions
