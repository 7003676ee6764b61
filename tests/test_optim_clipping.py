"""Clipping and what it reports, against a NumPy float64 loop and Optax's own."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl.optim import ClipConfig, clip_gradients, telemetry

GRADIENT = {
    "first": {"kernel": np.array([[3.0, -4.0], [0.5, 0.0]]), "bias": np.array([12.0, -0.1])},
    "second": {"kernel": np.array([[0.3], [-0.4]])},
}


@jax.jit
def jitted_clip(config, gradient):
    transformation = clip_gradients(config)
    return transformation.update(gradient, transformation.init(gradient))


def clip(gradient, **bounds):
    gradient = jax.tree.map(np.float32, gradient)
    clipped, state = jitted_clip(ClipConfig(**bounds), gradient)
    return clipped, {name: float(value) for name, value in telemetry(state).items()}


def clip_by_loop(gradient, lower=-np.inf, upper=np.inf, layer_norm=np.inf, global_norm=np.inf):
    """One entry at a time: the clipped gradient, its norm, and how many entries were clipped."""
    layers = {}
    for layer, arrays in gradient.items():
        bounded = {name: np.clip(array, lower, upper) for name, array in arrays.items()}
        norm = np.sqrt(sum(np.sum(array**2) for array in bounded.values()))
        layers[layer] = {k: a * min(1, layer_norm / norm) for k, a in bounded.items()}
    norm = np.sqrt(sum(np.sum(a**2) for arrays in layers.values() for a in arrays.values()))
    clipped = jax.tree.map(lambda array: array * min(1, global_norm / norm), layers)
    moved = jax.tree.map(lambda g, c: np.sum(np.abs(g - c) > 1e-12), gradient, clipped)
    return clipped, min(norm, global_norm), moved


@pytest.mark.parametrize(
    ("bounds", "entries"),
    [
        ({}, 0),
        ({"lower": -1.0}, 1),
        ({"upper": 2.0}, 2),
        ({"lower": -0.35, "upper": 2.0}, 4),
        ({"global_norm": 2.0}, 8),
        ({"global_norm": 100.0}, 0),
        ({"layer_norm": 1.0}, 6),  # the second layer's norm is 0.5
        ({"layer_norm": 0.4}, 8),
        ({"upper": 0.2, "layer_norm": 1.0}, 7),  # all of the first layer, one of the second
        ({"lower": -1.0, "upper": 1.0, "layer_norm": 1.2, "global_norm": 1.25}, 8),
    ],
)
def test_against_a_loop(bounds, entries):
    expected, norm, moved = clip_by_loop(GRADIENT, **bounds)
    clipped, seen = clip(GRADIENT, **bounds)
    jax.tree.map(lambda c, e: np.testing.assert_allclose(c, e, 1e-6), clipped, expected)
    squares = 3**2 + 4**2 + 0.5**2 + 12**2 + 0.1**2 + 0.3**2 + 0.4**2
    np.testing.assert_allclose(seen["gradient_norm"], np.sqrt(squares), rtol=1e-6)
    np.testing.assert_allclose(seen["clipped_gradient_norm"], norm, rtol=1e-6)
    assert seen["clipped_steps"] == (entries > 0)
    assert seen["clipped_entries"] == entries / 8
    # A zero that is scaled down belongs to a clipped layer but does not move.
    assert sum(jax.tree.leaves(moved)) in (entries, entries - 1)


def test_the_same_as_optax():
    optimizer = optax.clip_by_global_norm(2.0)
    theirs, _ = jax.jit(optimizer.update)(jax.tree.map(np.float32, GRADIENT), optax.EmptyState())
    ours, _ = clip(GRADIENT, global_norm=2.0)
    jax.tree.map(lambda o, t: np.testing.assert_allclose(o, t, 1e-6), ours, theirs)


def test_a_zero_gradient_stays_zero():
    clipped, seen = clip({"w": np.zeros(3)}, layer_norm=1.0, global_norm=1.0)
    assert seen == dict.fromkeys(seen, 0.0)
    np.testing.assert_array_equal(clipped["w"], 0)


def test_what_is_not_finite_is_not_hidden():
    bad = {"a": {"w": np.array([np.nan, 1.0])}, "b": {"w": np.array([3.0, 4.0])}}
    clipped, seen = clip(bad, lower=-2.0, upper=2.0, layer_norm=1.0)
    assert np.isnan(clipped["a"]["w"][0])
    assert np.isnan(seen["gradient_norm"])
    np.testing.assert_allclose(clipped["b"]["w"], np.sqrt([0.5, 0.5]), rtol=1e-6)

    infinite = {"w": np.array([np.inf, 1.0])}
    clipped, seen = clip(infinite, upper=2.0)
    np.testing.assert_array_equal(clipped["w"], [2.0, 1.0])
    assert np.isinf(seen["gradient_norm"])
    np.testing.assert_array_equal(clip(infinite, global_norm=2.0)[0]["w"], [np.nan, 0.0])


def test_arrays_of_any_shape_type_and_nesting():
    gradient = (jnp.float32(3.0), [jnp.full((2, 2, 1), 2.0, jnp.bfloat16)], {})
    transformation = clip_gradients(ClipConfig(layer_norm=2.0))
    clipped, state = transformation.update(gradient, transformation.init(gradient))
    assert clipped[1][0].dtype == jnp.bfloat16
    np.testing.assert_array_equal(clipped[0], 2.0)
    np.testing.assert_array_equal(clipped[1][0], np.ones((2, 2, 1)))
    assert state.norm == 5.0
    assert state.norm.dtype == jnp.float32
