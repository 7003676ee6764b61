"""What training to a given loss costs, in steps, examples and seconds, as the batch size has it."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

from jaxdl import optim, train
from jaxdl.diagnostics import gradient_moments, watched
from jaxdl.errors import InputError
from jaxdl.gradients import observed_gradient
from jaxdl.optim import OptimizerConfig
from jaxdl.types import Examples, LossFn, Model, Observation


class Descent(NamedTuple):
    """A run towards a target loss.

    Attributes:
        batch_size: of its steps.
        steps: after which the loss was looked at, from 0.
        losses: what was seen then.
        metrics: of each step ``(steps,)``, by name.
        seconds_per_step: of training with its instruments, without compiling and looking.
        params: at the end.
    """

    batch_size: int
    steps: np.ndarray
    losses: np.ndarray
    metrics: dict[str, np.ndarray]
    seconds_per_step: float
    params: Any

    @property
    def variance(self) -> np.ndarray:
        """That of one example's gradient, as the batch of each step tells."""
        return self.metrics["gradient_variance"]

    @property
    def squared_mean(self) -> np.ndarray:
        """``|G|^2`` likewise."""
        return self.metrics["squared_gradient"]

    def steps_to(self, target: float) -> float:
        """Steps until the loss was first at ``target``, between two looks by its logarithm.

        Infinity if it never was.
        """
        reached = np.flatnonzero(self.losses <= target)
        if not reached.size:
            return np.inf
        looks = slice(max(0, reached[0] - 1), reached[0] + 1)
        risen = -np.log(self.losses[looks])
        return float(np.interp(-np.log(target), risen, self.steps[looks]))

    def mean_noise_scale(self, window: int = 5) -> float:
        """What this run tells of the critical batch size: the noise scale's mean over the way.

        The noise scale of each step is that of means over ``window`` steps. A step of a batch of B
        goes as far as ``1 / (1 + B_noise / B)`` steps without noise, and these are what the mean is
        over, as ``B_crit = E_min / S_min`` is (McCandlish et al. 2018, arXiv:1812.06162, equations
        2.7, 2.12 and D.1). NaN for batches of one, which show no spread.
        """
        share = np.ones(min(window, len(self.variance)))
        variance, squared = (
            np.convolve(of, share, "valid") for of in (self.variance, self.squared_mean)
        )
        known = squared > 0  # elsewhere the gradient is lost in its noise
        if not known.any():
            return np.nan
        scales = variance[known] / squared[known]
        return float(np.average(scales, weights=1 / (1 + scales / self.batch_size)))


