"""The cells as functions on NumPy arrays: forward, backward, single steps and packed weights.

Shapes, everywhere: T time steps, B batch, I input size, H hidden size, G gates (RNN 1, GRU 3, LSTM 4).

- ``x`` (T, B, I), or (B, T, I) with ``batch_first=True``; ``y`` alike with H last
- ``h0, c0, h_n, c_n`` (1, B, H)
- ``w_ih`` (G*H, I), ``w_hh`` (G*H, H), ``b_ih, b_hh`` (G*H,) or None (zero): PyTorch's parameters.
  Gate order: LSTM i, f, g, o; GRU r, z, n
- ``lengths`` (B,), integers in 0..T: row b runs only its first ``lengths[b]`` steps, ``y`` beyond them is zero and
  ``h_n`` is the state at the row's own end (``h0`` for a length of 0)
- ``threads``: how many may work on this call; None is :func:`fastrnn.set_num_threads`'s number, at first 1. Results do
  not depend on it, and calls of less than about 100 us use one
- ``reverse=True``: every row runs from its last step to its first; ``y`` stays in time order

All arrays are float32, or all are float64. Time and batch axes may have any strides; an array whose last axis is not
contiguous is copied, once. TypeError for a wrong type or dtype, ValueError for a wrong shape or value, both naming the
argument, what was expected and what came. T, B and I may be 0. The GIL is released during the computation.

Packed weights have a dtype (the ``dtype`` of ``pack_*``). None keeps that of ``w_ih``, which all parameters must then
have; another is converted to. x, y and the states are float64 for "float64" and float32 for all others. Sums, gates,
biases and the LSTM's c stay float32, whatever the weights; docs/accuracy.md has the errors on real models.

- "bfloat16": weights, x and h are rounded to bfloat16
- "bfloat16_weights": the weights alone are
- "int8": weights become integers in -127..127 with a scale per output channel (for w_ih, w_hh and full peepholes
  each), x and h with a scale per row that is found at every step

With ``fast_activations`` sigmoid is within 2.9e-5 and tanh within 6.5e-5, relative (float32 state only).
Training takes float32 and float64 with exact activations only.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _core
from ._core import Cache, PackedWeights

Array = NDArray[Any]
ActivationName = Literal["tanh", "relu", "sigmoid", "identity"]
PeepholeOutput = Literal["current", "previous"]
Reset = Literal["after", "before", "output"]
DtypeName = Literal["float32", "float64", "bfloat16", "bfloat16_weights", "int8"]


class RNNOutput(NamedTuple):
    """Result of :func:`rnn_forward`: y (T, B, H) and the final state h_n (1, B, H)."""

    y: Array
    h_n: Array


class GRUOutput(NamedTuple):
    """Result of :func:`gru_forward`: y (T, B, H) and the final state h_n (1, B, H)."""

    y: Array
    h_n: Array


class LSTMOutput(NamedTuple):
    """Result of :func:`lstm_forward`: y (T, B, H) and the final states h_n, c_n (1, B, H)."""

    y: Array
    h_n: Array
    c_n: Array


class LSTMState(NamedTuple):
    """Result of :func:`lstm_cell`: h and c, both (B, H)."""

    h: Array
    c: Array


class RNNGrads(NamedTuple):
    """Gradients of an Elman network, each in the shape of its argument; None for what was not given or asked for."""

    x: Array | None
    h0: Array
    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None


class GRUGrads(NamedTuple):
    """Gradients of a GRU, each in the shape of its argument; None for what was not given or asked for."""

    x: Array | None
    h0: Array
    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None


class LSTMGrads(NamedTuple):
    """Gradients of an LSTM, each in the shape of its argument; None for what was not given or asked for."""

    x: Array | None
    h0: Array
    c0: Array
    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None
    w_peep: Array | None


_DEFAULTS: dict[str, Any] = {
    "w_peep": None,
    "activation": "tanh",
    "peephole_output": "current",
    "coupled": False,
    "reset": "after",
}


def _pack(
    cell: str, x: object, w_ih: object, w_hh: object, b_ih: object, b_hh: object, **options: Any
) -> PackedWeights:
    """Packs, unless w_ih is packed already: then nothing else may be given with it."""
    if not isinstance(w_ih, PackedWeights):
        return _core.pack(cell, w_ih, w_hh, b_ih, b_hh, x=x, **options)
    if w_ih.cell != cell:
        raise ValueError(f"w_ih: expected PackedWeights of {cell!r}, got those of {w_ih.cell!r}")
    if w_hh is not None or b_ih is not None or b_hh is not None:
        options.update(w_hh=w_hh, b_ih=b_ih, b_hh=b_hh)
    for name, value in options.items():
        default = _DEFAULTS.get(name)
        if value is not default and (isinstance(value, np.ndarray) or value != default):
            raise ValueError(f"{name}: expected nothing beside PackedWeights, got {_short(value)}")
    return w_ih


def _short(value: object) -> str:
    return f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else repr(value)


def _step(weights: PackedWeights, x: object, training: bool, **states: Any) -> tuple[Any, Any, Any]:
    """One step as a sequence of one: h (B, H), c (B, H) or None, and the cache or None."""
    if not isinstance(x, np.ndarray):
        raise TypeError(f"x: expected a numpy.ndarray, got {type(x).__name__}")
    if x.ndim != 2:
        raise ValueError(f"x: expected shape (B, I), got {x.shape}")
    if x.shape[1] != weights.input_size:
        raise ValueError(f"x: expected shape {(x.shape[0], weights.input_size)}, got {x.shape}")
    shape = (x.shape[0], weights.hidden_size)
    for name, state in states.items():
        if isinstance(state, np.ndarray):
            if state.shape != shape:
                raise ValueError(f"{name}: expected shape {shape}, got {state.shape}")
            states[name] = state[None]
    y, _, c_n, cache = _core.forward(weights, x[None], **states, training=training)
    return y[0], None if c_n is None else c_n[0], cache


def _check_cache(cell: str, cache: object) -> Cache:
    if not isinstance(cache, Cache):
        raise TypeError(f"cache: expected the cache of {cell}_forward(..., training=True), got {type(cache).__name__}")
    if cache.cell != cell:
        raise ValueError(f"cache: expected one of {cell}_forward, got one of {cache.cell}_forward")
    return cache


def pack_rnn(
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    *,
    activation: ActivationName = "tanh",
    dtype: DtypeName | None = None,
    fast_activations: bool = False,
) -> PackedWeights:
    """Packs the parameters of an Elman network once, for any number of :func:`rnn_forward` calls.

    Args:
        w_ih: (H, I). w_hh: (H, H). b_ih, b_hh: (H,) or None.
        activation: f of the equation in :func:`rnn_forward`.
        dtype, fast_activations: see the module.

    Returns:
        PackedWeights: an immutable copy; later changes to the arrays do not reach it.
    """
    return _core.pack(
        "rnn", w_ih, w_hh, b_ih, b_hh, activation=activation, dtype=dtype, fast_activations=fast_activations
    )


def pack_lstm(
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    *,
    w_peep: Array | None = None,
    peephole_output: PeepholeOutput = "current",
    coupled: bool = False,
    dtype: DtypeName | None = None,
    fast_activations: bool = False,
) -> PackedWeights:
    """Packs the parameters of an LSTM once, for any number of :func:`lstm_forward` calls.

    Args:
        w_ih: (4*H, I). w_hh: (4*H, H). b_ih, b_hh: (4*H,) or None.
        w_peep: (3, H), (3, H, H) or None. peephole_output, coupled: as in :func:`lstm_forward`.
        dtype, fast_activations: see the module.

    Returns:
        PackedWeights: an immutable copy; later changes to the arrays do not reach it.
    """
    return _core.pack(
        "lstm",
        w_ih,
        w_hh,
        b_ih,
        b_hh,
        w_peep=w_peep,
        peephole_output=peephole_output,
        coupled=coupled,
        dtype=dtype,
        fast_activations=fast_activations,
    )


def pack_gru(
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    *,
    reset: Reset = "after",
    dtype: DtypeName | None = None,
    fast_activations: bool = False,
) -> PackedWeights:
    """Packs the parameters of a GRU once, for any number of :func:`gru_forward` calls.

    Args:
        w_ih: (3*H, I). w_hh: (3*H, H). b_ih, b_hh: (3*H,) or None.
        reset: as in :func:`gru_forward`.
        dtype, fast_activations: see the module.

    Returns:
        PackedWeights: an immutable copy; later changes to the arrays do not reach it.
    """
    return _core.pack("gru", w_ih, w_hh, b_ih, b_hh, reset=reset, dtype=dtype, fast_activations=fast_activations)


def rnn_forward(
    x: Array,
    w_ih: Array | PackedWeights,
    w_hh: Array | None = None,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    h0: Array | None = None,
    *,
    activation: ActivationName = "tanh",
    lengths: Any = None,
    reverse: bool = False,
    batch_first: bool = False,
    training: bool = False,
    out: Array | None = None,
    threads: int | None = None,
) -> Any:
    """Elman network (Elman 1990) over a batch of sequences: ``h' = f(W_ih x + b_ih + W_hh h + b_hh)``.

    Args:
        x: (T, B, I), or (B, T, I) with ``batch_first``.
        w_ih: (H, I), or the result of :func:`pack_rnn`: then no other parameter or cell option is given.
        w_hh: (H, H). b_ih, b_hh: (H,), None for zero.
        h0: (1, B, H), None for zero.
        activation: f: "tanh", "relu", "sigmoid" or "identity".
        lengths, reverse, batch_first, threads: see the module.
        training: also return a cache for :func:`rnn_backward`. It refers to x and y: leave both unchanged until then.
        out: receives ``y``: C-contiguous, writeable, sharing no memory with the inputs.

    Returns:
        RNNOutput(y, h_n); with ``training=True`` the tuple (y, h_n, cache).
    """
    weights = _pack("rnn", x, w_ih, w_hh, b_ih, b_hh, activation=activation)
    y, h_n, _, cache = _core.forward(  # by position: names would cost a microsecond
        weights, x, h0, None, lengths, reverse, batch_first, training, out, threads
    )
    return (y, h_n, cache) if training else RNNOutput(y, h_n)


def lstm_forward(
    x: Array,
    w_ih: Array | PackedWeights,
    w_hh: Array | None = None,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    h0: Array | None = None,
    c0: Array | None = None,
    *,
    w_peep: Array | None = None,
    peephole_output: PeepholeOutput = "current",
    coupled: bool = False,
    lengths: Any = None,
    reverse: bool = False,
    batch_first: bool = False,
    training: bool = False,
    out: Array | None = None,
    threads: int | None = None,
) -> Any:
    """LSTM (Hochreiter & Schmidhuber 1997, Gers et al. 2000, Graves 2013) over a batch of sequences.

    ``i,f,o = sigmoid(W x + R h + p*c + b)``, ``g = tanh(W x + R h + b)``, ``c' = f*c + i*g``, ``h' = o*tanh(c')``

    Args:
        x: (T, B, I), or (B, T, I) with ``batch_first``.
        w_ih: (4*H, I), or the result of :func:`pack_lstm`: then no other parameter or cell option is given.
        w_hh: (4*H, H). b_ih, b_hh: (4*H,), None for zero. Gates i, f, g, o.
        h0, c0: (1, B, H), None for zero.
        w_peep: peepholes in the order i, f, o: (3, H) element-wise, (3, H, H) full matrices, None for none.
        peephole_output: o sees the "current" cell state c' (Graves 2013, ONNX) or the "previous" one c.
        coupled: f = 1 - i; the parameters of f are ignored and their gradients are zero.
        lengths, reverse, batch_first, threads: see the module.
        training: also return a cache for :func:`lstm_backward`. It refers to x and y: leave both unchanged until then.
        out: receives ``y``: C-contiguous, writeable, sharing no memory with the inputs.

    Returns:
        LSTMOutput(y, h_n, c_n); with ``training=True`` the tuple (y, h_n, c_n, cache).
    """
    weights = _pack("lstm", x, w_ih, w_hh, b_ih, b_hh, w_peep=w_peep, peephole_output=peephole_output, coupled=coupled)
    y, h_n, c_n, cache = _core.forward(weights, x, h0, c0, lengths, reverse, batch_first, training, out, threads)
    return (y, h_n, c_n, cache) if training else LSTMOutput(y, h_n, c_n)


def gru_forward(
    x: Array,
    w_ih: Array | PackedWeights,
    w_hh: Array | None = None,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    h0: Array | None = None,
    *,
    reset: Reset = "after",
    lengths: Any = None,
    reverse: bool = False,
    batch_first: bool = False,
    training: bool = False,
    out: Array | None = None,
    threads: int | None = None,
) -> Any:
    """GRU (Cho et al. 2014) over a batch of sequences, in three forms that differ in where r acts.

    ``r,z = sigmoid(W x + R h + b)`` and, by ``reset``,

    - "after": ``n = tanh(W x + b_in + r*(R h + b_hn))``, ``h' = (1-z)*n + z*h`` (cuDNN, PyTorch, Keras)
    - "before": ``n = tanh(W x + b_in + R (r*h) + b_hn)``, ``h' = (1-z)*n + z*h`` (Cho et al. 2014)
    - "output": ``n = tanh(W x + b_in + R h + b_hn)``, ``h' = (1-z)*h + r*n``

    Args:
        x: (T, B, I), or (B, T, I) with ``batch_first``.
        w_ih: (3*H, I), or the result of :func:`pack_gru`: then no other parameter or cell option is given.
        w_hh: (3*H, H). b_ih, b_hh: (3*H,), None for zero. Gates r, z, n.
        h0: (1, B, H), None for zero.
        reset: "after", "before" or "output".
        lengths, reverse, batch_first, threads: see the module.
        training: also return a cache for :func:`gru_backward`. It refers to x and y: leave both unchanged until then.
        out: receives ``y``: C-contiguous, writeable, sharing no memory with the inputs.

    Returns:
        GRUOutput(y, h_n); with ``training=True`` the tuple (y, h_n, cache).
    """
    weights = _pack("gru", x, w_ih, w_hh, b_ih, b_hh, reset=reset)
    y, h_n, _, cache = _core.forward(weights, x, h0, None, lengths, reverse, batch_first, training, out, threads)
    return (y, h_n, cache) if training else GRUOutput(y, h_n)


def rnn_backward(
    dy: Array | None,
    cache: Cache,
    dh_n: Array | None = None,
    *,
    need_dx: bool = True,
    threads: int | None = None,
) -> RNNGrads:
    """Gradients of :func:`rnn_forward` by back-propagation through time (Werbos 1990).

    Args:
        dy: gradient of y, in its shape; None for zero.
        cache: from ``rnn_forward(..., training=True)``; may be used more than once.
        dh_n: gradient of h_n, (1, B, H); None for zero.
        need_dx: False saves the gradient of x, which is then None. threads: see the module.

    Returns:
        RNNGrads: each in the shape of its argument.
    """
    checked = _check_cache("rnn", cache)
    dx, dh0, _, dw_ih, dw_hh, db_ih, db_hh, _ = _core.backward(dy, checked, dh_n, need_dx=need_dx, threads=threads)
    return RNNGrads(dx, dh0, dw_ih, dw_hh, db_ih, db_hh)


def lstm_backward(
    dy: Array | None,
    cache: Cache,
    dh_n: Array | None = None,
    dc_n: Array | None = None,
    *,
    need_dx: bool = True,
    threads: int | None = None,
) -> LSTMGrads:
    """Gradients of :func:`lstm_forward` by back-propagation through time, through the peepholes too.

    Args:
        dy: gradient of y, in its shape; None for zero.
        cache: from ``lstm_forward(..., training=True)``; may be used more than once.
        dh_n, dc_n: gradients of h_n, c_n, (1, B, H); None for zero.
        need_dx: False saves the gradient of x, which is then None. threads: see the module.

    Returns:
        LSTMGrads: each in the shape of its argument.
    """
    checked = _check_cache("lstm", cache)
    return LSTMGrads(*_core.backward(dy, checked, dh_n, dc_n, need_dx=need_dx, threads=threads))


def gru_backward(
    dy: Array | None,
    cache: Cache,
    dh_n: Array | None = None,
    *,
    need_dx: bool = True,
    threads: int | None = None,
) -> GRUGrads:
    """Gradients of :func:`gru_forward` by back-propagation through time.

    Args:
        dy: gradient of y, in its shape; None for zero.
        cache: from ``gru_forward(..., training=True)``; may be used more than once.
        dh_n: gradient of h_n, (1, B, H); None for zero.
        need_dx: False saves the gradient of x, which is then None. threads: see the module.

    Returns:
        GRUGrads: each in the shape of its argument.
    """
    checked = _check_cache("gru", cache)
    dx, dh0, _, dw_ih, dw_hh, db_ih, db_hh, _ = _core.backward(dy, checked, dh_n, need_dx=need_dx, threads=threads)
    return GRUGrads(dx, dh0, dw_ih, dw_hh, db_ih, db_hh)


def rnn_cell(
    x: Array,
    w_ih: Array | PackedWeights,
    w_hh: Array | None = None,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    h0: Array | None = None,
    *,
    activation: ActivationName = "tanh",
    training: bool = False,
) -> Any:
    """One step of :func:`rnn_forward`: x (B, I), h0 (B, H) or None; returns h (B, H).

    With ``training=True`` returns (h, cache); :func:`rnn_backward` then takes dy of shape (1, B, H).
    """
    weights = _pack("rnn", x, w_ih, w_hh, b_ih, b_hh, activation=activation)
    h, _, cache = _step(weights, x, training, h0=h0)
    return (h, cache) if training else h


def lstm_cell(
    x: Array,
    w_ih: Array | PackedWeights,
    w_hh: Array | None = None,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    h0: Array | None = None,
    c0: Array | None = None,
    *,
    w_peep: Array | None = None,
    peephole_output: PeepholeOutput = "current",
    coupled: bool = False,
    training: bool = False,
) -> Any:
    """One step of :func:`lstm_forward`: x (B, I), h0 and c0 (B, H) or None; returns LSTMState(h, c), both (B, H).

    With ``training=True`` returns (h, c, cache); :func:`lstm_backward` then takes dy of shape (1, B, H).
    """
    weights = _pack("lstm", x, w_ih, w_hh, b_ih, b_hh, w_peep=w_peep, peephole_output=peephole_output, coupled=coupled)
    h, c, cache = _step(weights, x, training, h0=h0, c0=c0)
    return (h, c, cache) if training else LSTMState(h, c)


def gru_cell(
    x: Array,
    w_ih: Array | PackedWeights,
    w_hh: Array | None = None,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    h0: Array | None = None,
    *,
    reset: Reset = "after",
    training: bool = False,
) -> Any:
    """One step of :func:`gru_forward`: x (B, I), h0 (B, H) or None; returns h (B, H).

    With ``training=True`` returns (h, cache); :func:`gru_backward` then takes dy of shape (1, B, H).
    """
    weights = _pack("gru", x, w_ih, w_hh, b_ih, b_hh, reset=reset)
    h, _, cache = _step(weights, x, training, h0=h0)
    return (h, cache) if training else h
