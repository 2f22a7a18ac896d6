"""The options of `chainrule train`, on the command line and from a TOML file."""

from __future__ import annotations

import argparse
import math
from typing import Any

from chainrule import _arguments
from chainrule._command import values
from chainrule._command.config import read_config
from chainrule._command.errors import UsageError
from chainrule._command.parser_base import (
    Commands,
    Parser,
    add_command,
    add_date_format,
    add_threads,
    options_of,
)
from chainrule._precision import PRECISIONS

__all__ = ["add_train"]

_LARGEST_SEED = 2**32 - 1  # scikit-learn's limit for random_state
# Not the parser's defaults: what is given on the command line goes first even if it is the default.
_TEST_FRACTION = 0.2
_SEED = 0

_TRAIN_EXAMPLES = """\
examples:
  chainrule train flowers.csv --target species
      classification, because the target holds text
  chainrule train houses.parquet --target price --hidden 256,128 --compare
      regression, because the target holds many different numbers;
      scikit-learn's MLP beside it
  chainrule train sales.csv --target amount --time-column day --ignore id
      the last fifth of the days is held out
  chainrule train survey.csv --target answer --missing "?" --config survey.toml
      options from a file, as: epochs = 50
  chainrule train
      scikit-learn's handwritten digits: no file, no network needed

Writes FILE.safetensors, FILE.json and FILE.html into the present folder, and
nothing else.
"""

# Options that mean something with a file alone, and without one alone.
_WITH_FILE = (
    *("target", "task", "ignore", "categorical", "keep", "missing", "not_missing", "time_column"),
    *("date_format", "output", "force", "compare"),
)
_WITHOUT_FILE = ("plot", "reference")


def add_train(commands: Commands) -> None:
    """Add the subcommand."""
    parser = add_command(
        commands,
        "train",
        _run_train,
        help="train on a table, or on handwritten digits",
        description="Train a network to predict a column of a table; score it on held-out rows.",
        epilog=_TRAIN_EXAMPLES,
    )
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="CSV, TSV, Parquet, Arrow or Feather (default: handwritten digits)",
    )
    parser.add_argument("--target", metavar="COLUMN", help="name of the column to predict")
    parser.add_argument(
        "--task",
        choices=["classification", "regression"],
        help="default: inferred from the target",
    )
    parser.add_argument(
        "--config", metavar="FILE", help="TOML file with any of these options; those here go first"
    )
    table = parser.add_argument_group("table")
    for option, help in (
        ("--ignore", "leave a column out; may be given again"),
        ("--categorical", "take a column of numbers for names; may be given again"),
        ("--keep", "use a column that seems to identify the rows; may be given again"),
    ):
        table.add_argument(option, metavar="COLUMN", action="append", default=[], help=help)
    table.add_argument(
        "--missing",
        metavar="TEXT",
        action="append",
        default=[],
        help="what else stands for a missing value, as ?; may be given again",
    )
    table.add_argument(
        "--not-missing",
        metavar="TEXT",
        action="append",
        default=[],
        help="a class of the target though it looks like a missing value, as None; likewise",
    )
    add_date_format(table)
    table.add_argument(
        "--test-fraction",
        type=values.number(0, 1),
        metavar="X",
        help=f"part of the rows to hold out (default: {_TEST_FRACTION})",
    )
    table.add_argument(
        "--time-column", metavar="COLUMN", help="hold out the last rows by this date or number"
    )
    _add_network(parser.add_argument_group("network and training"))
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output",
        metavar="MODEL.safetensors",
        help="the model; the reports are named alike (default: named as the table)",
    )
    output.add_argument("--force", action="store_true", help="replace outputs that exist")
    output.add_argument(
        "--compare", action="store_true", help="train scikit-learn's MLP too and show its scores"
    )
    output.add_argument(
        "--plot",
        metavar="PATH",
        help="digits: picture of the learning curve (default: learning_curve.png)",
    )
    output.add_argument(
        "--reference",
        action=argparse.BooleanOptionalAction,
        help="digits: train the pure-NumPy reference too and compare times (default: yes)",
    )
    output.add_argument("--quiet", action="store_true", help="print results only")


def _add_network(group: Any) -> None:
    group.add_argument(
        "--hidden",
        type=values.widths,
        metavar="WIDTHS",
        help="widths of the hidden layers, or none (default: 128,64; for the digits 256,128)",
    )
    group.add_argument("--activation", type=values.activation, metavar="NAME", help="default: relu")
    group.add_argument(
        "--dropout", type=values.number(0, 1, or_equal=True), metavar="X", help="default: 0"
    )
    group.add_argument(
        "--precision", choices=PRECISIONS, help="of products of matrices (default: float32)"
    )
    group.add_argument(
        "--shards",
        type=values.integer(1, _arguments.MOST_SHARDS),
        metavar="N",
        help="sum each batch's gradient in N blocks of rows (default: by sizes)",
    )
    group.add_argument(
        "--epochs",
        type=values.integer(1),
        metavar="N",
        help="at most N (default: inferred from the number of rows)",
    )
    group.add_argument(
        "--batch-size",
        type=values.integer(1),
        metavar="N",
        help="default: inferred from the number of rows, 32 up to 10,000 of them",
    )
    group.add_argument(
        "--learning-rate",
        type=values.number(0, math.inf),
        metavar="X",
        help="its peak, after a warm-up (default: 0.003; for the digits 0.005)",
    )
    group.add_argument(
        "--weight-decay",
        type=values.number(0, math.inf, or_equal=True),
        metavar="X",
        help="default: the best of 0.1, 1, 3 and 10 up to 5,000 rows, of 0.1, 1 and 10 up to "
        "50,000, else 0.1",
    )
    group.add_argument(
        "--seed",
        type=values.integer(0, _LARGEST_SEED),
        metavar="N",
        help=f"of held-out rows, weights and shuffles (default: {_SEED})",
    )
    add_threads(group)


def _run_train(arguments: argparse.Namespace) -> None:
    parser: Parser = arguments.parser
    if arguments.config is not None:
        for name, value in read_config(arguments.config, parser).items():
            # What still has its default was not given on the command line.
            if getattr(arguments, name) == parser.get_default(name):
                setattr(arguments, name, value)
    if arguments.test_fraction is None:
        arguments.test_fraction = _TEST_FRACTION
    if arguments.seed is None:
        arguments.seed = _SEED
    strays = _WITHOUT_FILE if arguments.file is not None else _WITH_FILE
    for name in strays:
        if getattr(arguments, name) != parser.get_default(name):
            option = f"--{name.replace('_', '-')}"
            if arguments.file is None:
                raise UsageError(f"{option} goes with a file: chainrule train FILE {option} ...")
            raise UsageError(f"{option} goes without a file: chainrule train {option} ...")
    if arguments.file is None:
        from chainrule._command.digits import DigitsOptions, train_digits

        plot = arguments.plot or "learning_curve.png"
        reference = arguments.reference is not False
        train_digits(options_of(DigitsOptions, arguments, plot=plot, reference=reference))
        return
    from chainrule._command.options import TrainOptions
    from chainrule._command.table import Choices
    from chainrule._command.train import train

    choices = Choices(
        ignore=tuple(arguments.ignore),
        categorical=tuple(arguments.categorical),
        missing=tuple(arguments.missing),
        not_missing=tuple(arguments.not_missing),
        keep=tuple(arguments.keep),
        date_format=tuple(arguments.date_format),
    )
    train(options_of(TrainOptions, arguments, choices=choices))
