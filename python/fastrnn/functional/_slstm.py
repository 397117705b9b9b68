"""The sLSTM as functions; see the package for shapes, options and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict, overload

from .._core import Cache, PackedWeights
from .._typing import Array, ArrayLike
from ._call import run_backward, run_forward, run_pack, run_step
from ._options import AnyWeights, CallKeywords, DtypeName, ForgetGate, HostWeights, OptionalArray, RunOptions, make_cell

if TYPE_CHECKING:
    from typing_extensions import Unpack


class SLSTMWeights(TypedDict, total=False):
    """What :func:`pack_slstm` takes beside its named arguments."""

    weight_dropout: float | None


class SLSTMOptions(SLSTMWeights, RunOptions, total=False):
    """Further keywords of :func:`slstm_forward`."""


class _SLSTMSettings(TypedDict, total=False):
    """The options of the weights that are named arguments."""

    forget_gate: ForgetGate


class _SLSTMForward(_SLSTMSettings, SLSTMOptions, CallKeywords, total=False):
    """All keywords of :func:`slstm_forward` but for `training`, for its overloads."""


class _SLSTMStep(_SLSTMSettings, SLSTMWeights, total=False):
    """Those of :func:`slstm_cell`."""

    seed: int | None


class SLSTMOutput(NamedTuple):
    """Result of :func:`slstm_forward`: y (T, B, H) and the final states h_n, c_n, n_n, m_n (1, B, H).

    Example:
        >>> found = fastrnn.slstm_forward(np.ones((5, 2, 3)), np.zeros((16, 3)), np.zeros((16, 4)))
        >>> found.y.shape, found.h_n.shape
        ((5, 2, 4), (1, 2, 4))
    """

    y: Array
    h_n: Array
    c_n: Array
    n_n: Array
    m_n: Array


class SLSTMState(NamedTuple):
    """Result of :func:`slstm_cell`: h, c, n and m, each (B, H).

    Example:
        >>> state = fastrnn.slstm_cell(np.ones((2, 3)), np.zeros((16, 3)), np.zeros((16, 4)))
        >>> state._fields
        ('h', 'c', 'n', 'm')
    """

    h: Array
    c: Array
    n: Array
    m: Array


class SLSTMGrads(NamedTuple):
    """Gradients of an sLSTM, each in the shape of its argument; None for what was not given or asked for.

    Example:
        >>> x = np.ones((5, 2, 3))  # T, B, I
        >>> *_, cache = fastrnn.slstm_forward(x, np.zeros((16, 3)), np.zeros((16, 4)), training=True)
        >>> fastrnn.slstm_backward(np.ones((5, 2, 4)), cache).w_ih.shape
        (16, 3)
    """

    x: Array | None
    h0: Array
    c0: Array
    n0: Array
    m0: Array
    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None


def pack_slstm(
    w_ih: ArrayLike,
    w_hh: ArrayLike,
    b_ih: ArrayLike | None = None,
    b_hh: ArrayLike | None = None,
    *,
    forget_gate: ForgetGate = "sigmoid",
    dtype: DtypeName | None = None,
    fast_activations: bool = False,
    seed: int | None = None,
    **options: Unpack[SLSTMWeights],
) -> PackedWeights:
    """Packs the parameters of an sLSTM once, for any number of :func:`slstm_forward` calls.

    Args:
        w_ih: (4*H, I). w_hh: (4*H, H). b_ih, b_hh: (4*H,) or None.
        forget_gate: as in :func:`slstm_forward`.
        dtype, fast_activations: see the module.
        seed: of weight_dropout; None for a fresh one.
        options: weight_dropout; see the module.

    Returns:
        PackedWeights: an immutable copy; later changes to the arrays do not reach it.

    Example:
        >>> weights = fastrnn.pack_slstm(np.zeros((16, 3)), np.zeros((16, 4)))
        >>> weights.hidden_size, weights.dtype
        (4, 'float64')
        >>> fastrnn.slstm_forward(np.ones((5, 2, 3)), weights).y.shape
        (5, 2, 4)
    """
    named = {"forget_gate": forget_gate}
    return run_pack(_SLSTM, (w_ih, w_hh, b_ih, b_hh), named, options, dtype, fast_activations, seed)


# fmt: off
@overload
def slstm_forward(
    x: ArrayLike, w_ih: AnyWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., c0: OptionalArray = ..., n0: OptionalArray = ..., m0: OptionalArray = ..., *, training:
    Literal[False] = ..., **options: Unpack[_SLSTMForward],
) -> SLSTMOutput: ...
@overload
def slstm_forward(
    x: ArrayLike, w_ih: AnyWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., c0: OptionalArray = ..., n0: OptionalArray = ..., m0: OptionalArray = ..., *, training:
    Literal[True], **options: Unpack[_SLSTMForward],
) -> tuple[Array, Array, Array, Array, Array, Cache]: ...
@overload
def slstm_forward(
    x: ArrayLike, w_ih: AnyWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., c0: OptionalArray = ..., n0: OptionalArray = ..., m0: OptionalArray = ..., *, training:
    bool, **options: Unpack[_SLSTMForward],
) -> SLSTMOutput | tuple[Array, Array, Array, Array, Array, Cache]: ...
# fmt: on
def slstm_forward(
    x: ArrayLike, w_ih: AnyWeights, w_hh: ArrayLike | None = None, b_ih: ArrayLike | None = None,
    b_hh: ArrayLike | None = None, h0: ArrayLike | None = None, c0: ArrayLike | None = None,
    n0: ArrayLike | None = None, m0: ArrayLike | None = None, *, forget_gate: ForgetGate = "sigmoid",
    lengths: Any = None, reverse: bool = False, batch_first: bool = False, training: bool = False,
    out: Array | None = None, threads: int | None = None, **options: Unpack[SLSTMOptions],
) -> Any:  # fmt: skip
    """The sLSTM (Beck et al. 2024, xLSTM): exponential gates, normaliser n and stabiliser m, over a batch of sequences.

    With ``a = W x + b_ih + R h + b_hh`` of each gate, ``z = tanh(a_z)``, ``o = sigmoid(a_o)``,
    ``log f = log sigmoid(a_f)`` or ``a_f``: ``m' = max(log f + m, a_i)``, but ``m' = a_i`` where n is 0, as nothing has
    been scaled yet; ``i = exp(a_i - m')``, ``f = exp(min(log f + m - m', 0))``; ``c' = f*c + i*z``, ``n' = f*n + i``,
    ``h' = o * c'/n'``.

    Args:
        x: (T, B, I), or (B, T, I) with ``batch_first``.
        w_ih: (4*H, I), or the result of :func:`pack_slstm`: then no other parameter or option of the weights is given.
        w_hh: (4*H, H). b_ih, b_hh: (4*H,), None for zero. Gates i, f, z, o.
        h0, c0, n0, m0: (1, B, H), None for zero.
        forget_gate: "sigmoid" or "exp".
        lengths, reverse, batch_first, threads: see the module.
        training: also return a cache for :func:`slstm_backward`. It refers to x and y: leave both unchanged until
            then.
        out: receives ``y``: C-contiguous, writeable, sharing no memory with the inputs.
        options: those of :func:`pack_slstm`, and the options of a run but for candidate_dropout; see the module.

    Returns:
        SLSTMOutput(y, h_n, c_n, n_n, m_n); with ``training=True`` the tuple (y, h_n, c_n, n_n, m_n, cache).

    Example:
        >>> x = np.ones((5, 2, 3))  # T, B, I
        >>> y, h_n, c_n, n_n, m_n = fastrnn.slstm_forward(x, np.zeros((16, 3)), np.zeros((16, 4)))
        >>> y.shape, h_n.shape
        ((5, 2, 4), (1, 2, 4))
    """
    return run_forward(
        _SLSTM, x, w_ih, w_hh, b_ih, b_hh, lengths, reverse, batch_first, training, out, threads, options,
        h0, c0, n0, m0, forget_gate,
    )  # fmt: skip


def slstm_backward(
    dy: ArrayLike | None,
    cache: Cache,
    dh_n: ArrayLike | None = None,
    dc_n: ArrayLike | None = None,
    dn_n: ArrayLike | None = None,
    dm_n: ArrayLike | None = None,
    *,
    need_dx: bool = True,
    threads: int | None = None,
) -> SLSTMGrads:
    """Gradients of :func:`slstm_forward` by back-propagation through time, through the stabiliser too.

    Args:
        dy: gradient of y, in its shape; None for zero.
        cache: from ``slstm_forward(..., training=True)``; may be used more than once.
        dh_n, dc_n, dn_n, dm_n: gradients of h_n, c_n, n_n, m_n, (1, B, H); None for zero.
        need_dx: False saves the gradient of x, which is then None. threads: see the module.

    Returns:
        SLSTMGrads: each in the shape of its argument.

    Example:
        >>> x = np.ones((5, 2, 3))  # T, B, I
        >>> *_, cache = fastrnn.slstm_forward(x, np.zeros((16, 3)), np.zeros((16, 4)), training=True)
        >>> grads = fastrnn.slstm_backward(np.ones((5, 2, 4)), cache)
        >>> grads.x.shape, grads.w_hh.shape
        ((5, 2, 3), (16, 4))
    """
    return run_backward(_SLSTM, SLSTMGrads, dy, cache, (dh_n, dc_n, dn_n, dm_n), need_dx, threads)


# fmt: off
@overload
def slstm_cell(
    x: ArrayLike, w_ih: HostWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., c0: OptionalArray = ..., n0: OptionalArray = ..., m0: OptionalArray = ..., *, training:
    Literal[False] = ..., **options: Unpack[_SLSTMStep],
) -> SLSTMState: ...
@overload
def slstm_cell(
    x: ArrayLike, w_ih: HostWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., c0: OptionalArray = ..., n0: OptionalArray = ..., m0: OptionalArray = ..., *, training:
    Literal[True], **options: Unpack[_SLSTMStep],
) -> tuple[Array, Array, Array, Array, Cache]: ...
@overload
def slstm_cell(
    x: ArrayLike, w_ih: HostWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., c0: OptionalArray = ..., n0: OptionalArray = ..., m0: OptionalArray = ..., *, training:
    bool, **options: Unpack[_SLSTMStep],
) -> SLSTMState | tuple[Array, Array, Array, Array, Cache]: ...
# fmt: on
def slstm_cell(
    x: ArrayLike, w_ih: HostWeights, w_hh: ArrayLike | None = None, b_ih: ArrayLike | None = None,
    b_hh: ArrayLike | None = None, h0: ArrayLike | None = None, c0: ArrayLike | None = None,
    n0: ArrayLike | None = None, m0: ArrayLike | None = None, *, forget_gate: ForgetGate = "sigmoid",
    training: bool = False, seed: int | None = None, **options: Unpack[SLSTMWeights],
) -> Any:  # fmt: skip
    """One step of :func:`slstm_forward`: x (B, I), states (B, H) or None; returns SLSTMState(h, c, n, m).

    With ``training=True`` returns (h, c, n, m, cache); :func:`slstm_backward` then takes dy of shape (1, B, H).
    ``seed`` is that of weight_dropout, the one of ``options``.

    Example:
        >>> h, c, n, m = fastrnn.slstm_cell(np.ones((2, 3)), np.zeros((16, 3)), np.zeros((16, 4)))  # B = 2, H = 4
        >>> h.shape
        (2, 4)
    """
    return run_step(_SLSTM, x, w_ih, w_hh, b_ih, b_hh, training, seed, options, h0, c0, n0, m0, forget_gate)


_SLSTM = make_cell(
    pack_slstm, slstm_forward, slstm_backward, slstm_cell, SLSTMOutput, SLSTMState, SLSTMWeights, RunOptions
)
