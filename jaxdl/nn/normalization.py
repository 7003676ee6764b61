"""Norms by their equations: pure functions of values, statistics, scale and shift.

Features are the last axis. All but `weight_norm` and `rms_norm` first standardize,
``(x - mean) / sqrt(variance + epsilon)``, and then give the network back what that takes from it: a
scale (gamma) and a shift (beta) for each feature. They differ in what the mean is of, for images
``(N, H, W, C)``:

=================  ======================  =======================================================
norm               mean over               source
=================  ======================  =======================================================
`batch_norm_...`   N, H, W                 Ioffe and Szegedy 2015, arXiv:1502.03167
`layer_norm`       C (of a dense layer)    Ba, Kiros and Hinton 2016, arXiv:1607.06450
`instance_norm`    H, W                    Ulyanov et al. 2016, arXiv:1607.08022
`group_norm`       H, W, C of a group      Wu and He 2018, arXiv:1803.08494
`rms_norm`         C, of squares           Zhang and Sennrich 2019, arXiv:1910.07467
`weight_norm`      a kernel's inputs       Salimans and Kingma 2016, arXiv:1602.07868
=================  ======================  =======================================================

Only batch norm keeps something between batches: running averages, by which it evaluates. It is the
one by which an example's output depends on the others. Within a mesh its statistics are of the
batches of all devices. The numbers are those of Flax's layers, whose `jaxdl.nn.batch_norm` is for
Flax modules.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxdl.errors import InputError
from jaxdl.parallel import device_count, sum_over_devices
from jaxdl.types import Number

EPSILON = 1e-5


class Moments(NamedTuple):
    """Mean and variance of each feature, ``(features,)``."""

    mean: Float[Array, " features"]
    variance: Float[Array, " features"]


class ScaleAndShift(NamedTuple):
    """What is learned of each feature, ``(features,)``: gamma and beta."""

    scale: Float[Array, " features"]
    shift: Float[Array, " features"]


def init_moments(features: int) -> Moments:
    """Of no batch yet: mean 0 and variance 1."""
    return Moments(jnp.zeros(features), jnp.ones(features))


def init_scale_and_shift(features: int) -> ScaleAndShift:
    """Those that change nothing: 1 and 0."""
    return ScaleAndShift(jnp.ones(features), jnp.zeros(features))


def standardize(
    values: Float[Array, "..."], axes: int | tuple[int, ...], epsilon: Number = EPSILON
) -> Float[Array, "..."]:
    """Values of mean 0 and variance 1 over the axes.

    >>> standardize(jnp.array([[1.0, 2.0, 3.0]]), axes=-1).round(2)
    Array([[-1.22,  0.  ,  1.22]], dtype=float32)
    """
    mean = jnp.mean(values, axes, keepdims=True)
    variance = jnp.var(values, axes, keepdims=True)
    return (values - mean) / jnp.sqrt(variance + epsilon)


# --- over the batch ------------------------------------------------------------------------------


def batch_norm_in_training(
    values: Float[Array, "batch *space features"],
    learned: ScaleAndShift,
    running: Moments,
    *,
    momentum: Number = 0.9,
    epsilon: Number = EPSILON,
) -> tuple[Float[Array, "batch *space features"], Moments]:
    """By the batch's own mean and variance, which move the running averages.

    ``running = momentum running + (1 - momentum) batch``, with the variance as it is of the batch:
    the mean square deviation (divided by n; PyTorch keeps that divided by n - 1).

    Args:
        values: of a dense layer ``(batch, features)``, or maps.
        learned: see `ScaleAndShift`.
        running: so far.
        momentum: of the running averages, 0 to 1: near 1 they are slow.
        epsilon: added to the variance.

    Returns:
        The normalized values, and the running averages after this batch.
    """
    moments = batch_moments(values)
    return _rescaled(_by_moments(values, moments, epsilon), learned), _moved(
        running, moments, momentum
    )


def batch_norm_in_evaluation(
    values: Float[Array, "batch *space features"],
    learned: ScaleAndShift,
    running: Moments,
    *,
    epsilon: Number = EPSILON,
) -> Float[Array, "batch *space features"]:
    """By the running averages: each example on its own, and a linear function of the values."""
    return _rescaled(_by_moments(values, running, epsilon), learned)


def batch_renorm(
    values: Float[Array, "batch *space features"],
    learned: ScaleAndShift,
    running: Moments,
    *,
    most_scale: Number = 3.0,
    most_shift: Number = 5.0,
    momentum: Number = 0.9,
    epsilon: Number = EPSILON,
) -> tuple[Float[Array, "batch *space features"], Moments]:
    """Batch norm in training that gives, within limits, what it would give in evaluation.

    Values by the batch's statistics are scaled and shifted to those by the running averages, by
    ``r`` and ``d`` that no gradient flows through (Ioffe 2017, arXiv:1702.03275, algorithm 1), so
    that a small batch's noise does not part training from evaluation. With limits 1 and 0 it is
    `batch_norm_in_training`.

    Args:
        values: as there, like the others.
        learned: see `ScaleAndShift`.
        running: so far.
        most_scale: limit of ``r``, above 1; its inverse is the other one.
        most_shift: limit of ``d`` on both sides.
        momentum: of the running averages.
        epsilon: added to variances.
    """
    moments = batch_moments(values)
    deviation = jnp.sqrt(moments.variance + epsilon)
    of_running = jnp.sqrt(running.variance + epsilon)
    r = jnp.clip(deviation / of_running, 1 / most_scale, most_scale)
    d = jnp.clip((moments.mean - running.mean) / of_running, -most_shift, most_shift)
    correction = lax.stop_gradient(ScaleAndShift(r, d))
    corrected = _rescaled(_by_moments(values, moments, epsilon), correction)
    return _rescaled(corrected, learned), _moved(running, moments, momentum)


def batch_moments(values: Float[Array, "batch *space features"]) -> Moments:
    """Mean and variance of each feature over all other axes, and over the batches of all devices.

    The shares of the devices are of one size.
    """
    axes = tuple(range(values.ndim - 1))
    mean = sum_over_devices(jnp.mean(values, axes)) / device_count()
    squares = (
        sum_over_devices(jnp.mean(jnp.square(values - _as_row(mean, values)), axes))
        / device_count()
    )
    return Moments(mean, squares)


def _moved(running: Moments, moments: Moments, momentum: Number) -> Moments:
    return Moments(
        *(momentum * old + (1 - momentum) * new for old, new in zip(running, moments, strict=True))
    )


def _by_moments(values: Array, moments: Moments, epsilon: Number) -> Array:
    mean, variance = (_as_row(of, values) for of in moments)
    return (values - mean) / jnp.sqrt(variance + epsilon)


# --- over an example -----------------------------------------------------------------------------


def layer_norm(
    values: Float[Array, "... features"], learned: ScaleAndShift, *, epsilon: Number = EPSILON
) -> Float[Array, "... features"]:
    """Over the features."""
    return _rescaled(standardize(values, -1, epsilon), learned)


def instance_norm(
    values: Float[Array, "batch height width features"],
    learned: ScaleAndShift,
    *,
    epsilon: Number = EPSILON,
) -> Float[Array, "batch height width features"]:
    """Over each map of each image."""
    return _rescaled(standardize(values, (1, 2), epsilon), learned)


def group_norm(
    values: Float[Array, "batch *space features"],
    learned: ScaleAndShift,
    *,
    groups: int,
    epsilon: Number = EPSILON,
) -> Float[Array, "batch *space features"]:
    """Over the maps of each of some groups of neighbouring features.

    Raises:
        InputError: the groups do not divide the features.
    """
    features = values.shape[-1]
    if groups < 1 or features % groups:
        raise InputError(f"{groups} groups of {features} features: give a divisor")
    parts = values.reshape(*values.shape[:-1], groups, features // groups)
    axes = (*range(1, values.ndim - 1), parts.ndim - 1)
    return _rescaled(standardize(parts, axes, epsilon).reshape(values.shape), learned)


def rms_norm(
    values: Float[Array, "... features"],
    scale: Float[Array, " features"],
    *,
    epsilon: Number = EPSILON,
) -> Float[Array, "... features"]:
    """Over the root of the mean square of the features; the mean stays."""
    squares = jnp.mean(jnp.square(values), -1, keepdims=True)
    return values / jnp.sqrt(squares + epsilon) * _as_row(scale, values)


def weight_norm(
    directions: Float[Array, "*inputs features"], lengths: Float[Array, " features"]
) -> Float[Array, "*inputs features"]:
    """A kernel whose inputs to each feature have the given norm: its length and direction apart.

    >>> weight_norm(jnp.array([[3.0], [4.0]]), jnp.array([10.0]))[:, 0]
    Array([6., 8.], dtype=float32)
    """
    axes = tuple(range(directions.ndim - 1))
    factors = lengths / jnp.sqrt(jnp.sum(jnp.square(directions), axes))
    return directions * _as_row(factors, directions)


def _rescaled(values: Array, by: ScaleAndShift) -> Array:
    scale, shift = (_as_row(of, values) for of in by)
    return values * scale + shift


def _as_row(of_features: Array, values: Array) -> Array:
    """With as many axes as the values have."""
    return of_features.reshape(*[1] * (values.ndim - 1), -1)
