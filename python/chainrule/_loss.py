"""The base of losses; _losses.py has the losses."""

from __future__ import annotations

from dataclasses import make_dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from . import _core, _validation
from ._links import LINKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from ._links import Link
    from ._scores import Score
    from ._typing import Floats, Labels


_LISTED = _core.losses()
_OUTPUTS = _core.links()


class Loss:
    """Base of the losses; never used directly."""

    name: ClassVar[str]
    # Between which values targets are; None: no bound.
    target_range: ClassVar[tuple[float | None, float | None]] = (None, None)
    # Root mean square of targets beyond which a network hardly learns them, see _scale.py. Only
    # where outputs have the units of targets.
    largest_target: ClassVar[float] = 1000.0
    # The list's columns that every step needs: looked up once, since a step may take microseconds.
    _takes_labels: ClassVar[bool]
    _outputs_per_target: ClassVar[int | None]  # None: one for each of _values

    def __init_subclass__(cls) -> None:
        info = _LISTED[cls.name]
        cls._takes_labels = info["targets"] == "labels"
        cls._outputs_per_target = _OUTPUTS[info["link"]]

    @property
    def link(self) -> Link:
        """What the outputs of a network trained with this loss mean.

        ``link.name`` is a row of the table of links in functions.md, ``link.outputs_per_target``
        says how many outputs predict one target, and ``link.predictions(outputs)`` computes values,
        means, rates, probabilities or quantiles from the outputs of :meth:`MLP.predict`.

        Examples
        --------
        >>> import chainrule as cr
        >>> link = cr.Poisson().link
        >>> link.name
        'exp'
        >>> link.predictions([[0.0], [1.0]]).round(3).tolist()
        [[1.0], [2.718]]
        >>> cr.Quantile([0.1, 0.9]).link.outputs_per_target
        2
        """
        return LINKS[_LISTED[self.name]["link"]].of_values(self._values())

    def _values(self) -> Sequence[float]:
        """Return what there is an output for, each, such as levels of quantiles."""
        return ()

    def spec(self) -> _core.LossSpec:
        """Return what the compiled module takes."""
        return _core.LossSpec(self.name)

    def n_targets(self, out_features: int) -> int:
        """Return how many target columns go with a model of `out_features` outputs."""
        per_target = self._outputs_per_target or len(self._values())
        if per_target == 1:
            return out_features
        n_targets, rest = divmod(out_features, per_target)
        if rest or not n_targets:
            raise ValueError(
                f"the model must have a multiple of {per_target} outputs for {self}, "
                f"got {out_features}"
            )
        return n_targets

    def targets(
        self,
        y: npt.ArrayLike,
        dtype: np.dtype[Any],
        n_rows: int,
        out_features: int,
        argument: str = "y",
    ) -> Floats | Labels:
        """Check targets and convert them to what the compiled module takes.

        Labels are integers of shape (batch_size,), or probabilities, one column for each class.
        """
        n_columns = self.n_targets(out_features)
        if self._takes_labels:
            array = _validation.classes(y, argument)
            if array.ndim == 2 and array.shape[1] != 1:
                return _validation.probabilities(array, argument, dtype, n_rows, n_columns)
            return _validation.labels(array, argument, n_rows, n_columns)
        values = _validation.target_values(y, argument, dtype, n_rows, n_columns)
        low, high = self.target_range
        if low is not None:
            _validation.require_range(values, argument, low, high, self.name)
        return values

    def terms(self, out_features: int) -> int:
        """Return of how many terms, one for each column, the loss of a row is the mean."""
        return self.link.terms(out_features)

    def row_weights(
        self, targets: Floats | Labels, sample_weight: Floats | None
    ) -> npt.NDArray[np.floating[Any]] | None:
        """Return the weights by which "mean" averages rows; None when all are 1."""
        return sample_weight

    def score(self, out_features: int) -> Score | None:
        """Return a new accumulator of the score, or None when there is none for this loss."""
        return self.link.score(out_features)


def listed(name: str, info: _core.LossInfo) -> type[Loss]:
    """Make the class of a loss that the compiled module lists and that needs no Python code."""

    def spec(self: Loss) -> _core.LossSpec:
        return _core.LossSpec(name, getattr(self, info["parameter"] or "", info["default"]))

    parameter = info["parameter"]
    fields = [] if parameter is None else [(parameter, float, info["default"])]
    return make_dataclass(
        name, fields, bases=(Loss,), namespace={"name": name, "spec": spec}, frozen=True
    )
