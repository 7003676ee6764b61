"""Cells trained on sequences of one length, each run until its problem is solved."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.tree_util import Partial
from jaxtyping import Array

from experiments.long_memory.problems import Problem, units_of
from jaxdl import diagnostics, optim, train
from jaxdl.gradients import mean_gradient
from jaxdl.optim import ClipConfig, OptimizerConfig
from jaxdl.sweep import SweepFn
from jaxdl.types import Batch, Examples, Metrics, Static, TrainState

RATES = {"rnn": 0.001, "lstm": 0.01, "gru": 0.01, "gru_before": 0.01}
"""Learning rates of Adam, chosen from 0.001 to 0.01 in first looks at single runs."""
BATCH, CLIP_NORM = 32, 1.0
TESTING = 1000
"""Sequences that are never trained on."""
SOLVED = 0.1
"""A test loss, in those of a guess, at which a problem is solved and a run ends."""
LOOK = 250
"""Updates between two looks at the test loss."""


class Plan(NamedTuple):
    """What makes a compiled program of its own.

    Attributes:
        problem: with its length.
        cell: by name.
        units: of the layer.
        looks: at the test loss, at most.
        is_watched: whether each step's metrics are those of all instruments.
    """

    problem: Problem
    cell: str
    units: int
    looks: int
    is_watched: bool


class Runs(NamedTuple):
    """Runs of one cell at one problem and length, with a leading axis of seeds.

    Attributes:
        losses: test losses in those of a guess, every `LOOK` updates; NaN after the end.
        steps: the metrics of every step, where they are watched; NaN after the end.
    """

    losses: Any
    steps: Metrics

    def last(self) -> np.ndarray:
        """The loss at the end of each run."""
        places = np.sum(~np.isnan(self.losses), axis=-1) - 1
        return np.take_along_axis(self.losses, places[..., None], axis=-1)[..., 0]

    def solved(self) -> np.ndarray:
        """Which runs have solved their problem."""
        return self.last() < SOLVED


Found = dict[Problem, dict[str, Runs]]
"""By problem and cell."""


def measure(
    sweep_fn: SweepFn,
    problems: Sequence[Problem],
    cells: Sequence[str],
    *,
    units: int,
    steps: int,
    seeds: int,
    seed: int,
    is_watched: bool,
) -> Found:
    """Trains each cell at each problem from each seed, the seeds of one as one program.

    Args:
        sweep_fn: `jaxdl.sweep.sweep_in_run` of this run.
        problems: each with its length.
        cells: by name.
        units: of an LSTM; others have as many recurrent weights.
        steps: updates of each run at most, a multiple of `LOOK`.
        seeds: of each.
        seed: of all.
        is_watched: see `Plan`.
    """
    keys = jax.random.split(jax.random.key(seed), seeds)
    found: Found = {}
    for problem in problems:
        found[problem] = {}
        tests = problem.draw(jax.random.key(seed + 1), TESTING)
        for cell in cells:
            plan = Plan(problem, cell, units_of(cell, units), steps // LOOK, is_watched)
            runs = sweep_fn(
                Partial(train_one, Static(plan), tests),
                keys,
                {"rate": jnp.array([RATES[cell]])},
                config={"units": units, "steps": steps, "seeds": seeds, "seed": seed},
                name=f"{problem.name}_{problem.length}_{cell}",
            )
            found[problem][cell] = jax.tree.map(lambda of: of[0].astype(float), runs)
    return found


def train_one(plan: Static[Plan], tests: Examples, key: Array, member: dict[str, Array]) -> Runs:
    """One run, on sequences that are drawn anew for each update."""
    problem, cell, units, looks, is_watched = plan.value
    model = problem.model(cell, units)
    loss_fn = problem.loss_fn(model)
    clip = ClipConfig(global_norm=CLIP_NORM)
    optimizer = optim.make_optimizer(OptimizerConfig("adam", member["rate"], clip=clip))
    gradient_fn = mean_gradient(loss_fn)
    if is_watched:
        gradient_fn, optimizer = diagnostics.watched(loss_fn, optimizer)
    update = train.make_update(gradient_fn, optimizer)
    of_run, of_batches = jax.random.split(key)

    def step(state: TrainState, key: Array):
        state, metrics = update(state, Batch(*problem.draw(key, BATCH), jnp.ones(BATCH)))
        return state, metrics if is_watched else {}

    def go(state: TrainState, key: Array):
        state, metrics = lax.scan(step, state, jax.random.split(key, LOOK))
        loss = train.evaluate(loss_fn, state.params, {}, tests)["loss"] / problem.baseline()
        # NaN says that a run has ended, and one that diverged has not solved its problem.
        return state, Runs(jnp.nan_to_num(loss, nan=jnp.inf, posinf=jnp.inf), metrics)

    def skip(state: TrainState, key: Array):
        _, shapes = jax.eval_shape(go, state, key)
        return state, jax.tree.map(lambda of: jnp.full(of.shape, jnp.nan), shapes)

    def block(carry, key: Array):
        state, is_solved = carry
        state, seen = lax.cond(is_solved, skip, go, state, key)
        return (state, is_solved | (seen.losses < SOLVED)), seen

    state = train.init_state(of_run, model, optimizer, tests.inputs[:1])
    _, seen = lax.scan(block, (state, jnp.bool(False)), jax.random.split(of_batches, looks))
    return jax.tree.map(jnp.ravel, seen)
