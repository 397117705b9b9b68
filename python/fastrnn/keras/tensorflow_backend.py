"""Keras on TensorFlow: `numpy_function`, with a gradient of its own. Not under jit_compile, and not in a SavedModel."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from typing import Any

import numpy as np
import tensorflow as tf

from ..functional._cells import CELLS

# What forward calls in training leave for their backward call, by number. One that never comes, or comes after as many
# other calls, makes the forward call again.
_caches: OrderedDict[int, Any] = OrderedDict()
_CACHES_AT_MOST = 32
_numbers = itertools.count()
_lock = threading.Lock()


class Recurrence:
    """Runs one layer; see `layers._Recurrent.inner_loop`."""

    def takes(self, x: Any) -> bool:
        """Whether x is where this can compute: TensorFlow brings it to the host."""
        return True

    def __call__(
        self,
        layer: Any,
        cell: str,
        options: dict[str, Any],
        run: dict[str, Any],
        x: Any,
        states: list[Any],
        weights: dict[str, Any],
        mask: Any,
        training: bool,
    ) -> tuple[Any, ...]:
        """Return y (B, T, H) and the last states (B, H)."""
        count, names, dtype = len(states), [*weights], x.dtype
        state_names = ["h0", "c0"][:count]
        functions = CELLS[cell]

        def run_forward(keep: bool, x: Any, *rest: Any) -> tuple[Any, ...]:
            given = dict(zip(state_names, (state[None] for state in rest), strict=False))
            given |= dict(zip(names, rest[count:], strict=False))
            further = {"mask": rest[count + len(names)]} if len(rest) > count + len(names) else {}
            return tuple(functions.forward(x, **given, **further, **options, **run, batch_first=True, training=keep))

        def numpy_forward(*arrays: Any) -> tuple[Any, ...]:
            keep = bool(training)
            found = run_forward(keep, *arrays)
            number = next(_numbers)
            if keep:
                with _lock:
                    _caches[number] = found[-1]
                    while len(_caches) > _CACHES_AT_MOST:
                        _caches.popitem(last=False)
            return found[0], *(state[0] for state in found[1 : 1 + count]), np.int64(number)

        def numpy_backward(number: Any, *arrays: Any) -> tuple[Any, ...]:
            gradients, arrays = arrays[: 1 + count], arrays[1 + count :]
            with _lock:
                cache = _caches.pop(int(number), None)
            if cache is None:
                cache = run_forward(True, *arrays)[-1]
            dy, *last = gradients
            found = functions.backward(dy, cache, *(state[None] for state in last))
            return found.x, *(getattr(found, n)[0] for n in state_names), *(getattr(found, n) for n in names)

        @tf.custom_gradient
        def call(*tensors: Any) -> Any:
            given = tensors if mask is None else (*tensors, mask)
            *results, number = tf.numpy_function(numpy_forward, given, [dtype] * (1 + count) + [tf.int64])
            results[0].set_shape((x.shape[0], x.shape[1], states[0].shape[1]))
            for result, state in zip(results[1:], states, strict=True):
                result.set_shape((x.shape[0], state.shape[1]))

            def gradient(*gradients: Any) -> Any:
                found = tf.numpy_function(numpy_backward, (number, *gradients, *given), [dtype] * len(tensors))
                for one, tensor in zip(found, tensors, strict=True):
                    one.set_shape(tensor.shape)
                return found

            return tuple(results), gradient

        # Keras' conversion leaves a variable as it is, and a custom gradient is of tensors.
        found: tuple[Any, ...] = call(*(tf.convert_to_tensor(t) for t in (x, *states, *weights.values())))
        return found
