"""Nodes and constants of an ONNX graph in the making."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...layers import AveragePooling1D, Conv1D, MaxPooling1D
from ...model import Sequential

__all__ = ["Graph"]


class Graph:
    """Nodes and constants in the making."""

    def __init__(self, onnx: Any, dtype: np.dtype[Any], opset: int) -> None:
        self.onnx = onnx
        self.dtype = dtype
        self.opset = opset
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._count = 0

    def name(self, what: str) -> str:
        """A name that no other tensor or node has."""
        self._count += 1
        return f"{what}_{self._count}"

    def constant(self, array: Any, what: str = "c") -> str:
        """A tensor of the graph: floats in its dtype, integers as int64."""
        array = np.asarray(array)
        array = np.ascontiguousarray(array, self.dtype if array.dtype.kind == "f" else np.int64).reshape(array.shape)
        name = self.name(what)
        self._constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def node(self, op: str, inputs: list[str], *, outputs: list[str] | None = None, **attributes: Any) -> str:
        """Append a node; return the name of its first output."""
        names = outputs or [self.name(op.lower())]
        self._nodes.append(self.onnx.helper.make_node(op, inputs, names, name=self.name(op), **attributes))
        return next(name for name in names if name)

    def reduce(self, op: str, x: str, axis: int, *, keepdims: bool) -> str:
        """A ReduceMean or ReduceMax over one axis, which is an attribute before opset 18."""
        if self.opset < 18:
            return self.node(op, [x], axes=[axis], keepdims=int(keepdims))
        return self.node(op, [x, self.constant(np.array([axis]))], keepdims=int(keepdims))

    def finish(self, model: Sequential, integers: bool) -> Any:
        """The model of all nodes, from `x` to `y`, checked."""
        onnx, helper = self.onnx, self.onnx.helper
        kind = onnx.TensorProto.FLOAT if self.dtype == np.float32 else onnx.TensorProto.DOUBLE
        assert model.input_shape is not None
        assert model.output_shape is not None
        taken = onnx.TensorProto.INT64 if integers else kind
        time = "time" if _keeps_steps(model) else "steps"
        graph = helper.make_graph(
            self._nodes,
            model.name,
            [helper.make_tensor_value_info("x", taken, _axes(model.input_shape))],
            [helper.make_tensor_value_info("y", kind, _axes(model.output_shape, time))],
            self._constants,
        )
        opsets = [helper.make_opsetid("", self.opset)]
        proto = helper.make_model(
            graph, opset_imports=opsets, producer_name="fastrnn", ir_version=helper.find_min_ir_version_for(opsets)
        )
        onnx.checker.check_model(proto, full_check=True)
        return proto


def _axes(shape: tuple[int | None, ...], time: str = "time") -> list[int | str]:
    names = ("batch", time, "features")
    return [names[min(i, 2)] if size is None else size for i, size in enumerate(shape)]


def _keeps_steps(model: Sequential) -> bool:
    """Whether the output has a step for each of the input: a convolution or pooling may have fewer."""
    windows = [layer.windows for layer in model.layers if isinstance(layer, Conv1D | MaxPooling1D | AveragePooling1D)]
    return all(w.strides == 1 and (w.padding != "valid" or w.size == 1) for w in windows)
