"""The house stands as it is drawn: arrows between its folders point down, and nowhere is there a circle.

Includes and imports are read as text. A folder may use itself, and what its row names; a folder that has no row
belongs to the nearest one above it that has. ARCHITECTURE.md draws the same.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.tree import ROOT

PACKAGE = ROOT / "python" / "fastrnn"

# Folder of csrc -> the folders that it may include, from the ground up.
_BACKEND = ["include", "cells", "core/base", "core/backend"]
_CORE = [*_BACKEND, "core/weights", "core/layer"]
_CUDA = [*_BACKEND, "cuda/shared"]
_BINDINGS = ["include", "cells", "core/base", "python", "python/interpreter", "python/arrays"]
CSRC = {
    "include": [],
    "cells": ["include"],
    "core/base": ["include", "cells"],  # cells: the words that mark functions for both host and device
    "core/backend": ["include", "cells", "core/base"],
    "core/weights": _BACKEND,
    "core/layer": [*_BACKEND, "core/weights"],
    "core/stack": _CORE,
    "core/model": _CORE,
    "core/stream": [*_CORE, "core/model"],
    "core/api": ["include", "core/backend"],
    "cpu": _BACKEND,
    "cuda/shared": _BACKEND,
    "cuda/kernels": _CUDA,
    "cuda/runtime": _CUDA,
    "cuda/plan": [*_CUDA, "cuda/runtime"],
    "cuda/run": [*_CUDA, "cuda/plan"],
    "python/interpreter": ["include"],
    "python/arrays": ["include", "python/interpreter"],
    "python": ["include", "cells", "core/base", "python/interpreter", "python/arrays"],
    "python/weights": _BINDINGS,
    "python/sequences": [*_BINDINGS, "python/weights"],
    "python/streams": [*_BINDINGS, "python/weights"],
}

# Package or module of fastrnn -> what it may import, likewise. Two that are alike share a row.
_FILES = ["_file_writing", "_file_reading"]
_GROUND = ["_core", "_typing", "_registry", "_hints", "_log", *_FILES, "_threads", "_packed", "config", "parameters"]
_TOOLS = [*_GROUND, "activations", "initializers", "regularizers", "schedules", "functional"]
_NOUNS = [*_TOOLS, "losses", "metrics", "callbacks", "layers", "optimizers", "data"]
WING = {
    "_typing": [],
    "_core": [],
    "_packed": [],
    "config": [],
    "parameters": ["_packed"],
    "_hints": [],
    "_acceleration": [],
    "_log": [],
    "_file_writing": [],
    "_file_reading": ["_file_writing", "_typing"],
    "_threads": ["_core"],
    "_registry": ["_typing", "_hints"],
    "system": ["_core", "_threads"],
    "activations": _GROUND,
    "initializers": _GROUND,
    "regularizers": _GROUND,
    "schedules": _GROUND,
    "data": _GROUND,
    "functional": ["_core", "_typing", "_hints"],
    "losses": _TOOLS,
    "metrics": [*_TOOLS, "losses"],
    "callbacks": _TOOLS,
    "layers": _TOOLS,
    "optimizers": _TOOLS,
    "training": _NOUNS,
    "_summary": ["layers"],
    "model": [*_NOUNS, "training", "_summary"],
    "saving": [*_NOUNS, "training", "model"],
    "reference": [],
    "scoring": ["_core", "_typing"],
    # Faces: modules that people import, which only hand names on.
    "io": ["saving"],
    "recurrent_layers": ["layers"],
    # Doors: each may use all of the wing, and nothing of the wing uses one.
    "sktime": [*_NOUNS, "sklearn"],
    "plot": _NOUNS,
    "interop": [*_NOUNS, "training", "model", "saving", "system"],
    "serve": ["_core", "_typing", "interop", "model"],
    "cli": [*_NOUNS, "interop", "plot", "training", "model", "saving", "system", "serve"],
    "sklearn": [*_NOUNS, "model"],
    "torch": [*_TOOLS, "_acceleration"],
    "distributed": ["_typing", "training"],
    "keras": [*_NOUNS, "torch", "interop", "_acceleration"],
    "__main__": ["cli"],
}
# Methods that hand over to the packages above them: `model.save(path)` is a name for `save_model(model, path)`.
HANDED_UP = {("model", "saving"), ("model", "io"), ("callbacks", "plot")}


def _row(path: str, table: dict[str, list[str]]) -> str | None:
    """The longest folder of the table that holds the path."""
    parts = path.split("/")
    for n in range(len(parts), 0, -1):
        if "/".join(parts[:n]) in table:
            return "/".join(parts[:n])
    return None


def _includes(root: Path) -> Iterator[tuple[str, str]]:
    """File below csrc, and the file below csrc that it includes."""
    names = {p.name: p for p in root.rglob("*") if p.suffix == ".h"}
    for path in sorted(p for p in root.rglob("*") if p.suffix in (".h", ".hpp", ".cc", ".cu")):
        for name in re.findall(r'^\s*#\s*include "([^"]+)"', path.read_text(), re.M):
            target = next((t for t in (path.parent / name, root / name, root / "include" / name) if t.exists()), None)
            if target is None and Path(name).name in names:
                target = names[Path(name).name]
            if target is not None:  # else of the emulation in tests
                yield str(path.relative_to(root)), str(target.resolve().relative_to(root))


def _imports(package: Path) -> Iterator[tuple[str, str]]:
    """Module of the package, and the module of the package that it imports, both with slashes."""
    for path in sorted(package.rglob("*.py")):
        module = path.relative_to(package).with_suffix("").parts
        inside = module[:-1]
        if module == ("__init__",):  # hands names on
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ImportFrom) or not node.level:
                continue
            base = [*inside[: len(inside) - node.level + 1], *(node.module or "").split(".")]
            base = [part for part in base if part]
            for alias in node.names:
                target = (
                    [*base, alias.name] if (package / Path(*base) / f"{alias.name}.py").exists() or not base else base
                )
                if (target != ["__version__"] and (package / target[0]).exists()) or (
                    package / f"{target[0]}.py"
                ).exists():
                    yield "/".join(module), "/".join(target)
                elif target[0] == "_core":
                    yield "/".join(module), "_core"


def broken(arrows: Iterator[tuple[str, str]], table: dict[str, list[str]]) -> list[str]:
    """Arrows that the table does not have."""
    wrong = []
    for source, target in arrows:
        a, b = _row(source, table), _row(target, table)
        if a is None or b is None:
            wrong.append(f"{source if a is None else target} stands in no folder of the plan")
        elif a != b and b not in table[a] and (a, b) not in HANDED_UP:
            wrong.append(f"{source} uses {target}: {a} may not use {b}")
    return wrong


def circle(arrows: Iterator[tuple[str, str]]) -> list[str]:
    """Files that include each other in a circle; empty if there is none."""
    graph: dict[str, set[str]] = {}
    for source, target in arrows:
        graph.setdefault(source, set()).add(target)
    done: set[str] = set()

    def visit(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for target in sorted(graph.get(node, ())):
            found = visit(target, [*path, node])
            if found:
                return found
        done.add(node)
        return []

    for node in sorted(graph):
        found = visit(node, [])
        if found:
            return found
    return []


@pytest.mark.parametrize("table", [CSRC, WING], ids=["csrc", "python"])
def test_the_plan_itself_has_no_circle(table):
    assert circle((a, b) for a, row in table.items() for b in row) == []


def test_includes_point_down():
    assert broken(_includes(ROOT / "csrc"), CSRC) == []


def test_no_header_includes_itself_by_others():
    assert circle(_includes(ROOT / "csrc")) == []


def test_imports_point_down():
    assert broken(_imports(PACKAGE), WING) == []


def test_an_arrow_up_and_a_circle_are_found(tmp_path):
    (tmp_path / "cells").mkdir()
    (tmp_path / "core" / "layer").mkdir(parents=True)
    (tmp_path / "cells" / "lstm.h").write_text('#include "core/layer/layer.h"\n')
    (tmp_path / "core" / "layer" / "layer.h").write_text('#include "cells/lstm.h"\n')
    assert broken(_includes(tmp_path), CSRC) == [
        "cells/lstm.h uses core/layer/layer.h: cells may not use core/layer",
    ]
    assert circle(_includes(tmp_path)) == ["cells/lstm.h", "core/layer/layer.h", "cells/lstm.h"]
    package = tmp_path / "fastrnn"
    package.mkdir()
    (package / "losses.py").write_text("from .model import Sequential\n")
    (package / "model.py").write_text("from .losses import get\n")
    assert broken(_imports(package), WING) == ["losses uses model: losses may not use model"]


def test_no_folder_is_too_long():
    """Twenty files are many, thirty too many: a folder tells what is in it."""
    long = {}
    for top in (ROOT / "csrc", PACKAGE):
        for folder in [top, *(p for p in top.rglob("*") if p.is_dir() and p.name != "__pycache__")]:
            count = sum(p.is_file() and p.suffix in (".h", ".hpp", ".cc", ".cu", ".py") for p in folder.iterdir())
            if count > 30:
                long[str(folder.relative_to(ROOT))] = count
    assert long == {}


def _borrowed(tests: Path) -> list[str]:
    """Imports of a test by a module of `tests`; what several tests need belongs into tests/support."""
    wrong = []
    for path in sorted(tests.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            module = (node.module or "").split(".") if isinstance(node, ast.ImportFrom) else []
            if any(part.startswith("test_") for name in names for part in (*module, *name.split("."))):
                wrong.append(f"{path.relative_to(tests)}, line {node.lineno}")
    return wrong


def test_no_test_imports_from_a_test(tmp_path):
    assert _borrowed(ROOT / "tests") == []
    (tmp_path / "test_one.py").write_text("import json\nfrom tests.model.test_fit import fitted\nimport test_two\n")
    assert _borrowed(tmp_path) == ["test_one.py, line 2", "test_one.py, line 3"]


# ---- Names of cells and gates stand in csrc/cells alone.

CELLS = ROOT / "csrc" / "cells"
# Defaults of structures that callers fill.
_DEFAULTS = {"CellType cell = CellType::lstm;", "cells::Kind kind = cells::Kind::lstm;"}


def _cells() -> re.Pattern[str]:
    """A cell by its kind, type or structure, or a gate of one. Macros over the list paste `cells::Kind::name`."""
    rows = re.findall(r"\bX\((\w+), +(\w+)\)", (CELLS / "list.h").read_text())
    assert len(rows) >= 10
    kinds, structures = "|".join(row[0] for row in rows), "|".join(row[1] for row in rows)
    spaces = "|".join(re.findall(r"^namespace (\w+) \{", "".join(p.read_text() for p in CELLS.glob("*.h")), re.M))
    return re.compile(rf"\bKind::(?:{kinds})\b|\bCellType::\w+|\b(?:{structures}|{spaces})::[A-Z]\w*")


def named_cells(text: str) -> list[str]:
    """Lines that name a cell or a gate."""
    named = _cells()
    lines = (line.split("//")[0].strip() for line in text.splitlines())
    return [line for line in lines if named.search(line) and line not in _DEFAULTS]


def test_nothing_outside_cells_names_a_cell_or_a_gate():
    found = {
        str(path.relative_to(ROOT)): lines
        for path in (ROOT / "csrc").rglob("*")
        if path.suffix in (".h", ".cc", ".cu", ".hpp") and CELLS not in path.parents
        for lines in [named_cells(path.read_text())]
        if lines
    }
    assert found == {}


def test_a_name_of_a_cell_is_found():
    found = [
        "if (kind == cells::Kind::lstm_full) return;",
        "bias[cells::lstm::F] = 1;",
        "const V f = u.saved(Mgu::F);",
        "if (options.cell == CellType::gru) return;",
    ]
    assert named_cells("  // no\n".join(found)) == found
    assert named_cells("// Kind::rnn\nstd::size(kCellNames)\nKind::recurrent\ncells::Lstm::forward<0>(u)") == []


def test_no_test_file_is_too_long():
    """A file of tests is about one subject; one of more lines is cut."""
    lines = {path: path.read_text().count("\n") for path in (ROOT / "tests").rglob("*.py")}
    assert {str(path.relative_to(ROOT)): count for path, count in lines.items() if count > 450} == {}
