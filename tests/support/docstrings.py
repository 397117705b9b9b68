"""The public objects and their docstrings, for the tests that run the examples in them and validate them.

Docstrings are in Google's style, as Sphinx's napoleon reads it; numpydoc reads its own, so `numpy_style` rewrites them.
"""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
from types import ModuleType
from typing import Any

import numpy as np

import fastrnn

# Modules with an __all__ that need NumPy alone, and those that need another library.
MODULES = (
    "fastrnn", "fastrnn.activations", "fastrnn.callbacks", "fastrnn.data", "fastrnn.distributed", "fastrnn.functional",
    "fastrnn.initializers", "fastrnn.interop", "fastrnn.io", "fastrnn.layers", "fastrnn.losses", "fastrnn.metrics",
    "fastrnn.optimizers", "fastrnn.reference", "fastrnn.regularizers", "fastrnn.schedules",
)  # fmt: skip
DOORS = {
    "fastrnn.plot": "matplotlib", "fastrnn.sklearn": "sklearn", "fastrnn.torch": "torch", "fastrnn.keras": "keras",
    "fastrnn.interop.torch": "torch", "fastrnn.interop.keras": "keras", "fastrnn.interop.onnx": "onnx",
}  # fmt: skip

# What has its docstring in csrc/python: the pages of the reference show how each is used, in snippets that run.
NATIVE = {"CudaError", "CudaWeights", "DeviceArray", "FullError", "Model", "PackedWeights", "Session", "StreamPool"}

# Objects without an example that could run, and why.
NO_EXAMPLE = {
    "fastrnn.distributed.mpi.MPI": "it takes a job that mpirun has started: docs/distributed.md",
    "fastrnn._core.Cache": "written in C++: docs/plots.md",
}
# The steps of the reference are called by its functions, with what those prepare.
STEPS = re.compile(r"fastrnn\.reference\.(\w+\.(\w+_step|peep)(_backward)?|sequence\.Cache|random\.dropout)")


def needs_example(name: str) -> bool:
    """Whether the docstring of the object of that name has to have an example."""
    return name not in NO_EXAMPLE and not STEPS.fullmatch(name)


def public(modules: tuple[str, ...]) -> dict[str, Any]:
    """The functions and classes that stand in __all__ of these modules, by where they are written."""
    found = {}
    for name in modules:
        module = importlib.import_module(name)
        for entry in module.__all__:
            thing = getattr(module, entry)
            if isinstance(thing, ModuleType) or not (inspect.isfunction(thing) or inspect.isclass(thing)):
                continue
            if str(thing.__module__).startswith("fastrnn") and entry not in NATIVE:
                found[f"{thing.__module__}.{thing.__qualname__}"] = thing
    return found


_SECTIONS = {"Args": "Parameters", "Attributes": "Attributes", "Returns": "Returns", "Raises": "Raises"}
_SECTIONS |= {"Example": "Examples", "Yields": "Yields"}


def refers(thing: Any) -> bool:
    """Whether the docstring says that the parameters are those of something else, or are the fields of its summary."""
    doc = " ".join((thing.__doc__ or "").split())
    return bool(re.search(r"\b[Aa]rguments (are )?(as|those)\b|^One step of :func:|the arguments are its", doc)) or (
        inspect.isclass(thing) and issubclass(thing, (tuple, Exception))
    )


def numpy_style(doc: str, thing: Any = None) -> str:
    """A docstring of ours in numpydoc's own style. Several names before a colon share the text after it.

    Args:
        doc: the docstring.
        thing: what it is of, whose parameters with stars get them.
    """
    stars = {}
    if thing is not None:
        parameters = inspect.signature(thing).parameters.values()
        stars = {p.name: str(p).split(":")[0] for p in parameters if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    out: list[str] = []
    section = ""
    for line in inspect.cleandoc(doc).splitlines():
        head = re.fullmatch(r"(\w+):", line)
        if head and head[1] in _SECTIONS:
            section = _SECTIONS[head[1]]
            out += [section, "-" * len(section)]
        elif line and not line.startswith(" "):
            if section not in ("", "Notes"):  # a paragraph behind a section
                section = "Notes"
                out += [section, "-" * len(section)]
            out.append(line)
        elif section in ("Parameters", "Attributes"):
            out += _items(line)
        elif section in ("Returns", "Yields"):
            out.append("object" if out[-1] == "-" * len(section) else "")
            out += ["    " + line.strip()] if line else []
        else:
            out.append(line[4:] if section not in ("", "Notes") else line)
    return "\n".join(", ".join(stars.get(name, name) for name in line.split(", ")) for line in out)


def _items(line: str) -> list[str]:
    """The items of a line below Args: names, then what they are; further ones may follow in the same line."""
    if not line.strip():
        return [line]
    text = line[4:]
    begin = (
        r"(?<=\. )" if text.startswith(" ") else r"(?:^|(?<=\. ))"
    )  # where the text of an item goes on, or one begins
    parts = re.split(begin + r"`{0,2}(\*{0,2}(?!True|False|None)\w+(?:, \*{0,2}\w+)*)`{0,2}: ", text.strip())
    out = ["    " + parts[0]] if parts[0].strip() else []
    for names, said in zip(parts[1::2], parts[2::2], strict=True):
        out += [names, "    " + said]
    return out


def run_examples(thing: object, name: str) -> None:
    """Run the examples of an object's docstring, in which NumPy and fastrnn are imported. They have to be there."""
    test = doctest.DocTestParser().get_doctest(
        thing.__doc__ or "", {"np": np, "fastrnn": fastrnn, "__name__": "__main__"}, name, None, 0
    )
    assert test.examples, f"{name}: expected an example in the docstring, got none"
    said: list[str] = []
    failed = doctest.DocTestRunner().run(test, out=said.append).failed
    assert not failed, "".join(said)
