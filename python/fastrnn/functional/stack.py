"""Stacks: several recurrent layers, each in one direction or in both, in one native call.

Shapes beyond those of the functions for one layer: L layers, D directions (1 or 2), P the width of a layer's own h
and y (H unless it has a projection), S the states beside h that a cell has (1 for an LSTM: c; 3 for an sLSTM: c, n, m).

- ``x`` (T, B, I), or (B, T, I) with ``batch_first=True``; ``y`` alike with W last: D*P with ``merge="concat"``, else P
- ``h0, h_n`` (L*D, B, P) and ``c0, c_n`` (L*D*S, B, H), index layer*D + direction as in PyTorch

Direction 1 runs from the last step to the first (Schuster & Paliwal 1997), its output is in the order of time. What is
computed is what a loop over the layers computes, in inference to the last bit; with ``threads`` and few rows, two
directions run side by side, and layers of one direction as a wavefront: one computes its next steps while the one above
it computes those before. Results do not depend on that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, overload

from .. import _core
from .._core import PackedWeights, StackCache
from .._typing import Array, ArrayLike
from .gpu.calls import Call, GpuCache, backward_on_gpu, is_cuda_weights, is_gpu, stack_on_gpu

__all__ = ["StackGrads", "StackOutput", "stack_backward", "stack_forward"]

MergeName = Literal["concat", "sum", "mean", "ave", "mul"]
Layers = Sequence[PackedWeights] | Sequence[Sequence[PackedWeights]]


class StackOutput(NamedTuple):
    """Result of :func:`stack_forward`: y (T, B, W), h_n (L*D, B, P) and c_n (L*D*S, B, H), None for cells without c.

    Example:
        >>> layers = [fastrnn.pack_gru(np.zeros((12, inputs)), np.zeros((12, 4))) for inputs in (3, 4)]
        >>> fastrnn.stack_forward(np.ones((5, 2, 3)), layers).h_n.shape  # L, B, H
        (2, 2, 4)
    """

    y: Array
    h_n: Array
    c_n: Array | None


class StackGrads(NamedTuple):
    """Result of :func:`stack_backward`, each in the shape of what it is the gradient of.

    ``layers[l][d]`` maps the names of the parameters that layer l has in direction d ("w_ih", "w_hh", "b_ih", ...) to
    their gradients. ``x`` is None with ``need_dx=False``, ``c0`` for cells without c.

    Example:
        >>> layers = [fastrnn.pack_gru(np.zeros((12, inputs)), np.zeros((12, 4))) for inputs in (3, 4)]
        >>> *_, cache = fastrnn.stack_forward(np.ones((5, 2, 3)), layers, training=True)
        >>> fastrnn.stack_backward(np.ones((5, 2, 4)), cache).h0.shape
        (2, 2, 4)
    """

    x: Array | None
    h0: Array
    c0: Array | None
    layers: list[list[dict[str, Array]]]


def _directions(layers: Any) -> list[list[PackedWeights]]:
    """Return a list of the one or two directions of each layer. The native module checks what they are."""
    if isinstance(layers, PackedWeights) or is_cuda_weights(layers) or not isinstance(layers, Sequence):
        raise TypeError(f"layers: expected a sequence of PackedWeights or pairs of them, got {type(layers).__name__}")
    rows: list[list[PackedWeights]] = []
    for k, item in enumerate(layers):
        if isinstance(item, PackedWeights) or is_cuda_weights(item):
            rows.append([item])
        elif isinstance(item, tuple | list):
            rows.append([*item])
        else:
            raise TypeError(f"layers[{k}]: expected PackedWeights or a pair of them, got {type(item).__name__}")
        if not rows[k]:
            raise ValueError(f"layers[{k}]: expected one or two directions, got 0")
    if not rows:
        raise ValueError("layers: expected one or more, got none")
    return rows


@overload
def stack_forward(
    x: ArrayLike,
    layers: Layers,
    h0: ArrayLike | None = None,
    c0: ArrayLike | None = None,
    *,
    merge: MergeName = "concat",
    dropout: float = 0.0,
    lengths: Any = None,
    batch_first: bool = False,
    training: Literal[False] = False,
    out: Array | None = None,
    threads: int | None = None,
    **run: Any,
) -> StackOutput: ...
@overload
def stack_forward(
    x: ArrayLike,
    layers: Layers,
    h0: ArrayLike | None = None,
    c0: ArrayLike | None = None,
    *,
    merge: MergeName = "concat",
    dropout: float = 0.0,
    lengths: Any = None,
    batch_first: bool = False,
    training: Literal[True],
    out: Array | None = None,
    threads: int | None = None,
    **run: Any,
) -> tuple[Array, Array, Array | None, StackCache]: ...
def stack_forward(
    x: ArrayLike,
    layers: Layers,
    h0: ArrayLike | None = None,
    c0: ArrayLike | None = None,
    *,
    merge: MergeName = "concat",
    dropout: float = 0.0,
    lengths: Any = None,
    batch_first: bool = False,
    training: bool = False,
    out: Array | None = None,
    threads: int | None = None,
    **run: Any,
) -> StackOutput | tuple[Array, Array, Array | None, StackCache]:
    """Run layers over one another, each in one direction or in both.

    Args:
        x: (T, B, I), or (B, T, I) with `batch_first`; its dtype is that of the weights (float64 for "float64", else
            float32).
        layers: the weights, from ``pack_lstm`` and its likes: one PackedWeights for each layer, or a pair (forward,
            backward) for each. All are of one cell and have the same H and P; the input size of each layer is the
            width of the output of the one below. Options of the cell may differ. Weights from ``pack_cuda`` make the
            call run on their GPU; x and the states are NumPy's, or all there.
        h0: (L*D, B, P), the states before the first step; None: zeros.
        c0: (L*D*S, B, H), likewise; ignored by cells without c.
        merge: how the outputs of two directions become one: "concat" (side by side, 2P wide), "sum", "mean" (also
            called "ave") or "mul". It has no effect on layers of one direction.
        dropout: the rate, in [0, 1), at which elements of every layer's output but the last one's are dropped in
            training, each element of each step for itself; the others are divided by 1 - dropout. As PyTorch's.
        lengths: (B,) integers in 0..T: row b runs its first lengths[b] steps in every layer and direction.
        batch_first: x and y have the axis of the batch first.
        training: keep what :func:`stack_backward` needs; the weights must be exact float32 or float64.
        out: receives y: C-contiguous, writeable, sharing no memory with x, h0 or c0.
        threads: how many may work on this call; None: :func:`fastrnn.set_num_threads`'s number.
        **run: the options of a run that the functions for one layer take: mask, zero_output_for_mask, reset_mask,
            batch_sizes, recurrent_dropout, candidate_dropout, seed, checkpoint_every, truncate; on a GPU device_tier
            and stream, too, and no checkpoints in training. Each applies to all layers; `seed` is that of all
            masks, `dropout`'s too, and None or left out is a fresh one.

    Returns:
        StackOutput(y, h_n, c_n), with `training` the tuple (y, h_n, c_n, cache). The cache refers to x and y: they must
        not be changed before its last use.

    Raises:
        TypeError: a wrong type or dtype, or an unknown keyword.
        ValueError: a wrong shape or value. The message names the argument, or the layer, what was expected and what
            came. Nothing has been written then.

    Example:
        >>> layers = [fastrnn.pack_gru(np.zeros((12, inputs)), np.zeros((12, 4))) for inputs in (3, 4)]
        >>> found = fastrnn.stack_forward(np.ones((5, 2, 3)), layers)
        >>> found.y.shape, found.h_n.shape
        ((5, 2, 4), (2, 2, 4))
    """
    rows = _directions(layers)
    options = {name: value for name, value in run.items() if value is not None} or None
    if is_gpu(run, x, next((one for row in rows for one in row), None)):
        call = Call(lengths, False, batch_first, training, out, threads)
        *found, cache = stack_on_gpu(rows, x, h0, c0, options or {}, call, merge, dropout)
        return (*found, cache) if training else StackOutput(*found)
    y, h_n, c_n, cache = _core.stack_forward(
        rows, x, h0, c0, lengths, batch_first, training, out, threads, options, merge, dropout
    )
    return (y, h_n, c_n, cache) if training else StackOutput(y, h_n, c_n)


def stack_backward(
    dy: ArrayLike | None,
    cache: StackCache,
    dh_n: ArrayLike | None = None,
    dc_n: ArrayLike | None = None,
    *,
    need_dx: bool = True,
    threads: int | None = None,
) -> StackGrads:
    """Gradients of a :func:`stack_forward` with ``training=True``, by backpropagation through time and layers.

    The masks of dropout are those of the forward call.

    Args:
        dy: the gradient of y, in its shape; None: zeros.
        cache: what the forward call returned last. It may be used again.
        dh_n: that of h_n, (L*D, B, P); None: zeros.
        dc_n: that of c_n, (L*D*S, B, H); None: zeros.
        need_dx: whether to compute the gradient of x.
        threads: as in :func:`stack_forward`.

    Returns:
        StackGrads(x, h0, c0, layers).

    Raises:
        TypeError: a wrong type or dtype.
        ValueError: a wrong shape or value.

    Example:
        >>> layers = [fastrnn.pack_gru(np.zeros((12, inputs)), np.zeros((12, 4))) for inputs in (3, 4)]
        >>> *_, cache = fastrnn.stack_forward(np.ones((5, 2, 3)), layers, training=True)
        >>> grads = fastrnn.stack_backward(np.ones((5, 2, 4)), cache)
        >>> grads.x.shape
        (5, 2, 3)
    """
    if isinstance(cache, GpuCache):
        if threads is not None:
            raise ValueError(f"threads: expected nothing on a GPU, got {threads!r}")
        return StackGrads(*backward_on_gpu(None, dy, cache, dh_n, dc_n, need_dx))
    return StackGrads(*_core.stack_backward(dy, cache, dh_n, dc_n, need_dx=need_dx, threads=threads))
