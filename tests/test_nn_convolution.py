"""Every lowering of a convolution against `lax.conv_general_dilated` in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import PartitionSpec as P

from jaxdl.errors import InputError
from jaxdl.nn import convolution
from jaxdl.nn.convolution import banded, choose_lowering, convolve, im2col, toom_cook
from jaxdl.parallel import DATA_AXIS, make_mesh

CASES = {
    # height, width, channels, features, kernel, strides, padding
    "lenet's second": (14, 14, 6, 16, (5, 5), (1, 1), "same"),
    "lenet's third": (7, 7, 16, 24, (5, 5), (1, 1), "same"),
    "one channel, valid": (9, 12, 1, 3, (3, 4), (1, 1), "valid"),
    "stride 2": (9, 11, 3, 4, (3, 3), (2, 2), "same"),
    "unequal strides": (10, 9, 2, 3, (4, 2), (3, 1), "same"),
    "dcgan's second": (14, 14, 8, 16, (4, 4), (2, 2), "same"),
    "stride beyond the kernel": (9, 8, 2, 3, (2, 1), (3, 4), "valid"),
    "lopsided padding": (6, 7, 3, 2, (3, 6), (1, 1), ((0, 2), (4, 1))),
    "padding that crops": (8, 9, 2, 3, (3, 3), (1, 1), ((-1, 2), (1, -2))),
    "a point": (5, 6, 4, 3, (1, 1), (1, 1), "same"),
    "as large as the image": (5, 7, 2, 3, (5, 7), (1, 1), "valid"),
}


def draw(case, batch=3, dtype=np.float32):
    height, width, channels, features, kernel, strides, padding = case
    rng = np.random.default_rng(0)
    images = rng.normal(size=(batch, height, width, channels)).astype(dtype)
    kernel = rng.normal(size=(*kernel, channels, features)).astype(dtype)
    return images, kernel, strides, padding


def reference(images, kernel, strides, padding):
    """Outputs, a cotangent and both gradients, by a loop over the kernel in float64."""
    pads = convolution.explicit_padding(images.shape, kernel.shape[:2], strides, padding, "NHWC")
    images = crop_or_pad(images.astype(np.float64), pads)
    kernel = kernel.astype(np.float64)
    size = [
        (n - k) // s + 1 for n, k, s in zip(images.shape[1:3], kernel.shape, strides, strict=False)
    ]
    cotangent = np.random.default_rng(1).normal(size=(len(images), *size, kernel.shape[3]))
    outputs, to_images, to_kernel = 0, np.zeros_like(images), np.zeros_like(kernel)
    for i, j in np.ndindex(*kernel.shape[:2]):
        rows = slice(i, i + (size[0] - 1) * strides[0] + 1, strides[0])
        columns = slice(j, j + (size[1] - 1) * strides[1] + 1, strides[1])
        seen = images[:, rows, columns]
        outputs += seen @ kernel[i, j]
        to_images[:, rows, columns] += cotangent @ kernel[i, j].T
        to_kernel[i, j] = np.einsum("nhwc,nhwf->cf", seen, cotangent)
    to_images = crop_or_pad(to_images, [(-low, -high) for low, high in pads])
    return cotangent, (outputs, to_images, to_kernel)


def crop_or_pad(images, pads):
    images = np.pad(images, [(0, 0), *((max(low, 0), max(high, 0)) for low, high in pads), (0, 0)])
    (top, bottom), (left, right) = ((max(-low, 0), max(-high, 0)) for low, high in pads)
    return images[:, top : images.shape[1] - bottom, left : images.shape[2] - right]


def assert_close(actual, expected, tolerance):
    for one, other in zip(actual, expected, strict=True):
        assert one.shape == other.shape
        error = np.asarray(one, np.float64) - np.asarray(other, np.float64)
        assert np.linalg.norm(error) <= tolerance * np.linalg.norm(other)
        assert np.abs(error).max() <= tolerance * np.abs(other).max()


def differentiate(lowering, images, kernel, strides, padding, cotangent):
    pads = convolution.explicit_padding(images.shape, kernel.shape[:2], strides, padding, "NHWC")

    def conv(images, kernel):
        outputs = lowering(images.transpose(2, 3, 1, 0), kernel, strides, pads)
        return outputs.transpose(3, 2, 0, 1)

    outputs, pull = jax.vjp(conv, images, kernel)
    return outputs, *pull(cotangent)


@pytest.mark.parametrize("name", CASES)
def test_lowerings(name):
    images, kernel, strides, padding = draw(CASES[name])
    cotangent, expected = reference(images, kernel, strides, padding)
    lowerings = [im2col, banded] + [toom_cook] * (kernel.shape[1] > strides[1])

    @jax.jit
    def run(images, kernel, cotangent):
        return [
            differentiate(lowering, images, kernel, strides, padding, cotangent)
            for lowering in lowerings
        ]

    for actual in run(images, kernel, cotangent.astype(np.float32)):
        assert_close(actual, expected, 1e-5)


def test_float64():
    images, kernel, strides, padding = draw(CASES["lenet's second"], dtype=np.float64)
    cotangent, expected = reference(images, kernel, strides, padding)
    with jax.enable_x64(True):
        run = jax.jit(functools.partial(differentiate, toom_cook), static_argnums=(2, 3))
        actual = run(images, kernel, strides, padding, cotangent)
    assert_close(actual, expected, 1e-14)


@pytest.mark.parametrize("name", ["unequal strides", "padding that crops"])
def test_reference_is_xla_convolution(name):
    images, kernel, strides, padding = draw(CASES[name])
    _, (outputs, *_) = reference(images, kernel, strides, padding)
    padding = padding.upper() if isinstance(padding, str) else padding
    expected = lax.conv_general_dilated(
        images, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    assert_close([outputs], [expected], 1e-5)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel_width", range(2, 8))
def test_toom_cook_is_exact_algebra(kernel_width, stride):
    """Evaluate, multiply and interpolate is the banded matrix, whatever the width and padding."""
    for width in range(1, 34):
        for padding in [(0, 0), (2, 2), (kernel_width, 0), (-1, kernel_width - 1)]:
            if width + sum(padding) < kernel_width or width <= -min(padding):
                continue
            evaluate, of_kernel, interpolate = convolution._transforms(
                width, kernel_width, stride, padding
            )
            evaluate = evaluate.reshape(-1, stride, width)
            product = np.einsum("psx,op,pk->xoks", evaluate, interpolate, of_kernel)
            product = product.reshape(*product.shape[:2], -1)[..., :kernel_width]
            band = convolution._band(width, kernel_width, stride, padding)
            np.testing.assert_allclose(product, band, atol=1e-12)


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_layouts(backend, monkeypatch):
    """All orders of the axes give the same, by the lowerings and by XLA's own convolution."""
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    images, kernel, strides, padding = draw(CASES["stride 2"])
    _, (expected, *_) = reference(images, kernel, strides, padding)

    @jax.jit
    def run(images, kernel):
        maps = []
        for layout in ("NHWC", "NCHW", "WCHN"):
            laid = convolution.change_layout(images, "NHWC", layout)
            outputs = convolve(laid, kernel, strides=2, layout=layout)
            maps.append(convolution.change_layout(outputs, layout, "NHWC"))
        return maps

    assert_close(run(images, kernel), [expected] * 3, 1e-5)


