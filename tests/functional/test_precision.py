"""Weights of 16 and 8 bits: the arithmetic of each dtype, what is exact in it, and what NaN, zeros and denormals do.

tests/support/quantised.py defines the arithmetic. A product is rounded before it is summed, so that the last bit of h
can move the next step by a unit of the quantisation. Here every step is therefore held against one from the same
float32 states: then both round the same numbers, and what is left is float32 rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.support import quantised
from tests.support.packed import forward_packed, pack
from tests.support.variants import (
    GATES,
    VARIANTS,
    Problem,
    Variant,
    all_variants,
    assert_same,
    make_problem,
    output_tuple,
    some_variants,
    tolerance,
    use_isa,
)

DTYPES = tuple(quantised.PRODUCTS)
low_dtypes = pytest.mark.parametrize("dtype", DTYPES)
# (H, I, B, T): a block is 512 terms of int8 and 256 of bfloat16, and a vector up to 16 units
ODD = ((1, 1, 7, 4), (3, 17, 7, 4), (17, 3, 2, 4), (33, 1100, 3, 2), (130, 33, 9, 2), (17, 0, 3, 4))
MIDDLE = {"hidden": 37, "inputs": 21, "batch": 5, "steps": 1}


def one_vector_a_unit(variant: Variant) -> bool:
    """Whether a step multiplies x and h alone. Others multiply c' or r*h, too, which the step computes and rounds."""
    two = variant.id == "gru-before" or (
        variant.peephole == "full" and ("peephole_output", "current") in variant.options
    )
    return not two


def every_step(problem: Problem, packed: Any) -> tuple[Problem, Any]:
    """The T steps of a problem, one call each, and the problem that has them all as one step of T * B rows."""
    arrays, names = problem.arrays, problem.variant.states
    states = {name: arrays[name] for name in names}
    befores, results = [], []
    for x in arrays["x"]:
        befores.append(states)
        y, *final = forward_packed(Problem(problem.variant, {**arrays, **states, "x": x[None]}, {}), packed)
        results.append((y, *final))
        states = dict(zip(names, final, strict=True))
    rows = {name: np.concatenate([before[name] for before in befores], axis=1) for name in names}
    x = arrays["x"]
    rows["x"] = x.reshape(1, x.shape[0] * x.shape[1], x.shape[2])
    side_by_side = Problem(problem.variant, {**arrays, **rows}, {})
    return side_by_side, tuple(np.concatenate(parts, axis=1) for parts in zip(*results, strict=True))


@pytest.mark.parametrize(("hidden", "inputs", "batch", "steps"), ODD, ids=lambda n: str(n))
@low_dtypes
@all_variants
def test_a_step_is_the_references(variant, dtype, hidden, inputs, batch, steps, isa):
    problem = make_problem(variant, hidden=hidden, inputs=inputs, batch=batch, steps=steps, dtype="float32")
    check_steps(problem, dtype)


@low_dtypes
@some_variants
def test_a_step_is_the_references_where_h_is_more_than_a_block(variant, dtype, isa):
    check_steps(make_problem(variant, hidden=530, inputs=5, batch=3, steps=2, dtype="float32"), dtype)


def check_steps(problem: Problem, dtype: str) -> None:
    """A row's error is float32 rounding; but where a step rounds a vector of its own, some rows may be off further.

    c' and r*h differ in their last bits, and once in some ten thousand times the point where rounding changes over lies
    between the two: then that product is off by a unit, 2^-7 of the largest element or less, times a weight. Two such
    elements in a row of so few are hardly ever met.
    """
    inputs, hidden = problem.arrays["x"].shape[2], problem.arrays["h0"].shape[2]
    together, actual = every_step(problem, pack(problem, dtype=dtype))
    expected = together.forward(quantised, dtype=dtype)
    errors = np.zeros(together.arrays["x"].shape[1])
    for a, e in zip(actual, expected, strict=True):
        assert a.dtype == np.float32
        assert a.shape == e.shape
        error = np.abs(a.astype(np.float64) - e) / np.maximum(np.abs(e), 1)
        errors = np.maximum(errors, error.max(axis=(0, 2)))
    near = tolerance("float32", hidden=hidden, inputs=inputs, batch=1, steps=1)
    if one_vector_a_unit(problem.variant) or dtype == "bfloat16_weights":
        assert errors.max() <= near
        return
    largest = max(1.0, float(np.abs(actual[-1]).max()))
    weight = max(float(np.abs(problem.arrays[name]).max()) for name in ("w_hh", "w_peep") if name in problem.arrays)
    assert errors.max() <= near + 2 * 2.0**-7 * largest * weight
    assert np.sum(errors > near) <= 1 + 0.1 * errors.size


