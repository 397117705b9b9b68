"""The IndRNN as functions; see the package for shapes, options and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict, overload

from .._core import Cache, PackedWeights
from .._typing import Array, ArrayLike
from ._call import run_backward, run_forward, run_pack, run_step
from ._options import Activation, AnyWeights, CallKeywords, DtypeName, HostWeights, OptionalArray, RunOptions, make_cell

if TYPE_CHECKING:
    from typing_extensions import Unpack


class IndRNNWeights(TypedDict, total=False):
    """What :func:`pack_indrnn` takes beside its named arguments."""

    clip: float | None
    zoneout_h: float | None


class IndRNNOptions(IndRNNWeights, RunOptions, total=False):
    """Further keywords of :func:`indrnn_forward`."""


class _IndRNNSettings(TypedDict, total=False):
    """The options of the weights that are named arguments."""

    activation: Activation


class _IndRNNForward(_IndRNNSettings, IndRNNOptions, CallKeywords, total=False):
    """All keywords of :func:`indrnn_forward` but for `training`, for its overloads."""


class _IndRNNStep(_IndRNNSettings, IndRNNWeights, total=False):
    """Those of :func:`indrnn_cell`."""

    seed: int | None


class IndRNNOutput(NamedTuple):
    """Result of :func:`indrnn_forward`: y (T, B, H) and the final state h_n (1, B, H).

    Example:
        >>> found = fastrnn.indrnn_forward(np.ones((5, 2, 3)), np.zeros((4, 3)), np.zeros(4))
        >>> found.y.shape, found.h_n.shape
        ((5, 2, 4), (1, 2, 4))
    """

    y: Array
    h_n: Array


class IndRNNGrads(NamedTuple):
    """Gradients of an IndRNN, each in the shape of its argument; None for what was not given or asked for.

    Example:
        >>> x = np.ones((5, 2, 3))  # T, B, I
        >>> *_, cache = fastrnn.indrnn_forward(x, np.zeros((4, 3)), np.zeros(4), training=True)
        >>> fastrnn.indrnn_backward(np.ones((5, 2, 4)), cache).w_ih.shape
        (4, 3)
    """

    x: Array | None
    h0: Array
    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None


def pack_indrnn(
    w_ih: ArrayLike,
    w_hh: ArrayLike,
    b_ih: ArrayLike | None = None,
    b_hh: ArrayLike | None = None,
    *,
    activation: Activation = "tanh",
    dtype: DtypeName | None = None,
    fast_activations: bool = False,
    **options: Unpack[IndRNNWeights],
) -> PackedWeights:
    """Packs the parameters of an IndRNN once, for any number of :func:`indrnn_forward` calls.

    Args:
        w_ih: (H, I). w_hh: (H,). b_ih, b_hh: (H,) or None.
        activation: as in :func:`indrnn_forward`.
        dtype, fast_activations: see the module.
        options: clip, zoneout_h; see the module.

    Returns:
        PackedWeights: an immutable copy; later changes to the arrays do not reach it.

    Example:
        >>> weights = fastrnn.pack_indrnn(np.zeros((4, 3)), np.zeros(4))
        >>> weights.hidden_size, weights.dtype
        (4, 'float64')
        >>> fastrnn.indrnn_forward(np.ones((5, 2, 3)), weights).y.shape
        (5, 2, 4)
    """
    return run_pack(_INDRNN, (w_ih, w_hh, b_ih, b_hh), {"activation": activation}, options, dtype, fast_activations)


# fmt: off
@overload
def indrnn_forward(
    x: ArrayLike, w_ih: AnyWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., *, training: Literal[False] = ..., **options: Unpack[_IndRNNForward],
) -> IndRNNOutput: ...
@overload
def indrnn_forward(
    x: ArrayLike, w_ih: AnyWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., *, training: Literal[True], **options: Unpack[_IndRNNForward],
) -> tuple[Array, Array, Cache]: ...
@overload
def indrnn_forward(
    x: ArrayLike, w_ih: AnyWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., *, training: bool, **options: Unpack[_IndRNNForward],
) -> IndRNNOutput | tuple[Array, Array, Cache]: ...
# fmt: on
def indrnn_forward(
    x: ArrayLike, w_ih: AnyWeights, w_hh: ArrayLike | None = None, b_ih: ArrayLike | None = None,
    b_hh: ArrayLike | None = None, h0: ArrayLike | None = None, *, activation: Activation = "tanh",
    lengths: Any = None, reverse: bool = False, batch_first: bool = False, training: bool = False,
    out: Array | None = None, threads: int | None = None, **options: Unpack[IndRNNOptions],
) -> Any:  # fmt: skip
    """IndRNN (Li et al. 2018): ``h' = f(W_ih x + b_ih + u*h + b_hh)``, each unit seeing none but itself.

    Args:
        x: (T, B, I), or (B, T, I) with ``batch_first``.
        w_ih: (H, I), or the result of :func:`pack_indrnn`: then no other parameter or option of the weights is given.
        w_hh: u, (H,). b_ih, b_hh: (H,), None for zero.
        h0: (1, B, H), None for zero.
        activation: f, one of the module's activations; the authors use "relu".
        lengths, reverse, batch_first, threads: see the module.
        training: also return a cache for :func:`indrnn_backward`. It refers to x and y: leave both unchanged until
            then.
        out: receives ``y``: C-contiguous, writeable, sharing no memory with the inputs.
        options: those of :func:`pack_indrnn`, and the options of a run but for candidate_dropout; see the module.

    Returns:
        IndRNNOutput(y, h_n); with ``training=True`` the tuple (y, h_n, cache).

    Example:
        >>> x = np.ones((5, 2, 3))  # T, B, I
        >>> y, h_n = fastrnn.indrnn_forward(x, np.zeros((4, 3)), np.zeros(4))
        >>> y.shape, h_n.shape
        ((5, 2, 4), (1, 2, 4))
    """
    return run_forward(
        _INDRNN, x, w_ih, w_hh, b_ih, b_hh, lengths, reverse, batch_first, training, out, threads, options,
        h0, activation,
    )  # fmt: skip


def indrnn_backward(
    dy: ArrayLike | None,
    cache: Cache,
    dh_n: ArrayLike | None = None,
    *,
    need_dx: bool = True,
    threads: int | None = None,
) -> IndRNNGrads:
    """Gradients of :func:`indrnn_forward` by back-propagation through time. Arguments as :func:`rnn_backward`.

    Example:
        >>> x = np.ones((5, 2, 3))  # T, B, I
        >>> *_, cache = fastrnn.indrnn_forward(x, np.zeros((4, 3)), np.zeros(4), training=True)
        >>> grads = fastrnn.indrnn_backward(np.ones((5, 2, 4)), cache)
        >>> grads.x.shape, grads.w_hh.shape
        ((5, 2, 3), (4,))
    """
    return run_backward(_INDRNN, IndRNNGrads, dy, cache, (dh_n,), need_dx, threads)


# fmt: off
@overload
def indrnn_cell(
    x: ArrayLike, w_ih: HostWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., *, training: Literal[False] = ..., **options: Unpack[_IndRNNStep],
) -> Array: ...
@overload
def indrnn_cell(
    x: ArrayLike, w_ih: HostWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., *, training: Literal[True], **options: Unpack[_IndRNNStep],
) -> tuple[Array, Cache]: ...
@overload
def indrnn_cell(
    x: ArrayLike, w_ih: HostWeights, w_hh: OptionalArray = ..., b_ih: OptionalArray = ..., b_hh: OptionalArray = ...,
    h0: OptionalArray = ..., *, training: bool, **options: Unpack[_IndRNNStep],
) -> Array | tuple[Array, Cache]: ...
# fmt: on
def indrnn_cell(
    x: ArrayLike, w_ih: HostWeights, w_hh: ArrayLike | None = None, b_ih: ArrayLike | None = None,
    b_hh: ArrayLike | None = None, h0: ArrayLike | None = None, *, activation: Activation = "tanh",
    training: bool = False, seed: int | None = None, **options: Unpack[IndRNNWeights],
) -> Any:  # fmt: skip
    """One step of :func:`indrnn_forward`: x (B, I), h0 (B, H) or None; returns h (B, H).

    With ``training=True`` returns (h, cache); :func:`indrnn_backward` then takes dy of shape (1, B, H). ``seed`` is
    that of zoneout_h; ``options`` are those of :func:`pack_indrnn`.

    Example:
        >>> h = fastrnn.indrnn_cell(np.ones((2, 3)), np.zeros((4, 3)), np.zeros(4))  # B = 2, H = 4
        >>> h.shape
        (2, 4)
    """
    return run_step(_INDRNN, x, w_ih, w_hh, b_ih, b_hh, training, seed, options, h0, activation)


_INDRNN = make_cell(
    pack_indrnn, indrnn_forward, indrnn_backward, indrnn_cell, IndRNNOutput, None, IndRNNWeights, RunOptions
)
