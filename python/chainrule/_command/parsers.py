"""The options of every subcommand, and from them the objects that the subcommands take."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias

from chainrule import _arguments, _core
from chainrule._command import values
from chainrule._command.config import read_config
from chainrule._command.errors import UsageError

__all__ = ["Parser", "build_parser"]

_LARGEST_SEED = 2**32 - 1  # scikit-learn's limit for random_state

_TRAIN_EXAMPLES = """\
examples:
  chainrule train flowers.csv --target species
      classification, because the target holds text
  chainrule train houses.parquet --target price --hidden 256,128 --compare
      regression, because the target holds many different numbers; beside scikit-learn's MLP
  chainrule train sales.csv --target amount --time-column day --ignore id
      the last fifth of the days is held out
  chainrule train survey.csv --target answer --missing "?" --config survey.toml
      options from a file, as: epochs = 50
  chainrule train
      scikit-learn's handwritten digits: no file, no network needed

Writes FILE.safetensors, FILE.json and FILE.html into the present folder, and nothing else.
"""

_PREDICT_EXAMPLES = """\
examples:
  chainrule predict flowers.safetensors new_flowers.csv > species.csv
  chainrule predict flowers.safetensors new.parquet --output species.parquet --probabilities
"""

_EVALUATE_EXAMPLES = """\
examples:
  chainrule evaluate houses.safetensors houses_of_this_year.csv
  chainrule evaluate houses.safetensors more.csv --json scores.json
"""

_BENCH_NOTES = """\
shapes: rl, tabular, digits, mnist, deep, mid, wide, huge (whole training steps) and predict_row
(one row through a small network). Without --quick or --full all but wide and huge are measured,
five rounds, in some minutes.

peers: numpy, torch, torch_compile, jax, sklearn, nn_engine_core; those that are installed, and
torch_compile only when it is named or with --full, for it compiles for minutes.

