"""RNN, LSTM and GRU with the constructor, parameters, arguments and results of torch.nn's, and options beyond them."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch.nn.utils.rnn import PackedSequence

from . import cuda
from .operators import PLAIN, call, call_plainly, is_plain, is_traced, refuse_trace
from .settings import Settings, check_input, function_name, pair


class _Recurrent(torch.nn.RNNBase):
    """What the three have in common.

    They are no subclasses of torch.nn.LSTM and its likes, as torch.compile leaves those to Python.
    """

    _cell: ClassVar[str]
    _counterpart: ClassVar[Any]
    _fast: Settings

    def __init__(
        self,
        mode: str,
        *args: Any,
        peephole: str | None = None,
        layer_norm: bool = False,
        weight_dtype: str | None = None,
        backend: str | None = None,
        **kwargs: Any,
    ) -> None:
        ours = {name: kwargs.pop(name) for name in [*kwargs] if name not in _CONSTRUCTOR}
        super().__init__(mode, *args, **kwargs)
        self._add_parameters(peephole, layer_norm)
        names = [function_name(name) for name in self._all_weights[0]]
        known = _CONSTRUCTOR | {"peephole", "layer_norm", "weight_dtype", "backend"}
        self._fast = Settings(type(self).__name__, self._cell, names, ours, weight_dtype, backend, known)
        if mode == "RNN_RELU":
            self._fast.set_activation("relu")

    def _add_parameters(self, peephole: str | None, layer_norm: bool) -> None:
        hidden = self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {}
        if peephole is not None:
            diagonal = {"diagonal": (3, hidden), "full": (3, hidden, hidden)}
            if self._cell != "lstm":
                raise ValueError(f"peephole: expected None, as a {type(self).__name__} has no c, got {peephole!r}")
            if peephole not in diagonal:
                raise ValueError(f"peephole: expected None, 'diagonal' or 'full', got {peephole!r}")
            shapes["weight_peep"] = diagonal[peephole]
        if layer_norm:
            rows = self.weight_hh_l0.shape[0]
            shapes |= {"norm_hh": (rows,)} if self._cell == "rnn" else {"norm_ih": (rows,), "norm_hh": (rows,)}
            if self._cell == "lstm":
                shapes["norm_c"] = (2, hidden)
        if not shapes:
            return
        like = self.weight_hh_l0
        for row in self._all_weights:
            suffix = row[0].removeprefix("weight_ih")
            for name, shape in shapes.items():
                self.register_parameter(name + suffix, torch.nn.Parameter(like.new_empty(shape)))
                row.append(name + suffix)
        self._flat_weights_names = [name for row in self._all_weights for name in row]
        self._init_flat_weights()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters as torch.nn does; gains of layer normalisation are one, and its bias is zero."""
        super().reset_parameters()
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.startswith("norm_"):
                    parameter.fill_(1.0)
                if name.startswith("norm_c"):
                    parameter[1] = 0.0

    def forward(
        self,
        input: Any,
        hx: Any = None,
        *,
        lengths: Any = None,
        mask: Any = None,
        reset_mask: Any = None,
    ) -> Any:
        """Run the layers over a batch of sequences, as torch.nn's module does.

        Args:
            input: (T, B, I), (B, T, I) with batch_first, (T, I) unbatched, or a PackedSequence.
            hx: h0 (L*D, B, P), of an LSTM (h0, c0) with c0 (L*D, B, H); without B where unbatched. None: zeros.
            lengths: (B,) integers in 0..T: row b runs its first lengths[b] steps; its output beyond them is zero, and
                its last state is that at its own end.
            mask: (T, B), as input without its last axis, of bool: a step where it is False leaves the state as it is
                and repeats the output.
            reset_mask: likewise: True where a new sequence begins, with a state of zero before it.

        Returns:
            output and h_n, of an LSTM output and (h_n, c_n), in the form of input.

        Raises:
            TypeError, ValueError: names the argument, what was expected and what came.
        """
        parameters = self._parameters
        names = self._flat_weights_names
        weights = tuple([parameters[n] if n in parameters else getattr(self, n) for n in names])
        layers, train = self.num_layers, self.training
        dropout = self.dropout if train and layers > 1 else 0.0
        form: tuple[Any, ...]
        h0: Any
        c0: Any
        if lengths is None and mask is None and reset_mask is None and is_plain() and type(input) in PLAIN:
            form = layers, 1 + self.bidirectional, self.batch_first, False, train, dropout
            h0, c0 = (hx, None) if self._cell != "lstm" or hx is None else pair(hx)
            found = call_plainly(self._fast, form, input, h0, c0, weights)
            if found is not None:
                return found[0], found[1] if found[2] is None else found[1:3]
        packed = isinstance(input, PackedSequence)
        x = input.data if packed else input
        here = x.is_cpu or x.device.type == "meta" or (x.is_cuda and self._fast.backend == "fastrnn")
        if not here or is_traced():
            return self._leave_to_torch(x, input, hx, lengths, mask, reset_mask)
        h0, c0 = (hx, None) if self._cell != "lstm" or hx is None else pair(hx)
        x, h0, c0 = check_input(x, weights, names[0], h0, c0)
        axis = None
        if packed:
            _, sizes, order, back = input
            if lengths is not None:
                raise ValueError("lengths: expected None beside a PackedSequence, which has its own, got lengths")
            lengths = sizes
            if order is not None:
                h0, c0 = (None if s is None else s.index_select(1, order) for s in (h0, c0))
        elif x.dim() == 2:
            axis = 0 if self.batch_first else 1
            x = x.unsqueeze(axis)
            h0, c0 = (None if s is None else s.unsqueeze(1) for s in (h0, c0))
            mask, reset_mask = (None if m is None else torch.as_tensor(m).unsqueeze(axis) for m in (mask, reset_mask))
        elif x.dim() != 3:
            raise ValueError(f"input: expected 2 or 3 axes, got shape {tuple(x.shape)}")
        if x.shape[-1] != self.input_size:
            raise ValueError(f"input: expected {self.input_size} features, got shape {tuple(x.shape)}")
        form = layers, 1 + self.bidirectional, self.batch_first, packed, train, dropout
        if lengths is not None and not packed:
            lengths = torch.as_tensor(lengths)
        if mask is not None or reset_mask is not None:
            mask, reset_mask = (None if m is None else torch.as_tensor(m) for m in (mask, reset_mask))
        tensors = x, h0, c0, weights, lengths, mask, reset_mask
        if x.is_cuda:
            y, h_n, c_n = cuda.call(self._fast.plan(*form), *tensors)
        else:
            y, h_n, c_n = call(self._fast, form, *tensors)
        if packed:
            y = PackedSequence(y, sizes, order, back)
            if back is not None:
                h_n, c_n = (None if s is None else s.index_select(1, back) for s in (h_n, c_n))
        elif axis is not None:
            y = y.squeeze(axis)
            h_n, c_n = (None if s is None else s.squeeze(1) for s in (h_n, c_n))
        return y, h_n if c_n is None else (h_n, c_n)

    def _leave_to_torch(self, x: Any, input: Any, hx: Any, *ours: Any) -> Any:
        """The call of torch.nn's own module, where the tensors are none of the CPU, or torch.jit.trace watches."""
        if not self._fast.plain() or any(value is not None for value in ours):
            if x.is_cpu:
                raise refuse_trace(type(self).__name__)
            raise ValueError(
                f"input: expected a tensor on the CPU for options that torch.nn lacks, got one on {x.device}"
                "; backend='fastrnn' takes those of CUDA"
            )
        return self._counterpart.forward(self, input, hx)

    def extra_repr(self) -> str:
        """The sizes, as torch.nn shows them, and the options."""
        fast = self._fast
        options = {**fast.weights, **fast.run, "weight_dtype": fast.dtype, "backend": fast.backend}
        shown = [f"{name}={value!r}" for name, value in options.items() if value is not None]
        shown += [name[:-3] for name in self._all_weights[0] if name.startswith(("weight_peep", "norm"))]
        return ", ".join([super().extra_repr(), *shown])


