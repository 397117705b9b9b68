"""Weight initializers with Keras names and defaults.

``initializer(shape, dtype, rng)`` returns a new array. The random ones draw from `rng`; with a `seed` of their own
they ignore it and return the same values on every call, as in Keras 3.

Fans follow Keras: ``shape[-1]`` is fan-out and ``shape[-2]`` fan-in. A layer that stores its matrix as (out, in) asks
for (in, out) and transposes.

Sources: Glorot & Bengio 2010 (glorot), He et al. 2015 (he), LeCun et al. 1998 (lecun), Saxe et al. 2014 (orthogonal).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from . import config
from ._registry import Configured, Registry, choice_error, positive, serialize
from ._typing import Array, Config, DTypeLike, Identifier

__all__ = [
    "Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Identity", "Initializer", "LecunNormal",
    "LecunUniform", "Ones", "Orthogonal", "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling",
    "Zeros", "get", "serialize",
]  # fmt: skip

# Standard deviation of a unit normal truncated at +-2; dividing by it restores the wanted variance.
_TRUNCATED_STDDEV = 0.87962566103423978


class Initializer(Configured):
    """Base class. A subclass of your own implements `__call__`, and keeps its arguments as attributes of their names.

    Example:
        >>> class Ramp(fastrnn.initializers.Initializer):
        ...     def __call__(self, shape, dtype):
        ...         return np.arange(np.prod(shape), dtype=dtype).reshape(shape)
        ...
        >>> fastrnn.Dense(2, bias_initializer=Ramp()).bias_initializer.__class__.__name__
        'Ramp'
    """

    def __call__(
        self, shape: Sequence[int], dtype: DTypeLike = "float32", rng: np.random.Generator | None = None
    ) -> Array:
        """Return a new array of `shape` and `dtype`.

        Args:
            shape: the wanted shape, every entry >= 0.
            dtype: a floating dtype.
            rng: source of randomness; None takes a new one from `fastrnn.config`, which `set_random_seed` governs.
        """
        # Computed in float64 whatever the dtype, so that a float32 model starts from the rounded float64 one.
        return np.asarray(self._values(tuple(shape), rng), dtype=dtype)

    def _values(self, shape: tuple[int, ...], rng: np.random.Generator | None) -> Array:
        raise NotImplementedError


class Constant(Initializer):
    """Every element is `value`.

    Args:
        value: of every element.

    Example:
        >>> w = fastrnn.initializers.Constant(0.5)((2,), "float32")
        >>> w.tolist()
        [0.5, 0.5]
    """

    def __init__(self, value: float = 0.0) -> None:
        self.value = float(value)

    def _values(self, shape: tuple[int, ...], rng: np.random.Generator | None) -> Array:
        return np.full(shape, self.value)


class Zeros(Constant):
    """Every element is 0.

    Example:
        >>> w = fastrnn.initializers.Zeros()((2,), "float32")
        >>> w.tolist()
        [0.0, 0.0]
    """

    def __init__(self) -> None:
        super().__init__(0.0)


class Ones(Constant):
    """Every element is 1.

    Example:
        >>> w = fastrnn.initializers.Ones()((2,), "float32")
        >>> w.tolist()
        [1.0, 1.0]
    """

    def __init__(self) -> None:
        super().__init__(1.0)


class Identity(Initializer):
    """`gain` times the identity; the shape must be two-dimensional, zeros fill what is not square.

    Args:
        gain: of the diagonal.

    Example:
        >>> w = fastrnn.initializers.Identity()((2, 2), "float32")
        >>> w.tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = float(gain)

    def _values(self, shape: tuple[int, ...], rng: np.random.Generator | None) -> Array:
        if len(shape) != 2:
            raise ValueError(f"shape: expected 2 dimensions for the identity, got {shape}")
        return self.gain * np.eye(shape[0], shape[1])


class _Function(Initializer):
    """A user's own function ``f(shape, dtype=...)``; works everywhere but in a model file."""

    def __init__(self, function: Callable[..., Array]) -> None:
        self.function = function

    def __call__(
        self, shape: Sequence[int], dtype: DTypeLike = "float32", rng: np.random.Generator | None = None
    ) -> Array:
        return np.asarray(self.function(tuple(shape), dtype=dtype), dtype=dtype)

    def get_config(self) -> Config:
        raise TypeError(
            f"initializer: expected a fastrnn Initializer (a function cannot be saved), got {self.function!r}"
        )

    def __repr__(self) -> str:
        return f"<initializer {self.function!r}>"


class _Random(Initializer):
    """An initializer that draws numbers; holds the optional `seed`."""

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def _values(self, shape: tuple[int, ...], rng: np.random.Generator | None) -> Array:
        return self._draw(shape, config.random_generator(self.seed) if self.seed is not None or rng is None else rng)

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        raise NotImplementedError


