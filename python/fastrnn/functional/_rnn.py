"""The Elman network as functions; see the package for shapes, options and errors."""

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
    HostWeights,
    NormWeights,
    OptionalArray,
    RunOptions,
    make_cell,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack


class RNNWeights(NormWeights, total=False):
    """What :func:`pack_rnn` takes beside its named arguments. `ln_ih` is refused: the gains are in `ln_hh`."""

    clip: float | None
    zoneout_h: float | None
    weight_dropout: float | None


class RNNOptions(RNNWeights, RunOptions, total=False):
    """Further keywords of :func:`rnn_forward`."""


class _RNNSettings(TypedDict, total=False):
    """The options of the weights that are named arguments."""

    activation: Activation


class _RNNForward(_RNNSettings, RNNOptions, CallKeywords, total=False):
    """All keywords of :func:`rnn_forward` but for `training`, for its overloads."""


class _RNNStep(_RNNSettings, RNNWeights, total=False):
    """Those of :func:`rnn_cell`."""

    seed: int | None


class RNNOutput(NamedTuple):
    """Result of :func:`rnn_forward`: y (T, B, H) and the final state h_n (1, B, H).

    Example:
        >>> found = fastrnn.rnn_forward(np.ones((5, 2, 3)), np.zeros((4, 3)), np.zeros((4, 4)))
        >>> found.y.shape, found.h_n.shape
        ((5, 2, 4), (1, 2, 4))
    """

    y: Array
    h_n: Array


class RNNGrads(NamedTuple):
    """Gradients of an Elman network, each in the shape of its argument; None for what was not given or asked for.

    Example:
        >>> x = np.ones((5, 2, 3))  # T, B, I
        >>> *_, cache = fastrnn.rnn_forward(x, np.zeros((4, 3)), np.zeros((4, 4)), training=True)
        >>> fastrnn.rnn_backward(np.ones((5, 2, 4)), cache).w_ih.shape
        (4, 3)
    """

    x: Array | None
    h0: Array
    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None
    ln_hh: Array | None


def pack_rnn(
    w_ih: ArrayLike,
    w_hh: ArrayLike,
    b_ih: ArrayLike | None = None,
    b_hh: ArrayLike | None = None,
    *,
    activation: Activation = "tanh",
    dtype: DtypeName | None = None,
    fast_activations: bool = False,
    seed: int | None = None,
    **options: Unpack[RNNWeights],
) -> PackedWeights:
    """Packs the parameters of an Elman network once, for any number of :func:`rnn_forward` calls.

    Args:
        w_ih: (H, I). w_hh: (H, H). b_ih, b_hh: (H,) or None.
        activation: f of the equation in :func:`rnn_forward`.
        dtype, fast_activations: see the module.
        seed: of weight_dropout; None for a fresh one.
        options: clip, ln_hh (H,), norm_eps, zoneout_h, weight_dropout; see the module.

    Returns:
        PackedWeights: an immutable copy; later changes to the arrays do not reach it.

    Example:
        >>> weights = fastrnn.pack_rnn(np.zeros((4, 3)), np.zeros((4, 4)))
        >>> weights.hidden_size, weights.dtype
        (4, 'float64')
        >>> fastrnn.rnn_forward(np.ones((5, 2, 3)), weights).y.shape
        (5, 2, 4)
    """
    return run_pack(_RNN, (w_ih, w_hh, b_ih, b_hh), {"activation": activation}, options, dtype, fast_activations, seed)


