"""Initializers: distributions, orthogonality, dtype, seeds, names and errors."""

import numpy as np
import pytest

from fastrnn import config, initializers

SHAPE = (300, 200)

# name: (mean, standard deviation, bound on |value|)
MOMENTS = {
    "random_normal": (0.0, 0.05, np.inf),
    "random_uniform": (0.0, 0.05 / np.sqrt(3), 0.05),
    "truncated_normal": (0.0, 0.05 * 0.8796, 0.1),
    "variance_scaling": (0.0, np.sqrt(1 / 300), 2 * np.sqrt(1 / 300) / 0.8796),
    "glorot_uniform": (0.0, np.sqrt(2 / 500), np.sqrt(6 / 500)),
    "glorot_normal": (0.0, np.sqrt(2 / 500), 2 * np.sqrt(2 / 500) / 0.8796),
    "he_uniform": (0.0, np.sqrt(2 / 300), np.sqrt(6 / 300)),
    "he_normal": (0.0, np.sqrt(2 / 300), 2 * np.sqrt(2 / 300) / 0.8796),
    "lecun_uniform": (0.0, np.sqrt(1 / 300), np.sqrt(3 / 300)),
    "lecun_normal": (0.0, np.sqrt(1 / 300), 2 * np.sqrt(1 / 300) / 0.8796),
}


@pytest.mark.parametrize("name", MOMENTS)
def test_moments(name):
    mean, stddev, bound = MOMENTS[name]
    values = initializers.get(name)(SHAPE, "float64", np.random.default_rng(0))
    n = values.size
    assert values.shape == SHAPE
    assert abs(values.mean() - mean) < 5 * stddev / np.sqrt(n)
    assert values.std() == pytest.approx(stddev, rel=0.02)
    assert np.abs(values).max() <= bound * 1.0001


def test_constants_and_identity():
    assert np.array_equal(initializers.get("zeros")((2, 3)), np.zeros((2, 3)))
    assert np.array_equal(initializers.get("ones")((2, 3)), np.ones((2, 3)))
    assert np.array_equal(initializers.Constant(2.5)((4,)), np.full(4, 2.5))
    assert np.array_equal(initializers.Identity(2.0)((2, 3)), [[2, 0, 0], [0, 2, 0]])


@pytest.mark.parametrize("shape", [(20, 20), (7, 30), (30, 7), (2, 3, 40), (4, 5, 3)])
@pytest.mark.parametrize("gain", [1.0, 1.7])
def test_orthogonal(shape, gain):
    q = initializers.Orthogonal(gain)(shape, "float64", np.random.default_rng(1)).reshape(-1, shape[-1])
    product = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
    np.testing.assert_allclose(product, gain**2 * np.eye(min(q.shape)), atol=1e-12)


def test_orthogonal_signs_are_not_lapacks():
    # Without the sign correction the first column's first entry is negative in every draw.
    firsts = [initializers.Orthogonal()((3, 3), "float64", np.random.default_rng(s))[0, 0] for s in range(40)]
    assert 5 < sum(f > 0 for f in firsts) < 35


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["zeros", "identity", "orthogonal", "glorot_uniform", "he_normal"])
def test_dtype_and_default(name, dtype):
    initializer = initializers.get(name)
    assert initializer((5, 4), dtype, np.random.default_rng(0)).dtype == dtype
    assert initializer((5, 4)).dtype == np.float32


def test_float32_is_the_rounded_float64():
    wide = initializers.GlorotUniform()((8, 9), "float64", np.random.default_rng(3))
    narrow = initializers.GlorotUniform()((8, 9), "float32", np.random.default_rng(3))
    assert np.array_equal(wide.astype(np.float32), narrow)


def test_seed_repeats_and_rng_moves_on():
    seeded = initializers.HeNormal(seed=4)
    assert np.array_equal(seeded((3, 3)), seeded((3, 3), rng=np.random.default_rng(9)))
    rng = np.random.default_rng(0)
    plain = initializers.HeNormal()
    assert not np.array_equal(plain((3, 3), rng=rng), plain((3, 3), rng=rng))


def test_default_rng_obeys_set_random_seed():
    config.set_random_seed(11)
    first = initializers.get("glorot_normal")((4, 4))
    config.set_random_seed(11)
    assert np.array_equal(first, initializers.get("glorot_normal")((4, 4)))


def test_fans_of_vectors_and_kernels():
    # (3, 4, 5): a receptive field of 3, so fan_in 12 and fan_out 15.
    values = initializers.GlorotUniform()((3, 4, 5), "float64", np.random.default_rng(0))
    assert np.abs(values).max() <= np.sqrt(6 / 27)
    assert initializers.LecunUniform()((12,), rng=np.random.default_rng(0)).shape == (12,)
    assert initializers.LecunUniform()((0, 5), rng=np.random.default_rng(0)).shape == (0, 5)


@pytest.mark.parametrize("name", sorted(set(MOMENTS) | {"zeros", "ones", "constant", "identity", "orthogonal"}))
def test_serialize_round_trip(name):
    initializer = initializers.get(name)
    entry = initializers.serialize(initializer)
    again = initializers.get(entry)
    assert type(again) is type(initializer)
    assert again.get_config() == initializer.get_config()
    assert entry["class_name"] in repr(again)


def test_get_takes_instance_class_class_name_and_function():
    instance = initializers.Orthogonal(2.0)
    assert initializers.get(instance) is instance
    assert isinstance(initializers.get(initializers.Ones), initializers.Ones)
    assert isinstance(initializers.get("GlorotUniform"), initializers.GlorotUniform)
    ramp = initializers.get(lambda shape, dtype: np.arange(np.prod(shape)).reshape(shape))
    assert np.array_equal(ramp((2, 2)), [[0, 1], [2, 3]])
    with pytest.raises(TypeError, match="cannot be saved"):
        ramp.get_config()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: initializers.get("glorot"), ValueError, r"initializer: expected one of 'zeros', .*, got 'glorot'"),
        (lambda: initializers.get(3), TypeError, "initializer: expected a name, .* got int"),
        (lambda: initializers.VarianceScaling(mode="fan"), ValueError, "mode: expected one of 'fan_in', .* got 'fan'"),
        (lambda: initializers.VarianceScaling(distribution="x"), ValueError, "distribution: expected one of"),
        (lambda: initializers.VarianceScaling(scale=0), ValueError, "scale: expected a number > 0, got 0"),
        (lambda: initializers.RandomNormal(stddev=-1), ValueError, "stddev: expected a number >= 0, got -1"),
        (lambda: initializers.RandomUniform(1, 0), ValueError, "maxval: expected a number >= minval"),
        (lambda: initializers.Identity()((2, 2, 2)), ValueError, r"shape: expected 2 dimensions .* got \(2, 2, 2\)"),
        (lambda: initializers.Orthogonal()((3,)), ValueError, r"shape: expected at least 2 dimensions .* got \(3,\)"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()
