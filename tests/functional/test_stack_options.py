"""Stacks with every option of a cell and of a run: the loop over their layers, to the last bit, and finite differences.

Each case of tests/support/options.py runs in two layers, the forms of a stack (directions and their merge) taking
turns. What the loop calls is the native function of one layer: only it takes a stream, which tells the masks of the
layers apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn import _core
from fastrnn.functional.stack import stack_backward, stack_forward
from tests.support.options import COMBINATIONS, SINGLES, Case, make_case
from tests.support.stacks import FORMS, MERGES, assert_derivatives, assert_equal, merged, split_gradient
from tests.support.variants import both_dtypes

LAYERS = 2
# A stack runs one direction or both, and its dropout is that between layers: such cases would repeat those without.
WITHOUT = {"reverse", "dropout"}
CASES = [
    pytest.param(case, *FORMS[k % len(FORMS)], id=f"{case.id}-{FORMS[k % len(FORMS)][1]}{FORMS[k % len(FORMS)][0]}")
    for k, case in enumerate((*SINGLES, *COMBINATIONS))
    if not case.id.endswith("-dropout")
]
every_case = pytest.mark.parametrize(("case", "directions", "merge"), CASES)


@dataclass(frozen=True)
class Problem:
    """A stack of one case with the arguments of its calls; `arrays` are x, h0 and c0."""

    case: Case
    directions: int
    merge: str
    parameters: list[list[dict[str, Any]]]
    arrays: dict[str, Any]
    cotangents: dict[str, Any]
    run: dict[str, Any]

    @property
    def layers(self) -> list[list[Any]]:
        options, pack = dict(self.case.options), self.case.function(fastrnn, "pack")
        seeded = "weight_dropout" in options
        return [
            [pack(**p, **options, **({"seed": 7 + 2 * k + d} if seeded else {})) for d, p in enumerate(row)]
            for k, row in enumerate(self.parameters)
        ]

    def forward(self, **more: Any) -> Any:
        return stack_forward(layers=self.layers, merge=self.merge, **{**self.arrays, **self.run, **more})

    def loss(self) -> float:
        outputs = self.forward(training=True)[:3]
        return sum(float(np.vdot(d, out)) for d, out in zip(self.cotangents.values(), outputs, strict=False))


def make(case: Case, directions: int, merge: str, dtype: str, dropout: float = 0.0, **sizes: int) -> Problem:
    """The parameters are those of the case, turned a little further from one layer and direction to the next."""
    width = case.width(sizes["hidden"])
    out = width * (directions if merge == "concat" else 1)
    parameters: list[list[dict[str, Any]]] = []
    for k in range(LAYERS):
        problem = make_case(case, **{**sizes, "inputs": out if k else sizes["inputs"]}, dtype=dtype)
        if k == 0:
            first = problem
        own = problem.parameters()
        parameters.append(
            [{n: np.roll(a, 2 * k + d, axis=-1) * (1 - 0.1 * d) for n, a in own.items()} for d in range(directions)]
        )
    count, batch = LAYERS * directions, first.cotangents["dh_n"].shape[1]
    rng = np.random.default_rng([count, MERGES.index(merge), *case.id.encode()])

    def states(width: int, blocks: int) -> Any:
        return rng.uniform(-0.9, 0.9, (count * blocks, batch, width)).astype(dtype)

    arrays = {"x": first.arrays["x"], "h0": states(width, 1)}
    dy = rng.uniform(-1, 1, (*first.cotangents["dy"].shape[:-1], out)).astype(dtype)
    cotangents = {"dy": dy, "dh_n": states(width, 1)}
    if blocks := len(case.states) - 1:
        arrays["c0"], cotangents["dc_n"] = states(sizes["hidden"], blocks), states(sizes["hidden"], blocks)
        if blocks == 3:
            arrays["c0"][1::3] = np.abs(arrays["c0"][1::3]) + 0.5  # the sLSTM's n
    run = {name: value for name, value in first.run.items() if name not in WITHOUT}
    run |= {"dropout": dropout, "seed": run.get("seed", 5)} if dropout else {}
    arrays = {name: a for name, a in arrays.items() if name not in case.omit}
    return Problem(case, directions, merge, parameters, arrays, cotangents, run)


def loop(p: Problem, training: bool) -> tuple[list[Any], list[Any]]:
    """Outputs layer by layer, and what loop_backward needs."""
    x, finals, tape, blocks = p.arrays["x"], [], [], len(p.case.states) - 1
    run = {name: value for name, value in p.run.items() if name not in ("lengths", "batch_first")}
    lengths, batch_first = p.run.get("lengths"), p.run.get("batch_first", False)
    for k, row in enumerate(p.layers):
        outputs = []
        for d, weights in enumerate(row):
            index = k * p.directions + d
            h0, c0 = (None if a is None else a[n * index : n * (index + 1)] for a, n in states_of(p, blocks))
            own = {**run, "stream": index}
            outputs.append(_core.forward(weights, x, h0, c0, lengths, d == 1, batch_first, training, None, 1, own))
        x = merged(p.merge, [out[0] for out in outputs])
        finals += outputs
        tape.append(outputs)
    c_n = np.concatenate([out[2] for out in finals]) if blocks else None
    return [x, np.concatenate([out[1] for out in finals]), c_n], tape


def states_of(p: Problem, blocks: int) -> list[tuple[Any, int]]:
    return [(p.arrays.get("h0"), 1), (p.arrays.get("c0") if blocks else None, blocks)]


def loop_backward(p: Problem, tape: list[Any]) -> list[Any]:
    dy, blocks = p.cotangents["dy"], len(p.case.states) - 1
    dh0: list[Any] = []
    dc0: list[Any] = []
    parameters: list[Any] = []
    for k in reversed(range(LAYERS)):
        ys = [out[0] for out in tape[k]]
        parts = split_gradient(p.merge, dy, ys)
        row = []
        for d, part in enumerate(parts):
            index = k * p.directions + d
            dh = p.cotangents["dh_n"][index : index + 1]
            dc = p.cotangents["dc_n"][blocks * index : blocks * (index + 1)] if blocks else None
            row.append(_core.backward(np.ascontiguousarray(part), tape[k][d][3], dh, dc, need_dx=True, threads=1))
        dy = sum((g[0] for g in row[1:]), start=row[0][0])
        dh0[:0] = [g[1] for g in row]
        dc0[:0] = [g[2] for g in row]
        parameters.insert(0, [g[3] for g in row])
    return [dy, np.concatenate(dh0), np.concatenate(dc0) if blocks else None, parameters]


def values(layers: list[Any]) -> list[Any]:
    """Gradients by layers without their names, which must be the same everywhere."""
    names = list(layers[0][0])
    assert all(list(one) == names for row in layers for one in row)
    return [list(one.values()) for row in layers for one in row]


@both_dtypes
@every_case
def test_a_stack_is_the_loop(case, directions, merge, dtype):
    problem = make(case, directions, merge, dtype, hidden=17, inputs=5, batch=5, steps=6)
    assert_equal(problem.forward(), loop(problem, training=False)[0])
    *outputs, cache = problem.forward(training=True)
    expected, tape = loop(problem, training=True)
    assert_equal(outputs, expected)
    grads = stack_backward(cache=cache, **problem.cotangents)
    *rest, layers = loop_backward(problem, tape)
    assert_equal([*grads[:3], values(grads.layers)], [*rest, values(layers)])


@pytest.mark.parametrize(("case", "directions", "merge"), CASES[-len(COMBINATIONS) :])
def test_threads_do_not_change_a_bit(case, directions, merge):
    """Few rows, which run directions and layers side by side, and rows enough to be divided."""
    for batch, steps in ((2, 40), (41, 6)):
        problem = make(case, directions, merge, "float32", hidden=67, inputs=33, batch=batch, steps=steps)
        assert_equal(problem.forward(threads=2), problem.forward(threads=1))
        results = []
        for threads in (1, 2):
            *outputs, cache = problem.forward(training=True, threads=threads)
            grads = stack_backward(cache=cache, **problem.cotangents, threads=threads)
            results.append([*outputs, *grads[:3], values(grads.layers)])
        assert_equal(*results)


@every_case
def test_gradients_are_derivatives(case, directions, merge):
    """Central differences in a random direction of every array, in float64, with dropout between the layers."""
    problem = make(case, directions, merge, "float64", dropout=0.3, hidden=5, inputs=3, batch=3, steps=4)
    problem.run.pop("truncate", None)  # finite differences do not see it
    *_, cache = problem.forward(training=True)
    assert_derivatives(problem, stack_backward(cache=cache, **problem.cotangents), directions=1)
