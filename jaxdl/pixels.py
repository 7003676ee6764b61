"""How pixels are stored and how a model sees them."""

import jax.numpy as jnp
from jaxtyping import Array


def scale_pixels(images: Array) -> Array:
    """Brings uint8 pixels to float32 in [0, 1]; floats are taken to be scaled already.

    Images stay uint8 on the device, a quarter of the memory, until the program reads them.

    >>> scale_pixels(jnp.array([0, 255], jnp.uint8))
    Array([0., 1.], dtype=float32)
    """
    return images.astype(jnp.float32) / 255 if images.dtype == jnp.uint8 else images