@low_dtypes
@all_variants
def test_nothing_to_do(variant, dtype, isa):
    """No steps, no rows, no inputs."""
    for steps, batch in ((0, 3), (2, 0), (0, 0)):
        problem = make_problem(variant, hidden=5, inputs=0, batch=batch, steps=steps, dtype="float32")
        y, *final = forward_packed(problem, pack(problem, dtype=dtype))
        assert y.shape == (steps, batch, 5)
        if steps == 0:
            assert_same(final, [problem.arrays[name] for name in variant.states])


# --------------------------------------------------------------------------------------------- what is the same bits


def identity_layer(x: Any, w: Any, dtype: str) -> Any:
    """W x, as one step of an RNN."""
    packed = fastrnn.pack_rnn(w, np.zeros((len(w), len(w)), np.float32), activation="identity", dtype=dtype)
    return fastrnn.rnn_forward(x[None], packed).y[0]


@pytest.mark.parametrize("k", [1, 3, 4, 17, 33, 130, 511, 512])
@pytest.mark.parametrize("rows", [1, 2, 13])
def test_int8_is_an_integer_product_times_two_scales(k, rows, isa):
    """So that all instruction sets agree: the integers are exact and each float operation is rounded the same."""
    rng = np.random.default_rng([k, rows])
    x, w = (rng.standard_normal((n, k)).astype(np.float32) for n in (rows, 35))
    (q_x, scale_x), (q_w, scale_w) = quantised.quantise_rows(x), quantised.quantise_rows(w)
    whole = (q_x.astype(np.int32) @ q_w.T.astype(np.int32)).astype(np.float32)
    np.testing.assert_array_equal(identity_layer(x, w, "int8"), whole * (scale_x * scale_w.T))


@pytest.mark.parametrize("which", ["x", "w"])
def test_int8_rows_of_small_numbers_have_a_scale_too(which, isa):
    """Down to 1e-30, below which a row is nothing: 127 / amax might be infinite."""
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal((n, 33)).astype(np.float32) for n in (7, 7))
    small = {"x": x, "w": w}[which]
    small /= np.abs(small).max(axis=1, keepdims=True)
    small *= np.float32([[1], [1e-4], [1e-5], [0.9e-5], [1e-15], [1.1e-30], [0.9e-30]])
    (q_x, scale_x), (q_w, scale_w) = quantised.quantise_rows(x), quantised.quantise_rows(w)
    expected = (q_x.astype(np.int32) @ q_w.T.astype(np.int32)).astype(np.float32) * (scale_x * scale_w.T)
    there = expected.any(axis=1 if which == "x" else 0)
    assert there[:6].all()
    assert not there[6]
    np.testing.assert_array_equal(identity_layer(x, w, "int8"), expected)


@pytest.mark.parametrize("k", [513, 1024, 1100])
@pytest.mark.parametrize("rows", [1, 2, 13])
@low_dtypes
def test_whole_numbers_are_exact_over_many_blocks(dtype, k, rows, isa):
    """With a largest magnitude of 127 the scale is 1; sums below 2^24 are exact in float32, in any order."""
    rng = np.random.default_rng([k, rows])
    x, w = (rng.integers(-100, 101, (n, k)).astype(np.float32) for n in (rows, 35))
    x[:, 7] = w[:, k - 1] = -127
    np.testing.assert_array_equal(identity_layer(x, w, dtype), x.astype(np.int64) @ w.T.astype(np.int64))


@pytest.mark.parametrize(("hidden", "inputs", "batch"), [(35, 301, 1), (35, 301, 13), (3, 1, 4)])
def test_bfloat16_is_the_same_on_all_instruction_sets(hidden, inputs, batch):
    """Products of two bfloat16 are exact in float32, so that fusing them with the sum changes nothing."""
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal((n, inputs)).astype(np.float32) for n in (batch, hidden))
    results = []
    for name in fastrnn.isa_available():
        with use_isa(name):
            results.append(identity_layer(x, w, "bfloat16"))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("dtype", ["bfloat16", "bfloat16_weights"])
