"""Two-dimensional convolution, lowered to matrix products on a CPU.

XLA's own convolution is about ten times slower inside a `lax.scan` on a CPU than outside of one
(https://github.com/jax-ml/jax/issues/12868), and a training run here is a scan. So `convolve` has
three lowerings to matrix products for the CPU; elsewhere it is `lax.conv_general_dilated`. All are
plain JAX: they can be differentiated in either mode, batched by `vmap` (kernels too) and split by
`shard_map`.

The lowerings work on images laid out as width, channels, height, example (``WCHN``). With the
examples side by side in memory, every copy, and all that is elementwise around a convolution, runs
along contiguous rows; with the width in front, a transform of it is one matrix product.
"""

import functools
import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float
from scipy.linalg import block_diag

from jaxdl.errors import InputError

CPU_LAYOUT = "WCHN"
POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)  # of toom_cook, besides infinity
COST_OF_MOVING = 50

Pair = tuple[int, int]
Padding = str | Sequence[Pair]
Lowering = Callable[[Array, Array, Pair, tuple[Pair, Pair]], Array]


def convolve(
    inputs: Float[Array, "n1 n2 n3 n4"],
    kernel: Float[Array, "kernel_height kernel_width channels features"],
    *,
    strides: int | Pair = 1,
    padding: Padding = "same",
    layout: str = "NHWC",
) -> Float[Array, "m1 m2 m3 m4"]:
    """Convolves images with a kernel (in the field's sense: without turning the kernel round).

    Equal to `lax.conv_general_dilated` up to rounding, forward and backward.

    Args:
        inputs: images, with their axes in the order of ``layout``.
        kernel: in the order that Flax and Keras keep, ``HWIO``.
        strides: along height and width, or one for both.
        padding: ``"same"``, ``"valid"``, or how much of zeros: ``((top, bottom), (left, right))``.
        layout: the letters N, H, W, C in any order. Models that keep to `CPU_LAYOUT` from their
            first layer to their last are the fastest on a CPU.

    Returns:
        The feature maps, in the same layout.

    Raises:
        InputError: the kernel does not fit the images, or layout or padding cannot be.

    >>> convolve(jnp.ones((2, 28, 28, 3)), jnp.ones((5, 5, 3, 8)), strides=2).shape
    (2, 14, 14, 8)
    """
    pair = (strides, strides) if isinstance(strides, int) else strides
    height, width, channels, _ = kernel.shape
    pads = explicit_padding(inputs.shape, (height, width), pair, padding, layout)
    if inputs.shape[layout.index("C")] != channels:
        raise InputError(
            f"images {inputs.shape} laid out as {layout} meet a kernel for {channels} channels"
        )
    dtype = jnp.result_type(inputs, kernel)
    inputs, kernel = inputs.astype(dtype), kernel.astype(dtype)
    if jax.default_backend() != "cpu":
        return lax.conv_general_dilated(
            inputs, kernel, pair, pads, dimension_numbers=(layout, "HWIO", layout)
        )
    images = change_layout(inputs, layout, CPU_LAYOUT)
    lowering = choose_lowering(images.shape[0], kernel.shape, pair[1], pads[1], dtype)
    return change_layout(lowering(images, kernel, pair, pads), CPU_LAYOUT, layout)


# --- which lowering ------------------------------------------------------------------------------


