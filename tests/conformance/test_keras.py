"""SimpleRNN, LSTM and GRU of Keras: outputs, states and gradients of ours with the same weights."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.conformance.keras_cases import (
    DTYPES,
    LAYERS,
    compare,
    describe,
    draw_mask,
    draw_path,
    draw_settings,
    draw_sizes,
    make_pair,
    quiet,
    share_weights,
)

pytestmark = quiet


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layer", LAYERS)
def test_layers(conformance, layer, dtype, seed):
    rng = np.random.default_rng([7, LAYERS.index(layer), DTYPES.index(dtype), seed])
    settings, path = draw_settings(rng, layer, dtype), draw_path(rng, layer)
    batch, steps, inputs = draw_sizes(rng, settings)
    settings["go_backwards"] = bool(rng.random() < 0.4)
    settings["zero_output_for_mask"] = bool(rng.random() < 0.3)
    kind, mask = draw_mask(rng, batch, steps)
    theirs, ours = make_pair(layer, settings, path)
    began = share_weights(theirs, ours, inputs, settings, rng)
    x = rng.standard_normal((batch, steps, inputs)).astype(dtype)
    states = None
    if rng.random() < 0.5:
        states = [rng.standard_normal((batch, ours.units)).astype(dtype) for _ in range(ours.state_count)]

    actual, expected = compare(theirs, ours, x, mask, states, rng)
    if settings["use_bias"]:  # zeros, and ones where unit_forget_bias puts them; the kernels are random
        expected["first_bias"], actual["first_bias"] = began["theirs"][2], began["ours"][2]

    sizes = f"T{steps}B{batch}I{inputs}"
    case = describe(layer, sizes, **settings, **path, mask=kind, initial_state=states is not None, seed=seed)
    terms = inputs + ours.units + batch * steps
    conformance.check(f"Keras {layer}", case, actual, expected, dtype, terms=terms, steps=steps)
