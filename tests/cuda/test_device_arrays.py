"""Arrays on a GPU, passed in and out without a copy: over the emulation, with arrays that pretend to be there."""

from __future__ import annotations

import numpy as np
import pytest

import fastrnn
from tests.support.cuda.fake_arrays import MANAGED, STREAM, FakeArray, fakes, given_back, library, read, values
from tests.support.cuda.problems import CELLS, TOLERANCE, call, compare, problem

# -- results ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tier", ["block", "cluster", "grid"])
@pytest.mark.parametrize("cell", CELLS)
def test_a_call_gives_what_the_cpu_gives_and_copies_nothing(gpu, cell, tier):
    arrays, more = problem(cell), {"lengths": [3, 1], "reverse": True}
    on_gpu = fakes(arrays)
    got = call(cell, on_gpu, device_tier=tier, **more)
    events = gpu.events()
    assert all(isinstance(array, fastrnn.DeviceArray | gpu.DeviceArray) for array in got)
    compare(values(got), call(cell, arrays, **more), TOLERANCE["float32"])
    assert all(fake.streams == [1] for fake in on_gpu.values())
    assert given_back(on_gpu)
    copied = [event for event in events if event[0] in ("copy_in", "copy_out")]
    lengths, status = [("copy_in", 0, 1, 8)] * 2, [("copy_out", 0, 1, 4)]
    assert copied == lengths + (status if tier == "grid" else [])


@pytest.mark.parametrize("options", [{"old": True}, {"read_only": True}, {"kind": MANAGED}, {"offset": 64}])
def test_every_form_of_dlpack_is_taken(gpu, options):
    arrays = problem("lstm")
    on_gpu = fakes(arrays, **options)
    got = call("lstm", on_gpu, device="cuda", stream=STREAM)
    compare(values(got), call("lstm", arrays), TOLERANCE["float32"])
    assert all(fake.streams == [STREAM] for fake in on_gpu.values())
    assert given_back(on_gpu)


def test_managed_memory_may_be_mixed_with_device_memory(gpu):
    arrays = problem("gru after")
    on_gpu = {**fakes(arrays), "w_hh": FakeArray(arrays["w_hh"], kind=MANAGED)}
    compare(values(call("gru after", on_gpu)), call("gru after", arrays), TOLERANCE["float32"])


def test_results_go_into_the_next_call(gpu):
    arrays = problem("lstm")
    first = call("lstm", fakes(arrays))
    chained = {**fakes(arrays), "x": FakeArray(arrays["x"]), "h0": first.h_n, "c0": first.c_n}
    expected = call("lstm", arrays)
    compare(
        values(call("lstm", chained)),
        call("lstm", {**arrays, "h0": expected.h_n, "c0": expected.c_n}),
        TOLERANCE["float32"],
    )
    again = call(
        "rnn", {"x": first.y, "w_ih": FakeArray(arrays["w_hh"][:17]), "w_hh": FakeArray(arrays["w_hh"][17:34])}
    )
    assert [array.shape for array in again] == [(3, 2, 17), (1, 2, 17)]


@pytest.mark.parametrize("tier", ["block", "cluster", "grid", "graph"])
@pytest.mark.parametrize(("steps", "batch"), [(4, 3), (3, 4), (1, 3), (3, 1)])
def test_batch_first(gpu, steps, batch, tier):
    arrays = problem("lstm", steps, batch)
    arrays["x"] = np.ascontiguousarray(arrays["x"].swapaxes(0, 1))
    more = {"batch_first": True, "lengths": np.arange(batch) % steps + 1}
    got = call("lstm", fakes(arrays), device_tier=tier, **more)
    compare(values(got), call("lstm", arrays, **more), TOLERANCE["float32"])


@pytest.mark.parametrize("extents", [(0, 2, 3), (2, 0, 3), (2, 2, 0)])
def test_empty_extents(gpu, extents):
    arrays = problem("lstm", *extents, hidden=4)
    compare(values(call("lstm", fakes(arrays))), call("lstm", arrays), TOLERANCE["float32"])


