"""Transposed convolution against `lax.conv_transpose`, forward and backward, and against Flax."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxdl.errors import InputError
from jaxdl.nn import ConvTranspose, change_layout, convolve_transposed

CASES = {
    # height, width, channels, features, kernel, strides, padding
    "DCGAN's": (7, 7, 5, 3, (4, 4), (2, 2), "same"),
    "odd kernel": (5, 6, 2, 3, (5, 5), (2, 2), "same"),
    "stride 1": (5, 4, 2, 3, (3, 3), (1, 1), "same"),
    "unequal strides, valid": (5, 4, 2, 3, (3, 2), (2, 1), "valid"),
    "stride beyond the kernel": (3, 4, 2, 2, (2, 2), (3, 3), "same"),
    "stride beyond the kernel, valid": (3, 4, 2, 2, (2, 1), (3, 2), "valid"),
}


def draw(case):
    height, width, channels, features, kernel, *_ = case
    rng = np.random.default_rng(0)
    images = rng.normal(size=(3, height, width, channels))
    return jnp.float32(images), jnp.float32(rng.normal(size=(*kernel, channels, features)))


def with_gradients(function, images, kernel):
    """Outputs, and both gradients for a cotangent of their own."""
    outputs, pull = jax.vjp(function, images, kernel)
    cotangent = jnp.float32(np.random.default_rng(1).normal(size=outputs.shape))
    return outputs, *pull(cotangent)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("layout", ["NHWC", "WCHN"])
def test_against_xla(name, layout):
    images, kernel = draw(CASES[name])
    *_, strides, padding = CASES[name]

    def ours(images, kernel):
        laid = change_layout(images, "NHWC", layout)
        maps = convolve_transposed(laid, kernel, strides=strides, padding=padding, layout=layout)
        return change_layout(maps, layout, "NHWC")

    def theirs(images, kernel):
        return lax.conv_transpose(images, kernel, strides, padding.upper())

    actual = jax.jit(with_gradients, static_argnums=0)(ours, images, kernel)
    expected = jax.jit(with_gradients, static_argnums=0)(theirs, images, kernel)
    for one, other in zip(actual, expected, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * np.abs(other).max())


def test_elsewhere_it_is_xlas(monkeypatch):
    images, kernel = draw(CASES["DCGAN's"])
    here = convolve_transposed(images, kernel, strides=2)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    there = convolve_transposed(images, kernel, strides=2)
    np.testing.assert_allclose(here, there, rtol=1e-5, atol=1e-5)


def test_layer_has_flax_parameters():
    images, _ = draw(CASES["DCGAN's"])
    layer, flax = ConvTranspose(3, 4, strides=2), nn.ConvTranspose(3, (4, 4), strides=(2, 2))
    variables = flax.init(jax.random.key(0), images)
    np.testing.assert_allclose(
        layer.apply(variables, images), flax.apply(variables, images), rtol=1e-5, atol=1e-5
    )
    shapes = jax.tree.map(np.shape, layer.init(jax.random.key(0), images))
    assert shapes == jax.tree.map(np.shape, variables)


@pytest.mark.parametrize(
    ("how", "word"), [({"padding": "full"}, "full"), ({"layout": "NCHW"}, "channels")]
)
def test_bad_input(how, word):
    images, kernel = draw(CASES["DCGAN's"])
    with pytest.raises(InputError, match=word):
        convolve_transposed(images, kernel, **how)
