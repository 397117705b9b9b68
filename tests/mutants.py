"""Breaks the library one small piece at a time and asks whether the tests notice.

    python -m tests.mutants [--ci] [--kind KIND...] [--only PART-OF-A-NAME...] [--list]

A mutant of tests/support/mutant_list.py is one replacement in one file, and names the tests that have to notice it. A
mutant that they pass survives, and the exit status says so. Text that is no longer in its file, or there more than
once, is an error, and so is a mutant that does not compile or a test that fails without one.

Everything happens in copies under build/mutants: of the tree; of a build of it with the portable and the AVX2 kernels
at -O1, in which a mutant compiles again what includes its file; and of the installed package, which has to be of this
tree. A mutant of a Python file needs no build.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable

from tests.support.mutant_list import KINDS, MUTANTS, Mutant
from tests.support.tree import ROOT

WORK = ROOT / "build" / "mutants"
TREE, BUILD, BUILT, PACKAGE = (WORK / name for name in ("tree", "build", "built", "package"))
OPTIONS = [
    "-DCMAKE_BUILD_TYPE=Release",
    "-DCMAKE_CXX_FLAGS_RELEASE=-O1",
    "-DFASTRNN_KERNEL_OPTIMISATION=-O1",
    "-DFASTRNN_UNITY=OFF",  # a mutant compiles its file alone
    "-DFASTRNN_AVX512=OFF",
    "-DFASTRNN_CUDA=OFF",
    "-DFASTRNN_TESTS=ON",
]
SECONDS, TOO_LONG = 600, 124  # for the tests of one mutant: with some of them a test waits for ever


def mirror(source: pathlib.Path, target: pathlib.Path, files: Iterable[pathlib.Path] | None = None) -> None:
    """Make `target` a copy of `source`, or of some of its files, with their times, which a build goes by."""
    wanted = {path.relative_to(source) for path in files or source.rglob("*") if path.is_file() or path.is_symlink()}
    for path in sorted(target.rglob("*")):
        if (path.is_file() or path.is_symlink()) and path.relative_to(target) not in wanted:
            path.unlink()
    for name in wanted:
        old, new = (folder / name for folder in (target, source))
        if old.exists() and (old.stat().st_mtime_ns, old.stat().st_size) == (
            new.stat().st_mtime_ns,
            new.stat().st_size,
        ):
            continue
        old.parent.mkdir(parents=True, exist_ok=True)
        old.unlink(missing_ok=True)
        shutil.copy2(new, old, follow_symlinks=False)


def tracked() -> list[pathlib.Path]:
    """The files of the tree, new ones that are not ignored included."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return [ROOT / name for name in dict.fromkeys(names) if (ROOT / name).is_file()]


def find(name: str, files: list[pathlib.Path], *folders: str) -> pathlib.Path:
    """The one file of this name, which may include folders, below `folders`; not of CUDA, which has its own mutants."""
    found = [path.relative_to(ROOT) for path in files if f"/{path}".endswith(f"/{name}")]
    found = [path for path in found if path.parts[0] in folders and "cuda" not in path.parts]
    if len(found) != 1:
        raise SystemExit(f"{name}: expected one such file, got {[str(path) for path in found]}")
    return found[0]


def configure(with_bindings: bool) -> None:
    bindings = ["-DFASTRNN_PYTHON=OFF"]
    for left in BUILD.glob("_core*.so"):  # left by an earlier run, perhaps of another tree
        left.unlink()
    if with_bindings:
        where = subprocess.run(
            [sys.executable, "-m", "pybind11", "--cmakedir"], capture_output=True, text=True, check=True
        )
        bindings = [
            "-DFASTRNN_PYTHON=ON",
            f"-Dpybind11_DIR={where.stdout.strip()}",
            f"-DPython_EXECUTABLE={sys.executable}",
        ]
    command = ["cmake", "--fresh", "-S", str(TREE), "-B", str(BUILD), "-G", "Ninja", *OPTIONS, *bindings]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def make_package() -> None:
    """The package that tests import: what is installed, the tree's Python files and what was built."""
    spec = importlib.util.find_spec("fastrnn")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("fastrnn is not installed")
    installed = pathlib.Path(spec.submodule_search_locations[0])
    mirror(installed, PACKAGE / "fastrnn")
    update_package()


def update_package() -> None:
    package = PACKAGE / "fastrnn"
    for path in (TREE / "python" / "fastrnn").rglob("*.py"):
        copy = package / path.relative_to(TREE / "python" / "fastrnn")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    for built in (*BUILD.glob("_core*.so"), *BUILD.glob("libfastrnn.so.*")):
        copy = package / built.name if built.name.startswith("_core") else package / "lib" / built.name
        copy.unlink(missing_ok=True)
        shutil.copyfile(built, copy)


