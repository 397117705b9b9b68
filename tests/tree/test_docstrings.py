"""numpydoc's validation of the docstrings of all public objects: `nox -s docs` runs it, whose extra brings numpydoc."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support import docstrings

validate = pytest.importorskip("numpydoc.validate")
docscrape = pytest.importorskip("numpydoc.docscrape")

CHECKS = {
    "GL03": "one blank line between paragraphs, none at the end",
    "GL05": "no tabs",
    "GL07": "sections in their order",
    "GL08": "there is a docstring",
    "GL10": "directives end in two colons",
    "SS01": "there is a summary",
    "SS02": "which begins with a capital letter",
    "SS03": "and ends with a period",
    "SS04": "without spaces before it",
    "SS06": "in one line",
    "PR01": "every parameter is described",
    "PR02": "no other is",
    "PR07": "each has a description",
    "RT03": "what is returned is described",
    "EX01": "there is an example",
}
LEFT_OUT = {
    "GL01": "the summary stands behind the quotes, as everywhere in this tree",
    "GL02": "so do the quotes of a docstring of one line",
    "GL06": "a name that numpydoc does not know begins a paragraph here",
    "GL09": "nothing is deprecated",
    "SS05": "it takes nouns in the plural for verbs in the third person",
    "ES01": "a summary may say all there is to say",
    "PR03": "arguments that belong together are described together",
    "PR04": "types are annotations, which mypy --strict holds; a second copy would differ one day",
    "PR05": "as PR04",
    "PR06": "as PR04",
    "PR08": "a description begins with the shape, or goes on from the name",
    "PR09": "descriptions are phrases",
    "PR10": "as PR04",
    "RT01": "a summary that begins with Return says it",
    "RT02": "as PR04",
    "RT04": "as PR08",
    "RT05": "as PR09",
    "YD01": "as RT01",
    "SA01": "the pages of the reference stand in order of what belongs together",
    "SA02": "as SA01",
    "SA03": "as SA01",
    "SA04": "as SA01",
}


class Ours(validate.Validator):
    """numpydoc's validator on a docstring that has been rewritten for it."""

    def __init__(self, obj_name: str, thing: Any) -> None:
        text = docstrings.numpy_style(thing.__doc__ or "", thing)
        super().__init__(docscrape.get_doc_object(thing, doc=text))
        self.raw_doc = self.clean_doc = text
        self._name = obj_name

    @property
    def name(self) -> str:
        return self._name

    @property
    def parameter_mismatches(self) -> list[tuple[str, str]]:
        """As numpydoc's, but for what is described elsewhere or as an attribute, and for keywords by name."""
        parameters, documented = set(self.signature_parameters), set(self.doc_parameters)
        attributes = {name for entry in self.doc["Attributes"] for name in entry.name.split(", ")}
        missing = set() if docstrings.refers(self.obj) else parameters - documented - attributes
        unknown, keywords = documented - parameters, {name for name in parameters if name.startswith("**")}
        if unknown and keywords:  # which are described by their names
            missing, unknown = missing - keywords, set()
        return [
            (code, f"{words} {', '.join(sorted(names))}")
            for code, words, names in (("PR01", "not described:", missing), ("PR02", "unknown:", unknown))
            if names
        ]


def validated(name: str, thing: Any) -> bool:
    """Not the reference, whose functions take the library's arguments, nor C++, nor a warning: it has no signature."""
    elsewhere = name.startswith(("fastrnn.reference.", "fastrnn._core."))
    return not elsewhere and not (isinstance(thing, type) and issubclass(thing, Warning))


# Of the doors those that can be imported without their library.
_MODULES = (
    *docstrings.MODULES,
    "fastrnn.plot",
    "fastrnn.interop.torch",
    "fastrnn.interop.keras",
    "fastrnn.interop.onnx",
)
OBJECTS = {name: thing for name, thing in docstrings.public(_MODULES).items() if validated(name, thing)}


def test_every_check_is_decided():
    assert CHECKS.keys() | LEFT_OUT.keys() == validate.ERROR_MSGS.keys()
    assert not CHECKS.keys() & LEFT_OUT.keys()


def errors(name: str, thing: Callable[..., Any]) -> list[str]:
    found = validate.validate(name, Ours, thing=thing)["errors"]
    return [f"{code}: {text}" for code, text in found if code in CHECKS]


@pytest.mark.parametrize("name", sorted(OBJECTS))
def test_docstring(name):
    found = errors(name, OBJECTS[name])
    if not docstrings.needs_example(name):
        found = [line for line in found if not line.startswith("EX01")]
    assert not found
