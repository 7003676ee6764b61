"""Initializers against the formulas in their table, for dense and convolution kernels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl.errors import InputError
from jaxdl.nn import INITIALIZERS, initializer

SHAPES = {"dense": ((300, 200), 300, 200), "convolution": ((5, 5, 16, 120), 400, 3000)}

LIMITS = {
    "glorot_uniform": lambda fan_in, fan_out: np.sqrt(6 / (fan_in + fan_out)),
    "he_uniform": lambda fan_in, fan_out: np.sqrt(6 / fan_in),
    "lecun_uniform": lambda fan_in, fan_out: np.sqrt(3 / fan_in),
    "pytorch_uniform": lambda fan_in, fan_out: 1 / np.sqrt(fan_in),
}
VARIANCES = {
    "glorot_normal": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "he_normal": lambda fan_in, fan_out: 2 / fan_in,
    "lecun_normal": lambda fan_in, fan_out: 1 / fan_in,
}


def draw(name, shape):
    return np.asarray(initializer(name)(jax.random.key(0), shape, jnp.float32), np.float64)


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("name", LIMITS)
def test_uniform(name, kind):
    shape, fan_in, fan_out = SHAPES[kind]
    values, limit = draw(name, shape), LIMITS[name](fan_in, fan_out)
    assert 0.999 * limit < np.abs(values).max() <= limit * (1 + 1e-6)
    np.testing.assert_allclose(values.var(), limit**2 / 3, rtol=0.03)
    assert abs(values.mean()) < 4 * limit / np.sqrt(3 * values.size)


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("name", VARIANCES)
def test_normal_is_cut_off_at_two_deviations(name, kind):
    """Of the normal before it was cut off, whose deviation is 1 / 0.8796 times the given one."""
    shape, fan_in, fan_out = SHAPES[kind]
    values, variance = draw(name, shape), VARIANCES[name](fan_in, fan_out)
    np.testing.assert_allclose(values.var(), variance, rtol=0.03)
    limit = 2 * np.sqrt(variance) / 0.87962566103423978
    assert 0.98 * limit < np.abs(values).max() <= limit * (1 + 1e-6)


def test_pytorch_uniform_is_kaiming_uniform_of_sqrt_5():
    """PyTorch: limit sqrt(3) * gain / sqrt(fan_in) with gain sqrt(2 / (1 + a^2)), a = sqrt(5)."""
    limit = np.sqrt(3) * np.sqrt(2 / (1 + 5)) / np.sqrt(400)
    np.testing.assert_allclose(LIMITS["pytorch_uniform"](400, 3000), limit)


@pytest.mark.parametrize("shape", [(8, 20), (20, 8)])
def test_orthogonal(shape):
    values = draw("orthogonal", shape)
    gram = values @ values.T if shape[0] < shape[1] else values.T @ values
    np.testing.assert_allclose(gram, np.eye(8), atol=1e-5)


def test_constants_and_normal():
    assert not draw("zeros", (3, 4)).any()
    assert (draw("ones", (3, 4)) == 1).all()
    np.testing.assert_allclose(draw("normal", (300, 200)).std(), 0.02, rtol=0.02)


def test_names():
    assert all(initializer(name) is initializer(name) for name in INITIALIZERS)
    with pytest.raises(InputError, match=r"'glorot_unifrom'; did you mean glorot_un"):
        initializer("glorot_unifrom")
