"""SimpleRNN, LSTM and GRU as Keras has them, but for the loop over time.

Configs, weights, masks, states, dropout and seeds are Keras' own: what is written here is `inner_loop`, which Keras
itself keeps apart for the sake of cuDNN.
"""

from __future__ import annotations

from typing import Any, ClassVar

import keras

from ..interop.conventions import CANONICAL, find_convention
from ..layers.recurrent.activation import check_activation, native_activation
from .backends import recurrence

ops = keras.ops


def options_of(layer: Any, kind: str) -> dict[str, Any]:
    """The options of a layer's cell, as the functions take them.

    Args:
        layer: Keras' or ours. kind: "rnn", "lstm" or "gru".

    Raises:
        TypeError, ValueError: the kernels lack an activation or the dtype; names the argument.
    """
    cell = layer.cell
    found = {}
    for name in ("activation", "recurrent_activation")[: 1 if kind == "rnn" else 2]:
        value = keras.activations.serialize(getattr(cell, name))
        found[name] = native_activation(check_activation(value, name))
    if kind == "gru":
        found["reset"] = "after" if cell.reset_after else "before"
    if cell.compute_dtype not in ("float32", "float64"):
        raise ValueError(f"dtype: expected one that computes in float32 or float64, got {cell.compute_dtype}")
    return found


class _Recurrent:
    """What the three have beside Keras' class."""

    _cell: ClassVar[str]
    _counterpart: ClassVar[Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        options_of(self, self._cell)  # refuses what the kernels lack
        if keras.backend.backend() == "tensorflow":
            self.supports_jit = False  # XLA cannot compile what leaves TensorFlow

    def inner_loop(self, sequences: Any, initial_state: Any, mask: Any, training: bool = False) -> Any:
        """Run all steps; see keras.layers.RNN.

        Args:
            sequences: (B, T, I). initial_state: h, and c of an LSTM, each (B, H). mask: (B, T) of bool, or None.
            training: whether dropout draws.

        Returns:
            The last output, all outputs in the order of the steps, and the last states.
        """
        me: Any = self
        cell: Any = me.cell
        if (training and cell.recurrent_dropout) or not recurrence.takes(sequences):
            # Keras' recurrent dropout is a mask on h wherever it stands, which no kernel of ours has.
            return self._counterpart.inner_loop(self, sequences, initial_state, mask, training)
        states = list(initial_state) if isinstance(initial_state, (list, tuple)) else [initial_state]
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        if training and cell.dropout:
            drop = ops.expand_dims(cell.get_dropout_mask(sequences[:, 0, :]), 1)
            sequences = sequences * drop
        if me.go_backwards:
            sequences = ops.flip(sequences, 1)
            mask = None if mask is None else ops.flip(mask, 1)
        options = options_of(self, self._cell)
        run = {"zero_output_for_mask": True} if me.zero_output_for_mask else {}
        y, *last = recurrence(
            me, self._cell, options, run, sequences, states, self._parameters_of(cell), mask, training
        )
        return y[:, -1], y, last

    def _parameters_of(self, cell: Any) -> dict[str, Any]:
        """The weights as the functions take them, computed by Keras' operations, which have gradients."""
        before = self._cell == "gru" and not cell.reset_after
        convention = find_convention("keras", "gru_before" if before else self._cell)
        order = [convention.gates.index(gate) for gate in CANONICAL[self._cell]]

        def gates(weight: Any) -> Any:
            """The blocks of the last axis in our order."""
            if order == sorted(order):
                return weight
            blocks = ops.split(weight, len(order), axis=-1)
            return ops.concatenate([blocks[k] for k in order], axis=-1)

        weights = {"w_ih": cell.kernel, "w_hh": cell.recurrent_kernel}
        found = {name: ops.transpose(gates(ops.convert_to_tensor(w))) for name, w in weights.items()}
        if cell.use_bias:
            bias = gates(ops.convert_to_tensor(cell.bias))
            found |= {"b_ih": bias[0], "b_hh": bias[1]} if convention.bias == "rows" else {"b_ih": bias}
        return found


@keras.saving.register_keras_serializable("fastrnn")
class SimpleRNN(_Recurrent, keras.layers.SimpleRNN):
    """keras.layers.SimpleRNN; activations are those whose derivative follows from their output.

    Example:
        >>> import keras
        >>> import fastrnn.keras
        >>> model = keras.Sequential([keras.Input((None, 3)), fastrnn.keras.SimpleRNN(4), keras.layers.Dense(1)])
        >>> model.output_shape
        (None, 1)
    """

    _cell = "rnn"
    _counterpart = keras.layers.SimpleRNN


@keras.saving.register_keras_serializable("fastrnn")
class LSTM(_Recurrent, keras.layers.LSTM):
    """keras.layers.LSTM; activations are those whose derivative follows from their output.

    Example:
        >>> import keras
        >>> import fastrnn.keras
        >>> model = keras.Sequential([keras.Input((None, 3)), fastrnn.keras.LSTM(4), keras.layers.Dense(1)])
        >>> model.output_shape
        (None, 1)
    """

    _cell = "lstm"
    _counterpart = keras.layers.LSTM


@keras.saving.register_keras_serializable("fastrnn")
class GRU(_Recurrent, keras.layers.GRU):
    """keras.layers.GRU; activations are those whose derivative follows from their output.

    Example:
        >>> import keras
        >>> import fastrnn.keras
        >>> model = keras.Sequential([keras.Input((None, 3)), fastrnn.keras.GRU(4), keras.layers.Dense(1)])
        >>> model.output_shape
        (None, 1)
    """

    _cell = "gru"
    _counterpart = keras.layers.GRU
