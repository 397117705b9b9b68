"""The LSTM as functions; see the package for shapes, options and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import _core
from .._core import Cache, PackedWeights
from .._typing import Array, ArrayLike
from ._call import backward, pack_cell, prepare, prepare_cell, step
from ._options import DtypeName, PeepholeOutput
from ._results import LSTMGrads, LSTMOutput, LSTMState
from .gpu.calls import GpuCall, forward_on_gpu, is_gpu

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._options import LSTMOptions, LSTMWeights


def pack_lstm(
    w_ih: ArrayLike,
    w_hh: ArrayLike,
    b_ih: ArrayLike | None = None,
    b_hh: ArrayLike | None = None,
    *,
    w_peep: ArrayLike | None = None,
    peephole_output: PeepholeOutput = "current",
    coupled: bool = False,
    dtype: DtypeName | None = None,
    fast_activations: bool = False,
    seed: int | None = None,
    **options: Unpack[LSTMWeights],
) -> PackedWeights:
    """Packs the parameters of an LSTM once, for any number of :func:`lstm_forward` calls.

    Args:
        w_ih: (4*H, I). w_hh: (4*H, P), P = H without w_hr. b_ih, b_hh: (4*H,) or None.
        w_peep: (3, H), (3, H, H) or None. peephole_output, coupled: as in :func:`lstm_forward`.
        dtype, fast_activations: see the module.
        seed: of weight_dropout; None for a fresh one.
        options: activation, recurrent_activation, output_activation, clip, cell_clip, forget_bias, w_hr (P, H),
            proj_clip, ln_ih and ln_hh (4*H,), ln_c (2, H), norm_eps, zoneout_h, zoneout_c, weight_dropout; see the
            module.

    Returns:
        PackedWeights: an immutable copy; later changes to the arrays do not reach it.
    """
    arrays = {"w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh}
    named = {"w_peep": w_peep, "peephole_output": peephole_output, "coupled": coupled, "seed": seed}
    return pack_cell(pack_lstm, "lstm", arrays, named, options, dtype, fast_activations)


def lstm_forward(
    x: ArrayLike,
    w_ih: ArrayLike | PackedWeights,
    w_hh: ArrayLike | None = None,
    b_ih: ArrayLike | None = None,
    b_hh: ArrayLike | None = None,
    h0: ArrayLike | None = None,
    c0: ArrayLike | None = None,
    *,
    w_peep: ArrayLike | None = None,
    peephole_output: PeepholeOutput = "current",
    coupled: bool = False,
    lengths: Any = None,
    reverse: bool = False,
    batch_first: bool = False,
    training: bool = False,
    out: Array | None = None,
    threads: int | None = None,
    **options: Unpack[LSTMOptions],
) -> Any:
    """LSTM (Hochreiter & Schmidhuber 1997, Gers et al. 2000, Graves 2013) over a batch of sequences.

    ``i,f,o = sigmoid(W x + R h + p*c + b)``, ``g = tanh(W x + R h + b)``, ``c' = f*c + i*g``, ``h' = o*tanh(c')``,
    with a projection (Sak et al. 2014) ``h' = w_hr (o*tanh(c'))``

    Args:
        x: (T, B, I), or (B, T, I) with ``batch_first``.
        w_ih: (4*H, I), or the result of :func:`pack_lstm`: then no other parameter or option of the weights is given.
        w_hh: (4*H, P), P = H without w_hr. b_ih, b_hh: (4*H,), None for zero. Gates i, f, g, o.
        h0: (1, B, P). c0: (1, B, H). None for zero.
        w_peep: peepholes in the order i, f, o: (3, H) element-wise, (3, H, H) full matrices, None for none.
        peephole_output: o sees the "current" cell state c' (Graves 2013, ONNX) or the "previous" one c.
        coupled: f = 1 - i; the parameters of f are ignored and their gradients are zero.
        lengths, reverse, batch_first, threads: see the module.
        training: also return a cache for :func:`lstm_backward`. It refers to x and y: leave both unchanged until then.
        out: receives ``y``: C-contiguous, writeable, sharing no memory with the inputs.
        options: those of :func:`pack_lstm`, and the options of a run; see the module.

    Returns:
        LSTMOutput(y, h_n, c_n); with ``training=True`` the tuple (y, h_n, c_n, cache).
    """
    named = {"w_peep": w_peep, "peephole_output": peephole_output, "coupled": coupled}
    if is_gpu(options, x, w_ih):
        call = GpuCall(lengths, reverse, batch_first, training, out, threads)
        parameters = w_ih, w_hh, b_ih, b_hh
        found = forward_on_gpu(lstm_forward, "lstm", x, parameters, {"h0": h0, "c0": c0}, named, options, call)
        return found if training else LSTMOutput(*found)
    weights, run = prepare(lstm_forward, "lstm", x, w_ih, w_hh, b_ih, b_hh, named, options, training)
    y, h_n, c_n, cache = _core.forward(  # by position: names would cost a microsecond
        weights, x, h0, c0, lengths, reverse, batch_first, training, out, threads, run
    )
    return (y, h_n, c_n, cache) if training else LSTMOutput(y, h_n, c_n)


def lstm_backward(
    dy: ArrayLike | None,
    cache: Cache,
    dh_n: ArrayLike | None = None,
    dc_n: ArrayLike | None = None,
    *,
    need_dx: bool = True,
    threads: int | None = None,
) -> LSTMGrads:
    """Gradients of :func:`lstm_forward` by back-propagation through time, through the peepholes too.

    Args:
        dy: gradient of y, in its shape; None for zero.
        cache: from ``lstm_forward(..., training=True)``; may be used more than once.
        dh_n, dc_n: gradients of h_n, c_n, in their shapes; None for zero.
        need_dx: False saves the gradient of x, which is then None. threads: see the module.

    Returns:
        LSTMGrads: each in the shape of its argument.
    """
    grads: LSTMGrads = backward(LSTMGrads, "lstm", dy, cache, dh_n, dc_n, need_dx, threads)
    return grads


def lstm_cell(
    x: ArrayLike,
    w_ih: ArrayLike | PackedWeights,
    w_hh: ArrayLike | None = None,
    b_ih: ArrayLike | None = None,
    b_hh: ArrayLike | None = None,
    h0: ArrayLike | None = None,
    c0: ArrayLike | None = None,
    *,
    w_peep: ArrayLike | None = None,
    peephole_output: PeepholeOutput = "current",
    coupled: bool = False,
    training: bool = False,
    seed: int | None = None,
    **options: Unpack[LSTMWeights],
) -> Any:
    """One step of :func:`lstm_forward`: x (B, I), h0 (B, P) and c0 (B, H) or None; returns LSTMState(h, c).

    With ``training=True`` returns (h, c, cache); :func:`lstm_backward` then takes dy of shape (1, B, P). ``seed`` is
    that of zoneout_h, zoneout_c and weight_dropout; ``options`` are those of :func:`pack_lstm`.
    """
    named = {"w_peep": w_peep, "peephole_output": peephole_output, "coupled": coupled}
    weights = prepare_cell(lstm_cell, "lstm", x, w_ih, w_hh, b_ih, b_hh, named, options, training, seed)
    h, (c,), cache = step(weights, x, training, seed, h0=h0, c0=c0)
    return (h, c, cache) if training else LSTMState(h, c)
