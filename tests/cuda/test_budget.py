"""The static budget of every kernel, and what its PTX must and must not have: errors that no CPU build can show.

nvcc compiles the kernels of the heaviest cells for sm_90a; with FASTRNN_TEST_CUDA_TARGETS=all (or names) those of all
cells for every target, ten minutes of one core when nothing is kept under build/ from before.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.support.cuda.compiled import (
    FAMILIES,
    TARGETS,
    Kernel,
    _read,
    capability,
    compiled_file,
    kernels,
    nvcc,
    ptx_of,
    wanted_files,
    wanted_targets,
)
from tests.support.cuda.primitives_ptx import FORMS, faults
from tests.support.tree import ROOT

pytestmark = pytest.mark.skipif(nvcc() is None, reason="no nvcc (CUDACXX, PATH)")

WANTED = {path.stem for path in wanted_files()}
THREADS = 256  # of a block: what the planner launches
REGISTER_FILE = 65536
# Most registers of a thread by type of weights: 176 (tensor cores) or 128 (float32) hold weights, the rest is what a
# step needs. All leave room for one block of 256 threads, which is what every tier assumes.
MOST_REGISTERS = {"float32": 255, "tf32": 255, "bfloat16": 255, "float16": 255}
# Of a thread of the kernels of single steps: four blocks of 256 threads are on a multiprocessor then.
MOST_STEP_REGISTERS = dict.fromkeys(
    ("step", "begin_forward", "end_forward", "begin_backward", "end_backward", "normalise"), 64
)
MOST_STATIC_SHARED = 0  # all shared memory is dynamic, and counted by layout.h
SYSTEM_SHARED = 1024  # what the system takes of a block's shared memory, from sm_90 on


# nvcc takes minutes.
@pytest.fixture(params=[pytest.param(target, marks=pytest.mark.full) for target in wanted_targets()])
def compiled(request) -> tuple[Kernel, ...]:
    return kernels(request.param)


def recurrences(compiled: tuple[Kernel, ...]) -> list[Kernel]:
    return [k for k in compiled if k.name.split()[0] in ("forward", "backward")]


def test_every_cell_type_and_tier_is_there(compiled):
    names = {k.name for k in recurrences(compiled)}
    cells = [c for c in ("rnn", "lstm", "gru_after", "gru_before", "gru_output") if f"kernels_{c}" in WANTED]
    assert "lstm" in cells
    assert names == {
        f"{way} {cell} {dtype} {tier}"
        for way in ("forward", "backward")
        for cell in cells
        for dtype in ("float32", "tf32", "bfloat16", "float16")
        for tier in ("block", "cluster", "grid")
    }


def test_every_cell_has_its_step_kernels(compiled):
    names = {k.name for k in compiled if k.name.startswith("step ")}
    cells = ("rnn", "lstm", "lstm_full_peephole", "gru_after", "gru_before", "gru_output", "lstm_staged")
    cells += ("ind_rnn", "mgu", "slstm")
    assert names == {f"step {way} {cell}" for way in ("forward", "backward") for cell in cells}


def test_step_kernels_leave_room_for_four_blocks(compiled):
    found = {name: [k for k in compiled if k.name.split()[0] == name] for name in MOST_STEP_REGISTERS}
    for name, most in MOST_STEP_REGISTERS.items():
        assert found[name], name
        assert all(k.registers <= most for k in found[name]), {k.name: k.registers for k in found[name]}


def test_nothing_spills(compiled):
    spilling = {k.name: (k.spills, k.stack) for k in compiled if k.spills or k.stack}
    assert not spilling


@pytest.mark.full
@pytest.mark.parametrize("target", ["sm_100", "sm_120"])
def test_nothing_spills_where_registers_are_fewest(target):
    """What fits on sm_90 may not fit there: 8 to 28 bytes of these once did not."""
    found = compiled_file(ROOT / "tests" / "cuda_emulation" / "tightest_kernels.cu", target)
    assert len(found) == 3
    assert not {k.name: (k.spills, k.stack) for k in found if k.spills or k.stack}


def test_registers_and_shared_memory_are_within_the_table(compiled):
    for k in recurrences(compiled):
        assert k.registers <= MOST_REGISTERS[k.name.split()[2]], k.name
        assert k.shared <= MOST_STATIC_SHARED + (SYSTEM_SHARED if capability(k.target) in (90, 100) else 0), k.name


def test_a_block_fits_a_multiprocessor(compiled):
    """A cooperative grid or a cluster cannot start otherwise. Registers are given out in eights to a thread."""
    for k in recurrences(compiled):
        assert -(-k.registers // 8) * 8 * THREADS <= REGISTER_FILE, f"{k.name}: {k.registers}"


# -- PTX -------------------------------------------------------------------------------------------------------------


def test_every_primitive_becomes_the_instructions_that_are_meant():
    """Forms, number and order of operands of what the emulation never runs; a second of nvcc."""
    assert not faults(ROOT)


@pytest.mark.full
def test_a_small_bug_in_what_only_nvcc_compiles_is_seen():
    """Weaker orders, other roundings, half a warp, swapped fragments, a peer's store at home: 17 of them."""
    command = [sys.executable, "tests/cuda_emulation/mutants.py", "--test", "ptx", "--jobs", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 survive" in done.stdout


def test_kernels_use_the_primitives_alone(compiled):
    """What orders, copies, converts or exchanges is one of the forms that the probes were read for."""
    kinds = r"barrier\.cluster|cp\.|mapa|st\.shared::cluster|shfl|vote|mma|(?:st|ld)\.(?:release|acquire|relaxed)"
    kinds += r"|cvt\.\w+\.b?f16\.|cvt\.\w+\.tf32\.|fence|membar|atom|(?<!\.)red\.|st\.async|mbarrier"
    for k in compiled:
        assert set(re.findall(rf"\b((?:{kinds})[\w.:]*)", k.ptx)) <= FORMS, k.name
        assert count(k, r"mapa\.") > 0 or count(k, r"st\.shared::cluster") == 0, k.name
        masks = set(re.findall(r"shfl\.sync\.bfly\.b32.*?, (\S+);", k.ptx))
        assert all(mask == "-1" or re.search(rf"mov\.\w+\s+{mask}, -1;", k.ptx) for mask in masks), k.name


def count(kernel: Kernel, pattern: str) -> int:
    return len(re.findall(pattern, kernel.ptx))


def test_no_load_goes_through_the_read_only_cache(compiled):
    """ld.global.nc may return what a location held before another block wrote it; states are written in the kernel."""
    assert not {k.name for k in compiled if count(k, r"ld\.global(?:\.\w+)*\.nc\b")}


def test_tensor_cores_are_used_where_meant(compiled):
    instruction = {
        "bfloat16": r"mma\.sync\.aligned\.m16n8k16\.row\.col\.f32\.bf16\.bf16\.f32",
        "tf32": r"mma\.sync\.aligned\.m16n8k8\.row\.col\.f32\.tf32\.tf32\.f32",
        "float16": r"mma\.sync\.aligned\.m16n8k16\.row\.col\.f32\.f16\.f16\.f32",
    }
    for k in recurrences(compiled):
        dtype = k.name.split()[2]
        if dtype == "float32":
            assert count(k, r"mma\.sync") == 0, k.name
            assert count(k, r"fma\.rn\.f32") >= 128, k.name
        else:
            assert count(k, instruction[dtype]) >= 4, k.name
            assert count(k, r"mma\.sync") == count(k, instruction[dtype]), k.name


def test_each_tier_has_its_barrier_and_no_other(compiled):
    for k in recurrences(compiled):
        tier = k.name.split()[3]
        cluster = count(k, r"barrier\.cluster\.arrive"), count(k, r"barrier\.cluster\.wait")
        flags = count(k, r"st\.release\.gpu|st\.release\.gpu\.global"), count(k, r"ld\.acquire\.gpu")
        block = count(k, r"bar(?:rier)?\.(?:cta\.)?sync")
        assert block > 0, k.name
        if k.target >= "sm_90" or k.target.startswith(
            "sm_1"
        ):  # below there are no clusters: the kernel is empty of them
            assert (min(cluster) > 0) == (tier == "cluster"), f"{k.name}: {cluster}"
        assert (min(flags) > 0) == (tier == "grid"), f"{k.name}: {flags}"
        assert max(flags) == 0 or tier == "grid", k.name


def test_nothing_lives_in_local_memory(compiled):
    assert not {k.name for k in compiled if count(k, r"\.local\b")}


@pytest.mark.full
def test_targets_of_a_family_have_one_ptx(tmp_path):
    """So that what is assembled from the PTX of the first is what a build for the others has (compiled.py)."""
    source = tmp_path / "kernel.cu"
    source.write_text(
        '#include "cuda/kernels/resident/recurrence.h"\n'
        "template __global__ void fastrnn::cuda::forward_recurrence<fastrnn::cells::GruBefore, fastrnn::cuda::Float32, "
        "fastrnn::cuda::Tier::cluster>(FASTRNN_CONSTANT fastrnn::cuda::ForwardParams);\n"
    )
    texts: dict[int, set[str]] = {}
    for number in map(capability, TARGETS):
        text = ptx_of(source, f"compute_{number}")
        family = max(first for first in FAMILIES if first <= number)
        texts.setdefault(family, set()).add(re.sub(r"(?m)^(?://|\.target).*$", "", text))
    assert {family: len(found) for family, found in texts.items()} == dict.fromkeys(FAMILIES, 1)
    assert len(set.union(*texts.values())) == len(FAMILIES)


def test_the_reader_of_reports_sees_a_spill():
    """The checks above would be worth nothing if a spill went unseen."""
    name = "_ZN7fastrnn4cuda18forward_recurrenceINS_5cells4LstmENS0_7Float32ELNS0_4TierE2EEEvNS0_13ForwardParamsE"
    log = (
        f"ptxas info    : Compiling entry function '{name}' for 'sm_90a'\n"
        f"ptxas info    : Function properties for {name}\n"
        "    16 bytes stack frame, 24 bytes spill stores, 8 bytes spill loads\n"
        "ptxas info    : Used 255 registers, used 1 barriers, 16 bytes cumulative stack size, 1024 bytes smem\n"
    )
    (kernel,) = _read(log, f".visible .entry {name}(\n)\n{{\nret;\n}}\n", "sm_90a")
    assert kernel.name == "forward lstm float32 grid"
    assert (kernel.registers, kernel.stack, kernel.spills, kernel.shared) == (255, 16, 32, 1024)
