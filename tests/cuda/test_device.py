"""What a machine without a GPU can show of the device layer: the build's switches, and errors that say why."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastrnn
from fastrnn import _core
from fastrnn.functional.gpu import cublas as _cublas
from tests.support.tree import ROOT

STATUS = _core.cuda_status()
no_device = pytest.mark.skipif(bool(STATUS["devices"]), reason="this machine has a GPU")


def run_lstm(device: object) -> None:
    w_ih, w_hh = np.ones((8, 3), np.float32), np.ones((8, 2), np.float32)
    fastrnn.lstm_forward(np.ones((4, 1, 3), np.float32), w_ih, w_hh, device=device)


def test_info_tells_of_the_devices_or_of_the_reason():
    text = fastrnn.info()["cuda"]
    if not STATUS["built"]:
        assert text == "not built in"
    else:
        assert text.startswith(f"built with CUDA {STATUS['version'] // 1000}.")
        assert ("; no device: cudaError" in text) == (not STATUS["devices"])


@no_device
@pytest.mark.skipif(not STATUS["built"], reason="this build has no CUDA backend")
def test_a_missing_driver_is_named_with_its_code():
    # cudaErrorInsufficientDriver (no driver at all) or cudaErrorNoDevice (a driver, but nothing for it)
    assert STATUS["code"] in (35, 100)
    assert f"({STATUS['code']}): " in STATUS["reason"]


@no_device
def test_a_call_on_a_device_that_is_not_there_raises_with_the_reason():
    with pytest.raises(fastrnn.CudaError, match="device: expected a CUDA device, got none: ") as error:
        run_lstm("cuda")
    assert fastrnn.info()["cuda"] in str(error.value)
    assert isinstance(error.value, RuntimeError)
    with pytest.raises(fastrnn.CudaError, match="device: expected a CUDA device"):
        run_lstm("cuda:3")


def test_the_cpu_by_name_is_the_default():
    run_lstm("cpu")
    run_lstm(None)


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:-1", "cuda:x", "cuda1", ""])
def test_an_unknown_device_is_refused(device):
    with pytest.raises(ValueError, match=f"device: expected 'cpu', 'cuda' or 'cuda:N', got {device!r}"):
        run_lstm(device)


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (TypeError, "x: expected float32 on a GPU, got float64", {"x": np.ones((4, 1, 3))}),
        (TypeError, "x: expected an array of numbers, got str", {"x": "1.0"}),
        (
            ValueError,
            r"w_ih: expected shape \(4\*H, I\) with H >= 1, got \(7, 3\)",
            {"w_ih": np.ones((7, 3), np.float32)},
        ),
        (ValueError, r"w_hh: expected shape \(8, 2\), got \(7, 2\)", {"w_hh": np.ones((7, 2), np.float32)}),
        (TypeError, "b_ih: expected float32 on a GPU, got float64", {"b_ih": np.ones(8)}),
        (TypeError, "lstm_forward: unknown keyword 'peepholes'", {"peepholes": None}),
        (ValueError, "dtype: expected one of 'float32', .* on a GPU, got 'int8'", {"device_dtype": "int8"}),
    ],
)
def test_what_goes_to_a_gpu_is_checked_before_the_gpu_is_asked_for(error, message, arguments):
    good = {
        "x": np.ones((4, 1, 3), np.float32),
        "w_ih": np.ones((8, 3), np.float32),
        "w_hh": np.ones((8, 2), np.float32),
    }
    with pytest.raises(error, match=message):
        fastrnn.lstm_forward(**{**good, **arguments}, device="cuda")


def test_options_of_a_gpu_need_one():
    with pytest.raises(ValueError, match="device_dtype: expected nothing on the CPU, got 'bfloat16'"):
        fastrnn.rnn_forward(
            np.ones((4, 1, 3), np.float32),
            np.ones((2, 3), np.float32),
            np.eye(2, dtype=np.float32),
            device_dtype="bfloat16",
        )


def test_a_device_of_another_type_is_refused():
    with pytest.raises(TypeError, match="device: expected a str, got int"):
        run_lstm(0)


@pytest.mark.parametrize("number", [-1, 10_000])
def test_a_number_out_of_range_is_refused(number):
    with pytest.raises(fastrnn.CudaError, match="device: expected"):
        _core.require_cuda_device(number)


# -- the switch of the build -----------------------------------------------------------------------------------------


def configure(folder: Path, mode: str, compiler: str, capability: str = "9.0") -> tuple[int, str]:
    """Configure the project afresh with CUDACXX=compiler, where nvidia-smi tells of one GPU of this capability.

    Returns the exit status and what CMake said.
    """
    folder.mkdir()
    smi = folder / "nvidia-smi"
    smi.write_text(f"#!/bin/sh\necho {capability}\n")
    smi.chmod(0o755)
    command = ["cmake", "-S", str(ROOT), "-B", str(folder / "build"), f"-DFASTRNN_CUDA={mode}"]
    environment = {**os.environ, "CUDACXX": compiler, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


needs_cmake = pytest.mark.skipif(shutil.which("cmake") is None, reason="no cmake on the PATH")


@needs_cmake
def test_without_nvcc_auto_goes_on_and_on_stops(tmp_path):
    missing = str(tmp_path / "nvcc")
    status, text = configure(tmp_path / "auto", "AUTO", missing)
    assert status == 0, text
    assert "CUDA backend: not built, no nvcc that works was found" in text
    status, text = configure(tmp_path / "on", "ON", missing)
    assert status != 0
    assert "FASTRNN_CUDA=ON: no nvcc that works was found" in text


@needs_cmake
def test_without_a_gpu_auto_does_not_look_for_nvcc_and_says_how_to_build_all_the_same(tmp_path):
    """A GPU too old for the kernels counts as none."""
    status, text = configure(tmp_path / "auto", "AUTO", "nvcc", capability="7.5")
    assert status == 0, text
    assert "CUDA backend: not built, no NVIDIA GPU of compute capability 8.0 or later is in this machine" in text
    assert "cmake.define.FASTRNN_CUDA=ON" in text
    assert "Looking for a CUDA compiler" not in text


@pytest.mark.full
@needs_cmake
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc on the PATH")
def test_auto_builds_for_the_gpus_that_are_here(tmp_path):
    status, text = configure(tmp_path / "auto", "AUTO", str(shutil.which("nvcc")), capability="9.0")
    assert status == 0, text
    assert "CUDA backend: for 90-real, by" in text


@pytest.mark.full
@needs_cmake
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc on the PATH")
def test_on_leaves_no_device_without_an_image(tmp_path):
    """Machine code of a target with features of one device alone (90a, 100a) does not run on its neighbours (103, 110);
    90 and 120 are PTX, too."""
    status, text = configure(tmp_path / "on", "ON", str(shutil.which("nvcc")))
    assert status == 0, text
    assert "CUDA backend: for 80-real;86-real;89-real;90;100-real;120, by" in text


@needs_cmake
def test_off_does_not_look_for_nvcc_and_other_words_are_refused(tmp_path):
    status, text = configure(tmp_path / "off", "OFF", "nvcc")
    assert status == 0, text
    assert "CUDA backend: not built, switched off" in text
    assert "Looking for a CUDA compiler" not in text
    status, text = configure(tmp_path / "word", "YES", "nvcc")
    assert status != 0
    assert "FASTRNN_CUDA: expected AUTO, ON or OFF, got YES" in text


@pytest.mark.full
@needs_cmake
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc on the PATH")
def test_an_old_nvcc_is_refused_by_its_version(tmp_path):
    """A compiler that says it is 12.4 and otherwise works."""
    old = tmp_path / "nvcc"
    old.write_text(
        "#!/bin/sh\n"
        'case "$*" in --version) echo "Cuda compilation tools, release 12.4, V12.4.131";; '
        f'*) exec {shutil.which("nvcc")} "$@";; esac\n'
    )
    old.chmod(0o755)
    status, text = configure(tmp_path / "auto", "AUTO", str(old))
    assert status == 0, text
    assert "CUDA backend: not built, nvcc: expected 12.8 or later, got 12.4" in text


def test_the_library_of_the_wheel_is_found(tmp_path, monkeypatch):
    lib = tmp_path / "nvidia" / "cu13" / "lib"
    lib.mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "nvidia", raising=False)
    importlib.invalidate_caches()
    assert _cublas.wheel_library() is None
    for version in (12, 13):
        (lib / f"libcublasLt.so.{version}").touch()
    (lib / "libcublas.so.13").touch()
    assert _cublas.wheel_library() == lib / "libcublasLt.so.13"
    monkeypatch.setenv(_cublas.VARIABLE, "so that it is taken back")
    monkeypatch.delenv(_cublas.VARIABLE)
    _cublas.find_cublas.__wrapped__()
    assert os.environ[_cublas.VARIABLE] == str(lib / "libcublasLt.so.13")
    monkeypatch.setenv(_cublas.VARIABLE, "")
    _cublas.find_cublas.__wrapped__()
    assert os.environ[_cublas.VARIABLE] == ""