# The arguments of torch.nn.RNNBase by keyword, beside the options.
_CONSTRUCTOR = {
    "input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional", "proj_size", "device",
    "dtype",
}  # fmt: skip


class LSTM(_Recurrent):
    """torch.nn.LSTM, with the options of :func:`fastrnn.lstm_forward`.

    Args:
        args, kwargs: as of torch.nn.LSTM: input_size, hidden_size, num_layers, bias, batch_first, dropout,
            bidirectional, proj_size, device, dtype.
        peephole: "diagonal" or "full" gives it weight_peep_l0, ...; None has none.
        layer_norm: whether it has norm_ih_l0, norm_hh_l0 and norm_c_l0.
        weight_dtype: of the weights in inference: "bfloat16", "bfloat16_weights" or "int8"; None is the module's.
            Where a gradient is needed they are exact.
        backend: "fastrnn" has tensors on a GPU computed by fastrnn's kernels, None by torch.nn.
        options: of the weights: activation, recurrent_activation, output_activation, clip, cell_clip, proj_clip,
            peephole_output, coupled, forget_bias, norm_eps, zoneout_h, zoneout_c, weight_dropout; of the run:
            recurrent_dropout, candidate_dropout, checkpoint_every, truncate. See :mod:`fastrnn.functional`.

    Example:
        >>> import torch
        >>> import fastrnn.torch
        >>> layer = fastrnn.torch.LSTM(3, 4, batch_first=True)
        >>> tuple(layer(torch.ones(2, 5, 3))[0].shape)
        (2, 5, 4)
    """

    _cell = "lstm"
    _counterpart = torch.nn.LSTM
    check_forward_args = torch.nn.LSTM.check_forward_args
    permute_hidden = torch.nn.LSTM.permute_hidden
    get_expected_cell_size = torch.nn.LSTM.get_expected_cell_size

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("LSTM", *args, **kwargs)


