"""What a section of a run is: shapes, the ways in which fastrnn runs them, and its peers. sections.py lists them."""

from __future__ import annotations

from dataclasses import dataclass

from .work import Kind, Work, parse


@dataclass(frozen=True)
class Variant:
    """One way to run fastrnn. The first of a section is what its peers are compared with.

    ``step`` is fastrnn.Session.step instead of the function; ``fast`` its approximate activations; ``threads`` None is
    what the command line says. ``denormal`` and ``neighbour`` are other data and another shape, so other results, as is
    ``padded``: a ragged batch whose rows all run to the end, and ``steps``: the function on a batch over so many steps,
    where the section is about single ones of a pool.
    ``packed`` is a product whose right factor was packed before.
    """

    dtype: str = "float32"
    step: bool = False
    fast: bool = False
    threads: int | None = None
    denormal: bool = False
    neighbour: bool = False
    packed: bool = False
    padded: bool = False
    steps: int | None = None

    @property
    def same_work(self) -> bool:
        """Whether it does the section's work, and no other."""
        return not (self.neighbour or self.padded or self.denormal) and self.steps is None

    @property
    def roofline(self) -> str:
        """Which of a result's bounds is its own: that of the dtype, on as many threads."""
        return self.dtype if self.threads is None else f"{self.dtype} {self.threads} threads"

    @property
    def name(self) -> str:
        """E.g. ``fastrnn``, ``fastrnn step int8``, ``fastrnn 2 threads``."""
        words = [word for word in ("step", "fast", "denormal", "neighbour", "packed", "padded") if getattr(self, word)]
        words += [self.dtype] if self.dtype != "float32" else []
        words += [f"{self.steps} steps"] if self.steps is not None else []
        words += [f"{self.threads} threads"] if self.threads is not None else []
        return " ".join(["fastrnn", *words])


@dataclass(frozen=True)
class Section:
    """Shapes that are measured in one manner and stand in one table.

    Peers are named as in the results: ``torch``, ``torch bfloat16``. `shapes` has one per line; those that end in
    "quick" are measured by --quick too. A section with more than one thread gets as many cores, and in a ``busy`` one a
    process of no use spins on the last of them. One of kind "fit" runs in a process of its own (fit.py), with
    ``by_defaults`` on all cores, where nobody is told how many threads to take.
    """

    name: str
    title: str
    kind: Kind
    ours: tuple[Variant, ...]
    peers: tuple[str, ...]
    shapes: str
    busy: bool = False
    by_defaults: bool = False

    def works(self, quick: bool) -> list[Work]:
        """All shapes, or those of --quick."""
        lines = [line.strip().partition("  ") for line in self.shapes.splitlines() if line.strip()]
        return [parse(shape, self.kind) for shape, _, mark in lines if mark.strip() == "quick" or not quick]

    @property
    def threads(self) -> int:
        """The most that a variant of its own accord uses."""
        return max((variant.threads or 1 for variant in self.ours), default=1)
