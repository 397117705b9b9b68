"""RNNCell, LSTMCell and GRUCell: one step, with the parameters, arguments and results of torch.nn's."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from .operators import call, is_traced, refuse_trace
from .settings import Settings, check_input, pair


class _Cell:
    """What the three have in common, beside torch.nn's class."""

    _cell: ClassVar[str]
    _counterpart: ClassVar[Any]
    _fast: Settings
    bias: bool
    training: bool
    input_size: int
    nonlinearity: str
    _parameters: dict[str, Any]

    def _settle(self, weight_dtype: str | None, options: dict[str, Any]) -> None:
        names = ["w_ih", "w_hh", "b_ih", "b_hh"] if self.bias else ["w_ih", "w_hh"]
        known = ("input_size", "hidden_size", "bias", "nonlinearity", "device", "dtype", "weight_dtype")
        self._fast = Settings(type(self).__name__, self._cell, names, options, weight_dtype, known=known)
        if self._cell == "rnn" and self.nonlinearity == "relu":
            self._fast.set_activation("relu")

    def _step(self, input: Any, h0: Any, c0: Any) -> tuple[Any, Any]:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh") if self.bias else ("weight_ih", "weight_hh")
        weights = [getattr(self, name) for name in names]
        if input.dim() not in (1, 2) or input.shape[-1] != self.input_size:
            raise ValueError(f"input: expected shape (B, {self.input_size}) or ({self.input_size},), "
                             f"got {tuple(input.shape)}")  # fmt: skip
        input, h0, c0 = check_input(input, weights, names[0], h0, c0)
        axes = (None,) * (3 - input.dim())
        h0, c0 = (None if s is None else s[axes] for s in (h0, c0))
        form = 1, 1, False, False, self.training, 0.0
        _, h_n, c_n = call(self._fast, form, input[axes], h0, c0, weights, None, None, None)
        for _ in axes:
            h_n, c_n = h_n[0], None if c_n is None else c_n[0]
        return h_n, c_n

    def _elsewhere(self, input: Any) -> bool:
        """Whether a call is torch.nn's, its tensors being on another device, or traced; refuses options there."""
        traced = is_traced()
        if not traced and (input.is_cpu or input.device.type == "meta"):
            return False
        if not self._fast.plain():
            if traced:
                raise refuse_trace(type(self).__name__)
            raise ValueError(f"input: expected a tensor on the CPU for options that torch.nn lacks, got one on "
                             f"{input.device}")  # fmt: skip
        return True


class LSTMCell(_Cell, torch.nn.LSTMCell):
    """torch.nn.LSTMCell; weight_dtype and options as of :class:`fastrnn.torch.LSTM`.

    Example:
        >>> import torch
        >>> import fastrnn.torch
        >>> cell = fastrnn.torch.LSTMCell(3, 4)
        >>> tuple(cell(torch.ones(2, 3))[0].shape)
        (2, 4)
    """

    _cell = "lstm"
    _counterpart = torch.nn.LSTMCell

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None, *,
        weight_dtype: str | None = None, **options: Any,
    ) -> None:  # fmt: skip
        torch.nn.LSTMCell.__init__(self, input_size, hidden_size, bias, device, dtype)
        self._settle(weight_dtype, options)

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        """One step: input (B, I) or (I,), hx (h, c) of (B, H) or (H,), None for zeros; returns (h', c')."""
        if self._elsewhere(input):
            found: tuple[Any, Any] = torch.nn.LSTMCell.forward(self, input, hx)
            return found
        return self._step(input, *((None, None) if hx is None else pair(hx)))


class GRUCell(_Cell, torch.nn.GRUCell):
    """torch.nn.GRUCell; weight_dtype and options as of :class:`fastrnn.torch.GRU`.

    Example:
        >>> import torch
        >>> import fastrnn.torch
        >>> cell = fastrnn.torch.GRUCell(3, 4)
        >>> tuple(cell(torch.ones(2, 3)).shape)
        (2, 4)
    """

    _cell = "gru"
    _counterpart = torch.nn.GRUCell

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None, *,
        weight_dtype: str | None = None, **options: Any,
    ) -> None:  # fmt: skip
        torch.nn.GRUCell.__init__(self, input_size, hidden_size, bias, device, dtype)
        self._settle(weight_dtype, options)

    def forward(self, input: Any, hx: Any = None) -> Any:
        """One step: input (B, I) or (I,), hx (B, H) or (H,), None for zeros; returns h'."""
        if self._elsewhere(input):
            return torch.nn.GRUCell.forward(self, input, hx)
        return self._step(input, hx, None)[0]


class RNNCell(_Cell, torch.nn.RNNCell):
    """torch.nn.RNNCell; weight_dtype and options as of :class:`fastrnn.torch.RNN`.

    Example:
        >>> import torch
        >>> import fastrnn.torch
        >>> cell = fastrnn.torch.RNNCell(3, 4)
        >>> tuple(cell(torch.ones(2, 3)).shape)
        (2, 4)
    """

    _cell = "rnn"
    _counterpart = torch.nn.RNNCell

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", device: Any = None,
        dtype: Any = None, *, weight_dtype: str | None = None, **options: Any,
    ) -> None:  # fmt: skip
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity: expected 'tanh' or 'relu', got {nonlinearity!r}")
        torch.nn.RNNCell.__init__(self, input_size, hidden_size, bias, nonlinearity, device, dtype)
        self._settle(weight_dtype, options)

    def forward(self, input: Any, hx: Any = None) -> Any:
        """One step: input (B, I) or (I,), hx (B, H) or (H,), None for zeros; returns h'."""
        if self._elsewhere(input):
            return torch.nn.RNNCell.forward(self, input, hx)
        return self._step(input, hx, None)[0]
