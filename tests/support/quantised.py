"""The arithmetics of 16- and 8-bit weights in plain NumPy: what the kernels of each weight dtype are held against.

They are the equations of :mod:`fastrnn.reference` with another matrix product in them. x, y, h and c are float32;
products are summed and gates computed in float64, so what is left is the rounding that the dtype asks for:

- "bfloat16": both operands of every matrix product are rounded to bfloat16
- "bfloat16_weights": the matrices alone are
- "int8": matrices and operands are rounded to multiples of a scale, one for each row: of a matrix, an output channel;
  of x, h, c or r*h, a row of the batch at one step

Biases, diagonal peepholes and everything element-wise stay as they are. ``rnn_forward``, ``lstm_forward`` and
``gru_forward`` take the arguments of their namesakes in the reference, and the dtype by its name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np

from fastrnn import reference
from fastrnn.reference import Array, lstm, products, rnn

INT8_LARGEST = np.float32(127)  # symmetric: -128 is not used
INT8_SMALLEST = np.float32(1e-30)  # a row whose largest magnitude is no larger counts as 0


def round_bfloat16(x: Any) -> Array:
    """float32, rounded to the nearest number whose low 16 bits are zero, ties to even; beyond the largest to inf."""
    x = np.ascontiguousarray(x, np.float32)
    bits = x.view(np.uint32)
    kept = (bits + (0x7FFF + ((bits >> 16) & 1))) & np.uint32(0xFFFF0000)
    return np.where(np.isnan(x), x, kept.view(np.float32))


def quantise_rows(x: Any) -> tuple[Array, Array]:
    """Integers q (..., K) in -127..127 and float32 scales (..., 1) with x = scale * q, nearly; computed in float32.

    scale = amax / 127 and q = rint(x * (127 / amax)), where amax is the row's largest magnitude. A row of zeros, or too
    small for 127 / amax to be a number, has the scale 0. A row with a NaN or an infinity in it has the scale NaN.
    """
    x = np.asarray(x, np.float32)
    amax = np.abs(x).max(axis=-1, keepdims=True, initial=0)
    finite = np.isfinite(amax)
    usable = finite & (amax > INT8_SMALLEST)
    divisor = np.where(usable, amax, 1)
    q = np.rint(np.where(usable, x, 0) * (INT8_LARGEST / divisor)).astype(np.int8)
    scale = np.where(usable, amax / INT8_LARGEST, np.where(finite, 0, np.nan))
    return q, scale.astype(np.float32)


def _product_bfloat16(v: Array, w: Array) -> Array:
    return round_bfloat16(v).astype(np.float64) @ round_bfloat16(w).T.astype(np.float64)


def _product_bfloat16_weights(v: Array, w: Array) -> Array:
    return v.astype(np.float32).astype(np.float64) @ round_bfloat16(w).T.astype(np.float64)


def _product_int8(v: Array, w: Array) -> Array:
    (q_v, scale_v), (q_w, scale_w) = quantise_rows(v), quantise_rows(w)
    return (q_v.astype(np.float64) @ q_w.T.astype(np.float64)) * scale_v * scale_w.T.astype(np.float64)


# (B,K) and (N,K) to (B,N)
PRODUCTS: dict[str, Callable[[Array, Array], Array]] = {
    "bfloat16": _product_bfloat16,
    "bfloat16_weights": _product_bfloat16_weights,
    "int8": _product_int8,
}


def _forward(cell: str, dtype: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Run the reference on float32 arrays with the product of ``dtype``; a state is rounded to float32 at each step.

    The reference quantises a slice of w_hh as it multiplies with it. That is the same as slicing the quantised matrix,
    because a scale belongs to one row.
    """
    multiply, peep = PRODUCTS[dtype], reference.peep

    def peep_by_product(p: reference.Params, gate: int, c: Array) -> Any:
        w = p.get("w_peep")
        return peep(p, gate, c) if w is None or w.ndim == 2 else multiply(c, w[gate])

    with contextlib.ExitStack() as patched:
        for module in (products, rnn, lstm):
            patched.enter_context(mock.patch.object(module, "affine", lambda v, w, b: multiply(v, w) + b))
        patched.enter_context(mock.patch.object(lstm, "peep", peep_by_product))
        return getattr(reference, f"{cell}_forward")(*arguments, **keywords, dtype=np.float32)


def rnn_forward(*arguments: Any, dtype: str, **keywords: Any) -> Any:
    """:func:`fastrnn.reference.rnn_forward` in the arithmetic of ``dtype``; results are float32."""
    return _forward("rnn", dtype, arguments, keywords)


def lstm_forward(*arguments: Any, dtype: str, **keywords: Any) -> Any:
    """:func:`fastrnn.reference.lstm_forward` in the arithmetic of ``dtype``; results are float32."""
    return _forward("lstm", dtype, arguments, keywords)


def gru_forward(*arguments: Any, dtype: str, **keywords: Any) -> Any:
    """:func:`fastrnn.reference.gru_forward` in the arithmetic of ``dtype``; results are float32."""
    return _forward("gru", dtype, arguments, keywords)
