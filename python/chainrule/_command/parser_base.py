"""What the parsers of all subcommands share; `parsers.py` and `train_parser.py` use it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar

from chainrule import _arguments
from chainrule._command import values
from chainrule._command.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["Commands", "Parser", "add_command", "add_date_format", "add_threads", "options_of"]

Options = TypeVar("Options", bound="DataclassInstance")
Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


class Parser(argparse.ArgumentParser):
    """Raises UsageError in place of printing the usage and leaving."""

    def error(self, message: str) -> NoReturn:
        """Raise the error that the command prints."""
        raise UsageError(f"{message} (see {self.prog} --help)")

    def _print_message(self, message: str, file: Any = None) -> None:
        # argparse's own hides that help went to a full disk.
        if message:
            (file or sys.stderr).write(message)


def add_command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], None],
    *,
    help: str,
    description: str,
    epilog: str | None = None,
) -> Parser:
    """Add a subcommand; `run` is called with its arguments."""
    parser = commands.add_parser(
        name,
        help=help,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run, parser=parser)
    return parser


def add_date_format(parser: Any) -> None:
    """Add the option --date-format to a parser or a group of one."""
    parser.add_argument(
        "--date-format",
        metavar="COLUMN=FORMAT",
        action="append",
        default=[],
        help="how dates are written, as %%d/%%m/%%Y or seconds; without COLUMN= in all that fit; "
        "may be given again",
    )


def add_threads(parser: Any) -> None:
    """Add the option --threads to a parser or a group of one."""
    parser.add_argument(
        "--threads",
        type=values.integer(1, _arguments.MOST_THREADS),
        metavar="N",
        help="at most N; they change no result (default: what chainrule info says)",
    )


def options_of(kind: type[Options], arguments: argparse.Namespace, **made: Any) -> Options:
    """Make options of arguments, by the names of their fields, and of what was made of others."""
    names = [field.name for field in fields(kind) if field.name not in made]
    return kind(**{name: getattr(arguments, name) for name in names}, **made)