@pytest.mark.parametrize("which", ["x", "w"])
def test_bfloat16_rounds_ties_to_even(which, dtype, isa):
    """Times an identity: what comes out is what was multiplied. Beside the ties, their neighbours."""
    upper = np.arange(0x3F80, 0x3F80 + 21, dtype=np.uint32) << 16
    ties = np.stack([upper | low for low in (0x7FFF, 0x8000, 0x8001)]).view(np.float32)
    eye = np.eye(21, dtype=np.float32)
    y = identity_layer(ties, eye, dtype) if which == "x" else identity_layer(eye, ties, dtype).T
    rounded = which == "w" or dtype == "bfloat16"
    np.testing.assert_array_equal(y, quantised.round_bfloat16(ties) if rounded else ties)


@low_dtypes
@some_variants
def test_packing_converts(variant, dtype, isa):
    """float64 parameters are first what they are in float32."""
    problem = make_problem(variant, **MIDDLE, dtype="float32")
    wide = pack(problem.astype("float64"), dtype=dtype)
    assert_same(forward_packed(problem, wide), forward_packed(problem, pack(problem, dtype=dtype)))


# ----------------------------------------------------------------------------------- NaN, infinities, zeros, denormals

every_dtype = pytest.mark.parametrize("dtype", ["float32", *DTYPES])


def poisoned(problem: Problem, name: str, at: tuple[int, ...], value: float) -> Problem:
    array = problem.arrays[name].copy()
    array[at] = value
    return Problem(problem.variant, {**problem.arrays, name: array}, problem.run)


@pytest.mark.parametrize("name", ["x", "h0"])
@pytest.mark.parametrize("value", [np.nan, -np.inf], ids=str)
@every_dtype
@all_variants
def test_what_is_not_finite_reaches_its_row_alone(variant, dtype, value, name, isa):
    problem = make_problem(variant, **MIDDLE, dtype="float32")
    packed = pack(problem, dtype=dtype)
    clean = forward_packed(problem, packed)
    spoiled = forward_packed(poisoned(problem, name, (0, 3, 20), value), packed)
    others = [0, 1, 2, 4]
    assert_same([a[:, others] for a in spoiled], [a[:, others] for a in clean])
    if np.isnan(value) or dtype == "int8":  # an infinity has no scale
        assert all(np.isnan(a[:, 3]).all() for a in spoiled)


@pytest.mark.parametrize("name", ["w_ih", "w_hh"])
@pytest.mark.parametrize("value", [np.nan, np.inf], ids=str)
@every_dtype
@some_variants
def test_what_is_not_finite_in_a_weight_reaches_its_unit_alone(variant, dtype, value, name, isa):
    """A weight of the last gate: no other unit depends on it before the step ends."""
    problem = make_problem(variant, **MIDDLE, dtype="float32")
    clean = forward_packed(problem, pack(problem, dtype=dtype))
    unit, gates = 19, GATES[variant.cell]
    bad = poisoned(problem, name, ((gates - 1) * 37 + unit, 20), value)
    spoiled = forward_packed(problem, pack(bad, dtype=dtype))
    assert_same([np.delete(a, unit, axis=2) for a in spoiled], [np.delete(a, unit, axis=2) for a in clean])
    if np.isnan(value) or dtype == "int8":
        assert np.isnan(spoiled.y[..., unit]).all()


@pytest.mark.parametrize("bits", [0x7F800001, 0xFFBFFFFF, 0x7F80FFFF, 0x7FFFFFFF], ids=hex)
@low_dtypes
def test_a_nan_stays_one_whatever_its_payload(dtype, bits, isa):
    """The upper half of a NaN with low bits alone is an infinity; rounding another up would change its sign."""
    rng = np.random.default_rng(0)
    x, w = (rng.uniform(0.5, 1, (n, 21)).astype(np.float32) for n in (3, 17))
    for array, at in ((x, np.s_[1]), (w, np.s_[:, 1])):
        bad = array.copy()
        bad.view(np.uint32)[1, 20] = bits
        y = identity_layer(bad if array is x else x, bad if array is w else w, dtype)
        assert np.isnan(y[at]).all()
        assert np.isnan(y).sum() == y[at].size


