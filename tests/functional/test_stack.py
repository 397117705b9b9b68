"""Stacks against the loop over their layers, on any threads, and as NumPy has their arrays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fastrnn
from fastrnn.functional.stack import StackOutput, stack_backward, stack_forward
from tests.support.stacks import (
    assert_derivatives,
    assert_equal,
    cells,
    forms,
    leaves,
    loop_backward,
    loop_forward,
    make,
)


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
    assert_derivatives(problem, problem.train()[1], directions=2)


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
