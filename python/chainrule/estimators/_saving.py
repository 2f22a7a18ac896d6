"""`save` and `load` of the estimators; ``_file.py`` defines the files."""

from __future__ import annotations

import os
from typing import TypeVar

Estimator = TypeVar("Estimator", bound="SavedAsFile")


class SavedAsFile:
    """Base of the estimators; never used directly."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted estimator to a file, without pickle; see :meth:`load`.

        The file has the parameters of the constructor, the fitted attributes, every bit of the
        network, and the optimizer's state. It is a safetensors file with a checksum; it replaces an
        old file atomically, like :meth:`chainrule.MLP.save`. If this raises, the old file is
        unchanged.

        Parameters
        ----------
        path : str or os.PathLike
            The file, commonly with the suffix ".safetensors".

        Raises
        ------
        NotFittedError
            Before the first fit.
        TypeError
            For what a file cannot hold: callbacks; a RandomState as `random_state`; a user-defined
            loss or optimizer; an attribute that no fit sets; classes that are neither numbers,
            bools nor texts.
        ValueError
            For a parameter that a fit would refuse.
        OSError
            If the file cannot be written.
        RuntimeError
            If another thread is fitting the estimator.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> from chainrule.estimators import MLPRegressor
        >>> model = MLPRegressor(solver="lbfgs", random_state=0).fit([[0.0], [1.0]], [2.0, 3.0])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "model.safetensors")
        ...     model.save(path)
        ...     again = MLPRegressor.load(path)
        >>> bool((again.predict([[0.5]]) == model.predict([[0.5]])).all())
        True
        """
        from ._file import save

        save(self, path)

    @classmethod
    def load(cls: type[Estimator], path: str | os.PathLike[str]) -> Estimator:
        """Read an estimator from a file that :meth:`save` wrote.

        The estimator predicts with the bits of the saved one, has its parameters and fitted
        attributes, and continues like it, by `partial_fit` or with `warm_start`. Loading runs no
        code from the file and makes only such an estimator.

        Parameters
        ----------
        path : str or os.PathLike
            The file.

        Returns
        -------
        MLPClassifier or MLPRegressor
            A new estimator of the class on which this is called.

        Raises
        ------
        ModelFileError
            If the file is damaged, or holds something else, such as an estimator of the other
            class.
        OSError
            If the file cannot be read; FileNotFoundError if it does not exist.
        """
        from ._file import load

        estimator: Estimator = load(cls, path)
        return estimator
