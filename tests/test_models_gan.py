"""The discriminator's spectral norm against NumPy's singular values."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl.models import dcgan
from jaxdl.nn import convolve

IMAGES = jnp.float32(np.random.default_rng(0).random((3, 28, 28, 1)))
KEYS = jax.random.split(jax.random.key(1), 3)
SLOPE = 0.2


def trained_passes(discriminator, params, model_state, count):
    """What power iteration has found after so many training passes."""

    def step(model_state, _):
        return discriminator.apply(params, model_state, IMAGES, KEYS)[1], None

    return jax.lax.scan(step, model_state, None, length=count)[0]


def largest_singular_value(kernel):
    flat = np.asarray(kernel, np.float64).reshape(-1, kernel.shape[-1])
    return np.linalg.svd(flat, compute_uv=False)[0]


def test_spectral_norm_is_that_of_the_singular_values():
    """The scores are those of a network whose kernels are divided by what NumPy finds."""
    _, discriminator = dcgan(4, spectral_norm=True)
    params, model_state = discriminator.init(jax.random.key(0), IMAGES)
    model_state = trained_passes(discriminator, params, model_state, 300)
    scores, _ = discriminator.apply(params, model_state, IMAGES, None)

    def normed(layer):
        return layer["kernel"] / largest_singular_value(layer["kernel"])

    def leaky(maps):
        return jnp.where(maps > 0, maps, SLOPE * maps)

    maps = 2 * IMAGES - 1
    for name in ("Conv_0", "Conv_1"):
        maps = leaky(convolve(maps, normed(params["trunk"][name]), strides=2))
    hidden = leaky(maps.reshape(3, -1) @ normed(params["trunk"]["DenseOfImages_0"]))
    expected = hidden @ normed(params["score"])
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-6)


def test_spectral_norm_keeps_the_parameters_and_moves_only_in_training():
    plain, normed = dcgan(4)[1], dcgan(4, spectral_norm=True)[1]
    params, nothing = plain.init(jax.random.key(0), IMAGES)
    same, model_state = normed.init(jax.random.key(0), IMAGES)
    assert nothing == {}
    assert jax.tree.structure(params) == jax.tree.structure(same)
    _, unmoved = normed.apply(same, model_state, IMAGES, None)
    _, moved = normed.apply(same, model_state, IMAGES, KEYS)
    assert all(map(np.array_equal, *map(jax.tree.leaves, (model_state, unmoved))))
    assert not all(map(np.array_equal, *map(jax.tree.leaves, (model_state, moved))))


def test_the_size_of_normed_kernels_does_not_matter():
    _, discriminator = dcgan(4, spectral_norm=True)
    params, model_state = discriminator.init(jax.random.key(0), IMAGES)
    large = jax.tree.map(lambda leaf: 1000 * leaf, params)
    state = trained_passes(discriminator, params, model_state, 100)
    large_state = trained_passes(discriminator, large, model_state, 100)
    np.testing.assert_allclose(
        discriminator.apply(large, large_state, IMAGES, None)[0],
        discriminator.apply(params, state, IMAGES, None)[0],
        rtol=1e-4,
    )
