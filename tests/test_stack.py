"""Stacks: the loop over their layers is the reference, and a Philox of NumPy that of the masks between them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn.functional.stack import StackOutput, stack_backward, stack_forward
from variants import GATES

MERGES = ("concat", "sum", "mean", "mul")
FORMS = [(1, "concat"), *((2, merge) for merge in MERGES)]  # directions and their merge
forms = pytest.mark.parametrize(("directions", "merge"), FORMS, ids=lambda v: str(v))
cells = pytest.mark.parametrize("cell", GATES)
STATES = {"lstm": ("c",), "slstm": ("c", "n", "m")}  # beside h, in the order in which c0 and c_n have them


# ----------------------------------------------------------------------------------------------------------- reference


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
        return [[getattr(fastrnn, f"pack_{self.cell}")(**p) for p in row] for row in self.parameters]

    @property
    def packed(self) -> list[Any]:
        """As a user writes it."""
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
    if cell in STATES:
        beside = (state[0] * len(STATES[cell]), *state[1:])
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


def beside_h(cell: str, array: Any, index: int, name: str) -> dict[str, Any]:
    """What one layer and direction has of c0 or dc_n, under the names of its own function: "{}0" or "d{}_n"."""
    names = STATES.get(cell, ())
    return {name.format(s): array[k : k + 1] for k, s in enumerate(names, start=index * len(names))}


def loop_forward(p: Problem, training: bool = False) -> tuple[list[Any], list[Any]]:
    """Layer by layer with the functions for one layer; what loop_backward needs comes second."""
    forward = getattr(fastrnn, f"{p.cell}_forward")
    x, finals, tape = p.arrays["x"], [], []
    states = 1 + len(STATES.get(p.cell, ()))
    for k, row in enumerate(p.layers):
        outputs = []
        for d, weights in enumerate(row):
            index = k * p.directions + d
            start = {"h0": p.arrays["h0"][index : index + 1], **beside_h(p.cell, p.arrays.get("c0"), index, "{}0")}
            outputs.append(
                forward(x, weights, **start, reverse=d == 1, lengths=p.run.get("lengths"), training=training, threads=1)
            )
        finals += [out[1 : 1 + states] for out in outputs]
        ys = [out[0] for out in outputs]
        x = merged(p.merge, ys)
        mask = None
        if training and p.run.get("dropout") and k + 1 < len(p.parameters):
            mask = between_mask(x.shape, k, p.run["dropout"], p.run["seed"], x.dtype)
            x = x * mask
        tape.append((ys, [out[-1] for out in outputs], mask))
    c_n = np.concatenate([c for f in finals for c in f[1:]]) if states > 1 else None
    return [x, np.concatenate([f[0] for f in finals]), c_n], tape


def loop_backward(p: Problem, tape: list[Any]) -> list[Any]:
    """dx, dh0, dc0 or None, and the gradients of the parameters as dicts."""
    backward = getattr(fastrnn, f"{p.cell}_backward")
    dy = p.cotangents["dy"]
    states: list[Any] = []
    parameters: list[Any] = []
    for k in reversed(range(len(tape))):
        ys, caches, mask = tape[k]
        if mask is not None:
            dy = dy * mask
        if len(ys) == 1:
            parts = [dy]
        elif p.merge == "concat":
            parts = np.split(dy, 2, axis=-1)
        elif p.merge == "mul":
            parts = [dy * ys[1], dy * ys[0]]
        else:
            parts = [dy if p.merge == "sum" else dy * dy.dtype.type(0.5)] * 2
        row = []
        for d, part in enumerate(parts):
            index = k * p.directions + d
            last = {"dh_n": p.cotangents["dh_n"][index : index + 1]}
            last |= beside_h(p.cell, p.cotangents.get("dc_n"), index, "d{}_n")
            row.append(backward(part, caches[d], **last, threads=1))
        dy = sum((g.x for g in row[1:]), start=row[0].x)
        states[:0] = [(g.h0, [getattr(g, f"{s}0") for s in STATES.get(p.cell, ())]) for g in row]
        parameters.insert(0, [{n: getattr(g, n) for n in ("w_ih", "w_hh", "b_ih", "b_hh")} for g in row])
    dc0 = np.concatenate([c for _, cs in states for c in cs]) if "c0" in p.arrays else None
    return [dy, np.concatenate([h for h, _ in states]), dc0, parameters]


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


# ------------------------------------------------------------------------------------------------------------- results


@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("layers", [1, 2, 3])
@forms
@cells
def test_inference_is_the_loop(cell, directions, merge, layers, lengths, isa):
    problem = make(cell, layers, directions, merge, lengths=lengths, hidden=19)
    assert_equal(problem.forward(), loop_forward(problem)[0])


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("layers", [1, 2, 3])
@forms
@cells
def test_training_is_the_loop(cell, directions, merge, layers, dropout):
    """Outputs and gradients, to the last bit: so the masks are the contract's, forward and backward."""
    problem = make(cell, layers, directions, merge, lengths=True, dropout=dropout)
    outputs, tape = loop_forward(problem, training=True)
    assert_equal(problem.train(), (outputs, loop_backward(problem, tape)))


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("layers", [1, 2, 3])
@forms
@cells
def test_gradients_are_derivatives(cell, directions, merge, layers, dropout):
    """Central differences in random directions of every array, in float64."""
    sizes = {"inputs": 3, "hidden": 3, "batch": 3, "steps": 4}
    problem = make(cell, layers, directions, merge, lengths=True, dropout=dropout, dtype="float64", **sizes)
    grads = problem.train()[1]
    rng = np.random.default_rng(1)
    step = 1e-5

    def check(name: str, array: Any, grad: Any, moved: Any) -> None:
        for _ in range(2):
            way = rng.standard_normal(array.shape)
            numerical = (moved(array + step * way).loss() - moved(array - step * way).loss()) / (2 * step)
            assert float(np.vdot(grad, way)) == pytest.approx(numerical, rel=1e-6, abs=1e-8), name

    for name, array in problem.arrays.items():
        check(
            name,
            array,
            getattr(grads, name),
            lambda a, name=name: replace(problem, arrays={**problem.arrays, name: a}),
        )
    for k, d in itertools.product(range(layers), range(directions)):
        for name, array in problem.parameters[k][d].items():

            def moved(a: Any, k: int = k, d: int = d, name: str = name) -> Problem:
                parameters = [[dict(one) for one in row] for row in problem.parameters]
                parameters[k][d][name] = a
                return replace(problem, parameters=parameters)

            check(f"layers[{k}][{d}] {name}", array, grads.layers[k][d][name], moved)


