"""Flax Linen layers with the faster lowerings, and parameters as Flax's own layers keep them."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl.nn.convolution import Padding, Pair, convolve
from jaxdl.nn.initializers import initializer
from jaxdl.nn.transposed_convolution import convolve_transposed


class Conv(nn.Module):
    """Two-dimensional convolution and bias, as `flax.linen.Conv` with `jaxdl.nn.convolve` inside.

    Attributes:
        features: how many feature maps.
        kernel_size: height and width, or one for both.
        strides: as in `convolve`.
        padding: as in `convolve`.
        kernel_initializer: by name (`jaxdl.nn.initializer`).
        layout: of images and feature maps, as in `convolve`.
    """

    features: int
    kernel_size: int | Pair
    strides: int | Pair = 1
    padding: Padding = "same"
    kernel_initializer: str = "glorot_uniform"
    layout: str = "NHWC"

    @nn.compact
    def __call__(self, images: Float[Array, "n1 n2 n3 n4"]) -> Float[Array, "m1 m2 m3 m4"]:
        """Convolves."""
        kernel, bias = _kernel_and_bias(self, images)
        maps = convolve(
            images, kernel, strides=self.strides, padding=self.padding, layout=self.layout
        )
        return maps + bias


class ConvTranspose(nn.Module):
    """Transposed convolution and bias: `flax.linen.ConvTranspose` by `convolve_transposed`.

    Attributes:
        features: how many feature maps.
        kernel_size: height and width, or one for both.
        strides: as in `jaxdl.nn.convolve_transposed`, like the next.
        padding: ``"same"`` or ``"valid"``.
        kernel_initializer: by name (`jaxdl.nn.initializer`).
        layout: of images and feature maps.
    """

    features: int
    kernel_size: int | Pair
    strides: int | Pair = 1
    padding: str = "same"
    kernel_initializer: str = "glorot_uniform"
    layout: str = "NHWC"

    @nn.compact
    def __call__(self, images: Float[Array, "n1 n2 n3 n4"]) -> Float[Array, "m1 m2 m3 m4"]:
        """Spreads."""
        kernel, bias = _kernel_and_bias(self, images)
        maps = convolve_transposed(
            images, kernel, strides=self.strides, padding=self.padding, layout=self.layout
        )
        return maps + bias


class DenseOfImages(nn.Module):
    """A dense layer on all of an image, whatever its layout.

    Its kernel is that of `flax.linen.Dense` on flattened ``NHWC`` images. The kernel is brought
    into the images' order, which moves less than bringing the images into the kernel's.

    Attributes:
        features: how many outputs.
        kernel_initializer: by name (`jaxdl.nn.initializer`).
        layout: of the images.
    """

    features: int
    kernel_initializer: str = "glorot_uniform"
    layout: str = "NHWC"

    @nn.compact
    def __call__(self, images: Float[Array, "n1 n2 n3 n4"]) -> Float[Array, "batch features"]:
        """Flattens and multiplies."""
        size = [images.shape[self.layout.index(axis)] for axis in "HWC"]
        order = self.layout.replace("N", "")
        kernel = self.param(
            "kernel",
            initializer(self.kernel_initializer),
            (size[0] * size[1] * size[2], self.features),
        )
        bias = self.param("bias", jax.nn.initializers.zeros, (self.features,))
        kernel = kernel.reshape(*size, -1).transpose(*["HWC".index(a) for a in order], 3)
        kernel = kernel.reshape(-1, self.features)
        images = jnp.moveaxis(images, self.layout.index("N"), -1).reshape(kernel.shape[0], -1)
        return (jnp.einsum("kf,kn->fn", kernel, images) + bias[:, None]).T


def _kernel_and_bias(layer: Conv | ConvTranspose, images: Array) -> tuple[Array, Array]:
    """The parameters, the bias in the shape of an image of one pixel."""
    size, channel_axis = layer.kernel_size, layer.layout.index("C")
    shape = (
        *((size, size) if isinstance(size, int) else size),
        images.shape[channel_axis],
        layer.features,
    )
    kernel = layer.param("kernel", initializer(layer.kernel_initializer), shape)
    bias = layer.param("bias", jax.nn.initializers.zeros, (layer.features,))
    return kernel, jnp.expand_dims(bias, [axis for axis in range(4) if axis != channel_axis])
