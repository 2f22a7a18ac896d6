"""What both estimators share: parameters, fitting, outputs, gradients, pickling.

The network and its training are those of :mod:`chainrule`; here is scikit-learn's protocol around
them. Subclasses say what targets and losses are, and what becomes of the outputs.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, is_regressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from .. import _arguments, _core
from .._callbacks import EarlyStopping
from .._errors import DivergenceError
from .._evaluation import block_rows, evaluate
from .._layers import Activation, Standardize
from .._mlp import MLP
from .._optimizers import LBFGS, OPTIMIZERS, Optimizer
from .._precision import PRECISIONS, as_precision
from .._schedules import Schedule
from .._training import Trainer
from ._data import Rows, dtypes, evaluation_sets, row_weights
from ._recipe import (
    core_seed,
    dense_layers,
    hidden_sizes,
    initial_weights,
    make_optimizer,
    without_initializer,
)
from ._saving import SavedAsFile
from ._scaling import input_layers, scaled_targets
from ._state import pack, unpack
from ._watch import Plan, Watch, WatchLBFGS

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from .._callbacks import Progress
    from .._evaluation import Dataset
    from .._typing import Floats
    from ._recipe import Objective
    from ._scaling import TargetScale

_AUTOMATIC_BATCH = 200


class BaseMLP(SavedAsFile, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Base of the estimators; not used by itself."""

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
        "standardize": ["boolean", StrOptions({"auto"})],
    }

    # --- what a subclass says --------------------------------------------------------------------

    @abstractmethod
    def _read_targets(self, y: Any, incremental: bool, is_first: bool) -> npt.NDArray[Any]:
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

    def _stratify(self, targets: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
        """Return by what a validation split is stratified."""
        return None

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
    ) -> Any:
        sizes = hidden_sizes(self.hidden_layer_sizes)
        uses_lbfgs = self.optimizer is None and self.solver == "lbfgs"
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        is_first = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        dtype = dtypes(self.dtype) if is_first else self.model_.dtype
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            y_numeric=is_regressor(self),
            dtype=dtype,
            order="C",
            reset=is_first,
        )
        precision = as_precision(self.precision, X.dtype)  # refused before the model changes
        weights = row_weights(sample_weight, X)
        targets = self._read_targets(y, incremental, is_first)
        of_targets = self._row_weights(y, incremental)
        if of_targets is not None:
            weights = (of_targets if weights is None else of_targets * weights).astype(X.dtype)
        x: Floats = X.toarray(order="C") if issparse(X) else X
        sets = evaluation_sets(self, eval_set, eval_sample_weight, X.dtype)
        random_state = check_random_state(self.random_state)
        if is_first:
            self._start(sizes, x, random_state, precision, input_layers(self, x, not incremental))
        else:
            self._synchronize()
            self._require_same_network(sizes)
        scale = None if incremental else self._target_scale(targets, warns=is_first)
        rows = Rows(x, targets, weights)
        with scaled_targets(self, scale, rows, sets, is_first) as (rows, sets):
            self._train(
                rows,
                random_state,
                incremental=incremental,
                uses_lbfgs=uses_lbfgs,
                sets=sets,
                precision=precision,
            )
        return self

    def _start(
        self,
        sizes: list[int],
        x: Floats,
        random_state: np.random.RandomState,
        precision: str,
        first: list[Standardize],
    ) -> None:
        """Make the network, with scikit-learn's initial weights, and empty records."""
        objective = self._objective()
        layers = dense_layers(sizes, self._out_features(), self.activation, self.dropout, self.norm)
        drawn = initial_weights(layers, x.shape[1], self.activation, random_state)
        # Nothing is drawn that scikit-learn does not draw, unless something else needs it: a
        # RandomState then goes on as theirs does.
        needs_seed = any(layer.dropout for layer in layers) or None in drawn
        layers = without_initializer(layers, drawn)
        seed = core_seed(random_state) if needs_seed else 0
        items = [x.shape[1], *first, *layers]
        model = MLP(items, dtype=x.dtype, seed=seed, precision=precision)
        for weight, bias, numbers in zip(model.weights, model.biases, drawn, strict=True):
            if numbers is not None and bias is not None:
                weight[:], bias[:] = numbers
        self._attach(model)
        self.out_activation_ = objective.out_activation
        self.n_outputs_ = model.out_features
        self.n_layers_ = len(layers) + 1
        self.n_iter_ = self.t_ = 0
        self._trainer: Trainer | None = None
        if self.optimizer is not None or self.solver != "lbfgs":
            self.loss_curve_: list[float] = []
            self._no_improvement_count = 0
            self.best_loss_: float | None = None
            self.best_validation_score_: float | None = None
            self.validation_scores_: list[float] | None = [] if self.early_stopping else None

    def _attach(self, model: MLP) -> None:
        self.model_ = model
        self.coefs_: list[Floats] = list(model.weights)
        self.intercepts_: list[Floats] = [bias for bias in model.biases if bias is not None]
        self._views = (*self.coefs_, *self.intercepts_)

    def _synchronize(self) -> None:
        """Take in arrays that were put in the place of those in `coefs_` and `intercepts_`."""
        given = (*self.coefs_, *self.intercepts_)
        if all(array is view for array, view in zip(given, self._views, strict=True)):
            return
        for array, view in zip(given, self._views, strict=True):
            if array is not view:
                view[:] = check_array(array, ensure_2d=False, dtype=view.dtype)
        self._attach(self.model_)

    def _require_same_network(self, sizes: list[int]) -> None:
        expected = [*sizes, self._out_features()]
        present = [layer.out_features for layer in self.model_.layers]
        if present != expected:
            raise ValueError(
                "hidden_layer_sizes and the number of outputs must be those of the fit that goes "
                f"on, {present}, got {expected}"
            )

    def _train(
        self,
        rows: Rows,
        random_state: np.random.RandomState,
        *,
        incremental: bool,
        uses_lbfgs: bool,
        sets: list[Rows],
        precision: str,
    ) -> None:
        objective = self._objective()
        stops_early = bool(self.early_stopping) and not uses_lbfgs
        rule = self.early_stopping if isinstance(self.early_stopping, EarlyStopping) else None
        validation = sets[-1] if sets else None
        if stops_early and validation is None:
            rows, validation = rows.split(
                self.validation_fraction, random_state, self._stratify(rows.targets)
            )
        n_samples = len(rows.x)
        trainer = self._make_trainer(objective, random_state, incremental, uses_lbfgs, precision)
        is_auto = self.batch_size == "auto"
        takes_all = uses_lbfgs or (is_auto and isinstance(trainer.optimizer, LBFGS))
        self.__dict__.pop("evals_result_", None)  # of a fit before this one
        plan = Plan(
            n_samples=n_samples,
            weight=rows.weight(),
            objective=objective,
            offset=self._loss_offset(rows.targets, rows.weights),
            score=self._scorer(validation) if stops_early and rule is None else None,
            evaluate=self._recorder(trainer, sets) if sets else None,
        )
        self.n_iter_ = 0
        watch = (WatchLBFGS if uses_lbfgs else Watch)(self, trainer, plan)
        try:
            trainer.fit(
                rows.x,
                rows.targets,
                batch_size=n_samples if takes_all else self._batch_size(n_samples),
                epochs=1 if incremental else self.max_iter,
                shuffle=bool(self.shuffle),
                sample_weight=rows.weights,
                validation_data=None if validation is None else validation.given(),
                early_stopping=rule if stops_early else None,
                callbacks=[watch, *(self.callbacks or ())],
                progress=self.progress,
                threads=self.n_threads,
            )
        except DivergenceError as error:
            text = "Solver produced non-finite parameter weights"
            advice = "The input data may need to be scaled."
            weights = watch.diverged()
            if weights is None:
                raise ValueError(f"{text}: {error}. {advice}") from error
            warnings.warn(
                f"{text} in epoch {error.epoch}: the model keeps {weights}. {advice}",
                ConvergenceWarning,
                stacklevel=4,
            )
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=4)
        else:
            if not incremental:
                self._warn_unless_converged(trainer, watch)
        watch.restore()
        self.history_ = trainer.history

    def _batch_size(self, n_samples: int) -> int:
        if self.batch_size == "auto":
            return min(_AUTOMATIC_BATCH, n_samples)
        if self.batch_size > n_samples:
            warnings.warn(
                f"batch_size must be at most the number of samples, {n_samples}, "
                f"got {self.batch_size}: it is clipped",
                stacklevel=5,
            )
        return int(min(self.batch_size, n_samples))

    def _make_trainer(
        self,
        objective: Objective,
        random_state: np.random.RandomState,
        incremental: bool,
        uses_lbfgs: bool,
        precision: str,
    ) -> Trainer:
        """Return the trainer; that of the last fit when that is to go on."""
        penalty = self.alpha / objective.gradient
        optimizer = make_optimizer(self, objective)
        if incremental and optimizer.schedule().needs_epochs:
            raise ValueError(
                "partial_fit needs a learning rate that does not depend on the number of epochs, "
                f"got {optimizer.learning_rate}"
            )
        last = self._trainer
        if incremental and last is not None:
            same = (objective.loss, optimizer, penalty, precision)
            if same == (last.loss, last.optimizer, last._settings.l2, last.precision):
                return last
        seed = core_seed(random_state) if self.shuffle and not uses_lbfgs else 0
        self._trainer = Trainer(
            self.model_,
            loss=objective.loss,
            optimizer=optimizer,
            l2=penalty,
            divide_penalties=True,
            seed=seed,
            precision=precision,
        )
        self._trainer.warns_of_scale = False
        return self._trainer

    def _scorer(self, validation: Rows | None) -> Callable[[Progress], float]:
        assert validation is not None
        data = validation.checked(self.model_.dtype)

        def score(state: Progress) -> float:
            own = self._own_score(data)
            if own is not None:
                return own
            if state.validation_score is not None:
                return state.validation_score
            assert state.validation_loss is not None
            return -state.validation_loss  # a loss without a score, as of quantiles

        return score

    def _recorder(self, trainer: Trainer, sets: list[Rows]) -> Callable[[Progress], None]:
        """Return what evaluates the sets after an epoch; the last one the core has evaluated."""
        names = [f"validation_{i}" for i in range(len(sets))]
        records: dict[str, dict[str, list[float]]] = {
            name: {"loss": [], "score": []} for name in names
        }
        self.evals_result_ = records
        others = [rows.checked(self.model_.dtype) for rows in sets[:-1]]
        n_threads = self.n_threads or 0

        def record(state: Progress) -> None:
            model, loss = trainer.model, trainer.loss
            for name, data in zip(names, others, strict=False):
                result = evaluate(model, data, loss, block_rows(model), n_threads)
                _append(records[name], result.loss, result.score)
            _append(records[names[-1]], state.validation_loss, state.validation_score)

        return record

    def _warn_unless_converged(self, trainer: Trainer, watch: Watch | WatchLBFGS) -> None:
        evaluations = isinstance(watch, WatchLBFGS) and watch.out_of_evaluations
        if evaluations:
            text = f"L-BFGS: more than max_fun={self.max_fun} evaluations of the loss"
        elif trainer.history.stop_reason != "epochs" or trainer.optimizer.schedule().needs_epochs:
            return  # converged, stopped by a callback, or at the end of a planned course
        else:
            solver = "L-BFGS" if isinstance(watch, WatchLBFGS) else "Stochastic optimizer"
            text = f"{solver}: maximum iterations ({self.max_iter}) reached"
        warnings.warn(
            f"{text} and the optimization hasn't converged yet.", ConvergenceWarning, stacklevel=5
        )

    def _check_solver(self) -> bool:
        if self.optimizer is None and self.solver == "lbfgs":
            raise AttributeError(
                "partial_fit is only available for stochastic solvers, not for 'lbfgs'"
            )
        return True

    # --- outputs ---------------------------------------------------------------------------------

    def _outputs(self, X: Any) -> Floats:
        """Check X and compute the outputs of the network."""
        check_is_fitted(self)
        X = self._features(X, self.model_.dtype)
        self._synchronize()
        model, n_threads = self.model_, self.n_threads or 0
        model._require_ready("predict")
        outputs: npt.NDArray[Any]
        if not issparse(X):
            outputs = model._network.predict(X, n_threads)
            return outputs
        # Only so many rows are dense at a time.
        step = block_rows(model)
        blocks: list[npt.NDArray[Any]] = [
            model._network.predict(X[start : start + step].toarray(order="C"), n_threads)
            for start in range(0, X.shape[0], step)
        ]
        outputs = np.concatenate(blocks)
        return outputs

    def _features(self, X: Any, dtype: np.dtype[Any]) -> Any:
        return validate_data(self, X, accept_sparse=["csr"], dtype=dtype, order="C", reset=False)

    def _input_gradient(self, X: Any, of_outputs: Callable[[Floats], Floats]) -> Floats:
        """Propagate back to X what `of_outputs` makes of a block of outputs."""
        check_is_fitted(self)
        X = self._features(X, self.model_.dtype)
        self._synchronize()
        model, step = self.model_, block_rows(self.model_)
        gradient: Floats = np.empty(X.shape, model.dtype)
        for start in range(0, X.shape[0], step):
            rows = X[start : start + step]
            outputs = model.forward(
                rows.toarray(order="C") if issparse(rows) else rows, threads=self.n_threads
            )
            of_rows = of_outputs(outputs)
            gradient[start : start + step] = model.backward(of_rows, threads=self.n_threads)
        return gradient

    # --- protocol --------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        return pack(self, super().__getstate__())

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(unpack(self, state))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _append(record: dict[str, list[float]], loss: float | None, score: float | None) -> None:
    record["loss"].append(np.nan if loss is None else loss)
    record["score"].append(np.nan if score is None else score)
