"""Multilayer perceptrons."""

from collections.abc import Sequence

import flax.linen
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl import nn
from jaxdl.pixels import scale_pixels
from jaxdl.types import Keys, Model, Number


def mlp(
    widths: Sequence[int],
    *,
    classes: int,
    activation: str = "relu",
    dropout_rate: Number | None = None,
    input_dropout_rate: Number | None = None,
    kernel_initializer: str = "glorot_uniform",
) -> Model:
    """A multilayer perceptron, from inputs ``(batch, ...)`` to logits ``(batch, classes)``.

    The inputs are flattened; uint8 is taken for pixels and scaled. Biases start at zero.

    Args:
        widths: of the hidden layers; none makes it logistic regression.
        classes: how many outputs.
        activation: of the hidden layers, by name (`jaxdl.nn.activation`).
        dropout_rate: after each hidden layer; a leaf of the model, so that changing it recompiles
            nothing. None for a network without dropout.
        input_dropout_rate: the same of the inputs.
        kernel_initializer: by name (`jaxdl.nn.initializer`).

    Raises:
        InputError: no activation or initializer has this name.

    >>> import jax
    >>> model = mlp([128], classes=10)
    >>> params, _ = model.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
    >>> sum(leaf.size for leaf in jax.tree.leaves(params))
    101770
    """
    nn.activation(activation)
    nn.initializer(kernel_initializer)
    module = MLP(tuple(widths), classes, activation, kernel_initializer)
    rates = {"dropout_rate": dropout_rate, "input_dropout_rate": input_dropout_rate}
    numbers = {name: None if of is None else jnp.float32(of) for name, of in rates.items()}
    return nn.flax_model(module, **numbers)


class MLP(flax.linen.Module):
    """The network as a Flax module; see `mlp`."""

    widths: tuple[int, ...]
    classes: int
    activation: str = "relu"
    kernel_initializer: str = "glorot_uniform"

    @flax.linen.compact
    def __call__(
        self,
        inputs: Array,
        keys: Keys,
        dropout_rate: Number | None,
        input_dropout_rate: Number | None,
    ) -> Float[Array, "batch classes"]:
        """Gives the logits."""
        kernel_init = nn.initializer(self.kernel_initializer)
        activation = nn.activation(self.activation)
        values = scale_pixels(inputs).reshape(inputs.shape[0], -1)
        if input_dropout_rate is not None:
            values = nn.dropout(values, input_dropout_rate, keys, layer=len(self.widths))
        for layer, width in enumerate(self.widths):
            values = activation(flax.linen.Dense(width, kernel_init=kernel_init)(values))
            if dropout_rate is not None:
                values = nn.dropout(values, dropout_rate, keys, layer=layer)
        return flax.linen.Dense(self.classes, kernel_init=kernel_init)(values)
