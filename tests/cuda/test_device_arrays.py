"""Arrays that are on a GPU, taken and given without a copy: over the emulation, with arrays that claim to be there."""

from __future__ import annotations

import gc
import sys
import types
from typing import Any

import numpy as np
import pytest
from fake_arrays import MANAGED, FakeArray, InterfaceArray, read
from test_emulated import CELLS, TOLERANCE, call, compare, problem

import fastrnn

STREAM = 0x7000


def fakes(arrays: dict[str, np.ndarray], **options: Any) -> dict[str, Any]:
    return {name: FakeArray(array, **options) for name, array in arrays.items()}


def values(results: Any) -> list[np.ndarray]:
    """Of DeviceArrays, by DLPack."""
    return [read(array) for array in results]


def given_back(arrays: dict[str, Any]) -> bool:
    """Whether every capsule that was handed out was deleted, once."""
    gc.collect()
    return all(fake.deleted == len(fake.streams) for fake in arrays.values() if isinstance(fake, FakeArray))


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


# -- the DeviceArray -------------------------------------------------------------------------------------------------


def test_a_device_array_tells_what_it_is(gpu):
    y, h_n, _ = call("lstm", fakes(problem("lstm")), stream=STREAM)
    assert (y.shape, y.ndim, y.dtype, y.nbytes, y.device) == ((3, 2, 17), 3, np.float32, 408, "cuda:0")
    assert (h_n.shape, h_n.stream) == ((1, 2, 17), STREAM)
    assert repr(y) == "fastrnn.DeviceArray(shape=(3, 2, 17), float32, cuda:0)"
    assert y.__dlpack_device__() == (2, 0)
    interface = y.__cuda_array_interface__
    pointer, read_only = interface.pop("data")
    assert pointer > 0
    assert not read_only
    assert interface == {"shape": (3, 2, 17), "typestr": "<f4", "strides": None, "version": 3, "stream": STREAM}


@pytest.mark.parametrize("max_version", [None, (0, 8), (1, 0), (1, 3), (2, 0)])
def test_the_form_of_the_capsule_is_what_the_consumer_knows(gpu, max_version):
    y = call("rnn", fakes(problem("rnn"))).y
    capsule = y.__dlpack__(max_version=max_version)
    old = max_version is None or max_version[0] < 1
    assert ('"dltensor"' if old else '"dltensor_versioned"') in repr(capsule)
    del capsule  # not taken: it gives the tensor back itself
    np.testing.assert_array_equal(read(y, max_version=max_version), read(y))


@pytest.mark.parametrize(
    ("asked", "followers"),
    [(None, [1]), (1, [1]), (2, [2]), (STREAM, []), (STREAM + 8, [STREAM + 8]), (-1, [])],
)
def test_a_consumer_on_another_stream_waits_for_ours(gpu, asked, followers):
    y = call("rnn", fakes(problem("rnn")), stream=STREAM).y
    gpu.events()
    y.__dlpack__(stream=asked)
    follows = [event for event in gpu.events() if event[0] == "follow"]
    assert follows == [("follow", 0, follower, STREAM) for follower in followers]


def test_what_a_device_array_refuses_to_export(gpu):
    y = call("rnn", fakes(problem("rnn"))).y
    with pytest.raises(ValueError, match="stream: expected a stream, 1, 2 or -1, got 0, which is ambiguous"):
        y.__dlpack__(stream=0)
    with pytest.raises(ValueError, match=r"stream: expected .*, got -2"):
        y.__dlpack__(stream=-2)
    with pytest.raises(TypeError, match="stream: expected an int, got str"):
        y.__dlpack__(stream="1")
    with pytest.raises(BufferError, match="copy: expected None or False, got True"):
        y.__dlpack__(copy=True)
    with pytest.raises(BufferError, match=r"dl_device: expected \(2, 0\), got \(1, 0\)"):
        y.__dlpack__(dl_device=(1, 0))
    y.__dlpack__(dl_device=(2, 0), copy=False)


