"""Every kernel compiled by nvcc for one target: what ptxas reports of it, and its PTX.

A file takes a quarter of a minute a target: the result is kept under build/cuda-budget, by the content of the sources.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.support.tree import ROOT

TARGETS = ("sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")
FAMILIES = (80, 90, 100)  # the first target of each: from it on nvcc makes other PTX of the same source
FILES = sorted((ROOT / "csrc" / "cuda").rglob("*.cu"))
# Left out where no targets are named: the LSTM and the two-phase GRU, which stay, need more registers.
_LIGHTER = ("kernels_rnn", "kernels_gru_after", "kernels_gru_output")
_FLAGS = ["-std=c++17", f"-I{ROOT / 'csrc'}", f"-I{ROOT / 'csrc' / 'include'}"]
_TIERS = ("block", "cluster", "grid", "stream", "graph")


@dataclass(frozen=True)
class Kernel:
    """One entry function for one target; memory in bytes. `name` is e.g. "forward lstm bfloat16 cluster"."""

    name: str
    target: str
    registers: int
    stack: int
    spills: int
    shared: int  # static; layout.h counts the dynamic part
    ptx: str


def capability(target: str) -> int:
    """The number in a target: 90 of "sm_90a"."""
    return int(re.sub(r"\D", "", target))


def nvcc() -> str | None:
    """CUDACXX, or the nvcc on the PATH."""
    return os.environ.get("CUDACXX") or shutil.which("nvcc")


def wanted_targets() -> tuple[str, ...]:
    """FASTRNN_TEST_CUDA_TARGETS: names, or "all"; by default sm_90, which has every kind of kernel."""
    text = os.environ.get("FASTRNN_TEST_CUDA_TARGETS", "sm_90")
    return TARGETS if text == "all" else tuple(text.replace(",", " ").split())


def wanted_files() -> list[Path]:
    """All sources where targets are named; else the heaviest cells and the small files."""
    if "FASTRNN_TEST_CUDA_TARGETS" in os.environ:
        return FILES
    return [path for path in FILES if path.stem not in _LIGHTER]


@functools.cache
def kernels(target: str) -> tuple[Kernel, ...]:
    """The kernels of the wanted files, compiled for `target`."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        lists = pool.map(lambda path: compiled_file(path, target), wanted_files())
        return tuple(kernel for kernels in lists for kernel in kernels)


def compiled_file(source: Path, target: str) -> list[Kernel]:
    """The kernels of one source, compiled for `target`, or as they were kept when its content was the same.

    Targets of a family have the same PTX, as a test shows: it is made once, and assembled for each.
    """
    compiler = nvcc()
    assert compiler is not None
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
    listed = _run([compiler, *_FLAGS, "-MM", str(source)])
    ours = sorted(Path(word) for word in listed.split() if word.startswith(str(ROOT)))
    digest = hashlib.sha256(version.encode())
    for path in [*ours, Path(__file__)]:
        digest.update(path.read_bytes())
    folder, content = ROOT / "build" / "cuda-budget", digest.hexdigest()[:16]
    kept = folder / f"{source.stem}-{target}-{content}.json"
    if kept.exists():
        return [Kernel(**entry) for entry in json.loads(kept.read_text())]
    folder.mkdir(parents=True, exist_ok=True)
    family = f"compute_{max(first for first in FAMILIES if first <= capability(target))}"
    ptx = folder / f"{source.stem}-{family}-{content}.ptx"
    with tempfile.TemporaryDirectory() as name:
        if not ptx.exists():
            made = Path(name) / "kernels.ptx"
            made.write_text(ptx_of(source, family))
            shutil.move(made, ptx)
        report = ["-Xptxas", "-v,-warn-spills", str(ptx), "-o", str(Path(name) / "kernels.cubin")]
        found = _read(_run([compiler, f"-arch={target}", "-cubin", *report]), ptx.read_text(), target)
    kept.write_text(json.dumps([asdict(kernel) for kernel in found]))
    return found


def ptx_of(source: Path, architecture: str) -> str:
    """The PTX of one source, for "compute_90" and the like."""
    compiler = nvcc()
    assert compiler is not None
    with tempfile.TemporaryDirectory() as name:
        made = Path(name) / "kernels.ptx"
        _run([compiler, *_FLAGS, f"-arch={architecture}", "-ptx", str(source), "-o", str(made)])
        return made.read_text()


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stderr[-2000:]}"
    return done.stdout + done.stderr


def _read(log: str, ptx: str, target: str) -> list[Kernel]:
    """Join ptxas' report with the text of each entry."""
    entries = {m[1]: m[0] for m in re.finditer(r"\.entry (\w+)\(.*?^}", ptx, re.DOTALL | re.MULTILINE)}
    found = []
    for part in log.split("Compiling entry function ")[1:]:
        name = re.match(r"'(\w+)'", part)[1]  # type: ignore[index]
        frame = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", part)
        used = re.search(r"Used (\d+) registers", part)
        assert frame is not None and used is not None, part  # noqa: PT018
        shared = re.search(r"(\d+) bytes smem", part)
        found.append(
            Kernel(_readable(name), target, int(used[1]), int(frame[1]), int(frame[2]) + int(frame[3]),
                   int(shared[1]) if shared else 0, entries[name])
        )  # fmt: skip
    assert len(found) == len(entries), f"ptxas reports {len(found)} kernels, the PTX has {len(entries)}"
    return found


def _readable(mangled: str) -> str:
    """ "forward lstm bfloat16 cluster" of the mangled instance of forward_recurrence, "step forward lstm" of that of
    forward_step; another kernel's own name.
    """
    step = re.search(r"(forward|backward)_stepINS_5cells\d+(\w+?)E", mangled)
    if step is not None:
        return f"step {step[1]} {_cell(step[2])}"
    match = re.search(r"(forward|backward)_recurrenceINS_5cells\d+(\w+?)E(?=NS|S).*?TierE(\d)", mangled)
    if match is None:
        plain = re.search(r"fastrnn4cuda\d+(\w+?)(?:I|E)", mangled)
        return f"{plain[1] if plain else mangled} {mangled}"
    types = {"Tf32": "tf32", "Bfloat16": "bfloat16", "Float16": "float16"}
    dtype = next((name for part, name in types.items() if part in mangled), "float32")
    return f"{match[1]} {_cell(match[2])} {dtype} {_TIERS[int(match[3])]}"


def _cell(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