Nothing else should run meanwhile. Ctrl-C ends all and prints what was measured until then.
"""

# Options that mean something with a file alone, and without one alone.
_WITH_FILE = (
    *("target", "task", "ignore", "categorical", "missing", "time_column"),
    *("output", "force", "compare"),
)
_WITHOUT_FILE = ("plot", "reference")

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


class Parser(argparse.ArgumentParser):
    """Raises UsageError in place of printing the usage and leaving."""

    def error(self, message: str) -> NoReturn:
        """Raise the error that the command prints."""
        raise UsageError(f"{message} (see {self.prog} --help)")


def build_parser() -> Parser:
    """Return the parser of the whole command; its results have `run`, to be called with them."""
    parser = Parser(
        prog="chainrule",
        description="Train multilayer perceptrons on the CPU.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"chainrule {_core.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    _add_train(commands)
    _add_predict(commands)
    _add_evaluate(commands)
    _add_bench(commands)
    _add_command(
        commands,
        "info",
        _run_info,
        help="print version, variants, threads, build",
        description="Print what is installed and what this machine runs.",
    )
    return parser


def _add_command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], None],
    *,
    help: str,
    description: str,
    epilog: str | None = None,
) -> Parser:
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


def _add_threads(parser: Any) -> None:
    parser.add_argument(
        "--threads",
        type=values.integer(1, _arguments.MOST_THREADS),
        metavar="N",
        help="at most so many; they change no result (default: what chainrule info says)",
    )


def _add_train(commands: Commands) -> None:
    parser = _add_command(
        commands,
        "train",
        _run_train,
        help="train on a table, or on handwritten digits",
        description="Train a network to predict a column of a table, and score it on held-out rows.",
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
        help="default: told from the target",
    )
    parser.add_argument(
        "--config", metavar="FILE", help="TOML file with any of these options; those here go first"
    )
    table = parser.add_argument_group("table")
    for option, help in (
        ("--ignore", "leave a column out; may be given again"),
        ("--categorical", "take a column of numbers for names; may be given again"),
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
        "--test-fraction",
        type=values.number(0, 1),
        default=0.2,
        metavar="X",
        help="part of the rows to hold out (default: 0.2)",
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
    group.add_argument(
        "--activation", type=values.activation, metavar="NAME", help="default: relu"
    )
    group.add_argument(
        "--dropout", type=values.number(0, 1, or_equal=True), metavar="X", help="default: 0"
    )
    group.add_argument(
        "--epochs",
        type=values.integer(1),
        metavar="N",
        help="at most so many (default: told from the number of rows)",
    )
    group.add_argument(
        "--batch-size",
        type=values.integer(1),
        metavar="N",
        help="default: told from the number of rows, 32 up to 10,000 of them",
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
        help="default: the best of 0.1, 1 and 10 up to 50,000 rows, else 0.1",
    )
    group.add_argument(
        "--seed",
        type=values.integer(0, _LARGEST_SEED),
        default=0,
        metavar="N",
        help="of held-out rows, weights and shuffles (default: 0)",
    )
    _add_threads(group)


def _add_predict(commands: Commands) -> None:
    parser = _add_command(
        commands,
        "predict",
        _run_predict,
        help="predict the column for the rows of a file",
        description="Print or write a prediction for each row of a table, in its order.",
        epilog=_PREDICT_EXAMPLES,
    )
    parser.add_argument("model", metavar="MODEL", help="what chainrule train wrote")
    parser.add_argument("file", metavar="FILE", help="a table with the columns of the training")
    parser.add_argument(
        "--output",
        metavar="PATH",
        help="file that ends in .csv, .tsv or .parquet (default: CSV on standard output)",
    )
    parser.add_argument(
        "--probabilities", action="store_true", help="a column for each class, too"
    )
    _add_threads(parser)
    parser.add_argument("--force", action="store_true", help="replace an output that exists")
    parser.add_argument("--quiet", action="store_true", help="print results only")


def _add_evaluate(commands: Commands) -> None:
    parser = _add_command(
        commands,
        "evaluate",
        _run_evaluate,
        help="score a model on a file",
        description="Score a model on a table that has the column it predicts.",
        epilog=_EVALUATE_EXAMPLES,
    )
    parser.add_argument("model", metavar="MODEL", help="what chainrule train wrote")
    parser.add_argument("file", metavar="FILE", help="a table with all columns of the training")
    parser.add_argument("--json", metavar="FILE", help="write the scores there, too")
    _add_threads(parser)
    parser.add_argument("--force", action="store_true", help="replace an output that exists")
    parser.add_argument("--quiet", action="store_true", help="print results only")


def _add_bench(commands: Commands) -> None:
    parser = _add_command(
        commands,
        "bench",
        _run_bench,
        help="measure against NumPy and every peer that is installed",
        description="Time training steps of chainrule and of its peers on this machine.",
        epilog=_BENCH_NOTES,
    )
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument("--quick", action="store_true", help="three small shapes, three rounds")
    extent.add_argument(
        "--full", action="store_true", help="every shape, every peer, fifteen rounds"
    )
    what = parser.add_argument_group("what to measure")
    what.add_argument("--shapes", type=values.names, metavar="NAMES", help="as rl,tabular")
    what.add_argument("--peers", type=values.names, metavar="NAMES", help="as numpy,torch")
    what.add_argument(
        "--threads",
        type=values.names,
        default=("1", "all"),
        metavar="NUMBERS",
        help="how many are allowed (default: 1,all)",
    )
    what.add_argument("--rounds", type=values.integer(1, 1000), metavar="N")
    what.add_argument(
        "--dtype", choices=["float32", "float64"], default="float32", help="default: float32"
    )
    what.add_argument("--variant", metavar="NAME", help="of chainrule (default: the best one)")
    what.add_argument(
        "--timeout",
        type=values.number(0, math.inf),
        default=300.0,
        metavar="S",
        help="seconds after which a peer that does not answer is given up (default: 300)",
    )
    output = parser.add_argument_group("output")
    output.add_argument("--json", metavar="FILE", help="write all times there; a new file")
    output.add_argument(
        "--chart",
        metavar="PATH",
        default="chainrule_bench.png",
        help="picture of the ratios (default: chainrule_bench.png); replaces an older one",
    )
    output.add_argument("--no-chart", action="store_true", help="draw no picture")
    output.add_argument("--quiet", action="store_true", help="print results only")


def _run_train(arguments: argparse.Namespace) -> None:
    parser: Parser = arguments.parser
    if arguments.config is not None:
        for name, value in read_config(arguments.config, parser).items():
            # What still has its default was not given on the command line.
            if getattr(arguments, name) == parser.get_default(name):
                setattr(arguments, name, value)
    strays = _WITHOUT_FILE if arguments.file is not None else _WITH_FILE
    for name in strays:
        if getattr(arguments, name) != parser.get_default(name):
            option = f"--{name.replace('_', '-')}"
            if arguments.file is None:
                raise UsageError(f"{option} goes with a file: chainrule train FILE {option} ...")
            raise UsageError(f"{option} goes without a file: chainrule train {option} ...")
    common = {
        name: getattr(arguments, name)
        for name in (
            *("test_fraction", "hidden", "activation", "dropout", "epochs", "batch_size"),
            *("learning_rate", "weight_decay", "seed", "threads", "quiet"),
        )
    }
    if arguments.file is None:
        from chainrule._command.digits import DigitsOptions, train_digits

        train_digits(
            DigitsOptions(
                plot=arguments.plot or "learning_curve.png",
                reference=arguments.reference is not False,
                **common,
            )
        )
        return
    from chainrule._command.table import Choices
    from chainrule._command.train import TrainOptions, train

    train(
        TrainOptions(
            file=arguments.file,
            target=arguments.target,
            task=arguments.task,
            choices=Choices(
                ignore=tuple(arguments.ignore),
                categorical=tuple(arguments.categorical),
                missing=tuple(arguments.missing),
            ),
            time_column=arguments.time_column,
            output=arguments.output,
            force=arguments.force,
            compare=arguments.compare,
            **common,
        )
    )


def _run_predict(arguments: argparse.Namespace) -> None:
    from chainrule._command.predict import PredictOptions, predict

    predict(
        PredictOptions(
            model=arguments.model,
            file=arguments.file,
            output=arguments.output,
            probabilities=arguments.probabilities,
            threads=arguments.threads,
            force=arguments.force,
            quiet=arguments.quiet,
        )
    )


def _run_evaluate(arguments: argparse.Namespace) -> None:
    from chainrule._command.evaluate import EvaluateOptions, evaluate

    evaluate(
        EvaluateOptions(
            model=arguments.model,
            file=arguments.file,
            json=arguments.json,
            threads=arguments.threads,
            force=arguments.force,
            quiet=arguments.quiet,
        )
    )


def _run_bench(arguments: argparse.Namespace) -> None:
    from chainrule._command.bench import BenchOptions, bench

    bench(
        BenchOptions(
            extent="quick" if arguments.quick else "full" if arguments.full else "usual",
            shapes=arguments.shapes,
            peers=arguments.peers,
            threads=arguments.threads,
            rounds=arguments.rounds,
            dtype=arguments.dtype,
            variant=arguments.variant,
            timeout=arguments.timeout,
            json=arguments.json,
            chart=None if arguments.no_chart else arguments.chart,
            quiet=arguments.quiet,
        )
    )


def _run_info(arguments: argparse.Namespace) -> None:
    from chainrule._command.info import info_fields
    from chainrule._command.report import Report

    report = Report()
    for label, text in info_fields():
        report.field(label, text)
