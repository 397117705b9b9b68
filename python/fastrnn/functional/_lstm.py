"""The LSTM as functions; see the package for shapes, options and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict, overload

from .._core import Cache, PackedWeights
from .._typing import Array, ArrayLike
from ._call import run_backward, run_forward, run_pack, run_step
from ._options import (
    Activation,
    AnyWeights,
    CallKeywords,
    DtypeName,
    GatedRunOptions,
    GatedWeights,
    HostWeights,
    NormWeights,
    OptionalArray,
    PeepholeOutput,
    make_cell,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack


class LSTMWeights(GatedWeights, NormWeights, total=False):
    """What :func:`pack_lstm` takes beside its named arguments."""

    output_activation: Activation | None
    cell_clip: float | None
    forget_bias: float | None
    w_hr: Array | None
    proj_clip: float | None
    ln_c: Array | None
    zoneout_c: float | None


class LSTMOptions(LSTMWeights, GatedRunOptions, total=False):
    """Further keywords of :func:`lstm_forward`."""


class _LSTMSettings(TypedDict, total=False):
    """The options of the weights that are named arguments."""

    w_peep: OptionalArray
    peephole_output: PeepholeOutput
    coupled: bool


class _LSTMForward(_LSTMSettings, LSTMOptions, CallKeywords, total=False):
    """All keywords of :func:`lstm_forward` but for `training`, for its overloads."""


class _LSTMStep(_LSTMSettings, LSTMWeights, total=False):
    """Those of :func:`lstm_cell`."""

    seed: int | None


class LSTMOutput(NamedTuple):
    """Result of :func:`lstm_forward`: y (T, B, P) and the final states h_n (1, B, P), c_n (1, B, H).

    Example:
        >>> found = fastrnn.lstm_forward(np.ones((5, 2, 3)), np.zeros((16, 3)), np.zeros((16, 4)))
        >>> found.y.shape, found.h_n.shape
        ((5, 2, 4), (1, 2, 4))
    """

    y: Array
    h_n: Array
    c_n: Array


class LSTMState(NamedTuple):
    """Result of :func:`lstm_cell`: h (B, P) and c (B, H).

    Example:
        >>> state = fastrnn.lstm_cell(np.ones((2, 3)), np.zeros((16, 3)), np.zeros((16, 4)))
        >>> state.h.shape, state.c.shape
        ((2, 4), (2, 4))
    """

    h: Array
    c: Array


class LSTMGrads(NamedTuple):
    """Gradients of an LSTM, each in the shape of its argument; None for what was not given or asked for.

    Example:
        >>> x = np.ones((5, 2, 3))  # T, B, I
        >>> *_, cache = fastrnn.lstm_forward(x, np.zeros((16, 3)), np.zeros((16, 4)), training=True)
        >>> fastrnn.lstm_backward(np.ones((5, 2, 4)), cache).w_ih.shape
        (16, 3)
    """

    x: Array | None
    h0: Array
    c0: Array
    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None
    w_peep: Array | None
    w_hr: Array | None
    ln_ih: Array | None
    ln_hh: Array | None
    ln_c: Array | None


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

    Example:
        >>> weights = fastrnn.pack_lstm(np.zeros((16, 3)), np.zeros((16, 4)))
        >>> weights.hidden_size, weights.dtype
        (4, 'float64')
        >>> fastrnn.lstm_forward(np.ones((5, 2, 3)), weights).y.shape
        (5, 2, 4)
    """
    named = {"w_peep": w_peep, "peephole_output": peephole_output, "coupled": coupled}
    return run_pack(_LSTM, (w_ih, w_hh, b_ih, b_hh), named, options, dtype, fast_activations, seed)


