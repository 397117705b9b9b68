"""Stacks on a GPU, emulated or real, against the CPU's."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastrnn
from tests.support.cuda.fake_arrays import FakeArray, given_back, read

RNG = np.random.default_rng(11)
# Twice that of problems.py, for two layers: sums are taken in another order than on the CPU.
TOLERANCE = 4e-5


def draw(*shape: int, scale: float = 1.0) -> np.ndarray:
    return RNG.uniform(-scale, scale, shape).astype(np.float32)


def assert_close(got: Any, expected: Any, what: str) -> None:
    assert (got is None) == (expected is None), what
    if expected is not None:
        scale = max(float(np.abs(expected).max(initial=0)), 1e-2)
        assert got.shape == expected.shape, what
        np.testing.assert_allclose(got, expected, atol=TOLERANCE * scale, rtol=0, err_msg=what)


def parameters(layers: int, directions: int, merge: str, hidden: int = 9, inputs: int = 5) -> list[list[dict]]:
    width = hidden * (directions if merge == "concat" else 1)
    return [
        [
            {
                "w_ih": draw(4 * hidden, inputs if layer == 0 else width, scale=0.5),
                "w_hh": draw(4 * hidden, hidden, scale=0.4), "b_ih": draw(4 * hidden), "b_hh": draw(4 * hidden),
            }
            for _ in range(directions)
        ]
        for layer in range(layers)
    ]  # fmt: skip


def packed(rows: list[list[dict]], **options: Any) -> tuple[list[list[Any]], list[list[Any]]]:
    """On the CPU, and on the GPU."""
    cpu = [[fastrnn.pack_lstm(**one) for one in row] for row in rows]
    return cpu, [[fastrnn.pack_cuda("lstm", **one, **options) for one in row] for row in rows]


FORMS = [(3, 1, "concat"), (1, 2, "concat"), (2, 2, "concat"), (2, 2, "sum"), (2, 2, "ave"), (2, 2, "mul")]


def check_stack(layers: int, directions: int, merge: str, batch_first: bool, on_device: bool) -> None:
    cpu, weights = packed(parameters(layers, directions, merge))
    shape = (3, 4) if batch_first else (4, 3)
    arrays = {"x": draw(*shape, 5), "h0": draw(layers * directions, 3, 9), "c0": draw(layers * directions, 3, 9)}
    more = {"lengths": [4, 1, 3], "merge": merge, "batch_first": batch_first, "dropout": 0.4, "seed": 7,
            "recurrent_dropout": 0.3}  # fmt: skip
    give, take = (FakeArray, read) if on_device else (lambda a: a, lambda a: a)
    on = {name: give(array) for name, array in arrays.items()}
    expected = fastrnn.stack_forward(arrays["x"], cpu, arrays["h0"], arrays["c0"], **more)
    got = fastrnn.stack_forward(on["x"], weights, on["h0"], on["c0"], **more)
    for name in ("y", "h_n", "c_n"):
        assert_close(take(getattr(got, name)), getattr(expected, name), name)
    *right, cache = fastrnn.stack_forward(arrays["x"], cpu, arrays["h0"], arrays["c0"], training=True, **more)
    *outputs, kept = fastrnn.stack_forward(on["x"], weights, on["h0"], on["c0"], training=True, **more)
    for name, actual, value in zip(("y", "h_n", "c_n"), outputs, right, strict=True):
        assert_close(take(actual), value, f"training: {name}")
    d = [draw(*array.shape) for array in right]
    grads = fastrnn.stack_backward(d[0], cache, d[1], d[2])
    found = fastrnn.stack_backward(give(d[0]), kept, give(d[1]), give(d[2]))
    for name in ("x", "h0", "c0"):
        assert_close(take(getattr(found, name)), getattr(grads, name), f"gradient of {name}")
    for k in range(layers):
        for j in range(directions):
            for name, value in grads.layers[k][j].items():
                assert_close(take(found.layers[k][j][name]), value, f"gradient of {name} of layers[{k}][{j}]")
    assert fastrnn.stack_backward(None, kept, need_dx=False).x is None
    del got, outputs, kept, found, weights
    assert given_back(on)
