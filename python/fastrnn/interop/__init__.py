"""Models and operators of other libraries, run by fastrnn. NumPy is all that this needs."""

from __future__ import annotations

from ._onnx_node import onnx_node
from ._torch_layers import torch_layers

__all__ = ["onnx_node", "torch_layers"]
