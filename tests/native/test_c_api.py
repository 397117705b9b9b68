"""The C API from Python's ctypes, against the shared library beside the package: the bits of Python's own sessions."""

from __future__ import annotations

import ctypes
import re
from ctypes import POINTER, byref, c_char_p, c_float, c_int, c_int64, c_size_t, c_void_p

import numpy as np
import pytest

import fastrnn
from fastrnn import system
from fastrnn.cli.command_line import main
from tests.support.tree import ROOT

OK, INVALID, FULL, UNKNOWN = 0, 1, 3, 4
STEPS, INPUTS, OUTPUTS = 30, 5, 3


class Options(ctypes.Structure):
    _fields_ = (("precision", c_int), ("fast_activations", c_int))


ARGUMENTS = {
    "fastrnn_model_load": [c_char_p, POINTER(Options), POINTER(c_void_p)],
    "fastrnn_model_load_memory": [c_char_p, c_size_t, POINTER(Options), POINTER(c_void_p)],
    "fastrnn_model_free": [c_void_p],
    "fastrnn_session_create": [c_void_p, c_size_t, POINTER(c_void_p)],
    "fastrnn_session_free": [c_void_p],
    "fastrnn_session_step": [c_void_p, POINTER(c_float), POINTER(c_float)],
    "fastrnn_session_state_size": [c_void_p, POINTER(c_size_t)],
    "fastrnn_session_get_state": [c_void_p, c_char_p, c_size_t],
    "fastrnn_session_set_state": [c_void_p, c_char_p, c_size_t],
    "fastrnn_pool_create": [c_void_p, c_size_t, c_size_t, POINTER(c_void_p)],
    "fastrnn_pool_free": [c_void_p],
    "fastrnn_pool_open": [c_void_p, POINTER(c_int64)],
    "fastrnn_pool_close": [c_void_p, c_int64],
    "fastrnn_pool_push": [c_void_p, c_int64, POINTER(c_float), c_size_t],
    "fastrnn_pool_advance": [c_void_p, c_size_t, POINTER(c_size_t)],
    "fastrnn_pool_pull": [c_void_p, c_int64, POINTER(c_float), c_size_t, POINTER(c_size_t)],
}


@pytest.fixture(scope="module")
def library():
    found = ctypes.CDLL(str(system.library()))
    for name, types in ARGUMENTS.items():
        getattr(found, name).argtypes = types
    for name in ("fastrnn_last_error", "fastrnn_version"):
        getattr(found, name).restype = c_char_p
    return found


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    model = fastrnn.Sequential(
        [
            fastrnn.LSTM(17, return_sequences=True),
            fastrnn.GRU(9, return_sequences=True),
            fastrnn.Dense(OUTPUTS, activation="softmax"),
        ]
    )
    model.build((None, STEPS, INPUTS))
    path = tmp_path_factory.mktemp("c_api") / "model.safetensors"
    model.save(path)
    return path


@pytest.fixture(scope="module")
def x(path):
    return np.random.default_rng(0).standard_normal((STEPS, INPUTS)).astype(np.float32)


def floats(array):
    return array.ctypes.data_as(POINTER(c_float))


@pytest.mark.parametrize("precision", range(4), ids=["float32", "bfloat16", "bfloat16_weights", "int8"])
def test_a_session_has_the_bits_of_pythons(library, path, x, precision):
    dtype = ("float32", "bfloat16", "bfloat16_weights", "int8")[precision]
    model, session, size, y = c_void_p(), c_void_p(), c_size_t(), np.zeros((STEPS, OUTPUTS), np.float32)
    assert library.fastrnn_model_load(bytes(path), byref(Options(precision, 0)), byref(model)) == OK
    assert library.fastrnn_session_create(model, 1, byref(session)) == OK
    library.fastrnn_model_free(model)  # the session keeps the model alive
    for t in range(STEPS):
        assert library.fastrnn_session_step(session, floats(x[t]), floats(y[t])) == OK
    python = fastrnn.Session(fastrnn.Model.load(path, dtype=dtype))
    np.testing.assert_array_equal(y, [python.step(row) for row in x])
    assert library.fastrnn_session_state_size(session, byref(size)) == OK
    state = ctypes.create_string_buffer(size.value)
    assert library.fastrnn_session_get_state(session, state, size) == OK
    assert state.raw == bytes(python.get_state())
    python.step(x[0])
    assert library.fastrnn_session_set_state(session, bytes(python.get_state()), size) == OK
    assert library.fastrnn_session_step(session, floats(x[1]), floats(y[1])) == OK
    np.testing.assert_array_equal(y[1], python.step(x[1]))
    library.fastrnn_session_free(session)


def test_a_pool_has_the_bits_of_a_session(library, path, x):
    data = path.read_bytes()
    model, pool, stream, n = c_void_p(), c_void_p(), c_int64(), c_size_t()
    y = np.zeros((STEPS, OUTPUTS), np.float32)
    assert library.fastrnn_model_load_memory(data, len(data), None, byref(model)) == OK
    assert library.fastrnn_pool_create(model, 1, STEPS, byref(pool)) == OK
    assert library.fastrnn_pool_open(pool, byref(stream)) == OK
    assert library.fastrnn_pool_push(pool, stream, floats(x), STEPS) == OK
    assert library.fastrnn_pool_push(pool, stream, floats(x), 1) == FULL
    for _ in range(STEPS):
        assert library.fastrnn_pool_advance(pool, 1, byref(n)) == OK
        assert n.value == 1
    assert library.fastrnn_pool_pull(pool, stream, floats(y), STEPS, byref(n)) == OK
    assert n.value == STEPS
    python = fastrnn.Session(fastrnn.Model.load(path))
    np.testing.assert_array_equal(y, [python.step(row) for row in x])
    assert library.fastrnn_pool_close(pool, stream) == OK
    assert library.fastrnn_pool_close(pool, stream) == UNKNOWN
    library.fastrnn_pool_free(pool)
    library.fastrnn_model_free(model)


def test_what_is_wrong_is_told(library, path):
    model = c_void_p()
    assert library.fastrnn_model_load(b"no/such/file", None, byref(model)) == INVALID
    assert b"no/such/file" in library.fastrnn_last_error()
    data = path.read_bytes()[:-1]
    assert library.fastrnn_model_load_memory(data, len(data), None, byref(model)) == INVALID
    assert library.fastrnn_session_create(None, 1, byref(model)) == INVALID
    assert library.fastrnn_last_error() == b"model: expected a pointer, got NULL"
    assert model.value is None


def test_one_version(library):
    numbers = re.findall(r"VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", (ROOT / "csrc/include/fastrnn/version.h").read_text())
    assert ".".join(numbers) == fastrnn.__version__ == library.fastrnn_version().decode()


def test_the_cmake_package_is_printed(monkeypatch, tmp_path, capsys):
    class Core:
        __file__ = str(tmp_path / "_core.so")

    monkeypatch.setattr(system, "_core", Core)
    with pytest.raises(SystemExit, match="1"):
        main(["--cmake-dir"])
    assert "the CMake package: expected it in" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError, match="the shared library: expected"):
        system.library()
    folder = tmp_path / "lib" / "cmake" / "fastrnn"
    folder.mkdir(parents=True)
    (folder / "fastrnn-config.cmake").touch()
    with pytest.raises(SystemExit, match="0"):
        main(["--cmake-dir"])
    assert capsys.readouterr().out.strip() == str(folder)
