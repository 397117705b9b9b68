"""What the lines of primitives.h become that only nvcc compiles, and that the emulation therefore never runs.

    python -m tests.support.cuda.primitives_ptx [TREE]

tests/cuda_emulation/primitives_ptx.cu has a kernel for each primitive. Its PTX is followed from parameters to effects,
so that the table below holds form, number and order of operands: `p1+4` is the word at byte 4 of the second parameter,
`$1` the result of the line that ends in it. nvcc takes a second; no GPU is needed. Exit status 1: something is not as
meant.
"""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys
import tempfile

from tests.support.cuda.compiled import nvcc
from tests.support.tree import ROOT

PRIMITIVES = "csrc/cuda/kernels/primitives.h"


def _mma(form: str) -> list[str]:
    """d is both input and output; registers of a are words 4 to 7 of the parameter, those of b 8 and 9."""
    return [
        f"mma.sync.aligned.{form} {{p0+16, p0+20, p0+24, p0+28}}, {{p0+32, p0+36}}, {{p0, p0+4, p0+8, p0+12}} -> $1",
        *("st.global.f32 [p1], $1.0", "st.global.f32 [p1+4], $1.1"),
        *("st.global.f32 [p1+8], $1.2", "st.global.f32 [p1+12], $1.3"),
    ]


EXPECTED = {
    "sync_block": ["bar.sync 0"],
    "sync_block_or": ["bar.red.or.pred 0, p0 -> $1", "st.global.u32 [p1], $1"],
    "sync_warp": ["bar.warp.sync -1"],
    "shuffle_xor": ["shfl.sync.bfly.b32 p0, p1, 31, -1 -> $1", "st.global.u32 [p2], $1.0"],
    "ballot": ["vote.sync.ballot.b32 p0, -1 -> $1", "st.global.u32 [p1], $1"],
    "count_bits": ["popc.b32 p0 -> $1", "st.global.u32 [p1], $1"],
    "store_release": ["st.release.gpu.global.u32 [p0], p1"],
    "load_acquire": ["ld.acquire.gpu.global.u32 [p0] -> $1", "st.global.u32 [p1], $1"],
    "nanoseconds": ["st.global.u64 [p0], %globaltimer"],
    "sync_cluster": ["barrier.cluster.arrive.release.aligned", "barrier.cluster.wait.acquire.aligned"],
    "cluster_rank": ["st.global.u32 [p0], %cluster_ctarank"],
    "not_before": ["st.global.u32 [p1], p0"],
    "store_cluster_2": ["mapa.shared::cluster.u32 memory, p0 -> $1", "st.shared::cluster.u16 [$1], p1"],
    "store_cluster_4": ["mapa.shared::cluster.u32 memory, p0 -> $1", "st.shared::cluster.u32 [$1], p1"],
    "init_arrivals": ["mbarrier.init.shared::cta.b64 [memory], 1", "fence.mbarrier_init.release.cluster"],
    "expect_bytes": ["mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [memory], p0"],
    "have_arrived": [
        "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 [memory], p0 -> $1",
        "st.global.u32 [p1], p",  # the predicate
    ],
    "store_counted": [
        "mapa.shared::cluster.u32 memory, p0 -> $1",
        "add.s32 memory, 8 -> $2",
        "mapa.shared::cluster.u32 $2, p0 -> $3",
        "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.u32 [$1], {p1, p1+4, p1+8, p1+12}, [$3]",
    ],
    "copy_async_4": ["cp.async.ca.shared.global [memory], [p0], 4"],
    "copy_async_16": ["cp.async.cg.shared.global [memory], [p0], 16"],
    "wait_copies": ["cp.async.wait_all"],
    "reciprocal": ["rcp.approx.ftz.f32 p0 -> $1", "st.global.f32 [p1], $1"],
    "power_of_two": ["ex2.approx.ftz.f32 p0 -> $1", "st.global.f32 [p1], $1"],
    "round_to_bfloat16": ["cvt.rn.bf16.f32 p0 -> $1", "st.global.u16 [p1], $1"],
    "round_to_float16": ["cvt.rn.f16.f32 p0 -> $1", "st.global.u16 [p1], $1"],
    "round_to_tf32": ["cvt.rna.tf32.f32 p0 -> $1", "st.global.u32 [p1], $1"],
    "to_float": ["cvt.f32.f16 p0 -> $1", "st.global.f32 [p1], $1"],
    "mma_bfloat16": _mma("m16n8k16.row.col.f32.bf16.bf16.f32"),
    "mma_float16": _mma("m16n8k16.row.col.f32.f16.f16.f32"),
    "mma_tf32": _mma("m16n8k8.row.col.f32.tf32.tf32.f32"),
}

