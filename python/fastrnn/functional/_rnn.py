"""The Elman network and the IndRNN as functions; see the package for shapes, options and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import _core
from .._core import Cache, PackedWeights
from .._typing import Array, ArrayLike
from ._call import backward, pack_cell, prepare, prepare_cell, step
from ._options import Activation, DtypeName
from ._results import IndRNNGrads, IndRNNOutput, RNNGrads, RNNOutput
from .gpu.calls import GpuCall, forward_on_gpu, is_gpu

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._options import IndRNNOptions, IndRNNWeights, RNNOptions, RNNWeights


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
    """
    arrays = {"w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh}
    named = {"activation": activation, "seed": seed}
    return pack_cell(pack_rnn, "rnn", arrays, named, options, dtype, fast_activations)


def rnn_forward(
    x: ArrayLike,
    w_ih: ArrayLike | PackedWeights,
    w_hh: ArrayLike | None = None,
    b_ih: ArrayLike | None = None,
    b_hh: ArrayLike | None = None,
    h0: ArrayLike | None = None,
    *,
    activation: Activation = "tanh",
    lengths: Any = None,
    reverse: bool = False,
    batch_first: bool = False,
    training: bool = False,
    out: Array | None = None,
    threads: int | None = None,
    **options: Unpack[RNNOptions],
) -> Any:
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
    """
    if is_gpu(options, x, w_ih):
        call = GpuCall(lengths, reverse, batch_first, training, out, threads)
        parameters = w_ih, w_hh, b_ih, b_hh
        found = forward_on_gpu(rnn_forward, "rnn", x, parameters, {"h0": h0}, {"activation": activation}, options, call)
        return found if training else RNNOutput(*found)
    weights, run = prepare(rnn_forward, "rnn", x, w_ih, w_hh, b_ih, b_hh, {"activation": activation}, options, training)
    y, h_n, _, cache = _core.forward(  # by position: names would cost a microsecond
        weights, x, h0, None, lengths, reverse, batch_first, training, out, threads, run
    )
    return (y, h_n, cache) if training else RNNOutput(y, h_n)


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
    """
    grads: RNNGrads = backward(RNNGrads, "rnn", dy, cache, dh_n, None, need_dx, threads)
    return grads


def rnn_cell(
    x: ArrayLike,
    w_ih: ArrayLike | PackedWeights,
    w_hh: ArrayLike | None = None,
    b_ih: ArrayLike | None = None,
    b_hh: ArrayLike | None = None,
    h0: ArrayLike | None = None,
    *,
    activation: Activation = "tanh",
    training: bool = False,
    seed: int | None = None,
    **options: Unpack[RNNWeights],
) -> Any:
    """One step of :func:`rnn_forward`: x (B, I), h0 (B, H) or None; returns h (B, H).

    With ``training=True`` returns (h, cache); :func:`rnn_backward` then takes dy of shape (1, B, H). ``seed`` is that
    of zoneout_h and weight_dropout; ``options`` are those of :func:`pack_rnn`.
    """
    weights = prepare_cell(
        rnn_cell, "rnn", x, w_ih, w_hh, b_ih, b_hh, {"activation": activation}, options, training, seed
    )
    h, _, cache = step(weights, x, training, seed, h0=h0)
    return (h, cache) if training else h


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
    """
    arrays = {"w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh}
    return pack_cell(pack_indrnn, "indrnn", arrays, {"activation": activation}, options, dtype, fast_activations)


def indrnn_forward(
    x: ArrayLike,
    w_ih: ArrayLike | PackedWeights,
    w_hh: ArrayLike | None = None,
    b_ih: ArrayLike | None = None,
    b_hh: ArrayLike | None = None,
    h0: ArrayLike | None = None,
    *,
    activation: Activation = "tanh",
    lengths: Any = None,
    reverse: bool = False,
    batch_first: bool = False,
    training: bool = False,
    out: Array | None = None,
    threads: int | None = None,
    **options: Unpack[IndRNNOptions],
) -> Any:
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
    """
    if is_gpu(options, x, w_ih):
        call = GpuCall(lengths, reverse, batch_first, training, out, threads)
        parameters = w_ih, w_hh, b_ih, b_hh
        found = forward_on_gpu(
            indrnn_forward, "indrnn", x, parameters, {"h0": h0}, {"activation": activation}, options, call
        )
        return found if training else IndRNNOutput(*found)
    weights, run = prepare(
        indrnn_forward, "indrnn", x, w_ih, w_hh, b_ih, b_hh, {"activation": activation}, options, training
    )
    y, h_n, _, cache = _core.forward(weights, x, h0, None, lengths, reverse, batch_first, training, out, threads, run)
    return (y, h_n, cache) if training else IndRNNOutput(y, h_n)


def indrnn_backward(
    dy: ArrayLike | None,
    cache: Cache,
    dh_n: ArrayLike | None = None,
    *,
    need_dx: bool = True,
    threads: int | None = None,
) -> IndRNNGrads:
    """Gradients of :func:`indrnn_forward` by back-propagation through time. Arguments as :func:`rnn_backward`."""
    grads: IndRNNGrads = backward(IndRNNGrads, "indrnn", dy, cache, dh_n, None, need_dx, threads)
    return grads


def indrnn_cell(
    x: ArrayLike,
    w_ih: ArrayLike | PackedWeights,
    w_hh: ArrayLike | None = None,
    b_ih: ArrayLike | None = None,
    b_hh: ArrayLike | None = None,
    h0: ArrayLike | None = None,
    *,
    activation: Activation = "tanh",
    training: bool = False,
    seed: int | None = None,
    **options: Unpack[IndRNNWeights],
) -> Any:
    """One step of :func:`indrnn_forward`: x (B, I), h0 (B, H) or None; returns h (B, H).

    With ``training=True`` returns (h, cache); :func:`indrnn_backward` then takes dy of shape (1, B, H). ``seed`` is
    that of zoneout_h; ``options`` are those of :func:`pack_indrnn`.
    """
    weights = prepare_cell(
        indrnn_cell, "indrnn", x, w_ih, w_hh, b_ih, b_hh, {"activation": activation}, options, training, seed
    )
    h, _, cache = step(weights, x, training, seed, h0=h0)
    return (h, cache) if training else h
