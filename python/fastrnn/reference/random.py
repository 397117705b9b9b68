"""The masks of every kind of dropout, drawn by counter: an element depends on the seed and on its own place alone.

The generator is Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"), with

    key = (seed's low 32 bits, its high 32 bits)        counter = (unit // 4, row, t, 8 * stream + kind)

of whose four output words element ``unit`` takes word ``unit % 4``. It is kept where the word is not below
floor(rate * 2**32). ``t`` is the time index, whatever the running order; ``stream`` tells the layers and directions of
a stack apart.
"""

from __future__ import annotations

import math
import secrets
from typing import Any

import numpy as np

from .activations import Array

KINDS = {  # kind: its number; what unit, row and t are
    "dropout": 0,  # column of x, b, 0
    "recurrent_dropout": 1,  # column of h, b, 0
    "candidate_dropout": 2,  # column of the candidate, b, t
    "zoneout_h": 3,  # column of h, b, t
    "zoneout_c": 4,  # column of c, b, t
    "weight_dropout": 5,  # column of w_hh, row of w_hh, 0
    "between_layers": 6,  # column of y, b, t
}

MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
KEY_STEPS = 0x9E3779B9, 0xBB67AE85  # Weyl constants of Philox: golden ratio, sqrt(3) - 1
LOW = 0xFFFFFFFF


def philox4x32(counter: Any, key: tuple[int, int]) -> Array:
    """Ten rounds of Philox on 32-bit words: ``counter`` (..., 4) to (..., 4) uint32, for one key of two words.

    Example:
        >>> from fastrnn import reference
        >>> reference.philox4x32(np.zeros(4, np.uint32), (0, 0)).tolist()
        [1713891541, 3781805453, 3159862348, 2600524760]
    """
    c0, c1, c2, c3 = (np.asarray(counter, np.uint64)[..., k] for k in range(4))
    k0, k1 = key
    for _ in range(10):
        product0, product1 = c0 * np.uint64(MULTIPLIERS[0]), c2 * np.uint64(MULTIPLIERS[1])
        high0, low0 = product0 >> np.uint64(32), product0 & np.uint64(LOW)
        high1, low1 = product1 >> np.uint64(32), product1 & np.uint64(LOW)
        c0, c1, c2, c3 = high1 ^ c1 ^ np.uint64(k0), low1, high0 ^ c3 ^ np.uint64(k1), low0
        k0, k1 = (k0 + KEY_STEPS[0]) & LOW, (k1 + KEY_STEPS[1]) & LOW
    return np.stack((c0, c1, c2, c3), axis=-1).astype(np.uint32)


def kept(seed: int, stream: int, kind: str, rate: float, rows: Array, units: int, t: int = 0) -> Array:
    """Which elements stay: bool (len(rows), units), False with probability ``rate``."""
    counter = np.zeros((len(rows), (units + 3) // 4, 4), np.uint64)
    counter[..., 0] = np.arange(counter.shape[1])
    counter[..., 1] = np.asarray(rows, np.uint64)[:, np.newaxis]
    counter[..., 2] = t
    counter[..., 3] = 8 * stream + KINDS[kind]
    words = philox4x32(counter, (seed & LOW, seed >> 32))
    words = words.reshape(len(rows), 4 * counter.shape[1])[:, :units]
    return words >= math.floor(rate * 2**32)


def dropout(
    seed: int, stream: int, kind: str, rate: float, rows: Array, units: int, dtype: np.dtype[Any], t: int = 0
) -> Array:
    """Inverted dropout: 0, or 1/(1-rate) for what is kept, so that the mean stays what it was."""
    return kept(seed, stream, kind, rate, rows, units, t) * dtype.type(1 / (1 - rate))  # type: ignore[no-any-return]


def checked_seed(seed: int | None) -> int:
    """``seed`` itself, or a fresh one for None."""
    if seed is None:
        return secrets.randbits(64)
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed: expected an integer in 0..2**64-1, got {seed}")
    return int(seed)


def checked_rate(name: str, rate: float | None) -> float:
    """``rate`` itself, or 0 for None."""
    if rate is None:
        return 0.0
    if not 0 <= rate < 1:
        raise ValueError(f"{name}: expected a number in [0, 1), got {rate}")
    return float(rate)