@pytest.mark.parametrize("name", ["x", "h0", "w_ih", "w_hh"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
@low_dtypes
@some_variants
def test_what_is_not_finite_is_so_in_the_reference(variant, dtype, value, name, isa):
    at = (3, 20) if name.startswith("w_") else (0, 3, 20)
    problem = poisoned(make_problem(variant, **MIDDLE, dtype="float32"), name, at, value)
    actual = forward_packed(problem, pack(problem, dtype=dtype))
    with np.errstate(invalid="ignore", over="ignore"):
        expected = problem.forward(quantised, dtype=dtype)
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(np.isfinite(a), np.isfinite(e))
        np.testing.assert_allclose(a, e, rtol=0, atol=2e-3)  # a flipped unit of r*h or c'


@pytest.mark.parametrize("tiny", [0.0, 1e-40, -1e-42])
@every_dtype
@some_variants
def test_zeros_and_denormals_are_nothing(variant, dtype, tiny, isa):
    """A row of them has no scale to divide by. In x it counts as a row of zeros, in a matrix as a unit without one."""
    problem = make_problem(variant, **MIDDLE, dtype="float32")
    without = pack(Problem(variant, {**problem.arrays, "w_ih": np.zeros_like(problem.arrays["w_ih"])}, {}), dtype=dtype)
    expected = forward_packed(problem, without)
    nothing = np.full_like(problem.arrays["x"], tiny)
    packed = pack(problem, dtype=dtype)
    assert_same(forward_packed(Problem(variant, {**problem.arrays, "x": nothing}, {}), packed), expected)
    weights = np.full_like(problem.arrays["w_ih"], tiny)
    packed = pack(Problem(variant, {**problem.arrays, "w_ih": weights}, {}), dtype=dtype)
    assert_same(forward_packed(problem, packed), expected)


# ------------------------------------------------------------------------------------------------------ the interface

PACKINGS = [*({"dtype": dtype} for dtype in DTYPES), {"fast_activations": True}]
low_packings = pytest.mark.parametrize("packing", PACKINGS, ids=lambda p: p.get("dtype", "fast_activations"))


@low_packings
@some_variants
def test_training_is_refused(variant, packing):
    problem = make_problem(variant, **MIDDLE, dtype="float32")
    with pytest.raises(ValueError, match=r"^training: expected weights of full precision with exact activations"):
        forward_packed(problem, pack(problem, **packing), training=True)


@low_packings
@some_variants
def test_arrays_of_float64_are_refused(variant, packing):
    problem = make_problem(variant, **MIDDLE, dtype="float32")
    packed = pack(problem, **packing)
    for name in ("x", *variant.states):
        wide = Problem(variant, {**problem.arrays, name: problem.arrays[name].astype("float64")}, {})
        with pytest.raises(TypeError, match=rf"^{name}: expected float32 \(the dtype of .*\), got float64$"):
            forward_packed(wide, packed)


@low_dtypes
@some_variants
def test_packed_weights_tell_their_dtype(variant, dtype, isa):
    packed = pack(make_problem(variant, **MIDDLE, dtype="float32"), dtype=dtype)
    assert packed.dtype == dtype
    assert not packed.fast_activations
    assert repr(packed) == f"PackedWeights({variant.cell}, 21 -> 37, {dtype}, {isa})"


@all_variants
def test_packed_weights_take_a_half_and_a_quarter_of_the_memory(variant, isa):
    """At sizes where padding and the scales take little beside them."""
    problem = make_problem(variant, hidden=128, inputs=128, batch=1, steps=1, dtype="float32")
    full = pack(problem).nbytes
    assert pack(problem, dtype="bfloat16").nbytes == pack(problem, dtype="bfloat16_weights").nbytes <= 0.53 * full
    assert pack(problem, dtype="int8").nbytes <= 0.3 * full


@all_variants
def test_fast_activations_are_taken_and_near(variant, isa):
    """csrc/cpu/math-inl.h states 6.5e-5; a step has at most four in a row, none of which amplifies an error above 1."""
    problem = make_problem(variant, **MIDDLE, dtype="float32")
    packed = pack(problem, fast_activations=True)
    assert packed.fast_activations
    fast, exact = forward_packed(problem, packed), problem.forward(fastrnn)
    assert output_tuple(variant, fastrnn) is type(fast)
    for a, e in zip(fast, exact, strict=True):
        assert np.abs(a - e).max() <= 4 * 6.5e-5 * max(1.0, float(np.abs(e).max()))
    exact_already = dict(variant.options).get("activation") in ("relu", "identity")
    assert np.array_equal(fast.y, exact.y) == exact_already


def test_fast_activations_are_for_float32():
    problem = make_problem(VARIANTS[0], **MIDDLE)
    with pytest.raises(ValueError, match=r"^fast_activations: expected False for float64, got True$"):
        pack(problem, fast_activations=True)
