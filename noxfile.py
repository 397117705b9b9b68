"""The project's tasks, one word each: ``nox -s lint``. What follows ``--`` goes on to the tool.

Pins stand in pyproject.toml, flags here; `.ci/run`, pre-commit and people call the same. With ``--no-venv`` a session
adds what it needs to the environment that it runs in, where the package is installed already.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import time
import zlib
from pathlib import Path

import nox
from nox.command import CommandFailed

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["lint", "tests"]
nox.options.reuse_existing_virtualenvs = True

PROJECT = nox.project.load_toml("pyproject.toml")
EXTRAS = PROJECT["project"]["optional-dependencies"]
LARGEST = 3  # megabytes of a wheel
# The part of the tests that a release runs with what is installed; cibuildwheel runs the same.
WHEELS = PROJECT["tool"]["cibuildwheel"]
RELEASED = WHEELS["test-command"].replace("{project}/", "").split()[2:]
# The part that runs under an emulator, in which a test takes ten to twenty times as long.
EMULATED = (
    "package/test_system",
    "functional/test_functional",
    "functional/test_gradients",
    "functional/test_precision",
    "layers/test_recurrent_layers",
    "streams/test_session",
    "saving/test_io",
    "native/test_disassembly",
)
CPP = ("*.h", "*.hpp", "*.cc", "*.c", "*.cu")


def install(session: nox.Session, *requirements: str) -> None:
    """What a session needs, also into an environment that is not its own."""
    session.run("python", "-m", "pip", "install", "--quiet", *requirements, silent=True)


def package(session: nox.Session, *extras: str) -> None:
    """fastrnn and its extras; where it is installed already, in an environment not the session's own, the extras."""
    what = "fastrnn" if isinstance(session.virtualenv, nox.virtualenv.PassthroughEnv) else "."
    install(session, f"{what}[{','.join(extras)}]")


def output(session: nox.Session, *command: str) -> str:
    """What the command prints."""
    return str(session.run(*command, external=True, silent=True, log=False))


def tracked(session: nox.Session, *patterns: str) -> list[str]:
    """The files of the tree whose names match."""
    return output(session, "git", "ls-files", *patterns).split()


@nox.session
def tests(session: nox.Session) -> None:
    """pytest: a chosen part in minutes, all of it with ``-- --full``."""
    package(session, "test", "serve")
    install(session, "cmake", "ninja")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def doors(session: nox.Session) -> None:
    """What needs a framework: conformance with ONNX, PyTorch and Keras, the doors and their pages."""
    package(session, "test", "conformance")
    # One that is missing would skip its suite.
    session.run("python", "-c", "import keras, onnx, onnxruntime, torch", env={"KERAS_BACKEND": "torch"})
    session.run("python", "-m", "pytest", "--full", "tests/conformance", "tests/doors", *session.posargs)
    session.run("python", "-m", "pytest", "-q", "tests/tree/test_readme.py", "-k", "snippets")


@nox.session
def frameworks(session: nox.Session) -> None:
    """What is too large for every run: Keras on TensorFlow, sktime, and the examples with PyTorch and Gymnasium."""
    package(session, "test", "conformance", "sktime")
    install(session, "tensorflow-cpu", "gymnasium")
    session.run("pytest", "--full", "tests/doors/test_keras_tensorflow.py", env={"KERAS_BACKEND": "tensorflow"})
    session.run(
        "pytest", "--full", "tests/doors/test_sktime.py", "tests/doors/test_torch_examples.py", *session.posargs
    )


@nox.session
def serve(session: nox.Session) -> None:
    """The service with what it can stand beside; from Debian, `apt-get install redis-server haproxy chromium`."""
    package(session, "test", "serve")
    install(session, "playwright")
    if missing := [name for name in ("redis-server", "haproxy", "chromium") if shutil.which(name) is None]:
        session.error(f"there is no {', '.join(missing)}; it would skip its tests")
    session.run("python", "-m", "pytest", "--full", "tests/serve", *session.posargs)


