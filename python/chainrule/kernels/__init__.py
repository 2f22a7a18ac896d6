"""The kernels on plain arrays: the operations of a network, one function each.

They take arrays of any layout, float32 or float64 (one dtype per call), return new arrays or write
to `out`, and propagate infinities and NaN as in IEEE 754. Every NaN that they write has the bits of
``numpy.nan``.

``<activation>_forward(x)`` and ``<activation>_backward(grad_output, saved)`` exist for every
activation, ``<loss>(outputs, targets)`` for every loss, ``<optimizer>_step(...)`` for every
optimizer except L-BFGS, and elementary functions (``exp``, ``tanh``, ...) by their names.

>>> import chainrule as cr
>>> cr.kernels.leaky_relu_forward([-1.0, 2.0], negative_slope=0.5)
array([-0.5,  2. ])
>>> value, gradient = cr.kernels.mse([[1.0, 3.0]], [[0.0, 3.0]])
>>> value, gradient
(0.5, array([[1., 0.]]))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _elementwise, _losses, _optimizers
from ._dense import DenseGradients, dense_backward, dense_forward
from ._normalization import (
    BatchNorm,
    LayerNorm,
    NormGradients,
    batch_norm_backward,
    batch_norm_forward,
    batch_norm_predict,
    layer_norm_backward,
    layer_norm_forward,
)
from ._optimizers import optimizer_states
from ._random import dropout_mask, initialize, permutation

_of_losses = _losses.made()
mse = _of_losses["mse"]
mae = _of_losses["mae"]
huber = _of_losses["huber"]
quantile = _of_losses["quantile"]
binary_cross_entropy = _of_losses["binary_cross_entropy"]
cross_entropy = _of_losses["cross_entropy"]
poisson = _of_losses["poisson"]
gaussian_nll = _of_losses["gaussian_nll"]

_of_optimizers = _optimizers.made()
sgd_step = _of_optimizers["sgd_step"]
rmsprop_step = _of_optimizers["rmsprop_step"]
adagrad_step = _of_optimizers["adagrad_step"]
adam_step = _of_optimizers["adam_step"]
adamw_step = _of_optimizers["adamw_step"]
nadam_step = _of_optimizers["nadam_step"]
lion_step = _of_optimizers["lion_step"]

_elementwise_kernels = _elementwise.made()
globals().update({**_of_losses, **_elementwise_kernels})

if TYPE_CHECKING:

    def __getattr__(name: str) -> _elementwise.ElementwiseKernel:
        """Stand for the activations and elementary functions, which the compiled module lists."""


__all__ = [
    "BatchNorm",
    "DenseGradients",
    "LayerNorm",
    "NormGradients",
    "adagrad_step",
    "adam_step",
    "adamw_step",
    "batch_norm_backward",
    "batch_norm_forward",
    "batch_norm_predict",
    "binary_cross_entropy",
    "cross_entropy",
    "dense_backward",
    "dense_forward",
    "dropout_mask",
    "gaussian_nll",
    "huber",
    "initialize",
    "layer_norm_backward",
    "layer_norm_forward",
    "lion_step",
    "mae",
    "mse",
    "nadam_step",
    "optimizer_states",
    "permutation",
    "poisson",
    "quantile",
    "rmsprop_step",
    "sgd_step",
]
__all__ += list(_elementwise_kernels)
