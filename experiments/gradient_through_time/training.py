"""Networks that learn the adding problem, and their gradients by distance on the way."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.tree_util import Partial
from jaxtyping import Array, Float

from experiments.gradient_through_time.distances import norm_by_distance
from experiments.gradient_through_time.networks import Kind, Network
from jaxdl import diagnostics, losses, models, optim, train
from jaxdl.data.memory_problems import adding_problem
from jaxdl.gradients import mean_gradient
from jaxdl.nn import find_cell
from jaxdl.optim import ClipConfig, OptimizerConfig
from jaxdl.sweep import SweepFn
from jaxdl.types import Batch, Examples, Metrics, Model, Params, Static, TrainState

UNITS, BATCH, RATE, MOMENTUM = 32, 32, 0.03, 0.9
TESTING = 500
"""Sequences that are never trained on: of the losses and of the gradients by distance."""
LOOKS = 10
"""How often a run is looked at, evenly, but for its start."""


class Plan(NamedTuple):
    """What makes a compiled program of its own.

    Attributes:
        kind: of network.
        length: of the sequences.
        steps: of training; 0 for its start alone.
        is_watched: whether each step's metrics are those of all instruments.
    """

    kind: Kind
    length: int
    steps: int
    is_watched: bool


class Seen(NamedTuple):
    """A network's runs, with a leading axis of seeds.

    Attributes:
        norms: of the gradient by distance at each look, the start's first ``(looks, distances)``.
        losses: on test sequences at each look, ``(looks,)``.
        steps: the metrics of every step ``(steps,)``.
    """

    norms: Any
    losses: Any
    steps: Metrics

    def kept(self) -> np.ndarray:
        """The norm at the first state over that at the last one ``(seeds, looks)``."""
        return self.norms[..., -1] / self.norms[..., 0]


def measure(
    sweep_fn: SweepFn,
    networks: dict[str, Network],
    *,
    length: int,
    steps: int,
    seeds: int,
    seed: int,
    is_watched: bool,
) -> dict[str, Seen]:
    """Trains each network from each seed; those of one kind are one program.

    Args:
        sweep_fn: `jaxdl.sweep.sweep_in_run` of this run.
        networks: by name.
        length: of the sequences.
        steps: of training.
        seeds: of each network; the same draws for all.
        seed: of all.
        is_watched: see `Plan`.
    """
    keys = jax.random.split(jax.random.key(seed), seeds)
    tests = adding_problem(jax.random.key(seed + 1), TESTING, length)
    found = {}
    for kind in dict.fromkeys(network.kind for network in networks.values()):
        names = [name for name, network in networks.items() if network.kind == kind]
        hparams = {
            "gain": jnp.array([networks[name].gain for name in names]),
            "clip_norm": jnp.array([networks[name].clip_norm for name in names]),
        }
        seen = sweep_fn(
            Partial(train_one, Static(Plan(kind, length, steps, is_watched)), tests),
            keys,
            hparams,
            config={"length": length, "steps": steps, "seeds": seeds, "seed": seed},
            name=f"{kind.cell}{'_normalized' * kind.is_normalized}",
        )
        for place, name in enumerate(names):
            found[name] = jax.tree.map(lambda of, place=place: of[place].astype(float), seen)
    return {name: found[name] for name in networks}


def train_one(plan: Static[Plan], tests: Examples, key: Array, member: dict[str, Array]) -> Seen:
    """One run, on sequences that are drawn anew at each step."""
    kind, length, steps, is_watched = plan.value
    model = models.sequence_classifier(
        kind.cell, [UNITS], classes=1, is_normalized=kind.is_normalized
    )
    loss_fn = losses.supervised_loss(model, losses.squared_error)
    optimizer = descent(member["clip_norm"])
    gradient_fn = mean_gradient(loss_fn)
    if is_watched:
        gradient_fn, optimizer = diagnostics.watched(loss_fn, optimizer)
    update = train.make_update(gradient_fn, optimizer)
    of_run, of_batches = jax.random.split(key)

    def step(state: TrainState, key: Array):
        return update(state, Batch(*adding_problem(key, BATCH, length), jnp.ones(BATCH)))

    def block(state: TrainState, keys: Array):
        state, metrics = lax.scan(step, state, keys)
        return state, (state.params, metrics)

    def look(params: Params):
        loss = train.evaluate(loss_fn, params, {}, tests)["loss"]
        return norms_of(kind, params, tests), loss

    state = begin(of_run, model, optimizer, tests, member["gain"])
    passed = jax.tree.map(lambda of: of[None], state.params)
    metrics = {}
    if steps:
        keys = jax.random.split(of_batches, (LOOKS, steps // LOOKS))
        _, (later, metrics) = lax.scan(block, state, keys)
        passed = jax.tree.map(lambda *of: jnp.concatenate(of), passed, later)
    norms, loss = lax.map(look, passed)
    return Seen(norms, loss, jax.tree.map(jnp.ravel, metrics))


def descent(clip_norm: Array) -> optax.GradientTransformation:
    """With momentum, the gradient no longer than ``clip_norm``."""
    clip = ClipConfig(global_norm=clip_norm)
    return optim.make_optimizer(OptimizerConfig("sgd", RATE, {"momentum": MOMENTUM}, clip=clip))


def begin(
    key: Array,
    model: Model,
    optimizer: optax.GradientTransformation,
    examples: Examples,
    gain: Array,
) -> TrainState:
    """The state of a run, its recurrent kernel a multiple of the orthogonal one that is drawn."""
    state = train.init_state(key, model, optimizer, examples.inputs[:1])
    layer = state.params["recurrent"]["layer_0"]
    layer = {**layer, "recurrent_kernel": gain * layer["recurrent_kernel"]}
    return state._replace(params={**state.params, "recurrent": {"layer_0": layer}})


def norms_of(kind: Kind, params: Params, examples: Examples) -> Float[Array, " time"]:
    """Of the gradient of the squared error by the states, by distance."""
    dense = params["dense"]

    def loss_of(last: Array) -> Array:
        sums = last @ dense["kernel"] + dense["bias"][None]
        return losses.squared_error(sums, examples.targets)

    return norm_by_distance(
        find_cell(kind.cell, is_normalized=kind.is_normalized),
        params["recurrent"]["layer_0"],
        examples.inputs.swapaxes(0, 1),
        loss_of,
    )


def step_numbers(steps: int) -> range:
    """After how many steps a run is looked at."""
    return range(0, steps + 1, max(1, steps // LOOKS))
