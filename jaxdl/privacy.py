"""Differentially private training: Poisson-sampled runs, and what an accountant says they spend.

DP-SGD (Abadi et al. 2016, arXiv:1607.00133) is `jaxdl.gradients.clipped_gradient` with noise, on
batches that each example joins at random (`poisson_batch`), step after step (`fit_privately`). Two
data sets are neighbours where one is the other with one example added or removed. The run is
(epsilon, delta)-private if for neighbours D, D' and whatever set S of outcomes

    P(outcome of D in S) <= exp(epsilon) P(outcome of D' in S) + delta

The outcome is the parameters of every step, and all that is computed from them, such as their
moving average. Not covered are the metrics of training (losses, norms, how many examples a batch
had), which are for whoever holds the data, and a choice of hyper-parameters by looking at that same
data. Noise of floating-point numbers from a generator that is not cryptographic is for research: it
is no defence against an adversary who looks at the last bits (Mironov 2012, doi:10.1145/2382196.
2382264).

The accountant is Google's ``dp-accounting``, by Renyi differential privacy (RDP; Mironov, Talwar
and Zhang 2019, arXiv:1908.10530) and by privacy loss distributions (PLD; Koskela et al. 2020,
arXiv:1906.03049), which is tighter.
"""

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import dp_accounting
import jax
import jax.numpy as jnp
import numpy as np
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant
from jax import lax
from jaxtyping import Array, Float, Int, Key
from scipy.special import bdtrc

from jaxdl import optim
from jaxdl.errors import InputError
from jaxdl.gradients import masked_dot
from jaxdl.train import evaluate
from jaxdl.types import (
    Batch,
    Examples,
    GradientFn,
    LossFn,
    Metrics,
    Number,
    Params,
    TrainState,
    Update,
    as_pytree,
)

NEIGHBOURS = dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE

RDP_ORDERS = (*np.arange(20, 110) / 10, *range(11, 64), 128, 256, 512, 1024)
"""Dp-accounting's own but for those below 2, which count only where epsilon is far above 10, and
for which its series may not converge."""

PLD_GRID = 1e-3
"""Ten times dp-accounting's own: ten times as fast, and epsilon at most 0.003 larger."""

OVERFLOW_SHARE = 1e-3
"""The part of delta that is kept for batches that do not fit: see `batch_capacity`."""

_SAMPLING = 0x7073  # folded into a run's key, lest a sample and a step draw the same


# --- what is spent -------------------------------------------------------------------------------


def rdp_epsilon(rate: float, noise_multiplier: float, steps: int, delta: float) -> float:
    """Epsilon after ``steps`` of the Gaussian mechanism on Poisson samples, by RDP.

    Args:
        rate: the probability with which an example joins a step.
        noise_multiplier: the noise's standard deviation over the clip norm.
        steps: that were taken.
        delta: of the guarantee.

    >>> round(rdp_epsilon(0.01, 1.0, 1000, 1e-5), 2)
    2.1
    """
    event = _event(rate, noise_multiplier, steps)
    return float(_rdp_accountant().compose(event).get_epsilon(delta)) if steps else 0.0


def pld_epsilon(rate: float, noise_multiplier: float, steps: int, delta: float) -> float:
    """The same by privacy loss distributions, which are rounded up to multiples of `PLD_GRID`."""
    event = _event(rate, noise_multiplier, steps)
    accountant = PLDAccountant(NEIGHBOURS, PLD_GRID)
    return float(accountant.compose(event).get_epsilon(delta)) if steps else 0.0


def calibrate_noise(epsilon: float, delta: float, rate: float, steps: int) -> float:
    """The least noise multiplier (to 1e-4) whose `rdp_epsilon` after ``steps`` is within budget.

    Raises:
        InputError: the budget needs a noise multiplier above a thousand, or less than a tenth.
    """
    try:
        return dp_accounting.calibrate_dp_mechanism(
            _rdp_accountant,
            lambda noise_multiplier: _event(rate, noise_multiplier, steps),
            epsilon,
            delta,
            dp_accounting.ExplicitBracketInterval(0.1, 1000.0),
            tol=1e-4,
        )
    except ValueError as error:
        raise InputError(
            f"no noise multiplier from 0.1 to 1000 spends epsilon {epsilon:g} in {steps} steps; "
            "choose another budget, batch size or number of epochs"
        ) from error


