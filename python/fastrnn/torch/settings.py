"""What a module of this package has beside the attributes of its counterpart in torch.nn."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from .packing import Store
from .plan import PARAMETERS as NAMES
from .plan import Plan, describe, draws, sort_options, write

_DTYPES = ("float32", "float64", "bfloat16", "bfloat16_weights", "int8")
_BACKENDS = (None, "fastrnn")


class Settings:
    """The options of one module, in one attribute, and its packed weights.

    Args:
        cell: "rnn", "lstm" or "gru". names: of the parameters of a layer in one direction, as the functions call them.
        weights, run: the options beyond torch.nn's. dtype: of the packed weights in inference, None for the module's.
        backend: "fastrnn" for a module whose tensors on a GPU go to fastrnn's kernels, None for torch.nn's there.
        known: the keywords that the module takes beside its options, for the error of one that it does not take.
    """

    def __init__(
        self,
        owner: str,
        cell: str,
        names: list[str],
        options: dict[str, Any],
        dtype: str | None = None,
        backend: str | None = None,
        known: Iterable[str] = (),
    ) -> None:
        dtype = weight_dtype("weight_dtype", dtype)
        if backend not in _BACKENDS:
            raise ValueError(f"backend: expected None or 'fastrnn', got {backend!r}")
        self.cell, self.names, self.dtype, self.backend = cell, names, dtype, backend
        self.weights, self.run = sort_options(owner, cell, options, known)
        self.store = Store()
        self.has_c = cell == "lstm"
        self._describe()

    def _describe(self) -> None:
        self.text = describe(self.cell, self.names, self.weights, self.run, self.dtype)
        self.draws = draws(self.weights, self.run)
        self._plans: dict[tuple[Any, ...], Plan] = {}

    def set_activation(self, activation: str) -> None:
        """Give an RNN its nonlinearity, unless it has an activation of its own."""
        self.weights.setdefault("activation", activation)
        self._describe()

    def plain(self) -> bool:
        """Whether torch.nn's module computes the same."""
        extra = {"w_peep", "ln_ih", "ln_hh", "ln_c"}.intersection(self.names)
        activation = {name: value for name, value in self.weights.items() if name != "activation" or self.cell != "rnn"}
        return not (extra or activation or self.run)

    def plan(self, *arguments: Any) -> Plan:
        """The plan of a call, from the arguments of `plan.write` without its first."""
        found = self._plans.get(arguments)
        if found is None:
            found = self._plans[arguments] = Plan.read(write(self.text, *arguments))
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "store": Store(), "_plans": {}}


def function_name(name: str) -> str:
    """The name that the functions have for a parameter of a module: "w_ih" for "weight_ih_l0_reverse"."""
    return NAMES[name.split("_l")[0]]


def weight_dtype(argument: str, value: Any) -> str | None:
    """The name of the dtype that weights are packed in, given as such or as a torch.dtype; None stays None."""
    name = str(value).removeprefix("torch.") if isinstance(value, torch.dtype) else value
    if name is not None and name not in _DTYPES:
        raise ValueError(f"{argument}: expected None or one of {', '.join(_DTYPES)}, got {value!r}")
    return name


def pair(hx: Any) -> tuple[Any, Any]:
    """The two states of an LSTM; TypeError where one tensor or something else came."""
    if not isinstance(hx, (tuple, list)) or len(hx) != 2:
        got = f"{len(hx)} of them" if isinstance(hx, (tuple, list)) else f"a {type(hx).__name__}"
        raise TypeError(f"hx: expected the two states (h0, c0) of an LSTM, got {got}")
    return hx[0], hx[1]


def check_input(x: Any, weights: Any, first: str, h0: Any, c0: Any) -> tuple[Any, Any, Any]:
    """Return x and the states in a dtype that can be computed: autocast's half precision becomes float32.

    Args:
        x: the input. weights: the parameters; `first` is the name of the first. h0, c0: None where not given.

    Raises:
        TypeError: a dtype is none that can be computed, or not that of the parameters.
        ValueError: not everything is on one device.
    """
    dtype = weights[0].dtype
    if dtype is not _FLOAT and dtype is not _DOUBLE:
        raise TypeError(
            f"{first}: expected torch.float32 or torch.float64, got {dtype}; fastrnn.torch.restore(model) gives such "
            "layers back to torch.nn"
        )
    device = weights[0].device
    for name, tensor in (("input", x), ("h0", h0), ("c0", c0)):
        if tensor is not None and tensor.device != device:
            raise ValueError(f"{name}: expected a tensor on {device} (the device of the weights), got {tensor.device}")
    if x.layout is not torch.strided:
        raise TypeError(f"input: expected a dense tensor, got one of layout {x.layout}")
    if torch.is_autocast_enabled("cpu"):
        x, h0, c0 = (t.to(dtype) if t is not None and t.dtype in _HALF else t for t in (x, h0, c0))
    if x.dtype is not dtype:
        raise TypeError(f"input: expected {dtype} (the dtype of the weights), got {x.dtype}")
    if h0 is not None and h0.dtype is not dtype:
        raise TypeError(f"h0: expected {dtype} (the dtype of the weights), got {h0.dtype}")
    if c0 is not None and c0.dtype is not dtype:
        raise TypeError(f"c0: expected {dtype} (the dtype of the weights), got {c0.dtype}")
    return x, h0, c0


_FLOAT, _DOUBLE, _HALF = torch.float32, torch.float64, (torch.bfloat16, torch.float16)
