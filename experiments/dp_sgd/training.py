"""The runs: trained privately with each budget and seed, and what they have spent."""

import operator
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array

from experiments.dp_sgd.budgets import Budget, Terms
from jaxdl import diagnostics, losses, models, optim, privacy, train
from jaxdl.gradients import clipped_gradient
from jaxdl.optim import OptimizerConfig
from jaxdl.sweep import SweepFn, cpu_piece
from jaxdl.types import Examples, Metrics, Params, Static

CLASSES = 10

MICROBATCH = 64
"""Examples whose gradients are clipped at a time; batches are padded to a multiple of it."""


class Plan(NamedTuple):
    """What is static in a run; ``watched`` says whether its gradients and steps are."""

    sampling: privacy.Sampling
    epochs: int
    steps_per_epoch: int
    watched: bool


class Outcome(NamedTuple):
    """What a run gives: parameters (their moving average), and of each epoch what it measured."""

    params: Params
    history: Metrics


def make_plan(terms: Terms, count: int, *, epsilon: float, watched: bool) -> Plan:
    """The static shape of runs.

    Args:
        terms: of their budgets.
        count: of the examples to train on.
        epsilon: the most that any of them may spend.
        watched: whether gradients and steps are.
    """
    capacity = privacy.batch_capacity(
        count,
        terms.rate,
        steps=terms.planned_steps,
        epsilon=epsilon,
        delta=terms.delta,
        multiple=MICROBATCH,
    )
    sampling = privacy.Sampling(terms.rate, capacity)
    return Plan(sampling, terms.epochs, terms.steps_per_epoch, watched)


def train_all(
    sweep_fn: SweepFn,
    plan: Plan,
    examples: Examples,
    measured: Examples,
    budgets: Sequence[Budget],
    *,
    optimizer: OptimizerConfig,
    max_norm: float,
    seed: int,
    seeds: int,
) -> list[Outcome]:
    """Trains with each budget and seed, one for each core of a CPU at a time, saving these.

    Args:
        sweep_fn: `jaxdl.sweep.sweep_in_run` of this run.
        plan: of each run.
        examples: to train on.
        measured: to evaluate on.
        budgets: a run for each, with each seed.
        optimizer: with the learning rate at noise multiplier 1.
        max_norm: what each example's gradient is clipped to.
        seed: the first.
        seeds: how many.

    Returns:
        For each budget an `Outcome` with a leading axis of seeds.
    """
    members = {
        "noise_multiplier": np.array([budget.noise_multiplier for budget in budgets]),
        "steps": np.array([budget.steps for budget in budgets]),
    }
    outcomes = sweep_fn(
        Partial(train_once, Static(plan), optimizer, max_norm, examples, measured),
        jax.vmap(jax.random.key)(seed + jnp.arange(seeds)),
        members,
        piece_size=cpu_piece(1),
    )
    return [jax.tree.map(operator.itemgetter(row), outcomes) for row in range(len(budgets))]


def train_once(
    static: Static[Plan],
    optimizer: OptimizerConfig,
    max_norm: Array,
    examples: Examples,
    measured: Examples,
    key: Array,
    member: dict[str, Array],
) -> Outcome:
    """A whole run: pure, and compiled once for all budgets and seeds."""
    sampling, epochs, steps_per_epoch, watched = static.value
    model = models.small_cnn()
    loss_fn = losses.classification_loss(model)
    noise_multiplier = member["noise_multiplier"]
    own = replace(optimizer, learning_rate=optimizer.learning_rate / noise_multiplier)
    chain = optim.make_optimizer(own, epochs * steps_per_epoch)
    instruments = None
    if watched:
        instruments = diagnostics.combine(
            diagnostics.norm_instruments,
            diagnostics.layer_instruments,
            diagnostics.class_instruments(CLASSES),
        )
        chain = optim.watch_steps(chain)
    gradient_fn = clipped_gradient(
        loss_fn,
        max_norm,
        noise_multiplier=noise_multiplier,
        expected_examples=sampling.rate * examples.targets.shape[0],
        microbatch_size=MICROBATCH,
        instruments=instruments,
    )
    state, history = privacy.fit_privately(
        train.make_update(gradient_fn, chain),
        train.init_state(key, model, chain, examples.inputs[:1]),
        examples,
        sampling=sampling,
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        steps=member["steps"],
        loss_fn=loss_fn,
        evaluations={"test": measured},
    )
    return Outcome(optim.averaged_params(state.opt_state, state.params), history)


class Trained(NamedTuple):
    """The runs of a budget.

    Attributes:
        budget: of each.
        params: at the end, with a leading axis of seeds.
        history: what was measured ``(seeds, epochs)``.
        steps: that were taken by the end of each epoch.
        rdp: epsilon by then, by RDP.
        pld: the same by PLD.
    """

    budget: Budget
    params: Params
    history: dict[str, np.ndarray]
    steps: np.ndarray
    rdp: np.ndarray
    pld: np.ndarray


def spend(terms: Terms, budget: Budget, outcome: Outcome) -> Trained:
    """Says what the runs have spent, from the steps that they have really taken."""
    history = {name: np.asarray(v, np.float64) for name, v in outcome.history.items()}
    steps = history["steps"].max(axis=0).astype(int)
    noise, delta = budget.noise_multiplier, terms.accounted_delta
    taken, place = np.unique(steps, return_inverse=True)
    rdp, pld = (
        np.array([of(terms.rate, noise, int(count), delta) for count in taken])[place]
        for of in (privacy.rdp_epsilon, privacy.pld_epsilon)
    )
    return Trained(budget, outcome.params, history, steps, rdp, pld)