def test_the_second_gpu_by_its_arrays(gpu):
    arrays = problem("lstm")
    got = call("lstm", fakes(arrays, ordinal=1))
    assert {ordinal for _, ordinal, _, _ in gpu.events()} == {1}
    assert got.y.device == "cuda:1"
    compare(values(got), call("lstm", arrays), TOLERANCE["float32"])
    compare(values(call("lstm", fakes(arrays, ordinal=1), device="cuda:1")), call("lstm", arrays), 2e-5)


# -- training --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tier", ["block", "grid", "graph"])
@pytest.mark.parametrize("cell", CELLS)
def test_gradients_are_those_of_the_cpu_and_nothing_is_copied(gpu, cell, tier):
    arrays, more = problem(cell, steps=4, batch=3, inputs=3), {"lengths": [4, 1, 2], "reverse": tier == "grid"}
    on_gpu = fakes(arrays)
    *outputs, cache = call(cell, on_gpu, training=True, device_tier=tier, stream=STREAM, **more)
    *expected, right = call(cell, arrays, training=True, **more)
    compare(values(outputs), expected, TOLERANCE["float32"])
    assert not given_back(on_gpu)  # the cache needs them
    rng = np.random.default_rng(5)
    given = [rng.uniform(-1, 1, array.shape).astype(np.float32) for array in expected]
    backward = getattr(fastrnn, f"{CELLS[cell][0]}_backward")
    gpu.events()
    got = backward(*(FakeArray(given[0]), cache, *map(FakeArray, given[1:])))
    events = gpu.events()
    assert [e[3] for e in events if e[0] == "copy_in"] == []
    assert [e[3] for e in events if e[0] == "copy_out"] == ([4] if tier == "grid" else [])
    assert {(ordinal, on) for _, ordinal, on, _ in events} == {(0, STREAM)}
    for name, value in backward(given[0], right, *given[1:])._asdict().items():
        actual = getattr(got, name)
        assert (actual is None) == (value is None), name
        if value is not None:
            scale = max(float(np.abs(value).max()), 1e-3)
            np.testing.assert_allclose(read(actual), value, atol=5e-5 * scale, rtol=0, err_msg=name)
    assert backward(None, cache, need_dx=False).x is None
    del outputs, cache, got, actual
    assert given_back(on_gpu)
    assert gpu.live() == 0


def test_gradients_are_of_the_callers_library_and_wrong_ones_are_named(gpu, monkeypatch):
    _, array, taken = library(monkeypatch, "torch")
    arrays = problem("rnn")
    y, _, cache = call(
        "rnn", {name: array(value) for name, value in arrays.items()}, training=True, device_tier="block"
    )
    gpu.events()
    got = fastrnn.rnn_backward(y, cache)
    assert all(type(value) is array for value in got if value is not None)
    assert "wait" not in [event[0] for event in gpu.events()]
    with pytest.raises(TypeError, match="dy: expected an array on cuda:0, as x, got ndarray on the CPU"):
        fastrnn.rnn_backward(y.array, cache)
    with pytest.raises(ValueError, match=r"dh_n: expected shape \(1, 2, 17\), got \(3, 2, 17\)"):
        fastrnn.rnn_backward(None, cache, y)
    taken.clear()


# -- refusals --------------------------------------------------------------------------------------------------------


class Cpu(FakeArray):
    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


