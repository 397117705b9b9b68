"""Models and operators of other libraries, run by fastrnn. NumPy is all that this needs."""

from __future__ import annotations

from ._onnx_node import onnx_node

__all__ = ["onnx_node"]
