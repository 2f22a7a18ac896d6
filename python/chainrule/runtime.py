"""Which variant of the kernels runs, on how many threads, and how the library was built.

A variant is one compilation of all the kernels for one instruction set: ``baseline`` (any CPU),
``avx2`` (with FMA), ``avx512`` (F, BW, DQ and VL), ``amx`` (``avx512`` with tiles for products of
bf16 terms), ``neon`` (AArch64). The best one that the machine runs is chosen at import, or the one
that the environment variable ``CHAINRULE_VARIANT`` names. The variants with FMA give the same bits.

Whatever takes `threads` uses, when that is None, at most :func:`num_threads`: what
:func:`set_num_threads` set, else what the environment variable ``CHAINRULE_NUM_THREADS`` says, else
``OMP_NUM_THREADS``, else the processors that the process may use, by its affinity mask and its
control group's quota, as they are at the first use. Any number gives the same bits. threadpoolctl
shows and limits that number under the name ``chainrule``.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from . import _arguments, _core

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = [
    "active_variant",
    "build_config",
    "compiled_variants",
    "has_bf16_tiles",
    "num_threads",
    "peak_flops",
    "set_num_threads",
    "set_variant",
    "use_num_threads",
    "use_variant",
    "variants",
]


def _check_environment() -> None:
    """Raise ValueError for a wrong CHAINRULE_VARIANT, but not to the command, which says it itself.

    The command cannot catch what its own import raises. While Python looks for what ``-m`` names,
    ``argv[0]`` is that; whoever else runs so gets the error at the first use.
    """
    program = sys.argv[0] if sys.argv else ""
    if os.path.splitext(os.path.basename(program))[0] not in ("chainrule", "-m"):
        active_variant()


def variants() -> list[str]:
    """List the variants that this machine runs.

    Returns
    -------
    list of str
        Names, the best first; the last is always ``"baseline"``.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.runtime.variants()[-1]
    'baseline'
    """
    return _core.variants()


def compiled_variants() -> list[str]:
    """List the variants that the library was built with.

    Returns
    -------
    list of str
        Names, the best first.
    """
    return _core.compiled_variants()


def active_variant() -> str:
    """Name the variant that runs.

    Returns
    -------
    str
        One of :func:`variants`.
    """
    return _core.active_variant()


def set_variant(name: str) -> None:
    """Choose the variant that runs, for the whole process.

    Parameters
    ----------
    name : str
        One of :func:`variants`.

    Raises
    ------
    ValueError
        For a name that :func:`variants` does not list.
    """
    _core.set_variant(_arguments.one_of(name, _core.variants(), "name"))


@contextlib.contextmanager
def use_variant(name: str) -> Iterator[None]:
    """Choose the variant that runs, for the whole process, within a ``with`` statement.

    Parameters
    ----------
    name : str
        One of :func:`variants`.

    Yields
    ------
    None
        At the end the variant before is chosen again.

    Raises
    ------
    ValueError
        For a name that :func:`variants` does not list.

    Examples
    --------
    >>> import chainrule as cr
    >>> with cr.runtime.use_variant("baseline"):
    ...     cr.runtime.active_variant()
    'baseline'
    """
    before = active_variant()
    set_variant(name)
    try:
        yield
    finally:
        set_variant(before)


def has_bf16_tiles() -> bool:
    """Tell whether the variant that runs multiplies bf16 by the tiles of AMX.

    Without them the precisions ``"bf16x6"``, ``"bf16x3"`` and ``"bf16"`` give the same bits by
    FMAs, and take longer than ``"float32"``.

    Returns
    -------
    bool
        False too where the operating system refuses tiles to the process.

    Examples
    --------
    >>> import chainrule as cr
    >>> with cr.runtime.use_variant("baseline"):
    ...     cr.runtime.has_bf16_tiles()
    False
    """
    return _core.has_tiles()


def build_config() -> dict[str, str]:
    """Tell how the library was built.

    Returns
    -------
    dict of str to str
        Compiler, flags and versions.
    """
    return _core.build_config()


def num_threads() -> int:
    """Tell how many threads a call uses at most when its `threads` is None.

    Returns
    -------
    int
        In [1, 1024].

    Raises
    ------
    ValueError
        When the environment variable ``CHAINRULE_NUM_THREADS`` is not a positive integer.
    """
    return _core.num_threads()


def set_num_threads(n: int | None) -> None:
    """Choose how many threads a call uses at most when its `threads` is None.

    For the whole process and from the next call on. A number that is given to a call goes before.

    Parameters
    ----------
    n : int or None
        In [1, 1024], the calling thread included; None: back to what the environment or the
        machine gives.

    Raises
    ------
    ValueError, TypeError
        When `n` is no such number; nothing has changed then.
    """
    _core.set_num_threads(_arguments.threads(n, "n"))


@contextlib.contextmanager
def use_num_threads(n: int | None) -> Iterator[None]:
    """Choose how many threads a call uses at most, for the whole process, within a ``with``.

    Parameters
    ----------
    n : int or None
        As for :func:`set_num_threads`.

    Yields
    ------
    None
        At the end the number before is chosen again.

    Raises
    ------
    ValueError, TypeError
        When `n` is no such number; nothing has changed then.

    Examples
    --------
    >>> import chainrule as cr
    >>> with cr.runtime.use_num_threads(2):
    ...     cr.runtime.num_threads()
    2
    """
    before = num_threads()
    set_num_threads(n)
    try:
        yield
    finally:
        set_num_threads(before)


def peak_flops(threads: int | None = None, dtype: npt.DTypeLike = "float32") -> float:
    """Measure how many floating-point operations a second the machine does at most.

    The active variant's multiply-adds, of registers alone, in a tenth of a second: what no product
    of matrices can be faster than. The fastest of some measurements counts, but a machine that is
    busy with other work still gives too little.

    Parameters
    ----------
    threads : int or None
        How many work at once, in [1, 1024]; None: :func:`num_threads`.
    dtype : {"float32", "float64"}, default "float32"
        What is multiplied.

    Returns
    -------
    float
        Operations a second, of all threads together; a multiply-add counts as two.

    Raises
    ------
    ValueError, TypeError
        When `threads` or `dtype` is none of these.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.runtime.peak_flops(threads=1) > 1e8
    True
    """
    number = _arguments.threads(threads)
    is_double = _arguments.float_dtype(dtype) == np.float64
    return _core.peak_flops(number, "float64" if is_double else "float32")
