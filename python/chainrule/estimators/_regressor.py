"""The regressor: its losses, and predictions of outputs. What it shares is in ``_base.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.special import xlogy
from sklearn.base import RegressorMixin, _fit_context
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if

from .. import _arguments
from .._links import Link, link_of_fit
from .._loss import Loss
from .._losses import LOSSES, MSE, as_loss
from ._base import BaseMLP
from ._plain import present
from ._recipe import Objective
from ._scaling import TargetScale, target_scale

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._callbacks import EarlyStopping
    from .._optimizers import Optimizer
    from .._schedules import Schedule
    from .._typing import Floats

_NAMES = (
    "squared_error",
    *(name for name, loss in LOSSES.items() if not loss().link.is_of_classes),
)
_WITH_DEVIATIONS = [name for name, loss in LOSSES.items() if loss().link.has_deviations]


class MLPRegressor(RegressorMixin, BaseMLP):  # type: ignore[misc]  # scikit-learn has no types
    """Multilayer perceptron regressor.

    Replaces :class:`sklearn.neural_network.MLPRegressor`: parameters up to `max_fun` have
    scikit-learn's names, meaning and defaults.

    Parameters
    ----------
    loss : str or Loss, default="squared_error"
        As in scikit-learn: ``"squared_error"`` (half of it) and ``"poisson"`` (half the deviance,
        of counts y >= 0, whose logarithm the network predicts). As in :mod:`chainrule`: ``"mse"``,
        ``"mae"``, ``"huber"``, ``"quantile"``, ``"gaussian_nll"``, or an object such as
        ``Quantile([0.1, 0.9])``.
    hidden_layer_sizes : int or array-like of int, default=(100,)
        Units of each hidden layer; ``()`` for none.
    activation : str, Activation or sequence of these, default="relu"
        Of the hidden layers: ``"identity"``, ``"logistic"``, ``"tanh"``, ``"relu"``, or any other
        name of :class:`chainrule.Activation`; a sequence has one for each layer.
    solver : {"lbfgs", "sgd", "adam"}, default="adam"
        The optimizer of scikit-learn's name; see `optimizer` for others.
    alpha : float, default=0.0001
        Strength of the L2 penalty: adds ``alpha / 2 * sum(w ** 2) / weight`` to the loss of a
        batch, where weight is the sum of its sample weights.
    batch_size : int or "auto", default="auto"
        Rows per step; "auto" is ``min(200, n_samples)``. ``"lbfgs"`` takes all rows.
    learning_rate : {"constant", "invscaling", "adaptive"} or Schedule, default="constant"
        Of ``"sgd"``: `learning_rate_init` throughout; `learning_rate_init` divided by
        ``(t + 1) ** power_t`` after `t` samples, changed at the end of each epoch; or divided by 5
        each time the training would otherwise end. A schedule of :mod:`chainrule` works with
        ``"sgd"`` and ``"adam"`` and replaces `learning_rate_init`.
    learning_rate_init : float, default=0.001
        Learning rate of ``"sgd"`` and ``"adam"``.
    power_t : float, default=0.5
        See `learning_rate`.
    max_iter : int, default=200
        Maximum number of epochs (iterations of ``"lbfgs"``).
    shuffle : bool, default=True
        Visit the rows in a new order each epoch.
    random_state : int, RandomState or None, default=None
        Of initial weights, validation split, shuffles and dropout. Initial weights and split equal
        scikit-learn's for the same value; shuffles differ.
    tol : float, default=1e-4
        Improvements of the loss (of the score with `early_stopping`) below this do not count;
        for ``"lbfgs"`` the tolerance of the gradient's largest element.
    verbose : bool or int, default=False
        Print the loss, and the validation score, of each epoch.
    warm_start : bool, default=False
        Start from the weights of the last fit.
    momentum : float, default=0.9
        Of ``"sgd"``, in [0, 1].
    nesterovs_momentum : bool, default=True
        Whether the momentum is Nesterov's.
    early_stopping : bool or EarlyStopping, default=False
        End the training when the score of held-out rows has not improved by `tol` for
        `n_iter_no_change` epochs, or when it diverges, and restore the best weights. The held-out
        rows are the last `eval_set`, or the share `validation_fraction`. An
        :class:`chainrule.EarlyStopping` has its own patience and chooses between score and loss.
        ``"lbfgs"`` ignores it.
    validation_fraction : float, default=0.1
        Share of the rows that `early_stopping` holds out.
    beta_1, beta_2 : float, default=0.9 and 0.999
        Decay of the moments of ``"adam"``, in [0, 1).
    epsilon : float, default=1e-8
        Of ``"adam"``: added to the root of the second moment, before its bias is corrected.
    n_iter_no_change : int or inf, default=10
        Epochs without improvement before the training ends.
    max_fun : int, default=15000
        Evaluations of the loss after which ``"lbfgs"`` ends.
    optimizer : str or Optimizer, optional
        Any optimizer of :mod:`chainrule` instead of `solver` and its parameters, for the loss as
        :mod:`chainrule` defines it; `alpha` still applies. A schedule goes into its learning rate.
    dropout : float or sequence of float, default=0.0
        Of the hidden layers, in [0, 1); see :class:`chainrule.Dense`.
    norm : {"layer", "batch"}, sequence of these, or None, default=None
        Normalization of the hidden layers; see :class:`chainrule.Dense`.
    callbacks : list, optional
        Called after each epoch; see :class:`chainrule.Callback`.
    progress : bool or None, default=False
        Show a progress bar; None: in notebooks and terminals, see :meth:`chainrule.MLP.fit`. By
        default fits are silent, like scikit-learn's.
    n_threads : int, optional
        Maximum number of threads; the result has the same bits for any number. By default
        :func:`chainrule.runtime.num_threads`.
    dtype : {"float32", "float64"}, optional
        Of weights and arithmetic; by default float32 if X is float32, otherwise float64.
    precision : {"float32", "bf16x6", "bf16x3", "bf16", "auto"}, optional
        Of the products of matrices of a float32 network, see :class:`chainrule.MLP`; by default
        ``"float32"``. float64 has only ``"float64"``. Predictions use the precision of the last
        fit; `partial_fit` with another one resets the optimizer.
    shards : int, optional
        In how many blocks of rows to sum the gradient of each batch, in [1, 1024]; see
        :meth:`chainrule.MLP.fit`. With ``norm="batch"`` None or 1. `partial_fit` with another
        number resets the optimizer.
    standardize : bool or "auto", default=False
        Standardize the features in the network, by a layer :class:`chainrule.Standardize`: with
        "auto" only if a fit would otherwise raise a :class:`chainrule.ScaleWarning` about them.
        `coefs_` apply to standardized features. `partial_fit` computes means and deviations over
        the rows of its first call, and does not standardize y. `fit` standardizes y too, unless the
        loss is ``"poisson"``: it fits the network to standardized targets, and `alpha`, losses and
        the `model` of a callback's state use their units. Afterwards the last layer converts back,
        so predictions have the units of y, also those of the estimator in a callback; a later
        `partial_fit` resets the optimizer.

    Attributes
    ----------
    coefs_, intercepts_ : list of ndarray
        Weights (n_in, n_out) and biases of each layer: writable views of the network.
    n_features_in_, feature_names_in_
        Number and names of the features; names only if X has them, all strings.
    n_iter_, t_ : int
        Epochs of the last fit, and samples seen since the weights were drawn.
    n_layers_, n_outputs_ : int
        Layers, including the input, and outputs of the network.
    out_activation_ : str
        ``"identity"``, or ``"exp"`` for ``"poisson"``.
    loss_ : float
        Training loss of the last epoch, as scikit-learn defines it.
    loss_curve_ : list of float
        Of all epochs; not with ``"lbfgs"``.
    best_loss_ : float or None
        The lowest of them; None with `early_stopping`. Not with ``"lbfgs"``.
    validation_scores_, best_validation_score_ : list of float or None, float or None
        R^2 of the held-out rows by epoch, and the best; for quantiles the negative loss. None
        without `early_stopping`. If the held-out targets are constant, R^2 says nothing, and the
        best epoch is the one with the lowest loss on them.
    evals_result_ : dict
        Loss and score of each evaluation set by epoch: ``{"validation_0": {"loss": [...],
        "score": [...]}}``. Only after a fit with an `eval_set`.
    model_ : MLP
        The network, whose outputs are predictions
        (their logarithm for ``"poisson"``).
    history_ : History
        Losses, scores, learning rates and times of the last training; of a `partial_fit`, only its
        one epoch.

    Examples
    --------
    >>> from chainrule.estimators import MLPRegressor
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = MLPRegressor(learning_rate_init=0.02, max_iter=500, random_state=0)
    >>> bool(model.fit(X, y).score(X, y) > 0.5)
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseMLP._parameter_constraints,
        "loss": [StrOptions(set(_NAMES)), Loss],
    }

    def __init__(
        self,
        loss: str | Loss = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str | Schedule = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool | EarlyStopping = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        optimizer: str | Optimizer | None = None,
        dropout: Any = 0.0,
        norm: Any = None,
        callbacks: Any = None,
        progress: bool | None = False,
        n_threads: int | None = None,
        dtype: Any = None,
        precision: str | None = None,
        shards: int | None = None,
        standardize: bool | str = False,
    ) -> None:
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.optimizer = optimizer
        self.dropout = dropout
        self.norm = norm
        self.callbacks = callbacks
        self.progress = progress
        self.n_threads = n_threads
        self.dtype = dtype
        self.precision = precision
        self.shards = shards
        self.standardize = standardize

    _n_targets: int  # columns of y

    # --- targets and loss ------------------------------------------------------------------------

    def _plain_targets(self, y: Any, argument: str) -> Any:
        present(y, argument)  # scikit-learn makes them numbers
        return y

    def _read_targets(
        self, y: Any, classes: Any, incremental: bool, is_first: bool
    ) -> npt.NDArray[Any]:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        n_targets = 1 if y.ndim == 1 else y.shape[1]
        if not is_first and n_targets != self._n_targets:
            raise ValueError(
                f"y must have {self._n_targets} columns, as in the fit that goes on, "
                f"got {n_targets}"
            )
        loss = self._loss()
        if loss.link.is_of_classes:
            raise ValueError(f"loss must be one for regression, got {self.loss!r}")
        low, _ = loss.target_range
        if low is not None and y.min() < low:
            raise ValueError(f"y must be >= {low:g} for the {loss.name} loss, got {y.min():g}")
        self._n_targets = n_targets
        return np.asarray(y).reshape(len(y), -1)

    def _read_evaluation_targets(self, y: Any) -> npt.NDArray[Any]:
        targets = np.asarray(y, np.float64).reshape(len(y), -1)
        if targets.shape[1] != self._n_targets:
            raise ValueError(
                f"y of eval_set must have {self._n_targets} columns, got {targets.shape[1]}"
            )
        return targets

    def _loss(self) -> Loss:
        return MSE() if self.loss == "squared_error" else as_loss(self.loss)

    def _out_features(self) -> int:
        return self._n_targets * self._loss().link.outputs_per_target

    def _objective(self) -> Objective:
        # Both of scikit-learn's losses descend along the sum over the outputs; of the half square
        # it reports the mean.
        loss = self._loss()
        if self.loss == "squared_error":
            return Objective(loss, 0.5 * self._n_targets, 0.5)
        if self.loss == "poisson":
            return Objective(loss, self._n_targets, self._n_targets)
        return Objective(loss)

    def _link(self) -> Link:
        """Return what the outputs of the fitted network mean."""
        loss = self._trainer.loss if self._trainer else self._loss()
        return link_of_fit(loss.link, self.out_activation_)

    def _target_scale(self, targets: npt.NDArray[Any], warns: bool) -> TargetScale | None:
        loss, dtype = self._loss(), self.model_.dtype
        return target_scale(self.standardize, loss, targets, dtype, warns=warns)

    def _loss_offset(self, targets: npt.NDArray[Any], weights: Floats | None) -> float:
        if self.loss != "poisson":
            return 0.0
        of_rows = (xlogy(targets, targets) - targets).sum(axis=1)
        return float(np.average(of_rows, weights=weights))

    # --- methods ---------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        eval_set: Any = None,
        eval_sample_weight: Any = None,
    ) -> MLPRegressor:
        """Fit to data.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Features, finite. Sparse ones are made dense as a whole.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets, finite.
        sample_weight : array-like of shape (n_samples,), optional
            A weight >= 0 for each row.
        eval_set : tuple (X, y) or list of such tuples, optional
            Evaluated after each epoch; the last one is what `early_stopping` watches.
        eval_sample_weight : array-like or list of array-like, optional
            Weights of the rows of `eval_set`.

        Returns
        -------
        MLPRegressor
            This estimator.

        Raises
        ------
        ValueError, TypeError
            For arguments that are not as described, and when weights cease to be finite; with
            ``early_stopping=True`` that is a ConvergenceWarning.
        RuntimeError
            When the estimator is being fitted already, by another thread or around a callback.
        """
        self._fit(
            X,
            y,
            sample_weight,
            incremental=False,
            eval_set=eval_set,
            eval_sample_weight=eval_sample_weight,
        )
        return self

    @available_if(lambda estimator: estimator._check_solver())  # type: ignore[untyped-decorator]
    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """Train for one more epoch, over data of which more may come.

        An epoch over the same rows that Ctrl-C, an exception or a callback ended before its time is
        finished instead, from where it ended.

        Parameters
        ----------
        X, y, sample_weight
            See :meth:`fit`.

        Returns
        -------
        MLPRegressor
            This estimator.

        Raises
        ------
        ValueError, TypeError, RuntimeError
            See :meth:`fit`.
        """
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Predict targets.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Features.
        return_std : bool, default=False
            With the loss ``"gaussian_nll"``: return the standard deviation too.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
            Targets; with several quantiles one more axis, of these. With `return_std` a tuple of
            means and standard deviations.

        Raises
        ------
        ValueError
            For `return_std` with another loss.
        """
        whole = self._whole()
        link = whole._link()
        if return_std and not link.has_deviations:
            loss = whole._trainer.loss if whole._trainer else whole._loss()
            names = " or ".join(map(repr, _WITH_DEVIATIONS))
            raise ValueError(f"return_std must be False unless loss is {names}, got {loss}")
        outputs: npt.NDArray[Any] = whole._outputs(X)
        predictions = _of_one_target(link.predictions(outputs))
        if not return_std:
            return predictions
        return predictions, _of_one_target(link.deviations(outputs))

    def input_gradient(self, X: Any, target: int = 0) -> Floats:
        """Compute the gradient of a prediction with respect to the features.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Features.
        target : int, default=0
            Which output: the column of y; for quantiles column * n_levels + level, for
            ``"gaussian_nll"`` the means, then the log variances.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            The gradient, of the dtype of the weights.

        Raises
        ------
        ValueError
            When there is no such output.
        RuntimeError
            When another thread computes a gradient of this estimator.
        """
        whole = self._whole()
        link = whole._link()

        def of_outputs(outputs: Floats) -> Floats:
            column = _arguments.integer(target, "target", 0, outputs.shape[1] - 1)
            gradient: Floats = link.gradient(outputs, column)
            return gradient

        gradient: Floats = whole._input_gradient(X, of_outputs)
        return gradient


def _of_one_target(predictions: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Leave out the axis of targets where there is one."""
    return predictions[:, 0] if predictions.shape[1] == 1 else predictions