def test_memory_lives_as_long_as_its_last_user_and_goes_back_to_its_stream(gpu):
    y, h_n = call("gru after", fakes(problem("gru after")), stream=STREAM)
    capsule = y.__dlpack__()
    expected = read(y)
    del y, h_n
    gc.collect()
    assert gpu.live() == 1
    gpu.events()
    del capsule
    assert gpu.events() == [("release", 0, STREAM, 0)]
    assert expected.shape == (3, 2, 17)


# -- streams ---------------------------------------------------------------------------------------------------------


class Stream:
    def __init__(self, **attributes: int) -> None:
        self.__dict__.update(attributes)


@pytest.mark.parametrize(
    ("given", "handle"),
    [
        (STREAM, STREAM), (np.int64(STREAM), STREAM), (0, 1), (1, 1), (2, 2), (Stream(cuda_stream=STREAM), STREAM),
        (Stream(ptr=STREAM), STREAM), (Stream(cuda_stream=0), 1), (Stream(ptr=0), 1),
    ],
)  # fmt: skip
def test_the_stream_that_is_given_has_all_work(gpu, given, handle):
    on_gpu = fakes(problem("lstm"))
    call("lstm", on_gpu, stream=given, lengths=[2, 3])
    assert all(fake.streams == [handle] for fake in on_gpu.values())
    assert {stream for _, _, stream, _ in gpu.events()} == {handle}


@pytest.mark.parametrize(
    ("error", "message", "stream"),
    [
        (TypeError, "stream: expected an int or an object with cuda_stream or ptr, got str", "0"),
        (TypeError, "stream: expected an int or an object with cuda_stream or ptr, got bool", True),
        (ValueError, "stream: expected a handle of 0 or more, got -1", -1),
    ],
)
def test_what_is_no_stream(gpu, error, message, stream):
    on_gpu = fakes(problem("rnn"))
    with pytest.raises(error, match=message):
        call("rnn", on_gpu, stream=stream)
    with pytest.raises(ValueError, match="stream: expected nothing on the CPU"):
        call("rnn", problem("rnn"), stream=STREAM)
    with pytest.raises(ValueError, match="stream: expected nothing for arrays of NumPy"):
        call("rnn", problem("rnn"), stream=STREAM, device="cuda")


def test_a_stream_object_lives_until_the_results_are_gone(gpu):
    stream, y = Stream(ptr=STREAM), None
    before = sys.getrefcount(stream)
    y = call("rnn", fakes(problem("rnn")), stream=stream).y
    capsule = y.__dlpack__()
    del y
    assert sys.getrefcount(stream) > before
    del capsule
    gc.collect()
    assert sys.getrefcount(stream) == before


# -- __cuda_array_interface__ ----------------------------------------------------------------------------------------


def interfaces(gpu: Any, arrays: dict[str, np.ndarray], **options: Any) -> dict[str, InterfaceArray]:
    for array in arrays.values():
        gpu.own(array.ctypes.data, array.nbytes, 1)
    return {name: InterfaceArray(array, **options) for name, array in arrays.items()}


def test_cuda_array_interface(gpu):
    arrays = problem("lstm peepholes")
    got = call("lstm peepholes", interfaces(gpu, arrays))
    compare(values(got), call("lstm peepholes", arrays), TOLERANCE["float32"])
    assert got.y.device == "cuda:1"


def test_the_stream_of_the_interface_is_taken_over(gpu):
    arrays = problem("rnn")
    on_gpu = interfaces(gpu, arrays, stream=STREAM)
    on_gpu["w_hh"].stream = 2
    on_gpu["w_ih"].stream = None
    assert call("rnn", on_gpu).y.stream == STREAM
    events = gpu.events()
    assert {stream for _, _, stream, _ in events} == {STREAM}
    assert [event for event in events if event[0] == "follow"] == [("follow", 1, STREAM, 2)]


