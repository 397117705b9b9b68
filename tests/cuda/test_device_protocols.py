"""The protocols around arrays on a GPU: what a DeviceArray offers, streams, __cuda_array_interface__, libraries."""

from __future__ import annotations

import gc
import sys
from typing import Any

import numpy as np
import pytest

from tests.support.cuda.fake_arrays import STREAM, InterfaceArray, Stream, fakes, given_back, library, read, values
from tests.support.cuda.problems import TOLERANCE, call, compare, problem

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
