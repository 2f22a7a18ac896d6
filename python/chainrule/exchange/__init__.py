"""Models to and from other libraries: PyTorch, scikit-learn, ONNX and C."""

from __future__ import annotations

from ._c import to_c
from ._onnx import to_onnx
from ._skl2onnx import register_skl2onnx

__all__ = ["register_skl2onnx", "to_c", "to_onnx"]