@pytest.mark.parametrize(
    ("error", "message", "entries"),
    [
        (TypeError, "w_hh: expected float32 on a GPU, got float64", {"typestr": "<f8"}),
        (TypeError, "w_hh: expected float32 on a GPU, got >f4", {"typestr": ">f4"}),
        (ValueError, "w_hh: expected an array without a mask", {"mask": "any"}),
        (ValueError, "w_hh: expected a stream above 0 in __cuda_array_interface__, got 0", {"stream": 0}),
        (ValueError, r"w_hh: expected a contiguous array on a GPU, got strides \(4, 68\)", {"strides": (4, 68)}),
        (ValueError, r"w_hh: expected a contiguous array on a GPU, got strides \(66, 2\)", {"strides": (66, 2)}),
    ],
)
def test_what_an_interface_may_not_say(gpu, error, message, entries):
    arrays = problem("rnn")
    on_gpu = {**interfaces(gpu, arrays), "w_hh": InterfaceArray(arrays["w_hh"], **entries)}
    with pytest.raises(error, match=message):
        call("rnn", on_gpu)


def test_memory_of_the_host_is_not_taken_for_a_gpus(gpu):
    array = problem("rnn")["x"].copy()
    with pytest.raises(gpu.CudaError, match="expected memory of a CUDA device, got memory of the host"):
        call("rnn", {**fakes(problem("rnn")), "x": InterfaceArray(array)})


# -- libraries -------------------------------------------------------------------------------------------------------


def library(monkeypatch: pytest.MonkeyPatch, name: str) -> tuple[types.ModuleType, type, list[Any]]:
    """A library of that name, its type of arrays, and what it was given to make its own."""
    module, taken = types.ModuleType(name), []

    class Array(FakeArray):
        __module__ = f"{name}._arrays"

    def from_dlpack(array: Any) -> Any:
        taken.append(array)
        return Array(read(array, stream=-1), array.__dlpack_device__()[1])

    class Device:
        def __init__(self, ordinal: int) -> None:
            self.ordinal = ordinal

        def __enter__(self) -> None:
            module.current = self.ordinal

        def __exit__(self, *_: object) -> None:
            module.current = 0

    module.current = 0
    module.from_dlpack = from_dlpack
    module.cuda = types.SimpleNamespace(
        current_stream=lambda ordinal: Stream(cuda_stream=STREAM + ordinal),
        get_current_stream=lambda: Stream(ptr=STREAM + module.current),
        Device=Device,
    )
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, f"{name}.dlpack", module)
    return module, Array, taken


@pytest.mark.parametrize(("name", "stream", "waits"), [("torch", 1, 0), ("cupy", 1, 0), ("jax", None, 1)])
def test_results_are_arrays_of_the_callers_library_on_its_current_stream(gpu, monkeypatch, name, stream, waits):
    _, array, taken = library(monkeypatch, name)
    arrays = problem("lstm")
    on_gpu = {key: array(value, ordinal=1) for key, value in arrays.items()}
    got = call("lstm", on_gpu, device_tier="block")
    assert all(type(result) is array for result in got)
    assert len(taken) == 3
    compare([result.array for result in got], call("lstm", arrays), TOLERANCE["float32"])
    expected = STREAM + 1 if stream is not None else 1
    assert all(fake.streams == [expected] for fake in on_gpu.values())
    events = gpu.events()
    assert {(ordinal, on) for _, ordinal, on, _ in events} == {(1, expected)}
    # A library whose freed memory follows its streams need not be waited for.
    assert [event[0] for event in events].count("wait") == waits
    taken.clear()


def test_a_subclass_belongs_to_the_library_and_the_others_may_be_of_another(gpu, monkeypatch):
    _, array, taken = library(monkeypatch, "torch")
    own = type("Own", (array,), {"__module__": "users_module"})
    arrays = problem("rnn")
    got = call("rnn", {**fakes(arrays), "x": own(arrays["x"])})
    assert type(got.y) is array
    assert "wait" in [event[0] for event in gpu.events()]  # for those of the others
    taken.clear()


