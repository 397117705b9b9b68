"""How frameworks lay out the weights of their recurrent cells: the one table that importers and exporters go by.

Canonical is what the functions take: kernels (G*H, I) and (G*H, H), gates i, f, g, o of an LSTM and r, z, n of a GRU,
biases b_ih and b_hh (G*H,). A row of the table says how a framework's arrays differ from that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

from .._registry import choice_error
from .._typing import Array

__all__ = ["CANONICAL", "CONVENTIONS", "Convention", "find_convention", "from_canonical", "to_canonical"]

CANONICAL = {"rnn": "h", "gru": "rzn", "lstm": "ifgo"}
"""The gates of each cell, a letter each, in the order of the functions."""

Bias = Literal["two", "one", "rows", "joined"]


class Convention(NamedTuple):
    """One framework's layout of one cell.

    Attributes:
        gates: the letters of `CANONICAL` in the framework's order.
        transposed: the kernels are (I, G*H) and (H, G*H): y = x K.
        bias: "two": b_ih and b_hh apart. "one": a single (G*H,), which stands for their sum. "rows": one array (2, G*H)
            of both. "joined": one array (2*G*H,) of both.
        forget_bias: what the framework's cell adds to its forget gate beside the bias.
        negated_update: the framework's GRU has h' = (1-z)*h + z*n, so that its z is 1 - z here. Since sigmoid(-x) is
            1 - sigmoid(x), the weights and biases of z change their sign.
        flat_kernels: each gate's block of a transposed kernel holds the numbers of its transpose, row after row, as
            Keras 2 wrote the layers of cuDNN.
        initial_state: trained states before the first step come with the weights.
    """

    gates: str
    transposed: bool = False
    bias: Bias = "two"
    forget_bias: float = 0.0
    negated_update: bool = False
    flat_kernels: bool = False
    initial_state: bool = False


_TORCH = {"rnn": Convention("h"), "gru": Convention("rzn"), "lstm": Convention("ifgo")}
_KERAS = {
    "rnn": Convention("h", transposed=True, bias="one"),
    "gru": Convention("zrn", transposed=True, bias="rows"),  # reset_after=True, the default of Keras 3
    "gru_before": Convention("zrn", transposed=True, bias="one"),  # reset_after=False
    "lstm": Convention("ifgo", transposed=True, bias="one"),
}

CONVENTIONS: dict[str, dict[str, Convention]] = {
    "torch": _TORCH,
    "keras": _KERAS,
    # Keras 2's CuDNNLSTM and CuDNNGRU in its .h5 files.
    "keras_cudnn": {
        "gru": Convention("zrn", transposed=True, bias="joined", flat_kernels=True),
        "lstm": Convention("ifgo", transposed=True, bias="joined", flat_kernels=True),
    },
    # linear_before_reset is an attribute of the node; both forms have the same arrays.
    "onnx": {
        "rnn": Convention("h", bias="joined"),
        "gru": Convention("zrn", bias="joined"),
        "lstm": Convention("iofg", bias="joined"),
    },
    # Written by Keras scripts: https://github.com/jatinchowdhury18/RTNeural, python/model_utils.py.
    "rtneural": {"gru": _KERAS["gru"], "lstm": _KERAS["lstm"]},
    # https://github.com/sdatkinson/neural-amp-modeler, nam/models/recurrent.py: PyTorch's with the biases added up.
    "nam": {"lstm": Convention("ifgo", bias="one", initial_state=True)},
    # https://github.com/clab/dynet, VanillaLSTMBuilder.
    "dynet": {"lstm": Convention("ifog", bias="one", forget_bias=1.0)},
    # chainer.links.StatefulGRU: h' = (1 - z) h + z n.
    "chainer": {"gru": Convention("rzn", bias="two", negated_update=True)},
}


def find_convention(framework: str | Convention, cell: str) -> Convention:
    """Return the row of a framework's cell; a `Convention` comes back unchanged. ValueError without one."""
    if isinstance(framework, Convention):
        if sorted(framework.gates) != sorted(CANONICAL[cell.partition("_")[0]]):
            expected = CANONICAL[cell.partition("_")[0]]
            raise ValueError(f"gates: expected an order of the letters {expected!r}, got {framework.gates!r}")
        return framework
    if framework not in CONVENTIONS:
        raise choice_error("convention", CONVENTIONS, framework)
    if cell not in CONVENTIONS[framework]:
        raise choice_error(f"cell of {framework}", CONVENTIONS[framework], cell)
    return CONVENTIONS[framework][cell]


