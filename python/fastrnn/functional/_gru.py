"""The GRU as functions; see the package for shapes, options and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict, overload

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
    NormWeights,
    OptionalArray,
    Reset,
    make_cell,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack


class GRUWeights(GatedWeights, NormWeights, total=False):
    """What :func:`pack_gru` takes beside its named arguments."""


class GRUOptions(GRUWeights, GatedRunOptions, total=False):
    """Further keywords of :func:`gru_forward`."""


class _GRUSettings(TypedDict, total=False):
    """The options of the weights that are named arguments."""

    reset: Reset


class _GRUForward(_GRUSettings, GRUOptions, CallKeywords, total=False):
    """All keywords of :func:`gru_forward` but for `training`, for its overloads."""


class _GRUStep(_GRUSettings, GRUWeights, total=False):
    """Those of :func:`gru_cell`."""

    seed: int | None


class GRUOutput(NamedTuple):
    """Result of :func:`gru_forward`: y (T, B, H) and the final state h_n (1, B, H).

    Example:
        >>> found = fastrnn.gru_forward(np.ones((5, 2, 3)), np.zeros((12, 3)), np.zeros((12, 4)))
        >>> found.y.shape, found.h_n.shape
        ((5, 2, 4), (1, 2, 4))
    """

    y: Array
    h_n: Array


class GRUGrads(NamedTuple):
    """Gradients of a GRU, each in the shape of its argument; None for what was not given or asked for.

    Example:
        >>> x = np.ones((5, 2, 3))  # T, B, I
        >>> *_, cache = fastrnn.gru_forward(x, np.zeros((12, 3)), np.zeros((12, 4)), training=True)
        >>> fastrnn.gru_backward(np.ones((5, 2, 4)), cache).w_ih.shape
        (12, 3)
    """

    x: Array | None
    h0: Array
    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None
    ln_ih: Array | None
    ln_hh: Array | None


def pack_gru(
    w_ih: ArrayLike,
    w_hh: ArrayLike,
    b_ih: ArrayLike | None = None,
    b_hh: ArrayLike | None = None,
    *,
    reset: Reset = "after",
    dtype: DtypeName | None = None,
    fast_activations: bool = False,
    seed: int | None = None,
    **options: Unpack[GRUWeights],
) -> PackedWeights:
    """Packs the parameters of a GRU once, for any number of :func:`gru_forward` calls.

    Args:
        w_ih: (3*H, I). w_hh: (3*H, H). b_ih, b_hh: (3*H,) or None.
        reset: as in :func:`gru_forward`.
        dtype, fast_activations: see the module.
        seed: of weight_dropout; None for a fresh one.
        options: activation, recurrent_activation, clip, ln_ih and ln_hh (3*H,), norm_eps, zoneout_h, weight_dropout;
            see the module.

    Returns:
        PackedWeights: an immutable copy; later changes to the arrays do not reach it.

    Example:
        >>> weights = fastrnn.pack_gru(np.zeros((12, 3)), np.zeros((12, 4)))
        >>> weights.hidden_size, weights.dtype
        (4, 'float64')
        >>> fastrnn.gru_forward(np.ones((5, 2, 3)), weights).y.shape
        (5, 2, 4)
    """
    return run_pack(_GRU, (w_ih, w_hh, b_ih, b_hh), {"reset": reset}, options, dtype, fast_activations, seed)


# fmt: off
@overload
def gru_forward(
    x: ArrayLike, w_ih: AnyWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., *, training: Literal[False] = ..., **options: Unpack[_GRUForward],
) -> GRUOutput: ...
@overload
def gru_forward(
    x: ArrayLike, w_ih: AnyWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., *, training: Literal[True], **options: Unpack[_GRUForward],
) -> tuple[Array, Array, Cache]: ...
@overload
def gru_forward(
    x: ArrayLike, w_ih: AnyWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., *, training: bool, **options: Unpack[_GRUForward],
) -> GRUOutput | tuple[Array, Array, Cache]: ...
# fmt: on
def gru_forward(
    x: ArrayLike, w_ih: AnyWeights, w_hh: ArrayLike | None = None, b_ih: ArrayLike | None = None,
    b_hh: ArrayLike | None = None, h0: ArrayLike | None = None, *, reset: Reset = "after", lengths: Any = None,
    reverse: bool = False, batch_first: bool = False, training: bool = False, out: Array | None = None,
    threads: int | None = None, **options: Unpack[GRUOptions],
) -> Any:  # fmt: skip
    """GRU (Cho et al. 2014) over a batch of sequences, in three forms that differ in where r acts.

    ``r,z = sigmoid(W x + R h + b)`` and, by ``reset``,

    - "after": ``n = tanh(W x + b_in + r*(R h + b_hn))``, ``h' = (1-z)*n + z*h`` (cuDNN, PyTorch, Keras)
    - "before": ``n = tanh(W x + b_in + R (r*h) + b_hn)``, ``h' = (1-z)*n + z*h`` (Cho et al. 2014)
    - "output": ``n = tanh(W x + b_in + R h + b_hn)``, ``h' = (1-z)*h + r*n``

    Args:
        x: (T, B, I), or (B, T, I) with ``batch_first``.
        w_ih: (3*H, I), or the result of :func:`pack_gru`: then no other parameter or option of the weights is given.
        w_hh: (3*H, H). b_ih, b_hh: (3*H,), None for zero. Gates r, z, n.
        h0: (1, B, H), None for zero.
        reset: "after", "before" or "output".
        lengths, reverse, batch_first, threads: see the module.
        training: also return a cache for :func:`gru_backward`. It refers to x and y: leave both unchanged until then.
        out: receives ``y``: C-contiguous, writeable, sharing no memory with the inputs.
        options: those of :func:`pack_gru`, and the options of a run; see the module.

    Returns:
        GRUOutput(y, h_n); with ``training=True`` the tuple (y, h_n, cache).

    Example:
        >>> x = np.ones((5, 2, 3))  # T, B, I
        >>> y, h_n = fastrnn.gru_forward(x, np.zeros((12, 3)), np.zeros((12, 4)))
        >>> y.shape, h_n.shape
        ((5, 2, 4), (1, 2, 4))
    """
    return run_forward(
        _GRU, x, w_ih, w_hh, b_ih, b_hh, lengths, reverse, batch_first, training, out, threads, options,
        h0, reset,
    )  # fmt: skip


def gru_backward(
    dy: ArrayLike | None,
    cache: Cache,
    dh_n: ArrayLike | None = None,
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

    Example:
        >>> x = np.ones((5, 2, 3))  # T, B, I
        >>> *_, cache = fastrnn.gru_forward(x, np.zeros((12, 3)), np.zeros((12, 4)), training=True)
        >>> grads = fastrnn.gru_backward(np.ones((5, 2, 4)), cache)
        >>> grads.x.shape, grads.w_hh.shape
        ((5, 2, 3), (12, 4))
    """
    return run_backward(_GRU, GRUGrads, dy, cache, (dh_n,), need_dx, threads)


