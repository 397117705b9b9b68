"""The kernels' own sigmoid, tanh and matrix product: float32 against float64, float64 against long double.

float32 is checked on a sample of all its bit patterns; FASTRNN_EXHAUSTIVE=1 takes every one (half an hour a function).
"""

from __future__ import annotations

import os

import numpy as np
import pytest

from fastrnn import _core

# A prime, so that the sample meets every mantissa pattern's neighbourhood.
STRIDE = 1 if os.environ.get("FASTRNN_EXHAUSTIVE") == "1" else 1009
CHUNK = 1 << 24


def exact(name: str, x: np.ndarray) -> np.ndarray:
    """In float64, without overflow."""
    if name == "tanh":
        return np.tanh(x)
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def ulps(actual: np.ndarray, expected: np.ndarray, dtype: type) -> np.ndarray:
    """Distance in units of the last place of the expected value, no finer than at the smallest normal number."""
    spacing = np.spacing(np.maximum(np.abs(expected), np.finfo(dtype).tiny).astype(dtype)).astype(np.float64)
    return np.abs(actual.astype(np.float64) - expected) / spacing


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_float32_within_4_ulp(name, isa):
    worst = 0.0
    for start in range(0, 1 << 32, CHUNK * STRIDE):
        bits = np.arange(start, min(start + CHUNK * STRIDE, 1 << 32), STRIDE, dtype=np.uint64).astype(np.uint32)
        x = bits.view(np.float32)
        x = x[np.isfinite(x) & (np.abs(x) >= np.finfo(np.float32).tiny)]  # denormals are flushed, see the test below
        expected = exact(name, x.astype(np.float64))
        actual = _core.activate(name, x)
        # Below the smallest normal number a result may be flushed to zero: its distance is measured from there.
        small = np.abs(expected) < np.finfo(np.float32).tiny
        worst = max(worst, float(ulps(actual, expected, np.float32)[~small].max(initial=0)))
        assert np.all(np.abs(actual[small]) <= np.finfo(np.float32).tiny)
    assert worst <= 4, worst


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_float64_within_4_ulp_of_long_double(name, isa):
    if np.finfo(np.longdouble).eps > 1e-18:
        pytest.skip("long double is no wider than double here")
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, s, 20001) for s in (1e-300, 1e-8, 1e-3, 0.3, 1, 5, 30, 300)])
    expected = exact(name, x.astype(np.longdouble))
    keep = np.abs(expected) >= np.finfo(np.float64).tiny
    error = np.abs(_core.activate(name, x).astype(np.longdouble) - expected)[keep]
    assert float((error / np.spacing(np.abs(expected[keep]).astype(np.float64))).max()) <= 4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extremes(dtype, isa):
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1e30], dtype)
    np.testing.assert_array_equal(_core.activate("tanh", x), np.array([np.nan, 1, -1, 0, -0.0, 1, -1], dtype))
    sigmoid = _core.activate("sigmoid", x)
    np.testing.assert_array_equal(sigmoid[:6], np.array([np.nan, 1, sigmoid[2], 0.5, 0.5, 1], dtype))
    assert 0 <= sigmoid[2] <= np.finfo(dtype).tiny
    assert 0 <= sigmoid[6] <= np.finfo(dtype).tiny
    np.testing.assert_array_equal(_core.activate("relu", x), np.array([np.nan, np.inf, 0, 0, 0, 1e30, 0], dtype))
    assert np.signbit(_core.activate("tanh", x)[4])  # odd: tanh(-0) is -0


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


def test_matmul_errors():
    a = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match=r"b: expected shape \(3, 5\), got \(4, 5\)"):
        _core.matmul(a, np.zeros((4, 5), np.float32))
    with pytest.raises(TypeError, match=r"b: expected float32 \(the dtype of a\), got float64"):
        _core.matmul(a, np.zeros((3, 5)))