# fmt: off
@overload
def lstm_forward(
    x: ArrayLike, w_ih: AnyWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., c0: OptionalArray = ..., *,
    training: Literal[False] = ..., **options: Unpack[_LSTMForward],
) -> LSTMOutput: ...
@overload
def lstm_forward(
    x: ArrayLike, w_ih: AnyWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., c0: OptionalArray = ..., *, training: Literal[True], **options: Unpack[_LSTMForward],
) -> tuple[Array, Array, Array, Cache]: ...
@overload
def lstm_forward(
    x: ArrayLike, w_ih: AnyWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., c0: OptionalArray = ..., *, training: bool, **options: Unpack[_LSTMForward],
) -> LSTMOutput | tuple[Array, Array, Array, Cache]: ...
# fmt: on
def lstm_forward(
    x: ArrayLike, w_ih: AnyWeights, w_hh: ArrayLike | None = None, b_ih: ArrayLike | None = None,
    b_hh: ArrayLike | None = None, h0: ArrayLike | None = None, c0: ArrayLike | None = None, *,
    w_peep: ArrayLike | None = None, peephole_output: PeepholeOutput = "current", coupled: bool = False,
    lengths: Any = None, reverse: bool = False, batch_first: bool = False, training: bool = False,
    out: Array | None = None, threads: int | None = None, **options: Unpack[LSTMOptions],
) -> Any:  # fmt: skip
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

    Example:
        >>> x = np.ones((5, 2, 3))  # T, B, I
        >>> y, h_n, c_n = fastrnn.lstm_forward(x, np.zeros((16, 3)), np.zeros((16, 4)))
        >>> y.shape, h_n.shape
        ((5, 2, 4), (1, 2, 4))
    """
    return run_forward(
        _LSTM, x, w_ih, w_hh, b_ih, b_hh, lengths, reverse, batch_first, training, out, threads, options,
        h0, c0, w_peep, peephole_output, coupled,
    )  # fmt: skip


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

    Example:
        >>> x = np.ones((5, 2, 3))  # T, B, I
        >>> *_, cache = fastrnn.lstm_forward(x, np.zeros((16, 3)), np.zeros((16, 4)), training=True)
        >>> grads = fastrnn.lstm_backward(np.ones((5, 2, 4)), cache)
        >>> grads.x.shape, grads.w_hh.shape
        ((5, 2, 3), (16, 4))
    """
    return run_backward(_LSTM, LSTMGrads, dy, cache, (dh_n, dc_n), need_dx, threads)


# fmt: off
@overload
def lstm_cell(
    x: ArrayLike, w_ih: HostWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., c0: OptionalArray = ..., *, training: Literal[False] = ..., **options: Unpack[_LSTMStep],
) -> LSTMState: ...
@overload
def lstm_cell(
    x: ArrayLike, w_ih: HostWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., c0: OptionalArray = ..., *, training: Literal[True], **options: Unpack[_LSTMStep],
) -> tuple[Array, Array, Cache]: ...
@overload
def lstm_cell(
    x: ArrayLike, w_ih: HostWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., c0: OptionalArray = ..., *, training: bool, **options: Unpack[_LSTMStep],
) -> LSTMState | tuple[Array, Array, Cache]: ...
# fmt: on
def lstm_cell(
    x: ArrayLike, w_ih: HostWeights, w_hh: ArrayLike | None = None, b_ih: ArrayLike | None = None,
    b_hh: ArrayLike | None = None, h0: ArrayLike | None = None, c0: ArrayLike | None = None, *,
    w_peep: ArrayLike | None = None, peephole_output: PeepholeOutput = "current", coupled: bool = False,
    training: bool = False, seed: int | None = None, **options: Unpack[LSTMWeights],
) -> Any:  # fmt: skip
    """One step of :func:`lstm_forward`: x (B, I), h0 (B, P) and c0 (B, H) or None; returns LSTMState(h, c).

    With ``training=True`` returns (h, c, cache); :func:`lstm_backward` then takes dy of shape (1, B, P). ``seed`` is
    that of zoneout_h, zoneout_c and weight_dropout; ``options`` are those of :func:`pack_lstm`.

    Example:
        >>> h, c = fastrnn.lstm_cell(np.ones((2, 3)), np.zeros((16, 3)), np.zeros((16, 4)))  # B = 2, H = 4
        >>> h.shape
        (2, 4)
    """
    return run_step(_LSTM, x, w_ih, w_hh, b_ih, b_hh, training, seed, options, h0, c0, w_peep, peephole_output, coupled)


_LSTM = make_cell(
    pack_lstm, lstm_forward, lstm_backward, lstm_cell, LSTMOutput, LSTMState, LSTMWeights, GatedRunOptions
)
