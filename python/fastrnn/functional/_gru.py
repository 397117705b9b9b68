"""The GRU and the minimal gated unit as functions; see the package for shapes, options and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import _core
from .._core import Cache, PackedWeights
from .._typing import Array, ArrayLike
from ._call import backward, pack_cell, prepare, prepare_cell, step
from ._options import DtypeName, Reset
from ._results import GRUGrads, GRUOutput, MGUGrads, MGUOutput
from .gpu.calls import GpuCall, forward_on_gpu, is_gpu

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._options import GRUOptions, GRUWeights, MGUOptions, MGUWeights


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
    """
    arrays = {"w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh}
    return pack_cell(pack_gru, "gru", arrays, {"reset": reset, "seed": seed}, options, dtype, fast_activations)


def gru_forward(
    x: ArrayLike,
    w_ih: ArrayLike | PackedWeights,
    w_hh: ArrayLike | None = None,
    b_ih: ArrayLike | None = None,
    b_hh: ArrayLike | None = None,
    h0: ArrayLike | None = None,
    *,
    reset: Reset = "after",
    lengths: Any = None,
    reverse: bool = False,
    batch_first: bool = False,
    training: bool = False,
    out: Array | None = None,
    threads: int | None = None,
    **options: Unpack[GRUOptions],
) -> Any:
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
    """
    if is_gpu(options, x, w_ih):
        call = GpuCall(lengths, reverse, batch_first, training, out, threads)
        parameters = w_ih, w_hh, b_ih, b_hh
        found = forward_on_gpu(gru_forward, "gru", x, parameters, {"h0": h0}, {"reset": reset}, options, call)
        return found if training else GRUOutput(*found)
    weights, run = prepare(gru_forward, "gru", x, w_ih, w_hh, b_ih, b_hh, {"reset": reset}, options, training)
    y, h_n, _, cache = _core.forward(  # by position: names would cost a microsecond
        weights, x, h0, None, lengths, reverse, batch_first, training, out, threads, run
    )
    return (y, h_n, cache) if training else GRUOutput(y, h_n)


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
    """
    grads: GRUGrads = backward(GRUGrads, "gru", dy, cache, dh_n, None, need_dx, threads)
    return grads


def gru_cell(
    x: ArrayLike,
    w_ih: ArrayLike | PackedWeights,
    w_hh: ArrayLike | None = None,
    b_ih: ArrayLike | None = None,
    b_hh: ArrayLike | None = None,
    h0: ArrayLike | None = None,
    *,
    reset: Reset = "after",
    training: bool = False,
    seed: int | None = None,
    **options: Unpack[GRUWeights],
) -> Any:
    """One step of :func:`gru_forward`: x (B, I), h0 (B, H) or None; returns h (B, H).

    With ``training=True`` returns (h, cache); :func:`gru_backward` then takes dy of shape (1, B, H). ``seed`` is that
    of zoneout_h and weight_dropout; ``options`` are those of :func:`pack_gru`.
    """
    weights = prepare_cell(gru_cell, "gru", x, w_ih, w_hh, b_ih, b_hh, {"reset": reset}, options, training, seed)
    h, _, cache = step(weights, x, training, seed, h0=h0)
    return (h, cache) if training else h


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
    """
    arrays = {"w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh}
    return pack_cell(pack_mgu, "mgu", arrays, {"seed": seed}, options, dtype, fast_activations)


def mgu_forward(
    x: ArrayLike,
    w_ih: ArrayLike | PackedWeights,
    w_hh: ArrayLike | None = None,
    b_ih: ArrayLike | None = None,
    b_hh: ArrayLike | None = None,
    h0: ArrayLike | None = None,
    *,
    lengths: Any = None,
    reverse: bool = False,
    batch_first: bool = False,
    training: bool = False,
    out: Array | None = None,
    threads: int | None = None,
    **options: Unpack[MGUOptions],
) -> Any:
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
    """
    if is_gpu(options, x, w_ih):
        call = GpuCall(lengths, reverse, batch_first, training, out, threads)
        parameters = w_ih, w_hh, b_ih, b_hh
        found = forward_on_gpu(mgu_forward, "mgu", x, parameters, {"h0": h0}, {}, options, call)
        return found if training else MGUOutput(*found)
    weights, run = prepare(mgu_forward, "mgu", x, w_ih, w_hh, b_ih, b_hh, {}, options, training)
    y, h_n, _, cache = _core.forward(weights, x, h0, None, lengths, reverse, batch_first, training, out, threads, run)
    return (y, h_n, cache) if training else MGUOutput(y, h_n)


def mgu_backward(
    dy: ArrayLike | None,
    cache: Cache,
    dh_n: ArrayLike | None = None,
    *,
    need_dx: bool = True,
    threads: int | None = None,
) -> MGUGrads:
    """Gradients of :func:`mgu_forward` by back-propagation through time. Arguments as :func:`gru_backward`."""
    grads: MGUGrads = backward(MGUGrads, "mgu", dy, cache, dh_n, None, need_dx, threads)
    return grads


def mgu_cell(
    x: ArrayLike,
    w_ih: ArrayLike | PackedWeights,
    w_hh: ArrayLike | None = None,
    b_ih: ArrayLike | None = None,
    b_hh: ArrayLike | None = None,
    h0: ArrayLike | None = None,
    *,
    training: bool = False,
    seed: int | None = None,
    **options: Unpack[MGUWeights],
) -> Any:
    """One step of :func:`mgu_forward`: x (B, I), h0 (B, H) or None; returns h (B, H).

    With ``training=True`` returns (h, cache); :func:`mgu_backward` then takes dy of shape (1, B, H). ``seed`` is that
    of zoneout_h and weight_dropout; ``options`` are those of :func:`pack_mgu`.
    """
    weights = prepare_cell(mgu_cell, "mgu", x, w_ih, w_hh, b_ih, b_hh, {}, options, training, seed)
    h, _, cache = step(weights, x, training, seed, h0=h0)
    return (h, cache) if training else h
