"""Diagnostics: what the gradients and the steps of a run say about it.

The functions of the first part are pure: they take norms, means and, where that is asked for,
gradients. *Instruments* are such functions of an `jaxdl.types.Observation`; handed to
`jaxdl.gradients.observed_gradient` or `jaxdl.gradients.clipped_gradient` they add metrics, scalars,
to every training step; only the first shows G, which some need. With `g_i`
an example's gradient, `G` their mean and `d` the step that was taken, what a run can show is::

    norm_instruments
        example_norm_mean    mean of |g_i|
        example_norm_min     smallest |g_i|; _q25, _median, _q75 (quartiles), _max
    gradient_instruments (has these too)
        gradient_variance    tr(Sigma), of one example's gradient      (NaN for a batch of one)
        squared_gradient     |G|^2 of the true gradient, without bias  (NaN for a batch of one)
        gradient_cosine      mean cosine of g_i to G, weighted by |g_i|
    class_instruments
        class_share_0, ...   share of each class in the sum of |g_i|
    clip_instruments
        clipped_examples     fraction of the examples with |g_i| above a bound
    layer_instruments
        layer_norm_NAME      mean norm of the examples' gradients in one layer
    with_curvature (wraps an update)
        curvature            of the mini-batch loss along the step, d^T H d / d^T d
        step_slope           G . d, what the batch's loss would change by, were it straight
        step_bend            d^T H d, twice what it changes by more, were it a parabola
    jaxdl.optim.watch_steps (wraps an optimizer)
        step_length          |d|
        step_cosine          cosine between successive steps; 0 at the first
        distance_from_start  of the parameters
    jaxdl.optim.telemetry (of every update)
        gradient_norm        |G|; clipping and learning rate, where there are such

The noise scale, the signal-to-noise ratio and the place where steps end on the parabola are
ratios of means over steps, not means of ratios, which a few small denominators would rule:
`noise_scale` and `signal_to_noise` take the means of ``gradient_variance`` and
``squared_gradient`` over an epoch, say, and `alpha` those of ``step_slope`` and ``step_bend``.
`jaxdl.plots.instruments` draws all that is there.

All are means over the batch by its weights, over all devices. Padding (weight 0) does not count: a
NaN in it is not seen in norms, but in the gradient of the batch and what is made of it, as in
`jaxdl.gradients.mean_gradient`.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, PyTree

from jaxdl.gradients import masked_dot, mean_gradient, observed_gradient
from jaxdl.optim import global_norm
from jaxdl.optim.watching import inner_product, ratio_or_zero, watch_steps
from jaxdl.parallel import gather_over_devices, sum_over_devices
from jaxdl.train import example_keys
from jaxdl.types import (
    Batch,
    GradientFn,
    Instruments,
    Keys,
    LossFn,
    Metrics,
    ModelState,
    Number,
    Observation,
    Params,
    TrainState,
    Update,
    as_pytree,
)

Scalar = Float[Array, ""]
PerExample = Float[Array, " batch"]
PerExampleGradients = PyTree[Float[Array, "batch ..."]]

FIVE_NUMBERS = {"min": 0.0, "q25": 0.25, "median": 0.5, "q75": 0.75, "max": 1.0}


# --- functions of norms --------------------------------------------------------------------------


class Moments(NamedTuple):
    """Estimates without bias of the two moments of an example's gradient ``g``.

    Attributes:
        variance: ``tr(Sigma) = E|g - E g|^2``, the summed variance of its entries.
        squared_mean: ``|E g|^2``, of the true gradient; single estimates may be negative.
    """

    variance: Scalar
    squared_mean: Scalar


def gradient_moments(norms: PerExample, weights: PerExample, gradient_norm: Scalar) -> Moments:
    """The moments of an example's gradient, from the norms of a batch and of its mean ``G_B``.

    For a batch of B examples (McCandlish et al. 2018, arXiv:1812.06162, appendix A.1, with B_small
    = 1 and B_big = B)

    ``tr(Sigma) = B / (B - 1) (mean |g_i|^2 - |G_B|^2)`` and ``|G|^2 = |G_B|^2 - tr(Sigma) / B``.

    With weights, ``1 / B`` is ``sum_i p_i^2``, ``p_i = w_i / sum_j w_j`` (Kish's effective size);
    both have no bias for examples drawn independently, whatever their weights. Where all examples
    have nearly the same gradient the variance is a small difference, with an error of about
    ``1e-7 |G_B|^2`` in float32.

    Args:
        norms: each example's gradient norm.
        weights: of the examples.
        gradient_norm: of their weighted mean, over all devices.

    Returns:
        The moments; NaN for a batch of one, which has no spread.
    """
    shares = _shares(weights)
    inverse_size = sum_over_devices(jnp.sum(jnp.square(shares)))
    spread = sum_over_devices(masked_dot(shares, jnp.square(norms))) - jnp.square(gradient_norm)
    free = 1 - inverse_size
    variance = jnp.where(free > 0, spread / jnp.where(free > 0, free, 1.0), jnp.nan)
    return Moments(variance, jnp.square(gradient_norm) - variance * inverse_size)


def noise_scale(
    variance: Float[Array, "*shape"], squared_mean: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """``B_simple = tr(Sigma) / |G|^2`` in examples (McCandlish et al. 2018, equation 2.9).

    Batches well below it gain almost a step for each example more; well above it, nothing. Give
    means of both `Moments` over many steps. NaN where the mean of ``|G|^2`` is not above 0: the
    gradient is lost in its noise.

    >>> float(noise_scale(jnp.array(200.0), jnp.array(4.0)))
    50.0
    """
    known = squared_mean > 0
    return jnp.where(known, variance / jnp.where(known, squared_mean, 1.0), jnp.nan)


def signal_to_noise(
    variance: Float[Array, "*shape"], squared_mean: Float[Array, "*shape"], batch_size: Number
) -> Float[Array, "*shape"]:
    """``|G|^2 / (tr(Sigma) / B)``: the power of a batch's mean gradient over that of its noise.

    It is 1 where the batch is as large as the `noise_scale`. Give means of both `Moments` over many
    steps; they may leave it negative where there is hardly a signal.

    >>> float(signal_to_noise(jnp.array(200.0), jnp.array(4.0), batch_size=100))
    2.0
    """
    return batch_size * squared_mean / variance


def norm_weighted_cosine(norms: PerExample, weights: PerExample, gradient_norm: Scalar) -> Scalar:
    """The mean cosine between the examples' gradients and their mean, weighted by their norms.

    ``sum_i w_i |g_i| cos(g_i, G) / sum_i w_i |g_i| = |G| / mean |g_i|``: exact, from norms alone.
    It is 1 where all examples agree, and about ``1 / sqrt(B)`` where B gradients are noise and
    nothing else, since each is a part of the mean. `cosines_to_mean` has them one by one.
    """
    return ratio_or_zero(gradient_norm, weighted_average(norms, weights))


def weighted_average(values: PerExample, weights: PerExample) -> Scalar:
    """``sum_i w_i v_i / sum_i w_i`` over all devices."""
    return sum_over_devices(masked_dot(_shares(weights), values))


def weighted_quantiles(
    values: PerExample, weights: PerExample, levels: Float[Array, " levels"]
) -> Float[Array, " levels"]:
    """For each level, the smallest value that so large a share of the weight does not exceed.

    The inverse of the weighted distribution function (``numpy.quantile`` with ``weights`` and
    ``method="inverted_cdf"``), so a value that occurred; level 0 is the smallest of weight above
    0. A mesh's devices gather all values and each sorts them.

    >>> weighted_quantiles(jnp.array([5.0, 1, 9, 3]), jnp.array([1.0, 1, 0, 1]), jnp.array([0.5]))
    Array([3.], dtype=float32)
    """
    values, weights = (
        gather_over_devices(jnp.where(weights == 0, jnp.inf, values)),
        gather_over_devices(weights),
    )
    values, weights = lax.sort((values, weights), num_keys=1)
    reached = jnp.cumsum(weights)
    places = jnp.searchsorted(reached, levels * reached[-1], method="compare_all")
    return values[jnp.minimum(places, values.size - 1)]


def class_shares(
    values: PerExample,
    weights: PerExample,
    labels: Int[Array, " batch"],
    classes: Int[Array, " classes"],
) -> Float[Array, " classes"]:
    """Each class's share in the weighted sum of ``values``; 0 where that sum is 0.

    Args:
        values: the examples' gradient norms, for how hard each class pulls, whichever way; or
            their `projections_on_mean`, for what each class adds to the mean gradient along
            itself. The latter shares are exact parts of the mean gradient; those of a class that
            pulls against it are negative.
        weights: of the examples.
        labels: their classes.
        classes: the classes to tell apart, ``jnp.arange(10)`` say. The shares sum to 1 where every
            label is one of them.
    """
    weighted = jnp.where(weights == 0, 0.0, weights * values)
    member = labels[:, None] == classes[None, :]
    sums = jnp.sum(jnp.where(member, weighted[:, None], 0.0), axis=0)
    sums, total = sum_over_devices((sums, jnp.sum(weighted)))
    return ratio_or_zero(sums, jnp.broadcast_to(total, sums.shape))


def clipped_fraction(norms: PerExample, weights: PerExample, max_norm: Number) -> Scalar:
    """The weighted fraction of examples whose gradient norm is above ``max_norm``."""
    return weighted_average((norms > max_norm).astype(norms.dtype), weights)


# --- functions of gradients ----------------------------------------------------------------------


def projections_on_mean(gradients: PerExampleGradients, mean: Params) -> PerExample:
    """``g_i . G`` for each example: what it adds to ``|G|^2``, of which these have the mean.

    Args:
        gradients: of each example, from `jaxdl.gradients.per_example_gradients`.
        mean: their mean, or any other direction.
    """
    return jax.vmap(inner_product, in_axes=(0, None))(gradients, mean)


def cosines_to_mean(gradients: PerExampleGradients, mean: Params) -> PerExample:
    """The cosine between each example's gradient and the mean; 0 where one of them is 0."""
    norms = jax.vmap(global_norm)(gradients)
    return ratio_or_zero(projections_on_mean(gradients, mean), norms * global_norm(mean))


def directional_derivatives(
    loss_fn: LossFn,
    params: Params,
    model_state: ModelState,
    batch: Batch,
    keys: Keys,
    direction: Params,
) -> PerExample:
    """``g_i . d`` for each example, by one forward pass with tangents and no gradient at all.

    Along the mean gradient these are the `projections_on_mean`, for a small part of their cost.

    Raises:
        TypeError: the model has a layer without a forward mode (`jaxdl.nn.recur`).
    """

    def losses(params: Params) -> PerExample:
        return loss_fn(params, model_state, batch, keys)[0]

    return jax.jvp(losses, (params,), (direction,))[1]


# --- curvature -----------------------------------------------------------------------------------


class Parabola(NamedTuple):
    """The mini-batch loss along a step ``d``: ``L(p + t d) = L(p) + t slope + t^2 bend / 2 + ...``.

    Attributes:
        slope: ``G . d``, below 0 for a step downhill.
        bend: ``d^T H d``.
        squared_length: ``d^T d``.
    """

    slope: Scalar
    bend: Scalar
    squared_length: Scalar

    @property
    def curvature(self) -> Scalar:
        """``d^T H d / d^T d``, between the extreme eigenvalues of H; 0 for a step of length 0."""
        return ratio_or_zero(self.bend, self.squared_length)


def alpha(slope: Float[Array, "*shape"], bend: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Where a step ends on its parabola, in distances from the start to the bottom, minus 1.

    ``d^T H d / (-G . d) - 1``: -1 has not moved, 0 is at the bottom, 1 is on the other side as
    high as before, above 1 is higher (Mutschler and Zell 2020, arXiv:1903.11991; the alpha of
    Schneider et al. 2021, arXiv:2102.06604, with the exact curvature). Below -1 the loss bends
    downwards. NaN where the slope is not below 0: the step went uphill. Give means of `Parabola`'s
    fields over many steps, of which some go along the valley with hardly a slope.

    >>> float(alpha(slope=jnp.array(-2.0), bend=jnp.array(2.0)))
    0.0
    """
    downhill = slope < 0
    return jnp.where(downhill, bend / jnp.where(downhill, -slope, 1.0), jnp.nan) - 1


def parabola(
    loss_fn: LossFn,
    params: Params,
    model_state: ModelState,
    batch: Batch,
    keys: Keys,
    direction: Params,
) -> Parabola:
    """Slope and curvature of the weighted mean loss, over all devices, along ``direction``.

    Exact, by a forward derivative of the gradient (Pearlmutter 1994, "Fast exact multiplication by
    the Hessian"), for about the cost of two gradients. ReLU and max-pooling have no curvature of
    their own: what is measured is that of the linear piece and the loss above it.
    """

    def gradient(params: Params) -> Params:
        return mean_gradient(loss_fn)(params, model_state, batch, keys)[0]

    at_params, along = jax.jvp(gradient, (params,), (direction,))
    return Parabola(
        slope=inner_product(direction, at_params),
        bend=inner_product(direction, along),
        squared_length=inner_product(direction, direction),
    )


def with_curvature(update: Update, loss_fn: LossFn) -> Update:
    """The same update, with ``curvature``, ``step_slope`` and ``step_bend`` among its metrics.

    They are those of the step's own mini-batch and draws, where the step began, along the way the
    parameters moved (`parabola`). A step then costs two times (a perceptron) to three and a half
    times as much (the MNIST network).

    Args:
        update: of any optimizer.
        loss_fn: what it minimizes.
    """
    return Partial(_update_with_curvature, as_pytree(update), as_pytree(loss_fn))


@partial(jax.jit, donate_argnames="state")
def _update_with_curvature(
    update, loss_fn, state: TrainState, batch: Batch
) -> tuple[TrainState, Metrics]:
    new, metrics = update(state, batch)
    step = jax.tree.map(jnp.subtract, new.params, state.params)
    keys = example_keys(state, batch.weights.shape[0])
    along = parabola(loss_fn, state.params, state.model_state, batch, keys, step)
    seen = {"curvature": along.curvature, "step_slope": along.slope, "step_bend": along.bend}
    return new, {**metrics, **seen}


# --- instruments ---------------------------------------------------------------------------------


def norm_instruments(observation: Observation) -> Metrics:
    """How long the examples' gradients are; see the table of this module."""
    norms, weights = observation.norms, observation.batch.weights
    levels = jnp.asarray(list(FIVE_NUMBERS.values()), norms.dtype)
    quantiles = weighted_quantiles(norms, weights, levels)
    return {
        "example_norm_mean": weighted_average(norms, weights),
        **{f"example_norm_{k}": v for k, v in zip(FIVE_NUMBERS, quantiles, strict=True)},
    }


def gradient_instruments(observation: Observation) -> Metrics:
    """These, and what their norms and that of their mean tell of the noise in them."""
    norms, weights = observation.norms, observation.batch.weights
    gradient_norm = global_norm(observation.gradient)
    moments = gradient_moments(norms, weights, gradient_norm)
    return {
        **norm_instruments(observation),
        "gradient_variance": moments.variance,
        "squared_gradient": moments.squared_mean,
        "gradient_cosine": norm_weighted_cosine(norms, weights, gradient_norm),
    }


def layer_instruments(observation: Observation) -> Metrics:
    """``layer_norm_NAME``, the mean of the examples' gradient norms in each layer."""
    weights = observation.batch.weights
    return {
        f"layer_norm_{name}": weighted_average(norms, weights)
        for name, norms in observation.layer_norms.items()
    }


def class_instruments(num_classes: int) -> Instruments:
    """Instruments that give ``class_share_0`` and so on: `class_shares` of the gradient norms.

    Targets are classes as integers, or probabilities (one-hot), of which the largest counts.
    """
    return Partial(_class_instruments, jnp.arange(num_classes))


def clip_instruments(max_norm: Number) -> Instruments:
    """Instruments that give ``clipped_examples``: `clipped_fraction` at ``max_norm``."""
    return Partial(_clip_instruments, as_pytree(max_norm))


def combine(*instruments: Instruments) -> Instruments:
    """All of them as one.

    >>> instruments = combine(gradient_instruments, class_instruments(10), clip_instruments(1.0))
    """
    return Partial(_combine, as_pytree(instruments))


def watched(
    loss_fn: LossFn, optimizer: optax.GradientTransformation, num_classes: int | None = None
) -> tuple[GradientFn, optax.GradientTransformation]:
    """The mean gradient and the optimizer of a run whose every instrument is read at each step.

    All but those of `with_curvature`. In batches of 128 on a CPU they cost a third of a step of the
    MNIST network, most of it the examples' norms (`experiments.benchmarks`), and half to all of a
    step of a small perceptron, most of it the quantiles and the watching of steps.

    Args:
        loss_fn: the loss of each example.
        optimizer: any Optax chain.
        num_classes: how many, where it is a classifier's loss.
    """
    instruments = combine(gradient_instruments, layer_instruments)
    if num_classes is not None:
        instruments = combine(instruments, class_instruments(num_classes))
    return observed_gradient(loss_fn, instruments), watch_steps(optimizer)


def _class_instruments(classes: Int[Array, " classes"], observation: Observation) -> Metrics:
    batch = observation.batch
    labels = batch.targets if batch.targets.ndim == 1 else jnp.argmax(batch.targets, axis=-1)
    shares = class_shares(observation.norms, batch.weights, labels, classes)
    return {f"class_share_{place}": share for place, share in enumerate(shares)}


def _clip_instruments(max_norm: Scalar, observation: Observation) -> Metrics:
    weights = observation.batch.weights
    return {"clipped_examples": clipped_fraction(observation.norms, weights, max_norm)}


def _combine(instruments: tuple[Instruments, ...], observation: Observation) -> Metrics:
    metrics = {}
    for instrument in instruments:
        metrics |= instrument(observation)
    return metrics


def _shares(weights: PerExample) -> PerExample:
    """The weights over their sum on all devices."""
    return weights / sum_over_devices(jnp.sum(weights))