# All instructions of the table: a kernel has no other of their kinds.
FORMS = {line.split()[0] for lines in EXPECTED.values() for line in lines}

_EFFECTS = (
    "st.",
    "mbarrier.init",
    "mbarrier.arrive",
    "bar.sync",
    "bar.warp",
    "barrier.",
    "cp.",
    "fence",
    "membar",
    "red.",
    "nanosleep",
)  # have no result
_COPIES = ("mov.", "cvta.", "ld.param.")  # have the value of what they read
_TESTS = ("setp.ne.", "selp.")  # a bool becomes a number and back: the same value


def _operands(text: str) -> list[str]:
    """Cut at the commas outside braces."""
    return [part.strip() for part in re.split(r",(?![^{]*\})", text) if part.strip()]


def followed(ptx: str) -> dict[str, list[str]]:
    """By probe, the instructions with an effect or a result, their operands told by where they come from."""
    ptx = re.sub(r"\w*6memoryE", "memory", re.sub(r"//.*", "", ptx))
    probes = re.finditer(r"\.entry probe_(\w+)\((.*?)\)\s*\{(.*?)^\}", ptx, re.DOTALL | re.MULTILINE)
    return {probe[1]: _follow(probe[3]) for probe in probes}


def _follow(body: str) -> list[str]:
    lines: list[str] = []
    values: dict[str, str] = {}  # of registers
    results = 0

    def value(operand: str) -> str:
        operand = re.sub(r"\w+_param_(\d+)", r"p\1", operand)
        operand = re.sub(r"%\w+", lambda register: values.get(register[0], register[0]), operand)
        return re.sub(r"\s*,\s*", ", ", operand)

    for instruction in re.findall(r"[^;{}]*(?:\{[^{};]*\}[^;{}]*)*;", body):
        name, _, text = instruction.strip(" \t\n;").partition(" ")
        name, _, rest = name.partition("\t")
        operands = _operands(f"{rest} {text}")
        if name in (".reg", "ret", ""):
            continue
        if name.startswith(_EFFECTS):
            lines.append(f"{name} {', '.join(map(value, operands))}".strip())
            continue
        target, *sources = operands
        if name.startswith(_COPIES):
            values[target] = value(sources[0]).strip("[]")
        elif name.startswith(_TESTS):
            values[target] = value(sources[-1] if name.startswith("selp") else sources[0])
        else:
            results += 1
            lines.append(f"{name} {', '.join(map(value, sources))} -> ${results}")
            targets = re.findall(r"%\w+", target)
            for i, register in enumerate(targets):
                values[register] = f"${results}" + (f".{i}" if len(targets) > 1 else "")
    return lines


def compiled(tree: pathlib.Path, target: str = "sm_90") -> str:
    """The probes' PTX."""
    source = tree / "tests" / "cuda_emulation" / "primitives_ptx.cu"
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "primitives.ptx"
        command = [str(nvcc()), "-std=c++17", f"-I{tree}/csrc", f"-I{tree}/csrc/include", f"-arch={target}", "-ptx"]
        done = subprocess.run([*command, str(source), "-o", str(out)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{source.name} does not compile:\n{done.stderr[-2000:]}")
        return out.read_text()


def faults(tree: pathlib.Path) -> list[str]:
    """What is not as meant; empty if all is. Inline PTX that no probe reaches is a fault, too."""
    found = followed(compiled(tree))
    faults = [f"no probe {name}" for name in EXPECTED.keys() - found.keys()]
    for name, lines in found.items():
        if lines != EXPECTED.get(name):
            faults.append("\n  ".join([f"{name}: expected", *EXPECTED.get(name, []), "got", *lines]))
    known = {*FORMS, "", "mov.u32", "mov.u64", "{.reg"}
    text = (tree / PRIMITIVES).read_text()
    written = [re.split(r"[ ;]", name)[0] for name in re.findall(r'asm(?: volatile)?\(\s*"(.*?)"', text)]
    faults += [f"{name}: no probe" for name in written if name not in known]
    return faults


if __name__ == "__main__":
    if nvcc() is None:
        sys.exit("no nvcc (CUDACXX, PATH)")
    wrong = faults(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
    print(*wrong, sep="\n", file=sys.stderr)
    sys.exit(1 if wrong else 0)
