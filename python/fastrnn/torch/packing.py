"""Packed weights kept between calls, never stale.

PyTorch has no word for "these weights have changed": a write through `.data` or under `inference_mode` leaves
`_version` as it is, and memory is used again at the same address. So the weights themselves are compared with a copy
of what was packed, at every call: a hundredth of the call's own time for a sequence, and exact.
"""

from __future__ import annotations

import ctypes
import itertools
import threading
import weakref
from collections import OrderedDict
from typing import Any

import torch

from .. import _core
from .._core import PackedWeights
from ..functional._cells import CELLS
from .plan import Plan

_compare = ctypes.CDLL(None).memcmp
_compare.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
_compare.restype = ctypes.c_int

Layers = list[list[PackedWeights]]


class Packing:
    """Weights as they were when they were packed: copies of them, and what came out."""

    def __init__(self, plan: Plan, weights: Any, dtype: str | None) -> None:
        # The copies are packed, not the weights: another thread may be writing those.
        # A copy has the strides of its original where that fills its memory, a transposed one too.
        self.copies = [w.detach().clone(memory_format=torch.preserve_format) for w in weights]
        self.known = [(c.shape, c.stride(), c.dtype, c.data_ptr(), c.nbytes) for c in self.copies]
        self.layers = pack(plan, self.copies, dtype)
        # Compares and computes without Python; None where this PyTorch has no such way.
        self.native = _core.tensor_stack(self.layers, self.copies, list(plan.names))

    def holds(self, weights: Any) -> bool:
        """Whether the weights are bit for bit what was packed."""
        for w, (shape, strides, dtype, pointer, nbytes) in zip(weights, self.known, strict=True):
            if w.shape != shape or w.stride() != strides or w.dtype is not dtype or w.is_neg() or not w.is_cpu:
                return False
            if _compare(w.data_ptr(), pointer, nbytes):
                return False
        return True


def pack(plan: Plan, weights: Any, dtype: str | None, seed: int | None = None) -> Layers:
    """Pack the weights of all layers. `seed`: of weight_dropout."""
    function = CELLS[plan.cell].pack
    options = plan.weights if seed is None else {**plan.weights, "seed": seed}
    arrays = iter(w.detach().numpy() for w in weights)

    def one() -> PackedWeights:
        packed: PackedWeights = function(**{name: next(arrays) for name in plan.names}, dtype=dtype, **options)
        return packed

    return [[one() for _ in range(plan.directions)] for _ in range(plan.layers)]


class Store:
    """The packings of one module. Copies of it, by `deepcopy` and `pickle` too, begin empty.

    Threads that share a module may pack the same weights twice; each takes a packing of what it read.
    """

    def __init__(self) -> None:
        self.packings: dict[str, Packing] = {}
        self.slot = next(_slots)
        _owned[self.slot] = self

    def __reduce__(self) -> Any:
        return Store, ()

    def packing(self, plan: Plan, weights: Any, exact: bool) -> Packing:
        """The packed weights; `exact`: in the dtype of the parameters, whatever the plan says."""
        key = plan.exact_key if exact else plan.key
        packing = self.packings.get(key)
        if packing is None or not packing.holds(weights):
            packing = self.packings[key] = Packing(plan, weights, None if exact else plan.dtype)
        return packing


# The number of a store is what an operator is told. One whose module is gone, or of a program that another process
# exported, gets a store of its own here: what it holds is compared all the same, so a number met twice costs time only.
_slots = itertools.count(1)
_owned: weakref.WeakValueDictionary[int, Store] = weakref.WeakValueDictionary()
_others: OrderedDict[int, Store] = OrderedDict()
_OTHERS_AT_MOST = 8
_lock = threading.Lock()


def store_of(slot: int) -> Store:
    """The store with this number."""
    found = _owned.get(slot)
    if found is not None:
        return found
    with _lock:
        found = _others.pop(slot, None) or Store()
        _others[slot] = found
        while len(_others) > _OTHERS_AT_MOST:
            _others.popitem(last=False)
    return found
