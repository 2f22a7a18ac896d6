"""Array types that the public modules and _core.pyi share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    import numpy as np
    import numpy.typing as npt

    # The element type of a network or of a kernel call; one call never mixes the two.
    Floats: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.float64]
    Labels: TypeAlias = npt.NDArray[np.int32]
    Reduction: TypeAlias = Literal["mean", "sum"]
