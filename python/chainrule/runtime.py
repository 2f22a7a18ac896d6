"""Which variant of the kernels runs, on how many threads, and how the library was built.

A variant is one compilation of all the kernels for one instruction set: ``baseline`` (any CPU),
``avx2`` (with FMA), ``avx512`` (F, BW, DQ and VL), ``amx`` (``avx512`` with tiles for products of
bf16 terms), ``neon`` (AArch64). The variants with FMA give the same bits.

Each call runs on the active variant: that of the innermost :func:`use_variant` block around it,
else the default of the process. That is the variant of :func:`set_variant`, else of the environment
variable ``CHAINRULE_VARIANT``, else the best that the machine supports.

A call with ``threads=None`` uses at most :func:`num_threads`: the number of
:func:`set_num_threads`, else of the environment variable ``CHAINRULE_NUM_THREADS``, else of
``OMP_NUM_THREADS``, else the processors that the process may use, by its affinity mask and its
control group's quota at the first use. Any number gives the same bits. threadpoolctl shows and
limits that number under the name ``chainrule``.
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
    """Raise ValueError for a wrong CHAINRULE_VARIANT, except in the command, which reports it.

    The command cannot catch an error of its own import. While Python looks for the module of
    ``-m``, ``argv[0]`` is ``-m``; other programs started so get the error at the first use.
    """
    program = sys.argv[0] if sys.argv else ""
    if os.path.splitext(os.path.basename(program))[0] not in ("chainrule", "-m"):
        active_variant()


def variants() -> list[str]:
    """List the variants that this machine supports.

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
    """Name the active variant: the one that a call made here runs on.

    Returns
    -------
    str
        One of :func:`variants`; within :func:`use_variant`, the variant of the block.
    """
    return _core.active_variant()


def set_variant(name: str) -> None:
    """Set the default of the process, for all threads.

    Blocks of :func:`use_variant` take precedence. A call that has begun keeps its variant; a fit
    takes the new default for its next steps. Processes that are forked later have the same default;
    others read ``CHAINRULE_VARIANT``.

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
    """Run the calls of this thread on a variant, within a ``with`` statement.

    It changes nothing for other threads, so two of them can use two variants at once. The threads
    that share the work of a call use the variant of that call.

    Parameters
    ----------
    name : str
        One of :func:`variants`.

    Yields
    ------
    None
        At the end, also after an exception, the block around it or the default is active again.

    Raises
    ------
    ValueError
        For a name that :func:`variants` does not list. Also at the end of a block that one thread
        or task entered and another one leaves: then it stays open where it was entered.

    Notes
    -----
    The block is kept in Python's context, as ``decimal.localcontext`` is. So it holds

    - in no thread started within it, unless that runs in a copy of the context, as those of
      ``asyncio.to_thread`` do, or those of ``threading.Thread`` where Python's flag
      ``thread_inherit_context`` is set;
    - for one asyncio task, across its ``await``, and for the tasks created within the block, which
      keep the variant after it; other tasks of the thread do not see it;
    - in a process forked within it, not in one that is spawned;
    - in a generator that yields within it, also for the code that runs until the generator resumes.

    Examples
    --------
    >>> import chainrule as cr
    >>> with cr.runtime.use_variant("baseline"):
    ...     cr.runtime.active_variant()
    'baseline'
    """
    token = _core.enter_variant(_arguments.one_of(name, _core.variants(), "name"))
    try:
        yield
    finally:
        _core.leave_variant(token)


def has_bf16_tiles() -> bool:
    """Return whether the active variant multiplies bf16 on tiles of AMX.

    Without tiles the precisions ``"bf16x6"``, ``"bf16x3"`` and ``"bf16"`` give the same bits by
    FMAs, and take longer than ``"float32"``.

    Returns
    -------
    bool
        False also if the operating system refuses tiles to the process.

    Examples
    --------
    >>> import chainrule as cr
    >>> with cr.runtime.use_variant("baseline"):
    ...     cr.runtime.has_bf16_tiles()
    False
    """
    return _core.has_tiles()


def build_config() -> dict[str, str]:
    """Describe how the library was built.

    Returns
    -------
    dict of str to str
        Compiler, flags and versions.
    """
    return _core.build_config()


def num_threads() -> int:
    """Return the maximum number of threads of a call with ``threads=None``.

    Returns
    -------
    int
        In [1, 1024].

    Raises
    ------
    ValueError
        If the environment variable ``CHAINRULE_NUM_THREADS`` is not a positive integer.
    """
    return _core.num_threads()


def set_num_threads(n: int | None) -> None:
    """Set the maximum number of threads of calls with ``threads=None``.

    It applies to the whole process from the next call on. The argument of a call takes precedence.

    Parameters
    ----------
    n : int or None
        In [1, 1024], the calling thread included; None restores the default of the environment or
        the machine.

    Raises
    ------
    ValueError, TypeError
        When `n` is no such number; nothing has changed then.
    """
    _core.set_num_threads(_arguments.threads(n, "n"))


@contextlib.contextmanager
def use_num_threads(n: int | None) -> Iterator[None]:
    """Set the maximum number of threads, for the whole process, within a ``with`` statement.

    Parameters
    ----------
    n : int or None
        As for :func:`set_num_threads`.

    Yields
    ------
    None
        The previous number is restored at the end.

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
    """Measure the peak of the machine, in floating-point operations per second.

    It times the active variant's multiply-adds, of registers only, for a tenth of a second: no
    product of matrices can be faster. The fastest of some measurements counts, but a busy machine
    still gives too low a number.

    Parameters
    ----------
    threads : int or None
        Number of threads, in [1, 1024]; None: :func:`num_threads`.
    dtype : {"float32", "float64"}, default "float32"
        Type of the numbers.

    Returns
    -------
    float
        Operations per second of all threads together; a multiply-add counts as two.

    Raises
    ------
    ValueError, TypeError
        If `threads` or `dtype` is invalid.

    Examples
    --------
    >>> import chainrule as cr
    >>> cr.runtime.peak_flops(threads=1) > 1e8
    True
    """
    number = _arguments.threads(threads)
    is_double = _arguments.float_dtype(dtype) == np.float64
    return _core.peak_flops(number, "float64" if is_double else "float32")
