"""The site in docs/: every page can be reached, every public name is described, and the gates are those of the table.

That its links lead somewhere is for ``python -m sphinx -W``, which `nox -s docs` runs; here nothing but text is read.
"""

import importlib.util
import re

import pytest

import fastrnn
from fastrnn.interop.conventions import CANONICAL, CONVENTIONS
from tests.support.tree import ROOT

DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference" / "api"


def pages_below(page: str) -> set[str]:
    """The pages that the toctrees of `page` name, and those below them."""
    path = DOCS / f"{page}.md"
    named = re.findall(r"^```{toctree}\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    lines = [line for block in named for line in block.splitlines() if line and not line.startswith(":")]
    children = {(path.parent / line).resolve().relative_to(DOCS).as_posix() for line in lines}
    return children.union(*map(pages_below, children))


def test_every_page_is_reached():
    pages = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")}
    assert pages_below("index") | {"index"} == pages


def test_every_picture_is_shown():
    pages = [ROOT / "README.md", ROOT / "bench" / "README.md", *DOCS.rglob("*.md")]
    text = "".join(path.read_text(encoding="utf-8") for path in pages)
    assert [path.name for path in DOCS.rglob("*.png") if path.name not in text] == []


def test_every_public_name_is_described():
    described = set(re.findall(r"auto(?:function|class):: fastrnn\.(\w+)$", reference(), re.MULTILINE))
    described |= {"__version__", *fastrnn.layers.__all__, *fastrnn.io.__all__}  # of which whole modules are described
    assert set(fastrnn.__all__) - described == set()


MODULES = ["callbacks", "data", "layers", "losses", "metrics", "optimizers", "plot", "schedules"]


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_described(module):
    assert f"automodule:: fastrnn.{module}\n" in reference()


def reference() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(REFERENCE.glob("*.md")))


def test_every_function_of_c_is_described():
    pytest.importorskip("sphinx")
    spec = importlib.util.spec_from_file_location("header_texts", DOCS / "header_texts.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    header = (ROOT / "csrc" / "include" / "fastrnn" / "fastrnn.h").read_text(encoding="utf-8")
    found = module.entries(header)
    functions = [line for entry in found if entry.kind == "function" for line in entry.declarations]
    # Each FASTRNN_API, with as many arguments as are written there.
    declared = re.findall(r"^FASTRNN_API\b([^;]*);", header, re.MULTILINE)
    assert functions == [" ".join(text.split()) for text in declared]
    assert {entry.kind for entry in found} == {"section", "function", "type", "enum", "struct", "macro"}
    (options,) = (entry for entry in found if entry.declarations == ["fastrnn_model_options"])
    assert [declaration for _, declaration, _ in options.members] == [
        "fastrnn_precision precision",
        "int fast_activations",
    ]
    assert not [entry for entry in found if "*/" in entry.text or "/*" in entry.text]


def test_the_gallery_has_every_example():
    shown = re.findall(r"^\.\. example:: (\w+)$", (DOCS / "gallery.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(shown) == sorted(path.stem for path in (ROOT / "examples").glob("*.py"))


def test_the_gates_are_those_by_which_files_are_read():
    text = (DOCS / "reference" / "equations.md").read_text(encoding="utf-8")
    table = re.search(r"^\| framework \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert table is not None
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines()]
    said = {row[0]: dict(zip(("rnn", "lstm", "gru"), row[1:4], strict=True)) for row in rows}
    expected = {"fastrnn": CANONICAL}
    expected |= {name: {cell: row.gates for cell, row in cells.items()} for name, cells in CONVENTIONS.items()}
    assert said == {
        name: {cell: ", ".join(gates.get(cell, "")) for cell in ("rnn", "lstm", "gru")}
        for name, gates in expected.items()
    }
