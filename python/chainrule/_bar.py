"""The progress bar of a fit, and the making of tqdm's bars, which an interrupt must not halve."""

from __future__ import annotations

import contextlib
import importlib.util
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

from ._errors import not_installed

if TYPE_CHECKING:
    from ._callbacks import Progress

__all__ = ["FORM", "Bar", "make_bar"]

# Short, so that loss and score fit in 80 columns.
FORM = "{desc}{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"

# A bar that nobody asked for waits this long: fits in a loop that are shorter leave no trace.
_PATIENCE_SECONDS = 0.5
# How often the bar is to move, and its numbers to change.
_INTERVAL_SECONDS = 0.1


def make_bar(**options: Any) -> Any:
    """Return ``tqdm(**options)``, interrupted only before or after; in a notebook a widget.

    Half made, it prints tracebacks when its parts are removed, besides the KeyboardInterrupt that
    the caller takes care of. It starts no thread that watches over it: the bars of a training move
    often.

    Raises
    ------
    ImportError
        Without tqdm.
    """
    if _in_notebook() and importlib.util.find_spec("ipywidgets") is not None:
        from tqdm.notebook import tqdm
    else:
        from tqdm import tqdm

    # A separate class, since the interval belongs to the class: the user's bars keep their monitor.
    unwatched = type(tqdm.__name__, (tqdm,), {"monitor_interval": 0})
    with _interrupts_wait():
        return unwatched(**options)


class Bar:
    """A progress bar over the steps of a fit, or nothing.

    Parameters
    ----------
    progress : bool or None
        True: needs tqdm. None: with tqdm, in a notebook and when stderr is a terminal, as soon as
        the fit has taken half a second. False: no bar.
    n_steps : int
        Steps of the fit.
    """

    def __init__(self, progress: bool | None, n_steps: int) -> None:
        self._bar: Any = None
        self._n_steps, self._done = n_steps, 0
        self._began, self._clock = time.time(), time.perf_counter()
        self._last: Progress | None = None
        self._shown = self._clock
        self._waits = progress is None and _is_watched()
        if progress:
            try:
                self._make()
            except ImportError as error:
                raise ImportError(not_installed("progress=True", "tqdm")) from error

    def _make(self) -> None:
        self._bar = make_bar(total=self._n_steps, dynamic_ncols=True, bar_format=FORM)
        # Below the bar of the user's own loop it does not stay.
        self._bar.leave = not self._bar.pos

    def steps_until_due(self, steps_per_epoch: int) -> int | None:
        """Return after how many steps the bar wants to move."""
        if self._bar is None and not self._waits:
            return None
        if self._done == 0:
            return max(1, steps_per_epoch // 20)
        # Asked for more often, short epochs would take longer for being watched.
        rate = self._done / max(time.perf_counter() - self._clock, 1e-6)
        return max(1, int(_INTERVAL_SECONDS * rate))

    def advance(self, n_steps: int) -> None:
        """Move by `n_steps`."""
        self._done += n_steps
        if self._waits and time.perf_counter() - self._clock > _PATIENCE_SECONDS:
            self._waits = False
            try:
                self._make()
            except ImportError:
                return
            self._bar.start_t = self._bar.last_print_t = self._began
            n_steps = self._done
        if self._bar is not None:
            self._bar.update(n_steps)

    def show(self, state: Callable[[], Progress]) -> None:
        """Show the numbers of an epoch."""
        if self._bar is None:
            return
        self._last = state()
        now = time.perf_counter()
        if now - self._shown > _INTERVAL_SECONDS:
            self._shown = now
            self._show_numbers()

    def _show_numbers(self) -> None:
        now = self._last
        if now is None or self._bar is None:
            return
        shown = {"epoch": f"{now.epoch}/{now.epochs}", "loss": f"{now.loss:.4g}"}
        if now.validation_score is not None:
            shown["score"] = f"{now.validation_score:.4f}"
        elif now.validation_loss is not None:
            shown["validation_loss"] = f"{now.validation_loss:.4g}"
        self._bar.set_postfix(shown, refresh=False)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Put lines printed in the block above the bar."""
        if self._bar is None or hasattr(self._bar, "container"):
            yield
            return
        output, errors = sys.stdout, sys.stderr
        with contextlib.ExitStack() as stack:
            wiped = False

            def wipe() -> None:
                nonlocal wiped
                if not wiped:
                    wiped = True
                    # Those of the user's own loop around the fit, too. Without tqdm's lock, for
                    # which threads of a callback may wait.
                    stack.enter_context(self._bar.external_write_mode(errors, nolock=True))

            sys.stdout, sys.stderr = _Aside(output, wipe), _Aside(errors, wipe)
            replaced = sys.stdout, sys.stderr
            try:
                yield
            finally:
                # Unless the block has replaced them itself.
                if sys.stdout is replaced[0]:
                    sys.stdout = output
                if sys.stderr is replaced[1]:
                    sys.stderr = errors

    def complete(self) -> None:
        """Show that the fit has ended, early or not."""
        if self._bar is not None:
            self._bar.total = max(self._bar.n, 1)
            if hasattr(self._bar, "container"):
                self._bar.container.children[1].max = self._bar.total
            self._show_numbers()

    def close(self) -> None:
        """Close the bar in its present state."""
        if self._bar is not None:
            self._bar.close()


class _Aside:
    """A stream that calls a function before each write."""

    def __init__(self, stream: TextIO, before: Callable[[], None]) -> None:
        self._stream, self._before = stream, before

    def write(self, text: str) -> int:
        self._before()
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _is_watched() -> bool:
    """Return whether somebody sees a bar: in a notebook or on a terminal, in the first process."""
    if threading.current_thread() is not threading.main_thread():
        return False
    # Workers of joblib and multiprocessing share the terminal of the process that started them.
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None and processes.current_process().name != "MainProcess":
        return False
    return _in_notebook() or (sys.stderr is not None and sys.stderr.isatty())


def _in_notebook() -> bool:
    """Return whether the code is run by a Jupyter kernel."""
    python = sys.modules.get("IPython")
    shell = python.get_ipython() if python is not None else None
    return getattr(shell, "kernel", None) is not None


@contextlib.contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Hold Ctrl-C back until the end of the block, where its handler is called."""
    handler = signal.getsignal(signal.SIGINT)
    # Python delivers signals in its main thread alone, which alone may change handlers.
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda *call: held.append(call))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if held:
        handler(*held[-1])
