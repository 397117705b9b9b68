"""The sLSTM as functions; see the package for shapes, options and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import _core
from .._core import Cache, PackedWeights
from .._typing import Array, ArrayLike
from ._arguments import as_array, batch_size, stack_states, state_dtype
from ._call import backward, pack_cell, prepare, prepare_cell, step
from ._options import DtypeName, ForgetGate
from ._results import SLSTMGrads, SLSTMOutput, SLSTMState
from .gpu.calls import GpuCall, forward_on_gpu, is_gpu

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._options import SLSTMOptions, SLSTMWeights


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
    """
    arrays = {"w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh}
    named = {"forget_gate": forget_gate, "seed": seed}
    return pack_cell(pack_slstm, "slstm", arrays, named, options, dtype, fast_activations)


def slstm_forward(
    x: ArrayLike,
    w_ih: ArrayLike | PackedWeights,
    w_hh: ArrayLike | None = None,
    b_ih: ArrayLike | None = None,
    b_hh: ArrayLike | None = None,
    h0: ArrayLike | None = None,
    c0: ArrayLike | None = None,
    n0: ArrayLike | None = None,
    m0: ArrayLike | None = None,
    *,
    forget_gate: ForgetGate = "sigmoid",
    lengths: Any = None,
    reverse: bool = False,
    batch_first: bool = False,
    training: bool = False,
    out: Array | None = None,
    threads: int | None = None,
    **options: Unpack[SLSTMOptions],
) -> Any:
    """sLSTM (Beck et al. 2024, xLSTM): exponential gates, normaliser n and stabiliser m, over a batch of sequences.

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
    """
    if is_gpu(options, x, w_ih):
        call = GpuCall(lengths, reverse, batch_first, training, out, threads)
        parameters = w_ih, w_hh, b_ih, b_hh
        found = forward_on_gpu(
            slstm_forward,
            "slstm",
            x,
            parameters,
            {"h0": h0, "c0": c0, "n0": n0, "m0": m0},
            {"forget_gate": forget_gate},
            options,
            call,
        )
        return found if training else SLSTMOutput(*found)
    weights, run = prepare(
        slstm_forward, "slstm", x, w_ih, w_hh, b_ih, b_hh, {"forget_gate": forget_gate}, options, training
    )
    states = None
    if c0 is not None or n0 is not None or m0 is not None:
        x = as_array("x", x, state_dtype(weights))
        batch = batch_size(x, batch_first, run)
        states = stack_states({"c0": c0, "n0": n0, "m0": m0}, (1, batch, weights.hidden_size), x.dtype)
    y, h_n, c_n, cache = _core.forward(
        weights, x, h0, states, lengths, reverse, batch_first, training, out, threads, run
    )
    final = (y, h_n, c_n[0:1], c_n[1:2], c_n[2:3])
    return (*final, cache) if training else SLSTMOutput(*final)


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
    """
    states = {"dc_n": dc_n, "dn_n": dn_n, "dm_n": dm_n}
    grads: SLSTMGrads = backward(SLSTMGrads, "slstm", dy, cache, dh_n, states, need_dx, threads)
    return grads


def slstm_cell(
    x: ArrayLike,
    w_ih: ArrayLike | PackedWeights,
    w_hh: ArrayLike | None = None,
    b_ih: ArrayLike | None = None,
    b_hh: ArrayLike | None = None,
    h0: ArrayLike | None = None,
    c0: ArrayLike | None = None,
    n0: ArrayLike | None = None,
    m0: ArrayLike | None = None,
    *,
    forget_gate: ForgetGate = "sigmoid",
    training: bool = False,
    seed: int | None = None,
    **options: Unpack[SLSTMWeights],
) -> Any:
    """One step of :func:`slstm_forward`: x (B, I), states (B, H) or None; returns SLSTMState(h, c, n, m).

    With ``training=True`` returns (h, c, n, m, cache); :func:`slstm_backward` then takes dy of shape (1, B, H).
    ``seed`` is that of weight_dropout, the one of ``options``.
    """
    weights = prepare_cell(
        slstm_cell, "slstm", x, w_ih, w_hh, b_ih, b_hh, {"forget_gate": forget_gate}, options, training, seed
    )
    h, states, cache = step(weights, x, training, seed, h0=h0, c0=c0, n0=n0, m0=m0)
    return (h, *states, cache) if training else SLSTMState(h, *states)
