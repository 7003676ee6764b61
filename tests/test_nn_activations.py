"""Activations against their formulas in NumPy and SciPy, and their ranges as the table has them."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from jaxdl.errors import InputError
from jaxdl.nn import ACTIVATIONS, activation

BY_HAND = {
    "linear": lambda x: x,
    "step": lambda x: np.where(x >= 0, 1.0, 0.0),
    "sign": np.sign,
    "sigmoid": special.expit,
    "tanh": lambda x: (np.exp(2 * x) - 1) / (np.exp(2 * x) + 1),
    "relu": lambda x: np.where(x > 0, x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, x / 100),
    "elu": lambda x: np.where(x > 0, x, np.exp(x) - 1),
    "gelu": lambda x: x * stats.norm.cdf(x),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "softplus": lambda x: np.log(1 + np.exp(x)),
}


def test_all_are_here():
    assert set(BY_HAND) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", BY_HAND)
def test_values(name):
    values = np.linspace(-5, 5, 41)
    close = 1e-3 if name == "gelu" else 1e-5  # ours is its tanh form
    np.testing.assert_allclose(
        activation(name)(jnp.float32(values)), BY_HAND[name](values), 0, close
    )


@pytest.mark.parametrize(("name", "least"), [("gelu", -0.17), ("silu", -0.278)])
def test_least_values(name, least):
    values = activation(name)(jnp.linspace(-5, 5, 10_001))
    assert round(float(values.min()), len(str(least)) - 3) == least


def test_no_such_activation():
    with pytest.raises(InputError, match="relu"):
        activation("rellu")
