"""Makes threadpoolctl show and limit the library's threads, without importing it.

threadpoolctl knows only controllers that were registered with it, and has no entry point for them.
So a finder in `sys.meta_path` waits for its import, which it leaves to the others; when that is
over, by whomever and however late, the controller is registered.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

from . import _arguments, _core

_NAME = "threadpoolctl"
_registered_with: ModuleType | None = None


def register_threadpoolctl() -> None:
    """Register the library with threadpoolctl, under the name ``chainrule``.

    This happens by itself when threadpoolctl is imported, before or after this package; it is for
    programs that import it in a way of their own. Again does nothing.

    Raises
    ------
    ImportError
        When threadpoolctl, of version 3.2 or later, is not installed.

    Examples
    --------
    >>> import chainrule as cr
    >>> from threadpoolctl import threadpool_limits
    >>> with threadpool_limits(limits={"chainrule": 1}):
    ...     cr.runtime.num_threads()
    1
    """
    import threadpoolctl  # type: ignore[import-untyped]

    if threadpoolctl is not _registered_with and not _register(threadpoolctl):
        raise ImportError(f"threadpoolctl must be 3.2 or later, got {threadpoolctl.__version__}")


def watch() -> None:
    """Register now if threadpoolctl is imported, and whenever it will be."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    imported = sys.modules.get(_NAME)
    if imported is not None and imported is not _registered_with:
        _register(imported)


class _Loader(SourceFileLoader):
    """Registers the controller when the module is there."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        _register(module)


class _Finder:
    """Gives what the import system finds another loader."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return what the import system would find, or None for all that is no affair of ours."""
        if name != _NAME:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or not isinstance(spec.loader, SourceFileLoader):
            return None  # from an archive, say: its importer does as ever
        spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def _register(threadpoolctl: Any) -> bool:
    """Register the controller; return whether this version takes any."""
    global _registered_with
    if not (hasattr(threadpoolctl, "register") and hasattr(threadpoolctl, "LibController")):
        return False

    class ChainruleController(threadpoolctl.LibController):  # type: ignore[misc]
        """Reads and sets the number of threads of calls whose `threads` is None."""

        user_api = internal_api = "chainrule"
        # The extension module; others have the name too, but not the symbols.
        filename_prefixes = ("_core",)
        check_symbols = ("chainrule_get_num_threads", "chainrule_set_num_threads")

        def get_num_threads(self) -> int:
            return int(self.dynlib.chainrule_get_num_threads())

        def set_num_threads(self, num_threads: int) -> None:
            n = min(max(int(num_threads), 1), _arguments.MOST_THREADS)
            self.dynlib.chainrule_set_num_threads(n)

        def get_version(self) -> str:
            return _core.__version__

    threadpoolctl.register(ChainruleController)
    _registered_with = threadpoolctl
    return True
