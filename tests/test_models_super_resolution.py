"""The enlargements against Pillow's and by hand, and the network at its start."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxdl.models import super_resolution
from jaxdl.models.super_resolution import enlarge, pixels_between, shrink

IMAGES = jnp.float32(np.random.default_rng(0).random((2, 28, 28, 1)))


def by_pillow(images, size):
    return np.stack(
        [
            np.asarray(Image.fromarray(np.asarray(of[..., 0])).resize((size, size), Image.BICUBIC))
            for of in images
        ]
    )[..., None]


@pytest.mark.parametrize("factor", [2, 4])
def test_bicubic_is_pillows(factor):
    small = shrink(IMAGES, factor)
    np.testing.assert_allclose(small, by_pillow(IMAGES, 28 // factor), atol=1e-5)
    np.testing.assert_allclose(enlarge(small, factor), by_pillow(small, 28), atol=1e-5)


def test_pixels_between():
    maps = jnp.arange(2 * 3 * 9.0).reshape(1, 2, 3, 9)
    image = np.asarray(pixels_between(maps, 3)[0, ..., 0])
    for (row, column), _ in np.ndenumerate(image):
        expected = maps[0, row // 3, column // 3, 3 * (row % 3) + column % 3]
        assert image[row, column] == expected


def test_the_network_begins_as_bicubic_and_learns():
    model = super_resolution(2, features=4)
    small = shrink(IMAGES, 2)
    params, _ = model.init(jax.random.key(0), small)

    def loss(params):
        return jnp.mean(jnp.square(model.apply(params, {}, small, None)[0] - IMAGES))

    np.testing.assert_allclose(
        model.apply(params, {}, small, None)[0], enlarge(small, 2), atol=1e-6
    )
    value, gradient = jax.value_and_grad(loss)(params)
    nearer = jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient)
    assert loss(nearer) < value
