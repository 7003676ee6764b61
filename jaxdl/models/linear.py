"""A linear model that begins where it is told to."""

from jax.tree_util import Partial
from jaxtyping import Array, Float

from jaxdl.types import Model, Params, Variables


def linear(start: Float[Array, "features outputs"]) -> Model:
    """Weighted sums of the inputs ``(batch, features)``; the weights are ``start`` at first.

    There is no bias: give the inputs a column of ones.

    >>> import jax, jax.numpy as jnp
    >>> params, _ = linear(jnp.ones((2, 1))).init(jax.random.key(0), jnp.zeros((1, 2)))
    >>> linear_weights(params)
    Array([1., 1.], dtype=float32)
    """
    return Model(Partial(_start, start), _weighted_sum)


def linear_weights(params: Params) -> Float[Array, " features"]:
    """The weights of a linear model of one output."""
    return params["weights"][:, 0]


def _start(weights, key, inputs) -> Variables:
    return Variables({"weights": weights}, {})


def _weighted_sum(params, model_state, inputs, keys):
    return inputs @ params["weights"], model_state
