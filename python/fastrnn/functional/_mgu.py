"""The minimal gated unit as functions; see the package for shapes, options and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

from .._core import Cache, PackedWeights
from .._typing import Array, ArrayLike
from ._call import run_backward, run_forward, run_pack, run_step
from ._options import (
    AnyWeights,
    CallKeywords,
    DtypeName,
    GatedRunOptions,
    GatedWeights,
    HostWeights,
    OptionalArray,
    make_cell,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack


class MGUWeights(GatedWeights, total=False):
    """What :func:`pack_mgu` takes beside its named arguments."""


class MGUOptions(MGUWeights, GatedRunOptions, total=False):
    """Further keywords of :func:`mgu_forward`."""


class _MGUForward(MGUOptions, CallKeywords, total=False):
    """All keywords of :func:`mgu_forward` but for `training`, for its overloads."""


class _MGUStep(MGUWeights, total=False):
    """Those of :func:`mgu_cell`."""

    seed: int | None


class MGUOutput(NamedTuple):
    """Result of :func:`mgu_forward`: y (T, B, H) and the final state h_n (1, B, H).

    Example:
        >>> found = fastrnn.mgu_forward(np.ones((5, 2, 3)), np.zeros((8, 3)), np.zeros((8, 4)))
        >>> found.y.shape, found.h_n.shape
        ((5, 2, 4), (1, 2, 4))
    """

    y: Array
    h_n: Array


class MGUGrads(NamedTuple):
    """Gradients of an MGU, each in the shape of its argument; None for what was not given or asked for.

    Example:
        >>> x = np.ones((5, 2, 3))  # T, B, I
        >>> *_, cache = fastrnn.mgu_forward(x, np.zeros((8, 3)), np.zeros((8, 4)), training=True)
        >>> fastrnn.mgu_backward(np.ones((5, 2, 4)), cache).w_ih.shape
        (8, 3)
    """

    x: Array | None
    h0: Array
    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None


def pack_mgu(
    w_ih: ArrayLike,
    w_hh: ArrayLike,
    b_ih: ArrayLike | None = None,
    b_hh: ArrayLike | None = None,
    *,
    dtype: DtypeName | None = None,
    fast_activations: bool = False,
    seed: int | None = None,
    **options: Unpack[MGUWeights],
) -> PackedWeights:
    """Packs the parameters of a minimal gated unit once, for any number of :func:`mgu_forward` calls.

    Args:
        w_ih: (2*H, I). w_hh: (2*H, H). b_ih, b_hh: (2*H,) or None.
        dtype, fast_activations: see the module.
        seed: of weight_dropout; None for a fresh one.
        options: activation, recurrent_activation, clip, zoneout_h, weight_dropout; see the module.

    Returns:
        PackedWeights: an immutable copy; later changes to the arrays do not reach it.

    Example:
        >>> weights = fastrnn.pack_mgu(np.zeros((8, 3)), np.zeros((8, 4)))
        >>> weights.hidden_size, weights.dtype
        (4, 'float64')
        >>> fastrnn.mgu_forward(np.ones((5, 2, 3)), weights).y.shape
        (5, 2, 4)
    """
    return run_pack(_MGU, (w_ih, w_hh, b_ih, b_hh), {}, options, dtype, fast_activations, seed)


# fmt: off
@overload
def mgu_forward(
    x: ArrayLike, w_ih: AnyWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., *, training: Literal[False] = ..., **options: Unpack[_MGUForward],
) -> MGUOutput: ...
@overload
def mgu_forward(
    x: ArrayLike, w_ih: AnyWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., *, training: Literal[True], **options: Unpack[_MGUForward],
) -> tuple[Array, Array, Cache]: ...
@overload
def mgu_forward(
    x: ArrayLike, w_ih: AnyWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., *, training: bool, **options: Unpack[_MGUForward],
) -> MGUOutput | tuple[Array, Array, Cache]: ...
# fmt: on
def mgu_forward(
    x: ArrayLike, w_ih: AnyWeights, w_hh: ArrayLike | None = None, b_ih: ArrayLike | None = None,
    b_hh: ArrayLike | None = None, h0: ArrayLike | None = None, *, lengths: Any = None, reverse: bool = False,
    batch_first: bool = False, training: bool = False, out: Array | None = None, threads: int | None = None,
    **options: Unpack[MGUOptions],
) -> Any:  # fmt: skip
    """Minimal gated unit (Zhou et al. 2016) over a batch of sequences: a GRU whose one gate resets and updates.

    ``f = sigmoid(W x + b_if + R h + b_hf)``, ``n = tanh(W x + b_in + R (f*h) + b_hn)``, ``h' = (1-f)*h + f*n``

    Args:
        x: (T, B, I), or (B, T, I) with ``batch_first``.
        w_ih: (2*H, I), or the result of :func:`pack_mgu`: then no other parameter or option of the weights is given.
        w_hh: (2*H, H). b_ih, b_hh: (2*H,), None for zero. Gates f, n.
        h0: (1, B, H), None for zero.
        lengths, reverse, batch_first, threads: see the module.
        training: also return a cache for :func:`mgu_backward`. It refers to x and y: leave both unchanged until then.
        out: receives ``y``: C-contiguous, writeable, sharing no memory with the inputs.
        options: those of :func:`pack_mgu`, and the options of a run; see the module.

    Returns:
        MGUOutput(y, h_n); with ``training=True`` the tuple (y, h_n, cache).

    Example:
        >>> x = np.ones((5, 2, 3))  # T, B, I
        >>> y, h_n = fastrnn.mgu_forward(x, np.zeros((8, 3)), np.zeros((8, 4)))
        >>> y.shape, h_n.shape
        ((5, 2, 4), (1, 2, 4))
    """
    return run_forward(
        _MGU, x, w_ih, w_hh, b_ih, b_hh, lengths, reverse, batch_first, training, out, threads, options,
        h0,
    )  # fmt: skip


def mgu_backward(
    dy: ArrayLike | None,
    cache: Cache,
    dh_n: ArrayLike | None = None,
    *,
    need_dx: bool = True,
    threads: int | None = None,
) -> MGUGrads:
    """Gradients of :func:`mgu_forward` by back-propagation through time. Arguments as :func:`gru_backward`.

    Example:
        >>> x = np.ones((5, 2, 3))  # T, B, I
        >>> *_, cache = fastrnn.mgu_forward(x, np.zeros((8, 3)), np.zeros((8, 4)), training=True)
        >>> grads = fastrnn.mgu_backward(np.ones((5, 2, 4)), cache)
        >>> grads.x.shape, grads.w_hh.shape
        ((5, 2, 3), (8, 4))
    """
    return run_backward(_MGU, MGUGrads, dy, cache, (dh_n,), need_dx, threads)


# fmt: off
@overload
def mgu_cell(
    x: ArrayLike, w_ih: HostWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., *, training: Literal[False] = ..., **options: Unpack[_MGUStep],
) -> Array: ...
@overload
def mgu_cell(
    x: ArrayLike, w_ih: HostWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., *, training: Literal[True], **options: Unpack[_MGUStep],
) -> tuple[Array, Cache]: ...
@overload
def mgu_cell(
    x: ArrayLike, w_ih: HostWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., *, training: bool, **options: Unpack[_MGUStep],
) -> Array | tuple[Array, Cache]: ...
# fmt: on
def mgu_cell(
    x: ArrayLike, w_ih: HostWeights, w_hh: ArrayLike | None = None, b_ih: ArrayLike | None = None,
    b_hh: ArrayLike | None = None, h0: ArrayLike | None = None, *, training: bool = False, seed: int | None = None,
    **options: Unpack[MGUWeights],
) -> Any:  # fmt: skip
    """One step of :func:`mgu_forward`: x (B, I), h0 (B, H) or None; returns h (B, H).

    With ``training=True`` returns (h, cache); :func:`mgu_backward` then takes dy of shape (1, B, H). ``seed`` is that
    of zoneout_h and weight_dropout; ``options`` are those of :func:`pack_mgu`.

    Example:
        >>> h = fastrnn.mgu_cell(np.ones((2, 3)), np.zeros((8, 3)), np.zeros((8, 4)))  # B = 2, H = 4
        >>> h.shape
        (2, 4)
    """
    return run_step(_MGU, x, w_ih, w_hh, b_ih, b_hh, training, seed, options, h0)


_MGU = make_cell(pack_mgu, mgu_forward, mgu_backward, mgu_cell, MGUOutput, None, MGUWeights, GatedRunOptions)
