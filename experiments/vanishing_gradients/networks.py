"""Deep networks whose kernels have a gain, a number that recompiles nothing."""

from jax.nn.initializers import variance_scaling
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key

from jaxdl import models
from jaxdl.models.deep_mlp import Layer
from jaxdl.types import Model, Number

CLASSES = 10
XAVIER, HE = 1.0, 2.0
"""Gains."""
ACTIVATIONS = {"sigmoid": XAVIER, "tanh": XAVIER, "relu": HE}
"""And the gain by which each is usually begun."""


def network(layer: Layer, depth: int, width: int, gain: Number) -> Model:
    """A `jaxdl.models.deep_mlp` of normal weights with the variance gain / inputs."""
    return models.deep_mlp(
        depth,
        width,
        classes=CLASSES,
        layer=layer,
        kernel_initializer=Partial(draw_kernel, gain),
    )


def draw_kernel(
    gain: Number, key: Key[Array, ""], shape: tuple[int, ...], dtype: type
) -> Float[Array, "inputs outputs"]:
    """Of one layer."""
    return variance_scaling(gain, "fan_in", "normal")(key, shape, dtype)
