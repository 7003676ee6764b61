"""Small images made large: a network beside bicubic interpolation, which it mends.

Convolutions of 3x3 at the small size, a last one to ``factor^2`` maps that become the pixels
between (sub-pixel convolution, Shi et al. 2016, arXiv:1609.05158, equation 4), added to the bicubic
enlargement (as Kim et al. 2016, arXiv:1511.04587, section 3.1, learn what it lacks).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdl.models.gan import Discriminator
from jaxdl.nn import CPU_LAYOUT, Conv, change_layout, flax_model
from jaxdl.types import Keys, Model, Players

Images = Float[Array, "batch height width 1"]
Resized = Float[Array, "batch new_height new_width 1"]


def super_resolution(factor: int, features: int = 48, depth: int = 4) -> Model:
    """The network, from images ``(batch, height, width, 1)`` to ``factor`` times the size.

    Images are in [0, 1]; what it gives may lie a little outside of [0, 1].

    Args:
        factor: of height and width.
        features: of each layer.
        depth: layers before the last.

    >>> model = super_resolution(2, features=8)
    >>> params, _ = model.init(jax.random.key(0), jnp.zeros((1, 14, 14, 1)))
    >>> model.apply(params, {}, jnp.zeros((3, 14, 14, 1)), None)[0].shape
    (3, 28, 28, 1)
    """
    return flax_model(SuperResolution(factor, features, depth))


def super_resolution_pair(factor: int, features: int = 48, depth: int = 4) -> Players:
    """The network, and the discriminator of `jaxdl.models.dcgan` for images of two channels.

    Show it an image of 28x28 beside what it is to be the enlargement of, enlarged bicubically: so
    it sees whether one fits the other, too.

    >>> _, discriminator = super_resolution_pair(2)
    >>> params, _ = discriminator.init(jax.random.key(0), jnp.zeros((1, 28, 28, 2)))
    >>> discriminator.apply(params, {}, jnp.zeros((3, 28, 28, 2)), None)[0].shape
    (3, 1)
    """
    return Players(super_resolution(factor, features, depth), flax_model(Discriminator()))


class SuperResolution(nn.Module):
    """The network as a Flax module; see `super_resolution`."""

    factor: int
    features: int
    depth: int

    @nn.compact
    def __call__(self, images: Images, keys: Keys) -> Resized:
        """Gives large images."""
        maps = change_layout(images, "NHWC", CPU_LAYOUT)
        for _ in range(self.depth):
            layer = Conv(self.features, 3, kernel_initializer="he_normal", layout=CPU_LAYOUT)
            maps = nn.relu(layer(maps))
        last = Conv(self.factor**2, 3, kernel_initializer="zeros", layout=CPU_LAYOUT)
        mended = change_layout(last(maps), CPU_LAYOUT, "NHWC")
        return enlarge(images, self.factor) + pixels_between(mended, self.factor)


def enlarge(images: Images, factor: int) -> Resized:
    """Bicubic interpolation (Keys 1981), as of `jax.image.resize`."""
    return _resized(images, [factor * size for size in images.shape[1:3]])


def shrink(images: Images, factor: int) -> Resized:
    """The same the other way, smoothed first so that nothing is aliased."""
    return _resized(images, [size // factor for size in images.shape[1:3]])


def pixels_between(
    maps: Float[Array, "batch height width maps"], factor: int
) -> Float[Array, "batch all_height all_width 1"]:
    """Each place's ``factor^2`` maps as a square of pixels, row by row.

    >>> pixels_between(jnp.arange(4.0).reshape(1, 1, 1, 4), 2)[0, :, :, 0]
    Array([[0., 1.],
           [2., 3.]], dtype=float32)
    """
    batch, height, width, _ = maps.shape
    squares = maps.reshape(batch, height, width, factor, factor).swapaxes(2, 3)
    return squares.reshape(batch, height * factor, width * factor, 1)


def _resized(images: Images, size: list[int]) -> Resized:
    rows, columns = (
        jnp.asarray(_matrix(old, new), images.dtype)
        for old, new in zip(images.shape[1:3], size, strict=True)
    )
    return jnp.einsum("ih,nhwc,jw->nijc", rows, images, columns)


def _matrix(old: int, new: int) -> np.ndarray:
    """What takes ``old`` places to ``new`` ones: two small products are fast inside a scan."""
    with jax.ensure_compile_time_eval():
        return np.asarray(jax.image.resize(jnp.eye(old), (new, old), "cubic"))
