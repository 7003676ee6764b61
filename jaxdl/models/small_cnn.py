"""The small convolutional network of private learning: few parameters, bounded activations.

A convolution of 16 features (8x8, stride 2), 2x2 max-pooling, a convolution of 32 (4x4), a dense
layer of 32, logits, with tanh between: where gradients are clipped and noise is added, tanh does
better than ReLU (Papernot et al. 2021, arXiv:2007.14191, whose network this is but for one thing:
there both convolutions have stride 2, each with 2x2 pooling of stride 1 behind it; one pooling of
stride 2 gives the same 26,010 parameters for less work, on 28x28 images of one channel and with
ten classes).
"""

import flax.linen as nn
from jaxtyping import Array, Float

from jaxdl.nn import (
    CPU_LAYOUT,
    Conv,
    DenseOfImages,
    change_layout,
    flax_model,
    initializer,
    max_pool,
)
from jaxdl.pixels import scale_pixels
from jaxdl.types import Keys, Model


def small_cnn(classes: int = 10) -> Model:
    """The network, from images ``(batch, height, width, channels)`` to logits ``(batch, classes)``.

    Images are uint8, or floats scaled already. Kernels start as Glorot uniform, biases at zero.
    Nothing is drawn.

    >>> import jax
    >>> params, _ = small_cnn().init(jax.random.key(0), jax.numpy.zeros((1, 28, 28, 1)))
    >>> sum(leaf.size for leaf in jax.tree.leaves(params))
    26010
    """
    return flax_model(SmallCNN(classes))


class SmallCNN(nn.Module):
    """The network as a Flax module; its parameters are what plain Flax layers would have."""

    classes: int = 10

    @nn.compact
    def __call__(self, images: Array, keys: Keys) -> Float[Array, "batch classes"]:
        """Gives the logits; draws nothing."""
        maps = change_layout(scale_pixels(images), "NHWC", CPU_LAYOUT)
        maps = nn.tanh(Conv(16, 8, strides=2, layout=CPU_LAYOUT, name="conv1")(maps))
        maps = max_pool(maps, layout=CPU_LAYOUT)
        maps = nn.tanh(Conv(32, 4, padding="valid", layout=CPU_LAYOUT, name="conv2")(maps))
        hidden = nn.tanh(DenseOfImages(32, layout=CPU_LAYOUT, name="dense1")(maps))
        last = nn.Dense(self.classes, kernel_init=initializer("glorot_uniform"), name="dense2")
        return last(hidden)
