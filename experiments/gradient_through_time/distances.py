"""The gradient of a loss at the end by the state at each distance back, from one backward pass."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jaxdl.nn.cells import Cell, State, Weights

LossOfLast = Callable[[Float[Array, "batch units"]], Float[Array, " batch"]]
"""From the last hidden states to a loss of each example."""


def gradient_by_distance(
    cell: Cell, weights: Weights, inputs: Float[Array, "time batch inputs"], loss_of: LossOfLast
) -> State:
    """The derivative of each example's loss by its state so many steps before the last.

    Zeros are added to the state after each step, all the cell hands on: the derivative by them is
    that by the states, of all distances at once.

    Args:
        cell: from `jaxdl.nn.find_cell`.
        weights: of the cell.
        inputs: time first.
        loss_of: the loss by the last hidden state.

    Returns:
        Leaves ``(time, batch, units)``; the first is that by the last state.
    """
    _, batch, _ = inputs.shape
    start = cell.zero_state(batch, weights["recurrent_kernel"].shape[0], inputs.dtype)
    zeros = jax.tree.map(lambda of: jnp.zeros((len(inputs), *of.shape), of.dtype), start)

    def total(offsets: State) -> Array:
        def step(state: State, row):
            inputs, offset = row
            return jax.tree.map(jnp.add, cell.apply(weights, state, inputs), offset), None

        last, _ = lax.scan(step, start, (inputs, offsets))
        return jnp.sum(loss_of(last.hidden))

    return jax.tree.map(lambda of: of[::-1], jax.grad(total)(zeros))


def norm_by_distance(
    cell: Cell, weights: Weights, inputs: Float[Array, "time batch inputs"], loss_of: LossOfLast
) -> Float[Array, " time"]:
    """The norm of `gradient_by_distance` over the whole state, the mean of the examples."""
    gradient = gradient_by_distance(cell, weights, inputs, loss_of)
    squares = sum(jnp.sum(jnp.square(of), axis=-1) for of in jax.tree.leaves(gradient))
    return jnp.mean(jnp.sqrt(squares), axis=1)


def rate(norms: Float[np.ndarray, "*shape distances"], among: slice) -> Float[np.ndarray, "*shape"]:
    """The factor by which a norm changes at each step back: least squares of its logarithm.

    >>> float(rate(2 * 0.5 ** np.arange(20.0), slice(5, 15)).round(6))
    0.5
    """
    logarithms = np.log(norms[..., among])
    distances = np.arange(logarithms.shape[-1]) - (logarithms.shape[-1] - 1) / 2
    return np.exp(logarithms @ distances / np.sum(distances**2))
