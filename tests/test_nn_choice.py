"""One of several functions by a number: that function, its gradient, and one program for all."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import nn


def raised(values, *, power):
    return values**power


FUNCTIONS = [jnp.sin, jnp.exp, raised]


@pytest.mark.parametrize(
    ("index", "expected"), [(0, np.cos(0.5)), (1, np.exp(0.5)), (9, np.exp(0.5)), (-1, np.cos(0.5))]
)
def test_its_gradient(index, expected):
    """Beyond either end it is the nearest."""
    slope = jax.grad(nn.one_of(FUNCTIONS[:2], index))(0.5)
    np.testing.assert_allclose(slope, expected, rtol=1e-6)


def test_what_is_static_goes_by_name():
    assert nn.one_of([raised], 0)(jnp.float32(2), power=3) == 8


def test_another_number_is_no_other_program():
    @jax.jit
    @chex.assert_max_traces(1)
    def apply(function, value):
        return function(value)

    found = [apply(nn.one_of(FUNCTIONS[:2], index), 0.5) for index in (0, 1)]
    np.testing.assert_allclose(found, [np.sin(0.5), np.exp(0.5)], rtol=1e-6)
