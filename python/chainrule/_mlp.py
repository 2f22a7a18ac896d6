"""The multilayer perceptron: a network and its training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from . import _arguments
from ._data import dataset
from ._evaluation import Evaluation, block_rows, evaluate
from ._layers import Activation, Dense, Norm, Standardize, resolve
from ._losses import as_loss
from ._network import Network
from ._precision import as_precision
from ._settings import Settings
from ._training import DEFAULT_BATCH_SIZE, Trainer

if TYPE_CHECKING:
    import os

    import numpy.typing as npt

    from ._callbacks import Callback, EarlyStopping, Progress
    from ._history import History
    from ._loss import Loss
    from ._optimizers import Optimizer
    from ._state import TrainingState
    from ._typing import Floats


class MLP(Network):
    """A multilayer perceptron.

    Parameters
    ----------
    layers : sequence of int, Standardize or Dense
        The number of inputs, :class:`Standardize` if they are to be standardized, then the layers:
        a :class:`Dense`, or a size. Sizes take the keyword arguments below; the last size takes
        `output_activation`, no dropout and no normalization.
    activation : str or Activation, default "relu"
        Of hidden layers given by size; see :class:`Activation`.
    output_activation : str or Activation, default "identity"
        Of the last layer. The losses take logits: it is "identity" for nearly all of them.
    dropout : float, default 0.0
        Of hidden layers given by size, in [0, 1); see :class:`Dense`.
    norm : {"layer", "batch"}, optional
        Of hidden layers given by size; see :class:`Dense`.
    initializer : str, optional
        Of layers given by size; by default the one that suits the activation, see :class:`Dense`.
    dtype : {"float32", "float64"}, default "float32"
        Of the parameters and of all arithmetic.
    seed : int, default 0
        Of the initial parameters, dropout and, by default, shuffles; in [0, 2**64).
    precision : {"float32", "bf16x6", "bf16x3", "bf16", "auto"}, optional
        Of the products of matrices of a float32 model, forward and backward; by default
        ``"float32"``. The others split numbers into three, two or one bf16 terms and multiply the
        terms: much faster on processors with AMX, more slowly on all others, with the same bits.
        ``"bf16x6"`` is as exact as float32, ``"bf16x3"`` nearly so. ``"auto"`` is bf16x6 for layers
        with at least 512 inputs and outputs and float32 for others. Parameters, sums, losses and
        the optimizer stay float32. A float64 model has only ``"float64"``.

    Attributes
    ----------
    in_features, out_features : int
        Columns of X and of the outputs.
    input_layer : Standardize or None
        The layer that standardizes the inputs.
    layers : tuple of Dense
        The other layers, with activations as objects and initializers as names.
    dtype : numpy.dtype
        Of the parameters and of all arithmetic.
    seed : int
        Of the parameters last drawn.
    precision : str
        Of the products: the one given here, or to the last training that was given one. Writable.
    history : History or None
        Of the last training, finished or not; a loaded model has the history of the saved one.
    recipe : dict or None
        Of the last training: the arguments of :meth:`fit` except data, weights, callbacks and
        threads, with names replaced by objects; ``fit(X, y, **recipe)`` repeats it. `epochs` is the
        last epoch of the training, counted from its first fit.

    Raises
    ------
    ValueError, TypeError
        For an invalid argument.
    MemoryError
        If the parameters do not fit in memory.

    Examples
    --------
    >>> import numpy as np
    >>> import chainrule as cr
    >>> X = np.linspace(-1.0, 1.0, 64).reshape(-1, 1)
    >>> model = cr.MLP([1, 32, 1], activation="tanh", seed=1)
    >>> history = model.fit(X, X**2, loss="mse", optimizer=cr.Adam(1e-2), batch_size=16, epochs=100)
    >>> bool(history.loss[-1] < 1e-2)
    True
    >>> model.predict(X).shape
    (64, 1)
    """

    def __init__(
        self,
        layers: Sequence[int | Standardize | Dense],
        *,
        activation: str | Activation = "relu",
        output_activation: str | Activation = "identity",
        dropout: float = 0.0,
        norm: Norm = None,
        initializer: str | None = None,
        dtype: npt.DTypeLike = "float32",
        seed: int = 0,
        precision: str | None = None,
    ) -> None:
        in_features, input_layer, dense = resolve(
            layers,
            activation=activation,
            output_activation=output_activation,
            dropout=dropout,
            norm=norm,
            initializer=initializer,
        )
        checked = _arguments.float_dtype(dtype)
        seed = _arguments.seed(seed)
        chosen = as_precision(precision, checked)
        super().__init__(in_features, input_layer, dense, checked, seed, chosen)
        self.history: History | None = None
        self.recipe: dict[str, Any] | None = None
        self._training: TrainingState | None = None

    def _repr_html_(self) -> str:
        from . import _html  # for notebooks alone

        return _html.model_html(self)

    def initialize(self, seed: int | None = None) -> None:
        """Draw all parameters anew; reset running and input statistics and the training.

        If Ctrl-C interrupts it, the model is unchanged.

        Parameters
        ----------
        seed : int, optional
            In [0, 2**64); by default the current seed, which gives the initial parameters again.
        """
        if seed is not None:
            seed = _arguments.seed(seed)
        with self._lock.hold("initialize", changes_training=True):
            chosen = self.seed if seed is None else seed
            self._network.initialize(chosen)  # whole, or interrupted and not at all
            self.seed = chosen
            self._training = self.history = self.recipe = None
            self._forget_forward()
            self._forward_count = 0

    @property
    def _trainer(self) -> Trainer | None:
        """What :meth:`fit` resumes."""
        state = self._training
        return None if state is None else Trainer._of(self, state)

    def copy(self) -> MLP:
        """Return an independent model with the same parameters and running statistics.

        Returns
        -------
        MLP
            A copy without `history` and `recipe`: it has no training to resume.

        Raises
        ------
        RuntimeError
            When another thread fits the model. A callback of the fit may copy it.
        """
        return _restore(*self._state("copy"))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a file: parameters, architecture, `recipe` and `history`.

        The file has the safetensors format, with a SHA-256 of all of it, and contains no code. It
        replaces an old file at `path` when it is complete and on the disk: at every moment, even if
        the process is killed, `path` holds the complete old file or the complete new one.

        Parameters
        ----------
        path : str or os.PathLike
            The file, by custom named `.safetensors`.

        Raises
        ------
        TypeError
            If `path` is not a path.
        OSError
            If the file cannot be written; an old one is unchanged.
        RuntimeError
            If another thread is training the model.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> import chainrule as cr
        >>> model = cr.MLP([4, 16, 3], seed=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "model.safetensors")
        ...     model.save(path)
        ...     again = cr.MLP.load(path)
        >>> bool((again.parameters == model.parameters).all())
        True
        """
        from ._files import model as model_files

        with self._lock.hold("save"):
            model_files.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> MLP:
        """Read a model from a file that :meth:`save` wrote.

        Parameters
        ----------
        path : str or os.PathLike
            The file.

        Returns
        -------
        MLP
            The model, with every bit of the saved one, `history` and `recipe`. The file does not
            hold the optimizer's state, so it cannot resume a training; see :class:`Checkpoint`.

        Raises
        ------
        ModelFileError
            If the file is damaged or truncated, does not hold a model, or was written by a newer
            version of chainrule.
        OSError
            If the file cannot be read: FileNotFoundError, PermissionError and the like.
        TypeError
            If `path` is not a path.
        """
        from ._files import model as model_files

        return model_files.load(path)

    def _state(self, caller: str) -> tuple[Any, ...]:
        with self._lock.read(caller):
            numbers = (self.parameters.copy(), self.running_statistics.copy())
        settings = (self.dtype.name, self.seed, self.precision)
        return (tuple(self._items()), *settings, *numbers)

    def __reduce__(self) -> tuple[Callable[..., MLP], tuple[Any, ...]]:
        return _restore, self._state("a copy or a pickle")

    def evaluate(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        *,
        loss: str | Loss,
        sample_weight: npt.ArrayLike | None = None,
        batch_size: int | None = None,
        threads: int | None = None,
    ) -> Evaluation:
        """Compute loss and score of the model on data.

        Several threads may evaluate at once. While another thread fits the model, the result may
        mix parameters of several steps; see :meth:`predict`.

        Parameters
        ----------
        X : array_like, shape (n_samples, in_features)
            Features.
        y : array_like
            Targets; see :meth:`fit`.
        loss : str or Loss
            See :class:`Trainer`.
        sample_weight : array_like, shape (n_samples,), optional
            A weight >= 0 for each row, not all 0.
        batch_size : int, optional
            Rows per block; by default few enough to take little memory.
        threads : int, optional
            Maximum number of threads; see :meth:`fit`. The result has the same bits for any number.

        Returns
        -------
        Evaluation
            ``loss``, the mean over the rows, and ``score``.

        Raises
        ------
        ValueError, TypeError
            For input that does not fit the model and the loss.
        RuntimeError
            Before the inputs' statistics of a layer :class:`Standardize` are fitted.

        Examples
        --------
        >>> import chainrule as cr
        >>> model = cr.MLP([1, 1], initializer="zeros")
        >>> model.evaluate([[0.0], [1.0]], [1.0, 3.0], loss="mse")
        Evaluation(loss=5.0, score=-4.0)
        """
        self._require_ready("evaluate")
        checked = as_loss(loss)
        data = dataset(self, checked, X, y, sample_weight)
        n_rows = block_rows(self)
        if batch_size is not None:
            n_rows = _arguments.integer(batch_size, "batch_size", 1)
        return evaluate(self, data, checked, n_rows, _arguments.threads(threads))

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        *,
        loss: str | Loss,
        optimizer: str | Optimizer | None = None,
        batch_size: int = DEFAULT_BATCH_SIZE,
        epochs: int = 20,
        shuffle: bool = True,
        sample_weight: npt.ArrayLike | None = None,
        class_weight: Any = None,
        validation_data: Any = None,
        validation_fraction: float | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
        penalize_biases: bool = False,
        divide_penalties: bool = False,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        early_stopping: EarlyStopping | None = None,
        callbacks: Iterable[Callback | Callable[[Progress], object]] = (),
        progress: bool | None = None,
        resume: bool = False,
        resume_from: str | os.PathLike[str] | None = None,
        seed: int | None = None,
        precision: str | None = None,
        shards: int | None = None,
        threads: int | None = None,
    ) -> History:
        """Train the model, from its present parameters.

        The same data, settings and seed give the same parameters, bit for bit. Ctrl-C raises
        KeyboardInterrupt and leaves the parameters of the last complete step and a `history` of the
        finished epochs; the model can be used, trained and resumed.

        During the fit, callbacks see the parameters after the last complete step. In other threads
        :meth:`predict` and :meth:`evaluate` may mix parameters of several steps, and all other
        methods that read or change parameters raise RuntimeError. To predict there, use a
        :meth:`copy` that a callback made.

        Parameters
        ----------
        X : array_like, shape (n_samples, in_features)
            Features; finite. Any layout and real type; converted once if it differs from the
            model's, never written to.
        y : array_like
            Targets, one row for each row of X. ``cross_entropy``: labels in [0, out_features) of
            shape (n_samples,), or probabilities (n_samples, out_features). ``quantile``:
            (n_samples, out_features / levels). ``gaussian_nll``: (n_samples, out_features / 2).
            Others: (n_samples, out_features), for ``binary_cross_entropy`` in [0, 1], for
            ``poisson`` >= 0. One column may have the shape (n_samples,).
        loss : str or Loss
            See :class:`Trainer`.
        optimizer : str or Optimizer, default Adam()
            See :class:`Trainer`. :class:`LBFGS` takes all rows as one batch.
        batch_size : int, default 128
            Rows per step, at least 1; the last batch of an epoch may be short. With batch
            normalization at least 2, and a single row left over joins the batch before.
        epochs : int, default 20
            Passes over the data, at least 1.
        shuffle : bool, default True
            Visit the rows in a new order each epoch, drawn from the seed.
        sample_weight : array_like, shape (n_samples,), optional
            A weight >= 0 for each row, not all 0.
        class_weight : dict, array_like or "balanced", optional
            For labels (``cross_entropy``, or ``binary_cross_entropy`` with one output): a weight >=
            0 for each class, which multiplies the sample weights. A dict may omit classes of weight
            1; "balanced" is n_samples / (n_classes * rows of the class). Validation ignores class
            weights.
        validation_data : tuple (X, y) or (X, y, sample_weight), optional
            Evaluated after each epoch.
        validation_fraction : float, optional
            Hold out this share of the rows, in (0, 1), drawn from the seed, in place of
            `validation_data`.
        l1, l2, penalize_biases, divide_penalties, clip_norm, clip_value
            See :class:`Trainer`.
        early_stopping : EarlyStopping, optional
            When to end the training early.
        callbacks : sequence of function or Callback, default ()
            Called with a :class:`Progress` after each epoch; see :class:`Callback`. An exception in
            a callback ends the training and propagates. A :class:`Checkpoint` among them writes the
            training to a file.
        progress : bool, optional
            Show a progress bar: True needs tqdm. By default a bar is shown if tqdm is installed, in
            a Jupyter notebook or if stderr is a terminal, for a fit that the main thread of the
            first process calls and that takes more than half a second. Lines that callbacks print
            stand above it.
        resume : bool, default False
            Resume the last training of this model: its optimizer state, steps, epochs, shuffles and
            history. If it ended within an epoch, it finishes that epoch first, from where it
            stopped, if rows, `batch_size` and `shuffle` are the same; otherwise it restarts the
            epoch. Loss, penalties, clipping, and the optimizer and seed if given, must equal those
            of that training. ``fit(epochs=10)`` and then ``fit(epochs=10, resume=True)`` give the
            bits of ``fit(epochs=20)``, except with schedules that depend on the number of epochs
            and with `early_stopping`, which starts over.
        resume_from : str or os.PathLike, optional
            Resume from a :class:`Checkpoint` instead of the current parameters: the same call,
            repeated after the process was killed at any moment, ends in the same bits as an
            uninterrupted one. `epochs` includes those done before; it may be larger than in the
            killed call, unless the schedule depends on it. Network, settings and data must equal
            those of that call; threads, callbacks and `progress` may differ. A finished training is
            not continued, but a callback that ended it is called once more. If the file does not
            exist yet, the training starts as without `resume_from`, provided one of `callbacks` is
            a :class:`Checkpoint` that writes it.
        seed : int, optional
            For shuffles and `validation_fraction`, in [0, 2**64); by default the model's. Dropout
            uses the model's seed.
        precision : str, optional
            Of the products, see :class:`MLP`; by default the model's. The model keeps it.
        shards : int, optional
            In how many blocks of rows to sum the gradient of each batch, in [1, 1024]. The rows are
            cut into blocks of ceil(rows / shards), the last one smaller; the sum of each block is
            one chain, and the sums are added in a balanced tree. This number decides bits, threads
            do not. A training that processes share needs at least as many shards as processes. By
            default sizes decide: 1 for large networks, 2 to 32 for small ones. With batch
            normalization, whose statistics are of all rows, None or 1.
        threads : int, optional
            Maximum number of threads, in [1, 1024], the calling one included; small work takes
            fewer. By default :func:`chainrule.runtime.num_threads`. The result has the same bits
            for any number.

        Returns
        -------
        History
            Losses, scores, learning rates and times by epoch; kept as `history` too.

        Raises
        ------
        ValueError, TypeError
            For invalid arguments; nothing has changed then.
        DivergenceError
            If loss, gradient or parameters are not finite; the model keeps the parameters of the
            step before.
        ImportError
            For ``progress=True`` without tqdm.
        RuntimeError
            If the model is already in training, by another thread or around a callback.
        ModelFileError
            If `resume_from` is not an intact checkpoint.
        OSError
            If `resume_from` cannot be read, FileNotFoundError if it is missing; if a checkpoint
            cannot be written, which ends the training.

        Examples
        --------
        >>> import numpy as np
        >>> import chainrule as cr
        >>> X = np.random.default_rng(0).normal(size=(200, 2))
        >>> y = (X[:, 0] * X[:, 1] > 0).astype(int)
        >>> model = cr.MLP([2, 32, 2])
        >>> history = model.fit(
        ...     X,
        ...     y,
        ...     loss="cross_entropy",
        ...     optimizer=cr.AdamW(1e-2),
        ...     batch_size=20,
        ...     epochs=50,
        ...     validation_fraction=0.25,
        ...     early_stopping=cr.EarlyStopping(patience=10),
        ... )
        >>> model.evaluate(X, y, loss="cross_entropy").score > 0.9
        True
        """
        resume = _arguments.boolean(resume, "resume")
        trainer = self._trainer if resume else None
        if resume and trainer is None:
            raise ValueError("resume must be False before the first fit of this model, got True")
        settings = Settings.check(
            self,
            loss=loss,
            optimizer=trainer.optimizer if trainer and optimizer is None else optimizer,
            l1=l1,
            l2=l2,
            penalize_biases=penalize_biases,
            divide_penalties=divide_penalties,
            clip_norm=clip_norm,
            clip_value=clip_value,
            seed=trainer.seed if trainer and seed is None else seed,
            precision=trainer.precision if trainer and precision is None else precision,
            shards=trainer.shards if trainer and shards is None else shards,
        )
        if trainer is None:
            trainer = Trainer(self, **vars(settings))
        else:
            trainer.require_same(settings)
        return trainer.fit(
            X,
            y,
            batch_size=batch_size,
            epochs=epochs,
            shuffle=shuffle,
            sample_weight=sample_weight,
            class_weight=class_weight,
            validation_data=validation_data,
            validation_fraction=validation_fraction,
            early_stopping=early_stopping,
            callbacks=callbacks,
            progress=progress,
            resume_from=resume_from,
            threads=threads,
        )


def _restore(
    layers: tuple[int | Standardize | Dense, ...],
    dtype: str,
    seed: int,
    precision: str,
    parameters: Floats,
    running_statistics: Floats,
) -> MLP:
    """Make a model from its numbers, for copies and pickles."""
    model = MLP(layers, dtype=dtype, seed=seed, precision=precision)
    model.parameters[:] = parameters
    model.running_statistics[:] = running_statistics
    return model
