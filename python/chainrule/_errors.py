"""The exceptions of the library's own; everything else raises a built-in one."""

from __future__ import annotations

# Statuses of the compiled trainer that say what was not finite.
DIVERGED = ("loss", "gradient", "parameters", "statistics")


class DivergenceError(ArithmeticError):
    """Training met a number that is not finite; the step that made it was not taken.

    The model keeps the parameters of the last step, which are finite.

    Parameters
    ----------
    what : {"loss", "gradient", "parameters", "statistics"}
        What was not finite; statistics are the batch statistics of a normalization.
    epoch : int or None
        The epoch, counted from 1 since the training began; None for :meth:`Trainer.step`, which
        knows no epochs.
    batch : int
        The batch within the epoch, counted from 1; for :meth:`Trainer.step` the step.

    Attributes
    ----------
    what, epoch, batch
        As given.
    """

    def __init__(self, what: str, epoch: int | None, batch: int) -> None:
        super().__init__(what, epoch, batch)
        self.what = what
        self.epoch = epoch
        self.batch = batch

    def __str__(self) -> str:
        where = (
            f"step {self.batch}"
            if self.epoch is None
            else f"epoch {self.epoch}, batch {self.batch}"
        )
        verb = "are" if self.what in ("parameters", "statistics") else "is"
        return (
            f"the {self.what} {verb} not finite in {where}; the model keeps the parameters of the "
            "step before. Try a lower learning rate, clip_norm=1.0, or inputs of about unit size"
        )


class ModelFileError(ValueError):
    """A file is not what it should be: damaged, cut, of another kind, or not from here.

    What is wrong with the file system (a missing file, a full disk) is an OSError instead.

    Parameters
    ----------
    path : str
        The file.
    problem : str
        What is wrong with it and, where that is known, what was expected.

    Attributes
    ----------
    path, problem
        As given.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.path!r} {self.problem}"
