"""The weights of PyTorch's recurrent modules, packed for `stack_forward`. PyTorch itself is not needed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from .._core import PackedWeights
from .._typing import Array
from ..functional._cells import CELLS

__all__ = ["KEY", "NAMES", "cell_of", "torch_layers"]

# Of the parameters: as PyTorch calls them, and as the functions do.
NAMES = {"weight_ih": "w_ih", "weight_hh": "w_hh", "bias_ih": "b_ih", "bias_hh": "b_hh", "weight_hr": "w_hr"}
# The name of a parameter in a module: what it is, the number of the layer, and "_reverse" for the other direction.
KEY = re.compile(rf"({'|'.join(NAMES)})(?:_l(\d{{1,4}})(_reverse)?)?")
_KEY_AT_END = re.compile(rf"(?<![^.]){KEY.pattern}$")
_CELLS = {1: "rnn", 3: "gru", 4: "lstm"}  # by the number of gates


def cell_of(arrays: Mapping[str, Array], where: str) -> str:
    """The cell of which w_hh is, and w_hr where there is one. ValueError for other shapes; `where` is its name."""
    shape = arrays["w_hh"].shape
    *_, hidden = (0, *arrays.get("w_hr", arrays["w_hh"]).shape)
    gates, rest = divmod(shape[0], hidden) if len(shape) == 2 and hidden else (0, 0)
    if rest or gates not in _CELLS:
        raise ValueError(f"{where}: expected shape (G*H, H) with G of 1, 3 or 4 gates, got {shape}")
    return _CELLS[gates]


def torch_layers(state: Mapping[str, Any], prefix: str = "", **options: Any) -> list[tuple[PackedWeights, ...]]:
    """Packs what the ``state_dict()`` of a torch.nn.RNN, LSTM or GRU holds, or of an RNNCell, LSTMCell or GRUCell.

        layers = torch_layers(module.state_dict())
        y, h_n, c_n = fastrnn.stack_forward(x, layers)  # as module(x)

    Args:
        state: names to arrays: tensors on the CPU, or what ``safetensors.numpy.load_file`` gives.
        prefix: names that do not begin with it are left out: "encoder.lstm." for a part of a model.
        **options: of ``pack_rnn``, ``pack_lstm`` or ``pack_gru``, as ``dtype="int8"``. Whether an RNN has tanh or relu
            is not among its weights: give ``activation="relu"``.

    Returns:
        For each layer a tuple of its one or two directions. Which cell they are of follows from the shapes.

    Raises:
        ValueError: no weights, a name which those modules have not, one that is missing, or a wrong shape.
        TypeError: no mapping from names, or an option which the cell has not.

    Example:
        >>> state = {"weight_ih_l0": np.zeros((16, 3)), "weight_hh_l0": np.zeros((16, 4))}
        >>> layers = fastrnn.interop.torch_layers(state)
        >>> fastrnn.stack_forward(np.ones((5, 2, 3)), layers).y.shape
        (5, 2, 4)
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"state: expected a mapping from names to arrays, got {type(state).__name__}")
    if not isinstance(prefix, str):
        raise TypeError(f"prefix: expected a str, got {type(prefix).__name__}")
    layers: dict[tuple[int, int], dict[str, Array]] = {}
    expected = f"state: expected names as {prefix}weight_ih_l0"
    for key, value in state.items():
        if not isinstance(key, str):
            raise TypeError(f"{expected}, got a key of type {type(key).__name__}")
        if not key.startswith(prefix):
            continue
        match = KEY.fullmatch(key[len(prefix) :])
        if match is None:
            raise ValueError(f"{expected}, got {key!r}{_prefix_hint(state)}")
        name, layer, reverse = match.groups()
        layers.setdefault((int(layer or 0), int(reverse is not None)), {})[NAMES[name]] = np.asarray(value)
    if not layers:
        raise ValueError(f"{expected}, got none{_prefix_hint(state)}")
    depth, directions = (1 + max(index) for index in zip(*layers, strict=True))
    return [tuple(_pack(layers.get((k, d), {}), k, d, options) for d in range(directions)) for k in range(depth)]


def _prefix_hint(state: Mapping[str, Any]) -> str:
    """Name the prefixes under which `state` has a module's weights, where there are any."""
    found = {key[: match.start()] for key in state if isinstance(key, str) and (match := _KEY_AT_END.search(key))}
    prefixes = sorted(found - {""})
    return f"; did you mean prefix={' or '.join(repr(p) for p in prefixes[:3])}?" if prefixes else ""


def _pack(arrays: dict[str, Array], layer: int, direction: int, options: dict[str, Any]) -> PackedWeights:
    suffix = f"_l{layer}" + ("_reverse" if direction else "")
    for name in ("weight_ih", "weight_hh"):
        if NAMES[name] not in arrays:
            raise ValueError(f"state: expected {name}{suffix}, got none")
    packed: PackedWeights = CELLS[cell_of(arrays, f"weight_hh{suffix}")].pack(**arrays, **options)
    return packed
