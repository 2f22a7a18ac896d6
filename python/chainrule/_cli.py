"""The command `chainrule`: reads its arguments, runs a subcommand, prints errors as one line.

Exit codes: 0, 1 (the work failed), 2 (options or file cannot be used), 130 (interrupted).
What the subcommands do stands in `chainrule._command`; it is imported when it is needed, so that
`--help` and usage errors answer at once.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from chainrule import _arguments, _core
from chainrule._command import values
from chainrule._command.errors import FAILED, INTERRUPTED, CommandError, UsageError

__all__ = ["main"]

_LARGEST_SEED = 2**32 - 1  # scikit-learn's limit for random_state

_TRAIN_EXAMPLES = """\
examples:
  chainrule train
      scikit-learn's handwritten digits: no file, no network needed
  chainrule train flowers.csv --target species
      classification, because the target holds text
  chainrule train houses.csv --target price --hidden 256,128 --epochs 100
      regression, because the target holds many different numbers

Every column but the target must be numeric, without missing values.
"""


_BENCH_NOTES = """\
shapes: rl, tabular, digits, mnist, deep, mid, wide, huge (whole training steps) and predict_row
(one row through a small network). Without --quick or --full all but wide and huge are measured,
five rounds, in some minutes.

peers: numpy, torch, torch_compile, jax, sklearn, nn_engine_core; those that are installed, and
torch_compile only when it is named or with --full, for it compiles for minutes.

Nothing else should run meanwhile. Ctrl-C ends all and prints what was measured until then.
"""


class _Parser(argparse.ArgumentParser):
    """Raises UsageError in place of printing the usage and leaving."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


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
    try:
        arguments = _parser().parse_args(argv)
        if arguments.command is None:
            raise UsageError("expected a command: train, bench or info (see chainrule --help)")
        run: Callable[[argparse.Namespace], None] = arguments.run
        run(arguments)
        sys.stdout.flush()
    except SystemExit as leaving:  # --help and --version
        return leaving.code if isinstance(leaving.code, int) else 0
    except CommandError as error:
        print(f"chainrule: error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as interrupt:
        done = str(interrupt) or "nothing was written"
        print(f"chainrule: interrupted; {done}", file=sys.stderr)
        return INTERRUPTED
    except MemoryError as error:
        print(f"chainrule: error: out of memory: {error}".rstrip(": "), file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        # The reader (head, less) is gone. Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return 0


def _parser() -> _Parser:
    parser = _Parser(
        prog="chainrule",
        description="Train multilayer perceptrons on the CPU.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"chainrule {_core.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    _add_train(commands)
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
    commands: argparse._SubParsersAction[_Parser],
    name: str,
    run: Callable[[argparse.Namespace], None],
    *,
    help: str,
    description: str,
    epilog: str | None = None,
) -> _Parser:
    parser = commands.add_parser(
        name,
        help=help,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    return parser


def _add_train(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = _add_command(
        commands,
        "train",
        _run_train,
        help="train on handwritten digits, or on a CSV file",
        description="Train a network on a table and score it on rows that were held out.",
        epilog=_TRAIN_EXAMPLES,
    )
    parser.add_argument("file", nargs="?", metavar="FILE.csv", help="default: handwritten digits")
    parser.add_argument("--target", metavar="COLUMN", help="name of the column to predict")
    parser.add_argument(
        "--task",
        choices=["classification", "regression"],
        help="default: told from the target",
    )
    parser.add_argument(
        "--test-fraction",
        type=values.number(0, 1),
        default=0.2,
        metavar="X",
        help="part of the rows to hold out (default: 0.2)",
    )
    network = parser.add_argument_group("network and training")
    network.add_argument(
        "--hidden",
        type=values.widths,
        metavar="WIDTHS",
        help="widths of the hidden layers, or none (default: 128,64; for the digits 256,128)",
    )
    network.add_argument(
        "--activation", type=values.activation, default="relu", metavar="NAME", help="default: relu"
    )
    network.add_argument(
        "--epochs",
        type=values.integer(1),
        metavar="N",
        help="default: told from the number of rows",
    )
    network.add_argument(
        "--batch-size",
        type=values.integer(1),
        metavar="N",
        help="default: told from the number of rows, 32 up to 10,000 of them",
    )
    network.add_argument(
        "--learning-rate",
        type=values.number(0, math.inf),
        default=5e-3,
        metavar="X",
        help="its peak, after a warm-up (default: 0.005)",
    )
    network.add_argument(
        "--seed",
        type=values.integer(0, _LARGEST_SEED),
        default=0,
        metavar="N",
        help="of held-out rows, weights and shuffles (default: 0)",
    )
    network.add_argument(
        "--threads",
        type=values.integer(1, _arguments.MOST_THREADS),
        metavar="N",
        help="at most so many; they change no result (default: what chainrule info says)",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--plot",
        metavar="PATH",
        default="learning_curve.png",
        help="picture of the learning curve (default: learning_curve.png); replaces an older one",
    )
    output.add_argument(
        "--reference",
        action=argparse.BooleanOptionalAction,
        help="train the pure-NumPy reference too and compare times (default: if it is short)",
    )
    output.add_argument("--quiet", action="store_true", help="print results only")


def _add_bench(commands: argparse._SubParsersAction[_Parser]) -> None:
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
    from chainrule._command.train import TrainOptions, train

    if arguments.file is None:
        for name in ("target", "task"):
            if getattr(arguments, name) is not None:
                raise UsageError(
                    f"--{name} goes with a file: chainrule train FILE.csv --{name} ..."
                )
    train(
        TrainOptions(
            file=arguments.file,
            target=arguments.target,
            task=arguments.task,
            test_fraction=arguments.test_fraction,
            hidden=arguments.hidden,
            activation=arguments.activation,
            epochs=arguments.epochs,
            batch_size=arguments.batch_size,
            learning_rate=arguments.learning_rate,
            seed=arguments.seed,
            threads=arguments.threads,
            plot=arguments.plot,
            reference=arguments.reference,
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
