"""Process-wide settings of the training layer: the dtype of new weights and the source of randomness.

Both exist under the names Keras users know: `fastrnn.set_floatx` and `fastrnn.set_random_seed`.
"""

from __future__ import annotations

import random

import numpy as np

__all__ = ["floatx", "random_generator", "random_seed", "set_floatx", "set_random_seed"]

_FLOATS = ("float32", "float64")
_floatx = "float32"
_generator: np.random.Generator | None = None


def floatx() -> str:
    """Return the dtype name, "float32" or "float64", which a layer built without `dtype=` gives its weights."""
    return _floatx


def set_floatx(value: str) -> None:
    """Set the dtype of the weights of layers made from now on.

    Args:
        value: "float32" (the default) or "float64".

    Raises:
        ValueError: for any other value.

    Example:
        >>> fastrnn.set_floatx("float64")
        >>> fastrnn.Dense(2).dtype
        'float64'
        >>> fastrnn.set_floatx("float32")
    """
    global _floatx
    _floatx = check_float(value, "value")


def check_float(value: object, argument: str) -> str:
    """Return the canonical name of a supported float dtype, or raise a ValueError that names `argument`."""
    try:
        name = np.dtype(value).name  # type: ignore[call-overload]
    except TypeError:
        name = repr(value)
    if value is None or name not in _FLOATS:
        raise ValueError(f"{argument}: expected one of 'float32', 'float64', got {value!r}")
    return str(name)


def set_random_seed(seed: int) -> None:
    """Make everything random that follows reproducible: initial weights, dropout and the shuffling of `fit`.

    As `keras.utils.set_random_seed`, it also seeds Python's `random` and NumPy's legacy global state, so that a data
    pipeline built on those is repeatable too.

    Args:
        seed: integer in 0..2**32-1.

    Raises:
        TypeError: if `seed` is not an integer.
        ValueError: if it lies outside that range.

    Example:
        >>> fastrnn.set_random_seed(1)
    """
    global _generator
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise TypeError(f"seed: expected an integer, got {type(seed).__name__}")
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed: expected a value in 0..{2**32 - 1}, got {seed}")
    random.seed(int(seed))
    np.random.seed(int(seed))  # noqa: NPY002 - for users' pipelines, nothing here draws from it
    _generator = np.random.default_rng(int(seed))


def random_seed() -> int:
    """Return a seed drawn from the process-wide generator."""
    global _generator
    if _generator is None:
        _generator = np.random.default_rng()
    return int(_generator.integers(2**63))


def random_generator(seed: int | None = None) -> np.random.Generator:
    """Return a new generator: of `seed` when one is given, else one drawn from the process-wide generator.

    A consumer that keeps its own generator does not disturb the numbers of the others, however much it draws.
    """
    return np.random.default_rng(random_seed() if seed is None else seed)
