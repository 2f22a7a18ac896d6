"""The library's exceptions, and the message for a missing package.

Everything else raises a built-in exception.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

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
        The epoch, counted from 1 since the training began; None for :meth:`Trainer.step`, which has
        no epochs.
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
            "step before. Try a lower learning rate, clip_norm=1.0, or inputs of about unit size, "
            "as Standardize() makes them"
        )


class ScaleWarning(UserWarning):
    """Columns of X or y have a scale that keeps a network from learning.

    The first fit of a model, and each `fit` of an estimator except a warm start, look at up to 512
    rows, spread evenly over the training rows. The warning names a column that varies and of which

    - the root mean square is above 256, beyond what 8-bit pixels have (of y: above 1000, for
      ``gaussian_nll`` 30);
    - no number is above 0.01 in magnitude (of y: the standard deviation is below 0.01); or
    - the mean is beyond 30 standard deviations (of X: and beyond 10), unless half of the rows have
      the column's smallest or largest number.

    Targets count if the loss compares outputs with them directly: ``mse``, ``mae``, ``huber``,
    ``quantile`` and ``gaussian_nll``.

    The message gives the remedy: :class:`Standardize` for X; for y, a fit to (y - mean) /
    deviation. The estimators do both with ``standardize="auto"``.

    Parameters
    ----------
    message : str
        The columns, their means and standard deviations, and the remedy.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)


class ModelFileError(ValueError):
    """A file is damaged, truncated, of another kind, or not written by chainrule.

    Failures of the file system (a missing file, a full disk) raise OSError instead.

    Parameters
    ----------
    path : str
        The file.
    problem : str
        What is wrong with it and, if known, what was expected.

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


def not_installed(what: str, *packages: str) -> str:
    """Say what packages are missing, and how to install them.

    Parameters
    ----------
    what : str
        What needs them: "progress=True".
    *packages : str
        As pip knows them.

    Returns
    -------
    str
        'progress=True needs tqdm, which is not installed: pip install "tqdm>=4.66"'.
    """
    names = " and ".join([", ".join(packages[:-1]), packages[-1]] if packages[1:] else packages)
    verb = "are" if packages[1:] else "is"
    return f"{what} needs {names}, which {verb} not installed: {pip_install(packages)}"


def pip_install(packages: Sequence[str]) -> str:
    """Return the command that installs packages, in the versions that chainrule's extras name.

    Parameters
    ----------
    packages : sequence of str
        As pip knows them. The extras themselves are no use here: pip would look for chainrule in
        its index, where it need not be, or be another's.

    Returns
    -------
    str
        'pip install "pandas>=2.1" "tqdm>=4.66"', quoted for any shell.
    """
    from importlib import metadata

    try:
        required = metadata.requires("chainrule") or []
    except metadata.PackageNotFoundError:  # imported from a folder that was never installed
        required = []
    split = (re.match(r"([\w.-]+)\s*([^;\s]*)", line) for line in required)
    versions = {each[1]: each[2] for each in split if each is not None}
    quoted = (f'"{name}{versions.get(name, "")}"' for name in packages)
    return f"pip install {' '.join(quoted)}"