# fmt: off
@overload
def rnn_forward(
    x: ArrayLike, w_ih: AnyWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., *, training: Literal[False] = ..., **options: Unpack[_RNNForward],
) -> RNNOutput: ...
@overload
def rnn_forward(
    x: ArrayLike, w_ih: AnyWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., *, training: Literal[True], **options: Unpack[_RNNForward],
) -> tuple[Array, Array, Cache]: ...
@overload
def rnn_forward(
    x: ArrayLike, w_ih: AnyWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., *, training: bool, **options: Unpack[_RNNForward],
) -> RNNOutput | tuple[Array, Array, Cache]: ...
# fmt: on
def rnn_forward(
    x: ArrayLike, w_ih: AnyWeights, w_hh: ArrayLike | None = None, b_ih: ArrayLike | None = None,
    b_hh: ArrayLike | None = None, h0: ArrayLike | None = None, *, activation: Activation = "tanh",
    lengths: Any = None, reverse: bool = False, batch_first: bool = False, training: bool = False,
    out: Array | None = None, threads: int | None = None, **options: Unpack[RNNOptions],
) -> Any:  # fmt: skip
    """Elman network (Elman 1990) over a batch of sequences: ``h' = f(W_ih x + b_ih + W_hh h + b_hh)``.

    Args:
        x: (T, B, I), or (B, T, I) with ``batch_first``.
        w_ih: (H, I), or the result of :func:`pack_rnn`: then no other parameter or option of the weights is given.
        w_hh: (H, H). b_ih, b_hh: (H,), None for zero.
        h0: (1, B, H), None for zero.
        activation: f, one of the module's activations.
        lengths, reverse, batch_first, threads: see the module.
        training: also return a cache for :func:`rnn_backward`. It refers to x and y: leave both unchanged until then.
        out: receives ``y``: C-contiguous, writeable, sharing no memory with the inputs.
        options: those of :func:`pack_rnn`, and the options of a run but for candidate_dropout; see the module.

    Returns:
        RNNOutput(y, h_n); with ``training=True`` the tuple (y, h_n, cache).

    Example:
        >>> x = np.ones((5, 2, 3))  # T, B, I
        >>> y, h_n = fastrnn.rnn_forward(x, np.zeros((4, 3)), np.zeros((4, 4)))
        >>> y.shape, h_n.shape
        ((5, 2, 4), (1, 2, 4))
    """
    return run_forward(
        _RNN, x, w_ih, w_hh, b_ih, b_hh, lengths, reverse, batch_first, training, out, threads, options,
        h0, activation,
    )  # fmt: skip


def rnn_backward(
    dy: ArrayLike | None,
    cache: Cache,
    dh_n: ArrayLike | None = None,
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

    Example:
        >>> x = np.ones((5, 2, 3))  # T, B, I
        >>> *_, cache = fastrnn.rnn_forward(x, np.zeros((4, 3)), np.zeros((4, 4)), training=True)
        >>> grads = fastrnn.rnn_backward(np.ones((5, 2, 4)), cache)
        >>> grads.x.shape, grads.w_hh.shape
        ((5, 2, 3), (4, 4))
    """
    return run_backward(_RNN, RNNGrads, dy, cache, (dh_n,), need_dx, threads)


# fmt: off
@overload
def rnn_cell(
    x: ArrayLike, w_ih: HostWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., *, training: Literal[False] = ..., **options: Unpack[_RNNStep],
) -> Array: ...
@overload
def rnn_cell(
    x: ArrayLike, w_ih: HostWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., *, training: Literal[True], **options: Unpack[_RNNStep],
) -> tuple[Array, Cache]: ...
@overload
def rnn_cell(
    x: ArrayLike, w_ih: HostWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., *, training: bool, **options: Unpack[_RNNStep],
) -> Array | tuple[Array, Cache]: ...
# fmt: on
def rnn_cell(
    x: ArrayLike, w_ih: HostWeights, w_hh: ArrayLike | None = None, b_ih: ArrayLike | None = None,
    b_hh: ArrayLike | None = None, h0: ArrayLike | None = None, *, activation: Activation = "tanh",
    training: bool = False, seed: int | None = None, **options: Unpack[RNNWeights],
) -> Any:  # fmt: skip
    """One step of :func:`rnn_forward`: x (B, I), h0 (B, H) or None; returns h (B, H).

    With ``training=True`` returns (h, cache); :func:`rnn_backward` then takes dy of shape (1, B, H). ``seed`` is that
    of zoneout_h and weight_dropout; ``options`` are those of :func:`pack_rnn`.

    Example:
        >>> h = fastrnn.rnn_cell(np.ones((2, 3)), np.zeros((4, 3)), np.zeros((4, 4)))  # B = 2, H = 4
        >>> h.shape
        (2, 4)
    """
    return run_step(_RNN, x, w_ih, w_hh, b_ih, b_hh, training, seed, options, h0, activation)


_RNN = make_cell(pack_rnn, rnn_forward, rnn_backward, rnn_cell, RNNOutput, None, RNNWeights, RunOptions)