def run_tests(tests: list[str]) -> tuple[bool, str]:
    """Whether all pass, and the name of the first that fails, if pytest could still print it."""
    for test in (name for name in tests if name.endswith(".cc")):
        program = BUILD / "tests" / "native" / pathlib.Path(test).stem
        if run([str(program)]).returncode != 0:
            return False, test
    python = [test for test in tests if not test.endswith(".cc")]
    if not python:
        return True, ""
    done = run([sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--tb=line", *python])
    if done.returncode not in (0, 1, -signal.SIGABRT, -signal.SIGSEGV, -signal.SIGFPE, TOO_LONG):
        raise SystemExit(f"pytest {' '.join(python)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    failed = re.search(r"^(?:FAILED|ERROR) (.*?)(?: - .*)?$", done.stdout, re.MULTILINE)
    return done.returncode == 0, failed[1] if failed else ""


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        return subprocess.run(
            command, cwd=TREE, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, TOO_LONG, "", "")


class Runner:
    def __init__(self, mutants: list[Mutant], jobs: int) -> None:
        self.jobs = jobs
        self.files = tracked()
        self.paths = {mutant.name: find(mutant.file, self.files, "csrc", "python") for mutant in mutants}
        counts = {m: (ROOT / self.paths[m.name]).read_text().count(m.old) for m in mutants}
        lost = [f"{m.name}: its text is {n} times in {self.paths[m.name]}" for m, n in counts.items() if n != 1]
        if lost:
            raise SystemExit("\n".join(lost))
        self.bindings = any(self.target(mutant) == "_core" for mutant in mutants)
        self.native = any(self.target(mutant) for mutant in mutants)

    def target(self, mutant: Mutant) -> str:
        """What has to be built."""
        path = self.paths[mutant.name].as_posix()
        return "" if path.endswith(".py") else "_core" if path.startswith("csrc/python/") else "fastrnn"

    def tests_of(self, mutant: Mutant) -> list[str]:
        """The tests that have to notice it, as pytest names them; a .cc is a native test."""
        names = (test.partition("::") for test in mutant.tests.split())
        return [f"{find(name, self.files, 'tests').as_posix()}{colons}{test}" for name, colons, test in names]

    def build(self, targets: list[str]) -> bool:
        """Whether the copied tree's targets compile."""
        if not targets:
            return True
        command = ["cmake", "--build", str(BUILD), "--target", *targets, "--", f"-j{self.jobs}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            print(done.stdout[-3000:], done.stderr[-3000:])
        return done.returncode == 0

    def prepare(self) -> None:
        mirror(ROOT, TREE, self.files)
        if self.native:
            configure(self.bindings)
            if not self.build(["_core" if self.bindings else "fastrnn"]):
                raise SystemExit("the tree as it is does not compile")
            mirror(BUILD, BUILT)
        make_package()

    def judge(self, mutant: Mutant) -> tuple[bool, str]:
        """What run_tests says of the mutant."""
        path, target, tests = self.paths[mutant.name], self.target(mutant), self.tests_of(mutant)
        (TREE / path).write_text((ROOT / path).read_text().replace(mutant.old, mutant.new))
        try:
            if target and not self.build([target, *native_targets(tests)]):
                raise SystemExit(f"{mutant.name} does not compile")
            update_package()
            return run_tests(tests)
        finally:
            shutil.copy2(ROOT / path, TREE / path)
            if target:
                mirror(BUILT, BUILD)
            update_package()


def native_targets(tests: list[str]) -> list[str]:
    return [pathlib.Path(test).stem for test in tests if test.endswith(".cc")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ci", action="store_true", help="the few that CI runs")
    parser.add_argument("--kind", choices=KINDS, nargs="+", default=list(KINDS), help="mutants of these kinds")
    parser.add_argument("--only", nargs="+", default=[""], help="mutants whose name or file contains one of these")
    parser.add_argument("--list", action="store_true", help="names them, and runs nothing")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="for the compiler")
    arguments = parser.parse_args()
    chosen = [m for m in MUTANTS if m.kind in arguments.kind and (m.ci or not arguments.ci)]
    chosen = [m for m in chosen if any(part in m.name or part in m.file for part in arguments.only)]
    runner = Runner(chosen, arguments.jobs)
    if arguments.list:
        print(*(f"{m.kind:7} {m.file}: {m.name}" for m in chosen), sep="\n")
        return 0
    runner.prepare()
    survivors, witnesses = 0, []
    for mutant in chosen:
        begin = time.monotonic()
        passed, failed = runner.judge(mutant)
        survivors += passed
        verdict = "SURVIVES" if passed else "caught"
        print(f"{verdict:8} {mutant.name} ({mutant.file}, {time.monotonic() - begin:.0f} s): {failed}", flush=True)
        if not passed:
            witnesses += [failed] if failed else runner.tests_of(mutant)
    witnesses = list(dict.fromkeys(witnesses))
    if runner.native:
        runner.build(native_targets(witnesses))
    passed, failed = run_tests(witnesses)
    if not passed:
        raise SystemExit(f"without any mutant fails, too: {failed}")
    print(f"{len(chosen)} mutants: {survivors} survive")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
