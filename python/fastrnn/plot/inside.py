"""The numbers inside of a network: gates and states over time, and how gradients flow back through it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .._typing import Array
from ..layers import Bidirectional
from ..layers.recurrent.base import Recurrent
from ..losses import mask_to_weight

__all__ = ["activations", "gradient_norms", "state_gradient_norms"]

# Options that draw at random in training: left out here, as the gates of inference are shown.
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

    Example:
        >>> from fastrnn import plot
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 2)), fastrnn.LSTM(3, name="lstm"), fastrnn.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> x, y = np.ones((4, 6, 2), np.float32), np.ones((4, 1), np.float32)
        >>> inside = plot.activations(model, x)["lstm"]
        >>> list(inside), inside["f"].shape
        (['i', 'f', 'g', 'o', 'c', 'h'], (4, 6, 3))
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
    states = layer.first_states(len(x), None)
    output, *_, cache = layer.functions.forward(
        x,
        **{name: parameter.value for name, parameter in layer._native.items()},
        **dict(zip(layer.state_names, [s[np.newaxis] for s in states or ()], strict=bool(states))),
        **_without_draws(layer),
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

    Example:
        >>> from fastrnn import plot
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 2)), fastrnn.LSTM(3, name="lstm"), fastrnn.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> x, y = np.ones((4, 6, 2), np.float32), np.ones((4, 1), np.float32)
        >>> plot.gradient_norms(model, x, y)["lstm"].shape
        (6,)
    """
    found: dict[str, Array] = {}
    for layer, _, _, _, d in _gradients(model, x, y):
        if d is not None:  # None: the layer's input has no gradient
            found[layer.name] = _norms(d)
    return dict(reversed(found.items()))


def state_gradient_norms(model: Any, x: Any, y: Any) -> dict[str, dict[str, Array]]:
    """Return how large the gradient of the loss is at the states of every recurrent layer, by step.

    It is the norm over batch and units of d loss / d h after each step, and of d loss / d c of an LSTM: what the loss
    would feel of a change of the state then, at once and through all later steps. Where it falls towards the first
    steps the layer cannot learn what happened there. Every step is computed as a call of its own, from whose training
    cache `<cell>_backward` gives the gradients of the states before it. The dropout of the cell itself is left out.

    Args:
        model: a compiled `Sequential`.
        x, y: a batch.

    Returns:
        Layer name to a dict of arrays (T,), in the order of time, by the letter of the state: h, c of an LSTM, c, n and
        m of an sLSTM. A Bidirectional is not among them.

    Raises:
        ValueError: a model without a loss.

    Example:
        >>> from fastrnn import plot
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 2)), fastrnn.LSTM(3, name="lstm"), fastrnn.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> x, y = np.ones((4, 6, 2), np.float32), np.ones((4, 1), np.float32)
        >>> norms = plot.state_gradient_norms(model, x, y)["lstm"]
        >>> list(norms), norms["c"].shape
        (['h', 'c'], (6,))
    """
    found: dict[str, dict[str, Array]] = {}
    for layer, inputs, mask, dy, _ in _gradients(model, x, y):
        if isinstance(layer, Recurrent):
            found[layer.name] = {name: _norms(d) for name, d in _state_gradients(layer, inputs, mask, dy).items()}
    return dict(reversed(found.items()))


def _norms(d: Array) -> Array:
    """Of a gradient (B, T, ...), by step."""
    norms: Array = np.sqrt(np.square(d, dtype=np.float64).sum(axis=(0, 2)))
    return norms


def _gradients(model: Any, x: Any, y: Any) -> Iterator[tuple[Any, Array, Array | None, Array, Array | None]]:
    """The recurrent layers from the top, each with input, mask, and the gradients of output and input."""
    if model.loss is None:
        raise ValueError("model: expected a compiled one, with a loss, got one without")
    model.predict_on_batch(x)  # builds the model, and refuses what does not fit
    calls: list[tuple[Any, Array, Array | None]] = []
    inputs, mask = model.layers[0].cast(x), None
    for layer in model.layers:
        calls.append((layer, inputs, mask))
        inputs, mask = layer.forward(inputs, mask, training=True), layer.compute_mask(inputs, mask)
    weight = None if mask is None or mask.shape != inputs.shape[:-1] else mask_to_weight(mask)
    dy = model.loss.gradient(np.asarray(y), inputs, weight)
    for layer, inputs, mask in reversed(calls):
        d = layer.backward(dy)
        if isinstance(layer, (Recurrent, Bidirectional)):
            yield layer, inputs, mask, dy, d
        if d is None:  # an Embedding, the first layer, has no gradient of its input
            break
        dy = d


def _state_gradients(layer: Recurrent, x: Array, mask: Array | None, dy: Array) -> dict[str, Array]:
    """The gradients (B, T, H) of the states after each step, by their letters."""
    functions, names = layer.functions, layer.state_names
    weights = {name: parameter.value for name, parameter in layer._native.items()}
    packed = functions.pack(**weights, **_without_draws(layer))
    order = range(x.shape[1])[:: -1 if layer.go_backwards else 1]
    states: list[Any] = [s[np.newaxis] for s in layer.first_states(len(x), None) or ()] or [None] * len(names)
    caches = []
    for t in order:
        step = slice(t, t + 1)
        plan = layer.plan_mask(None if mask is None else mask[:, step])
        _, *states, cache = functions.forward(
            x[:, step], packed, **dict(zip(names, states, strict=True)), **plan.options, batch_first=True, training=True
        )
        caches.append((t, cache))
    d = [np.zeros(shape, x.dtype)[np.newaxis] for shape in layer.state_shapes(len(x))]
    if layer.return_sequences:
        dy = dy[:, ::-1] if layer.go_backwards else dy  # in the order of time
    else:
        d[0] = dy[np.newaxis]
    found = [np.zeros((len(x), x.shape[1], s.shape[-1]), x.dtype) for s in d]
    for t, cache in reversed(caches):
        step_dy = np.ascontiguousarray(dy[:, t : t + 1]) if layer.return_sequences else None
        for array, state in zip(found, d, strict=True):
            array[:, t] = state[0]
        if step_dy is not None:
            found[0][:, t] += step_dy[:, 0]
        grads = functions.backward(step_dy, cache, *d)
        d = [getattr(grads, name) for name in names]
    return {name[0]: array for name, array in zip(names, found, strict=True)}


def _without_draws(layer: Recurrent) -> dict[str, Any]:
    return {name: value for name, value in layer.weight_options().items() if name not in _DRAWS}