@nox.session
def clusters(session: nox.Session) -> None:
    """The recipes for Ray, Dask, Spark, Arrow and Optuna on the real engines, on this machine; Spark needs a Java."""
    package(session, "test", "clusters")
    session.run("python", "-c", "import dask, optuna, pyspark, ray")  # what is missing would skip its test
    session.run("java", "-version", external=True)
    session.run("pytest", "--full", "tests/doors/test_cluster_engines.py", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Rules, formats and types; nothing is compiled."""
    install(session, "numpy", *EXTRAS["lint"])
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("python", "-m", "mypy")
    session.log("clang-format over all C++ and CUDA")
    session.run("clang-format", "--dry-run", "-Werror", *tracked(session, *CPP), log=False)


@nox.session
def tidy(session: nox.Session) -> None:
    """clang-tidy over every file that CMake compiles, or over those named; ``-- --minutes 3`` stops when they are over.

    First come the files that differ from the commit before, then the others in an order that the commit decides.
    """
    install(session, "cmake", "ninja", "pybind11", *EXTRAS["tidy"])
    minutes, named = float("inf"), list(session.posargs)
    if named[:1] == ["--minutes"]:
        minutes, named = float(named[1]), named[2:]
    pybind11 = output(session, "python", "-m", "pybind11", "--cmakedir").strip()
    session.run("cmake", "--fresh", "--preset", "tidy", f"-Dpybind11_DIR={pybind11}", silent=True)
    files, bad, seen, begin = named or _in_turn(session), [], 0, time.monotonic()
    while seen < len(files) and time.monotonic() - begin < 60 * minutes:
        try:
            output(session, "clang-tidy", "-p", "build/tidy", "--quiet", "--warnings-as-errors=*", files[seen])
        except CommandFailed:  # which has printed what was found
            bad.append(files[seen])
        seen += 1
    session.log(f"{seen} of {len(files)} files in {time.monotonic() - begin:.0f} s")
    if bad:
        session.error(f"not clean: {' '.join(bad)}")


def _in_turn(session: nox.Session) -> list[str]:
    """Every file that CMake compiles, once."""
    compiled = {entry["file"] for entry in json.loads(Path("build/tidy/compile_commands.json").read_text())}
    files = [path for path in tracked(session, "*.cc", "*.c") if os.path.abspath(path) in compiled]
    commit = output(session, "git", "rev-parse", "HEAD")
    changed = set(output(session, "git", "log", "-1", "--format=", "--name-only").split())
    return sorted(files, key=lambda path: (path not in changed, zlib.crc32((commit + path).encode())))


def sanitized(session: nox.Session, preset: str) -> None:
    """Build and run the native tests of a preset; what follows ``--`` goes to ninja."""
    install(session, "cmake", "ninja")
    # Kernels that this machine cannot execute would be compiled for nothing.
    runs_avx512 = "avx512f" in Path("/proc/cpuinfo").read_text()
    # Afresh: an earlier run may have had another environment's ninja. What is compiled stays.
    session.run(
        "cmake", "--fresh", "--preset", preset, f"-DFASTRNN_AVX512={'ON' if runs_avx512 else 'OFF'}", silent=True
    )
    session.run("cmake", "--build", "--preset", preset, "--", *session.posargs)
    session.run("ctest", "--preset", preset)


@nox.session
def asan(session: nox.Session) -> None:
    """The native tests under AddressSanitizer and UndefinedBehaviorSanitizer."""
    sanitized(session, "asan")


@nox.session
def tsan(session: nox.Session) -> None:
    """The native tests under ThreadSanitizer."""
    sanitized(session, "tsan")


@nox.session
def aarch64(session: nox.Session) -> None:
    """aarch64 under an emulator: the wheel, the native tests, and of the others a part, or what follows ``--``.

    It takes Debian's cross-compiler and emulator, fetches its Python for aarch64, and tells nothing about speed.
    """
    packages = {"aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu", "qemu-aarch64": "qemu-user"}
    if missing := [package for program, package in packages.items() if shutil.which(program) is None]:
        session.error(f"expected a cross-compiler and an emulator: apt-get install {' '.join(missing)}")
    install(session, "cmake", "ninja")
    made = Path("build/aarch64-python").absolute()
    session.run("bash", "tests/native/aarch64/setup.sh", str(made), external=True)
    python, site = str(made / "root/usr/bin/python"), made / "root/usr/lib/python3/dist-packages"
    if not (site / "numpy").exists():
        needs = ("pip", "numpy", *PROJECT["build-system"]["requires"], *WHEELS["test-requires"])
        platforms = [f"--platform={name}_aarch64" for name in ("manylinux_2_28", "manylinux2014")]
        install(session, "--target", str(site), "--only-binary=:all:", "--python-version=3.11", *platforms, *needs)
    defines = {"FASTRNN_CUDA": "OFF", "FASTRNN_TESTS": "ON", "FASTRNN_WERROR": "ON"}
    defines["CMAKE_TOOLCHAIN_FILE"] = os.path.abspath("cmake/aarch64.cmake")
    settings = [f"--config-settings=cmake.define.{name}={value}" for name, value in defines.items()]
    settings.append("--config-settings=build-dir=build/aarch64")  # that of the preset
    # By Python for aarch64, which names the wheel; what it calls, CMake and compilers, is this machine's.
    pip = (python, "-m", "pip", "--disable-pip-version-check")
    wheel_of_here = ("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(made), *settings, ".")
    session.run(*pip, *wheel_of_here, external=True)
    (wheel,) = made.glob("*.whl")
    session.run(*pip, "install", "--quiet", "--no-deps", "--upgrade", "--target", str(site), str(wheel), external=True)
    session.run("ctest", "--test-dir", "build/aarch64", "--output-on-failure")
    part = ("--short", *(f"tests/{name}.py" for name in EMULATED))
    session.run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(session.posargs or part), external=True)


@nox.session
def cuda(session: nox.Session) -> None:
    """The CUDA backend for one target: it links, imports, has all kernels and says why there is no device.

    Nothing is run on a GPU, and little on the CPU: all is compiled as quickly as can be. Registers and spills, which
    depend on how it is optimised, are seen by tests/cuda/test_budget.py.
    """
    if not os.environ.get("CUDACXX") and not shutil.which("nvcc"):
        session.skip("no nvcc (CUDACXX, PATH)")
    package(session, "test")
    folder = "build/cuda-on"
    defines = {"FASTRNN_CUDA": "ON", "FASTRNN_CUDA_TARGETS": "90-real", "FASTRNN_AVX512": "OFF"}
    defines |= {f"FASTRNN_{part}_OPTIMISATION": "-O0" for part in ("KERNEL", "BINDINGS")}
    defines |= {"CMAKE_CXX_FLAGS_RELEASE": "-O0", "CMAKE_CUDA_FLAGS": "--Ofast-compile=max"}
    settings = [f"--config-settings=cmake.define.{name}={value}" for name, value in defines.items()]
    begin = time.monotonic()
    # What is kept there makes the next run a matter of what has changed.
    settings.append(f"--config-settings=build-dir={folder}/objects")
    install(session, "--no-deps", "--upgrade", "--target", f"{folder}/packages", *settings, ".")
    session.log(f"built in {time.monotonic() - begin:.0f} s")
    files = ("tests/cuda/test_device.py", "tests/cuda/test_plan.py")
    wanted = "device_that_is_not_there or devices_or_of_the_reason or missing_driver or kernels_of_the_build"
    found = {"PYTHONPATH": f"{folder}/packages"}
    session.run("python", "-m", "pytest", "-q", *files, "-k", wanted, *session.posargs, env=found)


@nox.session
def docs(session: nox.Session) -> None:
    """Docstrings validated, the site in build/site, its inner links checked."""
    package(session, "docs")
    session.run("python", "-m", "pytest", "-q", "tests/tree/test_docstrings.py")
    session.run("python", "-m", "sphinx", "-W", "--keep-going", *session.posargs, "docs", "build/site")


@nox.session
def links(session: nox.Session) -> None:
    """The outer links of the site, which takes a network; without one it says so."""
    try:
        socket.create_connection(("github.com", 443), timeout=10).close()
    except OSError as error:
        session.skip(f"no outer link can be asked: github.com does not answer ({error})")
    package(session, "docs")
    session.run("python", "-m", "sphinx", "-q", "-b", "linkcheck", *session.posargs, "docs", "build/links")


@nox.session
def release(session: nox.Session) -> None:
    """A release but for the uploading: sdist, the wheel that pip makes of it, what it needs, its parts, its tests.

    ``-- v0.1.0`` refuses a tag that is not the version, or a changelog that has not come to it; ``-- --full`` runs all
    tests with the wheel, not a part. Wheels for other systems are cibuildwheel's, in .github/workflows/release.yml.
    """
    install(session, "build", "auditwheel>=6", "cyclonedx-bom>=5")
    tags = [word for word in session.posargs if word != "--full"]
    version = _version(tags[0] if tags else None)
    made = Path("build/release")
    shutil.rmtree(made, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(made), env={"SKBUILD_CMAKE_DEFINE": "FASTRNN_CUDA=OFF"})
    (wheel,) = made.glob("*.whl")
    session.run("auditwheel", "show", str(wheel))
    megabytes = wheel.stat().st_size / 1e6
    session.log(f"{wheel.name}: {megabytes:.2f} MB of {LARGEST} MB")
    if megabytes > LARGEST:
        session.error("the wheel is too large")
    for name, numpy in (("newest", "numpy"), ("oldest", "numpy==1.24.*")):
        session.run("python", "-m", "venv", str(made / name))
        python = str(made / name / "bin" / "python")
        pip = (python, "-m", "pip", "install", "--quiet")
        session.run(*pip, str(wheel), numpy, external=True, silent=True)
        if name == "newest":
            _bill_of_materials(session, python, version)
        session.run(*pip, *WHEELS["test-requires"], external=True, silent=True)
        if name == "newest" and "--full" in session.posargs:
            session.run(*pip, f"{wheel}[test,serve]", "cmake", "ninja", external=True, silent=True)
            _all_tests(session, os.path.abspath(python))
        else:
            # The sources are in python/, where nothing looks: what is imported is what is installed.
            session.run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *RELEASED, external=True)


def _all_tests(session: nox.Session, python: str) -> None:
    """Run what `pytest --full` runs, with the wheel that `python` has, in the sdist's tree, where nothing was built."""
    made = Path("build/release")
    (sdist,) = made.glob("*.tar.gz")
    shutil.unpack_archive(sdist, made)
    found = {"PATH": os.pathsep.join([os.path.dirname(python), os.environ["PATH"]])}  # cmake and ninja
    with session.chdir(made / sdist.name.removesuffix(".tar.gz")):
        session.run(python, "-m", "pytest", "-q", "--full", env=found, external=True)


def _bill_of_materials(session: nox.Session, python: str, version: str) -> None:
    """Write what a user has who installs the wheel: CycloneDX's list, in sbom.json."""
    path = Path("build/release/sbom.json")
    session.run("cyclonedx-py", "environment", "--output-file", str(path), python)
    installed = {part["name"]: part["version"] for part in json.loads(path.read_text())["components"]}
    if installed.get("fastrnn") != version:
        session.error(f"the bill of materials has fastrnn {installed.get('fastrnn')}, not {version}")
    session.log(f"{path}: {', '.join(f'{name} {number}' for name, number in sorted(installed.items()))}")


def _version(tag: str | None) -> str:
    """That of the sources. ValueError if the changelog or the tag has another."""
    numbers = re.findall(r"VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", Path("csrc/include/fastrnn/version.h").read_text())
    version = ".".join(numbers)
    newest = re.search(r"^## (.*)$", Path("CHANGELOG.md").read_text(), re.MULTILINE)
    heading = "" if newest is None else newest[1]
    if heading.split(" ")[0] != version:
        raise ValueError(f"CHANGELOG.md: expected {version} first, as version.h has it, got {heading!r}")
    if tag is not None and (tag != f"v{version}" or "unreleased" in heading):
        raise ValueError(f"tag: expected v{version} and a changelog that says when, got {tag} and {heading!r}")
    return version


@nox.session
def bench(session: nox.Session) -> None:
    """Speed beside the peers: the short run, or what follows ``--`` (see bench/README.md)."""
    package(session, "bench")
    session.run("python", "-m", "bench.cpu", *(session.posargs or ["--quick"]))
