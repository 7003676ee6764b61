"""Images as sequences: row by row, or pixel by pixel, in their order or in another."""

from jaxtyping import Array, Shaped

from jaxdl.data.dataset import shuffled
from jaxdl.errors import InputError, near_names
from jaxdl.types import Examples

ORDERS = ("rows", "pixels", "permuted")

PERMUTATION_SEED = 92916
"""Of the order ``permuted``: pixel ``shuffled(784, 92916)[t]`` comes at step ``t`` of 28x28."""


def image_sequences(examples: Examples, order: str) -> Examples:
    """The images ``(n, height, width, channels)`` as sequences ``(n, time, features)``.

    - ``rows``: a step is a row, from the top, its features from left to right.
    - ``pixels``: a step is a pixel, row by row (Le et al. 2015, arXiv:1504.00941, section 4.2).
    - ``permuted``: the same pixels in an order that is drawn once, the same for all images and all
      runs, so that what lay side by side lies far apart (ibid.). Published work has each its own.

    Args:
        examples: images; their type stays.
        order: one of these.

    Raises:
        InputError: there is no such order.

    >>> import jax.numpy as jnp
    >>> images = Examples(jnp.zeros((5, 28, 28, 1)), jnp.zeros(5, int))
    >>> image_sequences(images, "rows").inputs.shape, image_sequences(images, "pixels").inputs.shape
    ((5, 28, 28), (5, 784, 1))
    """
    images = examples.inputs
    if order not in ORDERS:
        raise InputError(f"no order {order!r}; {near_names(order, ORDERS)}")
    if order == "rows":
        return examples._replace(inputs=images.reshape(*images.shape[:2], -1))
    pixels: Shaped[Array, "n time features"] = images.reshape(len(images), -1, images.shape[-1])
    if order == "permuted":
        pixels = pixels[:, shuffled(pixels.shape[1], PERMUTATION_SEED)]
    return examples._replace(inputs=pixels)