def to_canonical(convention: Convention, arrays: Mapping[str, Array], units: int) -> dict[str, Array]:
    """Turn a framework's arrays into the functions' parameters.

    Args:
        convention: the framework's.
        arrays: "w_ih", "w_hh" and, if there is a bias, "b_ih" (and "b_hh" where there are two), as the framework has
            them.
        units: H.

    Returns:
        The same names, canonical. Biases of the forms "rows" and "joined" come apart.

    Raises:
        ValueError: an array of another shape than the convention says.
    """
    cell = _cell_of(convention)
    order = [convention.gates.index(gate) for gate in CANONICAL[cell]]
    rows = len(order) * units
    result: dict[str, Array] = {}
    for name in ("w_ih", "w_hh"):
        kernel = np.asarray(arrays[name])
        axes = "(I, G*H)" if convention.transposed else "(G*H, I)"
        if kernel.ndim != 2 or kernel.shape[1 if convention.transposed else 0] != rows:
            raise ValueError(f"{name}: expected shape {axes} with G*H of {rows}, got {kernel.shape}")
        if convention.flat_kernels:
            blocks = np.split(kernel, len(order), axis=1)
            kernel = np.concatenate([_unflatten(block) for block in blocks])
        elif convention.transposed:
            kernel = kernel.T
        result[name] = _reorder(kernel, order, units)
    for name, bias in _split_bias(convention, arrays, rows).items():
        result[name] = _reorder(bias, order, units)
    if convention.forget_bias:
        bias = result.get("b_ih", np.zeros(rows, result["w_ih"].dtype)).copy()
        bias[_rows_of(cell, "f", units)] += convention.forget_bias
        result["b_ih"] = bias
    if convention.negated_update:
        result = {name: _negate(array, _rows_of(cell, "z", units)) for name, array in result.items()}
    return {name: np.ascontiguousarray(array) for name, array in result.items()}


def from_canonical(convention: Convention, arrays: Mapping[str, Array], units: int) -> dict[str, Array]:
    """Turn the functions' parameters into a framework's arrays: the reverse of `to_canonical`.

    Biases that are not there become zeros, as all frameworks have them; of the form "one" they are added up.
    """
    if convention.flat_kernels:
        raise ValueError("convention: expected one that is written, got a layout of old files that is only read")
    cell = _cell_of(convention)
    rows = len(convention.gates) * units
    order = [CANONICAL[cell].index(gate) for gate in convention.gates]
    dtype = arrays["w_ih"].dtype
    canonical = {name: arrays.get(name, np.zeros(rows, dtype)) for name in ("w_ih", "w_hh", "b_ih", "b_hh")}
    if convention.forget_bias:
        canonical["b_ih"] = canonical["b_ih"].copy()
        canonical["b_ih"][_rows_of(cell, "f", units)] -= convention.forget_bias
    if convention.negated_update:
        canonical = {name: _negate(array, _rows_of(cell, "z", units)) for name, array in canonical.items()}
    result = {name: _reorder(array, order, units) for name, array in canonical.items()}
    if convention.transposed:
        result |= {name: result[name].T for name in ("w_ih", "w_hh")}
    if convention.bias != "two":
        first, second = result.pop("b_ih"), result.pop("b_hh")
        joined = {
            "one": lambda: first + second,
            "rows": lambda: np.stack([first, second]),
            "joined": lambda: np.concatenate([first, second]),
        }
        result["b_ih"] = joined[convention.bias]()
    return {name: np.ascontiguousarray(array) for name, array in result.items()}


def _cell_of(convention: Convention) -> str:
    return next(cell for cell, gates in CANONICAL.items() if sorted(gates) == sorted(convention.gates))


def _reorder(array: Array, order: list[int], units: int) -> Array:
    if order == sorted(order):
        return array
    result: Array = array.reshape(len(order), units, *array.shape[1:])[order].reshape(array.shape)
    return result


def _rows_of(cell: str, gate: str, units: int) -> slice:
    place = CANONICAL[cell].index(gate)
    return slice(place * units, (place + 1) * units)


def _negate(array: Array, rows: slice) -> Array:
    result: Array = array.copy()
    np.negative(result[rows], out=result[rows])
    return result


def _unflatten(block: Array) -> Array:
    """One gate's kernel (I, H) of the flat form as (H, I)."""
    return np.ascontiguousarray(block).reshape(block.shape[::-1])


def _split_bias(convention: Convention, arrays: Mapping[str, Array], rows: int) -> dict[str, Array]:
    shapes = {"two": (rows,), "one": (rows,), "rows": (2, rows), "joined": (2 * rows,)}
    found = {name: np.asarray(arrays[name]) for name in ("b_ih", "b_hh") if name in arrays}
    for name, bias in found.items():
        if name == "b_hh" and convention.bias != "two":
            raise ValueError(f"b_hh: expected none, as the bias is one array, got shape {bias.shape}")
        if bias.shape != shapes[convention.bias]:
            raise ValueError(f"{name}: expected shape {shapes[convention.bias]}, got {bias.shape}")
    if convention.bias in ("rows", "joined") and found:
        first, second = found["b_ih"].reshape(2, rows)
        return {"b_ih": first, "b_hh": second}
    return found
