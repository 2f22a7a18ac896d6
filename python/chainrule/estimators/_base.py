"""The part that both estimators share: parameters, fitting, outputs, gradients, pickling.

:mod:`chainrule` has the network and its training; this module wraps scikit-learn's protocol around
them. Subclasses define targets and losses, and convert the outputs.
"""

from __future__ import annotations

from abc import abstractmethod
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, is_regressor
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from .. import _arguments, _core
from .._callbacks import EarlyStopping
from .._layers import Activation, Standardize
from .._mlp import MLP
from .._optimizers import OPTIMIZERS, Optimizer
from .._precision import PRECISIONS, as_precision
from .._schedules import Schedule
from .._training import Trainer
from ._data import (
    Rows,
    dense_blocks,
    dtypes,
    evaluation_sets,
    row_weights,
)
from ._recipe import (
    core_seed,
    dense_layers,
    hidden_sizes,
    initial_weights,
    without_initializer,
)
from ._saving import SavedAsFile
from ._scaling import input_layers, scaled_targets
from ._sharing import fitting, refuse_during_fit, refuse_in_training, snapshot
from ._state import attach, forget, given_weights, pack, take_in, unpack
from ._train import train

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from .._evaluation import Dataset
    from .._typing import Floats
    from ._recipe import Objective
    from ._scaling import TargetScale
    from ._state import GivenWeights


