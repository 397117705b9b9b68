"""The C API for the reference, read from `fastrnn.h` itself: ``.. c-header:: PATH``, below ``{eval-rst}``.

A comment describes the declarations below it, up to an empty line or the next comment. Doxygen and Breathe would do the
same for comments that are marked for them; then the site would need a program that no package index has.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

_PART = re.compile(
    r"""(?P<comment>/\*.*?\*/[ ]*\n)
    | (?P<gap>\n)
    | \#define[ ]+(?P<macro>\w+)(?P<value>[ ][^\n]*)\n
    | typedef[ ](?P<kind>enum|struct)[ ]\w+[ ]\{\n(?P<body>.*?)\}[ ](?P<name>\w+);\n
    | (?P<declaration>(?:typedef|FASTRNN_API)\b[^;{]*;\n)
    | [^\n]*\n""",
    re.DOTALL | re.VERBOSE | re.MULTILINE,
)


class Entry(NamedTuple):
    """Declarations with one description: `kind` is that of Sphinx's C domain, or "section", whose title is the text."""

    kind: str
    declarations: list[str]
    text: str
    members: list[tuple[str, str, str]]  # of an enum or a struct: kind, declaration, description


def entries(text: str) -> list[Entry]:
    """What a header declares, in its order, from its first section on."""
    found: list[Entry] = []
    said = ""
    for part in _PART.finditer(text[text.index("/* ---- ") :]):
        if part["comment"]:
            said = _words(part["comment"])
            if title := re.fullmatch(r"---- (.*?) -+", said):
                found.append(Entry("section", [], title[1], []))
                said = ""
        elif part["gap"]:
            said = ""
        elif part["macro"]:
            found.append(Entry("macro", [part["macro"]], said or _words(part["value"]), []))
        elif part["kind"]:
            found.append(Entry(part["kind"], [part["name"]], said, _members(part["kind"], part["body"])))
        elif part["declaration"]:
            line = " ".join(part["declaration"].replace("FASTRNN_API", "").rstrip(";\n").split())
            kind = "function" if line.endswith(")") else "type"
            if kind == "type":
                line = line.removeprefix("typedef ").split()[-1]
            if found and found[-1].kind == kind and said and found[-1].text == said:
                found[-1].declarations.append(line)
            else:
                found.append(Entry(kind, [line], said, []))
    return found


def _words(comment: str) -> str:
    """A comment without its stars."""
    inside = re.search(r"/\*(.*?)\*/", comment, re.DOTALL)
    return "" if inside is None else " ".join(re.sub(r"^ \* ?", "", inside[1], flags=re.MULTILINE).split())


def _members(kind: str, body: str) -> list[tuple[str, str, str]]:
    member = "enumerator" if kind == "enum" else "member"
    rows = [re.match(r" *([^;,/]*\w)[;,]?(.*)", line) for line in body.splitlines()]
    return [(member, row[1].partition(" = ")[0], _words(row[2])) for row in rows if row]


def _escape(text: str) -> str:
    return re.sub(r"(\*|_(?=\W|$))", r"\\\1", text)


class CHeader(SphinxDirective):
    """Describe what a header declares."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the nodes."""
        _, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(path)
        lines: list[str] = []
        for entry in entries(Path(path).read_text(encoding="utf-8")):
            if entry.kind == "section":
                lines += [f".. rubric:: {entry.text}", ""]
                continue
            first, *more = entry.declarations
            head = f".. c:{entry.kind}:: "
            lines += [head + first, *(" " * len(head) + line for line in more), "", f"   {_escape(entry.text)}", ""]
            for kind, declaration, text in entry.members:
                lines += [f"   .. c:{kind}:: {declaration}", "", f"      {_escape(text)}", ""]
        node = nodes.container()
        self.state.nested_parse(StringList(lines, path), 0, node)
        return list(node.children)
