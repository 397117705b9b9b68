"""Import, instruction sets, environment, and what a call leaves of the caller's floating-point mode."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import fastrnn
from fastrnn import _core

# What `python -c "import fastrnn"` may load: the standard library, NumPy and itself.
IMPORT_PROBE = """
import sys, numpy
before = set(sys.modules)
import fastrnn
loaded = {name.split(".")[0] for name in set(sys.modules) - before}
print(sorted(loaded - set(sys.stdlib_module_names) - {"fastrnn", "numpy"}))
print(sorted(name for name in sys.modules if name in ("fastrnn.layers", "fastrnn.model", "fastrnn.reference")))
"""


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def test_import_loads_numpy_and_the_standard_library_alone():
    result = run_python(IMPORT_PROBE)
    assert result.stdout.split("\n")[:2] == ["[]", "[]"], result.stderr


def test_every_public_name_resolves():
    for name in fastrnn.__all__:
        assert getattr(fastrnn, name) is not None
    assert set(fastrnn.__all__) <= set(dir(fastrnn))
    with pytest.raises(AttributeError, match="module 'fastrnn' has no attribute 'lstm_foward'"):
        _ = fastrnn.lstm_foward


def test_info_names_what_is_in_use():
    info = fastrnn.info()
    assert info["version"] == fastrnn.__version__
    assert info["isa"] in info["isa_available"]
    assert info["isa_available"][0] == "portable"
    assert {"threads", "compiler", "flags", "cuda", "numpy", "python", "machine"} <= set(info)


@pytest.mark.parametrize("name", fastrnn.isa_available())
def test_environment_forces_an_instruction_set(name):
    result = run_python("import fastrnn; print(fastrnn.info()['isa'])", FASTRNN_ISA=name)
    assert result.stdout.strip() == name, result.stderr


def test_unknown_instruction_set_in_the_environment_fails_the_import():
    result = run_python("import fastrnn", FASTRNN_ISA="sse9")
    assert result.returncode != 0
    assert "FASTRNN_ISA: expected one of 'portable'" in result.stderr
    assert "got 'sse9'" in result.stderr


@pytest.mark.skipif("avx512" in fastrnn.isa_available(), reason="this CPU has every instruction set")
@pytest.mark.skipif(np.dtype(np.intp).itemsize != 8, reason="x86-64 only")
def test_unavailable_instruction_set_is_an_error():
    missing = "avx512" if "avx2" in fastrnn.isa_available() else "avx2"
    with pytest.raises(ValueError, match=f"isa: expected .*got '{missing}'"):
        _core.set_isa(missing)


def test_unknown_instruction_set_is_an_error():
    with pytest.raises(ValueError, match=r"isa: expected one of 'portable', .*, got 'fast'"):
        _core.set_isa("fast")


def test_forced_instruction_set_takes_effect(isa):
    """AVX2 and AVX-512 fuse multiply and add, portable x86-64 code cannot: one sum tells them apart by its rounding.

    a*a = 1 + 2^-12 + 2^-26 with a = 1 + 2^-13 loses its last bit unless the addition is fused with the product.
    """
    if os.uname().machine != "x86_64" and isa == "portable":
        pytest.skip("the portable code of other machines may fuse")
    a = np.float32(1 + 2.0**-13)
    x = np.array([[[-(1 + 2.0**-12), a]]], np.float32)
    w_ih = np.array([[1, a]], np.float32)
    y = fastrnn.rnn_forward(x, w_ih, np.zeros((1, 1), np.float32), activation="identity").y
    assert y.item() == (0.0 if isa == "portable" else 2.0**-26)
    assert fastrnn.pack_rnn(w_ih, np.zeros((1, 1), np.float32)).isa == isa


def test_packed_weights_keep_their_instruction_set(isa):
    w = fastrnn.pack_rnn(np.ones((3, 2), np.float32), np.eye(3, dtype=np.float32))
    expected = fastrnn.rnn_forward(np.ones((4, 1, 2), np.float32), w).y
    for other in fastrnn.isa_available():
        _core.set_isa(other)
        np.testing.assert_array_equal(fastrnn.rnn_forward(np.ones((4, 1, 2), np.float32), w).y, expected)


def test_denormals_are_flushed_within_a_call_and_kept_outside(isa):
    tiny = np.float32(1e-40)
    one = np.ones((1, 1), np.float32)
    y = fastrnn.rnn_forward(np.full((1, 1, 1), tiny), one, np.zeros((1, 1), np.float32), activation="identity").y
    assert y.item() == 0.0
    # The mode is back; compared as numbers, both might count as zero.
    assert (np.array([tiny]) * np.float32(1)).view(np.uint32)