@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("batch", range(1, 10))
@pytest.mark.parametrize(
    ("cell", "layers", "directions", "merge"),
    [("lstm", 2, 1, "concat"), ("gru", 3, 1, "concat"), ("lstm", 2, 2, "concat"), ("rnn", 3, 2, "mul")],
    ids=["lstm2", "gru3", "lstm2x2", "rnn3x2"],
)
def test_threads_and_batch_do_not_change_a_bit(cell, layers, directions, merge, batch, lengths):
    """Enough work for the wavefront, and for directions side by side: 8e6 operations."""
    problem = make(cell, layers, directions, merge, batch=9, steps=97, hidden=61, lengths=lengths)
    whole, _ = loop_forward(problem)
    rows = slice(9 - batch, 9)
    part = {name: array[:, rows] for name, array in problem.arrays.items()}
    run = {"lengths": problem.run["lengths"][rows]} if lengths else {}
    expected = [a if a is None else a[:, rows] for a in whole]
    for threads in (1, 2, 3, 4):
        assert_equal(replace(problem, arrays=part, run=run).forward(threads=threads), expected)


@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("layers", [4, 5])
def test_deep_stacks_on_threads_are_the_loop(layers, directions, lengths):
    """Every layer of a wavefront waits for the one below, and not the first three alone; in order, layers take turns
    with two buffers."""
    problem = make("lstm", layers, directions, batch=3, steps=97, hidden=61, lengths=lengths)
    expected = loop_forward(problem)[0]
    for threads in (1, 2, 3, 4, 5):
        assert_equal(problem.forward(threads=threads), expected)


@forms
def test_threads_do_not_change_gradients(directions, merge):
    for batch in (1, 5, 19):
        sizes = {"batch": batch, "steps": 60, "hidden": 83, "lengths": True, "dropout": 0.2}
        problem = make("lstm", 2, directions, merge, **sizes)
        expected = problem.train()
        for threads in (2, 3, 4):
            assert_equal(problem.train(threads), expected)


@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize(("directions", "merge"), [(1, "concat"), (2, "sum")])
def test_long_sequences(directions, merge, lengths):
    """Longer than the pieces that run through all layers, than a wavefront's job, and than copies are worth."""
    problem = make("lstm", 2, directions, merge, batch=4, steps=12_500, hidden=32, lengths=lengths)
    expected = loop_forward(problem)[0]
    for threads in (1, 2):
        assert_equal(problem.forward(threads=threads), expected)


