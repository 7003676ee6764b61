"""Two players, a generator against a discriminator, as one update that `jaxdl.train.fit` drives.

A `Game` says who plays, for what, and on what. Its state is a `TrainState` like any other, whose
parameters, model state and optimizer state are `Players`: a pair, one of each. So runs, sweeps,
checkpoints and devices are those of every other model.

    game = make_game(generator, discriminator, make_objective("non_saturating"), latent=64)
    optimizers = Players(make_optimizer(...), make_optimizer(...))
    state = init_game(key, game, optimizers, examples.inputs[:1])
    fit(make_adversarial_update(game, optimizers), state, examples, ...)

Images are scaled to [0, 1], real ones and generated ones alike.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.tree_util import Partial
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxdl import optim
from jaxdl.errors import InputError
from jaxdl.gradients import mean_gradient
from jaxdl.objectives import Objective, Samples, Scores
from jaxdl.parallel import sum_over_devices
from jaxdl.pixels import scale_pixels
from jaxdl.train import example_keys
from jaxdl.types import (
    Batch,
    GradientFn,
    Keys,
    LossAux,
    LossFn,
    Metrics,
    Model,
    ModelState,
    Params,
    Players,
    Static,
    TrainState,
    Update,
    Variables,
    as_pytree,
)

NOISE_KEY, LABEL_KEY = 0x6E6F69, 0x6C6162
"""Folded into an example's key, so that its noise and its wrong label are no other draws of it."""

OF_DISCRIMINATOR, OF_GENERATOR, OF_GENERATED = range(3)
"""Folded into an example's key: for whose step it draws, and for which pass."""

TOLD_BY = ("loss", "discriminator_accuracy", "spread")
"""The metrics by which failures are told."""

SATURATED = 0.99
"""Accuracy of the discriminator above which it tells nearly all pairs apart: the minimax form then
hardly has a gradient. The others have one; of a Wasserstein critic it is no fault."""

COLLAPSED = 0.5
"""Spread of the samples, where the data's is 1, below which most of the data is not made. Not seen
is what lacks within the same spread: a digit that is never drawn, all but two opposite modes of a
ring."""


class Game(NamedTuple):
    """Who plays, for what, and on what.

    Attributes:
        generator: from what ``draw`` gives to samples.
        discriminator: from what ``show`` gives to scores ``(batch,)`` or ``(batch, 1)``.
        objective: see `jaxdl.objectives`.
        draw: ``(batch, keys) -> inputs of the generator``.
        show: ``(samples, batch) -> inputs of the discriminator``, of real or generated samples;
            the batch is of real ones.
        content: ``(samples, batch) -> losses`` added to the generator's; None for none.
        mismatch: ``(batch, keys) -> batch`` whose real samples have what is not theirs, which the
            discriminator is to tell like generated ones; None for none.
    """

    generator: Model
    discriminator: Model
    objective: Objective
    draw: Callable[[Batch, Key[Array, " batch"]], Any]
    show: Callable[[Samples, Batch], Any]
    content: Callable[[Samples, Batch], Scores] | None = None
    mismatch: Callable[[Batch, Key[Array, " batch"]], Batch] | None = None


class Pairs(NamedTuple):
    """The inputs of a discriminator's step."""

    real: Samples
    generated: Samples


def make_game(generator: Model, discriminator: Model, objective: Objective, *, latent: int) -> Game:
    """A game on samples alone: normal noise of ``latent`` numbers, samples shown as they are."""
    draw = Partial(_draw_noise, Static(latent))
    return Game(generator, discriminator, objective, draw, Partial(_show_samples))


def make_conditional_game(
    generator: Model, discriminator: Model, objective: Objective, *, latent: int
) -> Game:
    """A game on labelled samples: both players are given the label too.

    The generator takes ``(noise, labels)``, the discriminator ``(samples, labels)`` (Mirza and
    Osindero 2014, arXiv:1411.1784).
    """
    draw = Partial(_draw_noise_and_labels, Static(latent))
    return Game(generator, discriminator, objective, draw, Partial(_show_samples_and_labels))


