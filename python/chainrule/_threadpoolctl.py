"""threadpoolctl's view of the library's threads, registered at import when that is installed.

Its `threadpool_info()` then lists chainrule, and `threadpool_limits(1)` or
`threadpool_limits(limits={"chainrule": 2})` sets what `chainrule.runtime.num_threads` tells.
"""

from __future__ import annotations

from . import _arguments, _core


def register() -> None:
    """Register the controller; without threadpoolctl, or with one before 3.2, do nothing."""
    try:
        import threadpoolctl
    except ImportError:
        return
    if not hasattr(threadpoolctl, "LibController"):
        return

    class ChainruleController(threadpoolctl.LibController):  # type: ignore[misc]
        """Reads and sets the number of threads of calls whose `threads` is None."""

        user_api = internal_api = "chainrule"
        # The extension module; others have the name too, but not the symbols.
        filename_prefixes = ("_core",)
        check_symbols = ("chainrule_get_num_threads", "chainrule_set_num_threads")

        def get_num_threads(self) -> int:
            return int(self.dynlib.chainrule_get_num_threads())

        def set_num_threads(self, num_threads: int) -> None:
            n = min(max(int(num_threads), 0), _arguments.MOST_THREADS)  # 0: automatic
            self.dynlib.chainrule_set_num_threads(n)

        def get_version(self) -> str:
            return _core.__version__

    threadpoolctl.register(ChainruleController)