@pytest.mark.parametrize("dtype", ["bfloat16", "bfloat16_weights", "int8"])
def test_low_precision(dtype):
    """In pieces and on threads too; layers may differ."""
    problem = make("gru", 2, steps=120, batch=2, hidden=64)
    first, second = problem.parameters[0][0], problem.parameters[1][0]
    layers = [fastrnn.pack_gru(**first, dtype=dtype), fastrnn.pack_gru(**second, fast_activations=True)]
    h0 = problem.arrays["h0"]
    y1, h1 = fastrnn.gru_forward(problem.arrays["x"], layers[0], h0=h0[:1])
    y2, h2 = fastrnn.gru_forward(y1, layers[1], h0=h0[1:])
    for threads in (1, 2):
        result = stack_forward(problem.arrays["x"], layers, h0, threads=threads)
        assert_equal(result, [y2, np.concatenate([h1, h2]), None])


def test_ave_is_keras_name_of_mean():
    problem = make("gru", 2, 2, "mean")
    assert_equal(replace(problem, merge="ave").train(), problem.train())


def test_layout():
    """batch_first, strides, an array for y, no states: the same numbers."""
    problem = make("lstm", 2, 2, lengths=True)
    y, h_n, c_n = problem.forward()
    x = np.ascontiguousarray(problem.arrays["x"].swapaxes(0, 1))
    out = np.full((3, 6, 14), np.nan, "float32")
    first = problem.forward(x=x, batch_first=True, out=out)
    assert isinstance(first, StackOutput)
    assert first.y is out
    assert_equal(first, (y.swapaxes(0, 1), h_n, c_n))
    wide = np.repeat(problem.arrays["x"], 2, axis=2)[:, :, ::2]
    assert not wide.flags.c_contiguous
    assert_equal(problem.forward(x=wide), (y, h_n, c_n))
    zeros = np.zeros_like(h_n)
    assert_equal(problem.forward(h0=None, c0=None), problem.forward(h0=zeros, c0=zeros))

    *_, cache = problem.forward(x=x, batch_first=True, training=True)
    cotangents = {**problem.cotangents, "dy": problem.cotangents["dy"].swapaxes(0, 1)}
    grads = stack_backward(cache=cache, **cotangents)
    expected = problem.train()[1]
    assert_equal(grads, expected._replace(x=expected.x.swapaxes(0, 1)))


@pytest.mark.parametrize(("steps", "batch"), [(0, 3), (4, 0), (0, 0)])
@forms
def test_nothing_to_do(directions, merge, steps, batch):
    problem = make("lstm", 2, directions, merge, steps=steps, batch=batch)
    for threads in (1, 2):
        outputs, grads = problem.train(threads)
        assert_equal(outputs[1:], [problem.arrays["h0"], problem.arrays["c0"]])
        assert_equal(problem.forward(threads=threads)[1:], outputs[1:])
        assert_equal(grads[1:3], [problem.cotangents["dh_n"], problem.cotangents["dc_n"]])
        assert all(not g.any() for g in leaves(grads.layers))


def test_optional_gradients_and_a_second_use():
    problem = make("lstm", 2, 2, "mul", dropout=0.5)
    *_, cache = problem.forward(training=True)
    full = stack_backward(cache=cache, **problem.cotangents)
    assert cache.nbytes > 0
    assert [[w.cell for w in row] for row in cache.layers] == [["lstm", "lstm"]] * 2
    assert_equal(stack_backward(cache=cache, **problem.cotangents, need_dx=False), full._replace(x=None))
    zeros = {name: np.zeros_like(a) for name, a in problem.cotangents.items()}
    for name, given in problem.cotangents.items():
        none = stack_backward(**{"dy": None, name: given}, cache=cache)
        assert_equal(none, stack_backward(**{**zeros, name: given}, cache=cache))


def test_gradients_of_biases_that_were_not_given_are_left_out():
    problem = make("gru", 2)
    layers = [{n: row[0][n] for n in ("w_ih", "w_hh", "b_hh")} for row in problem.parameters]
    *_, cache = stack_forward(problem.arrays["x"], [fastrnn.pack_gru(**p) for p in layers], training=True)
    grads = stack_backward(problem.cotangents["dy"], cache)
    assert [list(row[0]) for row in grads.layers] == [["w_ih", "w_hh", "b_hh"]] * 2


# ------------------------------------------------------------------------------------------------------------- dropout


def identity_layers(count: int, width: int) -> list[Any]:
    """Layers whose y is their x: what comes out of the stack is x times the masks between them."""
    eye, none = np.eye(width, dtype="float64"), np.zeros((width, width))
    return [fastrnn.pack_rnn(eye, none, activation="identity") for _ in range(count)]


