"""Breaks the CUDA kernels one small piece at a time and asks whether the emulated tests notice.

    python tests/cuda_emulation/mutants.py [--jobs N] [--only PART-OF-A-NAME] [--test NAME...]

Each mutant (mutant_list.py) is one replacement in a copy of csrc/cuda, and names the test program that has to notice
it. That one is built and run plain, then with AddressSanitizer and UndefinedBehaviorSanitizer, then with
ThreadSanitizer, until it fails: that caught it. A mutant that passes them all survives, and the exit status says so.
Text that is no longer in its file, or there more than once, is an error. What does not include the broken file is
compiled once for all mutants.

The lines that only nvcc compiles are the test "ptx": tests/support/cuda/primitives_ptx.py reads what they become. It
needs nvcc, and is left out, with a line, where there is none.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from mutant_list import MUTANTS, PTX, Mutant

ROOT = pathlib.Path(__file__).resolve().parents[2]
EMULATION = "tests/cuda_emulation"
MODES = {
    "plain": ["-O1"],
    "asan": ["-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "tsan": ["-O1", "-g1", "-fsanitize=thread"],
}


def sources(folder: str, without: tuple[str, ...] = ()) -> list[str]:
    return [str(p.relative_to(ROOT)) for p in sorted((ROOT / folder).rglob("*.cc")) if p.name not in without]


RUNTIME = [f"{EMULATION}/{name}.cc" for name in ("emulation", "fibre", "half")]
# Results are held to the CPU's: it is nobody's mutant, and the same in every mode.
CPU = [*sources("csrc/core"), "csrc/cpu/kernels_portable.cc"]
HOST = [
    f"{EMULATION}/emulated_runtime.cc",
    *sources("csrc/cuda", without=("blaslt.cc", "device.cc", "kernel_table.cc", "runtime_cuda.cc")),
    *CPU,
]
STEPS = [f"{EMULATION}/emulated_steps.cc", *HOST]
KERNELS = [f"{EMULATION}/emulated_kernels.cc", *HOST]
# What a test is made of beside its own file and the emulation.
TESTS = {
    "schedules": [],
    "product": HOST,
    "rows": HOST,
    "steps": STEPS,
    "step_options": STEPS,
    "step_training": STEPS,
    "stack": KERNELS,
}
# Tests that are compiled and run in parts, by FASTRNN_KERNELS_OF: most mutants fail the first, a third of the whole.
PARTS = {"schedules": ("1", "2", "3")}
# ThreadSanitizer takes a clock for each of the thousands of threads of a launch, and these have thousands of launches.
WITHOUT_TSAN = ("steps", "step_options", "step_training", "stack")


def modes_of(test: str) -> list[str]:
    return [mode for mode in MODES if mode != "tsan" or test not in WITHOUT_TSAN]


def ways_of(test: str) -> list[tuple[str, str]]:
    """Modes and parts, in the order in which they are run."""
    return [(mode, part) for mode in modes_of(test) for part in PARTS.get(test, ("",))]


def sources_of(test: str) -> list[str]:
    return [f"{EMULATION}/test_{test}.cc", *RUNTIME, *TESTS[test]]


def part_of(source: str, part: str) -> str:
    """What of `part` a source asks for: nothing, but for a test's own file."""
    return part if pathlib.Path(source).stem.startswith("test_") else ""


def object_in(directory: pathlib.Path, source: str, mode: str, part: str) -> pathlib.Path:
    return directory / f"{source.replace('/', '.')}.{'plain' if source in CPU else mode}{part_of(source, part)}.o"


def compile_source(tree: pathlib.Path, source: str, mode: str, part: str, out: pathlib.Path) -> None:
    """Into `out`; the files that it includes are listed beside that."""
    options = MODES["plain" if source in CPU else mode]
    if source in RUNTIME and mode == "tsan":  # it says itself what orders what
        options = ["-O1", "-DFASTRNN_TSAN", "-fno-tree-loop-distribute-patterns"]
    folders = [f"-I{tree}/{folder}" for folder in ("csrc", "csrc/include", EMULATION)]
    command = ["g++", "-std=c++17", "-w", *folders, '-DFASTRNN_COMPILER=""', '-DFASTRNN_FLAGS=""', *options]
    if part_of(source, part):
        command.append(f"-DFASTRNN_KERNELS_OF={part}")
    command += ["-MMD", "-c", f"{tree}/{source}", "-o", str(out)]
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode != 0:
        raise SystemExit(f"{source} does not compile:\n{built.stderr[:2000]}")