def test_device_arrays_of_the_same_stream_need_no_waiting(gpu):
    arrays = problem("rnn")
    ours = {
        name: gpu.device_array_from_dlpack(name, fake.__dlpack__(stream=STREAM, max_version=(1, 0)), STREAM)
        for name, fake in fakes(arrays).items()
    }
    got = call("rnn", ours, device_tier="block")
    assert "wait" not in [event[0] for event in gpu.events()]
    assert got.y.stream == STREAM
    compare(values(got), call("rnn", arrays), TOLERANCE["float32"])
    call("rnn", ours, device_tier="block", stream=2)
    assert "wait" in [event[0] for event in gpu.events()]


def test_what_a_library_does_not_share_is_named(gpu, monkeypatch):
    _, array, _ = library(monkeypatch, "torch")

    class Parameter(array):
        def __dlpack__(self, **_: Any) -> object:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")

    arrays = problem("rnn")
    on_gpu = {**fakes(arrays), "w_ih": Parameter(arrays["w_ih"])}
    with pytest.raises(ValueError, match=r"w_ih: expected an array that can be shared: .*use tensor\.detach\(\)"):
        call("rnn", on_gpu)
    assert given_back(on_gpu)


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
        (ValueError, r"x: expected shape \(any, any, any\), got \(2, 3\)", {"x": FakeArray(np.ones((2, 3), F4))}),
        (ValueError, "b_ih: expected an aligned array, got an unaligned one",
         {"b_ih": FakeArray(np.ones(17, np.uint8)[1:].view(F4))}),
        (TypeError, "lengths: expected integers on the host, got FakeArray on cuda:0",
         {"lengths": FakeArray(np.ones(2, np.int64))}),
        (ValueError, "lengths: expected values in 0..2, got 1..3", {"lengths": [1, 3]}),
        (ValueError, "device: expected 'cuda:0', where x is, got 'cpu'", {"device": "cpu"}),
        (ValueError, "device: expected 'cuda:0', where x is, got 'cuda:1'", {"device": "cuda:1"}),
        (ValueError, "batch_first: expected False in training with arrays on a GPU",
         {"training": True, "batch_first": True}),
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
    with pytest.raises(TypeError, match=r"w_hh: expected a numpy\.ndarray, as x, got FakeArray on cuda:0"):
        call("rnn", mixed, device="cuda")
    with pytest.raises(TypeError, match=r"w_hh: expected a numpy\.ndarray, got FakeArray"):
        call("rnn", mixed)


def test_a_failure_of_the_device_gives_everything_back(gpu):
    gpu.lose_blocks(1)
    on_gpu = fakes(problem("lstm"))
    with pytest.raises(gpu.CudaError, match="a block waited for another that never came"):
        call("lstm", on_gpu, device_tier="grid")
    assert [event[0] for event in gpu.events()].count("wait") == 2  # of the grid, and before the arguments go
    assert given_back(on_gpu)
    assert gpu.live() == 0


def test_tensors_of_torch_on_the_cpu():
    torch = pytest.importorskip("torch")
    arrays = {name: torch.from_numpy(array) for name, array in problem("lstm").items()}
    with pytest.raises(
        TypeError, match=r"x: expected a numpy\.ndarray or an array on a CUDA device, got Tensor on the CPU"
    ):
        call("lstm", arrays, device="cuda")
    with pytest.raises(TypeError, match=r"x: expected a numpy\.ndarray, got Tensor"):
        call("lstm", arrays)
    with pytest.raises(TypeError, match=r"w_hh: expected a numpy\.ndarray, as x, got Tensor on the CPU"):
        call("lstm", {**arrays, "x": problem("lstm")["x"]}, device="cuda")