def test_reference_philox_gives_the_known_answers():
    """Those of Random123, kat_vectors."""
    ones = 0xFFFFFFFF
    pi = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)
    for counter, key, expected in (
        ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((ones,) * 4, (ones, ones), "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (pi, (0xA4093822, 0x299F31D0), "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ):
        assert " ".join(f"{int(w):08x}" for w in philox(counter, key)) == expected


@pytest.mark.parametrize("seed", [0, 1, 2**32, 2**64 - 1])
@pytest.mark.parametrize("rate", [1e-9, 0.25, 0.5, 0.999])
def test_masks_are_those_of_the_contract(rate, seed):
    """Two pairs of layers tell the streams apart; the width is two of the masks' blocks of 256 and a part of one that
    begins with a whole Philox word and ends within another.
    """
    width = 2 * 256 + 7
    shape = (3, 4, width)
    x = np.random.default_rng(0).standard_normal(shape)
    options = {"dropout": rate, "seed": seed, "training": True}
    first = between_mask(shape, 0, rate, seed, "float64")
    np.testing.assert_array_equal(stack_forward(x, identity_layers(2, width), **options)[0], x * first)
    second = between_mask(shape, 1, rate, seed, "float64")
    np.testing.assert_array_equal(stack_forward(x, identity_layers(3, width), **options)[0], x * first * second)


def test_statistics_of_the_masks():
    """The share of what is kept, within 5 standard deviations, over all and over each unit, row and step."""
    shape, rate = (50, 40, 61), 0.3
    y = stack_forward(np.ones(shape), identity_layers(2, 61), dropout=rate, seed=9, training=True)[0]
    kept = y != 0
    assert set(np.unique(y)) == {0.0, 1 / (1 - rate)}
    for axes in ((), (0,), (1,), (2,)):
        share = kept.mean(axis=tuple(k for k in range(3) if k not in axes))
        n = kept.size / share.size
        assert np.abs(share - (1 - rate)).max() < 5 * np.sqrt(rate * (1 - rate) / n)
    for other in (kept[1:] == kept[:-1], kept[:, 1:] == kept[:, :-1], kept[..., 1:] == kept[..., :-1]):
        agree = (1 - rate) ** 2 + rate**2
        assert abs(other.mean() - agree) < 5 * np.sqrt(agree * (1 - agree) / other.size)


def test_dropout_is_for_training_alone():
    problem = make("gru", 3, 2)
    assert_equal(problem.forward(dropout=0.9, seed=1), problem.forward())
    assert_equal(problem.train(), replace(problem, run={"dropout": 0.0, "seed": 4}).train())


def test_without_a_seed_masks_are_fresh():
    x = np.ones((20, 3, 40))
    first, second = (stack_forward(x, identity_layers(2, 40), dropout=0.5, training=True)[0] for _ in range(2))
    assert (first != second).any()


# -------------------------------------------------------------------------------------------------------------- errors


def rnn(inputs: int, hidden: int, dtype: str = "float32") -> Any:
    return fastrnn.pack_rnn(np.zeros((hidden, inputs), dtype), np.zeros((hidden, hidden), dtype))


X = np.zeros((4, 2, 3), "float32")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"layers": []}, ValueError, r"^layers: expected one or more, got none$"),
        ({"layers": rnn(3, 5)}, TypeError, r"^layers: expected a sequence of PackedWeights or pairs of them, got"),
        ({"layers": [rnn(3, 5), 1]}, TypeError, r"^layers\[1\]: expected PackedWeights or a pair of them, got int$"),
        ({"layers": [(rnn(3, 5), 1)]}, TypeError, r"^layers\[0\]: expected PackedWeights, got int$"),
        ({"layers": [()]}, ValueError, r"^layers\[0\]: expected one or two directions, got 0$"),
        ({"layers": [], "device": "cuda"}, ValueError, r"^layers: expected one or more, got none$"),
        ({"layers": [()], "device": "cuda"}, ValueError, r"^layers\[0\]: expected one or two directions, got 0$"),
        ({"layers": [[rnn(3, 5)] * 3]}, ValueError, r"^layers\[0\]: expected one or two directions, got 3$"),
        (
            {"layers": [(rnn(3, 5), rnn(3, 5)), rnn(10, 5)]},
            ValueError,
            r"^layers\[1\]: expected 2 directions as layers\[0\], got 1$",
        ),
        (
            {"layers": [rnn(3, 5), rnn(5, 5, "float64")]},
            TypeError,
            r"^layers\[1\]: expected weights for x of float32 as layers\[0\], got float64$",
        ),
        (
            {"layers": [rnn(3, 5), fastrnn.pack_gru(np.zeros((15, 5), "f"), np.zeros((15, 5), "f"))]},
            ValueError,
            r"^layers\[1\]: expected cell 'rnn' as layers\[0\], got 'gru'$",
        ),
        (
            {"layers": [(rnn(3, 5), rnn(3, 6))]},
            ValueError,
            r"^layers\[0\]\[1\]: expected hidden size 5 as layers\[0\]\[0\], got 6$",
        ),
        (
            {"layers": [(rnn(3, 5), rnn(4, 5))]},
            ValueError,
            r"^layers\[0\]\[1\]: expected input size 3 as layers\[0\]\[0\], got 4$",
        ),
        (
            {"layers": [(rnn(3, 5), rnn(3, 5)), (rnn(10, 5), rnn(5, 5))]},
            ValueError,
            r"^layers\[1\]\[1\]: expected input size 10, the width of the output of layers\[0\], got 5$",
        ),
        ({"merge": "max"}, ValueError, r"^merge: expected one of 'concat', 'sum', 'mean', 'ave', 'mul', got 'max'$"),
        ({"dropout": 1.0}, ValueError, r"^dropout: expected a rate in \[0, 1\), got 1.0$"),
        ({"dropout": -0.1}, ValueError, r"^dropout: expected a rate in \[0, 1\), got -0.1$"),
        ({"dropout": float("nan")}, ValueError, r"^dropout: expected a rate in \[0, 1\), got nan$"),
        ({"dropout": "0.5"}, TypeError, r"^dropout: expected a float, got str$"),
        ({"dropout": True}, TypeError, r"^dropout: expected a float, got bool$"),
        ({"x": X.astype("float64")}, TypeError, r"^x: expected float32 \(the dtype of the weights\), got float64$"),
        ({"x": X[0]}, ValueError, r"^x: expected shape \(T, B, I\), got \(2, 3\)$"),
        ({"x": X[..., :2]}, ValueError, r"^x: expected shape \(4, 2, 3\), got \(4, 2, 2\)$"),
        ({"h0": X[:1]}, ValueError, r"^h0: expected shape \(2, 2, 5\), got \(1, 2, 3\)$"),
        ({"lengths": [5, 1]}, ValueError, r"^lengths: expected values in 0..4, got 5 at index 0$"),
        ({"lengths": [1]}, ValueError, r"^lengths: expected shape \(2,\), got \(1,\)$"),
        ({"threads": 0}, ValueError, r"^threads: expected 1..4096, got 0$"),
        ({"out": np.zeros((4, 2, 6), "f")}, ValueError, r"^out: expected shape \(4, 2, 5\), got \(4, 2, 6\)$"),
    ],
    ids=lambda v: "" if isinstance(v, type) else None,
)
def test_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        stack_forward(**{"x": X, "layers": [rnn(3, 5), rnn(5, 5)], **arguments})


