"""The classifier: its parameters and methods.

Targets and losses are in ``_labels.py``, probabilities in ``_link.py``, the part shared with the
regressor in ``_base.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if

from .._links import OfClasses, link_of_fit
from .._losses import LOSSES
from ._base import BaseMLP
from ._labels import LabelTargets
from ._link import ClassLink
from ._plain import checked_classes, plain

if TYPE_CHECKING:
    from .._callbacks import EarlyStopping
    from .._loss import Loss
    from .._optimizers import Optimizer
    from .._schedules import Schedule
    from .._typing import Floats

# Those of softmax first, as error messages list them.
_LOSSES = [
    loss for link in ("softmax", "sigmoid") for loss in LOSSES.values() if loss().link.name == link
]


class MLPClassifier(ClassifierMixin, LabelTargets):  # type: ignore[misc]  # scikit-learn has no types
    """Multilayer perceptron classifier.

    Replaces :class:`sklearn.neural_network.MLPClassifier`: parameters up to `max_fun` have
    scikit-learn's names, meaning and defaults.

    Parameters
    ----------
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
        scikit-learn's for the same value, except that a split of three classes or more is
        stratified if possible; shuffles differ.
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
        Share of the rows that `early_stopping` holds out, stratified by class except for multilabel
        targets.
    beta_1, beta_2 : float, default=0.9 and 0.999
        Decay of the moments of ``"adam"``, in [0, 1).
    epsilon : float, default=1e-8
        Of ``"adam"``: added to the root of the second moment, before its bias is corrected.
    n_iter_no_change : int or inf, default=10
        Epochs without improvement before the training ends.
    max_fun : int, default=15000
        Evaluations of the loss after which ``"lbfgs"`` ends.
    loss : {"log_loss", "cross_entropy", "binary_cross_entropy"} or Loss, default="log_loss"
        "log_loss" is "cross_entropy" for three classes or more, otherwise "binary_cross_entropy".
        With more classes, the latter separates each one from all others. An object such as
        ``CrossEntropy(label_smoothing=0.1)`` has parameters.
    class_weight : dict, list of dict or "balanced", optional
        Weight of each class, which multiplies the sample weights, as in scikit-learn; validation
        ignores it.
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
        the rows of its first call.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes, sorted; indices of the labels for multilabel targets.
    coefs_, intercepts_ : list of ndarray
        Weights (n_in, n_out) and biases of each layer: writable views of the network.
    n_features_in_, feature_names_in_
        Number and names of the features; names only if X has them, all strings.
    n_iter_, t_ : int
        Epochs of the last fit, and samples seen since the weights were drawn.
    n_layers_, n_outputs_ : int
        Layers, including the input, and outputs of the network.
    out_activation_ : str
        ``"softmax"``, or ``"logistic"`` for two classes and for labels.
    loss_ : float
        Training loss of the last epoch, as scikit-learn defines it.
    loss_curve_ : list of float
        Of all epochs; not with ``"lbfgs"``.
    best_loss_ : float or None
        The lowest of them; None with `early_stopping`. Not with ``"lbfgs"``.
    validation_scores_, best_validation_score_ : list of float or None, float or None
        Accuracy of the held-out rows by epoch, and the best; None without `early_stopping`.
    evals_result_ : dict
        Loss and score of each evaluation set by epoch: ``{"validation_0": {"loss": [...],
        "score": [...]}}``. Only after a fit with an `eval_set`.
    model_ : MLP
        The network, whose outputs are logits.
    history_ : History
        Losses, scores, learning rates and times of the last training; of a `partial_fit`, only its
        one epoch.

    Examples
    --------
    >>> from chainrule.estimators import MLPClassifier
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> X, y = load_wine(return_X_y=True)
    >>> model = make_pipeline(
    ...     StandardScaler(), MLPClassifier(max_iter=300, class_weight="balanced", random_state=0)
    ... )
    >>> bool(model.fit(X, y).score(X, y) > 0.98)
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseMLP._parameter_constraints,
        "loss": [StrOptions({"log_loss", *(loss.name for loss in _LOSSES)}), *_LOSSES],
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
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
        loss: str | Loss = "log_loss",
        class_weight: Any = None,
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
        self.loss = loss
        self.class_weight = class_weight
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
    ) -> MLPClassifier:
        """Fit to data.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Features, finite. Sparse ones are made dense as a whole.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Labels of any type, or indicators in {0, 1} of several labels (a sparse matrix too).
        sample_weight : array-like of shape (n_samples,), optional
            A weight >= 0 for each row.
        eval_set : tuple (X, y) or list of such tuples, optional
            Evaluated after each epoch; the last one is what `early_stopping` watches.
        eval_sample_weight : array-like or list of array-like, optional
            Weights of the rows of `eval_set`.

        Returns
        -------
        MLPClassifier
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
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None
    ) -> MLPClassifier:
        """Train for one more epoch, over data of which more may come.

        An epoch over the same rows that Ctrl-C, an exception or a callback ended before its time is
        finished instead, from where it ended.

        Parameters
        ----------
        X, y, sample_weight
            See :meth:`fit`; y need not have all classes.
        classes : array-like of shape (n_classes,), optional
            All classes; needed by the first call, unless y is multilabel. Later ones may repeat
            them.

        Returns
        -------
        MLPClassifier
            This estimator.

        Raises
        ------
        ValueError, TypeError, RuntimeError
            See :meth:`fit`.
        """
        if classes is not None:
            classes = checked_classes(classes)
        self._fit(X, y, sample_weight, incremental=True, classes=classes)
        return self

    def predict(self, X: Any) -> Any:
        """Predict classes.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Features.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
            Classes, or indicators (sparse if the fit's were sparse).
        """
        whole = self._whole()
        outputs, classes = whole._outputs(X), whole.classes_
        if whole._is_multilabel:
            indicators = (outputs > 0).astype(int)
            return csr_matrix(indicators) if whole._sparse_targets else indicators
        if outputs.shape[1] > 1:
            return classes[outputs.argmax(axis=1)]
        if len(classes) == 1:
            return np.repeat(classes, len(outputs))
        return classes[(outputs[:, 0] > 0).astype(int)]

    def predict_proba(self, X: Any) -> Floats:
        """Predict the probability of each class.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Features.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns as in `classes_`; each in [0, 1]; rows sum to 1 except for multilabel y, within
            the rounding of the dtype. :meth:`numpy.random.Generator.choice` accepts a row.
            `multinomial`, which requires a sum exact in float64, accepts
            ``p / p.sum(axis=1, keepdims=True, dtype=numpy.float64)``.
        """
        whole = self._whole()
        probabilities: Floats = whole._link().probabilities(whole._outputs(X))
        return probabilities

    def predict_log_proba(self, X: Any) -> Floats:
        """Predict the logarithm of the probability of each class.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Features.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            ``log(predict_proba(X))``, accurate even where a probability underflows.
        """
        whole = self._whole()
        logarithms: Floats = whole._link().log_probabilities(whole._outputs(X))
        return logarithms

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Compute the accuracy: the share of rows whose classes, or labels, are all correct.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            True labels, as :meth:`fit` takes them.
        sample_weight : array-like of shape (n_samples,), optional
            A weight for each row.

        Returns
        -------
        float
            The accuracy, in [0, 1].
        """
        return float(super().score(X, plain(y, "y"), sample_weight))

    def input_gradient(self, X: Any, target: Any = None) -> Floats:
        """Compute the gradient of a class's probability with respect to the features.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Features.
        target : label, optional
            The class; by default the predicted class of each row. For multilabel y required, as the
            index of the label.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            The gradient, of the dtype of the weights.

        Raises
        ------
        ValueError
            For a `target` that is not in `classes_`.
        RuntimeError
            If another thread computes a gradient of this estimator.
        """
        whole = self._whole()
        column, link = whole._column(target), whole._link()
        gradient: Floats = whole._input_gradient(X, lambda outputs: link.gradient(outputs, column))
        return gradient

    def _link(self) -> ClassLink:
        link = link_of_fit(None, self.out_activation_)
        assert isinstance(link, OfClasses)
        return ClassLink(link, self._is_multilabel)

    def _column(self, target: Any) -> int | None:
        if target is None and not self._is_multilabel:
            return None
        where = np.flatnonzero(self.classes_ == target)
        if len(where) != 1:
            raise ValueError(f"target must be one of {self.classes_}, got {target!r}")
        return int(where[0])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