def test_choice():
    """The measured choices for the layers of LeNet, and where fewer multiplications cannot be."""

    def choose(width, channels, features, kernel=5, stride=1, dtype=jnp.float32):
        shape = (kernel, kernel, channels, features)
        padding = lax.padtype_to_pads([width], [kernel], [stride], "SAME")[0]
        return choose_lowering(width, shape, stride, padding, dtype)

    assert choose(28, 1, 6) is banded
    assert choose(14, 6, 16) is choose(7, 16, 120) is toom_cook
    assert choose(14, 64, 128, kernel=4, stride=2) is toom_cook
    assert choose(28, 1, 64, kernel=4, stride=2) is choose(14, 32, 64, kernel=1) is im2col
    assert choose(14, 32, 64, kernel=9) is banded
    assert choose(14, 32, 64, dtype=jnp.bfloat16) is im2col


def test_transformations():
    """In a scan, under vmap of images and kernels, and split over devices, it is the same."""
    images, kernel, strides, padding = draw(CASES["lenet's second"], batch=4)
    cotangent, (outputs, _, gradient) = reference(images, kernel, strides, padding)

    def conv(images, kernel):
        return convolve(images, kernel)

    def grad_of_example(image, cotangent):
        return jax.grad(lambda kernel: jnp.vdot(conv(image[None], kernel)[0], cotangent))(kernel)

    @jax.jit
    def run(images, kernel, cotangent):
        kernels = jnp.stack([kernel, 2 * kernel])
        _, in_scan = lax.scan(lambda c, x: (c, conv(x[None], kernel)[0]), 0, images)
        of_kernels = jax.vmap(conv, in_axes=(None, 0))(images, kernels)
        of_both = jax.vmap(conv)(jnp.stack([images, images]), kernels)
        per_example = jax.vmap(grad_of_example)(images, cotangent)
        _, tangent = jax.jvp(lambda kernel: conv(images, kernel), (kernel,), (kernel,))
        return in_scan, *of_kernels, *of_both, per_example.sum(0), tangent

    expected = [outputs, outputs, 2 * outputs, outputs, 2 * outputs, gradient, outputs]
    actual = run(images, kernel, cotangent.astype(np.float32))
    assert_close(actual, expected, 1e-5)

    split = jax.shard_map(
        conv, mesh=make_mesh(2), in_specs=(P(DATA_AXIS), P()), out_specs=P(DATA_AXIS)
    )
    assert_close([jax.jit(split)(images, kernel)], [outputs], 1e-5)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"layout": "NHW"}, "layout 'NHW'"),
        ({"layout": "NCHW"}, r"laid out as NCHW meet a kernel for 2 channels"),
        ({"padding": "full"}, "padding 'full'"),
        ({"padding": ((0, 0), (-2, 0))}, "3x3 is larger than images of 4x4"),
        ({"strides": (1, 0)}, "strides"),
    ],
)
def test_bad_arguments(options, says):
    with pytest.raises(InputError, match=says):
        convolve(jnp.ones((1, 4, 4, 2)), jnp.ones((3, 3, 2, 1)), **options)
