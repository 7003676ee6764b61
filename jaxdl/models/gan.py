"""Generators and discriminators of images of 28x28, after DCGAN (Radford et al. 2016).

From noise, a dense layer to 7x7 and two transposed convolutions of 4x4 to 14x14 and 28x28, batch
norm and ReLU between; and back by two convolutions of 4x4 with stride 2 and, for so few of them, a
dense layer, leaky ReLU between, to a score (arXiv:1511.06434, section 3). Kernels start, and leaky
ReLU slopes, as there (section 4): normal with standard deviation 0.02, and by 0.2. Images are in
[0, 1], as those of every other model.
"""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdl.nn import (
    CPU_LAYOUT,
    Conv,
    ConvTranspose,
    DenseOfImages,
    batch_norm,
    change_layout,
    flax_model,
    initializer,
)
from jaxdl.types import Keys, Players

START = 7
SLOPE = 0.2
CHANNEL_AXIS = CPU_LAYOUT.index("C")
LABEL_FEATURES = 32


def dcgan(features: int = 64, hidden: int = 256, *, spectral_norm: bool = False) -> Players:
    """Both players, on images ``(batch, 28, 28, 1)``.

    The generator takes noise ``(batch, latent)``, the discriminator gives scores ``(batch, 1)``.
    Only the generator has batch norm: a score that depends on the other samples knows no gradient
    penalty.

    Args:
        features: of the larger feature maps; twice as many of the smaller.
        hidden: units of the discriminator's dense layer.
        spectral_norm: divide each kernel of the discriminator, as a matrix with a column for each
            output, by its largest singular value (Miyato et al. 2018, arXiv:1802.05957), which each
            training pass follows by a step of power iteration.

    >>> import jax
    >>> generator, _ = dcgan()
    >>> params, model_state = generator.init(jax.random.key(0), jnp.zeros((1, 64)))
    >>> generator.apply(params, model_state, jnp.zeros((2, 64)), None)[0].shape
    (2, 28, 28, 1)
    """
    discriminator = Discriminator(features, hidden, spectral_norm)
    return Players(flax_model(Generator(features)), flax_model(discriminator))


def conditional_dcgan(classes: int, features: int = 64, hidden: int = 256) -> Players:
    """Both players with a label.

    They take ``(noise, labels)`` and ``(images, labels)``. The generator has the label's vector
    beside the noise; the discriminator adds to its score the product of the label's vector and its
    own last features (projection, Miyato and Koyama 2018, arXiv:1802.05637).

    >>> import jax
    >>> generator, _ = conditional_dcgan(10)
    >>> inputs = jnp.zeros((2, 64)), jnp.array([3, 7])
    >>> params, model_state = generator.init(jax.random.key(0), inputs)
    >>> generator.apply(params, model_state, inputs, None)[0].shape
    (2, 28, 28, 1)
    """
    return Players(
        flax_model(ConditionalGenerator(classes, features)),
        flax_model(ConditionalDiscriminator(classes, features, hidden)),
    )


class Generator(nn.Module):
    """From noise to images; see `dcgan`."""

    features: int = 64

    @nn.compact
    def __call__(
        self, noise: Float[Array, "batch latent"], keys: Keys, use_running_average: bool
    ) -> Float[Array, "batch 28 28 1"]:
        """Gives images in [0, 1]."""

        def normalized(values: Array, axis: int) -> Array:
            norm = batch_norm(use_running_average, axis=axis, momentum=0.9)
            return nn.relu(norm(values))

        kernel_init = initializer("normal")
        values = nn.Dense(START * START * 2 * self.features, kernel_init=kernel_init)(noise)
        # In whose order the dense layer's units are pixels is free: in this no map is moved.
        maps = values.T.reshape(START, 2 * self.features, START, -1)
        maps = normalized(maps, CHANNEL_AXIS)
        maps = normalized(self._enlarged(maps, self.features), CHANNEL_AXIS)
        return change_layout(nn.sigmoid(self._enlarged(maps, 1)), CPU_LAYOUT, "NHWC")

    def _enlarged(self, maps: Array, features: int) -> Array:
        layer = ConvTranspose(
            features, 4, strides=2, kernel_initializer="normal", layout=CPU_LAYOUT
        )
        return layer(maps)