def choose_lowering(
    width: int, kernel_shape: Sequence[int], stride: int, padding: Pair, dtype: DTypeLike
) -> Lowering:
    """The lowering of least cost, from all that is measured along the width.

    Cost is counted for one output row of one example: its multiplications, and `COST_OF_MOVING` for
    each number that is copied or handed from one product to the next. That constant was fitted to
    27 layers; for these the choice (*) is 2% slower than the best on average:

    =====  ========  ========  ======  ======  =====  ======  ======  =========
    width  channels  features  kernel  stride  batch  im2col  banded  toom_cook
    =====  ========  ========  ======  ======  =====  ======  ======  =========
    28     1         6         5x5     1       128    3.3     3.1*    3.7
    14     6         16        5x5     1       128    7.0     8.3     4.9*
    7      16        120       5x5     1       128    21.8    21.8    10.5*
    28     1         64        5x5     1       64     8.4*    20.4    22.3
    32     3         32        3x3     1       32     3.4*    16.6    4.1
    14     32        64        3x3     1       32     7.7     33.7    5.9*
    32     32        32        3x3     1       16     13.7    98.1    10.3*
    8      128       128       3x3     1       32     24.4    67.1    15.1*
    14     6         16        7x7     1       32     3.2     3.9*    3.4
    28     1         32        5x5     2       64     1.2*    2.3     1.5
    28     1         64        4x4     2       64     1.9*    3.6     2.3
    14     16        32        5x5     2       64     3.1*    5.9     4.8
    28     32        64        3x3     2       16     5.2*    40.7    6.6
    14     64        128       4x4     2       32     15.8    50.0    10.9*
    =====  ========  ========  ======  ======  =====  ======  ======  =========

    (Milliseconds forward and backward in a scan, one core with AVX-512; without the gradient of
    images of up to three channels.) Numbers of fewer than 32 bits are too coarse for `toom_cook`.
    """
    kernel_height, kernel_width, channels, features = kernel_shape
    out_width = _out_size(width, kernel_width, stride, padding)
    column = kernel_height * channels
    outputs = out_width * features
    costs = {
        im2col: out_width * kernel_width * column * (features + COST_OF_MOVING),
        banded: width * column * (outputs + COST_OF_MOVING),
    }
    taps = -(-kernel_width // stride)
    if 2 <= taps <= len(POINTS) and jnp.finfo(dtype).bits >= 32:
        points = sum(tile.size + taps - 1 for tile in _tiles(out_width, taps))
        products = points * (stride * column * features + stride * width * channels + outputs)
        copies = 1 if stride == 1 else 2  # of a strided window: into phases, then together
        moved = points * (stride * channels + copies * stride * column + features)
        costs[toom_cook] = products + COST_OF_MOVING * moved
    return min(costs, key=costs.__getitem__)


# --- the lowerings -------------------------------------------------------------------------------


def im2col(
    images: Float[Array, "width channels height batch"],
    kernel: Float[Array, "kernel_height kernel_width channels features"],
    strides: Pair,
    padding: tuple[Pair, Pair],
) -> Float[Array, "out_width features out_height batch"]:
    """A copy of the patch under each output, times the kernel."""
    features = kernel.shape[3]
    rows = windows(images, 2, kernel.shape[0], strides[0], padding[0])
    patches = windows(rows, 0, kernel.shape[1], strides[1], padding[1])
    out_width, *_, out_height, batch = patches.shape
    matrix = kernel.swapaxes(0, 1).reshape(-1, features)
    # A product for each place along the width leaves the outputs in their layout; one product
    # for all would have to be transposed.
    outputs = jnp.einsum(
        "wkf,wkn->wfn",
        jnp.broadcast_to(matrix, (out_width, *matrix.shape)),
        patches.reshape(out_width, -1, out_height * batch),
    )
    return outputs.reshape(out_width, features, out_height, batch)


def banded(
    images: Float[Array, "width channels height batch"],
    kernel: Float[Array, "kernel_height kernel_width channels features"],
    strides: Pair,
    padding: tuple[Pair, Pair],
) -> Float[Array, "out_width features out_height batch"]:
    """The rows that each output row sees, times a matrix with the kernel along its diagonals.

    It multiplies by the zeros off the diagonals, but copies ``kernel_width`` times less.
    """
    features = kernel.shape[3]
    rows = windows(images, 2, kernel.shape[0], strides[0], padding[0])
    band = _band(images.shape[0], kernel.shape[1], strides[1], padding[1])  # (W, W', kw)
    matrix = jnp.einsum("xok,hkcf->xhcof", jnp.asarray(band, kernel.dtype), kernel)
    out_width, (out_height, batch) = band.shape[1], rows.shape[-2:]
    outputs = jnp.einsum(
        "kf,kn->fn",
        matrix.reshape(-1, out_width * features),
        rows.reshape(-1, out_height * batch),
    )
    return outputs.reshape(out_width, features, out_height, batch)


def toom_cook(
    images: Float[Array, "width channels height batch"],
    kernel: Float[Array, "kernel_height kernel_width channels features"],
    strides: Pair,
    padding: tuple[Pair, Pair],
) -> Float[Array, "out_width features out_height batch"]:
    """Winograd's way with fewer multiplications, along the width.

    A tile of ``m`` neighbouring outputs takes ``m + kernel_width - 1`` multiplications instead of
    ``m * kernel_width``: evaluate the kernel, as a polynomial, and the image at as many points,
    multiply (at each point one matrix product over the kernel's rows and the channels), interpolate
    (Winograd 1980, "Arithmetic complexity of computations"; Lavin and Gray 2016, arXiv:1509.09308).
    With a stride along the width, each of its phases is another channel of a convolution without
    (a kernel it does not divide is padded by zeros).
    In float32 its relative error is near 1e-6, against 2e-7 of the other lowerings.
    """
    height, width, channels, features = kernel.shape
    stride = strides[1]
    evaluate, evaluate_kernel, interpolate = (
        jnp.asarray(matrix, kernel.dtype)
        for matrix in _transforms(images.shape[0], width, stride, padding[1])
    )
    points = _along_width(evaluate, images).reshape(-1, stride * channels, *images.shape[2:])
    rows = windows(points, 2, height, strides[0], padding[0])
    phases = jnp.pad(kernel, ((0, 0), (0, -width % stride), (0, 0), (0, 0)))
    phases = phases.reshape(height, -1, stride, channels, features).transpose(1, 4, 0, 2, 3)
    matrices = _along_width(evaluate_kernel, phases)
    count, *_, out_height, batch = rows.shape
    products = jnp.einsum(
        "pfk,pkn->pfn",
        matrices.reshape(count, features, -1),
        rows.reshape(count, -1, out_height * batch),
    )
    return _along_width(interpolate, products.reshape(count, features, out_height, batch))


# --- pieces of the lowerings ---------------------------------------------------------------------


def _along_width(matrix: Array, images: Array) -> Array:
    """One matrix product for all that has a width; kept in two dimensions, so is its gradient."""
    outputs = matrix @ images.reshape(images.shape[0], -1)
    return outputs.reshape(-1, *images.shape[1:])


def windows(array: Array, axis: int, size: int, stride: int, padding: Pair = (0, 0)) -> Array:
    """The windows along ``axis``, their places on it and what each holds on a new axis 1.

    They are put together from pieces that do not overlap: so the gradient is put together too.
    That of overlapping slices is a sum of padded arrays, which XLA is slow to write on a CPU.
    """
    count = _out_size(array.shape[axis], size, stride, padding)
    before, after = (max(pad, 0) for pad in padding)
    array = _cropped(array, axis, padding)
    first, last, end = before, before + array.shape[axis], before + array.shape[axis] + after
    ends = {*range(size), *range(count, end + 1)} if stride == 1 else {*range(end + 1)}
    cuts = sorted(ends | {0, first, last, end})
    within = [cut for cut in cuts if first <= cut <= last]
    pieces = dict(zip(within, lax.split(array, np.diff(within).tolist(), axis), strict=False))
    for start, stop in itertools.pairwise(cuts):
        if start not in pieces:
            shape = (*array.shape[:axis], stop - start, *array.shape[axis + 1 :])
            pieces[start] = jnp.zeros(shape, array.dtype)
    held = [
        [pieces[cut] for cut in cuts if cut in range(i, i + count * stride, stride)]
        for i in range(size)
    ]
    return jnp.stack([jnp.concatenate(of, axis) for of in held], axis=1)


def _cropped(array: Array, axis: int, padding: Pair) -> Array:
    """Without what a negative padding takes away."""
    before, after = (max(-pad, 0) for pad in padding)
    return lax.split(array, [before, array.shape[axis] - before - after, after], axis)[1]


def _out_size(size: int, kernel: int, stride: int, padding: Pair) -> int:
    return (size + sum(padding) - kernel) // stride + 1


@functools.cache
def _band(width: int, kernel_width: int, stride: int, padding: Pair) -> np.ndarray:
    """1 where output ``o`` meets input ``x`` under the kernel's column ``k``: ``(x, o, k)``."""
    inputs = np.arange(width)[:, None, None]
    outputs = np.arange(_out_size(width, kernel_width, stride, padding))[None, :, None]
    return inputs == outputs * stride + np.arange(kernel_width) - padding[0]


def _tiles(out_width: int, taps: int) -> list[np.ndarray]:
    """The outputs parted into the fewest tiles that `POINTS` and infinity suffice for."""
    size = len(POINTS) + 2 - taps
    return np.array_split(np.arange(out_width), -(-out_width // size))


@functools.cache
def _transforms(
    width: int, kernel_width: int, stride: int, padding: Pair
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The matrices of `toom_cook`, exact but for the last rounding.

    Returns:
        ``evaluate`` ``(points * stride, width)``, ``evaluate_kernel`` ``(points, taps)`` and
        ``interpolate`` ``(out_width, points)``, for all tiles one after the other; a phase of the
        kernel has ``kernel_width / stride`` taps, rounded up.
    """
    taps = -(-kernel_width // stride)
    evaluate, evaluate_kernel, interpolate = [], [], []
    for tile in _tiles(_out_size(width, kernel_width, stride, padding), taps):
        size = tile.size + taps - 1
        points = POINTS[: size - 1]
        first = stride * int(tile[0]) - padding[0]
        pixels = np.eye(size * stride, width, first).reshape(size, -1)
        evaluate.append((_lagrange(points) @ pixels).reshape(-1, width))
        evaluate_kernel.append(_powers(points, taps))
        interpolate.append(_powers(points, tile.size).T)
    return (
        np.concatenate(evaluate),
        np.concatenate(evaluate_kernel),
        np.asarray(block_diag(*interpolate)),
    )


def _powers(points: Sequence[float], count: int) -> np.ndarray:
    """The values of ``1, x, ..., x**(count - 1)`` at each point, then at infinity."""
    infinity = np.eye(1, count, count - 1)
    return np.concatenate([np.vander(points, count, increasing=True), infinity])


def _lagrange(points: Sequence[float]) -> np.ndarray:
    """The transposed inverse of `_powers`, a square: the coefficients of Lagrange's polynomials."""
    rows = []
    for point in points:
        others = [other for other in points if other != point]
        ascending = np.atleast_1d(np.poly(others))[::-1]
        rows.append([*ascending / np.prod(np.subtract(point, others)), 0])
    return np.array([*rows, np.atleast_1d(np.poly(points))[::-1]])


# --- arguments -----------------------------------------------------------------------------------


def change_layout(images: Array, layout: str, into: str) -> Array:
    """The images with their axes in another order.

    >>> change_layout(jnp.ones((2, 28, 28, 1)), "NHWC", "WCHN").shape
    (28, 1, 28, 2)
    """
    return images.transpose([layout.index(axis) for axis in into])


def explicit_padding(
    shape: Sequence[int], window: Pair, strides: Pair, padding: Padding, layout: str
) -> tuple[Pair, Pair]:
    """What is added above and below, and left and right; see `convolve`."""
    if sorted(layout) != sorted("NHWC"):
        raise InputError(f"layout {layout!r}: give the letters N, H, W and C in some order")
    if min(strides) < 1:
        raise InputError(f"strides {strides}: give 1 or more")
    size = [shape[layout.index(axis)] for axis in "HW"]
    if not isinstance(padding, str):
        pads = padding
    elif padding.lower() in ("same", "valid"):
        pads = lax.padtype_to_pads(size, window, strides, padding.upper())
    else:
        raise InputError(f"padding {padding!r}: give 'same', 'valid' or pairs of numbers")
    (top, bottom), (left, right) = pads
    if size[0] + top + bottom < window[0] or size[1] + left + right < window[1]:
        raise InputError(
            f"a window of {window[0]}x{window[1]} is larger than images of {size[0]}x{size[1]} "
            f"padded by {pads}"
        )
    return (top, bottom), (left, right)
