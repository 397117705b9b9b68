"""ONNX: models written as graphs for onnxruntime and its likes. `fastrnn.interop.onnx_node` runs single nodes."""

from .export import save, to_model

__all__ = ["save", "to_model"]
