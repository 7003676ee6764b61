"""A DCGAN learns to draw digits, and a judge says how well.

Claims:

    - Its samples are nearer to test images, in the features of a network that reads digits, than a
      tenth of the way to noise, and are no copies.
    - After all of MNIST they are at most 1.5 times as far from test images (Frechet distance) as
      training images are, cover 90% of them, and, labelled by the judge, teach a network to read
      97.1% of them.

    python -m experiments.mnist_gan                                     5,000 digits, no download
    python -m experiments.mnist_gan --quick                             a few epochs of them
    python -m experiments.mnist_gan --recipe mnist --raw-dir DIR --seeds 3
    python -m experiments.mnist_gan --objective hinge                   or another of the five

The players are those of `jaxdl.models.dcgan` (Radford et al. 2016, arXiv:1511.06434), with noise of
64 numbers, Adam at rate 0.001 with beta1 0.5 and R1 (Mescheder et al. 2018, arXiv:1801.04406);
samples are those of a moving average of the generator. On all of MNIST, where a game is long, the
discriminator's gradient is clipped. The judge (`jaxdl.judge`) is our own MNIST network, trained on
the same training images and kept in --judges; its accuracy is said with each score. Beside the
samples stand real training images and noise, as many of each. A network trained on samples alone,
as many as there are training images, is told for labels what the judge reads, since nobody asked
for a digit.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from experiments.mnist_gan import claims, figures
from jaxdl import cli, data, generators, judge, models, plots
from jaxdl.adversarial import Game, make_game
from jaxdl.claims import Claim, conclude
from jaxdl.generators import GeneratorOptions
from jaxdl.optim import ClipConfig, OptimizerConfig
from jaxdl.runs import Run, open_run
from jaxdl.sessions import Trained

NEARER, NEARER_QUICK = 0.1, 0.7
"""Of noise's distance from the test images, what the samples' may be."""


@dataclass(frozen=True)
class Config(GeneratorOptions):
    """What can be set; the defaults are the recipe's."""

    recipe: Literal["mnist_5k", "mnist"] = "mnist_5k"
    """Which defaults to start from: for the 5,000 digits, or for all of MNIST."""
    features: int = 32
    """Of the larger feature maps; twice as many of the smaller."""
    hidden: int = 512
    """Units of the discriminator's dense layer."""
    spectral_norm: bool = False
    """Of the discriminator's layers (Miyato et al. 2018, arXiv:1802.05957)."""


RECIPES = {
    "mnist_5k": Config(),
    "mnist": Config(
        recipe="mnist",
        dataset="mnist",
        epochs=30,
        generator=OptimizerConfig("adam", 1e-3, arguments={"b1": 0.5}, average=0.999),
        discriminator=OptimizerConfig(
            "adam", 1e-3, arguments={"b1": 0.5}, clip=ClipConfig(global_norm=5.0)
        ),
        samples=10_000,
    ),
}

QUICK = Config(
    quick=True,
    epochs=8,
    features=8,
    hidden=32,
    generator=OptimizerConfig("adam", 1e-3, arguments={"b1": 0.5}, average=0.98),
    samples=200,
    judge_epochs=2,
)


def run(config: Config) -> None:
    """Trains, judges, draws, and says what came out."""
    generators.check(config)
    mesh = cli.use_devices(config.devices) if config.devices > 1 else None
    dataset = data.load(config.dataset, data_dir=config.data_dir, raw_dir=config.raw_dir)
    generators.check_examples(config, dataset)
    with open_run("mnist_gan", config) as directory:
        game = build_game(config)
        noise = generators.noise_of(config.seed, len(dataset.train.targets))
        made = generators.train_and_make(
            directory, config, game, dataset, noise, shown=figures.SHOWN, mesh=mesh
        )
        make = partial(generators.make_samples, game.generator, made.generators[0])
        draw(made.trained, directory, make, made.samples, noise)
        scores, bounds = generators.judged(config, dataset, made.samples, mesh=mesh)
        generators.report(made)
        results = {**generators.summary(made, scores, dataset), "bounds": bounds}
        conclude(directory, results, make_claims(config, scores, bounds))
    if made.trained.failed_step is not None:
        sys.exit(1)


def build_game(config: Config) -> Game:
    """Who plays, and for what."""
    players = models.dcgan(config.features, config.hidden, spectral_norm=config.spectral_norm)
    return make_game(*players, generators.objective_of(config), latent=generators.LATENT)


def make_claims(
    config: Config, scores: list[judge.Scores], bounds: dict[str, judge.Scores]
) -> list[Claim]:
    """What is claimed of the samples: more after all of MNIST."""
    nearer = NEARER_QUICK if config.quick else NEARER
    found = [claims.nearer_than_noise(scores, bounds, nearer), claims.no_copies(scores)]
    if config.recipe == config.dataset == "mnist":
        found += claims.like_real(scores, bounds)
    return found


def draw(
    trained: Trained,
    directory: Run,
    make: Callable[[np.ndarray], np.ndarray],
    of_seeds: list[np.ndarray],
    noise: np.ndarray,
) -> None:
    """Draws samples in all ways.

    Args:
        trained: with which history.
        directory: of the run.
        make: samples of the first seed, of noise.
        of_seeds: samples of each seed.
        noise: that they are of.
    """

    def tiles(noise: np.ndarray) -> np.ndarray:
        return make(noise.reshape(-1, noise.shape[-1])).reshape(*noise.shape[:2], 28, 28, 1)

    first, last = noise[: 2 * figures.ROWS].reshape(2, figures.ROWS, -1)
    steps = (2 * figures.SHARES - 1).astype(np.float32)[None, :, None]
    bolder = noise[: figures.ROWS, None] + steps * figures.bold_direction(noise, of_seeds[0])
    first_of_each = np.stack([samples[: figures.SHOWN] for samples in of_seeds])
    epochs = trained.epochs["loss"].shape[-1]
    drawn = {
        "samples": plots.image_tiles(
            first_of_each.reshape(-1, figures.COLUMNS, 28, 28, 1), "samples, seed after seed"
        ),
        "through_training": figures.draw_through_training(
            generators.read_samples(directory, epochs)
        ),
        "between": plots.image_tiles(
            tiles(generators.between(first, last, figures.SHARES)), "from one noise to another"
        ),
        "bolder": plots.image_tiles(tiles(bolder), "noise plus (bold minus faint)"),
        "losses": figures.draw_losses(trained.epochs),
    }
    plots.save_all(drawn, directory.figures)
