"""Where the program `chainrule` starts: from here on Ctrl-C ends it quietly, at every moment.

The script that pip makes imports this package, which takes over SIGINT, and calls `main`; nothing
else may import it. It is a package of its own, with the standard library alone, since importing
`chainrule` takes NumPy and 0.2 s: there, and in every later import of a compiled module, an
interrupt that is an exception becomes a traceback, or another error, or is lost. So until the work
begins, and in `importing`, it ends the process at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

__all__ = ["importing", "main"]

_INTERRUPTED = 130


def _leave(*_: object) -> None:
    """End the process; nothing was written where this may happen."""
    with contextlib.suppress(OSError):  # standard error may be closed
        os.write(2, b"chainrule: interrupted; nothing was written\n")
    os._exit(_INTERRUPTED)


# A shell's background job ignores interrupts, and goes on to.
_listens = signal.getsignal(signal.SIGINT) is signal.default_int_handler
if _listens:
    signal.signal(signal.SIGINT, _leave)


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Make an interrupt end the process at once; `chainrule._command.imports` calls it."""
    ours = _listens and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, _leave)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def main() -> int:
    """Run the command and return its exit code."""
    from chainrule._cli import main as run

    ordinary = sys.unraisablehook

    def unraisable(found: Any) -> None:
        # Raised where nobody can catch it, as in the finalizer of an object: it would be lost.
        if issubclass(found.exc_type, KeyboardInterrupt):
            os._exit(_INTERRUPTED)
        ordinary(found)

    sys.unraisablehook = unraisable
    try:
        if _listens:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code = run()
    except KeyboardInterrupt:  # a second one, while the first was told of
        code = _INTERRUPTED
    # All is done and said: what is left is Python's own end.
    if _listens:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return code
