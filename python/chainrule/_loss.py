"""The base of losses; _losses.py has the losses."""

from __future__ import annotations

from dataclasses import make_dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from . import _core, _validation
from ._scores import Determination

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ._scores import Score
    from ._typing import Floats, Labels


class Loss:
    """Base of the losses; never used directly."""

    name: ClassVar[str]
    # Root mean square of targets beyond which a network hardly learns them, see _scale.py; None
    # where outputs are logits or logarithms, not values like the targets.
    largest_target: ClassVar[float | None] = 1000.0

    def spec(self) -> _core.LossSpec:
        """Return what the compiled module takes."""
        return _core.LossSpec(self.name)

    def n_targets(self, out_features: int) -> int:
        """Return how many target columns go with a model of `out_features` outputs."""
        return out_features

    def targets(
        self,
        y: npt.ArrayLike,
        dtype: np.dtype[Any],
        n_rows: int,
        out_features: int,
        argument: str = "y",
    ) -> Floats | Labels:
        """Check targets and convert them to what the compiled module takes."""
        n_columns = self.n_targets(out_features)
        return _validation.target_values(y, argument, dtype, n_rows, n_columns)

    def terms(self, out_features: int) -> int:
        """Return of how many terms, one for each column, the loss of a row is the mean."""
        return out_features

    def row_weights(
        self, targets: Floats | Labels, sample_weight: Floats | None
    ) -> npt.NDArray[np.floating[Any]] | None:
        """Return the weights by which "mean" averages rows; None when all are 1."""
        return sample_weight

    def score(self, out_features: int) -> Score | None:
        """Return a new accumulator of the score, or None when there is none for this loss."""
        return Determination(lambda outputs: outputs)


def listed(name: str, info: _core.LossInfo) -> type[Loss]:
    """Make the class of a loss that the compiled module lists and that needs no Python code."""

    def spec(self: Loss) -> _core.LossSpec:
        return _core.LossSpec(name, getattr(self, info["parameter"] or "", info["default"]))

    parameter = info["parameter"]
    fields = [] if parameter is None else [(parameter, float, info["default"])]
    return make_dataclass(
        name, fields, bases=(Loss,), namespace={"name": name, "spec": spec}, frozen=True
    )
