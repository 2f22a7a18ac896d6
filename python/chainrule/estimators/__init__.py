"""Estimators with scikit-learn's protocol: change the import, keep the code.

>>> from chainrule.estimators import MLPClassifier, MLPRegressor

Both replace the classes of the same name in :mod:`sklearn.neural_network`, with the same
constructor parameters, meaning and defaults, and the same methods and fitted attributes. Parameters
that those classes lack are keyword-only. :class:`chainrule.Trainer` does the training.
"""

from __future__ import annotations

from .._errors import not_installed as _not_installed
from .._errors import pip_install as _pip_install

try:
    import sklearn as _sklearn
except ImportError as error:
    raise ImportError(_not_installed("chainrule.estimators", "scikit-learn")) from error

# validate_data and the tags of estimators have their present form since scikit-learn 1.6.
if tuple(int(part) for part in _sklearn.__version__.split(".")[:2]) < (1, 6):
    raise ImportError(
        "chainrule.estimators needs scikit-learn 1.6 or later, "
        f"found {_sklearn.__version__}: {_pip_install(['scikit-learn'])}"
    )

from ._classifier import MLPClassifier
from ._regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
