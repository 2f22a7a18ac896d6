"""Which variant of the kernels runs, which ones could, and how the library was built.

A variant is one compilation of all the kernels for one instruction set: ``baseline`` (any CPU),
``avx2`` (with FMA), ``avx512`` (F, BW, DQ and VL), ``neon`` (AArch64). The best one that the
machine runs is chosen at import, or the one that the environment variable ``CHAINRULE_VARIANT``
names. The variants with FMA give the same bits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from . import _arguments, _core

__all__ = [
    "active_variant",
    "build_config",
    "compiled_variants",
    "num_threads",
    "set_variant",
    "use_variant",
    "variants",
]


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


def build_config() -> dict[str, str]:
    """Tell how the library was built.

    Returns
    -------
    dict of str to str
        Compiler, flags and versions.
    """
    return _core.build_config()


def num_threads() -> int:
    """Tell how many threads an operation uses.

    Returns
    -------
    int
        At least 1.
    """
    return _core.num_threads()
