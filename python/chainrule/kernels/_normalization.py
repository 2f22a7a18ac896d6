"""Layer and batch normalization over plain arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .. import _arguments, _core
from ._arrays import inputs

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._typing import Floats


class LayerNorm(NamedTuple):
    """What :func:`layer_norm_forward` computes.

    Attributes
    ----------
    out : ndarray, shape (batch_size, features)
        normalized * scale + shift.
    normalized : ndarray, shape (batch_size, features)
        (x - mean) / sqrt(variance + epsilon), with mean and variance of each row.
    inverse_deviation : ndarray, shape (batch_size,)
        1 / sqrt(variance + epsilon).
    """

    out: Floats
    normalized: Floats
    inverse_deviation: Floats


class BatchNorm(NamedTuple):
    """What :func:`batch_norm_forward` computes.

    Attributes
    ----------
    out : ndarray, shape (batch_size, features)
        normalized * scale + shift.
    normalized : ndarray, shape (batch_size, features)
        (x - mean) / sqrt(variance + epsilon), with mean and variance of each column.
    inverse_deviation : ndarray, shape (features,)
        1 / sqrt(variance + epsilon).
    mean, variance : ndarray, shape (features,)
        Of the batch; the variance is the biased one.
    """

    out: Floats
    normalized: Floats
    inverse_deviation: Floats
    mean: Floats
    variance: Floats


class NormGradients(NamedTuple):
    """Gradients of a normalization.

    Attributes
    ----------
    x : ndarray, shape (batch_size, features)
        With respect to the input.
    scale, shift : ndarray, shape (features,)
        With respect to scale and shift.
    """

    x: Floats
    scale: Floats
    shift: Floats


def layer_norm_forward(
    x: npt.ArrayLike,
    scale: npt.ArrayLike,
    shift: npt.ArrayLike,
    *,
    epsilon: float = 1e-5,
    out: npt.NDArray[Any] | None = None,
) -> LayerNorm:
    """Normalize each row to mean 0 and variance 1, then scale and shift each column.

    Parameters
    ----------
    x : array_like, shape (batch_size, features)
        Input, with at least one column.
    scale, shift : array_like, shape (features,)
        Multiplied with, and added to, the normalized columns.
    epsilon : float, default 1e-5
        Added to the variance; greater than 0.
    out : ndarray, shape (batch_size, features), optional
        Where to write the result: C-contiguous, of the inputs' dtype, apart from them.

    Returns
    -------
    LayerNorm
        ``out``, and what :func:`layer_norm_backward` needs.

    Raises
    ------
    ValueError, TypeError
        For invalid arguments.

    References
    ----------
    J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer Normalization" (2016).

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.kernels.layer_norm_forward([[1.0, 3.0]], [1.0, 1.0], [0.0, 0.5]).out.round(3)
    array([[-1. ,  1.5]])
    """
    epsilon = _arguments.number(epsilon, "epsilon", above=0.0)
    x_, scale_, shift_ = inputs(x=x, scale=scale, shift=shift)
    return LayerNorm(*_core.layer_norm_forward(x_, scale_, shift_, epsilon, out))


def layer_norm_backward(
    grad_output: npt.ArrayLike,
    normalized: npt.ArrayLike,
    inverse_deviation: npt.ArrayLike,
    scale: npt.ArrayLike,
) -> NormGradients:
    """Compute the gradients of a layer normalization.

    Parameters
    ----------
    grad_output : array_like, shape (batch_size, features)
        Gradient with respect to the output.
    normalized, inverse_deviation : array_like
        What :func:`layer_norm_forward` computed.
    scale : array_like, shape (features,)
        As given to :func:`layer_norm_forward`.

    Returns
    -------
    NormGradients
        Gradients with respect to ``x``, ``scale`` and ``shift``.

    Raises
    ------
    ValueError, TypeError
        For arrays that do not fit each other.
    """
    arrays = _backward_inputs(grad_output, normalized, inverse_deviation, scale)
    return NormGradients(*_core.layer_norm_backward(*arrays))


def batch_norm_forward(
    x: npt.ArrayLike,
    scale: npt.ArrayLike,
    shift: npt.ArrayLike,
    *,
    epsilon: float = 1e-5,
    out: npt.NDArray[Any] | None = None,
) -> BatchNorm:
    """Normalize each column to mean 0 and variance 1 over the batch, then scale and shift it.

    Parameters
    ----------
    x : array_like, shape (batch_size, features)
        Input, with at least one row.
    scale, shift : array_like, shape (features,)
        Multiplied with, and added to, the normalized columns.
    epsilon : float, default 1e-5
        Added to the variance; greater than 0.
    out : ndarray, shape (batch_size, features), optional
        Where to write the result: C-contiguous, of the inputs' dtype, apart from them.

    Returns
    -------
    BatchNorm
        ``out``, the statistics of the batch, and what :func:`batch_norm_backward` needs.

    Raises
    ------
    ValueError, TypeError
        For invalid arguments.

    References
    ----------
    S. Ioffe and C. Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing
    Internal Covariate Shift", ICML 2015.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.kernels.batch_norm_forward([[1.0], [3.0]], [1.0], [0.0]).mean
    array([2.])
    """
    epsilon = _arguments.number(epsilon, "epsilon", above=0.0)
    x_, scale_, shift_ = inputs(x=x, scale=scale, shift=shift)
    return BatchNorm(*_core.batch_norm_forward(x_, scale_, shift_, epsilon, out))


def batch_norm_predict(
    x: npt.ArrayLike,
    scale: npt.ArrayLike,
    shift: npt.ArrayLike,
    running_mean: npt.ArrayLike,
    running_variance: npt.ArrayLike,
    *,
    epsilon: float = 1e-5,
    out: npt.NDArray[Any] | None = None,
) -> Floats:
    """Normalize each column by statistics that were gathered before.

    Parameters
    ----------
    x : array_like, shape (batch_size, features)
        Input.
    scale, shift : array_like, shape (features,)
        Multiplied with, and added to, the normalized columns.
    running_mean, running_variance : array_like, shape (features,)
        The statistics.
    epsilon : float, default 1e-5
        Added to the variance; greater than 0.
    out : ndarray, shape (batch_size, features), optional
        Where to write the result: C-contiguous, of the inputs' dtype, apart from them.

    Returns
    -------
    ndarray, shape (batch_size, features)
        `out`, or a new array.

    Raises
    ------
    ValueError, TypeError
        For invalid arguments.
    """
    epsilon = _arguments.number(epsilon, "epsilon", above=0.0)
    x_, scale_, shift_, mean, variance = inputs(
        x=x,
        scale=scale,
        shift=shift,
        running_mean=running_mean,
        running_variance=running_variance,
    )
    return _core.batch_norm_predict(x_, scale_, shift_, mean, variance, epsilon, out)


def batch_norm_backward(
    grad_output: npt.ArrayLike,
    normalized: npt.ArrayLike,
    inverse_deviation: npt.ArrayLike,
    scale: npt.ArrayLike,
) -> NormGradients:
    """Compute the gradients of a batch normalization.

    Parameters
    ----------
    grad_output : array_like, shape (batch_size, features)
        Gradient with respect to the output.
    normalized, inverse_deviation : array_like
        What :func:`batch_norm_forward` computed.
    scale : array_like, shape (features,)
        As given to :func:`batch_norm_forward`.

    Returns
    -------
    NormGradients
        Gradients with respect to ``x``, ``scale`` and ``shift``.

    Raises
    ------
    ValueError, TypeError
        For arrays that do not fit each other.
    """
    arrays = _backward_inputs(grad_output, normalized, inverse_deviation, scale)
    return NormGradients(*_core.batch_norm_backward(*arrays))


def _backward_inputs(
    grad_output: npt.ArrayLike,
    normalized: npt.ArrayLike,
    inverse_deviation: npt.ArrayLike,
    scale: npt.ArrayLike,
) -> list[Any]:
    return inputs(
        grad_output=grad_output,
        normalized=normalized,
        inverse_deviation=inverse_deviation,
        scale=scale,
    )
