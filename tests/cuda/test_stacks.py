"""Weights that stay on the emulated GPU, and stacks of them, against the CPU's."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.support.cuda.fake_arrays import STREAM, FakeArray, fakes, given_back, read
from tests.support.cuda.problems import CELLS, problem
from tests.support.cuda.stacks import FORMS, assert_close, check_stack


@pytest.mark.parametrize("on_device", [False, True], ids=["host", "device"])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(("layers", "directions", "merge"), FORMS)
def test_a_stack_is_that_of_the_cpu(gpu, layers, directions, merge, batch_first, on_device):
    check_stack(layers, directions, merge, batch_first, on_device)


def test_dropped_weights_are_made_on_the_stream_of_the_call(gpu):
    """A stream of the caller's need not wait for the legacy one."""
    arrays = problem("lstm")
    on_gpu = fakes(arrays)
    dropped = {"weight_dropout": 0.4, "seed": 3, "training": True}
    y, *others = fastrnn.lstm_forward(**on_gpu, **dropped, stream=STREAM)
    assert_close(read(y, stream=-1), fastrnn.lstm_forward(**arrays, **dropped)[0], "with dropped weights")
    del y, others
    gc.collect()
    events = gpu.events()
    assert {event[2] for event in events} == {STREAM}
    assert "wait" in {event[0] for event in events}  # for arrays of a library that is not known


def test_weights_are_freed_behind_the_calls_that_read_them(gpu):
    arrays = problem("lstm")
    x = arrays.pop("x")
    arrays.pop("h0"), arrays.pop("c0")
    weights = fastrnn.pack_cuda("lstm", **arrays)
    for stream in (STREAM, STREAM + 1, STREAM):
        fastrnn.lstm_forward(FakeArray(x), weights, stream=stream)
    gc.collect()
    gpu.events()
    del weights
    gc.collect()
    events = [(event[0], event[2], event[3]) for event in gpu.events()]
    assert events[:2] == [("follow_mark", 0, STREAM), ("follow_mark", 0, STREAM + 1)]
    assert set(events[2:]) == {("release", 0, 0)}
    assert "wait" not in {event[0] for event in events}  # for nothing: not for the device


def test_weights_are_sent_once(gpu):
    arrays = problem("lstm")
    x, h0, c0 = (arrays.pop(name) for name in ("x", "h0", "c0"))
    weights = fastrnn.pack_cuda("lstm", **arrays)
    assert sorted(e[3] for e in gpu.events() if e[0] == "copy_in") == sorted(a.nbytes for a in arrays.values())
    got = fastrnn.lstm_forward(x, weights, h0=h0, c0=c0)
    assert sorted(e[3] for e in gpu.events() if e[0] == "copy_in") == sorted(a.nbytes for a in (x, h0, c0))
    for actual, value in zip(got, fastrnn.lstm_forward(x, **arrays, h0=h0, c0=c0), strict=True):
        assert_close(actual, value, "with weights that are there")
    arrays["w_hh"][:] = 0  # they are a copy
    again = fastrnn.lstm_forward(FakeArray(x), weights, h0=FakeArray(h0), c0=FakeArray(c0), stream=STREAM)
    np.testing.assert_array_equal(read(again.y), got.y)
    assert not [e for e in gpu.events() if e[0] == "copy_in"]
    *_, cache = fastrnn.lstm_forward(x, weights, training=True)
    del weights  # the cache has them
    assert fastrnn.lstm_backward(np.ones_like(got.y), cache).w_ih.shape == arrays["w_ih"].shape


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_can_be_packed(gpu, cell):
    arrays = problem(cell)
    name, _, options = CELLS[cell]
    states = {key: arrays.pop(key) for key in ("x", "h0", "c0") if key in arrays}
    weights = fastrnn.pack_cuda(name, **arrays, **options, dtype="bfloat16", device="cuda:1")
    assert (weights.cell, weights.dtype, weights.device) == (name, "bfloat16", "cuda:1")
    assert (weights.input_size, weights.hidden_size, weights.output_size) == (5, 17, 17)
    assert repr(weights) == f"fastrnn.CudaWeights({name}, 5 -> 17, bfloat16, cuda:1)"
    forward = getattr(fastrnn, f"{name}_forward")
    got = forward(states.pop("x"), weights, **states, **{key: None for key in options if key == "w_peep"})
    expected = forward(**problem(cell), **options)
    for actual, value in zip(got, expected, strict=True):
        np.testing.assert_allclose(actual, value, atol=3e-2, rtol=0)