class ConditionalGenerator(nn.Module):
    """From noise and a label to images; see `conditional_dcgan`."""

    classes: int
    features: int = 64

    @nn.compact
    def __call__(
        self,
        inputs: tuple[Float[Array, "batch latent"], Int[Array, " batch"]],
        keys: Keys,
        use_running_average: bool,
    ) -> Float[Array, "batch 28 28 1"]:
        """Gives images in [0, 1]."""
        noise, labels = inputs
        of_label = nn.Embed(self.classes, LABEL_FEATURES, name="label")(labels)
        both = jnp.concatenate([noise, of_label], axis=1)
        return Generator(self.features, name="generator")(both, keys, use_running_average)


class Trunk(nn.Module):
    """What a discriminator makes of images before its last layer.

    Two convolutions see no more than ten pixels at once. Whether strokes that are well drawn make a
    digit is for the dense layer behind them.
    """

    features: int = 64
    hidden: int = 256
    spectral_norm: bool = False

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch 28 28 channels"], use_running_average: bool
    ) -> Float[Array, "batch hidden"]:
        """Gives the last features."""
        maps = change_layout(2 * images - 1, "NHWC", CPU_LAYOUT)
        for features in (self.features, 2 * self.features):
            layer = Conv(features, 4, strides=2, kernel_initializer="normal", layout=CPU_LAYOUT)
            maps = nn.leaky_relu(self._normed(layer, use_running_average)(maps), SLOPE)
        dense = DenseOfImages(self.hidden, kernel_initializer="normal", layout=CPU_LAYOUT)
        return nn.leaky_relu(self._normed(dense, use_running_average)(maps), SLOPE)

    def _normed(self, layer: nn.Module, use_running_average: bool) -> Callable[[Array], Array]:
        return spectrally_normed(layer, use_running_average) if self.spectral_norm else layer


class Discriminator(nn.Module):
    """From images to scores; see `dcgan`."""

    features: int = 64
    hidden: int = 256
    spectral_norm: bool = False

    @nn.compact
    def __call__(
        self,
        images: Float[Array, "batch 28 28 channels"],
        keys: Keys,
        use_running_average: bool,
    ) -> Float[Array, "batch 1"]:
        """Gives the scores."""
        trunk = Trunk(self.features, self.hidden, self.spectral_norm, name="trunk")
        layer = nn.Dense(1, kernel_init=initializer("normal"), name="score")
        if self.spectral_norm:
            layer = spectrally_normed(layer, use_running_average)
        return layer(trunk(images, use_running_average))


class ConditionalDiscriminator(nn.Module):
    """From images and labels to scores; see `conditional_dcgan`."""

    classes: int
    features: int = 64
    hidden: int = 256

    @nn.compact
    def __call__(
        self,
        inputs: tuple[Float[Array, "batch 28 28 1"], Int[Array, " batch"]],
        keys: Keys,
    ) -> Float[Array, "batch 1"]:
        """Gives the scores."""
        images, labels = inputs
        seen = Trunk(self.features, self.hidden, name="trunk")(images, use_running_average=True)
        embed = nn.Embed(self.classes, seen.shape[1], embedding_init=initializer("normal"))
        fitting = jnp.sum(embed(labels) * seen, axis=1, keepdims=True)
        return nn.Dense(1, kernel_init=initializer("normal"), name="score")(seen) + fitting


def spectrally_normed(layer: nn.Module, use_running_average: bool) -> Callable[[Array], Array]:
    """The layer with its kernel over its largest singular value, followed while it trains."""
    return partial(nn.SpectralNorm(layer), update_stats=not use_running_average)
