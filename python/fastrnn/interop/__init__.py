"""Models of other libraries, both ways: a module for each format, and one table of their conventions.

    model = fastrnn.interop.keras.load("model.keras")     # a Sequential: train it, predict, save it
    stream = model.to_native()                            # for Session and StreamPool
    fastrnn.interop.onnx.save(model, "model.onnx")

Every importer returns a built `Sequential` and uses every tensor of the file, or names it in an error. The modules are
called alike: ``load(path)``, ``save(model, path)``, and ``from_...`` and ``to_...`` for what is in memory. NumPy is all
that most of this needs; docs/interop.md says what needs more. `load` and `save` here go by the ending of a file's name.
"""

from __future__ import annotations

from . import arrays, conventions, keras, nam, onnx, rtneural, torch
from ._onnx_node import onnx_node
from ._torch_layers import torch_layers
from .formats import load, save

__all__ = [
    "arrays", "conventions", "keras", "load", "nam", "onnx", "onnx_node", "rtneural", "save", "torch", "torch_layers",
]  # fmt: skip
