"""A generator trained with one seed, or with several, its samples, and what a judge says of them.

What the experiments that train games on a data set of images share, around `jaxdl.sessions`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Key, PyTree, UInt8

from jaxdl import checkpoint, data, judge, optim, sessions, train
from jaxdl.adversarial import (
    Game,
    adversarial_loss,
    first_failures,
    init_game,
    make_adversarial_update,
)
from jaxdl.errors import InputError
from jaxdl.instruments import write_instruments
from jaxdl.objectives import OBJECTIVES, Objective, gradient_penalty, make_objective, r1_penalty
from jaxdl.optim import OptimizerConfig
from jaxdl.pixels import scale_pixels
from jaxdl.runs import (
    DatasetOptions,
    Run,
    check_least,
    check_names,
    check_seed,
    check_shares,
    resolved_config,
)
from jaxdl.sessions import CHANGE_NOTHING, Trained
from jaxdl.statistics import mean_and_interval
from jaxdl.types import Batch, Examples, Model, ModelState, Players, Variables

MAY_DIFFER = (*CHANGE_NOTHING, "judges", "judge_epochs", "samples")
"""Settings that may differ when a run goes on, since its parameters do not depend on them."""

R1, GRADIENT_PENALTY = 1.0, 10.0
"""Strengths of the penalties, where none is asked for."""

LATENT = 64
"""Numbers in the noise of a sample."""

STANDING_BATCHES, STANDING_BATCH = 40, 64
"""Of samples whose batch statistics are taken; the first of them count for little."""

AT_ONCE = 500
"""Samples that are made at a time."""

Images = UInt8[np.ndarray, "count height width channels"]


@dataclass(frozen=True)
class GeneratorOptions(DatasetOptions):
    """Those of an experiment that trains a generator on a data set of one's choice."""

    objective: str = "non_saturating"
    """minimax, non_saturating, least_squares, wasserstein or hinge."""
    penalty: float | None = None
    """Strength of R1 or, with wasserstein, of its gradient penalty; 0 for none. By default 1 and
    10."""
    label_smoothing: float = 0.0
    """How much less than 1 the probability is with which real images are to be taken for real."""
    features: int = 64
    """Of the larger feature maps; twice as many of the smaller."""
    hidden: int = 256
    """Units of the discriminator's dense layer."""
    epochs: int = 60
    """Passes over the training images."""
    batch_size: int = 64
    """Real images in an update, divided among the steps of the discriminator; the generator makes
    as many as one of these sees."""
    discriminator_steps: int = 1
    """For each step of the generator."""
    generator: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig("adam", 1e-3, arguments={"b1": 0.5}, average=0.995)
    )
    """How the generator moves."""
    discriminator: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig("adam", 1e-3, arguments={"b1": 0.5})
    )
    """How the discriminator moves."""
    samples: int = 1000
    """To be judged, of each seed; a network is trained on as many as there are training images."""
    seed: int = 0
    """Of parameters, order and draws."""
    seeds: int = 1
    """Train so many seeds one after the other, from --seed on; report mean and 95% interval."""
    devices: int = 1
    """Split each batch over so many devices; on a CPU, cores become devices."""
    judges: Path = Path("runs/judges")
    """Folder of trained judges; one that is not there is trained."""
    judge_epochs: int = 12
    """Passes over the training images of the judge, and over the samples of a network that is
    trained on them alone."""


def check(config: GeneratorOptions) -> None:
    """Checks what a user asked of the training, before anything is loaded or compiled.

    Raises:
        InputError: something that cannot be.
    """
    check_names("objective", (config.objective,), tuple(OBJECTIVES))
    counts = (
        "features",
        "hidden",
        "epochs",
        "batch_size",
        "discriminator_steps",
        "seeds",
        "devices",
        "judge_epochs",
    )
    least = {**dict.fromkeys(counts, 1), "penalty": 0, "samples": 20}
    check_least(config, least)
    check_shares(config, ["label_smoothing"])
    check_seed(config.seed, config.seeds)
    if config.batch_size % config.discriminator_steps:
        raise InputError(
            f"--discriminator-steps {config.discriminator_steps}: --batch-size "
            f"{config.batch_size} is no multiple of it"
        )
    if config.batch_size % (config.devices * config.discriminator_steps):
        raise InputError(
            f"--devices {config.devices}: --batch-size {config.batch_size} over "
            f"--discriminator-steps {config.discriminator_steps} is no multiple of it"
        )
    for player in Players._fields:
        try:
            optim.check(getattr(config, player))
        except InputError as error:
            raise InputError(f"--{player}: {error}") from None
    # In a trace, which computes nothing: a CPU can be made into devices only before JAX begins.
    jax.eval_shape(lambda: objective_of(config))


