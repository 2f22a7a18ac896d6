"""Training of a model: optimizer state, single steps, and fits over data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _arguments, _data
from ._bar import Bar
from ._callbacks import Callbacks, EarlyStopping
from ._errors import DIVERGED, DivergenceError
from ._loop import Loop, Plan
from ._optimizers import has_step
from ._repr import abridged, counted
from ._scale import warn_of_scale
from ._settings import Settings
from ._state import TrainingState, key_of_rows
from ._validation import features, sample_weights

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    import numpy.typing as npt

    from ._callbacks import Callback, Progress
    from ._history import History
    from ._loss import Loss
    from ._mlp import MLP
    from ._optimizers import Optimizer

DEFAULT_BATCH_SIZE = 128


class Trainer:
    """A model with a loss and an optimizer, which keeps the state between steps.

    Parameters
    ----------
    model : MLP
        The model to train; its parameters are updated in place.
    loss : str or Loss
        ``"mse"``, ``"mae"``, ``"huber"``, ``"quantile"``, ``"binary_cross_entropy"``,
        ``"cross_entropy"``, ``"poisson"``, ``"gaussian_nll"``, or an object such as
        ``Huber(delta=0.5)``.
    optimizer : str or Optimizer, default Adam()
        ``"sgd"``, ``"rmsprop"``, ``"adagrad"``, ``"adam"``, ``"adamw"``, ``"nadam"``, ``"lion"``,
        ``"lbfgs"``, or an object such as ``SGD(0.1, momentum=0.9)``.
    l1, l2 : float, default 0.0
        Penalties: add l1 * sum(abs(w)) + l2 / 2 * sum(w ** 2) to the loss; at least 0.
    penalize_biases : bool, default False
        Apply penalties and weight decay to biases, scales and shifts too, not only to weights.
    divide_penalties : bool, default False
        Divide the penalties by the weight of each batch: its rows, or the sum of their weights.
        scikit-learn does that with its `alpha`.
    clip_norm : float, optional
        Scale down a gradient whose norm, over all parameters, is greater than this (> 0).
    clip_value : float, optional
        Clamp each element of the gradient to [-clip_value, clip_value] (> 0), after `clip_norm`.
    seed : int, optional
        For shuffles, in [0, 2**64); by default the model's. Dropout uses the model's seed.
    precision : str, optional
        Of the products, see :class:`MLP`; by default the model's. The model adopts it at the first
        step.
    shards : int, optional
        In how many blocks of rows to sum the gradient of each batch; see :meth:`MLP.fit`.
    threads : int, optional
        Maximum number of threads; see :meth:`MLP.fit`. The result has the same bits for any
        number.

    Attributes
    ----------
    model, loss, optimizer, seed, precision, shards, threads
        As given, names replaced by objects.

    Examples
    --------
    >>> import chainrule as cr
    >>> model = cr.MLP([2, 8, 1], seed=1)
    >>> trainer = cr.Trainer(model, loss="mse", optimizer=cr.SGD(0.1))
    >>> before = trainer.step([[0.0, 1.0], [1.0, 0.0]], [1.0, -1.0])
    >>> trainer.step([[0.0, 1.0], [1.0, 0.0]], [1.0, -1.0]) < before
    True
    """

    def __init__(
        self,
        model: MLP,
        *,
        loss: str | Loss,
        optimizer: str | Optimizer | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
        penalize_biases: bool = False,
        divide_penalties: bool = False,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        seed: int | None = None,
        precision: str | None = None,
        shards: int | None = None,
        threads: int | None = None,
    ) -> None:
        if not hasattr(model, "_network"):
            raise TypeError(f"model must be an MLP, got {_arguments.type_name(model)}")
        settings = Settings.check(
            model,
            loss=loss,
            optimizer=optimizer,
            l1=l1,
            l2=l2,
            penalize_biases=penalize_biases,
            divide_penalties=divide_penalties,
            clip_norm=clip_norm,
            clip_value=clip_value,
            seed=seed,
            precision=precision,
            shards=shards,
        )
        self._hold(model, TrainingState(model, settings, _arguments.threads(threads)))

    @classmethod
    def _of(cls, model: MLP, state: TrainingState) -> Trainer:
        """Return a trainer of an existing training."""
        trainer = cls.__new__(cls)
        trainer._hold(model, state)
        return trainer

    def _hold(self, model: MLP, state: TrainingState) -> None:
        self.model = model
        self._state = state
        self._core = state.core
        self._settings = state.settings
        self._plateau_schedule = state.plateau_schedule
        self.loss = state.settings.loss
        self.optimizer = state.settings.optimizer
        self.seed = state.settings.seed
        self.precision = state.settings.precision
        # The estimators, which know the names of columns, warn instead.
        self._warns_of_scale = True

    @property
    def history(self) -> History:
        """The epochs of all fits of this trainer so far."""
        return self._state.history

    def __repr__(self) -> str:
        model = self.model
        widths = [model.in_features, *(layer.out_features for layer in model.layers)]
        network = abridged([str(width) for width in widths], 60).replace(", ", "-")
        return (
            f"<Trainer of MLP {network}: {type(self.loss).__name__}, "
            f"{type(self.optimizer).__name__}, "
            f"{counted(self.epoch, 'epoch')}, {counted(self.step_count, 'step')}>"
        )

    def _repr_html_(self) -> str:
        from . import _html  # for notebooks alone

        return _html.trainer_html(self)

    @property
    def shards(self) -> int | None:
        """Blocks of rows in which the gradient of a batch is summed; None: by sizes."""
        return self._settings.shards

    @property
    def threads(self) -> int | None:
        """Maximum number of threads of a step; None: the setting of the process."""
        return self._core.threads or None

    @property
    def epoch(self) -> int:
        """Epochs completed by the fits of this trainer."""
        return self._core.epoch

    @property
    def step_count(self) -> int:
        """Steps taken by this trainer."""
        return self._core.step_count

    @property
    def learning_rate(self) -> float:
        """Learning rate of the last step."""
        return self._core.learning_rate

    def step(
        self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> float:
        """Take one step on a batch: forward, loss, backward, clip, update.

        Parameters
        ----------
        X : array_like, shape (batch_size, in_features)
            Features.
        y : array_like
            Targets; see :meth:`MLP.fit`.
        sample_weight : array_like, shape (batch_size,), optional
            A weight >= 0 for each row.

        Returns
        -------
        float
            The mean loss of the batch before the step, with penalties; for :class:`LBFGS`, after
            it.

        Raises
        ------
        ValueError, TypeError
            For input that does not fit the model and the loss, and for a learning rate that depends
            on epochs, which single steps do not have; nothing has changed then.
        DivergenceError
            If the loss, the gradient or the new parameters are not finite; nothing has changed.
        RuntimeError
            If another thread is training the model, or before the inputs' statistics of a layer
            :class:`Standardize` are fitted, by a fit or :meth:`MLP.standardize`.
        """
        model = self.model
        model._require_ready("Trainer.step")
        if self._state.needs_epochs:
            raise ValueError(
                "learning_rate must be a float, InverseScaling or ReduceOnPlateau for "
                f"Trainer.step, which makes no epochs, got {self.optimizer.learning_rate}"
            )
        x = features(X, model.dtype, model.in_features, "X")
        n_rows = x.shape[0]
        model._require_normalizable(n_rows)
        targets = self.loss.targets(y, model.dtype, n_rows, model.out_features)
        weights = sample_weights(sample_weight, model.dtype, n_rows)
        model._lock.acquire("Trainer.step", changes_training=True)
        try:
            model._forget_forward()
            status, loss = self._core.step(x, targets, weights)
        finally:
            model._lock.release()
        if status in DIVERGED:
            raise DivergenceError(status, None, self._core.step_count + 1)
        return loss

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        *,
        batch_size: int = DEFAULT_BATCH_SIZE,
        epochs: int = 20,
        shuffle: bool = True,
        sample_weight: npt.ArrayLike | None = None,
        class_weight: Any = None,
        validation_data: Any = None,
        validation_fraction: float | None = None,
        early_stopping: EarlyStopping | None = None,
        callbacks: Iterable[Callback | Callable[[Progress], object]] = (),
        progress: bool | None = None,
        resume_from: str | os.PathLike[str] | None = None,
        threads: int | None = None,
    ) -> History:
        """Train for more epochs; steps, epochs and optimizer state continue.

        Parameters
        ----------
        X : array_like, shape (n_samples, in_features)
            Features.
        y : array_like
            Targets; see :meth:`MLP.fit`.
        batch_size, epochs, shuffle, sample_weight, class_weight
            See :meth:`MLP.fit`.
        validation_data, validation_fraction, early_stopping, callbacks, progress, resume_from
            See :meth:`MLP.fit`.
        threads : int, optional
            Maximum number of threads of this fit; by default the trainer's. The result
            has the same bits for any number.

        Returns
        -------
        History
            The trainer's `history`: the epochs of this fit after those of earlier fits.

        Raises
        ------
        ValueError, TypeError, DivergenceError, RuntimeError, ModelFileError, OSError
            See :meth:`MLP.fit`.
        """
        model = self.model
        data = _data.dataset(model, self.loss, X, y, sample_weight)
        batch_size = _arguments.integer(batch_size, "batch_size", 1, maximum=2**1024)
        given_batch_size = min(batch_size, _arguments.INT64_MAX)
        if not has_step(self.optimizer):
            if batch_size != DEFAULT_BATCH_SIZE and batch_size < len(data.x):
                name = type(self.optimizer).__name__
                raise ValueError(
                    f"batch_size must be at least the number of rows, {len(data.x)}, for {name} "
                    f"(or left at its default), got {batch_size}"
                )
            batch_size = len(data.x)
        epochs = _arguments.integer(epochs, "epochs", 1)
        shuffle = _arguments.boolean(shuffle, "shuffle")
        if validation_data is not None and validation_fraction is not None:
            raise ValueError(
                "validation_fraction must be None when validation_data is given, "
                f"got {validation_fraction}"
            )
        validation = fraction = None
        if validation_data is not None:
            validation = _data.given_validation(model, self.loss, validation_data)
        elif validation_fraction is not None:
            fraction = _arguments.number(
                validation_fraction, "validation_fraction", above=0.0, below=1.0
            )
            data, validation = _data.split(data, fraction, self.seed)
        if class_weight is not None:
            data = _data.weighted_by_class(data, self.loss, class_weight, model.out_features)
        batch_size = min(batch_size, len(data.x))
        model._require_normalizable(len(data.x))
        model._require_normalizable(batch_size, "batch_size")
        steps_per_epoch = self._core.batch_count(len(data.x), batch_size)
        n_steps = epochs * steps_per_epoch
        _arguments.integer(self._core.step_count + n_steps, "epochs * batches of an epoch")
        self._check_early_stopping(early_stopping, validation is not None)
        if progress is not None:
            progress = _arguments.boolean(progress, "progress")
        n_threads = self._core.threads if threads is None else _arguments.threads(threads)
        checked = Callbacks(callbacks)
        call = resumed = None
        if resume_from is not None or checked.checkpoints:
            from ._files import checkpoint

            checkpoint.require_folders(checked.checkpoints)
            call = checkpoint.describe(
                self,
                training=data,
                validation=validation,
                validation_fraction=fraction,
                batch_size=batch_size,
                epochs=epochs,
                shuffle=shuffle,
                early_stopping=early_stopping,
            )
            if resume_from is not None:
                path = _arguments.path(resume_from, "resume_from")
                resumed = checkpoint.find(path, self, call, epochs, checked.checkpoints)
        key = key_of_rows(data, batch_size, shuffle)
        if resumed is None:
            n_steps -= self._state.steps_done(key)
        else:
            n_steps -= (resumed.epoch - resumed.first_epoch) * steps_per_epoch
            n_steps -= resumed.state.progress[1]
            _arguments.integer(
                (resumed.first_epoch + epochs) * steps_per_epoch, "epochs * batches of an epoch"
            )
        is_first = model.history is None and self._core.step_count == 0 and resumed is None
        if is_first and self._warns_of_scale:
            warn_of_scale(model, self.loss, data)
        with model._lock.hold_for_fit():
            if resumed is None and not model._network.is_ready:
                model._network.standardize(data.x)
            bar = Bar(progress, n_steps)
            first_epoch = self._core.epoch
            if resumed is not None:
                resumed.restore(self)
                first_epoch = resumed.first_epoch
            self._state.begin(key)
            plan = Plan(
                training=data,
                validation=validation,
                batch_size=batch_size,
                steps_per_epoch=steps_per_epoch,
                epochs=epochs,
                shuffle=shuffle,
                early_stopping=early_stopping,
                callbacks=checked,
                bar=bar,
                threads=n_threads,
                first_epoch=first_epoch,
                resumed=resumed,
                call=call,
            )
            model._training = self._state
            model._forget_forward()
            model.history = self.history
            model.recipe = {
                **vars(self._settings),
                "batch_size": given_batch_size,
                "epochs": first_epoch + epochs,
                "shuffle": shuffle,
                "validation_fraction": fraction,
                "early_stopping": early_stopping,
            }
            Loop(self, plan).run()
        return self.history

    def require_same(self, settings: Settings) -> None:
        """Raise unless a fit that resumes this training has the same settings.

        Parameters
        ----------
        settings : Settings
            Settings of the fit that resumes it.
        """
        self._settings.require_same(settings)

    def _check_early_stopping(self, value: Any, has_validation: bool) -> None:
        if value is None:
            return
        if not isinstance(value, EarlyStopping):
            raise TypeError(
                "early_stopping must be an EarlyStopping or None, "
                f"got {_arguments.type_name(value)} {value!r}"
            )
        if value.monitor == "score":
            if not has_validation:
                raise ValueError(
                    "early_stopping must monitor 'loss' without validation data, got 'score'"
                )
            if self.loss.score(self.model.out_features) is None:
                raise ValueError(
                    f"early_stopping must monitor 'loss' for {self.loss}, which has no score"
                )
