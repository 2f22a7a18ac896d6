"""The arguments of `chainrule train`, as train_parser.py makes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chainrule._command.table import Choices
    from chainrule._command.target import Task

__all__ = ["NetworkOptions", "TrainOptions"]


@dataclass(frozen=True)
class NetworkOptions:
    """What goes with a file and without one; None stands for a default inferred from the data."""

    test_fraction: float
    hidden: tuple[int, ...] | None
    activation: str | None
    dropout: float | None
    precision: str | None
    shards: int | None
    epochs: int | None
    batch_size: int | None
    learning_rate: float | None
    weight_decay: float | None
    seed: int
    threads: int | None
    quiet: bool


@dataclass(frozen=True)
class TrainOptions(NetworkOptions):
    """The arguments of `chainrule train FILE`."""

    file: str
    config: str | None
    target: str | None
    task: Task | None
    choices: Choices
    time_column: str | None
    output: str | None
    force: bool
    compare: bool
