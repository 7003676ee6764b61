"""Gradient functions: what `jaxdl.train.make_update` hands to an optimizer.

Each takes a `LossFn` and gives a `GradientFn`. They share one place where losses become a mean:
weighted by the batch's weights, over all devices.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
from jax import lax
from jax.tree_util import Partial
from jaxtyping import Array, Float, PyTree

from jaxdl.errors import InputError
from jaxdl.parallel import sum_over_devices
from jaxdl.types import (
    Batch,
    GradientAux,
    GradientFn,
    Keys,
    LossFn,
    Metrics,
    ModelState,
    Params,
    as_pytree,
)


def mean_gradient(loss_fn: LossFn) -> GradientFn:
    """The gradient of the weighted mean loss, over the whole batch on all devices.

    ``sum_i w_i grad l_i / sum_i w_i``; examples of weight 0 (padding) do not count. The metrics are
    the weighted means of the loss function's, and ``examples``, the sum of the weights.
    """
    return Partial(_mean_gradient, as_pytree(loss_fn))


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
    size = batch.weights.shape[0]
    if jax.tree.leaves(model_state):
        raise InputError(
            "an example has no gradient of its own in a model whose state each batch moves "
            "(batch norm); take a group or layer norm"
        )
    if size % (microbatch_size or 1):
        raise InputError(f"a microbatch of {microbatch_size} does not divide a batch of {size}")

    def one(example: Batch, key) -> Params:
        def loss(params):
            single = jax.tree.map(lambda leaf: leaf[None], (example, key))
            return loss_fn(params, model_state, *single)[0][0]

        return jax.grad(loss)(params)

    if microbatch_size is None:
        return jax.vmap(one)(batch, keys)
    pieces = jax.tree.map(
        lambda leaf: leaf.reshape(-1, microbatch_size, *leaf.shape[1:]), (batch, keys)
    )
    gradients = lax.map(lambda piece: jax.vmap(one)(*piece), pieces)
    return jax.tree.map(lambda leaf: leaf.reshape(size, *leaf.shape[2:]), gradients)


def weighted_mean(
    values: Metrics, weights: Float[Array, " batch"], total: Float[Array, ""]
) -> Metrics:
    """``sum_i w_i v_i / total`` of each entry ``(batch,)``, over all devices."""
    return sum_over_devices({k: masked_dot(weights, v) / total for k, v in values.items()})


def masked_dot(weights: Float[Array, " batch"], values: Float[Array, " batch"]) -> Float[Array, ""]:
    """``sum_i w_i v_i`` where a weight of 0 hides even a NaN."""
    chex.assert_equal_shape([weights, values])
    return jnp.sum(jnp.where(weights == 0, 0.0, weights * values))


def _mean_gradient(
    loss_fn: Callable, params: Params, model_state: ModelState, batch: Batch, keys: Keys
) -> tuple[Params, GradientAux]:
    total = sum_over_devices(jnp.sum(batch.weights))

    def mean_loss(params):
        losses, aux = loss_fn(params, model_state, batch, keys)
        return masked_dot(batch.weights, losses) / total, aux

    gradient, aux = jax.grad(mean_loss, has_aux=True)(params)
    metrics = weighted_mean(aux.metrics, batch.weights, total)
    return sum_over_devices(gradient), GradientAux(aux.model_state, {**metrics, "examples": total})
