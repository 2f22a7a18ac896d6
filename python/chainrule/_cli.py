"""The command `chainrule`: reads its arguments, runs a subcommand, prints errors as one line.

Exit codes: 0, 1 (the work failed), 2 (options or file cannot be used), 130 (interrupted).
What the subcommands do stands in `chainrule._command`; it is imported when it is needed, so that
`--help` and usage errors answer at once.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Sequence

from chainrule import runtime
from chainrule._command.errors import FAILED, INTERRUPTED, CommandError, UsageError, printable
from chainrule._command.parsers import build_parser

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the command's name; those of the process by default.

    Returns
    -------
    int
        Exit code.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started the process
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  # for good
    try:
        try:
            _run(argv)
        except SystemExit as leaving:  # --help and --version
            sys.stdout.flush()
            return leaving.code if isinstance(leaving.code, int) else 0
        sys.stdout.flush()
    except CommandError as error:
        return _fail(f"error: {error}", error.exit_code)
    except KeyboardInterrupt as interrupt:
        done = str(interrupt) or "nothing was written"
        return _fail(f"interrupted; {done}", INTERRUPTED)
    except MemoryError as error:
        return _fail(f"error: out of memory: {error}".rstrip(": "), FAILED)
    except OSError as error:
        # Files are looked after where they are written; what is left is what was printed.
        _drop_output()
        if not isinstance(error, BrokenPipeError):
            return _fail(f"error: standard output cannot be written: {error.strerror}", FAILED)
        # The reader has read enough, as head does; but work that has been stopped by that is news.
        if [*(sys.argv[1:] if argv is None else argv)][:1] in (["train"], ["bench"]):
            return _fail("error: stopped, for whoever read standard output is gone", FAILED)
        return FAILED
    return 0


def _run(argv: Sequence[str] | None) -> None:
    try:
        runtime.active_variant()
    except ValueError as error:
        raise UsageError(str(error)) from None
    arguments = build_parser().parse_args(argv)
    if arguments.command is None:
        raise UsageError(
            "expected a command: train, predict, evaluate, export, bench or info "
            "(see chainrule --help)"
        )
    run: Callable[[argparse.Namespace], None] = arguments.run
    run(arguments)


def _fail(line: str, exit_code: int) -> int:
    """Print what went wrong, if there is still somebody to read it."""
    try:
        sys.stdout.flush()
    except OSError:
        _drop_output()
    with contextlib.suppress(OSError):
        print(f"chainrule: {printable(line)}", file=sys.stderr, flush=True)
    return exit_code


def _drop_output() -> None:
    """Let what cannot be printed go nowhere: Python would complain of it once more at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
