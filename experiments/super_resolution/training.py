"""One network that enlarges, by squared error, then by games of several strengths."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key

from jaxdl import models, optim, train
from jaxdl.adversarial import TOLD_BY, Game, init_game, make_adversarial_update
from jaxdl.gradients import mean_gradient
from jaxdl.models.super_resolution import enlarge, shrink
from jaxdl.objectives import make_objective, r1_penalty
from jaxdl.optim import OptimizerConfig, ScheduleConfig
from jaxdl.pixels import scale_pixels
from jaxdl.sweep import SweepFn, cpu_piece
from jaxdl.types import (
    Batch,
    Examples,
    Keys,
    LossAux,
    LossFn,
    Metrics,
    Model,
    ModelState,
    Number,
    Params,
    Players,
    Static,
    TrainState,
)

RATE = 1e-3
SECOND = OptimizerConfig("adam", 2e-4, arguments={"b1": 0.5}, average=0.995)
"""Of a game, and of what goes on with squared error beside it."""

Images = Float[Array, "batch height width 1"]


class Plan(NamedTuple):
    """What is static in a run."""

    factor: int
    features: int
    depth: int
    epochs: int
    adversarial_epochs: int
    batch_size: int


class Trained(NamedTuple):
    """Networks, and how they came to be; seeds in front.

    Attributes:
        squared_error: parameters of the network that went on with squared error alone for as many
            epochs as the games have.
        adversarial: of those that played instead, ``(strengths, ...)``.
        loss: mean squared error over each epoch before, of pixels in [0, 1], ``(epochs,)``.
        games: means of each epoch by which failures are told, ``(strengths, adversarial_epochs)``.
    """

    squared_error: Params
    adversarial: Params
    loss: Array
    games: Metrics


def measure(
    sweep_fn: SweepFn,
    plan: Plan,
    strengths: Sequence[float],
    examples: Examples,
    *,
    penalty: float,
    seeds: int,
    seed: int,
) -> Trained:
    """Trains from each seed.

    Args:
        sweep_fn: `jaxdl.sweep.sweep_in_run` of this run.
        plan: of each run.
        strengths: of the squared error beside the adversarial loss, one game for each.
        examples: images to train on.
        penalty: strength of R1.
        seeds: how many runs.
        seed: of all.
    """
    found = sweep_fn(
        Partial(train_one, Static(plan), examples),
        jax.random.split(jax.random.key(seed), seeds),
        {"strengths": jnp.asarray([strengths]), "penalty": jnp.asarray([penalty])},
        name=f"factor_{plan.factor}",
        piece_size=cpu_piece(1),
    )
    return jax.tree.map(lambda of: of[0], found)


def train_one(
    plan: Static[Plan], examples: Examples, key: Key[Array, ""], member: dict[str, Array]
) -> Trained:
    """One run: squared error by Adam, and from there a game for each strength, or more of it."""
    players = players_of(plan.value)
    key, of_game, of_more = jax.random.split(key, 3)
    params, loss = _fit_squared_error(plan.value, players.generator, examples, key)
    more = _go_on(plan.value, players.generator, params, examples, of_more)

    def play(strength: Array):
        game = make_enlarging_game(players, plan.value.factor, strength, member["penalty"])
        return _play(plan.value, game, params, examples, of_game)

    of_games, seen = lax.map(play, member["strengths"])
    return Trained(more, of_games, loss, seen)


def players_of(plan: Plan) -> Players:
    """Who enlarges, and who judges it."""
    return models.super_resolution_pair(plan.factor, plan.features, plan.depth)


def make_enlarging_game(players: Players, factor: int, strength: Number, penalty: Number) -> Game:
    """A game on small images and what becomes of them: the discriminator sees both, as large."""
    objective = make_objective("non_saturating", penalty=r1_penalty(penalty))
    of = Static(factor)
    return Game(
        *players, objective, Partial(_draw, of), Partial(_show, of), Partial(_content, strength)
    )


def restoration_loss(model: Model, factor: int) -> LossFn:
    """Mean squared error of an image that was made small and enlarged by the model."""
    return Partial(_restoration_loss, model, Static(factor))


def _fit_squared_error(plan: Plan, model: Model, examples: Examples, key: Key[Array, ""]):
    """The network after its epochs, and the loss of each."""
    steps = plan.epochs * train.steps_per_epoch(len(examples.targets), plan.batch_size)
    schedule = ScheduleConfig("cosine")
    optimizer = optim.make_optimizer(OptimizerConfig("adam", RATE, schedule=schedule), steps)
    small = shrink(scale_pixels(examples.inputs[:1]), plan.factor)
    state = train.init_state(key, model, optimizer, small)
    fitted, history = _fit(plan, model, optimizer, state, examples, plan.epochs)
    return train.final_params(fitted)[0], history.epochs["loss"]


def _go_on(plan: Plan, model: Model, params: Params, examples: Examples, key: Key[Array, ""]):
    """The network after as much as a game has, by the same optimizer, of squared error alone."""
    optimizer = optim.make_optimizer(SECOND)
    state = TrainState(jnp.int32(0), params, {}, optimizer.init(params), key)
    fitted, _ = _fit(plan, model, optimizer, state, examples, plan.adversarial_epochs)
    return train.final_params(fitted)[0]


def _fit(plan: Plan, model: Model, optimizer, state: TrainState, examples: Examples, epochs: int):
    """A run on squared error."""
    update = train.make_update(mean_gradient(restoration_loss(model, plan.factor)), optimizer)
    return train.fit(update, state, examples, epochs=epochs, batch_size=plan.batch_size)


def _play(plan: Plan, game: Game, params: Params, examples: Examples, key: Key[Array, ""]):
    """The generator after a game that begins with ``params``, and the means of each epoch."""
    optimizer = optim.make_optimizer(SECOND)
    optimizers = Players(optimizer, optimizer)
    state = init_game(key, game, optimizers, examples.inputs[:1])
    both = Players(params, state.params.discriminator)
    opt_state = Players(*(of.init(p) for of, p in zip(optimizers, both, strict=True)))
    fitted, history = train.fit(
        make_adversarial_update(game, optimizers),
        state._replace(params=both, opt_state=opt_state),
        examples,
        epochs=plan.adversarial_epochs,
        batch_size=plan.batch_size,
    )
    last, _ = train.final_params(fitted)
    return last.generator, {name: history.epochs[name] for name in TOLD_BY}


def _restoration_loss(
    model: Model,
    factor: Static[int],
    params: Params,
    model_state: ModelState,
    batch: Batch,
    keys: Keys,
) -> tuple[Float[Array, " batch"], LossAux]:
    images = scale_pixels(batch.inputs)
    outputs, model_state = model.apply(params, model_state, shrink(images, factor.value), keys)
    squares = _squared_error(outputs, images)
    return squares, LossAux(model_state, {"loss": squares})


def _draw(factor: Static[int], batch: Batch, keys: Keys) -> Images:
    return shrink(batch.inputs, factor.value)


def _show(factor: Static[int], samples: Images, batch: Batch) -> Float[Array, "batch 28 28 2"]:
    return jnp.concatenate([samples, enlarge(_draw(factor, batch, None), factor.value)], axis=-1)


def _content(strength: Array, samples: Images, batch: Batch) -> Float[Array, " batch"]:
    return strength * _squared_error(samples, batch.inputs)


def _squared_error(outputs: Images, images: Images) -> Float[Array, " batch"]:
    return jnp.mean(jnp.square(outputs - images), axis=(1, 2, 3))