def with_wrong_labels(game: Game, classes: int) -> Game:
    """The game of labelled samples, the discriminator also shown real ones with a wrong label.

    Half of what is not to fit are generated samples, half are these (GAN-CLS: Reed et al. 2016,
    arXiv:1605.05396, algorithm 1). Without them nothing but a lack of likeness tells it that a well
    drawn sample is of another class than was asked for.

    Args:
        game: see `make_conditional_game`.
        classes: how many, two or more.
    """
    return game._replace(mismatch=Partial(_wrong_labels, Static(classes)))


def noise(keys: Key[Array, " batch"], latent: int) -> Float[Array, "batch latent"]:
    """Standard normal numbers, each example's from its own key."""

    def one(key: Key[Array, ""]) -> Array:
        return jax.random.normal(jax.random.fold_in(key, NOISE_KEY), (latent,))

    return jax.vmap(one)(keys)


def init_game(
    key: Key[Array, ""],
    game: Game,
    optimizers: Players,
    real: Array,
) -> TrainState:
    """The state before the first step.

    Args:
        key: the run's key; parameters, order of examples and every draw follow from it.
        game: whose players are drawn.
        optimizers: of both.
        real: an example batch, for its shape; one example is enough.
    """
    *init_keys, run_key = jax.random.split(key, 3)
    real = scale_pixels(real)
    labels = jnp.zeros(len(real), jnp.int32)
    batch = Batch(real, labels, jnp.ones(len(real)))
    drawn = game.draw(batch, jax.random.split(key, len(real)))
    generator = game.generator.init(init_keys[0], drawn)
    discriminator = game.discriminator.init(init_keys[1], game.show(real, batch))
    params, model_state = map(Players, generator, discriminator)
    opt_state = Players(*(of.init(p) for of, p in zip(optimizers, params, strict=True)))
    return TrainState(jnp.int32(0), params, model_state, opt_state, run_key)


def make_adversarial_update(
    game: Game,
    optimizers: Players,
    *,
    discriminator_steps: int = 1,
    gradient: Callable[[LossFn], GradientFn] = mean_gradient,
) -> Update:
    """A step of the game ``(state, batch) -> (state, metrics)``, jitted, the given state donated.

    First the discriminator takes its steps, each on a part of the batch of its own beside as many
    generated samples, then the generator takes one, on noise of its own (Goodfellow et al. 2014,
    arXiv:1406.2661, algorithm 1). Real and generated samples pass the discriminator one after the
    other, so that batch norm sees them apart.

    The metrics are scalars: ``loss`` of the discriminator on real and generated samples, and
    ``generator_loss``, without penalties; ``gradient_norm``, of both players together; what each
    player's gradient function and optimizer tell, after ``discriminator_`` and ``generator_``; and
    to tell failures by (see `failures`) ``discriminator_accuracy``, the share of pairs of which the
    real sample has the higher score, and ``spread``, the standard deviation of the generated
    samples over that of the real ones (1 of a batch of one).

    Args:
        game: to play.
        optimizers: of both.
        discriminator_steps: for each of the generator's; it divides the batch, or each device's
            share of it. So of a batch of B each step, the generator's too, sees B over it; and each
            batch, also an epoch's last, must hold as many examples as there are steps.
        gradient: makes the gradient function of either player of its loss.
    """
    return Partial(
        _update, Static(discriminator_steps), as_pytree(gradient), game, as_pytree(optimizers)
    )


def failures(metrics: Mapping[str, ArrayLike]) -> list[str]:
    """What has gone wrong with a game, in words; empty where nothing has.

    Args:
        metrics: of `make_adversarial_update`, means over an epoch, say.

    >>> failures({"loss": 0.9, "discriminator_accuracy": 0.8, "spread": 0.1})
    ['the samples have collapsed: they spread 0.10 times as far as data']
    """
    return list(_failures_by_kind(metrics).values())


