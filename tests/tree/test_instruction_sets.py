"""The instruction sets stand in dispatch.cc: what lists them has the same ones, and a build those of its processors."""

from __future__ import annotations

import re

import pytest

from bench import roofline
from tests.support.tree import ROOT

CSRC = ROOT / "csrc"
DISPATCH = (CSRC / "core" / "backend" / "dispatch.cc").read_text(encoding="utf-8")
NAMES = re.findall(r"^namespace (\w+) {\nextern const", DISPATCH, re.MULTILINE)
X86 = {"avx2", "avx512", "avx512_vnni", "avx512_bf16"}
AARCH64 = {"neon", "neon_dotprod", "neon_bf16"}


def test_they_are_those_that_have_kernels():
    assert NAMES[0] == "portable"
    assert set(NAMES) == {"portable"} | X86 | AARCH64
    assert {path.stem.removeprefix("kernels_") for path in (CSRC / "cpu").glob("kernels_*.cc")} == set(NAMES)
    for path in (CSRC / "cpu").glob("kernels_*.cc"):
        assert f"#define FASTRNN_ISA {path.stem.removeprefix('kernels_')}\n" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["docs/start/install.md", "csrc/include/fastrnn/fastrnn.h"])
def test_what_a_user_reads_names_each(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert [name for name in NAMES if not re.search(rf'(?<=[`"|=]){name}(?=[`"|])', text)] == []


def test_the_roofline_knows_each():
    assert set(roofline.ISA_FLAGS) == set(NAMES)


def test_a_build_compiles_those_of_its_processors_alone():
    cmake = (CSRC / "CMakeLists.txt").read_text(encoding="utf-8")
    always, choice = cmake.split("if(CMAKE_SYSTEM_PROCESSOR MATCHES", 1)
    x86, rest = choice.split("elseif(CMAKE_SYSTEM_PROCESSOR MATCHES", 1)
    aarch64, after = rest.split("\nendif()\n", 1)
    assert '"^(x86_64|' in x86
    assert '"^aarch64$"' in aarch64
    of = [set(re.findall(r"kernels_(\w+)\.cc", part)) for part in (always, x86, aarch64, after)]
    assert of == [{"portable"}, X86, AARCH64, set()]
