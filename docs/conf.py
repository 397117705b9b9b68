"""The site: ``python -m sphinx -W -b html docs build/site``; ``nox -s links`` asks its outer links.

Pages are Markdown, read by MyST. The API is read from docstrings, for which fastrnn has to be installed. Frameworks are
stood in for, so that the pages are the same wherever they are built.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx
from sphinx.ext.autodoc.mock import mock

import fastrnn

sys.path.insert(0, str(Path(__file__).parent))
from example_texts import Example
from header_texts import CHeader

with mock(["aiohttp", "keras", "pandas", "sklearn", "sktime", "tensorflow", "torch"]):
    import keras
    import sklearn
    import torch

    torch.__version__, keras.__version__, sklearn.__version__ = "2.4", "3.0", "1.6"
    keras.backend = SimpleNamespace(backend=lambda: "torch")
    keras.saving = SimpleNamespace(register_keras_serializable=lambda package: lambda layer: layer)
    import fastrnn.keras
    import fastrnn.serve.client
    import fastrnn.sklearn
    import fastrnn.sktime
    import fastrnn.torch

project = "fastrnn"
author = "the authors of fastrnn"
version = release = fastrnn.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
myst_heading_anchors = 3
root_doc = "index"
exclude_patterns = ["Thumbs.db", ".DS_Store"]

linkcheck_ignore = [r"http://127\.0\.0\.1"]  # of examples

html_theme = "pydata_sphinx_theme"
html_title = f"fastrnn {version}"
html_sidebars: dict[str, list[str]] = {"gallery": []}  # the only page of its section
html_theme_options = {"navigation_with_keys": False, "show_prev_next": True, "navbar_align": "left"}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False

default_role = "code"  # docstrings name things in single backticks
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # else the attributes of a class would be described a second time
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings have shapes and types


def name_pages(app: Sphinx, path: Path, page: str, text: list[str]) -> None:
    """Make links between files of the tree links between the pages that include them."""
    links = {"](ARCHITECTURE.md": "](/inside/architecture.md", "](CONTRIBUTING.md": "](/inside/contributing.md"}
    links |= {"](CHANGELOG.md": "](/inside/changelog.md", "](bench/README.md": "](/evidence/benchmarks.md"}
    links |= {"](../docs/": "](/", "](docs/": "](/"}
    for there, here in links.items():
        text[0] = text[0].replace(there, here)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_lexer("mermaid", TextLexer)  # ARCHITECTURE.md has a drawing, which the site shows as text
    app.add_directive("c-header", CHeader)
    app.add_directive("example", Example)
    app.connect("include-read", name_pages)
    return {"parallel_read_safe": True}
