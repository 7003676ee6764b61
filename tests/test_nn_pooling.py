"""Max-pooling against Flax and a NumPy loop, its gradient against XLA's own."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl.errors import InputError
from jaxdl.nn import change_layout, max_pool

IMAGES = np.random.default_rng(0).normal(size=(2, 7, 8, 3)).astype(np.float32)


def with_ties(images):
    """Rounded, so that most windows hold their maximum more than once."""
    return np.round(images)


@pytest.mark.parametrize("window", [(2, 2), (3, 2), (1, 4)])
def test_equals_flax(window):
    """Forward and backward to the bit: at ties too, the first in the window gets the gradient."""
    images = with_ties(IMAGES)

    @jax.jit
    def run(images):
        ours, pull = jax.vjp(lambda x: max_pool(x, window), images)
        theirs, their_pull = jax.vjp(lambda x: nn.max_pool(x, window, window), images)
        cotangent = jnp.arange(1.0, ours.size + 1).reshape(ours.shape)
        return ours, theirs, pull(cotangent)[0], their_pull(cotangent)[0]

    ours, theirs, gradient, their_gradient = run(images)
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(gradient, their_gradient)
    assert np.count_nonzero(gradient) == ours.size


@pytest.mark.parametrize(
    ("window", "strides", "padding"), [(3, 2, "same"), (2, 1, "valid"), ((2, 3), None, "same")]
)
def test_general_windows_equal_flax(window, strides, padding):
    pair = (window, window) if isinstance(window, int) else window
    steps = pair if strides is None else (strides, strides)
    np.testing.assert_array_equal(
        max_pool(jnp.asarray(IMAGES), window, strides=strides, padding=padding),
        nn.max_pool(IMAGES, pair, steps, padding.upper()),
    )


def test_layouts_and_loop():
    expected = np.zeros((2, 3, 4, 3), np.float32)
    for h, w in np.ndindex(3, 4):
        expected[:, h, w] = IMAGES[:, 2 * h : 2 * h + 2, 2 * w : 2 * w + 2].max((1, 2))
    for layout in ("NHWC", "WCHN"):
        pooled = max_pool(change_layout(jnp.asarray(IMAGES), "NHWC", layout), layout=layout)
        np.testing.assert_array_equal(change_layout(pooled, layout, "NHWC"), expected)


def test_forward_mode():
    """The derivative along the image itself is the pooled image: pooling is homogeneous."""
    pooled, tangent = jax.jvp(max_pool, (jnp.asarray(IMAGES),), (jnp.asarray(IMAGES),))
    np.testing.assert_array_equal(tangent, pooled)


def test_window_too_large():
    with pytest.raises(InputError, match="9x9 is larger than images of 7x8"):
        max_pool(jnp.asarray(IMAGES), 9)
