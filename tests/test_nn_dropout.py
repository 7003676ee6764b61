"""Dropout: what it expects, at which rates it is exact, and whose draws they are."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import nn

dropout = jax.jit(nn.dropout, static_argnames=("layer", "batch_axis"))
KEYS = jax.random.split(jax.random.key(0), 6)
MANY_ONES = jnp.ones((10, 100_000)), jax.random.split(jax.random.key(1), 10)
INPUTS = jnp.asarray(np.random.default_rng(0).normal(size=(6, 5, 7)).astype(np.float32))


def test_evaluation_is_the_identity():
    assert nn.dropout(INPUTS, 0.5, None) is INPUTS


def test_rates_at_the_ends():
    np.testing.assert_array_equal(dropout(INPUTS, 0.0, KEYS), INPUTS)
    np.testing.assert_array_equal(dropout(INPUTS, 1.0, KEYS), jnp.zeros_like(INPUTS))
    nearly = dropout(INPUTS, float(np.nextafter(np.float32(1), np.float32(0))), KEYS)
    assert np.isfinite(nearly).all()


@pytest.mark.parametrize("rate", [0.25, 0.5, 0.1, 1e-3])
def test_share_and_expectation(rate):
    """10^6 draws: the share dropped is within 4 standard errors, the scale keeps the mean."""
    outputs = np.asarray(dropout(MANY_ONES[0], rate, MANY_ONES[1]))
    dropped = np.mean(outputs == 0)
    assert abs(dropped - rate) < 4 * np.sqrt(rate * (1 - rate) / outputs.size)
    rounded = round(rate * 2**16) / 2**16
    assert set(np.unique(outputs)) == {np.float32(0), np.float32(1 / (1 - rounded))}


def test_draws_are_uniform_and_independent():
    """Of neighbours, of examples and of layers: correlations within 4 standard errors of 0."""
    ones, keys = MANY_ONES
    first, second = (np.asarray(dropout(ones, 0.5, keys, layer=layer)) - 1 for layer in (0, 1))
    half = first.shape[1] // 2
    pairs = [
        (first[0], first[1]),
        (first[0], second[0]),
        (first[0, :-1], first[0, 1:]),
        (first[0, :half], first[0, half:]),  # the halves of the same words
    ]
    for one, other in pairs:
        assert abs(np.mean(one * other)) < 4 / np.sqrt(one.size)


def test_draws_belong_to_the_example():
    together = dropout(INPUTS, 0.5, KEYS)
    alone = [dropout(INPUTS[i : i + 1], 0.5, KEYS[i : i + 1])[0] for i in range(6)]
    np.testing.assert_array_equal(together, jnp.stack(alone))
    by_vmap = jax.vmap(lambda x, key: dropout(x[None], 0.5, key[None])[0])(INPUTS, KEYS)
    np.testing.assert_array_equal(together, by_vmap)


@pytest.mark.parametrize("axis", [1, 2])
def test_batch_axis(axis):
    moved = dropout(jnp.moveaxis(INPUTS, 0, axis), 0.5, KEYS, batch_axis=axis)
    np.testing.assert_array_equal(jnp.moveaxis(moved, axis, 0), dropout(INPUTS, 0.5, KEYS))


def test_rate_is_traced():
    jitted = jax.jit(chex.assert_max_traces(lambda rate: nn.dropout(INPUTS, rate, KEYS), n=2))
    shares = [np.mean(np.asarray(jitted(rate)) == 0) for rate in (0.1, 0.5, 0.9)]
    assert shares == sorted(shares)
    kept, none = jax.vmap(jitted)(jnp.array([0.0, 1.0]))
    np.testing.assert_array_equal(kept, INPUTS)
    np.testing.assert_array_equal(none, 0)


def test_gradient_is_the_scaled_mask():
    gradient = jax.jit(jax.grad(lambda x: nn.dropout(x, 0.25, KEYS).sum()))(INPUTS)
    np.testing.assert_array_equal(gradient, dropout(jnp.ones_like(INPUTS), 0.25, KEYS))
