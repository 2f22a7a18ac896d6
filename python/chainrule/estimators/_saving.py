"""`save` and `load` of the estimators; what is in their files is in ``_file.py``."""

from __future__ import annotations

import os
from typing import TypeVar

Estimator = TypeVar("Estimator", bound="SavedAsFile")


class SavedAsFile:
    """Base of the estimators; not used by itself."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted estimator to a file, without pickle; see :meth:`load`.

        The file has the parameters of the constructor, the fitted attributes, the network bit for
        bit, and the optimizer's state. It is a safetensors file that a checksum covers; an old one
        is replaced by a whole new one, as :meth:`chainrule.MLP.save` says. When this raises, the
        old one is as it was.

        Parameters
        ----------
        path : str or os.PathLike
            The file, commonly with the suffix ".safetensors".

        Raises
        ------
        NotFittedError
            Before the first fit.
        TypeError
            For what a file cannot hold: callbacks; a RandomState as `random_state`; a loss or
            optimizer of your own; an attribute that no fit makes; classes that are neither
            numbers, bools nor texts.
        ValueError
            For a parameter that a fit would refuse.
        OSError
            When the file cannot be written.
        RuntimeError
            When another thread is fitting the estimator.

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

        The estimator predicts with the same bits as the saved one, has its parameters and fitted
        attributes, and goes on as it would have, by `partial_fit` or with `warm_start`. Nothing in
        a file is run: it can make nothing but such an estimator.

        Parameters
        ----------
        path : str or os.PathLike
            The file.

        Returns
        -------
        MLPClassifier or MLPRegressor
            A new estimator of the class whose method this is.

        Raises
        ------
        ModelFileError
            When the file is not as it was written, or holds something else, such as an estimator
            of the other class.
        OSError
            When the file cannot be read; FileNotFoundError when there is none.
        """
        from ._file import load

        estimator: Estimator = load(cls, path)
        return estimator