def first_failures(
    metrics: Mapping[str, ArrayLike], diverged_in: ArrayLike
) -> list[dict[str, Any]]:
    """Each kind of failure of each seed, as it was when it was first seen: ``seed`` and ``epoch``,
    both from 1, and ``failure`` in words.

    Args:
        metrics: of each epoch, ``(seeds, epochs)``.
        diverged_in: in which epoch of each seed, from 1, a step's loss or gradient was not finite;
            0 where none was. An epoch's mean leaves that step out.
    """
    told = {name: np.array(metrics[name], float) for name in TOLD_BY}
    found = []
    for seed, diverged in enumerate(np.asarray(diverged_in)):
        if diverged:
            told["loss"][seed, diverged - 1 :] = np.nan
        seen: dict[str, dict[str, Any]] = {}
        for epoch in range(told["loss"].shape[1]):
            of_epoch = _failures_by_kind({name: of[seed, epoch] for name, of in told.items()})
            for kind, failure in of_epoch.items():
                seen.setdefault(kind, {"seed": seed + 1, "epoch": epoch + 1, "failure": failure})
        found += seen.values()
    return found


def failures_of_seeds(metrics: Mapping[str, ArrayLike]) -> list[str]:
    """Those of each seed, and of which of several; the metrics are ``(seeds,)``.

    >>> failures_of_seeds(
    ...     {
    ...         "loss": np.array([0.9, np.nan]),
    ...         "discriminator_accuracy": np.array([0.8, 0.7]),
    ...         "spread": np.ones(2),
    ...     }
    ... )
    ['seed 2 of 2: the game has diverged: its loss or gradient is not finite']
    """
    told = {name: np.asarray(metrics[name]) for name in TOLD_BY}
    seeds = len(told["loss"])
    return [
        f"seed {place + 1} of {seeds}: {failure}" if seeds > 1 else failure
        for place in range(seeds)
        for failure in failures({name: of[place] for name, of in told.items()})
    ]


def _failures_by_kind(metrics: Mapping[str, ArrayLike]) -> dict[str, str]:
    """Of a game that has diverged nothing else is told: the rest is of the steps before."""
    loss, accuracy, spread = (float(np.asarray(metrics[name])) for name in TOLD_BY)
    if not np.isfinite(loss):
        return {"diverged": "the game has diverged: its loss or gradient is not finite"}
    found = {}
    if accuracy > SATURATED:
        found["saturated"] = (
            f"the discriminator is saturated: it tells {accuracy:.1%} of all pairs rightly"
        )
    if spread < COLLAPSED:
        found["collapsed"] = (
            f"the samples have collapsed: they spread {spread:.2f} times as far as data"
        )
    return found


def adversarial_loss(game: Game) -> LossFn:
    """The discriminator's loss of `Players`, to evaluate: the same noise for each batch.

    The generator's samples are made as in training, of the batch's own statistics: the running ones
    are of the parameters that moved, not of their average.
    """
    return Partial(_adversarial_loss, game)


def generate(game: Game, variables: Variables, batch: Batch, keys: Key[Array, " batch"]) -> Samples:
    """Samples, as the generator makes them when it does not train.

    Args:
        game: of it.
        variables: the generator's.
        batch: of which `Game.draw` takes what it needs besides the keys, such as labels.
        keys: one for each sample.
    """
    return game.generator.apply(*variables, game.draw(batch, keys), None)[0]


def _draw_noise(latent: Static[int], batch: Batch, keys: Key[Array, " batch"]) -> Array:
    return noise(keys, latent.value)


def _draw_noise_and_labels(latent: Static[int], batch: Batch, keys: Key[Array, " batch"]):
    return noise(keys, latent.value), batch.targets


def _wrong_labels(classes: Static[int], batch: Batch, keys: Key[Array, " batch"]) -> Batch:
    """Each of the other classes is as likely."""

    def one(key: Key[Array, ""]) -> Array:
        return jax.random.randint(jax.random.fold_in(key, LABEL_KEY), (), 1, classes.value)

    return batch._replace(targets=(batch.targets + jax.vmap(one)(keys)) % classes.value)