# fmt: off
@overload
def gru_cell(
    x: ArrayLike, w_ih: HostWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., *, training: Literal[False] = ..., **options: Unpack[_GRUStep],
) -> Array: ...
@overload
def gru_cell(
    x: ArrayLike, w_ih: HostWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., *, training: Literal[True], **options: Unpack[_GRUStep],
) -> tuple[Array, Cache]: ...
@overload
def gru_cell(
    x: ArrayLike, w_ih: HostWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., *, training: bool, **options: Unpack[_GRUStep],
) -> Array | tuple[Array, Cache]: ...
# fmt: on
def gru_cell(
    x: ArrayLike, w_ih: HostWeights, w_hh: ArrayLike | None = None, b_ih: ArrayLike | None = None,
    b_hh: ArrayLike | None = None, h0: ArrayLike | None = None, *, reset: Reset = "after", training: bool = False,
    seed: int | None = None, **options: Unpack[GRUWeights],
) -> Any:  # fmt: skip
    """One step of :func:`gru_forward`: x (B, I), h0 (B, H) or None; returns h (B, H).

    With ``training=True`` returns (h, cache); :func:`gru_backward` then takes dy of shape (1, B, H). ``seed`` is that
    of zoneout_h and weight_dropout; ``options`` are those of :func:`pack_gru`.

    Example:
        >>> h = fastrnn.gru_cell(np.ones((2, 3)), np.zeros((12, 3)), np.zeros((12, 4)))  # B = 2, H = 4
        >>> h.shape
        (2, 4)
    """
    return run_step(_GRU, x, w_ih, w_hh, b_ih, b_hh, training, seed, options, h0, reset)


_GRU = make_cell(pack_gru, gru_forward, gru_backward, gru_cell, GRUOutput, None, GRUWeights, GatedRunOptions)
