"""Transposed convolution: the linear map that is a convolution's transpose, lowered as fast."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxdl.errors import InputError
from jaxdl.nn.convolution import Pair, convolve


def convolve_transposed(
    inputs: Float[Array, "n1 n2 n3 n4"],
    kernel: Float[Array, "kernel_height kernel_width channels features"],
    *,
    strides: int | Pair = 1,
    padding: str = "same",
    layout: str = "NHWC",
) -> Float[Array, "m1 m2 m3 m4"]:
    """Spreads each pixel by a kernel, ``strides`` pixels from its neighbour's.

    Equal to `lax.conv_transpose` up to rounding, forward and backward; its kernel is that of
    `flax.linen.ConvTranspose`. On a CPU it is the transpose of `jaxdl.nn.convolve`: inside a
    `lax.scan` XLA's own is as slow there as its convolution.

    Args:
        inputs: images, with their axes in the order of ``layout``.
        kernel: in the order ``HWIO``.
        strides: along height and width, or one for both.
        padding: ``"same"``, for ``strides`` times the size, or ``"valid"``, for
            ``size * strides + max(kernel size - strides, 0)``.
        layout: the letters N, H, W, C in any order.

    Returns:
        The feature maps, in the same layout.

    Raises:
        InputError: the kernel does not fit the images, or the padding is another.

    >>> convolve_transposed(jnp.ones((2, 7, 7, 8)), jnp.ones((4, 4, 8, 3)), strides=2).shape
    (2, 14, 14, 3)
    """
    pair = (strides, strides) if isinstance(strides, int) else strides
    if padding.lower() not in ("same", "valid"):
        raise InputError(f"padding {padding!r}: give 'same' or 'valid'")
    if inputs.shape[layout.index("C")] != kernel.shape[2]:
        raise InputError(
            f"images {inputs.shape} laid out as {layout} meet a kernel for "
            f"{kernel.shape[2]} channels"
        )
    if jax.default_backend() != "cpu":
        numbers = (layout, "HWIO", layout)
        return lax.conv_transpose(inputs, kernel, pair, padding.upper(), dimension_numbers=numbers)
    shape = list(inputs.shape)
    shape[layout.index("C")] = kernel.shape[3]
    for axis, size, stride in zip("HW", kernel.shape, pair, strict=False):
        place = layout.index(axis)
        beyond = 0 if padding.lower() == "same" else max(size - stride, 0)
        shape[place] = shape[place] * stride + beyond
    turned = kernel[::-1, ::-1].swapaxes(2, 3)

    def convolution(maps: Array) -> Array:
        return convolve(maps, turned, strides=pair, padding=padding, layout=layout)

    dtype = jnp.result_type(inputs, kernel)
    transpose = jax.linear_transpose(convolution, jax.ShapeDtypeStruct(tuple(shape), dtype))
    return transpose(inputs.astype(dtype))[0]