def _show_samples(samples: Samples, batch: Batch) -> Samples:
    return samples


def _show_samples_and_labels(samples: Samples, batch: Batch):
    return samples, batch.targets


# --- the update ----------------------------------------------------------------------------------


@partial(jax.jit, donate_argnames="state")
def _update(
    steps: Static[int], gradient, game: Game, optimizers: Players, state: TrainState, batch: Batch
) -> tuple[TrainState, Metrics]:
    batch = batch._replace(inputs=scale_pixels(batch.inputs))
    keys = example_keys(state, batch.weights.shape[0])
    parts = jax.tree.map(partial(_parts, count=steps.value), (batch, keys))

    def step(carry, part):
        discriminator, opt_state, generator_state = carry
        batch, keys = part
        keys = _folded(keys, OF_DISCRIMINATOR)
        generated, generator_state = game.generator.apply(
            state.params.generator, generator_state, game.draw(batch, keys), keys
        )
        pairs = batch._replace(inputs=Pairs(batch.inputs, generated))
        loss_fn = Partial(_discriminator_loss, game)
        discriminator, opt_state, metrics = _descend(
            gradient(loss_fn), optimizers.discriminator, discriminator, opt_state, pairs, keys
        )
        return (discriminator, opt_state, generator_state), metrics

    discriminator = Variables(state.params.discriminator, state.model_state.discriminator)
    start = (discriminator, state.opt_state.discriminator, state.model_state.generator)
    (discriminator, of_discriminator, generator_state), seen = lax.scan(step, start, parts)
    seen = jax.tree.map(partial(jnp.mean, axis=0), seen)

    last, keys = jax.tree.map(lambda leaf: leaf[-1], parts)
    generator, of_generator, made = _descend(
        gradient(Partial(_generator_loss, game, discriminator)),
        optimizers.generator,
        Variables(state.params.generator, generator_state),
        state.opt_state.generator,
        last,
        _folded(keys, OF_GENERATOR),
    )
    players = Players(*map(Players, generator, discriminator))  # parameters, model states
    metrics = _merged(seen, made)
    metrics["examples"] = sum_over_devices(jnp.sum(batch.weights))
    opt_state = Players(of_generator, of_discriminator)
    return TrainState(state.step + 1, *players, opt_state, state.key), metrics


def _descend(
    gradient_fn: GradientFn, optimizer, variables: Variables, opt_state, batch: Batch, keys: Keys
):
    """One player's step."""
    params, model_state = variables
    gradient, aux = gradient_fn(params, model_state, batch, keys)
    updates, opt_state = optimizer.update(gradient, opt_state, params)
    metrics = {
        **aux.metrics,
        "gradient_norm": optim.global_norm(gradient),
        **optim.telemetry(opt_state),
    }
    return Variables(optax.apply_updates(params, updates), aux.model_state), opt_state, metrics


def _merged(of_discriminator: Metrics, of_generator: Metrics) -> Metrics:
    norms = of_discriminator["gradient_norm"], of_generator["gradient_norm"]
    spreads = of_generator.pop("generated_spread"), of_generator.pop("real_spread")
    named = {f"generator_{name}": value for name, value in of_generator.items()}
    named |= {f"discriminator_{name}": value for name, value in of_discriminator.items()}
    for name in ("generator_examples", "discriminator_examples"):
        del named[name]
    return {
        "loss": named.pop("discriminator_loss"),
        "gradient_norm": jnp.hypot(*norms),
        "spread": jnp.sqrt(jnp.where(spreads[1] > 0, spreads[0] / spreads[1], 1)),
        **named,
    }


def _parts(leaf: Array, count: int) -> Array:
    """Every ``count``-th example to each part, so that padding, at the end, is shared by all."""
    if leaf.shape[0] % count:
        raise InputError(
            f"{count} steps of the discriminator on {leaf.shape[0]} examples: give a multiple"
        )
    return leaf.reshape(-1, count, *leaf.shape[1:]).swapaxes(0, 1)


