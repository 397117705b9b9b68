"""ONNX: models written as graphs, which onnxruntime and its likes run.

`load` makes a graph a native model, which streams; `save` writes a Sequential as a graph. `fastrnn.interop.onnx_node`
runs single nodes.
"""

from .export import save, to_model
from .graph import load, read_layers

__all__ = ["load", "read_layers", "save", "to_model"]
