"""Weights of a problem, packed, and calls with them."""

from __future__ import annotations

from typing import Any

import fastrnn
from tests.support.variants import Problem


def pack(problem: Problem, **more: Any) -> Any:
    variant = problem.variant
    return variant.function(fastrnn, "pack")(**problem.parameters(), **dict(variant.options), **more)


def forward_packed(problem: Problem, packed: Any, **more: Any) -> Any:
    states = {name: problem.arrays[name] for name in problem.variant.states if name in problem.arrays}
    return problem.variant.function(fastrnn, "forward")(problem.arrays["x"], packed, **states, **problem.run, **more)
