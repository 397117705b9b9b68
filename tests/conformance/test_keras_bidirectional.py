"""Keras' Bidirectional over its recurrent layers: every merge mode, masks, states, and all gradients."""

from __future__ import annotations

import numpy as np
import pytest

import fastrnn
from tests.support.conformance.keras_cases import (
    DTYPES,
    LAYERS,
    MERGES,
    compare,
    describe,
    draw_mask,
    draw_path,
    draw_settings,
    draw_sizes,
    keras,
    make_pair,
    quiet,
    share_weights,
)

pytestmark = quiet


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layer", LAYERS)
def test_bidirectional(conformance, layer, dtype, seed):
    rng = np.random.default_rng([8, LAYERS.index(layer), DTYPES.index(dtype), seed])
    merge = MERGES[seed % 5]
    settings, path = draw_settings(rng, layer, dtype), draw_path(rng, layer)
    batch, steps, inputs = draw_sizes(rng, settings)
    theirs, ours = make_pair(layer, settings, path)
    other = {}
    if rng.random() < 0.3:  # a layer of its own for the second direction, another one
        kind = str(rng.choice(LAYERS))
        shared = {name: settings[name] for name in ("dtype", "return_sequences", "return_state", "units")}
        pair = make_pair(kind, {**shared, "go_backwards": True, "name": "other"}, {})
        other = {"backward_layer": kind}
        theirs = keras.layers.Bidirectional(theirs, merge_mode=merge, backward_layer=pair[0], dtype=dtype)
        ours = fastrnn.Bidirectional(ours, merge_mode=merge, backward_layer=pair[1])
    else:
        theirs = keras.layers.Bidirectional(theirs, merge_mode=merge, dtype=dtype)
        ours = fastrnn.Bidirectional(ours, merge_mode=merge)
    share_weights(theirs, ours, inputs, settings, rng)
    kind, mask = draw_mask(rng, batch, steps)
    x = rng.standard_normal((batch, steps, inputs)).astype(dtype)
    count = ours.forward_layer.state_count + ours.backward_layer.state_count
    states = None
    if rng.random() < 0.5 and not other:  # Keras gives each direction one half of the states
        states = [rng.standard_normal((batch, settings["units"])).astype(dtype) for _ in range(count)]
    actual, expected = compare(theirs, ours, x, mask, states, rng)
    sizes = f"T{steps}B{batch}I{inputs}"
    case = describe(layer, merge, sizes, **settings, **path, **other, mask=kind, seed=seed)
    terms = inputs + settings["units"] + batch * steps
    conformance.check(f"Keras Bidirectional, {merge}", case, actual, expected, dtype, terms=terms, steps=steps)
