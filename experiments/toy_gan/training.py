"""Games in the plane: perceptrons against each other, all those of a mixture as one program."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, Key

from experiments.toy_gan.mixtures import MIXTURES, Mixture, draw
from jaxdl import models, optim
from jaxdl.adversarial import (
    TOLD_BY,
    Game,
    generate,
    init_game,
    make_adversarial_update,
    make_game,
)
from jaxdl.objectives import (
    OBJECTIVES,
    choose_objective,
    gradient_penalty,
    make_objective,
    r1_penalty,
)
from jaxdl.optim import OptimizerConfig
from jaxdl.sweep import SweepFn
from jaxdl.types import Batch, Metrics, Players, Static, TrainState, Variables

LATENT = 16
RATE = 1e-3
LOOKS = 40
SAMPLES = 2500
SIDE = 60
"""Points of the discriminator's surface along each axis."""
EXTENT = 1.4
"""How far the surface reaches, in the distance of the farthest centre along an axis."""
SEEN = (*TOLD_BY, "generator_loss", "generator_gradient_norm")


class Size(NamedTuple):
    """Of the players and their batches.

    Attributes:
        widths: of the hidden layers of both.
        batch: samples in an update.
    """

    widths: tuple[int, ...]
    batch: int


SIZES = {"ring": Size((64, 64), batch=128), "grid": Size((128, 128, 128), batch=256)}
"""By mixture; the ring's cover none of the grid's modes."""


class Kind(NamedTuple):
    """A game to play; hashable.

    Attributes:
        mixture: by name.
        objective: by name.
        is_penalized: with R1, or the gradient penalty for Wasserstein's.
    """

    mixture: str
    objective: str
    is_penalized: bool = True

    def __str__(self) -> str:
        name = self.objective.replace("_", " ")
        return name if self.is_penalized else f"{name}, no penalty"


class Plan(NamedTuple):
    """What is static in a run."""

    mixture: str
    steps: int


class Played(NamedTuple):
    """What was seen of a game, ``LOOKS`` times; seeds in front.

    Attributes:
        samples: of the same noise, ``(looks, SAMPLES, 2)``.
        surface: the discriminator's probabilities, ``(looks, SIDE, SIDE)``, rows from below.
        metrics: means over the steps since the last look, ``(looks,)``.
    """

    samples: Array
    surface: Array
    metrics: Metrics


def measure(
    sweep_fn: SweepFn,
    kinds: Sequence[Kind],
    *,
    steps: int,
    penalty: float,
    seeds: int,
    seed: int,
) -> dict[Kind, Played]:
    """Plays each game from each seed.

    Args:
        sweep_fn: `jaxdl.sweep.sweep_in_run` of this run.
        kinds: the games.
        steps: updates of each, a multiple of `LOOKS`.
        penalty: strength of R1; Wasserstein's has a tenth.
        seeds: of each.
        seed: of all.
    """
    keys = jax.random.split(jax.random.key(seed), seeds)
    found = {}
    for mixture in dict.fromkeys(kind.mixture for kind in kinds):
        of_mixture = [kind for kind in kinds if kind.mixture == mixture]
        played = sweep_fn(
            Partial(play, Static(Plan(mixture, steps))),
            keys,
            members_of(of_mixture, penalty),
            config={"steps": steps, "seeds": seeds, "seed": seed},
            name=mixture,
            piece_size=seeds,
        )
        for place, kind in enumerate(of_mixture):
            found[kind] = jax.tree.map(lambda of, place=place: of[place], played)
    return found


def members_of(kinds: Sequence[Kind], penalty: float) -> dict[str, Array]:
    """The numbers that tell games of a mixture apart; one without a penalty has one of 0."""
    names = list(OBJECTIVES)
    return {
        "rate": jnp.full(len(kinds), RATE),
        "penalty": jnp.array([penalty * kind.is_penalized for kind in kinds]),
        "objective": jnp.array([names.index(kind.objective) for kind in kinds]),
    }


def play(plan: Static[Plan], key: Key[Array, ""], member: dict[str, Array]) -> Played:
    """One game, on samples that are drawn anew for each update."""
    name, steps = plan.value
    mixture, size = MIXTURES[name], SIZES[name]
    game = make_toy_game(size, member["objective"], member["penalty"])
    optimizer = optim.make_optimizer(
        OptimizerConfig("adam", member["rate"], arguments={"b1": 0.5}, average=0.99)
    )
    update = make_adversarial_update(game, Players(optimizer, optimizer))
    of_run, of_batches, of_samples = jax.random.split(key, 3)
    points = surface_points(mixture).reshape(-1, 2)

    def step(state: TrainState, key: Key[Array, ""]):
        state, metrics = update(state, batch_of(draw(mixture, key, size.batch)))
        return state, {name: metrics[name] for name in SEEN}

    def look(state: TrainState, key: Key[Array, ""]):
        state, metrics = lax.scan(step, state, jax.random.split(key, steps // LOOKS))
        params = optim.averaged_params(state.opt_state, state.params)
        noise = jax.random.split(of_samples, SAMPLES)
        of_generator = Variables(params.generator, state.model_state.generator)
        samples = generate(game, of_generator, batch_of(jnp.zeros((SAMPLES, 2))), noise)
        scores, _ = game.discriminator.apply(
            state.params.discriminator, state.model_state.discriminator, points, None
        )
        surface = jax.nn.sigmoid(scores).reshape(SIDE, SIDE)
        return state, Played(samples, surface, jax.tree.map(jnp.mean, metrics))

    state = init_game(of_run, game, Players(optimizer, optimizer), jnp.zeros((1, 2)))
    return lax.scan(look, state, jax.random.split(of_batches, LOOKS))[1]


def make_toy_game(size: Size, objective: Int[Array, ""], penalty: Float[Array, ""]) -> Game:
    """Perceptrons against each other.

    Args:
        size: of both.
        objective: its number among `OBJECTIVES`.
        penalty: strength of R1; Wasserstein's gradient penalty has a tenth.
    """
    r1, of_critic = r1_penalty(penalty), gradient_penalty(penalty / 10)
    objectives = [
        make_objective(name, penalty=of_critic if name == "wasserstein" else r1)
        for name in OBJECTIVES
    ]
    generator, discriminator = (models.mlp(size.widths, classes=of) for of in (2, 1))
    return make_game(
        generator, discriminator, choose_objective(objective, objectives), latent=LATENT
    )


def batch_of(samples: Array) -> Batch:
    """Samples without labels."""
    return Batch(samples, jnp.zeros(len(samples), jnp.int32), jnp.ones(len(samples)))


def surface_points(mixture: Mixture) -> Array:
    """Where the discriminator is looked at, ``(SIDE, SIDE, 2)``."""
    reach = EXTENT * np.abs(mixture.centres).max()
    axis = jnp.linspace(-reach, reach, SIDE)
    return jnp.stack(jnp.meshgrid(axis, axis), axis=-1)
