"""The usual call of packed weights, which native code answers alone, is the same as one that takes the long way."""

from __future__ import annotations

import gc
import sys

import numpy as np
import pytest

import fastrnn
from fastrnn.functional._cells import CELLS
from tests.support.variants import NOT_PARAMETERS, Variant, assert_same, make_problem

T, B, I, H = 5, 3, 2, 4  # noqa: E741  # the names of the documentation
LONG = {"seed": None}  # a further keyword, even one without effect, makes a call go the long way
every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=lambda cell: cell.name)


def problem(cell, dtype="float32"):
    """x, packed weights and initial states."""
    arrays = make_problem(Variant("", cell.name), hidden=H, inputs=I, batch=B, steps=T, dtype=dtype).arrays
    weights = {name: array for name, array in arrays.items() if name not in NOT_PARAMETERS}
    return arrays["x"], cell.pack(**weights), {name: arrays[name] for name in cell.states}


def layouts(x):
    """x as it lies, and views with other strides."""
    wide = np.zeros((T, 2 * B, I + 3), x.dtype)
    wide[:, ::2, :I] = x
    return x, wide[:, ::2, :I], np.repeat(x, 2, axis=2)[..., ::2], x[::-1, ::-1]


@every_cell
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("how", [{}, {"reverse": True, "threads": 2}, {"batch_first": True}])
def test_forward(cell, dtype, how):
    x, packed, states = problem(cell, dtype)
    if how.get("batch_first"):
        x = np.ascontiguousarray(x.swapaxes(0, 1))[:T, :B].copy()
        states = {name: np.repeat(state[:, :1], len(x), axis=1) for name, state in states.items()}
    for given in ({}, states, {"h0": states["h0"]}):
        for view in layouts(x) if not how.get("batch_first") else (x,):
            quick = cell.forward(view, packed, **given, **how)
            assert type(quick) is cell.output
            assert_same(quick, cell.forward(view, packed, **given, **how, **LONG))
            assert all(array.flags.writeable and array.flags.c_contiguous for array in quick)


@every_cell
@pytest.mark.parametrize("shape", [(0, B, I), (T, 0, I), (1, 1, I), (2, 40, I)])
def test_sizes(cell, shape):
    _, packed, _ = problem(cell)
    x = np.ones(shape, "float32")
    assert_same(cell.forward(x, packed), cell.forward(x, packed, **LONG))


@every_cell
def test_step(cell):
    x, packed, states = problem(cell)
    one = {name: state[0] for name, state in states.items()}
    for given in ({}, one):
        quick = cell.step(x[0], packed, **given)
        long = cell.step(x[0], packed, **given, seed=1)
        assert type(quick) is type(long) is (np.ndarray if cell.state is None else cell.state)
        assert_same((quick,) if cell.state is None else quick, (long,) if cell.state is None else long)


@every_cell
def test_out(cell):
    x, packed, _ = problem(cell)
    out = np.empty((T, B, H), "float32")
    assert cell.forward(x, packed, out=out).y is out
    assert_same((out,), (cell.forward(x, packed).y,))
    with pytest.raises(ValueError, match="out: shares memory with h0"):
        cell.forward(np.zeros((1, B, I), "float32"), packed, h0=out[:1], out=out[:1])


@every_cell
def test_what_is_wrong_is_still_said(cell):
    x, packed, states = problem(cell)
    other = CELLS["mgu" if cell.name != "mgu" else "gru"]
    for call, error, message in (
        (lambda: cell.forward(x[..., :1], packed), ValueError, r"x: expected shape \(5, 3, 2\), got \(5, 3, 1\)"),
        (lambda: cell.forward(x[0], packed), ValueError, r"x: expected shape \(T, B, I\)"),
        (lambda: cell.forward(x.astype("float64"), packed), TypeError, "x: expected float32"),
        (lambda: cell.forward(x, packed, h0=states["h0"][:, :1]), ValueError, "h0: expected shape"),
        (lambda: cell.forward(x, packed, out=np.empty((T, B, 1), "float32")), ValueError, "out: expected shape"),
        (lambda: other.forward(x, packed), ValueError, "w_ih: expected PackedWeights of"),
        (lambda: cell.forward(x, packed, threads=0), ValueError, "threads: expected 1.."),
        (lambda: cell.forward(x, packed, threads=2**70), ValueError, "threads: expected 1.."),
        (lambda: cell.step(x, packed), ValueError, r"x: expected shape \(B, I\)"),
        (lambda: cell.forward(x, packed, b_hh=x), ValueError, "b_hh: expected nothing beside PackedWeights"),
    ):
        with pytest.raises(error, match=message):
            call()


@every_cell
def test_nothing_is_kept(cell):
    x, packed, states = problem(cell)
    out, one = np.empty((T, B, H), "float32"), {name: state[0] for name, state in states.items()}
    kept = (x, packed, out, cell.output, *states.values(), *one.values())

    def calls():
        for _ in range(300):
            cell.forward(x, packed, out=out)
            cell.forward(x, packed, **states)
            cell.step(x[0], packed, **one)
            cell.step(x[0], packed)
        gc.collect()  # empties Python's lists of free tuples
        return [sys.getrefcount(o) for o in kept], sys.getallocatedblocks()

    calls()
    before, blocks = calls()
    after, more = calls()
    assert after == before
    assert more - blocks < 100


def test_a_seed_left_out_is_a_fresh_one():
    x, packed, _ = problem(CELLS["gru"])
    ys = [fastrnn.gru_forward(x, packed, training=True, dropout=0.5)[0] for _ in range(8)]
    assert len({y.tobytes() for y in ys}) > 1