class RandomNormal(_Random):
    """Normal with `mean` and `stddev`.

    Args:
        mean, stddev: of the normal distribution.
        seed: of the draws; None follows `fastrnn.set_random_seed`.

    Example:
        >>> w = fastrnn.initializers.RandomNormal(stddev=2.0, seed=0)((200, 100), "float32")
        >>> bool(abs(w.std() - 2) < 0.1)
        True
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.mean = float(mean)
        self.stddev = positive("stddev", stddev, zero=True)

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return rng.normal(self.mean, self.stddev, shape)


class TruncatedNormal(RandomNormal):
    """Normal with `mean` and `stddev`, values further than two `stddev` from the mean drawn again.

    Args:
        mean, stddev: of the normal distribution.
        seed: of the draws; None follows `fastrnn.set_random_seed`.

    Example:
        >>> w = fastrnn.initializers.TruncatedNormal(stddev=2.0, seed=0)((200, 100), "float32")
        >>> bool(np.abs(w).max() <= 4)
        True
    """

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return self.mean + self.stddev * _truncated_unit_normal(shape, rng)


class RandomUniform(_Random):
    """Uniform in [minval, maxval).

    Args:
        minval, maxval: the ends of the range, the latter left out.
        seed: of the draws; None follows `fastrnn.set_random_seed`.

    Example:
        >>> w = fastrnn.initializers.RandomUniform(0.0, 1.0, seed=0)((200, 100), "float32")
        >>> bool(w.min() >= 0 and w.max() < 1)
        True
    """

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        if not minval <= maxval:
            raise ValueError(f"maxval: expected a number >= minval ({minval!r}), got {maxval!r}")
        self.minval = float(minval)
        self.maxval = float(maxval)

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return rng.uniform(self.minval, self.maxval, shape)


class VarianceScaling(_Random):
    """Zero mean and variance ``scale / n``, n the fan named by `mode`.

    Args:
        scale: > 0.
        mode: "fan_in", "fan_out" or "fan_avg".
        distribution: "truncated_normal", "untruncated_normal" or "uniform".
        seed: see `Initializer`.

    Example:
        >>> w = fastrnn.initializers.VarianceScaling(scale=3.0, mode="fan_out", seed=0)((200, 100), "float32")
        >>> bool(abs(w.std() / np.sqrt(3 / 100) - 1) < 0.05)
        True
    """

    _MODES = ("fan_in", "fan_out", "fan_avg")
    _DISTRIBUTIONS = ("truncated_normal", "untruncated_normal", "uniform")

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        super().__init__(seed)
        if mode not in self._MODES:
            raise choice_error("mode", self._MODES, mode)
        if distribution not in self._DISTRIBUTIONS:
            raise choice_error("distribution", self._DISTRIBUTIONS, distribution)
        self.scale = positive("scale", scale)
        self.mode = mode
        self.distribution = distribution

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        fan_in, fan_out = _fans(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, fan)
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * variance)
            return rng.uniform(-limit, limit, shape)
        if self.distribution == "untruncated_normal":
            return rng.normal(0.0, math.sqrt(variance), shape)
        return math.sqrt(variance) / _TRUNCATED_STDDEV * _truncated_unit_normal(shape, rng)


class _Named(VarianceScaling):
    """A `VarianceScaling` whose three parameters are fixed by the class."""

    _SETTINGS: tuple[float, str, str]

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(*self._SETTINGS, seed)


class GlorotUniform(_Named):
    """Uniform in +-sqrt(6 / (fan_in + fan_out)). Keras' default for input kernels.

    Args:
        seed: of the draws; None follows `fastrnn.set_random_seed`.

    Example:
        >>> w = fastrnn.initializers.GlorotUniform(seed=0)((200, 100), "float32")
        >>> bool(np.abs(w).max() <= np.sqrt(6 / 300))
        True
    """

    _SETTINGS = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Named):
    """Truncated normal with variance 2 / (fan_in + fan_out).

    Args:
        seed: of the draws; None follows `fastrnn.set_random_seed`.

    Example:
        >>> w = fastrnn.initializers.GlorotNormal(seed=0)((200, 100), "float32")
        >>> bool(abs(w.std() / np.sqrt(2 / 300) - 1) < 0.05)
        True
    """

    _SETTINGS = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Named):
    """Uniform in +-sqrt(6 / fan_in).

    Args:
        seed: of the draws; None follows `fastrnn.set_random_seed`.

    Example:
        >>> w = fastrnn.initializers.HeUniform(seed=0)((200, 100), "float32")
        >>> bool(np.abs(w).max() <= np.sqrt(6 / 200))
        True
    """

    _SETTINGS = (2.0, "fan_in", "uniform")


class HeNormal(_Named):
    """Truncated normal with variance 2 / fan_in.

    Args:
        seed: of the draws; None follows `fastrnn.set_random_seed`.

    Example:
        >>> w = fastrnn.initializers.HeNormal(seed=0)((200, 100), "float32")
        >>> bool(abs(w.std() / np.sqrt(2 / 200) - 1) < 0.05)
        True
    """

    _SETTINGS = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Named):
    """Uniform in +-sqrt(3 / fan_in).

    Args:
        seed: of the draws; None follows `fastrnn.set_random_seed`.

    Example:
        >>> w = fastrnn.initializers.LecunUniform(seed=0)((200, 100), "float32")
        >>> bool(np.abs(w).max() <= np.sqrt(3 / 200))
        True
    """

    _SETTINGS = (1.0, "fan_in", "uniform")


class LecunNormal(_Named):
    """Truncated normal with variance 1 / fan_in.

    Args:
        seed: of the draws; None follows `fastrnn.set_random_seed`.

    Example:
        >>> w = fastrnn.initializers.LecunNormal(seed=0)((200, 100), "float32")
        >>> bool(abs(w.std() / np.sqrt(1 / 200) - 1) < 0.05)
        True
    """

    _SETTINGS = (1.0, "fan_in", "truncated_normal")


class Orthogonal(_Random):
    """`gain` times a random matrix with orthonormal rows or columns, whichever are fewer (Saxe et al. 2014).

    More than two dimensions are flattened to (prod(shape[:-1]), shape[-1]). Keras' default for recurrent kernels.

    Args:
        gain: factor of the matrix.
        seed: of the draws; None follows `fastrnn.set_random_seed`.

    Example:
        >>> w = fastrnn.initializers.Orthogonal(seed=0)((4, 4), "float32")
        >>> bool(np.allclose(w @ w.T, np.eye(4), atol=1e-6))
        True
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        super().__init__(seed)
        self.gain = float(gain)

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        if len(shape) < 2:
            raise ValueError(f"shape: expected at least 2 dimensions for an orthogonal matrix, got {shape}")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
        # QR leaves the signs to LAPACK; fixing them by the diagonal of R makes the draw uniform (Mezzadri 2007).
        q *= np.where(np.diag(r) < 0, -1.0, 1.0)
        return self.gain * (q if rows >= columns else q.T).reshape(shape)


