"""Models to and from other libraries: PyTorch, scikit-learn, ONNX and C."""

from __future__ import annotations

from ._c import to_c

__all__ = ["to_c"]
