"""The benchmark's native tools: the roofline, and steps from C++."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import fastrnn
from bench import metrics, native, report, roofline, work
from tests.support.tree import ROOT

needs_compiler = pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="no C++ compiler")


@needs_compiler
def test_roofline_builds_and_measures():
    isa = fastrnn.info()["isa_available"][-1]
    found = roofline.measure(isa, {"L1": 1 << 15}, [work.parse("RNN T2 H64", "inference")])
    assert "skipped" not in found, found
    own = {
        "avx512_vnni": ["int8"],
        "avx512_bf16": ["bfloat16", "int8"],
        "neon_dotprod": ["int8"],
        "neon_bf16": ["int8"],
    }
    assert list(found["gflops"]) == ["float32", *own.get(isa, [])]
    assert found["gflops"]["float32"] > 0
    # Two and four times as many products in an instruction; half of that leaves room for a busy machine.
    for dtype, times in (("bfloat16", 2), ("int8", 4)):
        assert found["gflops"].get(dtype, 1e9) > times / 2 * found["gflops"]["float32"]
    assert set(found["read_gbytes_per_second"]) == {"L1", "memory"}
    assert set(found["weights_gbytes_per_second"]) == {str(4 * 64 * 64)}


def test_every_instruction_set_is_known_and_another_one_is_an_error():
    assert set(fastrnn.info()["isa_available"]) <= set(roofline.ISA_FLAGS)
    sources = (ROOT / "csrc" / "core" / "backend" / "dispatch.cc").read_text()
    assert all(f"{isa}::" in sources for isa in roofline.ISA_FLAGS)
    with pytest.raises(ValueError, match=r"isa: expected one of portable, avx2, .*, got 'avx1024'"):
        roofline.measure("avx1024", {}, [])


@needs_compiler
@pytest.mark.parametrize(("isa", "dtypes"), [("avx512_vnni", {"int8"}), ("avx512_bf16", {"int8", "bfloat16"})])
def test_dot_products_are_loops_of_their_own_instructions(isa, dtypes, tmp_path):
    flags, width = roofline.ISA_FLAGS[isa]
    listing = tmp_path / "roofline.s"
    command = [*native.compiler(), "-std=c++17", "-O3", "-S", str(ROOT / "bench" / "roofline.cc"), "-o", str(listing)]
    made = subprocess.run([*command, f"-DFASTRNN_ROOFLINE_BYTES={width}", *flags], capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip("a compiler without " + " ".join(flags))
    text = listing.read_text()
    for dtype, instruction in (("int8", "vpdpbusd"), ("bfloat16", "vdpbf16ps")):
        found = re.findall(rf"{instruction}.*%zmm", text)
        assert (len(found) >= 12) == (dtype in dtypes), dtype


@needs_compiler
def test_the_width_of_a_vector_is_no_guess():
    command = [*native.compiler(), "-std=c++17", "-fsyntax-only", str(ROOT / "bench" / "roofline.cc")]
    assert "FASTRNN_ROOFLINE_BYTES" in subprocess.run(command, capture_output=True, text=True).stderr


@needs_compiler
def test_two_threads_read_together():
    for _ in range(20):  # nothing counts but what they read at the same time, which a busy machine may never let them
        found = roofline.measure_two("portable", [work.parse("RNN T2 H64", "inference")])
        assert list(found) == ["weights_gbytes_per_second_of_two"]
        if found["weights_gbytes_per_second_of_two"][str(4 * 64 * 64)] > 0:
            return
    pytest.fail("two threads never read at the same time")


def test_native_tools_without_a_compiler_say_so(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert "did not build" in roofline.measure("portable", {}, [])["skipped"]
    assert "did not build" in native.native_step(Path("nowhere.a"), 1.0)["skipped"]


@needs_compiler
def test_native_step_fits_the_public_header():
    command = [*native.compiler(), "-std=c++17", "-fsyntax-only", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([*command, "-I", ROOT / "csrc" / "include", ROOT / "bench" / "step.cc"], check=True)


def test_native_step_takes_the_newest_library(monkeypatch, tmp_path):
    monkeypatch.setattr(native, "HERE", tmp_path / "bench")
    assert "no libfastrnn.a under build/" in native.native_step(None, 1.0)["skipped"]
    for age, folder in enumerate(("new", "old", "older")):
        library = tmp_path / "build" / folder / "libfastrnn.a"
        library.parent.mkdir(parents=True)
        library.touch()
        os.utime(library, (1e9 - age, 1e9 - age))
    built = []
    monkeypatch.setattr(native, "build_and_run", lambda *arguments: built.append(arguments) or {"steps": []})
    assert native.native_step(None, 0.5) == {"steps": []}
    source, flags, arguments = built[0]
    assert (source, arguments) == ("step.cc", ["0.5"])
    assert str(tmp_path / "build" / "new" / "libfastrnn.a") in flags


def test_native_steps_are_a_table_or_a_reason():
    row = {"dtype": "int8", "calls": 9, "median_us": 1.0, "p99_us": 2.0, "rounds_us": [0.8, 0.75], "I": 1}
    rows = [row | {"H": 32}, row | {"H": 64}, row | {"H": 64, "dtype": "float32"}]
    text = "\n".join(report.native_table({"isa": "avx2", "clock_us": 0.02, "steps": rows}))
    assert "| sizes | int8 | float32 |" in text
    assert "| I1 H64 | 1.00 / 2.00, 0.75 | 1.00 / 2.00, 0.75 |" in text
    small, large = native.step_results({"steps": rows})
    assert (small["name"], list(large["timings"])) == ("LSTM T1 B1 I1 H32", ["int8", "float32"])
    assert metrics.Microseconds("int8", "best_us").value(small) == 0.75
    assert native.step_results({"skipped": "why"}) == []
    assert report.native_table({"skipped": "why"})[2] == "skipped: why"


def test_the_roofline_of_a_work():
    roof = {
        "gflops": {"float32": 10.0, "int8": 40.0},
        "weights_gbytes_per_second": {"256": 2.0, "512": 1.0, "1024": 4.0},
    }

    def bound(shape: str, kind: work.Kind = "inference", threads: int = 1) -> float | None:
        return roofline.bound_seconds(work.parse(shape, kind), roof, threads)

    # H 8, LSTM: 2 * 4 * 8 * 8 = 512 FLOP and 1024 bytes in each of the two products of a row and step.
    assert bound("LSTM T10 B1 H8") == pytest.approx(10 * 512 / 10e9 + 10 * 1024 / 4e9)
    assert bound("LSTM T10 B8 H8") == pytest.approx(10 * 8 * 1024 / 10e9)
    assert bound("LSTM T10 B8 H8", threads=2) == pytest.approx(10 * 8 * 1024 / 20e9)
    assert bound("LSTM T10 B8 H8", "training") == pytest.approx(3 * 10 * 8 * 1024 / 10e9)
    assert bound("LSTM T10 B1 H8", "product") == pytest.approx(10 * 512 / 10e9)
    # Backward reads the recurrent weights again; dx, dW and dR are computed for all steps at once.
    assert bound("LSTM T10 B1 H8", "training") == pytest.approx(4 * 10 * 512 / 10e9 + 2 * 10 * 1024 / 4e9)
    assert bound("RNN T1 B1 H8") == pytest.approx(512 / 1e9)  # one step reads all of its weights
    assert bound("RNN T5 B7 H8") == pytest.approx(5 * (7 * 128 / 10e9 + 256 / 2e9))
    assert bound("GRU T5 B1 H8") is None  # whose bytes were not read
    assert roofline.bound_seconds(work.parse("RNN H8", "inference"), {"skipped": ""}) is None
    # A dtype with dot products of its own has another peak, and smaller weights; one without has no bound at all.
    assert roofline.bounds_us(work.parse("LSTM T10 B8 H8", "inference"), roof) == pytest.approx(
        {"float32": 10 * 8 * 1024 / 10e3, "int8": 10 * 8 * 1024 / 40e3}
    )
    assert roofline.bounds_us(work.parse("LSTM T10 B1 H8", "inference"), roof)["int8"] == pytest.approx(
        10 * 512 / 40e3 + 10 * 256 / 2e3
    )
    assert bound("LSTM T10 B1 H8 L2") == pytest.approx(2 * 10 * 1024 / 10e9)  # the products alone
    assert roofline.bounds_us(work.parse("LSTM T10 B8 H8", "fit"), roof) == {}
    # Two threads have twice the peak, and what they read together.
    two = roofline.bounds_us(
        work.parse("LSTM T10 B1 H8", "inference"), roof | {"weights_gbytes_per_second_of_two": {"1024": 5.0}}
    )
    assert two["float32 2 threads"] == pytest.approx(10 * 512 / 20e3 + 10 * 1024 / 5e3)


def test_the_higher_roofline_counts():
    def roof(peak: float, level: float, weights: float) -> dict:
        reads = {"read_gbytes_per_second": {"L1": level}, "weights_gbytes_per_second": {"8": weights}}
        return {"gflops": {"float32": peak}, **reads}

    assert roofline.highest(roof(2.0, 5.0, 1.0), roof(1.0, 6.0, 2.0)) == roof(2.0, 6.0, 2.0)
    assert roofline.highest({"skipped": "why"}, roof(1.0, 1.0, 1.0)) == {"skipped": "why"}
