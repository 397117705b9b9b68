"""device="cuda" for NumPy arrays, end to end over the emulation: against the CPU, and against the NumPy reference."""

from __future__ import annotations

import numpy as np
import pytest

import fastrnn
from fastrnn import reference
from tests.support.cuda.problems import CELLS, TOLERANCE, call, compare, problem


@pytest.mark.parametrize("tier", ["block", "cluster", "grid"])
@pytest.mark.parametrize("cell", CELLS)
def test_a_call_gives_what_the_cpu_gives(gpu, cell, tier):
    arrays, more = problem(cell), {"lengths": [1, 3], "reverse": True}
    got = call(cell, arrays, device="cuda", device_tier=tier, **more)
    compare(got, call(cell, arrays, **more), TOLERANCE["float32"])
    wide = {name: value.astype(np.float64) for name, value in arrays.items()}
    compare(got, call(cell, wide, reference, **more), TOLERANCE["float32"])


@pytest.mark.parametrize("dtype", ["tf32", "float16", "bfloat16"])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru after"])
def test_weights_in_16_bits(gpu, cell, dtype):
    arrays = problem(cell)
    got = call(cell, arrays, device="cuda:1", device_dtype=dtype)
    compare(got, call(cell, arrays), TOLERANCE[dtype])
    assert {ordinal for _, ordinal, _, _ in gpu.events()} == {1}


@pytest.mark.parametrize("tier", ["block", "cluster", "grid", "graph"])
@pytest.mark.parametrize("cell", CELLS)
def test_gradients_are_those_of_the_cpu(gpu, cell, tier):
    arrays, name = problem(cell, steps=4, batch=3, inputs=3, hidden=17), CELLS[cell][0]
    more = {"lengths": [4, 1, 2], "reverse": tier == "cluster", "batch_first": tier == "graph"}
    if more["batch_first"]:
        arrays["x"] = arrays["x"].swapaxes(0, 1)
    *outputs, cache = call(cell, arrays, training=True, device="cuda", device_tier=tier, **more)
    *expected, right = call(cell, arrays, training=True, **more)
    compare(outputs, expected, TOLERANCE["float32"])
    arrays.clear()  # the cache needs none of them
    backward, rng = getattr(fastrnn, f"{name}_backward"), np.random.default_rng(3)
    dy, *states = (rng.uniform(-1, 1, array.shape).astype(np.float32) for array in expected)
    for given in ((dy, *states), (dy, None)):
        for need_dx in (True, False):
            got = backward(given[0], cache, *given[1:], need_dx=need_dx)
            for field, value in backward(given[0], right, *given[1:], need_dx=need_dx)._asdict().items():
                actual = getattr(got, field)
                assert (actual is None) == (value is None), field
                if value is not None:
                    scale = max(float(np.abs(value).max()), 1e-3)
                    np.testing.assert_allclose(actual, value, atol=5e-5 * scale, rtol=0, err_msg=field)
    assert gpu.live() > 0  # what the cache keeps; the fixture sees it go


def test_a_wrong_backward_call_says_so(gpu):
    _, _, cache = call("gru after", problem("gru after"), training=True, device="cuda")
    with pytest.raises(ValueError, match="cache: expected one of rnn_forward, got one of gru_forward"):
        fastrnn.rnn_backward(None, cache)
    with pytest.raises(ValueError, match=r"dy: expected shape \(3, 2, 17\), got \(3, 2, 16\)"):
        fastrnn.gru_backward(np.zeros((3, 2, 16), np.float32), cache)
    with pytest.raises(ValueError, match="threads: expected nothing on a GPU, got 2"):
        fastrnn.gru_backward(None, cache, threads=2)


def test_batch_first_and_empty_extents(gpu):
    arrays = problem("gru after")
    swapped = {**arrays, "x": arrays["x"].swapaxes(0, 1)}
    compare(
        call("gru after", swapped, batch_first=True, device="cuda"),
        call("gru after", swapped, batch_first=True),
        TOLERANCE["float32"],
    )
    for steps, batch, inputs in ((0, 2, 3), (2, 0, 3), (2, 2, 0)):
        arrays = problem("lstm", steps, batch, inputs, 4)
        compare(call("lstm", arrays, device="cuda"), call("lstm", arrays), TOLERANCE["float32"])


def test_other_activations_are_right_or_refused(gpu):
    arrays = problem("rnn")
    got = call("rnn", arrays, device="cuda", activation="relu")
    compare(got, call("rnn", arrays, activation="relu"), TOLERANCE["float32"])
    with pytest.raises(ValueError, match="tier: expected one that can run this, got 'block'"):
        call("rnn", arrays, device="cuda", activation="relu", device_tier="block")


OPTIONS = [
    ("rnn", {"activation": ("leaky_relu", 0.2), "clip": 0.7}),
    ("lstm", {"recurrent_activation": ("hard_sigmoid", 0.2, 0.5), "output_activation": "softsign", "cell_clip": 0.3}),
    ("lstm", {"forget_bias": 1.0, "peephole": "full"}),
    ("gru before", {"activation": "relu", "recurrent_activation": "sigmoid"}),
]


@pytest.mark.parametrize(("cell", "options"), OPTIONS)
def test_options_by_the_graph_tier(gpu, cell, options):
    arrays, options = problem(cell), dict(options)
    if options.pop("peephole", None):
        arrays["w_peep"] = np.random.default_rng(5).normal(0, 0.2, (3, 17, 17)).astype(np.float32)
    compare(call(cell, arrays, device="cuda", **options), call(cell, arrays, **options), TOLERANCE["float32"])
    y, *_, cache = call(cell, arrays, device="cuda", training=True, **options)
    right = call(cell, arrays, training=True, **options)[-1]
    backward = getattr(fastrnn, f"{CELLS[cell][0]}_backward")
    for field, value in backward(np.ones_like(y), right)._asdict().items():
        if value is not None:
            actual, scale = getattr(backward(np.ones_like(y), cache), field), max(float(np.abs(value).max()), 1e-3)
            np.testing.assert_allclose(actual, value, atol=5e-5 * scale, rtol=0, err_msg=field)


def test_a_lost_block_is_an_error_after_the_time_that_was_set(gpu, monkeypatch):
    monkeypatch.setenv("FASTRNN_CUDA_TIMEOUT", "1e-5")  # ten microseconds; the emulation's clock is not a real one
    gpu.lose_blocks(1)
    with pytest.raises(gpu.CudaError, match="a block waited for another that never came"):
        call("lstm", problem("lstm"), device="cuda", device_tier="grid")
    monkeypatch.setenv("FASTRNN_CUDA_TIMEOUT", "soon")
    with pytest.raises(ValueError, match="FASTRNN_CUDA_TIMEOUT: expected seconds above 0, got 'soon'"):
        call("lstm", problem("lstm"), device="cuda", device_tier="grid")


def test_a_device_that_is_not_there(gpu):
    with pytest.raises(gpu.CudaError, match="device: expected a number below 3, got 3"):
        call("lstm", problem("lstm"), device="cuda:3")


def test_kernels_compiled_for_less_than_the_device_have_no_clusters(gpu):
    """The third device has an image for compute_80, where a cluster's barriers are empty: the answer would be wrong."""
    arrays = problem("lstm", hidden=100)
    compare(call("lstm", arrays, device="cuda:2"), call("lstm", arrays), TOLERANCE["float32"])
    with pytest.raises(ValueError, match="expected kernels for compute_90 or later in this build, got those for"):
        call("lstm", arrays, device="cuda:2", device_tier="cluster")
