"""What is installed besides Python: two shared objects, whose symbols decide on which systems they load; notices."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastrnn
from fastrnn import _core

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into ELF files")
needs_binutils = pytest.mark.skipif(shutil.which("readelf") is None, reason="no readelf (binutils)")

MODULE = Path(_core.__file__)
(LIBRARY,) = Path(fastrnn.__file__).parent.glob("lib/libfastrnn.so.*")
OBJECTS = pytest.mark.parametrize("path", [MODULE, LIBRARY], ids=["module", "library"])

# The newest of GCC 11, and of the glibc of its Ubuntu (22.04) and of manylinux_2_34.
NEWEST = {"GLIBCXX": (3, 4, 29), "CXXABI": (1, 3, 13), "GLIBC": (2, 34)}


def readelf(option: str, path: Path) -> str:
    return subprocess.run(["readelf", "-W", option, str(path)], capture_output=True, text=True, check=True).stdout


@needs_binutils
@OBJECTS
def test_the_libraries_of_gcc_11_are_new_enough(path):
    wanted = re.findall(r"Name: (GLIBCXX|CXXABI|GLIBC)_([0-9.]+) ", readelf("--version-info", path))
    assert {name for name, _ in wanted} == set(NEWEST)
    for name, version in wanted:
        assert tuple(map(int, version.split("."))) <= NEWEST[name], f"{path.name} needs {name}_{version}"


@needs_binutils
@OBJECTS
def test_symbols_are_bound_at_load_and_read_only_then(path):
    assert re.search(r"\(FLAGS_1\).*\bNOW\b", readelf("--dynamic", path))
    assert "GNU_RELRO" in readelf("--program-headers", path)


@needs_binutils
@OBJECTS
def test_the_stack_is_protected_and_not_executable(path):
    assert "__stack_chk_fail" in readelf("--dyn-syms", path)
    assert re.search(r"GNU_STACK .* RW ", readelf("--program-headers", path))


@needs_binutils
def test_the_module_exports_its_initialiser_alone():
    defined = [line.split() for line in readelf("--dyn-syms", MODULE).splitlines() if re.match(r" +\d+: ", line)]
    assert [row[7] for row in defined if row[6] != "UND"] == ["PyInit__core"]


def test_the_notices_of_what_is_compiled_in_are_installed():
    files = importlib.metadata.files("fastrnn")
    assert files is not None
    texts = {file.name: file.read_text() for file in files if "licenses" in file.parts}
    assert set(texts) == {"LICENSE", "THIRD-PARTY-NOTICES"}
    assert "Wenzel Jakob" in texts["THIRD-PARTY-NOTICES"]


@pytest.mark.skipif(shutil.which("pkg-config") is None, reason="no pkg-config")
def test_pkg_config_finds_the_library_in_the_package():
    folder = LIBRARY.parent / "pkgconfig"
    found = subprocess.run(
        ["pkg-config", "--cflags", "--libs", str(folder / "fastrnn.pc")], capture_output=True, text=True, check=True
    ).stdout.split()
    flags = {word[:2]: word[2:] for word in found}
    assert (Path(flags["-I"]) / "fastrnn" / "fastrnn.h").is_file()
    assert (Path(flags["-L"]) / flags["-l"].removeprefix(":")).samefile(LIBRARY)
    assert Path(flags["-W"].removeprefix("l,-rpath,")).samefile(LIBRARY.parent)  # what is linked by it finds it, too
