"""Keras' stateful layers: a sequence in several calls, and again after a reset."""

from __future__ import annotations

import numpy as np
import pytest

import fastrnn
from tests.support.conformance.keras_cases import (
    DTYPES,
    LAYERS,
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
SUITE = "Keras, stateful"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layer", LAYERS)
def test_stateful(conformance, layer, dtype, seed):
    rng = np.random.default_rng([9, LAYERS.index(layer), DTYPES.index(dtype), seed])
    settings, path = draw_settings(rng, layer, dtype), draw_path(rng, layer)
    settings["stateful"] = True
    batch, steps, inputs = draw_sizes(rng, settings)
    both = bool(rng.random() < 0.4)
    if not both:
        settings["go_backwards"] = bool(rng.random() < 0.3)
    sizes = f"{'Bidirectional ' if both else ''}{layer}-T{steps}B{batch}I{inputs}"
    case = describe(sizes, **settings, **path, seed=seed)
    if path.get("use_cudnn") == "auto" and settings.get("reset_after", True):
        conformance.skip(SUITE, case, "Keras overwrites states its own backward pass needs; run with use_cudnn=False")
        path["use_cudnn"] = False
    if both and settings["return_state"]:
        conformance.skip(SUITE, case, "a TypeError in Keras' Bidirectional.compute_mask; run without return_state")
        settings["return_state"] = False
    theirs, ours = make_pair(layer, settings, path)
    if both:
        theirs = keras.layers.Bidirectional(theirs, dtype=dtype)
        ours = fastrnn.Bidirectional(ours)
    share_weights(theirs, ours, inputs, settings, rng, batch)
    for call in ("first", "second", "third", "after a reset"):
        if call == "after a reset":
            theirs.reset_state()
            ours.reset_state()
        kind, mask = draw_mask(rng, batch, steps)
        x = rng.standard_normal((batch, steps, inputs)).astype(dtype)
        actual, expected = compare(theirs, ours, x, mask, None, rng)
        name = f"{case}-mask={kind}-{call}"
        terms = inputs + settings["units"] + batch * steps
        conformance.check(SUITE, name, actual, expected, dtype, terms=terms, steps=4 * steps)