class GRU(_Recurrent):
    """torch.nn.GRU, with the options of :func:`fastrnn.gru_forward`: ``reset`` is "after" (torch.nn's), "before" or
    "output"; the others as of :class:`LSTM`.

    Example:
        >>> import torch
        >>> import fastrnn.torch
        >>> layer = fastrnn.torch.GRU(3, 4, batch_first=True)
        >>> tuple(layer(torch.ones(2, 5, 3))[0].shape)
        (2, 5, 4)
    """

    _cell = "gru"
    _counterpart = torch.nn.GRU

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _refuse_projection("GRU", kwargs)
        super().__init__("GRU", *args, **kwargs)


class RNN(_Recurrent):
    """torch.nn.RNN, with the options of :func:`fastrnn.rnn_forward`: ``nonlinearity`` is "tanh" or "relu", any other
    ``activation`` takes its place; the others as of :class:`LSTM`.

    Example:
        >>> import torch
        >>> import fastrnn.torch
        >>> layer = fastrnn.torch.RNN(3, 4, batch_first=True)
        >>> tuple(layer(torch.ones(2, 5, 3))[0].shape)
        (2, 5, 4)
    """

    _cell = "rnn"
    _counterpart = torch.nn.RNN

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _refuse_projection("RNN", kwargs)
        if len(args) > 3:
            self.nonlinearity = args[3]
            args = args[:3] + args[4:]
        else:
            self.nonlinearity = kwargs.pop("nonlinearity", "tanh")
        if self.nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity: expected 'tanh' or 'relu', got {self.nonlinearity!r}")
        super().__init__(f"RNN_{self.nonlinearity.upper()}", *args, **kwargs)


def _refuse_projection(name: str, kwargs: dict[str, Any]) -> None:
    if "proj_size" in kwargs:
        raise ValueError(f"proj_size: expected nothing, as a {name} has no projection, got {kwargs['proj_size']!r}")