def test_training_takes_exact_weights():
    layers = [rnn(3, 5), fastrnn.pack_rnn(np.zeros((5, 5), "f"), np.zeros((5, 5), "f"), dtype="int8")]
    y = np.full((4, 2, 5), 7, "float32")
    with pytest.raises(ValueError, match=r"^training: expected weights of full precision with exact activations$"):
        stack_forward(X, layers, training=True, out=y)
    assert (y == 7).all()


def test_out_shares_no_memory():
    memory = np.zeros((4, 2, 5), "float32")
    with pytest.raises(ValueError, match=r"^out: shares memory with x$"):
        stack_forward(memory, [rnn(5, 5)], out=memory)
    h0 = np.zeros((2, 2, 5), "float32")
    with pytest.raises(ValueError, match=r"^out: shares memory with h0$"):
        stack_forward(X[:2], [rnn(3, 5), rnn(5, 5)], h0, out=h0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"dy": X}, ValueError, r"^dy: expected shape \(4, 2, 5\), got \(4, 2, 3\)$"),
        ({"dy": np.zeros((4, 2, 5))}, TypeError, r"^dy: expected float32 \(the dtype of x\), got float64$"),
        ({"dh_n": X}, ValueError, r"^dh_n: expected shape \(2, 2, 5\), got \(4, 2, 3\)$"),
        ({"threads": 0}, ValueError, r"^threads: expected 1..4096, got 0$"),
    ],
    ids=["dy", "dtype", "dh_n", "threads"],
)
def test_errors_of_backward(arguments, error, message):
    *_, cache = stack_forward(X, [rnn(3, 5), rnn(5, 5)], training=True)
    with pytest.raises(error, match=message):
        stack_backward(**{"dy": None, "cache": cache, **arguments})