def train_to_target(
    model: Model,
    loss_fn: LossFn,
    optimizer: OptimizerConfig,
    key,
    examples: Examples,
    *,
    batch_size: int,
    target: float | int,
    most_steps: float | int,
    looked_at: Examples,
    look_every: int = 128,
    watched_classes: int | None = None,
) -> Descent:
    """Trains until the mean loss of ``looked_at`` is at most ``target``.

    Args:
        model: drawn anew with ``key``.
        loss_fn: with the metric ``loss``; its gradients are observed (`observed_gradient`).
        optimizer: without a schedule that ends.
        key: of the run.
        examples: to train on.
        batch_size: of each step.
        target: the loss to get to.
        most_steps: to take at most, up to the next look.
        looked_at: examples to evaluate.
        look_every: examples, between two looks; a step at least.
        watched_classes: how many classes there are, where every instrument of
            `jaxdl.diagnostics.watched` is to join the metrics.

    Raises:
        InputError: the loss is at the target before the first step.
    """
    gradient_fn, chain = observed_gradient(loss_fn, _moments), optim.make_optimizer(optimizer)
    if watched_classes is not None:
        gradient_fn, chain = watched(loss_fn, chain, watched_classes)
    update = train.make_update(gradient_fn, chain)
    state = train.init_state(key, model, chain, examples.inputs[:1])
    count = len(examples.targets)
    segments = train.fit_in_segments(
        update,
        state,
        examples,
        epochs=int(np.ceil(most_steps / train.steps_per_epoch(count, batch_size))),
        batch_size=batch_size,
        segments_per_epoch=-(-count // max(batch_size, look_every)),
    )

    def look(params) -> float:
        return float(train.evaluate(loss_fn, params, state.model_state, looked_at)["loss"])

    steps, losses, metrics, seconds, params = [0], [look(state.params)], [], [], state.params
    if losses[0] <= target:
        raise InputError(
            f"the target loss {target:g} needs no training, which begins at {losses[0]:.3g}; give "
            "a lower one"
        )
    began = time.perf_counter()
    for segment in segments:
        jax.block_until_ready(segment.state)
        seconds.append((time.perf_counter() - began) / len(segment.steps["loss"]))
        steps.append(int(segment.state.train.step))
        losses.append(look(segment.state.train.params))
        metrics.append(jax.device_get(segment.steps))
        params = jax.device_get(segment.state.train.params)
        if losses[-1] <= target or steps[-1] >= most_steps:
            break
        began = time.perf_counter()
    joined = {name: np.concatenate([of[name] for of in metrics]) for name in metrics[0]}
    ran = np.isfinite(joined["loss"])  # the last segment of an epoch may have steps to spare
    return Descent(
        batch_size,
        np.asarray(steps),
        np.asarray(losses),
        {name: values[ran] for name, values in joined.items()},
        float(np.median(seconds[1:] or seconds)),
        params,
    )


def tune_rate(
    steps_at: Callable[[float, float], float], rate: float, most_steps: float
) -> tuple[float, float]:
    """Doubles a learning rate as long as that saves steps.

    Args:
        steps_at: how many steps a rate takes to the target, given up after so many: ``(rate,
            most_steps)``. Infinity where it does not get there.
        rate: to begin with; too low rather than too high.
        most_steps: for the first attempt.

    Returns:
        The rate of the fewest steps, and these.
    """
    fewest = steps_at(rate, most_steps)
    while (steps := steps_at(2 * rate, min(fewest, most_steps))) < fewest:
        rate, fewest = 2 * rate, steps
    return rate, fewest


class TradeOff(NamedTuple):
    """Steps against examples: ``(S / S_min - 1) (E / E_min - 1) = 1``.

    McCandlish et al. 2018, arXiv:1812.06162, equation 2.11; with ``E = B S`` it is ``S = S_min (1 +
    B_crit / B)``.

    Attributes:
        fewest_steps: ``S_min``, of very large batches.
        fewest_examples: ``E_min``, of very small ones.
    """

    fewest_steps: float
    fewest_examples: float

    @property
    def critical_batch(self) -> float:
        """``B_crit = E_min / S_min``: there, both are twice their least."""
        return self.fewest_examples / self.fewest_steps

    def steps(self, batch_size: np.ndarray) -> np.ndarray:
        """The steps that batches of these sizes take."""
        return self.fewest_steps * (1 + self.critical_batch / batch_size)


def fit_trade_off(
    batch_sizes: Float[np.ndarray, " sizes"], steps: Float[np.ndarray, " sizes"]
) -> TradeOff:
    """The trade-off nearest to the ``steps`` of each batch size, by their logarithms.

    Raises:
        InputError: fewer than two batch sizes, or steps that are not finite and above 0.

    >>> sizes = np.array([1.0, 10.0, 100.0])
    >>> found = fit_trade_off(sizes, 40 * (1 + 50 / sizes))
    >>> round(found.fewest_steps, 3), round(found.critical_batch, 3)
    (40.0, 50.0)
    """
    # Imported here because it takes half a second.
    from scipy.optimize import least_squares

    if len(batch_sizes) < 2 or not np.all((steps > 0) & np.isfinite(steps)):
        raise InputError(f"no trade-off in batch sizes {batch_sizes} with {steps} steps")

    def residuals(logarithms):
        fewest_steps, critical_batch = np.exp(logarithms)
        return np.log(fewest_steps * (1 + critical_batch / batch_sizes) / steps)

    start = np.log([steps.min(), np.min(batch_sizes * steps) / steps.min()])
    fewest_steps, critical_batch = np.exp(least_squares(residuals, start).x)
    return TradeOff(float(fewest_steps), float(fewest_steps * critical_batch))


def _moments(observation: Observation) -> dict[str, Array]:
    norm = optim.global_norm(observation.gradient)
    found = gradient_moments(observation.norms, observation.batch.weights, norm)
    return {"gradient_variance": found.variance, "squared_gradient": found.squared_mean}
