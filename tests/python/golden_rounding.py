"""Arrays with a bound on the rounding error that a computation leaves in them.

A Rounded holds exact values (to double's precision) and, for each, a bound on the error of the same
formula computed with unit roundoff `unit`: what the operands bring along, worst case, plus what
the operation itself rounds. Results below the smallest normal number count as lost (flushed to
zero). The golden tests write chainrule's formulas in it and so get their tolerances computed.

A fused multiply-add, a reordered sum or a factor taken out of a loop makes no more error than the
plain formula; more roundings would.
"""

import numpy as np
from scipy import special

DOUBLE_UNIT = 2.0**-53


class Arithmetic:
    """The rounding of one element type."""

    def __init__(self, dtype):
        info = np.finfo(dtype)
        self.unit = float(info.eps) / 2
        self.tiny = float(info.tiny)

    def exact(self, values):
        """Return numbers that are representable."""
        return Rounded(self, np.asarray(values, np.float64), 0.0)

    def constant(self, value):
        """Return numbers that are rounded once: hyperparameters, irrational constants."""
        value = np.asarray(value, np.float64)
        return Rounded(self, value, self.unit * np.abs(value))


class Rounded:
    """Values, bounds on their errors, and the arithmetic they were made in."""

    __array_ufunc__ = None  # ndarray op Rounded comes here

    def __init__(self, arithmetic, value, error):
        self.arithmetic = arithmetic
        self.value = np.asarray(value, np.float64)
        self.error = np.broadcast_to(error, self.value.shape)

    def _made(self, value, propagated, roundings=1.0):
        """Return a result that is rounded to `roundings` units of its computed size."""
        a = self.arithmetic
        lost = np.where((value != 0) | (propagated != 0), a.tiny, 0.0)
        own = roundings * a.unit * (np.abs(value) + propagated)
        return Rounded(a, value, propagated + own + lost)

    def _other(self, other):
        return other if isinstance(other, Rounded) else self.arithmetic.exact(other)

    def __getitem__(self, index):
        return Rounded(self.arithmetic, self.value[index], self.error[index])

    @property
    def T(self):  # noqa: N802
        return Rounded(self.arithmetic, self.value.T, self.error.T)

    def __neg__(self):
        return Rounded(self.arithmetic, -self.value, self.error)

    def __abs__(self):
        return Rounded(self.arithmetic, np.abs(self.value), self.error)

    def __add__(self, other):
        b = self._other(other)
        return self._made(self.value + b.value, self.error + b.error)

    def __sub__(self, other):
        return self + (-self._other(other))

    def __rsub__(self, other):
        return self._other(other) - self

    def __mul__(self, other):
        b = self._other(other)
        propagated = np.abs(self.value) * b.error + self.error * (np.abs(b.value) + b.error)
        return self._made(self.value * b.value, propagated)

    def __truediv__(self, other):
        b = self._other(other)
        smallest = np.abs(b.value) - b.error
        assert (smallest > 0).all()
        quotient = self.value / b.value
        return self._made(quotient, (self.error + np.abs(quotient) * b.error) / smallest)

    def __rtruediv__(self, other):
        return self._other(other) / self

    __radd__, __rmul__ = __add__, __mul__

    def __matmul__(self, other):
        """Return the product; an element is one chain of roundings over all its terms."""
        b = self._other(other)
        terms = (np.abs(self.value) + self.error) @ (np.abs(b.value) + b.error)
        propagated = terms - np.abs(self.value) @ np.abs(b.value)
        # The difference above is itself only good to double's rounding.
        propagated = np.maximum(propagated, 0) + 2 * DOUBLE_UNIT * terms
        n = self.value.shape[-1]
        return self._made(self.value @ b.value, propagated + n * self.arithmetic.unit * terms)

    def sum(self, axis=None, unit=None, keepdims=False):
        """Return the sum over an axis, in any order, accumulated with another unit if given."""
        unit = self.arithmetic.unit if unit is None else unit
        n = self.value.size if axis is None else self.value.shape[axis]
        terms = (np.abs(self.value) + self.error).sum(axis=axis, keepdims=keepdims)
        propagated = self.error.sum(axis=axis, keepdims=keepdims) + n * unit * terms
        value = self.value.sum(axis=axis, keepdims=keepdims)
        return self._made(value, propagated, 0.0)

    def mean(self, axis, keepdims=False):
        return self.sum(axis, keepdims=keepdims) / float(self.value.shape[axis])

    def function(self, f, slope, ulps):
        """Return f, monotone with derivative slope, computed to `ulps` units in the last place."""
        value = f(self.value)
        propagated = np.abs(slope(self.value)) * self.error
        for bound in (self.value - self.error, self.value + self.error):
            propagated = np.maximum(propagated, np.abs(f(bound) - value))
        return self._made(value, propagated, 2.0 * ulps)  # an ULP is at most 2 units

    def clamped(self, low, high):
        """Return the values within two bounds that are rounded once."""
        value = np.clip(self.value, low, high)
        bound = np.where(value == self.value, 0.0, self.arithmetic.unit * np.abs(value))
        return Rounded(self.arithmetic, value, np.maximum(self.error, bound))

    def beside(self, other):
        """Return the columns of both."""
        value = np.hstack([self.value, other.value])
        return Rounded(self.arithmetic, value, np.hstack([self.error, other.error]))

    def sign(self):
        """Return the signs; where the error reaches zero, they may be anything."""
        known = (np.abs(self.value) > self.error) | ((self.value == 0) & (self.error == 0))
        return Rounded(self.arithmetic, np.sign(self.value), np.where(known, 0.0, 2.0))


def where(mask, a, b):
    return Rounded(a.arithmetic, np.where(mask, a.value, b.value), np.where(mask, a.error, b.error))


def maximum(a, b):
    return Rounded(a.arithmetic, np.maximum(a.value, b.value), np.maximum(a.error, b.error))


def exp(x):
    return x.function(np.exp, np.exp, 1)


def log(x):
    return x.function(np.log, lambda v: 1 / v, 1)


def sqrt(x):
    """Root of what is clamped at zero; correctly rounded."""
    low = np.sqrt(np.maximum(x.value - x.error, 0))
    value = np.sqrt(np.maximum(x.value, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(x.error > 0, x.error / (low + value), 0.0)
    return x._made(value, np.where(np.isnan(slope), 0.0, slope))


def tanh(x):
    return x.function(np.tanh, lambda v: 1 - np.tanh(v) ** 2, 1)


def sigmoid(x):
    return x.function(special.expit, lambda v: special.expit(v) * special.expit(-v), 1)


def erf(x):
    return x.function(special.erf, lambda v: 2 / np.sqrt(np.pi) * np.exp(-v * v), 2)


def expm1(x):
    return x.function(np.expm1, np.exp, 2)


def softplus(x):
    return x.function(lambda v: np.logaddexp(0, v), special.expit, 2)
