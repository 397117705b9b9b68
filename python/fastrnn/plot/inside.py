"""The numbers inside of a network: gates and states over time, and how gradients flow back through it."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._typing import Array
from ..layers import Bidirectional
from ..layers.recurrent.base import Recurrent
from ..losses import mask_to_weight

__all__ = ["activations", "gradient_norms"]

# What draws in training: inside stands what inference computes, as far as it has gates.
_DRAWS = ("weight_dropout", "zoneout_h", "zoneout_c")


def activations(model: Any, x: Any) -> dict[str, dict[str, Array]]:
    """Return the gates and states of every recurrent layer for a batch, as `Cache.activations` names them.

    Dropout and zoneout are left out.

    Args:
        model: a `Sequential`.
        x: a batch (B, T, ...).

    Returns:
        Layer name to a dict of arrays (B, T, H): the gates by the letters of the equations (i, f, g, o of an LSTM; r,
        z, n of a GRU), the cell state c, and the output h. Steps that a mask leaves out are NaN. A Bidirectional is
        two layers, each in the order of time.
    """
    model.predict_on_batch(x)  # builds the model, and refuses what does not fit
    found: dict[str, dict[str, Array]] = {}
    x, mask = model.layers[0].cast(x), None
    for layer in model.layers:
        pair = (layer.forward_layer, layer.backward_layer) if isinstance(layer, Bidirectional) else (layer,)
        for part in pair:
            if isinstance(part, Recurrent):
                found[part.name] = _activations(part, x, mask)
        x, mask = layer.forward(x, mask), layer.compute_mask(x, mask)
    return found


def _activations(layer: Recurrent, x: Array, mask: Array | None) -> dict[str, Array]:
    options = {name: value for name, value in layer.weight_options().items() if name not in _DRAWS}
    states = layer.first_states(len(x), None)
    output, *_, cache = layer.functions.forward(
        x,
        **{name: parameter.value for name, parameter in layer._native.items()},
        **dict(zip(layer.state_names, [s[np.newaxis] for s in states or ()], strict=bool(states))),
        **options,
        **({} if mask is None else {"mask": np.ascontiguousarray(mask)}),
        reverse=layer.go_backwards,
        batch_first=True,
        training=True,
    )
    kept: dict[str, Array] = cache.activations()
    return {**kept, "h": output if mask is None else np.where(mask[..., np.newaxis], output, np.nan)}


def gradient_norms(model: Any, x: Any, y: Any) -> dict[str, Array]:
    """Return how large the gradient of the loss is at the input of every recurrent layer, by step.

    It is the norm over batch and features of d loss / d input: where it falls towards the first steps the gradient
    vanishes, where it rises it explodes. The model is not changed, but for the gradients that its parameters hold.

    Args:
        model: a compiled `Sequential`.
        x, y: a batch.

    Returns:
        Layer name to an array (T,).

    Raises:
        ValueError: a model without a loss.
    """
    if model.loss is None:
        raise ValueError("model: expected a compiled one, with a loss, got one without")
    outputs, mask = model.forward_batch(x, training=True)
    weight = None if mask is None or mask.shape != outputs.shape[:-1] else mask_to_weight(mask)
    d = model.loss.gradient(np.asarray(y), outputs, weight)
    found: dict[str, Array] = {}
    for layer in reversed(model.layers):
        d = layer.backward(d)
        if d is None:  # of an Embedding, which comes first
            break
        if isinstance(layer, (Recurrent, Bidirectional)):
            found[layer.name] = np.sqrt(np.square(d, dtype=np.float64).sum(axis=(0, 2)))
    return dict(reversed(found.items()))
