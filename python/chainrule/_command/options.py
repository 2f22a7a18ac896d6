"""The arguments of `chainrule train FILE`, as train_parser.py makes them."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule._command.table import Choices
from chainrule._command.target import Task

__all__ = ["TrainOptions"]


@dataclass(frozen=True)
class TrainOptions:
    """The arguments of `chainrule train FILE`; None stands for a default told from the data."""

    file: str
    target: str | None
    task: Task | None
    choices: Choices
    test_fraction: float
    time_column: str | None
    hidden: tuple[int, ...] | None
    activation: str | None
    dropout: float | None
    epochs: int | None
    batch_size: int | None
    learning_rate: float | None
    weight_decay: float | None
    seed: int
    threads: int | None
    output: str | None
    force: bool
    compare: bool
    quiet: bool
