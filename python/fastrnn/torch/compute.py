"""A call on tensors of the CPU: read where they are, results in memory that PyTorch owns from then on."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import torch

from .. import _core
from .._core import StackCache
from .packing import Store, pack
from .plan import Plan

_get_num_threads = torch.get_num_threads
_from_numpy = torch.from_numpy
_tensor_forward, _tensor_backward = _core.tensor_forward, _core.tensor_backward


class _Holder(np.ndarray):
    """One byte of memory that a tensor takes over, and with it the cache of a forward call."""

    cache: StackCache


# A cache lives as long as the memory of the tensor `reserve`, by whose address it is found. So whatever PyTorch does
# with a saved tensor, it does with the cache: hold it, free it, drop it for a checkpoint. A copy of the tensor has
# none: then the forward call is made again.
_caches: weakref.WeakValueDictionary[int, _Holder] = weakref.WeakValueDictionary()


def count_kept() -> int:
    """How many forward calls are kept for a backward pass."""
    return len(_caches) + _core.tensor_caches()


def _reserve(cache: StackCache) -> torch.Tensor:
    holder = np.zeros(1, np.uint8).view(_Holder)
    holder.cache = cache
    reserve = _from_numpy(holder)
    _caches[reserve.data_ptr()] = holder
    return reserve


def view(tensor: Any) -> Any:
    """The tensor as an array, without a copy; None stays None."""
    if tensor is None:
        return None
    try:
        return tensor.detach().numpy() if tensor.requires_grad else tensor.numpy()
    except RuntimeError:
        return tensor.numpy(force=True)  # a lazy view, such as that of a negated imaginary part, is copied


def forward(
    plan: Plan,
    store: Store,
    x: Any,
    h0: Any,
    c0: Any,
    weights: Any,
    options: Any,
    keep: bool,
) -> tuple[Any, Any, Any, Any]:
    """Return y, h_n, c_n or None, and with `keep` what `backward` wants to have, else None.

    Args:
        plan: what to compute. store: where its packed weights are kept.
        x, h0, c0, weights: tensors on the CPU.
        options: lengths, (B,) or None, the batch_sizes where the plan is packed; mask and reset_mask in the shape of x
            without its last axis, or None; seed, an integer tensor, or None where the plan draws nothing.

    Raises:
        TypeError, ValueError: an argument is wrong, by the names of the functions.
    """
    if keep:
        plan.check_gradient()
    lengths, mask, reset_mask, seed = options
    if plan.plain and lengths is None and mask is None and reset_mask is None:
        weights = tuple(weights)
        found = forward_natively(plan, store, x, h0, c0, weights, keep)
        if found is None:
            store.packing(plan, weights, keep)
            found = forward_natively(plan, store, x, h0, c0, weights, keep)
        if found is not None:
            return found
    training = keep or plan.random
    run = plan.run
    if plan.packed or mask is not None or reset_mask is not None or plan.random:
        run = dict(run)
        if plan.packed:
            run["batch_sizes"], lengths = view(lengths), None
        if mask is not None:
            run["mask"] = view(mask)
        if reset_mask is not None:
            run["reset_mask"] = view(reset_mask)
        if plan.random:
            run["seed"] = int(seed)
    drops = plan.drops_weights
    layers = pack(plan, weights, None, int(seed)) if drops else store.packing(plan, weights, training).layers
    y, h_n, c_n, cache = _core.stack_forward(
        layers,
        view(x),
        None if h0 is None else view(h0),
        None if c0 is None else view(c0),
        None if lengths is None else view(lengths),
        plan.batch_first,
        training,
        None,
        _get_num_threads(),
        run or None,
        "concat",
        plan.dropout,
    )
    c_n = None if c_n is None else _from_numpy(c_n)
    return _from_numpy(y), _from_numpy(h_n), c_n, _reserve(cache) if keep else None


def forward_natively(
    plan: Plan, store: Store, x: Any, h0: Any, c0: Any, weights: tuple[Any, ...], keep: bool
) -> tuple[Any, Any, Any, Any] | None:
    """As `forward` without options, past Python and NumPy; None where the weights are to be packed, or a tensor or this
    PyTorch does not lend itself to that."""
    packing = store.packings.get(plan.exact_key if keep else plan.key)
    if packing is None or packing.native is None:
        return None
    found = _tensor_forward(packing.native, x, h0, c0, weights, plan.batch_first, _get_num_threads(), keep)
    return None if found is NotImplemented else found


def backward(
    plan: Plan,
    store: Store,
    results: tuple[Any, Any, Any],
    x: Any,
    h0: Any,
    c0: Any,
    weights: Any,
    options: Any,
    reserve: Any,
    need_dx: bool,
    need_states: bool = True,
) -> tuple[Any, Any, Any, list[Any]]:
    """Return the gradients of x (None unless needed), h0, c0 (None without c) and the weights.

    Args:
        results: the gradients of y, h_n, c_n; None is zero. The others are the arguments of `forward` and what it kept.
        need_states: whether those of h0 and c0 are wanted; else they may be None.
    """
    address, threads = reserve.data_ptr() if len(reserve) else 0, _get_num_threads()
    found = _tensor_backward(address, *results, need_dx, need_states, threads)
    if found is NotImplemented:
        dy, dh_n, dc_n = (None if g is None else g.detach().resolve_neg().contiguous() for g in results)
        found = _tensor_backward(address, dy, dh_n, dc_n, need_dx, need_states, threads)
    if isinstance(found, tuple):
        return found
    holder = _caches.get(address)
    if holder is None:
        reserve = forward(plan, store, x, h0, c0, weights, options, True)[3]
        return backward(plan, store, results, x, h0, c0, weights, options, reserve, need_dx, need_states)
    dy, dh_n, dc_n = map(view, results)
    dx, dh0, dc0, parts = _core.stack_backward(dy, holder.cache, dh_n, dc_n, need_dx=need_dx, threads=threads)
    dweights = [_from_numpy(part[name]) for row in parts for part in row for name in plan.names]
    dx, dc0 = (None if array is None else _from_numpy(array) for array in (dx, dc0))
    return dx, _from_numpy(dh0), dc0, dweights
