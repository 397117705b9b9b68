"""The GPU's half of fastrnn._core over the emulation: compiled here, and put in place of the real one by a fixture.

A C++ compiler (CXX, or c++ on the PATH) and pybind11 are needed. Objects are kept under build/cuda-emulated, by the
content of their sources.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

from tests.support.tree import ROOT

KEPT = ROOT / "build" / "cuda-emulated"
CUDA, PYTHON, EMULATION = ROOT / "csrc" / "cuda", ROOT / "csrc" / "python", ROOT / "tests" / "cuda_emulation"

# What calls CUDA itself, and the table of what nvcc compiles: the emulation has its own.
_NOT_EMULATED = {"blaslt.cc", "device.cc", "runtime_cuda.cc", "status.cc", "kernel_table.cc"}
# Two files of about the same size, since pybind11's headers cost each of them five seconds.
_BINDINGS = (("array_view", "bind_device_array", "device_array"), ("bind_cuda", "bind_options"))
_KERNELS = ("rnn", "lstm", "gru_after", "gru_before", "gru_output", "steps")
_CORE = (
    "core/base/interrupt.cc",
    "core/backend/check_run.cc",
    "core/backend/options.cc",
    "core/backend/dispatch.cc",
    "cpu/kernels_portable.cc",
)  # sources of the CPU backend that the host side needs


def compiler() -> str | None:
    """CXX, or the compiler on the PATH."""
    return os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")


def missing() -> str | None:
    """Why the emulation cannot be built here; None if it can."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return "the emulation's fibres are for x86-64"
    if compiler() is None:
        return "no C++ compiler (CXX, PATH)"
    if importlib.util.find_spec("pybind11") is None:
        return "no pybind11"
    return None


@functools.cache
def module() -> ModuleType:
    """Build what has changed, and import it."""
    KEPT.mkdir(parents=True, exist_ok=True)
    # The kernels first: they take longest.
    sources = [path for name in _KERNELS for path in CUDA.rglob(f"kernels_{name}.cu")]
    for i, names in enumerate(_BINDINGS):
        sources.append(_together(f"bindings{i}", [path for name in names for path in PYTHON.rglob(f"{name}.cc")]))
    host_side = [path for path in sorted(CUDA.rglob("*.cc")) if path.name not in _NOT_EMULATED]
    sources += [_together("host_side", host_side), EMULATION / "python_module.cc"]
    sources += [EMULATION / f"{name}.cc" for name in ("emulated_runtime", "emulation", "fibre", "half")]
    sources += [ROOT / "csrc" / name for name in _CORE]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = sorted(pool.map(_compile, sources))
    digest = hashlib.sha256(" ".join(path.name for path in objects).encode()).hexdigest()[:16]
    library = KEPT / digest / f"emulated_core{sysconfig.get_config_var('EXT_SUFFIX')}"
    if not library.exists():
        library.parent.mkdir(exist_ok=True)
        _run(["-shared", *map(str, objects), "-o", str(library) + ".new"])
        os.replace(str(library) + ".new", library)
    spec = importlib.util.spec_from_file_location("emulated_core", library)
    assert spec is not None and spec.loader is not None  # noqa: PT018
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def take_place() -> ModuleType:
    """Put the emulation in place of the native module's part for GPUs, for the rest of this process."""
    from fastrnn.functional.gpu import arrays, calls

    core = module()
    arrays._core = calls._core = core  # type: ignore[attr-defined]
    return core


def _together(name: str, files: list[Path]) -> Path:
    """One file that includes some, whose headers are read once then."""
    result = KEPT / f"{name}.cc"
    text = "".join(f'#include "{path}"\n' for path in files)
    if not result.exists() or result.read_text() != text:
        result.write_text(text)
    return result


def _compile(source: Path) -> Path:
    import pybind11

    folders = [ROOT / "csrc", ROOT / "csrc" / "include", EMULATION]
    foreign = [pybind11.get_include(), sysconfig.get_paths()["include"]]
    # Bindings, and the CPU's kernels, which nothing here calls, would take the compiler longer.
    flags = [
        "-O0" if source.stem.startswith(("bindings", "python_module", "kernels_portable")) else "-O1",
        "-std=c++17",
        "-fPIC",
        "-fvisibility=hidden",
        "-x",
        "c++",
    ]
    flags += ["-DFASTRNN_CUDA", *(f"-I{folder}" for folder in folders)]
    flags += [word for folder in foreign for word in ("-isystem", str(folder))]
    listed = _run([*flags, "-MM", str(source)])
    ours = sorted({Path(word).resolve() for word in listed.split() if word.startswith(str(ROOT))})
    digest = hashlib.sha256(" ".join([str(compiler()), pybind11.__version__, *flags]).encode())
    for path in ours:
        digest.update(path.read_bytes())
    result = KEPT / f"{source.stem}-{digest.hexdigest()[:16]}.o"
    if not result.exists():
        _run([*flags, "-c", str(source), "-o", str(result) + ".new"])
        os.replace(str(result) + ".new", result)
    return result


def _run(arguments: list[str]) -> str:
    done = subprocess.run([str(compiler()), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout
