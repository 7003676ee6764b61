"""The mean gradient, with every example's share in it in sight."""

from jax.tree_util import Partial

from jaxdl.gradients.examples import in_microbatches, total_norm
from jaxdl.gradients.mean import example_shares, weighted_mean
from jaxdl.gradients.seen import see
from jaxdl.parallel import sum_over_devices
from jaxdl.types import (
    Batch,
    GradientAux,
    GradientFn,
    Instruments,
    Keys,
    LossFn,
    ModelState,
    Observation,
    Params,
    Static,
    as_pytree,
)


def observed_gradient(
    loss_fn: LossFn,
    instruments: Instruments,
    *,
    microbatch_size: int | None = None,
) -> GradientFn:
    """`mean_gradient`, and the norms of all examples' gradients from the same backward pass.

    Args:
        loss_fn: as usual.
        instruments: what to make of an `Observation`: scalars by name, which join the metrics of
            each step. Such as `jaxdl.diagnostics.gradient_instruments`.
        microbatch_size: how many examples to take at a time, for less memory; static.

    Raises:
        InputError: as `per_example_gradients`, when it is called.
    """
    return Partial(
        _observed_gradient, Static(microbatch_size), as_pytree(loss_fn), as_pytree(instruments)
    )


def _observed_gradient(
    size: Static[int | None],
    loss_fn: LossFn,
    instruments: Instruments,
    params: Params,
    model_state: ModelState,
    batch: Batch,
    keys: Keys,
) -> tuple[Params, GradientAux]:
    total = sum_over_devices(batch.weights.sum())

    def observe(batch: Batch, keys: Keys):
        shares = example_shares(params, batch.weights, total)
        seen = see(loss_fn, params, model_state, batch, keys, shares)
        return seen.weighted_sum(None), (seen.losses, seen.layer_norms, seen.aux.metrics)

    gradient, (losses, norms, metrics) = in_microbatches(observe, size.value, batch, keys)
    gradient = sum_over_devices(gradient)
    observation = Observation(batch, losses, gradient, norms, total_norm(norms))
    seen = {**weighted_mean(metrics, batch.weights, total), "examples": total}
    return gradient, GradientAux(model_state, {**seen, **instruments(observation)})