def check_examples(config: GeneratorOptions, dataset: data.Dataset) -> None:
    """Checks that the data set has enough examples for what was asked for.

    Raises:
        InputError: it has not.
    """
    count, batch, steps = (
        len(dataset.train.targets),
        config.batch_size,
        config.discriminator_steps,
    )
    train.steps_per_epoch(count, batch)
    if 0 < count % batch < steps:
        raise InputError(
            f"--batch-size {batch}: an epoch's last batch has {count % batch} of {count} images, "
            f"too few for {steps} steps of the discriminator"
        )
    if config.samples > count:
        raise InputError(
            f"--samples {config.samples}: as many as training images, {count}, or fewer"
        )


def objective_of(config: GeneratorOptions) -> Objective:
    """The objective that was asked for, with its penalty."""
    is_critic = config.objective == "wasserstein"
    strength = config.penalty
    if strength is None:
        strength = GRADIENT_PENALTY if is_critic else R1
    penalty = None
    if strength:
        penalty = gradient_penalty(strength) if is_critic else r1_penalty(strength)
    return make_objective(config.objective, label_smoothing=config.label_smoothing, penalty=penalty)


class Made(NamedTuple):
    """What came of the training.

    Attributes:
        trained: how it went.
        failures: what went wrong in it, see `jaxdl.adversarial.first_failures`.
        generators: of each seed.
        samples: of each seed, of the same noise.
    """

    trained: Trained
    failures: list[dict[str, Any]]
    generators: list[Variables]
    samples: list[Images]


def train_and_make(
    run: Run,
    config: GeneratorOptions,
    game: Game,
    dataset: data.Dataset,
    inputs: PyTree,
    *,
    shown: int,
    mesh: Mesh | None,
) -> Made:
    """Trains as a user asked, keeps the first seed's generator, and makes samples.

    With diagnostics it watches the steps of both players. Gradients of single examples are not
    looked at: batch norm leaves the generator none, and those of a penalized discriminator take a
    pass for each example, 5 to 20 times a step's time.

    Args:
        run: the open run directory.
        config: what was asked for.
        game: to play.
        dataset: to learn.
        inputs: of the generator, a sample for each along the first axis of the leaves.
        shown: how many samples, the first ones, are kept after each epoch (`read_samples`).
        mesh: devices over which to split each batch.

    Raises:
        InputError: see `jaxdl.sessions.train_in_run`.
        Interrupted: see there.
    """
    some = jax.tree.map(lambda leaf: leaf[:shown], inputs)
    trained = _fit(run, config, game, dataset, some, mesh)
    if config.diagnostics:
        for player in Players._fields:
            write_instruments(run, player, _of_player(player, trained.epochs))
    of_all = generators_of(game, trained.state, dataset.train)
    of_seeds = [one_of(of_all, place, config.seeds) for place in range(config.seeds)]
    checkpoint.save(run.directory / "model", 0, of_seeds[0], config={}, notes={})
    samples = [make_samples(game.generator, variables, inputs) for variables in of_seeds]
    steps = train.steps_per_epoch(len(dataset.train.targets), config.batch_size)
    return Made(trained, failures_of(trained, steps), of_seeds, samples)


