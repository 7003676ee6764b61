"""Small random moves of images, drawn for each example from its own key, inside the program.

An image is read at moved coordinates: an affine move about the centre (rotation, scale, shear,
shift) plus an elastic one, a smooth random field (Simard, Steinkraus and Platt 2003, "Best
practices for convolutional neural networks", section 2). The field here is drawn on a coarse grid
and brought to the image's size by cubic interpolation, two small matrix products, in place of
their Gaussian filter of a full-size field.
"""

from dataclasses import dataclass
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from scipy import interpolate

from jaxdl.types import Number

KEY_OFFSET = 0x617567
"""Folded into an example's key, so that its moves and its dropout draw different numbers."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Moves:
    """How far images may move; each quantity but the last is uniform in plus or minus its bound.

    A pytree of numbers.
    """

    rotation: Number = 0.0
    """Radians."""

    scale: Number = 0.0
    """Of the logarithm of each axis' scale, drawn for each axis."""

    shear: Number = 0.0
    """Tangent of the angle."""

    shift: Number = 0.0
    """Pixels, drawn for each axis."""

    elastic: Number = 0.0
    """Standard deviation of the smooth random field, in pixels."""


def random_moves(
    moves: Moves, images: Float[Array, "batch height width channels"], keys: Key[Array, " batch"]
) -> Float[Array, "batch height width channels"]:
    """Each image moved by its own draw; what comes in from outside is 0.

    Bind the numbers to pass it on: ``Partial(random_moves, Moves(rotation=0.1))``.
    """
    return jax.vmap(_move, in_axes=(None, 0, 0))(moves, images, keys)


def _move(moves: Moves, image: Array, key: Array) -> Array:
    height, width, _ = image.shape
    affine_key, elastic_key = jax.random.split(jax.random.fold_in(key, KEY_OFFSET))
    draw = jax.random.uniform(affine_key, (6,), minval=-1.0, maxval=1.0)
    angle, shear = moves.rotation * draw[0], moves.shear * draw[1]
    scale_y, scale_x = jnp.exp(moves.scale * draw[2]), jnp.exp(moves.scale * draw[3])
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    y, x = jnp.meshgrid(
        jnp.arange(height) - (height - 1) / 2, jnp.arange(width) - (width - 1) / 2, indexing="ij"
    )
    x_sheared = x + shear * y
    moved_y = scale_y * (cos * y - sin * x_sheared) + (height - 1) / 2 + moves.shift * draw[4]
    moved_x = scale_x * (sin * y + cos * x_sheared) + (width - 1) / 2 + moves.shift * draw[5]
    field = moves.elastic * _smooth_field(elastic_key, height, width)
    return _read_bilinear(image, moved_y + field[0], moved_x + field[1])


def _smooth_field(key: Array, height: int, width: int) -> Float[Array, "2 height width"]:
    """A random displacement for each pixel, of deviation about 1, smooth over some 5 pixels."""
    rows, columns = _upsampling(height), _upsampling(width)
    grid = jax.random.normal(key, (2, rows.shape[1], columns.shape[1]))
    return jnp.einsum("hr,drc,wc->dhw", rows, grid, columns)


@lru_cache
def _upsampling(size: int, spacing: float = 5.0) -> np.ndarray:
    """The matrix that interpolates a grid of points ``spacing`` pixels apart to ``size`` pixels."""
    points = max(4, round(size / spacing) + 1)
    grid = np.linspace(0, size - 1, points)
    spline = interpolate.CubicSpline(grid, np.eye(points), axis=0, bc_type="natural")
    return spline(np.arange(size)).astype(np.float32)


def _read_bilinear(image: Array, y: Array, x: Array) -> Array:
    """The image at fractional places, 0 outside."""

    def one_channel(plane):
        return jax.scipy.ndimage.map_coordinates(plane, [y, x], order=1, mode="constant")

    return jax.vmap(one_channel, in_axes=-1, out_axes=-1)(image)
