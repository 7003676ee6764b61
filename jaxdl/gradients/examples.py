"""The gradient of every example of a batch, and its norm."""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PyTree

from jaxdl.errors import InputError
from jaxdl.gradients.seen import refuse_state, see
from jaxdl.precision import wide_dtype
from jaxdl.types import Batch, Keys, LossFn, ModelState, Params

Sums = TypeVar("Sums")
Rows = TypeVar("Rows")


def per_example_gradients(
    loss_fn: LossFn,
    params: Params,
    model_state: ModelState,
    batch: Batch,
    keys: Keys,
    *,
    microbatch_size: int | None = None,
) -> PyTree[Float[Array, "batch ..."]]:
    """Each example's own gradient, leaves of shape ``(batch, *parameter.shape)``.

    Weights are not applied. The memory for what a backward pass keeps is that of
    ``microbatch_size`` examples at a time; it must divide the batch.

    Raises:
        InputError: ``microbatch_size`` does not divide the batch, or the model's state depends on
            the whole batch (batch norm), so that no example has a gradient of its own.
    """
    refuse_state(model_state)

    def one(example: Batch, key) -> Params:
        def loss(params):
            single = jax.tree.map(lambda leaf: leaf[None], (example, key))
            return loss_fn(params, model_state, *single)[0][0]

        return jax.grad(loss)(params)

    def gradients(batch: Batch, keys: Keys):
        return (), jax.vmap(one)(batch, keys)

    return in_microbatches(gradients, microbatch_size, batch, keys)[1]


def per_example_norms(
    loss_fn: LossFn,
    params: Params,
    model_state: ModelState,
    batch: Batch,
    keys: Keys,
    *,
    microbatch_size: int | None = None,
) -> Float[Array, " batch"]:
    """The Euclidean norm of each example's own gradient, 0 for an example of weight 0.

    Exact, from one backward pass where layers allow it: see `jaxdl.gradients`. Under `jax.jit`
    nothing else is computed. Other weights than 0 are not applied.

    Args:
        loss_fn: as usual, like those that say no more here.
        params: to differentiate by.
        model_state: without arrays.
        batch: of any size.
        keys: one for each example, or None.
        microbatch_size: how many examples to take at a time, for less memory.

    Raises:
        InputError: as `per_example_gradients`.
    """
    norms = per_example_layer_norms(
        loss_fn, params, model_state, batch, keys, microbatch_size=microbatch_size
    )
    return total_norm(norms)


def per_example_layer_norms(
    loss_fn: LossFn,
    params: Params,
    model_state: ModelState,
    batch: Batch,
    keys: Keys,
    *,
    microbatch_size: int | None = None,
) -> dict[str, Float[Array, " batch"]]:
    """The same for each layer: the arrays that share a parent in the tree of parameters.

    A layer's name is the path to it, such as ``"dense1"`` or ``"block/conv"``; ``"params"`` for
    arrays without a parent.
    """

    def norms(batch: Batch, keys: Keys):
        scales = (batch.weights != 0).astype(batch.weights.dtype)
        return (), see(loss_fn, params, model_state, batch, keys, scales).layer_norms

    return in_microbatches(norms, microbatch_size, batch, keys)[1]


def total_norm(layer_norms: dict[str, Float[Array, " batch"]]) -> Float[Array, " batch"]:
    """The norm over all layers."""
    return jnp.sqrt(sum(jnp.square(norms) for norms in layer_norms.values()))


def in_microbatches(
    function: Callable[[Batch, Keys], tuple[Sums, Rows]],
    size: int | None,
    batch: Batch,
    keys: Keys,
) -> tuple[Sums, Rows]:
    """Applies a function to ``size`` examples at a time; to all at once if None.

    What is summed is summed in float32 at least.

    Args:
        function: gives what is to be summed over microbatches, and what has a row per example.
        size: divides the batch.
        batch: of examples.
        keys: theirs.
    """
    count = batch.weights.shape[0]
    if size is None or size == count:
        return function(batch, keys)
    if size < 1 or count % size:
        raise InputError(f"a microbatch of {size} does not divide a batch of {count}")
    pieces = jax.tree.map(lambda leaf: leaf.reshape(-1, size, *leaf.shape[1:]), (batch, keys))

    def step(sums, piece):
        new, rows = function(*piece)
        return jax.tree.map(lambda old, leaf: old + leaf.astype(old.dtype), sums, new), rows

    shapes, _ = jax.eval_shape(function, *jax.tree.map(lambda leaf: leaf[0], pieces))
    start = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, wide_dtype(leaf)), shapes)
    sums, rows = lax.scan(step, start, pieces)
    sums = jax.tree.map(lambda leaf, like: leaf.astype(like.dtype), sums, shapes)
    return sums, jax.tree.map(lambda leaf: leaf.reshape(count, *leaf.shape[2:]), rows)
