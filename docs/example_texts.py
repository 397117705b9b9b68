"""What an example says of itself, on the page of the gallery: ``.. example:: NAME``, below ``{eval-rst}``."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective


def words(source: str) -> list[str]:
    """The docstring of a program as reST: indented lines are commands."""
    text = ast.get_docstring(ast.parse(source)) or ""
    text = re.sub(r"(?<!`)([*|]|\w_(?=\W))", r"\\\1", text)
    return re.sub(r"\n\n((?: {4}[^\n]*\n?)+)", r"\n\n.. code-block:: text\n\n\1\n", text).splitlines()


class Example(SphinxDirective):
    """Show the docstring of a file in examples/."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the nodes."""
        _, path = self.env.relfn2path(f"/../examples/{self.arguments[0]}.py")
        self.env.note_dependency(path)
        node = nodes.container()
        self.state.nested_parse(StringList(words(Path(path).read_text(encoding="utf-8")), path), 0, node)
        return list(node.children)
