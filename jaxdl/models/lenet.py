"""The convolutional network of the classic MNIST tutorials, after LeCun et al. (1998).

Convolutions of 6, 16 and 120 features (5x5, same padding), each with a ReLU, the first two with a
2x2 max-pooling; a dense layer of 84 with a ReLU; logits. Dropout follows the last convolution and
the dense layer. On 28x28 images of one channel, with ten classes, it has 545,546 parameters.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl.nn import (
    CPU_LAYOUT,
    Conv,
    DenseOfImages,
    change_layout,
    dropout,
    flax_model,
    initializer,
    max_pool,
)
from jaxdl.pixels import scale_pixels
from jaxdl.types import Keys, Model, Number, Params


def lenet(classes: int = 10, dropout_rates: tuple[Number, Number] = (0.25, 0.5)) -> Model:
    """The network, from images ``(batch, height, width, channels)`` to logits ``(batch, classes)``.

    Images are uint8, or floats scaled already. Kernels start as Glorot uniform, biases at zero.

    Args:
        classes: how many logits.
        dropout_rates: after the last convolution, and after the dense layer. Leaves of the model:
            changing them recompiles nothing.

    >>> import jax
    >>> model = lenet()
    >>> params, _ = model.init(jax.random.key(0), jax.numpy.zeros((1, 28, 28, 1)))
    >>> sum(leaf.size for leaf in jax.tree.leaves(params))
    545546
    """
    first, second = dropout_rates
    return flax_model(LeNet(classes), dropout_rates=(jnp.float32(first), jnp.float32(second)))


class LeNet(nn.Module):
    """The network as a Flax module; its parameters are what plain Flax layers would have.

    Inside, images keep to the layout that is fastest on a CPU until they are flattened.

    Attributes:
        classes: how many logits.
    """

    classes: int = 10

    @nn.compact
    def __call__(
        self,
        images: Array,
        keys: Keys,
        dropout_rates: tuple[Number, Number],
    ) -> Float[Array, "batch classes"]:
        """Gives the logits; sows the feature maps of each convolution."""
        maps = change_layout(scale_pixels(images), "NHWC", CPU_LAYOUT)
        maps = max_pool(self._convolve(maps, 6, "conv1"), layout=CPU_LAYOUT)
        maps = max_pool(self._convolve(maps, 16, "conv2"), layout=CPU_LAYOUT)
        maps = self._convolve(maps, 120, "conv3")
        maps = dropout(maps, dropout_rates[0], keys, layer=0, batch_axis=CPU_LAYOUT.index("N"))
        hidden = nn.relu(DenseOfImages(84, layout=CPU_LAYOUT, name="dense1")(maps))
        hidden = dropout(hidden, dropout_rates[1], keys, layer=1)
        last = nn.Dense(self.classes, kernel_init=initializer("glorot_uniform"), name="dense2")
        return last(hidden)

    def _convolve(self, maps: Array, features: int, name: str) -> Array:
        maps = nn.relu(Conv(features, 5, layout=CPU_LAYOUT, name=name)(maps))
        self.sow("intermediates", f"{name}_relu", maps)
        return maps


def lenet_feature_maps(
    params: Params, images: Array
) -> dict[str, Float[Array, "batch height width features"]]:
    """What each convolution of `lenet` makes of the images, after its ReLU and before pooling.

    Args:
        params: of the network.
        images: as the network takes them.

    Returns:
        ``conv1``, ``conv2`` and ``conv3``.
    """
    classes = params["dense2"]["bias"].size
    _, sown = LeNet(classes).apply(
        {"params": params}, images, None, (0.0, 0.0), mutable=["intermediates"]
    )
    seen: Any = sown["intermediates"]
    return {
        name.removesuffix("_relu"): change_layout(maps, CPU_LAYOUT, "NHWC")
        for name, (maps,) in seen.items()
    }
