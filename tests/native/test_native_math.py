"""The kernels' own sigmoid, tanh and matrix product: float32 against float64, float64 against long double.

float32 is checked on a sample of all its bit patterns; FASTRNN_EXHAUSTIVE=1 takes every one, in ten minutes a function.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest

from fastrnn import _core

# A prime, so that the sample meets every mantissa pattern's neighbourhood.
STRIDE = 1 if os.environ.get("FASTRNN_EXHAUSTIVE") == "1" else 1009
CHUNK = 1 << 22

# What csrc/cpu/math-inl.h states. Fast: absolute for sigmoid, relative for tanh.
WITHIN_ULP = 2.6
FAST_WITHIN = {"sigmoid": 2.9e-5, "tanh": 6.5e-5}
RANGE = {"sigmoid": (0, 1), "tanh": (-1, 1)}


def every_float32() -> Iterator[np.ndarray]:
    """All bit patterns, or a sample of them: both signs, denormals, infinities and NaNs among them."""
    for start in range(0, 1 << 32, CHUNK * STRIDE):
        stop = min(start + CHUNK * STRIDE, 1 << 32)
        yield np.arange(start, stop, STRIDE, dtype=np.uint64).astype(np.uint32).view(np.float32)


def exact(name: str, x: np.ndarray) -> np.ndarray:
    """In the precision of x, without overflow."""
    if name == "tanh":
        return np.tanh(x)
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def ulps(actual: np.ndarray, expected: np.ndarray, dtype: type) -> np.ndarray:
    """Distance in units of the last place of the expected value, no finer than at the smallest normal number."""
    spacing = np.spacing(np.maximum(np.abs(expected), np.finfo(dtype).tiny).astype(dtype))
    return np.abs(actual - expected) / spacing


@pytest.mark.parametrize("name", RANGE)
def test_float32(name, isa):
    tiny = np.finfo(np.float32).tiny
    worst, worst_fast = (0.0, 0.0), (0.0, 0.0)  # each with the x where it was met
    for x in every_float32():
        plain, fast = _core.activate(name, x), _core.activate(name, x, fast=True)
        nan = np.isnan(x)
        assert np.array_equal(np.isnan(plain), nan)
        assert np.array_equal(np.isnan(fast), nan)
        x, plain, fast = x[~nan], plain[~nan], fast[~nan]
        for y in (plain, fast):
            assert np.all((y >= RANGE[name][0]) & (y <= RANGE[name][1]))
        if name == "tanh":
            assert np.array_equal(_core.activate(name, -x), -plain)
            assert np.array_equal(_core.activate(name, -x, fast=True), -fast)

        expected = exact(name, x.astype(np.float64))
        # Below the smallest normal number a result may be flushed to zero: its distance is measured from there.
        small = np.abs(expected) < tiny
        assert np.all(np.abs(plain - expected)[small] <= tiny)
        error = np.where(small, 0, ulps(plain, expected, np.float32))
        error_fast = np.abs(fast - expected)
        if name == "tanh":
            error_fast = np.where(small, 0, error_fast / np.maximum(np.abs(expected), tiny))
        if x.size > 0:
            worst = max(worst, (float(error.max()), float(x[error.argmax()])))
            worst_fast = max(worst_fast, (float(error_fast.max()), float(x[error_fast.argmax()])))
    print(f"{name}: {worst[0]:.4g} ulp at {worst[1]:.9g}; fast: {worst_fast[0]:.4g} at {worst_fast[1]:.9g}")
    assert worst[0] <= WITHIN_ULP, worst
    assert worst_fast[0] <= FAST_WITHIN[name], worst_fast
    assert worst_fast[0] > FAST_WITHIN[name] / 2  # it is the fast one


@pytest.mark.parametrize("name", RANGE)
def test_float64_against_long_double(name, isa):
    if np.finfo(np.longdouble).eps > 1e-18:
        pytest.skip("long double is no wider than double here")
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, s, 200001) for s in (1e-300, 1e-8, 1e-3, 0.3, 1, 5, 30, 300)])
    actual, expected = _core.activate(name, x), exact(name, x.astype(np.longdouble))
    assert np.all((actual >= RANGE[name][0]) & (actual <= RANGE[name][1]))
    if name == "tanh":
        np.testing.assert_array_equal(_core.activate(name, -x), -actual)
    error = ulps(actual, expected, np.float64)[np.abs(expected) >= np.finfo(np.float64).tiny]
    assert error.max() <= WITHIN_ULP
    np.testing.assert_array_equal(_core.activate(name, x, fast=True), actual)  # float64 has no fast mode


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extremes(dtype, fast, isa):
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1e30], dtype)
    tanh = _core.activate("tanh", x, fast=fast)
    np.testing.assert_array_equal(tanh, np.array([np.nan, 1, -1, 0, 0, 1, -1], dtype))
    sigmoid = _core.activate("sigmoid", x, fast=fast)
    np.testing.assert_array_equal(sigmoid[:6], np.array([np.nan, 1, sigmoid[2], 0.5, 0.5, 1], dtype))
    assert 0 <= sigmoid[2] <= np.finfo(dtype).tiny
    assert 0 <= sigmoid[6] <= np.finfo(dtype).tiny
    np.testing.assert_array_equal(_core.activate("relu", x), np.array([np.nan, np.inf, 0, 0, 0, 1e30, 0], dtype))


def test_every_length_and_tail(isa):
    for n in range(40):
        x = np.linspace(-3, 3, n, dtype=np.float32)
        np.testing.assert_allclose(_core.activate("tanh", x), np.tanh(x), rtol=5e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("m", [0, 1, 2, 7, 80, 200])
def test_matmul(m, dtype, isa):
    """Against float64; each row alone gives the same bits; strided operands are taken as they are."""
    rng = np.random.default_rng(m)
    for k, n in [(0, 3), (1, 1), (5, 17), (130, 70), (300, 33)]:
        a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
        actual = _core.matmul(a, b)
        # Sums of k terms of unit variance, by blocks: eps/2 for each of at most 64 + k/64 additions.
        tolerance = np.finfo(dtype).eps * (64 + k / 64) * max(np.sqrt(k), 1)
        np.testing.assert_allclose(actual, a.astype(np.float64) @ b.astype(np.float64), rtol=0, atol=tolerance)
        for row in range(m):
            np.testing.assert_array_equal(_core.matmul(a[row : row + 1], b)[0], actual[row])
        np.testing.assert_array_equal(_core.matmul(np.asfortranarray(a), b[:, ::-1])[:, ::-1], actual)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_packed_matrix_gives_the_same_bits(dtype, isa):
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((13, 70)).astype(dtype), rng.standard_normal((70, 33)).astype(dtype)
    packed = _core.pack_matrix(b)
    out = np.empty((13, 33), dtype)
    assert _core.matmul(a, packed, out=out) is out
    np.testing.assert_array_equal(out, _core.matmul(a, b))
    np.testing.assert_array_equal(_core.matmul(a[4:5], packed), out[4:5])


def test_packed_matrix_errors():
    packed = _core.pack_matrix(np.ones((3, 2), np.float32))
    with pytest.raises(TypeError, match="b: expected dtype float64 as a, got float32"):
        _core.matmul(np.ones((2, 3)), packed)
    with pytest.raises(ValueError, match=r"a: expected shape \(2, 3\), got \(2, 4\)"):
        _core.matmul(np.ones((2, 4), np.float32), packed)
    with pytest.raises(ValueError, match=r"b: expected shape \(K, N\), got \(3,\)"):
        _core.pack_matrix(np.ones(3, np.float32))
    a = np.ones((3, 3), np.float32)
    with pytest.raises(ValueError, match="out: shares memory with a"):
        _core.matmul(a, _core.pack_matrix(a.copy()), out=a)


def test_matmul_errors():
    a = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match=r"b: expected shape \(3, 5\), got \(4, 5\)"):
        _core.matmul(a, np.zeros((4, 5), np.float32))
    with pytest.raises(TypeError, match=r"b: expected float32 \(the dtype of a\), got float64"):
        _core.matmul(a, np.zeros((3, 5)))


def test_a_factor_without_rows_takes_no_time():
    packed = _core.pack_matrix(np.zeros((0, 2**40), np.float32))
    with pytest.raises((MemoryError, ValueError)):
        _core.matmul(np.zeros((2**20, 0), np.float32), packed)