def _fans(shape: tuple[int, ...]) -> tuple[float, float]:
    """Return (fan_in, fan_out) of a Keras kernel shape (..., in, out); leading dimensions are a receptive field."""
    if len(shape) == 0:
        return 1.0, 1.0
    if len(shape) == 1:
        return float(shape[0]), float(shape[0])
    field = math.prod(shape[:-2])
    return float(shape[-2] * field), float(shape[-1] * field)


def _truncated_unit_normal(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Standard normal of `shape` with the values outside [-2, 2] drawn again until none is left."""
    values = rng.standard_normal(math.prod(shape))
    outside = np.flatnonzero(np.abs(values) > 2.0)
    while outside.size:
        values[outside] = rng.standard_normal(outside.size)
        outside = outside[np.abs(values[outside]) > 2.0]
    return values.reshape(shape)


_REGISTRY: Registry[Initializer] = Registry(
    "initializer",
    Initializer,
    {
        "zeros": Zeros,
        "ones": Ones,
        "constant": Constant,
        "identity": Identity,
        "random_normal": RandomNormal,
        "random_uniform": RandomUniform,
        "truncated_normal": TruncatedNormal,
        "variance_scaling": VarianceScaling,
        "glorot_uniform": GlorotUniform,
        "glorot_normal": GlorotNormal,
        "he_uniform": HeUniform,
        "he_normal": HeNormal,
        "lecun_uniform": LecunUniform,
        "lecun_normal": LecunNormal,
        "orthogonal": Orthogonal,
    },
)


def get(identifier: Identifier | Initializer | type[Initializer] | Callable[..., Array]) -> Initializer:
    """Return an initializer from an instance, a class, a name, a serialized dict or a function ``f(shape, dtype=...)``.

    Args:
        identifier: an `Initializer`, a class of them, a name as "glorot_uniform", what `serialize` returned, or a
            function of shape and dtype.

    Raises:
        ValueError: unknown name.
        TypeError: anything else.

    Example:
        >>> fastrnn.initializers.get("orthogonal").__class__.__name__
        'Orthogonal'
    """
    if callable(identifier) and not isinstance(identifier, (Initializer, type)):
        return _Function(identifier)
    return _REGISTRY.get(identifier)