F4 = np.float32


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (TypeError, "w_hh: expected an array on cuda:0, as x, got ndarray on the CPU", {"w_hh": np.ones((4, 4), F4)}),
        (TypeError, "b_ih: expected an array on cuda:0, as x, got Cpu on the CPU", {"b_ih": Cpu(np.ones(4, F4))}),
        (TypeError, "b_ih: expected an array on cuda:0, as x, got list", {"b_ih": [1.0] * 4}),
        (TypeError, "w_ih: expected an array, got NoneType", {"w_ih": None}),
        (ValueError, "b_hh: expected an array on cuda:0, as x, got one on cuda:1",
         {"b_hh": FakeArray(np.ones(4, F4), 1)}),
        (TypeError, "w_ih: expected float32 on a GPU, got float64", {"w_ih": FakeArray(np.ones((4, 3)))}),
        (TypeError, "x: expected float32 on a GPU, got int64", {"x": FakeArray(np.ones((2, 2, 3), np.int64))}),
        (TypeError, "h0: expected float32 on a GPU, got float16", {"h0": FakeArray(np.ones((1, 2, 4), np.float16))}),
        (ValueError, r"w_hh: expected a contiguous array on a GPU, got strides \(1, 4\) for shape \(4, 4\)",
         {"w_hh": FakeArray(np.ones((4, 4), F4).T)}),
        (ValueError, r"x: expected a contiguous array on a GPU, got strides \(12, 3, 1\) for shape \(2, 2, 3\)",
         {"x": FakeArray(np.ones((2, 4, 3), F4)[:, :2])}),
        (TypeError, r"w_hh: expected an array of DLPack 1\.x, got one of 2\.0",
         {"w_hh": FakeArray(np.ones((4, 4), F4), major=2)}),
        (ValueError, r"w_hh: expected shape \(4, 4\), got \(5, 4\)", {"w_hh": FakeArray(np.ones((5, 4), F4))}),
        (ValueError, r"x: expected shape \(T, B, I\), got \(2, 3\)", {"x": FakeArray(np.ones((2, 3), F4))}),
        (ValueError, "b_ih: expected an aligned array, got an unaligned one",
         {"b_ih": FakeArray(np.ones(17, np.uint8)[1:].view(F4))}),
        (TypeError, "lengths: expected integers on the host, got FakeArray on cuda:0",
         {"lengths": FakeArray(np.ones(2, np.int64))}),
        (ValueError, "lengths: expected values in 0..2, got 3 at index 1", {"lengths": [1, 3]}),
        (ValueError, "device: expected 'cuda:0', where x is, got 'cpu'", {"device": "cpu"}),
        (ValueError, "device: expected 'cuda:0', where x is, got 'cuda:1'", {"device": "cuda:1"}),
        (ValueError, "out: expected nothing for arrays on a GPU, got an array", {"out": np.ones((2, 2, 4), F4)}),
        (ValueError, "tier: expected one of", {"device_tier": "warp"}),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_named_and_everything_is_given_back(gpu, error, message, arguments):
    good = {
        "x": FakeArray(np.ones((2, 2, 3), F4)), "w_ih": FakeArray(np.ones((4, 3), F4)),
        "w_hh": FakeArray(np.ones((4, 4), F4)), "b_ih": FakeArray(np.ones(4, F4)),
    }  # fmt: skip
    given = {**good, **arguments}
    with pytest.raises(error, match=message):
        fastrnn.rnn_forward(**given)
    assert given_back(given)
    assert not [event for event in gpu.events() if event[0] == "launch"]


def test_arrays_of_numpy_and_of_the_gpu_do_not_mix(gpu):
    arrays = problem("rnn")
    mixed = {**arrays, "w_hh": FakeArray(arrays["w_hh"])}
    with pytest.raises(TypeError, match="w_hh: expected an array on the host, as x, got FakeArray on cuda:0"):
        call("rnn", mixed, device="cuda")
    with pytest.raises(TypeError, match="w_hh: expected an array of numbers, got FakeArray"):
        call("rnn", mixed)


def test_a_failure_of_the_device_gives_everything_back(gpu, monkeypatch):
    monkeypatch.setenv("FASTRNN_CUDA_TIMEOUT", "1e-5")
    gpu.lose_blocks(1)
    on_gpu = fakes(problem("lstm"))
    with pytest.raises(gpu.CudaError, match="a block waited for another that never came"):
        call("lstm", on_gpu, device_tier="grid")
    assert [event[0] for event in gpu.events()].count("wait") == 2  # of the grid, and before the arguments go
    assert given_back(on_gpu)
    assert gpu.live() == 0


def test_tensors_of_torch_on_the_cpu(gpu):
    torch = pytest.importorskip("torch")
    arrays = {name: torch.from_numpy(array) for name, array in problem("lstm").items()}
    expected = call("lstm", problem("lstm"), device="cuda")
    compare(call("lstm", arrays, device="cuda"), expected, 0)
    compare(call("lstm", {**arrays, "x": problem("lstm")["x"]}, device="cuda"), expected, 0)
    compare(call("lstm", arrays), expected, TOLERANCE["float32"])
