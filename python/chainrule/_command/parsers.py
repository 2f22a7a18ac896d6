"""The options of every subcommand, and from them the objects that the subcommands take."""

from __future__ import annotations

import argparse
import math

from chainrule import _core
from chainrule._command import values
from chainrule._command.parser_base import (
    Commands,
    Parser,
    add_command,
    add_date_format,
    add_threads,
    options_of,
)
from chainrule._command.train_parser import add_train
from chainrule._precision import PRECISIONS

__all__ = ["build_parser"]

_PREDICT_EXAMPLES = """\
examples:
  chainrule predict flowers.safetensors new_flowers.csv > species.csv
  chainrule predict flowers.safetensors new.parquet --output species.parquet \\
      --probabilities
"""

_EVALUATE_EXAMPLES = """\
examples:
  chainrule evaluate houses.safetensors houses_of_this_year.csv
  chainrule evaluate houses.safetensors more.csv --json scores.json
"""

_EXPORT_NOTES = """\
formats, by the end of OUTPUT or by --format:
  onnx   .onnx         a table's columns go in, predictions come out;
                       needs the package onnx
  c      .c            one file of C99 and C++17: the network, with the bits of
                       predict, and of a table a function of a row's own values
  torch  .safetensors  the network alone, a state dictionary for a module that
                       is printed

examples:
  chainrule export flowers.safetensors flowers.onnx
  chainrule export houses.safetensors houses.c --name houses
"""

_BENCH_NOTES = """\
shapes: rl, tabular, digits, mnist, deep, mid, wide, huge (whole training steps)
and predict_row (one row through a small network). Without --quick or --full all
but wide and huge are measured, five rounds, in some minutes.

peers: numpy, torch, torch_compile, jax, sklearn, nn_engine_core; those that are
installed, and torch_compile only when it is named or with --full, for it
compiles for minutes. With --precision also chainrule_float32, and for bf16
torch_bf16, which is PyTorch under torch.autocast.

Nothing else should run meanwhile. Ctrl-C ends all and prints what was measured
until then.
"""


def build_parser() -> Parser:
    """Return the parser of the whole command; its results have `run`, to be called with them."""
    parser = Parser(
        prog="chainrule",
        description="Train multilayer perceptrons on the CPU.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"chainrule {_core.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    add_train(commands)
    _add_predict(commands)
    _add_evaluate(commands)
    _add_export(commands)
    _add_bench(commands)
    add_command(
        commands,
        "info",
        _run_info,
        help="print version, variants, threads, build",
        description="Print what is installed and what this machine runs.",
    )
    return parser


def _add_predict(commands: Commands) -> None:
    parser = add_command(
        commands,
        "predict",
        _run_predict,
        help="predict the column for the rows of a file",
        description="Print or write a prediction for each row of a table, in its order.",
        epilog=_PREDICT_EXAMPLES,
    )
    parser.add_argument("model", metavar="MODEL", help="what chainrule train wrote")
    parser.add_argument("file", metavar="FILE", help="a table with the columns of the training")
    add_date_format(parser)
    parser.add_argument(
        "--output",
        metavar="PATH",
        help="file that ends in .csv, .tsv or .parquet (default: CSV on standard output)",
    )
    parser.add_argument("--probabilities", action="store_true", help="a column for each class, too")
    add_threads(parser)
    parser.add_argument("--force", action="store_true", help="replace an output that exists")
    parser.add_argument("--quiet", action="store_true", help="print results only")


def _add_evaluate(commands: Commands) -> None:
    parser = add_command(
        commands,
        "evaluate",
        _run_evaluate,
        help="score a model on a file",
        description="Score a model on a table that has the column it predicts.",
        epilog=_EVALUATE_EXAMPLES,
    )
    parser.add_argument("model", metavar="MODEL", help="what chainrule train wrote")
    parser.add_argument("file", metavar="FILE", help="a table with all columns of the training")
    add_date_format(parser)
    parser.add_argument("--json", metavar="FILE", help="write the scores there, too")
    add_threads(parser)
    parser.add_argument("--force", action="store_true", help="replace an output that exists")
    parser.add_argument("--quiet", action="store_true", help="print results only")


def _add_export(commands: Commands) -> None:
    parser = add_command(
        commands,
        "export",
        _run_export,
        help="write a model as ONNX, as C, or for PyTorch",
        description="Write a model for programs that have no chainrule.",
        epilog=_EXPORT_NOTES,
    )
    parser.add_argument(
        "model", metavar="MODEL", help="what chainrule train, or save of a model, wrote"
    )
    parser.add_argument("output", metavar="OUTPUT", help="ends in .onnx, .c or .safetensors")
    parser.add_argument("--format", choices=["onnx", "c", "torch"], help="whatever OUTPUT ends in")
    parser.add_argument(
        "--opset",
        type=values.integer(1),
        metavar="N",
        help="version of ONNX's operators, at least 13 (default: 17)",
    )
    parser.add_argument(
        "--name",
        metavar="NAME",
        help="what C names begin with (default: the file's, or model)",
    )
    parser.add_argument("--force", action="store_true", help="replace an output that exists")
    parser.add_argument("--quiet", action="store_true", help="print results only")


def _add_bench(commands: Commands) -> None:
    parser = add_command(
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
    what.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="of chainrule's products, for float32; beside float32 itself (default: the dtype's)",
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


def _run_predict(arguments: argparse.Namespace) -> None:
    from chainrule._command.predict import PredictOptions, predict

    predict(options_of(PredictOptions, arguments))


def _run_evaluate(arguments: argparse.Namespace) -> None:
    from chainrule._command.evaluate import EvaluateOptions, evaluate

    evaluate(options_of(EvaluateOptions, arguments))


def _run_export(arguments: argparse.Namespace) -> None:
    from chainrule._command.export import ExportOptions, export

    export(options_of(ExportOptions, arguments))


def _run_bench(arguments: argparse.Namespace) -> None:
    from chainrule._command.bench import BenchOptions, bench

    extent = "quick" if arguments.quick else "full" if arguments.full else "usual"
    chart = None if arguments.no_chart else arguments.chart
    bench(options_of(BenchOptions, arguments, extent=extent, chart=chart))


def _run_info(arguments: argparse.Namespace) -> None:
    from chainrule._command.info import info_fields
    from chainrule._command.report import Report

    report = Report()
    for label, text in info_fields():
        report.field(label, text)
