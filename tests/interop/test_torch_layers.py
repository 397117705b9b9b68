"""`fastrnn.interop.torch_layers` on plain arrays; PyTorch's own modules are in tests/conformance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn.interop import torch_layers
from tests.support.cells import GATES

I, H = 3, 5  # noqa: E741
CELLS = ("rnn", "gru", "lstm")


def state_of(cell: str, layers: int = 1, directions: int = 1, *, bias: bool = True, width: int = H) -> dict[str, Any]:
    """Random weights under PyTorch's names; with `width` below H those of a projection."""
    rng = np.random.default_rng(0)
    rows = GATES[cell] * H
    state = {}
    for k in range(layers):
        for suffix in (f"_l{k}", f"_l{k}_reverse")[:directions]:
            state[f"weight_ih{suffix}"] = rng.standard_normal((rows, directions * width if k else I), "float32")
            state[f"weight_hh{suffix}"] = rng.standard_normal((rows, width), "float32")
            if bias:
                state[f"bias_ih{suffix}"] = rng.standard_normal(rows, "float32")
                state[f"bias_hh{suffix}"] = rng.standard_normal(rows, "float32")
            if width != H:
                state[f"weight_hr{suffix}"] = rng.standard_normal((width, H), "float32")
    return state


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_layers_are_those_of_the_names(cell, directions):
    state = state_of(cell, 2, directions)
    layers = torch_layers(state)
    assert [[w.cell for w in row] for row in layers] == [[cell] * directions] * 2
    x = np.random.default_rng(1).standard_normal((4, 2, I), "float32")
    pack = getattr(fastrnn, f"pack_{cell}")
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    expected = [
        tuple(pack(*(state[name + suffix] for name in names)) for suffix in (f"_l{k}", f"_l{k}_reverse")[:directions])
        for k in range(2)
    ]
    for a, b in zip(fastrnn.stack_forward(x, layers), fastrnn.stack_forward(x, expected), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_a_module_may_lack_or_have_besides():
    ((w,),) = torch_layers(state_of("lstm", bias=False, width=2))
    assert (w.cell, w.input_size, w.hidden_size, w.output_size) == ("lstm", I, H, 2)
    cell = {name.removesuffix("_l0"): value for name, value in state_of("gru").items()}
    ((w,),) = torch_layers(cell)
    assert w.cell == "gru"
    whole = {f"encoder.rnn.{name}": value for name, value in state_of("rnn", 3).items()} | {
        "decoder.weight": np.ones(3)
    }
    layers = torch_layers(whole, "encoder.rnn.", dtype="int8", activation="relu")
    assert [(w.dtype, w.options["activation"]) for (w,) in layers] == [("int8", "relu")] * 3


@pytest.mark.parametrize(
    ("state", "prefix", "message"),
    [
        ({}, "", r"^state: expected names as weight_ih_l0, got none$"),
        ({"a.weight": 1}, "b.", r"^state: expected names as b\.weight_ih_l0, got none$"),
        ({"a.weight": 1}, "a.", r"^state: expected names as a\.weight_ih_l0, got 'a\.weight'$"),
        ({"weight_hh_l0": np.ones((4, 1))}, "", r"^state: expected weight_ih_l0, got none$"),
        ({"weight_ih_l1": np.ones((4, 1))}, "", r"^state: expected weight_ih_l0, got none$"),
        (state_of("rnn", 2, 2) | {"weight_hh_l2": np.ones((5, 5))}, "", r"^state: expected weight_ih_l2, got none$"),
        ({**state_of("lstm"), "weight_hh_l0": np.ones((21, 5))}, "", r"^weight_hh_l0: expected .*, got \(21, 5\)$"),
        ({**state_of("lstm"), "weight_hh_l0": np.ones((10, 5))}, "", r"^weight_hh_l0: expected .*, got \(10, 5\)$"),
        ({**state_of("lstm"), "weight_hh_l0": np.ones(5)}, "", r"^weight_hh_l0: expected .*, got \(5,\)$"),
        ({**state_of("lstm"), "weight_hh_l0": 5}, "", r"^weight_hh_l0: expected .*, got \(\)$"),
    ],
)
def test_errors(state, prefix, message):
    with pytest.raises(ValueError, match=message):
        torch_layers(state, prefix)


@pytest.mark.parametrize(
    ("state", "prefix", "message"),
    [
        ({**state_of("lstm"), 3: np.ones(2)}, "", "^state: expected names as weight_ih_l0, got a key of type int$"),
        ({b"weight_ih_l0": np.ones((4, 1))}, "", "^state: expected names as weight_ih_l0, got a key of type bytes$"),
        (list(state_of("lstm").items()), "", "^state: expected a mapping from names to arrays, got list$"),
        (state_of("lstm"), 3, "^prefix: expected a str, got int$"),
    ],
)
def test_errors_of_types(state, prefix, message):
    with pytest.raises(TypeError, match=message):
        torch_layers(state, prefix)