def test_what_does_not_fit_is_refused(gpu):
    arrays = problem("lstm")
    x = arrays.pop("x")
    w_ih, w_hh = arrays["w_ih"], arrays["w_hh"]
    weights = fastrnn.pack_cuda("lstm", w_ih, w_hh)
    other = fastrnn.pack_cuda("lstm", w_ih, w_hh, device="cuda:1", dtype="bfloat16")
    cpu = fastrnn.pack_lstm(w_ih, w_hh)

    def refused(error: type[Exception], message: str, call: Any) -> None:
        with pytest.raises(error, match=message):
            call()

    refused(ValueError, "w_hh: expected nothing beside CudaWeights, got an array of shape",
            lambda: fastrnn.lstm_forward(x, weights, w_hh))  # fmt: skip
    refused(ValueError, "clip: expected nothing beside CudaWeights, got 1.0",
            lambda: fastrnn.lstm_forward(x, weights, clip=1.0))  # fmt: skip
    refused(ValueError, "w_ih: expected CudaWeights of 'rnn', got those of 'lstm'",
            lambda: fastrnn.rnn_forward(x, weights))  # fmt: skip
    refused(ValueError, "device: expected 'cuda:0', where the weights are, got 'cpu'",
            lambda: fastrnn.lstm_forward(x, weights, device="cpu"))  # fmt: skip
    refused(ValueError, "device: expected 'cuda:1', where the weights are, got 'cuda:0'",
            lambda: fastrnn.lstm_forward(x, other, device="cuda:0"))  # fmt: skip
    refused(ValueError, "x: expected an array on cuda:1, where the weights are, got one on cuda:0",
            lambda: fastrnn.lstm_forward(FakeArray(x), other))  # fmt: skip
    refused(ValueError, "device_dtype: expected 'float32', which the weights have, got 'bfloat16'",
            lambda: fastrnn.lstm_forward(x, weights, device_dtype="bfloat16"))  # fmt: skip
    refused(TypeError, "w_ih: expected an array or CudaWeights on a GPU, got PackedWeights",
            lambda: fastrnn.lstm_forward(x, cpu, device="cuda"))  # fmt: skip
    refused(ValueError, "layers: expected all on cuda:0 in float32, got one on cuda:1 in bfloat16",
            lambda: fastrnn.stack_forward(x, [[weights, other]]))  # fmt: skip
    refused(TypeError, r"layers\[0\]: expected CudaWeights, got .*PackedWeights",
            lambda: fastrnn.stack_forward(x, [cpu], device="cuda"))  # fmt: skip
    refused(ValueError, r"layers\[1\]: expected input size 17, the width of the output of layers\[0\], got 5",
            lambda: fastrnn.stack_forward(x, [weights, weights]))  # fmt: skip
    refused(ValueError, "cell: expected one of 'rnn', .*, got 'lstmp'", lambda: fastrnn.pack_cuda("lstmp", w_ih, w_hh))
    refused(TypeError, "pack_cuda: unknown keyword 'forget'",
            lambda: fastrnn.pack_cuda("lstm", w_ih, w_hh, forget=1))  # fmt: skip
    refused(TypeError, "w_hh: expected float32 on a GPU, got float64",
            lambda: fastrnn.pack_cuda("lstm", w_ih, w_hh.astype(np.float64)))  # fmt: skip
    refused(ValueError, r"w_hh: expected shape \(68, 17\), got \(17, 17\)",
            lambda: fastrnn.pack_cuda("lstm", w_ih, w_hh[:17]))  # fmt: skip
    refused(ValueError, "dtype: expected one of 'float32', .* on a GPU, got 'int8'",
            lambda: fastrnn.pack_cuda("lstm", w_ih, w_hh, dtype="int8"))  # fmt: skip
    refused(gpu.CudaError, "device: expected a number below 3, got 3",
            lambda: fastrnn.pack_cuda("lstm", w_ih, w_hh, device="cuda:3"))  # fmt: skip


def test_threads_that_share_a_cache_take_turns(gpu):
    y, *_, cache = fastrnn.lstm_forward(**problem("lstm"), device="cuda", training=True)
    dy = np.ones_like(y)
    expected = fastrnn.lstm_backward(dy, cache)
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(lambda _: fastrnn.lstm_backward(dy, cache), range(8)):
            for actual, value in zip(got, expected, strict=True):
                np.testing.assert_array_equal(actual, value)  # None, too


def test_out_receives_y(gpu):
    arrays = problem("lstm")
    out = np.empty((3, 2, 17), np.float32)
    assert fastrnn.lstm_forward(**arrays, device="cuda", out=out).y is out
    np.testing.assert_array_equal(out, fastrnn.lstm_forward(**arrays, device="cuda").y)


def test_a_call_that_is_wrong_leaves_nothing(gpu):
    arrays = problem("gru after")
    for wrong in ({"h0": np.ones((1, 2, 3), np.float32)}, {"lengths": [7, 7]}, {"device_tier": "warp"}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong)).removeprefix('device_')}: expected"):
            fastrnn.gru_forward(**{**arrays, **wrong}, device="cuda")
        gc.collect()  # the error had the frames
        assert gpu.live() == 0
    on_gpu = fakes(arrays)
    with pytest.raises(ValueError, match="h0: expected shape"):
        fastrnn.gru_forward(**{**on_gpu, "h0": FakeArray(np.ones((1, 2, 3), np.float32))})
    assert given_back(on_gpu)
    assert gpu.live() == 0