def _folded(keys: Key[Array, " batch"], data: int) -> Key[Array, " batch"]:
    return jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, data)


# --- the losses ----------------------------------------------------------------------------------


def _discriminator_loss(
    game: Game, params: Params, model_state: ModelState, batch: Batch, keys: Keys
) -> tuple[Scores, LossAux]:
    pairs: Pairs = batch.inputs  # pyright: ignore[reportAssignmentType]
    real = batch._replace(inputs=pairs.real)

    def score(model_state: ModelState, keys: Keys, samples: Samples, batch: Batch = real):
        shown = game.show(samples, batch)
        scores, model_state = game.discriminator.apply(params, model_state, shown, keys)
        return scores.reshape(-1), model_state

    again = None if keys is None else _folded(keys, OF_GENERATED)
    of_real, model_state = score(model_state, keys, pairs.real)
    of_generated, model_state = score(model_state, again, pairs.generated)
    losses = game.objective.discriminator(of_real, of_generated)
    metrics = {
        "loss": losses,
        "score_of_real": of_real,
        "score_of_generated": of_generated,
        "accuracy": (1 + jnp.sign(of_real - of_generated)) / 2,
    }
    if game.mismatch is not None and keys is not None:
        mismatched = game.mismatch(real, keys)
        of_mismatched, model_state = score(model_state, keys, pairs.real, mismatched)
        losses = (losses + game.objective.discriminator(of_real, of_mismatched)) / 2
        metrics["score_of_mismatched"] = of_mismatched
    if game.objective.penalty is not None and keys is not None:
        penalty = game.objective.penalty(
            lambda samples: score(model_state, keys, samples)[0], *pairs, keys
        )
        losses, metrics = losses + penalty, {**metrics, "penalty": penalty}
    return losses, LossAux(model_state, metrics)


def _generator_loss(
    game: Game,
    discriminator: Variables,
    params: Params,
    model_state: ModelState,
    batch: Batch,
    keys: Keys,
) -> tuple[Scores, LossAux]:
    assert keys is not None  # it only trains
    drawn = game.draw(batch, keys)
    samples, model_state = game.generator.apply(params, model_state, drawn, keys)
    shown = game.show(samples, batch)
    scores, _ = game.discriminator.apply(*discriminator, shown, keys)
    losses = game.objective.generator(scores.reshape(-1))
    metrics = {
        "loss": losses,
        "generated_spread": _square_deviations(samples, batch.weights),
        "real_spread": _square_deviations(batch.inputs, batch.weights),
    }
    if game.content is not None:
        content = game.content(samples, batch)
        losses, metrics = losses + content, {**metrics, "content": content}
    return losses, LossAux(model_state, metrics)


def _adversarial_loss(
    game: Game, params: Players, model_state: Players, batch: Batch, keys: Keys
) -> tuple[Scores, LossAux]:
    batch = batch._replace(inputs=scale_pixels(batch.inputs))
    draws = jax.random.split(jax.random.key(0), len(batch.weights))
    generated, _ = game.generator.apply(
        params.generator, model_state.generator, game.draw(batch, draws), draws
    )
    pairs = batch._replace(inputs=Pairs(batch.inputs, generated))
    of_discriminator = params.discriminator, model_state.discriminator
    losses, aux = _discriminator_loss(game, *of_discriminator, pairs, None)
    return losses, LossAux(model_state, aux.metrics)


def _square_deviations(samples: Samples, weights: Float[Array, " batch"]) -> Scores:
    """Of each sample from the mean of all, over all devices."""
    total = sum_over_devices(jnp.sum(weights))
    flat = samples.reshape(samples.shape[0], -1)
    mean = sum_over_devices(jnp.einsum("b,bf->f", weights, flat)) / total
    return jnp.sum(jnp.square(flat - mean[None]), axis=1)
