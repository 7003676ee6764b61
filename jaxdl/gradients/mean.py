"""The gradient of the mean loss, and the one place where losses become a mean."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float

from jaxdl.parallel import sum_over_devices
from jaxdl.types import (
    Batch,
    GradientAux,
    GradientFn,
    Keys,
    LossFn,
    Metrics,
    ModelState,
    Number,
    Params,
    as_pytree,
)


def mean_gradient(loss_fn: LossFn) -> GradientFn:
    """The gradient of the weighted mean loss, over the whole batch on all devices.

    ``sum_i w_i grad l_i / sum_i w_i``; examples of weight 0 (padding) do not count, but must be
    finite: `jaxdl.train.fit` pads with real ones. The metrics are the weighted means of the loss
    function's, and ``examples``, the sum of the weights.
    """
    return Partial(_mean_gradient, as_pytree(loss_fn))


def weighted_mean(
    values: Metrics, weights: Float[Array, " batch"], total: Float[Array, ""]
) -> Metrics:
    """``sum_i w_i v_i / total`` of each entry ``(batch,)``, over all devices."""
    return sum_over_devices({k: masked_dot(weights, v) / total for k, v in values.items()})


def example_shares(
    params: Params, weights: Float[Array, " batch"], total: Number
) -> Float[Array, " batch"]:
    """``w_i / total``, as exact as the parameters are."""
    return weights.astype(jnp.result_type(weights, *jax.tree.leaves(params))) / total


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