def failures_of(trained: Trained, steps: int) -> list[dict[str, Any]]:
    """What went wrong, with the first epoch that it was seen in.

    Args:
        trained: how it went.
        steps: of an epoch.
    """
    failed = np.atleast_1d(trained.state.failed_step)
    diverged_in = np.where(failed == train.NEVER, 0, failed // steps + 1)
    epochs = {name: np.atleast_2d(of) for name, of in trained.epochs.items()}
    return first_failures(epochs, diverged_in)


def generators_of(game: Game, state: train.FitState, examples: Examples) -> Variables:
    """What to generate with; with several seeds they have a leading axis.

    The batch statistics are those of the parameters that are given, which may be a moving average:
    those seen in training are of the parameters that moved (standing statistics: Brock et al. 2019,
    arXiv:1809.11096).

    Args:
        game: that was played.
        state: how it ended.
        examples: that it was played on, of which `Game.draw` may need some.
    """
    params, model_state = train.final_params(state)
    variables = Variables(params.generator, model_state.generator)
    places = np.resize(np.arange(len(examples.targets)), STANDING_BATCHES * STANDING_BATCH)
    some = jax.tree.map(lambda leaf: leaf[places], examples)
    settled = partial(_settled, game, some)
    return jax.vmap(settled)(variables) if state.stopped.ndim else settled(variables)


def one_of(variables: Variables, place: int, seeds: int) -> Variables:
    """Those of one seed."""
    return jax.tree.map(lambda leaf: leaf[place], variables) if seeds > 1 else variables


def noise_of(seed: int, count: int) -> Float[np.ndarray, "count latent"]:
    """Noise for samples, the same for all networks."""
    return np.random.default_rng(seed).standard_normal((count, LATENT), np.float32)


def between(
    first: Float[np.ndarray, "rows latent"],
    last: Float[np.ndarray, "rows latent"],
    shares: Float[np.ndarray, " steps"],
) -> Float[np.ndarray, "rows steps latent"]:
    """Noise on the great circles between pairs (White 2016, arXiv:1609.04468, section 2.1).

    On a straight line its length, which all that was seen in training has, would dwindle.

    Args:
        first: of each pair.
        last: of each pair.
        shares: of the way, from 0 to 1.
    """
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(last, axis=1)
    angles = np.arccos(np.clip(np.sum(first * last, axis=1) / lengths, -1, 1))[:, None, None]
    of_last = np.sin(shares[:, None] * angles) * last[:, None]
    of_first = np.sin((1 - shares[:, None]) * angles) * first[:, None]
    return ((of_first + of_last) / np.sin(angles)).astype(np.float32)


def make_samples(generator: Model, variables: Variables, inputs: PyTree) -> Images:
    """Images as a data set holds them; what is outside of [0, 1] is cut off.

    Args:
        generator: of images.
        variables: the generator's.
        inputs: of the generator, each leaf with an axis of samples in front.
    """
    count = len(jax.tree.leaves(inputs)[0])
    places = np.array_split(np.arange(count), -(-count // AT_ONCE))
    parts = [jax.tree.map(lambda of, at=at: of[at], inputs) for at in places]
    return np.concatenate([_made(generator, variables, part) for part in parts])


def as_pixels(
    images: Float[Array, "count height width channels"],
) -> UInt8[Array, "count height width channels"]:
    """Of images in [0, 1], with what is outside of it cut off.

    >>> as_pixels(jnp.array([-0.1, 0.5, 1.2]).reshape(3, 1, 1, 1)).ravel()
    Array([  0, 128, 255], dtype=uint8)
    """
    return jnp.round(255 * jnp.clip(images, 0, 1)).astype(jnp.uint8)


def read_samples(run: Run, epochs: int) -> UInt8[np.ndarray, "epochs count height width channels"]:
    """The samples that `fit` has kept of each epoch."""
    return np.stack([np.load(_samples_path(run, epoch)) for epoch in range(1, epochs + 1)])


def judged(
    config: GeneratorOptions,
    dataset: data.Dataset,
    of_seeds: list[Images],
    labels: np.ndarray | None = None,
    *,
    mesh: Mesh | None,
) -> tuple[list[judge.Scores], dict[str, judge.Scores]]:
    """The scores of each seed's samples, and of real images and noise; prints them side by side.

    Args:
        config: what was asked for; ``config.samples`` are judged, the first ones.
        dataset: that was learned.
        of_seeds: samples of each seed; a network is trained on all of them.
        labels: that were asked for: the scores then have ``read_as_asked``, the share in which the
            judge reads them; by default its reading stands for them where a network is trained on
            the samples.
        mesh: devices for the networks that are trained.
    """
    recipe = judge.Recipe(epochs=config.judge_epochs)
    reader = judge.judge_in(config.judges, dataset, recipe, mesh=mesh)
    reference = judge.make_reference(reader, dataset)
    scores = []
    for samples in of_seeds:
        seen = judge.score(reader, samples[: config.samples], reference, seed=config.seed)
        known = read = judge.read(reader, samples).argmax(axis=1)
        if labels is not None:
            is_right = read[: config.samples] == labels[: config.samples]
            seen["read_as_asked"] = float(is_right.mean())
            known = labels
        examples = Examples(jnp.asarray(samples), jnp.asarray(known, jnp.int32))
        seen["classification_accuracy"] = judge.classification_accuracy_score(
            examples, dataset.test, len(dataset.classes), recipe, mesh=mesh
        )
        scores.append(seen)
    bounds = judge.bounds(reader, reference, config.samples, seed=config.seed)
    # The judge is such a network, trained on the real training images.
    bounds["real train"]["classification_accuracy"] = reader.accuracy
    means = {name: float(np.mean([of[name] for of in scores])) for name in scores[0]}
    print(judge.table(reader, {"samples": means, **bounds}))
    return scores, bounds


def summary(made: Made, scores: list[judge.Scores], dataset: data.Dataset) -> dict[str, Any]:
    """What ``summary.json`` holds besides the bounds and where it comes from."""
    of_names = {name: [of[name] for of in scores] for name in scores[0]}
    intervals = {name: mean_and_interval(of) for name, of in of_names.items()}
    return {
        **{name: mean for name, (mean, _) in intervals.items()},
        **{f"{name}_half_width": half for name, (_, half) in intervals.items()},
        "scores_of_seeds": scores,
        **sessions.summary(made.trained, train.final_params(made.trained.state)[0]),
        "failures": made.failures,
        "dataset_sha256": dataset.sha256,
    }


def report(made: Made) -> None:
    """Prints how long it took, and before it what went wrong, if anything did."""
    trained = made.trained
    sessions.report_failure(trained)
    for seen in made.failures:
        print("seed {seed}, first in epoch {epoch}: {failure}".format(**seen))
    print(
        f"{trained.epochs['loss'].shape[-1]} epochs; {trained.seconds_compiling:.0f} s to compile, "
        f"{trained.seconds_running:.0f} s to run"
    )


def _fit(
    run: Run,
    config: GeneratorOptions,
    game: Game,
    dataset: data.Dataset,
    shown: PyTree,
    mesh: Mesh | None,
) -> Trained:
    steps = config.epochs * train.steps_per_epoch(len(dataset.train.targets), config.batch_size)
    optimizers = Players(
        optim.make_optimizer(config.generator, steps),
        optim.make_optimizer(config.discriminator, steps * config.discriminator_steps),
    )
    if config.diagnostics:
        optimizers = Players(*map(optim.watch_steps, optimizers))

    def init(key: Key[Array, ""]) -> train.TrainState:
        return init_game(key, game, optimizers, dataset.train.inputs[:1])

    def keep_samples(epoch: int, state: train.FitState) -> None:
        of_all = generators_of(game, state, dataset.train)
        samples = make_samples(game.generator, one_of(of_all, 0, config.seeds), shown)
        path = _samples_path(run, epoch)
        path.parent.mkdir(exist_ok=True)
        np.save(path, samples)

    keys = jax.vmap(jax.random.key)(config.seed + jnp.arange(config.seeds))
    return sessions.train_in_run(
        run,
        make_adversarial_update(game, optimizers, discriminator_steps=config.discriminator_steps),
        jax.jit(jax.vmap(init))(keys) if config.seeds > 1 else jax.jit(init)(keys[0]),
        dataset.train,
        epochs=config.epochs,
        batch_size=config.batch_size,
        loss_fn=adversarial_loss(game),
        evaluations={"test": dataset.test},
        config={**resolved_config(config, without=MAY_DIFFER), "dataset_sha256": dataset.sha256},
        resume=config.resume,
        quiet=config.quiet,
        mesh=mesh,
        at_epoch_end=keep_samples,
    )


def _of_player(player: str, metrics: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    prefix = f"{player}_"
    return {
        name.removeprefix(prefix): of for name, of in metrics.items() if name.startswith(prefix)
    }


@jax.jit
def _settled(game: Game, examples: Examples, variables: Variables) -> Variables:
    """With the batch statistics of these parameters."""
    weights = jnp.ones(len(examples.targets))
    batch = Batch(scale_pixels(examples.inputs), examples.targets, weights)
    keys = jax.random.split(jax.random.key(0), len(weights))
    batches = jax.tree.map(
        lambda leaf: leaf.reshape(STANDING_BATCHES, STANDING_BATCH, *leaf.shape[1:]), (batch, keys)
    )

    def see(model_state: ModelState, part: tuple[Batch, Array]) -> tuple[ModelState, None]:
        drawn = game.draw(*part)
        return game.generator.apply(variables.params, model_state, drawn, part[1])[1], None

    model_state, _ = lax.scan(see, variables.model_state, batches)
    return Variables(variables.params, model_state)


@jax.jit
def _made(generator: Model, variables: Variables, inputs: PyTree) -> Array:
    images, _ = generator.apply(*variables, inputs, None)
    return as_pixels(images)


def _samples_path(run: Run, epoch: int) -> Path:
    return run.directory / "samples" / f"epoch_{epoch:03}.npy"
