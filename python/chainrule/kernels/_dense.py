"""The dense layer over plain arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .. import _arguments, _core
from .._layers import Activation, as_activation
from .._precision import as_precision
from ._arrays import inputs

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._typing import Floats


class DenseGradients(NamedTuple):
    """Gradients of a dense layer.

    Attributes
    ----------
    x : ndarray, shape (batch_size, in_features), or None
        With respect to the input; None with ``need_grad_x=False``.
    w : ndarray, shape (in_features, out_features)
        With respect to the weight.
    b : ndarray, shape (out_features,)
        With respect to the bias.
    """

    x: Floats | None
    w: Floats
    b: Floats


def dense_forward(
    x: npt.ArrayLike,
    w: npt.ArrayLike,
    b: npt.ArrayLike | None = None,
    activation: str | Activation = "identity",
    out: npt.NDArray[Any] | None = None,
    *,
    preactivation: npt.NDArray[Any] | None = None,
    precision: str | None = None,
    threads: int | None = None,
) -> Floats:
    """Compute activation(x @ w + b) in one pass.

    Parameters
    ----------
    x : array_like, shape (batch_size, in_features)
        Input.
    w : array_like, shape (in_features, out_features)
        Weight.
    b : array_like, shape (out_features,), optional
        Bias.
    activation : str or Activation, default "identity"
        See :class:`chainrule.Activation`.
    out : ndarray, shape (batch_size, out_features), optional
        Where to write the result: C-contiguous, of the inputs' dtype, apart from them.
    preactivation : ndarray, shape (batch_size, out_features), optional
        Where to write x @ w + b, which some activations need for their gradient.
    precision : str, optional
        Of the product, see :class:`chainrule.MLP`; by default the dtype's.
    threads : int, optional
        Maximum number of threads; see :meth:`chainrule.MLP.fit`. The result has the same
        bits for any number.

    Returns
    -------
    ndarray, shape (batch_size, out_features)
        `out`, or a new array.

    Raises
    ------
    ValueError, TypeError
        For arrays that do not fit each other, and other arguments that are not as described.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.kernels.dense_forward([[1.0, 2.0]], [[3.0], [-4.0]], [1.0], activation="relu")
    array([[0.]])
    """
    chosen = as_activation(activation)
    n_threads = _arguments.threads(threads)
    x_, w_, b_ = (*inputs(x=x, w=w), None) if b is None else inputs(x=x, w=w, b=b)
    named = as_precision(precision, x_.dtype)
    return _core.dense_forward(
        x_, w_, b_, chosen.name, chosen.parameter, preactivation, out, named, n_threads
    )


def dense_backward(
    grad_preactivation: npt.ArrayLike,
    x: npt.ArrayLike,
    w: npt.ArrayLike,
    *,
    grad_x: npt.NDArray[Any] | None = None,
    grad_w: npt.NDArray[Any] | None = None,
    grad_b: npt.NDArray[Any] | None = None,
    need_grad_x: bool = True,
    precision: str | None = None,
    threads: int | None = None,
) -> DenseGradients:
    """Compute the gradients of x @ w + b.

    Parameters
    ----------
    grad_preactivation : array_like, shape (batch_size, out_features)
        Gradient with respect to x @ w + b.
    x : array_like, shape (batch_size, in_features)
        Input.
    w : array_like, shape (in_features, out_features)
        Weight.
    grad_x, grad_w, grad_b : ndarray, optional
        Where to write the gradients: C-contiguous, of the inputs' dtype, apart from all others.
    need_grad_x : bool, default True
        Whether to compute the gradient with respect to `x`, which a first layer does not need.
    precision : str, optional
        Of the products, see :class:`chainrule.MLP`; by default the dtype's.
    threads : int, optional
        Maximum number of threads; see :meth:`chainrule.MLP.fit`. The result has the same
        bits for any number.

    Returns
    -------
    DenseGradients
        Gradients with respect to ``x``, ``w`` and ``b``.

    Raises
    ------
    ValueError, TypeError
        For arrays that do not fit each other, and other arguments that are not as described.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.kernels.dense_backward([[1.0]], [[1.0, 2.0]], [[3.0], [-4.0]])
    DenseGradients(x=array([[ 3., -4.]]), w=array([[1.],
           [2.]]), b=array([1.]))
    """
    need_grad_x = _arguments.boolean(need_grad_x, "need_grad_x")
    if grad_x is not None and not need_grad_x:
        raise ValueError("grad_x must be None when need_grad_x=False, got an array")
    n_threads = _arguments.threads(threads)
    grad, x_, w_ = inputs(grad_preactivation=grad_preactivation, x=x, w=w)
    named = as_precision(precision, x_.dtype)
    of_x, of_w, of_b = _core.dense_backward(
        grad, x_, w_, need_grad_x, True, grad_x, grad_w, grad_b, named, n_threads
    )
    assert of_w is not None
    assert of_b is not None
    return DenseGradients(of_x, of_w, of_b)
