"""Models from and to other libraries: PyTorch, scikit-learn, ONNX, and C.

Each function imports the library that it needs when it is called; none of them is needed to train.
"""

from __future__ import annotations

from ._c import to_c
from ._onnx import to_onnx
from ._skl2onnx import register_skl2onnx
from ._state_dict import from_state_dict, to_state_dict
from ._torch import from_torch, to_torch
from ._weights import from_sklearn, from_weights

__all__ = [
    "from_sklearn",
    "from_state_dict",
    "from_torch",
    "from_weights",
    "register_skl2onnx",
    "to_c",
    "to_onnx",
    "to_state_dict",
    "to_torch",
]