def affordable_steps(
    epsilon: float, delta: float, rate: float, noise_multiplier: float, most: int
) -> int:
    """How many steps, ``most`` at most, `rdp_epsilon` allows within the budget."""
    low, high = 0, most + 1  # `low` steps are within it, `high` are not or too many
    while high - low > 1:
        middle = (low + high) // 2
        within = rdp_epsilon(rate, noise_multiplier, middle, delta) <= epsilon
        low, high = (middle, high) if within else (low, middle)
    return low


def _event(rate: float, noise_multiplier: float, steps: int) -> dp_accounting.DpEvent:
    step = dp_accounting.GaussianDpEvent(noise_multiplier)
    return dp_accounting.SelfComposedDpEvent(dp_accounting.PoissonSampledDpEvent(rate, step), steps)


def _rdp_accountant() -> RdpAccountant:
    return RdpAccountant(RDP_ORDERS, neighboring_relation=NEIGHBOURS)


# --- the samples ---------------------------------------------------------------------------------


class Sampling(NamedTuple):
    """How batches are drawn; static.

    Attributes:
        rate: the probability with which each example joins a batch, by itself.
        capacity: the size that batches are padded to.
    """

    rate: float
    capacity: int


def batch_capacity(
    count: int, rate: float, *, steps: int, epsilon: float, delta: float, multiple: int = 1
) -> int:
    """The size to pad Poisson samples to, so that what does not fit costs next to nothing.

    A sample that is larger loses examples, which an accountant knows nothing of. With probability
    ``eta`` that this happens in any of the steps, a run is within total variation ``eta`` of one
    with room for all; so where that one is (epsilon, d)-private, the run is (epsilon, d + (1 +
    exp(epsilon)) eta)-private. The capacity is the least whose second term is below
    `OVERFLOW_SHARE` of ``delta``: account with `accounted_delta` for d, and delta covers both.

    Args:
        count: of the examples.
        rate: the probability with which each joins a step.
        steps: of the whole run.
        epsilon: the most that the run may spend.
        delta: of the guarantee.
        multiple: what the capacity must be a multiple of, for microbatches.

    >>> batch_capacity(60_000, 1024 / 60_000, steps=900, epsilon=3.0, delta=1e-5)
    1258
    """
    most = OVERFLOW_SHARE * delta / (1 + np.exp(epsilon)) / steps
    # A neighbouring data set may have one example more.
    sizes = np.arange(count + 2)
    enough = min(count, int(np.argmax(overflow_probability(sizes, count + 1, rate) <= most)))
    return -(-enough // multiple) * multiple


def overflow_probability(
    capacity: Int[np.ndarray, "*sizes"], count: int, rate: float
) -> Float[np.ndarray, "*sizes"]:
    """That more than ``capacity`` of ``count`` examples join a batch: a binomial tail."""
    tail = bdtrc(np.minimum(capacity, count - 1), count, rate)
    return np.where(capacity >= count, 0.0, tail)


def accounted_delta(delta: float) -> float:
    """The delta to give an accountant, so that ``delta`` covers overflowing batches as well."""
    return (1 - OVERFLOW_SHARE) * delta


def poisson_batch(key: Key[Array, ""], examples: Examples, sampling: Sampling) -> Batch:
    """A batch that each example joins by itself with probability ``sampling.rate``.

    To be exact, the probability is that rounded down to a multiple of 2^-32: what an accountant
    says of the rate is an upper bound.

    Args:
        key: of this batch.
        examples: all there are.
        sampling: static. The batch has ``sampling.capacity`` places; what it does not fill are
            examples of weight 0, and a sample that does not fit loses its last examples.
    """
    count = examples.targets.shape[0]
    threshold = jnp.uint32(min(int(sampling.rate * 2**32), 2**32 - 1))
    joins = jax.random.bits(key, (count,), jnp.uint32) < threshold
    (index,) = jnp.nonzero(joins, size=sampling.capacity, fill_value=count)
    weights = (index < count).astype(jnp.float32)
    index = jnp.minimum(index, count - 1)
    return Batch(examples.inputs[index], examples.targets[index], weights)


def influence(gradient_fn: GradientFn, params: Params, batch: Batch) -> Float[Array, ""]:
    """How far a batch's last example moves the gradient: the norm of what it adds.

    The membership test of a clipped gradient that divides by 1 (``expected_examples=1``): whatever
    the example is, no more than the clip norm.

    Args:
        gradient_fn: without noise.
        params: of a model without state.
        batch: of weights 1; the other one has 0 for the last.
    """
    everyone = batch.weights

    def gradient(weights: Float[Array, " batch"]) -> Params:
        return gradient_fn(params, {}, batch._replace(weights=weights), None)[0]

    # In turn, so that the gradient is compiled once.
    gradients = lax.map(gradient, jnp.stack([everyone, everyone.at[-1].set(0)]))
    return optim.global_norm(jax.tree.map(lambda leaf: leaf[0] - leaf[1], gradients))


# --- a run ---------------------------------------------------------------------------------------


def fit_privately(
    update: Update,
    state: TrainState,
    examples: Examples,
    *,
    sampling: Sampling,
    epochs: int,
    steps_per_epoch: int,
    steps: Number,
    loss_fn: LossFn,
    evaluations: Mapping[str, Examples],
) -> tuple[TrainState, Metrics]:
    """A whole run on Poisson samples as one compiled program.

    An *epoch* is a number of steps, in which an example is seen once on average. How long the run
    is tells nothing of the data, so its epsilon is known before it begins: `affordable_steps`.

    Args:
        update: from `jaxdl.make_update`, of a clipped gradient with noise that divides by the
            expected number of examples.
        state: from `jaxdl.init_state`; each sample's key is its own folded with the step.
        examples: to train on.
        sampling: how; static.
        epochs: of the run; static.
        steps_per_epoch: static.
        steps: after which nothing changes any more, the budget being spent; may be traced.
        loss_fn: for the evaluations, with the moving average of the parameters where the optimizer
            keeps one.
        evaluations: examples to evaluate at the end of each epoch, by name.

    Returns:
        The state at the end, and of each epoch ``(epochs,)``: means of the update's metrics over
        its examples (NaN where it had none), ``NAME_METRIC`` of each evaluation, ``steps`` taken
        since the beginning and ``largest_batch``. Only the state is private.
    """
    plan = _Plan(sampling, epochs, steps_per_epoch)
    return _fit_privately(
        as_pytree(update),
        state,
        examples,
        jnp.asarray(steps),
        as_pytree(loss_fn),
        dict(evaluations),
        plan=plan,
    )


class _Plan(NamedTuple):
    sampling: Sampling
    epochs: int
    steps_per_epoch: int


@partial(jax.jit, static_argnames="plan")
def _fit_privately(update, state, examples, steps, loss_fn, evaluations, *, plan: _Plan):
    def step(state: TrainState) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(jax.random.fold_in(state.key, _SAMPLING), state.step)
        return update(state, poisson_batch(key, examples, plan.sampling))

    def rest(state: TrainState) -> tuple[TrainState, Metrics]:
        _, metrics = jax.eval_shape(step, state)
        return state, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), metrics)

    def step_or_rest(state: TrainState, _):
        return lax.cond(state.step < steps, step, rest, state)

    def epoch(state: TrainState, _):
        state, metrics = lax.scan(step_or_rest, state, None, length=plan.steps_per_epoch)
        sizes = metrics.pop("examples")
        seen = {name: masked_dot(sizes, v) / jnp.sum(sizes) for name, v in metrics.items()}
        params = optim.averaged_params(state.opt_state, state.params)
        for name, measured in evaluations.items():
            means = evaluate(loss_fn, params, state.model_state, measured)
            seen |= {f"{name}_{metric}": value for metric, value in means.items()}
        return state, {**seen, "steps": state.step, "largest_batch": jnp.max(sizes)}

    return lax.scan(epoch, state, None, length=plan.epochs)