def find(tree: pathlib.Path, name: str) -> pathlib.Path:
    """The file of that name; no two of csrc/cuda, and of what it shares with the CPU, have one name."""
    (path,) = (path for folder in ("cuda", "core/backend") for path in (tree / "csrc" / folder).rglob(name))
    return path


def includes(compiled: pathlib.Path, file: pathlib.Path) -> bool:
    return str(file) in compiled.with_suffix(".d").read_text().split()


def run(program: pathlib.Path, test: str, mode: str) -> str:
    """What is wrong, or nothing."""
    arguments = [] if test != "schedules" else ["8" if mode == "plain" else "2", "stop"]
    environment = dict(os.environ, TSAN_OPTIONS="halt_on_error=1", ASAN_OPTIONS="detect_leaks=0")
    try:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, env=environment, timeout=600)
    except subprocess.TimeoutExpired:
        return "did not end"
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stderr.splitlines() if line.strip(" =")]
    return lines[0][:150] if lines else f"exit status {done.returncode}"


def judge(test: str, kept: pathlib.Path, mutant: Mutant | None = None) -> tuple[str, str]:
    """The mode that caught it, and how; ("", "") for a survivor. `kept` has the objects of what is not broken."""
    with tempfile.TemporaryDirectory() as name:
        tree = pathlib.Path(name)
        for part in ("csrc", EMULATION) if mutant is not None or test == PTX else ():
            shutil.copytree(ROOT / part, tree / part)
        if mutant is not None:
            path = find(tree, mutant.file)
            path.write_text(path.read_text().replace(mutant.old, mutant.new))
        if test == PTX:
            command = [sys.executable, "-m", "tests.support.cuda.primitives_ptx", str(tree)]
            read = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            return (PTX, " ".join(read.stderr.split())[:150]) if read.returncode else ("", "")
        for mode, part in ways_of(test):
            objects = []
            for source in sources_of(test):
                compiled = object_in(kept, source, mode, part)
                if mutant is not None and includes(compiled, find(ROOT, mutant.file)):
                    compiled = object_in(tree, source, mode, part)
                    compile_source(tree, source, mode, part, compiled)
                objects.append(str(compiled))
            program = tree / mode
            subprocess.run(["g++", *MODES[mode], *objects, "-pthread", "-o", str(program)], check=True)
            what = run(program, test, mode)
            if what:
                return mode, what
    return "", ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="", help="mutants whose name contains this")
    choices = [*TESTS, PTX]
    parser.add_argument("--test", choices=choices, nargs="+", default=choices, help="mutants of these tests")
    arguments = parser.parse_args()
    chosen = [m for m in MUTANTS if arguments.only in m.name and m.test in arguments.test]
    if shutil.which(os.environ.get("CUDACXX", "nvcc")) is None and any(m.test == PTX for m in chosen):
        print("no nvcc (CUDACXX, PATH): the mutants of what only it compiles are left out")
        chosen = [m for m in chosen if m.test != PTX]
    for mutant in chosen:
        text = find(ROOT, mutant.file).read_text()
        if text.count(mutant.old) != 1:
            raise SystemExit(f"{mutant.name}: its text is {text.count(mutant.old)} times in {mutant.file}")
    caught = dict.fromkeys([*MODES, PTX], 0)
    survivors = []
    with tempfile.TemporaryDirectory() as name, concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        kept = pathlib.Path(name)
        tests = [test for test in choices if any(m.test == test for m in chosen)]
        programs = [test for test in tests if test != PTX]
        needed = {(source, *way) for test in programs for way in ways_of(test) for source in sources_of(test)}
        objects = {object_in(kept, *one): one for one in sorted(needed)}
        list(pool.map(lambda out: compile_source(ROOT, *objects[out], out), objects))
        for test, (mode, what) in zip(tests, pool.map(lambda test: judge(test, kept), tests), strict=True):
            if mode:
                raise SystemExit(f"the kernels as they are fail {test} ({mode}): {what}")
        verdicts = pool.map(lambda m: judge(m.test, kept, m), chosen)
        for mutant, (mode, what) in zip(chosen, verdicts, strict=True):
            print(f"{mode or 'SURVIVES':8} {mutant.name}: {what}", flush=True)
            if mode:
                caught[mode] += 1
            else:
                survivors.append(mutant.name)
    counts = ", ".join(f"{count} by {mode}" for mode, count in caught.items())
    print(f"{len(chosen)} mutants: {counts}; {len(survivors)} survive")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
