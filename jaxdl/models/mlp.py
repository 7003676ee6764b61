"""Multilayer perceptrons."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl.errors import InputError, near_names
from jaxdl.nn import dropout, flax_model, initializer
from jaxdl.pixels import scale_pixels
from jaxdl.types import Keys, Model, Number

ACTIVATIONS = {
    "linear": lambda values: values,
    "relu": jax.nn.relu,
    "tanh": jax.nn.tanh,
    "sigmoid": jax.nn.sigmoid,
    "gelu": jax.nn.gelu,
    "elu": jax.nn.elu,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
}


def mlp(
    widths: Sequence[int],
    *,
    classes: int,
    activation: str = "relu",
    dropout_rate: Number | None = None,
    kernel_initializer: str = "glorot_uniform",
) -> Model:
    """A multilayer perceptron, from inputs ``(batch, ...)`` to logits ``(batch, classes)``.

    The inputs are flattened; uint8 is taken for pixels and scaled. Biases start at zero.

    Args:
        widths: of the hidden layers; none makes it logistic regression.
        classes: how many outputs.
        activation: of the hidden layers, by name.
        dropout_rate: after each hidden layer; a leaf of the model, so that changing it recompiles
            nothing. None for a network without dropout.
        kernel_initializer: by name (`jaxdl.nn.initializer`).

    Raises:
        InputError: no activation or initializer has this name.

    >>> model = mlp([128], classes=10)
    >>> params, _ = model.init(jax.random.key(0), jax.numpy.zeros((1, 28, 28, 1)))
    >>> sum(leaf.size for leaf in jax.tree.leaves(params))
    101770
    """
    if activation not in ACTIVATIONS:
        raise InputError(f"no activation {activation!r}; {near_names(activation, ACTIVATIONS)}")
    initializer(kernel_initializer)
    module = MLP(tuple(widths), classes, activation, kernel_initializer)
    rate = None if dropout_rate is None else jnp.float32(dropout_rate)
    return flax_model(module, dropout_rate=rate)


class MLP(nn.Module):
    """The network as a Flax module; see `mlp`."""

    widths: tuple[int, ...]
    classes: int
    activation: str = "relu"
    kernel_initializer: str = "glorot_uniform"

    @nn.compact
    def __call__(
        self, inputs: Array, keys: Keys, dropout_rate: Number | None
    ) -> Float[Array, "batch classes"]:
        """Gives the logits."""
        kernel_init = initializer(self.kernel_initializer)
        values = scale_pixels(inputs).reshape(inputs.shape[0], -1)
        for layer, width in enumerate(self.widths):
            values = ACTIVATIONS[self.activation](nn.Dense(width, kernel_init=kernel_init)(values))
            if dropout_rate is not None:
                values = dropout(values, dropout_rate, keys, layer=layer)
        return nn.Dense(self.classes, kernel_init=kernel_init)(values)
