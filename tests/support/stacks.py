"""Stacks of random weights: the loop over their layers is the reference, with a Philox of NumPy for the masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from fastrnn.functional._cells import CELLS
from fastrnn.functional._states import join_states, split_states
from fastrnn.functional.stack import stack_backward, stack_forward
from tests.support.cells import BESIDE_H, GATES
from tests.support.gradients import slope

MERGES = ("concat", "sum", "mean", "mul")
FORMS = [(1, "concat"), *((2, merge) for merge in MERGES)]  # directions and their merge
forms = pytest.mark.parametrize(("directions", "merge"), FORMS, ids=lambda v: str(v))
cells = pytest.mark.parametrize("cell", GATES)


def philox(counter: Any, key: tuple[int, int]) -> Any:
    """Philox4x32-10 (Salmon et al. 2011) of counters (4, n), in 64-bit integers."""
    c0, c1, c2, c3 = (np.asarray(c, "uint64") for c in counter)
    k0, k1 = key
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        first, second = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (
            (second >> np.uint64(32)) ^ c1 ^ np.uint64(k0),
            second & low,
            (first >> np.uint64(32)) ^ c3 ^ np.uint64(k1),
            first & low,
        )
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3])


def between_mask(shape: tuple[int, int, int], layer: int, rate: float, seed: int, dtype: str) -> Any:
    """The factors (T, B, W) of the output of `layer`: 0 or 1/(1-rate)."""
    t, b, unit = np.indices(shape)
    counter = [v.ravel() for v in (unit // 4, b, t, np.full(shape, 8 * layer + 6))]
    words = philox(counter, (seed & 0xFFFFFFFF, seed >> 32))
    word = words[unit.ravel() % 4, np.arange(unit.size)].reshape(shape)
    return np.where(word >= int(rate * 2**32), 1 / (1 - rate), 0).astype(dtype)


@dataclass(frozen=True)
class Problem:
    """A stack of random weights with the arguments of its calls. Everything is time-major."""

    cell: str
    directions: int
    merge: str
    parameters: list[list[dict[str, Any]]]
    arrays: dict[str, Any]  # x, h0, c0
    cotangents: dict[str, Any]  # dy, dh_n, dc_n
    run: dict[str, Any]  # lengths, dropout, seed

    @property
    def layers(self) -> list[list[Any]]:
        return [[CELLS[self.cell].pack(**p) for p in row] for row in self.parameters]

    @property
    def packed(self) -> list[Any]:
        """The layers in the form that users write: a pair where there are two directions."""
        return [row[0] if self.directions == 1 else tuple(row) for row in self.layers]

    def forward(self, **more: Any) -> Any:
        return stack_forward(layers=self.packed, merge=self.merge, **{**self.arrays, **self.run, **more})

    def train(self, threads: int = 1) -> tuple[Any, Any]:
        """Outputs and gradients."""
        *outputs, cache = self.forward(training=True, threads=threads)
        return outputs, stack_backward(cache=cache, threads=threads, **self.cotangents)

    def loss(self) -> float:
        outputs = self.forward(training=True)[:3]
        return sum(float(np.vdot(d, out)) for d, out in zip(self.cotangents.values(), outputs, strict=False))


def make(
    cell: str,
    layers: int,
    directions: int = 1,
    merge: str = "concat",
    *,
    inputs: int = 5,
    hidden: int = 7,
    batch: int = 3,
    steps: int = 6,
    lengths: bool = False,
    dropout: float = 0.0,
    dtype: str = "float32",
) -> Problem:
    rng = np.random.default_rng([layers, directions, batch, steps, hidden, MERGES.index(merge)])

    def uniform(*shape: int, scale: float) -> Any:
        return rng.uniform(-scale, scale, shape).astype(dtype)

    rows = GATES[cell] * hidden
    width = hidden * (directions if merge == "concat" else 1)
    parameters = [
        [
            {
                "w_ih": uniform(rows, n, scale=n**-0.5),
                "w_hh": uniform(*((hidden,) if cell == "indrnn" else (rows, hidden)), scale=hidden**-0.5),
                "b_ih": uniform(rows, scale=0.5),
                "b_hh": uniform(rows, scale=0.5),
            }
            for _ in range(directions)
        ]
        for n in (inputs, *[width] * (layers - 1))
    ]
    state = (layers * directions, batch, hidden)
    arrays = {"x": uniform(steps, batch, inputs, scale=1.5), "h0": uniform(*state, scale=0.9)}
    cotangents = {"dy": uniform(steps, batch, width, scale=1), "dh_n": uniform(*state, scale=1)}
    if BESIDE_H[cell]:
        beside = (state[0] * len(BESIDE_H[cell]), *state[1:])
        arrays["c0"] = uniform(*beside, scale=0.9)
        cotangents["dc_n"] = uniform(*beside, scale=1)
        if cell == "slstm":
            arrays["c0"][1::3] = np.abs(arrays["c0"][1::3]) + 0.5  # n, by which c is divided
    run: dict[str, Any] = {}
    if lengths:  # both ends of the range as soon as there are rows enough
        run["lengths"] = rng.integers(0, steps + 1, batch)
        run["lengths"][1:3] = (0, steps)[: max(batch - 1, 0)]
    if dropout:
        run |= {"dropout": dropout, "seed": 3 + (5 << 32)}
    return Problem(cell, directions, merge, parameters, arrays, cotangents, run)


def merged(merge: str, ys: list[Any]) -> Any:
    if len(ys) == 1:
        return ys[0]
    if merge == "concat":
        return np.concatenate(ys, axis=-1)
    if merge == "mul":
        return ys[0] * ys[1]
    both = ys[0] + ys[1]
    return both if merge == "sum" else both * both.dtype.type(0.5)


def loop_forward(p: Problem, training: bool = False) -> tuple[list[Any], list[Any]]:
    """Layer by layer with the functions for one layer; what loop_backward needs comes second."""
    cell = CELLS[p.cell]
    x, finals, tape = p.arrays["x"], [], []
    others = split_states(p.arrays.get("c0"), len(p.arrays["h0"]))
    for k, row in enumerate(p.layers):
        outputs = []
        for d, weights in enumerate(row):
            index = k * p.directions + d
            start = dict(zip(cell.states, (p.arrays["h0"][index : index + 1], *others[index]), strict=True))
            outputs.append(
                cell.forward(
                    x, weights, **start, reverse=d == 1, lengths=p.run.get("lengths"), training=training, threads=1
                )
            )
        finals += [out[1 : 1 + len(cell.states)] for out in outputs]
        ys = [out[0] for out in outputs]
        x = merged(p.merge, ys)
        mask = None
        if training and p.run.get("dropout") and k + 1 < len(p.parameters):
            mask = between_mask(x.shape, k, p.run["dropout"], p.run["seed"], x.dtype)
            x = x * mask
        tape.append((ys, [out[-1] for out in outputs], mask))
    return [x, np.concatenate([h for h, *_ in finals]), join_states([c for _, *cs in finals for c in cs])], tape


def split_gradient(merge: str, dy: Any, ys: list[Any]) -> list[Any]:
    """The gradients of what `merged` has joined."""
    if len(ys) == 1:
        return [dy]
    if merge == "concat":
        return list(np.split(dy, 2, axis=-1))
    if merge == "mul":
        return [dy * ys[1], dy * ys[0]]
    return [dy if merge == "sum" else dy * dy.dtype.type(0.5)] * 2


def loop_backward(p: Problem, tape: list[Any]) -> list[Any]:
    """dx, dh0, dc0 or None, and the gradients of the parameters as dicts."""
    cell = CELLS[p.cell]
    others = split_states(p.cotangents.get("dc_n"), len(p.cotangents["dh_n"]))
    dy = p.cotangents["dy"]
    states: list[Any] = []
    parameters: list[Any] = []
    for k in reversed(range(len(tape))):
        ys, caches, mask = tape[k]
        if mask is not None:
            dy = dy * mask
        parts = split_gradient(p.merge, dy, ys)
        row = []
        for d, part in enumerate(parts):
            index = k * p.directions + d
            last = (p.cotangents["dh_n"][index : index + 1], *others[index])
            row.append(cell.backward(part, caches[d], *last, threads=1))
        dy = sum((g.x for g in row[1:]), start=row[0].x)
        states[:0] = [[getattr(g, name) for name in cell.states] for g in row]
        parameters.insert(0, [{n: getattr(g, n) for n in ("w_ih", "w_hh", "b_ih", "b_hh")} for g in row])
    return [dy, np.concatenate([h for h, *_ in states]), join_states([c for _, *cs in states for c in cs]), parameters]


def leaves(tree: Any) -> Iterator[Any]:
    """The arrays and Nones of nested sequences and dicts, in order."""
    if isinstance(tree, dict):
        assert list(tree) == ["w_ih", "w_hh", "b_ih", "b_hh"]
        tree = tree.values()
    elif tree is None or isinstance(tree, np.ndarray):
        yield tree
        return
    for item in tree:
        yield from leaves(item)


def assert_equal(actual: Any, expected: Any) -> None:
    for k, (a, e) in enumerate(zip(leaves(actual), leaves(expected), strict=True)):
        np.testing.assert_array_equal(a, e, err_msg=f"item {k}", strict=True)


def assert_derivatives(problem: Any, grads: Any, directions: int) -> None:
    """Gradients to every array and parameter, along random directions, against the slopes of `problem.loss()`."""
    rng = np.random.default_rng(1)

    def check(name: str, array: Any, grad: Any, loss: Any) -> None:
        for _ in range(directions):
            way = rng.standard_normal(array.shape)
            way /= np.linalg.norm(way)
            assert float(np.vdot(grad, way)) == pytest.approx(slope(loss, array, way), rel=1e-6, abs=1e-8), name

    for name, array in problem.arrays.items():
        check(name, array, getattr(grads, name), lambda a, n=name: _with_array(problem, n, a).loss())
    for k, row in enumerate(problem.parameters):
        for d, one in enumerate(row):
            for name, array in one.items():
                check(
                    f"layers[{k}][{d}] {name}",
                    array,
                    grads.layers[k][d][name],
                    lambda a, k=k, d=d, name=name: _with_parameter(problem, k, d, name, a).loss(),
                )


def _with_array(problem: Any, name: str, array: Any) -> Any:
    return replace(problem, arrays={**problem.arrays, name: array})


def _with_parameter(problem: Any, layer: int, direction: int, name: str, array: Any) -> Any:
    parameters = [[dict(one) for one in row] for row in problem.parameters]
    parameters[layer][direction][name] = array
    return replace(problem, parameters=parameters)