class BaseMLP(SavedAsFile, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Base of the estimators; never used directly."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({"logistic", *_core.activations()}), "array-like", Activation],
        "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"}), Schedule],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean", EarlyStopping],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "optimizer": [StrOptions(set(OPTIMIZERS)), Optimizer, None],
        "dropout": [Interval(Real, 0, 1, closed="left"), "array-like"],
        "norm": [StrOptions({"layer", "batch"}), "array-like", None],
        "callbacks": [list, tuple, None],
        "progress": ["boolean", None],
        "n_threads": [Interval(Integral, 1, _arguments.MOST_THREADS, closed="both"), None],
        "dtype": "no_validation",
        "precision": [StrOptions({*PRECISIONS, "float64"}), None],
        "shards": [Interval(Integral, 1, _arguments.MOST_SHARDS, closed="both"), None],
        "standardize": ["boolean", StrOptions({"auto"})],
    }

    # --- what a subclass says --------------------------------------------------------------------

    def _plain_targets(self, y: Any, argument: str) -> Any:
        """Return y in NumPy's own types, where scikit-learn would not make it such."""
        return y

    @abstractmethod
    def _read_targets(
        self, y: Any, classes: Any, incremental: bool, is_first: bool
    ) -> npt.NDArray[Any]:
        """Check y (and learn the classes); return what the loss takes, one row for each of y."""

    @abstractmethod
    def _read_evaluation_targets(self, y: Any) -> npt.NDArray[Any]:
        """Check the y of an evaluation set against what was learned."""

    @abstractmethod
    def _objective(self) -> Objective:
        """Return the loss, after the targets were read."""

    @abstractmethod
    def _out_features(self) -> int:
        """Return the outputs of the network, after the targets were read."""

    @abstractmethod
    def _loss_offset(self, targets: npt.NDArray[Any], weights: Floats | None) -> float:
        """Return what scikit-learn's loss has more than the core's, for these targets."""

    def _row_weights(self, y: Any, incremental: bool) -> npt.NDArray[np.float64] | None:
        """Return the weights of rows that follow from their targets."""
        return None

    def _hold_out(self, rows: Rows, random_state: np.random.RandomState) -> tuple[Rows, Rows]:
        """Split rows into those to fit and those that early stopping watches."""
        return rows.split(self.validation_fraction, random_state, None)

    def _target_scale(self, targets: npt.NDArray[Any], warns: bool) -> TargetScale | None:
        """Return by what a fit standardizes its targets."""
        return None

    def _own_score(self, data: Dataset) -> float | None:
        """Return the score of validation data where it is not that of the core."""
        return None

    # --- fitting ---------------------------------------------------------------------------------

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        *,
        incremental: bool,
        eval_set: Any = None,
        eval_sample_weight: Any = None,
        classes: Any = None,
    ) -> Any:
        with fitting(self, "partial_fit" if incremental else "fit") as twin:
            twin._fit_alone(
                X,
                y,
                sample_weight,
                incremental=incremental,
                eval_set=eval_set,
                eval_sample_weight=eval_sample_weight,
                classes=classes,
            )
        return self

    def _fit_alone(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        *,
        incremental: bool,
        eval_set: Any,
        eval_sample_weight: Any,
        classes: Any,
    ) -> None:
        """Fit this estimator, which no one else knows: what `fitting` yields."""
        sizes = hidden_sizes(self.hidden_layer_sizes)
        uses_lbfgs = self.optimizer is None and self.solver == "lbfgs"
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        goes_on = self.warm_start or incremental
        is_first = not goes_on or not hasattr(self, "model_")
        given = given_weights(self) if goes_on and is_first else None
        if is_first:
            forget(self)
        dtype = dtypes(self.dtype, X) if is_first else self.model_.dtype
        X, y = validate_data(
            self,
            X,
            self._plain_targets(y, "y"),
            accept_sparse=["csr", "csc"],
            multi_output=True,
            y_numeric=is_regressor(self),
            dtype=dtype,
            order="C",
            reset=is_first,
        )
        precision = as_precision(self.precision, X.dtype)  # refused before the model changes
        weights = row_weights(sample_weight, X)
        targets = self._read_targets(y, classes, incremental, is_first)
        of_targets = self._row_weights(y, incremental)
        if of_targets is not None:
            weights = (of_targets if weights is None else of_targets * weights).astype(X.dtype)
        x: Floats = X.toarray(order="C") if issparse(X) else X
        sets = evaluation_sets(self, eval_set, eval_sample_weight, X.dtype)
        random_state = check_random_state(self.random_state)
        if is_first:
            first = input_layers(self, x, not incremental)
            self._start(sizes, x, random_state, precision, first, given)
        else:
            take_in(self)
            self._require_same_network(sizes)
        scale = None if incremental else self._target_scale(targets, warns=is_first)
        rows = Rows(x, targets, weights)
        with scaled_targets(self, scale, rows, sets, is_first) as (rows, sets):
            train(
                self,
                rows,
                random_state,
                incremental=incremental,
                uses_lbfgs=uses_lbfgs,
                sets=sets,
                precision=precision,
            )

    def _start(
        self,
        sizes: list[int],
        x: Floats,
        random_state: np.random.RandomState,
        precision: str,
        first: list[Standardize],
        given: GivenWeights | None,
    ) -> None:
        """Make the network, with given weights or scikit-learn's initial ones, and no records."""
        objective = self._objective()
        layers = dense_layers(sizes, self._out_features(), self.activation, self.dropout, self.norm)
        mixes_rows = any(layer.norm == "batch" for layer in layers)
        _arguments.shards(self.shards, mixes_rows=mixes_rows)  # refused before anything is drawn
        # Nothing is drawn that scikit-learn does not draw, unless something else needs it: a
        # RandomState then goes on as theirs does.
        drawn = (
            initial_weights(layers, x.shape[1], self.activation, random_state)
            if given is None
            else [()] * len(layers)
        )
        needs_seed = any(layer.dropout for layer in layers) or None in drawn
        layers = without_initializer(layers, drawn)
        seed = core_seed(random_state) if needs_seed else 0
        items = [x.shape[1], *first, *layers]
        model = MLP(items, dtype=x.dtype, seed=seed, precision=precision)
        for weight, bias, numbers in zip(model.weights, model.biases, drawn, strict=True):
            if numbers and bias is not None:
                weight[:], bias[:] = numbers
        attach(self, model)
        if given is not None:
            self.coefs_, self.intercepts_ = given
            take_in(self)
        self.out_activation_ = objective.loss.link.out_activation
        self.n_outputs_ = model.out_features
        self.n_layers_ = len(layers) + 1
        self.n_iter_ = self.t_ = 0
        self._trainer: Trainer | None = None

    def _require_same_network(self, sizes: list[int]) -> None:
        expected = [*sizes, self._out_features()]
        present = [layer.out_features for layer in self.model_.layers]
        if present != expected:
            raise ValueError(
                "hidden_layer_sizes and the number of outputs must be those of the fit that goes "
                f"on, {present}, got {expected}"
            )
        has_layer = self.model_.input_layer is not None
        if self.standardize != "auto" and bool(self.standardize) != has_layer:
            raise ValueError(
                f"standardize must be {has_layer} or 'auto', as in the fit that goes on, "
                f"got {self.standardize}"
            )

    def _check_solver(self) -> bool:
        if self.optimizer is None and self.solver == "lbfgs":
            raise AttributeError(
                "partial_fit is only available for stochastic solvers, not for 'lbfgs'"
            )
        return True

    # --- outputs ---------------------------------------------------------------------------------

    def _whole(self) -> Any:
        """Return a snapshot of this estimator after one fit, to be read instead of `self`.

        Its network includes arrays that the user assigned to `coefs_`.
        """
        whole = snapshot(self)
        check_is_fitted(whole, "model_")
        lists = {name: getattr(whole, name) for name in ("coefs_", "intercepts_")}
        if take_in(whole):
            for name, given in lists.items():
                if getattr(self, name, None) is given:
                    setattr(self, name, getattr(whole, name))
        return whole

    def _outputs(self, X: Any) -> Floats:
        """Check X and compute the outputs of the network."""
        model, n_threads = self.model_, self.n_threads or 0
        X = self._features(X, model.dtype)
        model._require_ready("predict")
        if not issparse(X):
            outputs: Floats = model._network.predict(X, n_threads)
            return outputs
        outputs = np.empty((X.shape[0], model.out_features), model.dtype)
        for rows, x in dense_blocks(X, model):
            outputs[rows] = model._network.predict(x, n_threads)
        return outputs

    def _features(self, X: Any, dtype: np.dtype[Any]) -> Any:
        return validate_data(self, X, accept_sparse=["csr"], dtype=dtype, order="C", reset=False)

    def _input_gradient(self, X: Any, of_outputs: Callable[[Floats], Floats]) -> Floats:
        """Propagate the gradient that `of_outputs` returns for a block of outputs back to X."""
        model, n_threads = self.model_, self.n_threads
        X = self._features(X, model.dtype)
        gradient: Floats = np.empty(X.shape, model.dtype)
        # Held from the first forward pass to the last backward pass: no other may intervene.
        with model._lock.hold("input_gradient"):
            try:
                for rows, x in dense_blocks(X, model):
                    outputs = model.forward(x, threads=n_threads)
                    gradient[rows] = model.backward(of_outputs(outputs), threads=n_threads)
            finally:
                model._forget_forward()  # which would keep the rows
        return gradient

    # --- protocol --------------------------------------------------------------------------------

    def set_params(self, **params: Any) -> Any:
        """Set parameters of the constructor.

        Parameters
        ----------
        **params
            Parameters by name; checked by the next fit.

        Returns
        -------
        estimator
            This estimator.

        Raises
        ------
        ValueError
            For a name that is not a parameter.
        RuntimeError
            During a fit of the estimator: from a callback, or if another thread fits it.
        """
        if params:
            refuse_during_fit(self, "set_params")
        return super().set_params(**params)

    def __getstate__(self) -> dict[str, Any]:
        what = "a copy or a pickle"
        refuse_in_training(self, what)
        whole = snapshot(self)
        state = pack(whole, super(BaseMLP, whole).__getstate__())
        refuse_in_training(self, what)  # by a fit that began meanwhile
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(unpack(self, state))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
