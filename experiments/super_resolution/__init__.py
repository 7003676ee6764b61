"""Digits made small and enlarged again: by interpolation, by squared error, and by a game.

Claims:

    - From 14x14 a network trained on squared error is 3 dB nearer to the originals than bicubic
      interpolation (2 dB in the quick form).
    - A game with a discriminator makes enlargements that are more like real images (Frechet
      distance of a judge's features) and less near to the originals: perception is paid for in
      distortion (Blau and Michaeli 2018, arXiv:1711.06077).

    python -m experiments.super_resolution                  5,000 digits, no download
    python -m experiments.super_resolution --quick          one factor, a few epochs
    python -m experiments.super_resolution --recipe mnist --raw-dir DIR

The network (`jaxdl.models.super_resolution`: sub-pixel convolution, added to the bicubic
enlargement) is trained on squared error by Adam; from there games go on, in which its loss is the
non-saturating one plus a strength times the squared error (Ledig et al. 2017, arXiv:1609.04802,
without their network of features), and beside them squared error alone, for as many epochs. The
discriminator sees an image beside the bicubic enlargement. Originals are test images, made small by
bicubic interpolation with antialiasing. PSNR and SSIM are scikit-image's, of each image by itself.
The judge is that of `mnist_gan`. Intervals are of 95% over seeds (Student's t).
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from experiments.super_resolution import figures, training
from experiments.super_resolution.scores import (
    Originals,
    Scores,
    make_originals,
    of_seeds,
    score,
    table,
)
from experiments.super_resolution.training import Plan, Trained
from jaxdl import cli, data, generators, judge, plots, train
from jaxdl.adversarial import failures_of_seeds
from jaxdl.claims import Claim, conclude
from jaxdl.digest import tree_sha256
from jaxdl.errors import InputError
from jaxdl.models.super_resolution import enlarge, shrink
from jaxdl.pixels import scale_pixels
from jaxdl.runs import (
    DatasetOptions,
    Run,
    SweepOptions,
    check_least,
    check_names,
    check_no_diagnostics,
    check_seed,
    open_run,
)
from jaxdl.statistics import write_interval
from jaxdl.sweep import sweeps_of
from jaxdl.types import Params, Variables

SIZE = 28
FACTORS = (2, 4, 7)
BICUBIC, SQUARED_ERROR, ORIGINALS = "bicubic", "squared error", "originals"
DECIBELS = 3.0
"""By how much squared error is to be better than bicubic interpolation, from 14x14."""
QUICK_DECIBELS = 2.0
"""The same of the quick form, whose network starts at 0; it reaches 3.5."""
OF_NO_RUN = (
    "quick",
    "devices",
    "data_dir",
    "raw_dir",
    "judges",
    "judge_epochs",
    "samples",
    "factors",
)
"""Settings that may differ when a run goes on, since no parameters depend on them."""

Methods = dict[str, list[Scores]]
"""Scores of each seed, by method."""


@dataclass(frozen=True)
class Config(SweepOptions, DatasetOptions):
    """What can be set; the defaults are the recipe's."""

    recipe: Literal["mnist_5k", "mnist"] = "mnist_5k"
    """Which defaults to start from: for the 5,000 digits, or for all of MNIST."""
    factors: tuple[int, ...] = (2, 4)
    """How many times height and width grow, to 28: 2, 4 or 7."""
    strengths: tuple[float, ...] = (30.0, 3.0)
    """Of the squared error beside the loss of the game; a game for each."""
    penalty: float = 1.0
    """Strength of R1."""
    features: int = 48
    """Of each layer of the network."""
    depth: int = 4
    """Layers before the last."""
    epochs: int = 30
    """Passes over the training images, on squared error."""
    adversarial_epochs: int = 20
    """Passes after them, in each game and on squared error alone."""
    batch_size: int = 64
    """Images in an update."""
    samples: int = 1000
    """Test images to enlarge and judge."""
    seed: int = 0
    """Of parameters, order and draws."""
    seeds: int = 3
    """Runs, from parameters of their own."""
    judges: Path = Path("runs/judges")
    """Folder of trained judges; one that is not there is trained."""
    judge_epochs: int = 12
    """Passes over the training images of the judge."""


RECIPES = {
    "mnist_5k": Config(),
    "mnist": Config(
        recipe="mnist", dataset="mnist", epochs=15, adversarial_epochs=10, samples=10_000
    ),
}

QUICK = Config(
    quick=True,
    factors=(2,),
    strengths=(30.0,),
    features=8,
    depth=2,
    epochs=3,
    adversarial_epochs=1,
    samples=200,
    seeds=1,
    judge_epochs=2,
)


def run(config: Config) -> None:
    """Trains, enlarges, judges, draws, and checks each claim."""
    check(config)
    mesh = cli.use_devices(config.devices)
    dataset = data.load(config.dataset, data_dir=config.data_dir, raw_dir=config.raw_dir)
    train.steps_per_epoch(len(dataset.train.targets), config.batch_size)
    if config.samples > len(dataset.test.targets):
        raise InputError(f"--samples {config.samples}: there are {len(dataset.test.targets)}")
    with open_run("super_resolution", config) as directory:
        reader = judge.judge_in(config.judges, dataset, judge.Recipe(epochs=config.judge_epochs))
        originals = make_originals(
            reader,
            np.asarray(dataset.test.inputs[: config.samples]),
            np.asarray(dataset.test.targets[: config.samples]),
        )
        print(
            f"judged by a network that reads {originals.read:.2%} of the {config.samples:,} "
            "originals rightly"
        )
        of_factors: dict[int, Methods] = {}
        trained: dict[int, Trained] = {}
        for factor in config.factors:
            trained[factor] = train_networks(config, directory, factor, dataset, mesh)
            made = enlarged(config, factor, trained[factor], originals.images)
            of_factors[factor] = {
                method: [score(reader, originals, images) for images in of_each]
                for method, of_each in made.items()
            }
            small = np.asarray(
                generators.as_pixels(shrink(scale_pixels(jnp.asarray(originals.images)), factor))
            )
            rows = {"given": small, **{method: of_each[0] for method, of_each in made.items()}}
            rows[ORIGINALS] = originals.images
            drawn = {f"side_by_side_{factor}": figures.draw_side_by_side(rows, factor)}
            plots.save_all(drawn, directory.figures)
            print(f"\nfrom {SIZE // factor}x{SIZE // factor} to {SIZE}x{SIZE}")
            print(table(of_factors[factor]))
            for place, strength in enumerate(config.strengths):
                last = {name: of[:, place, -1] for name, of in trained[factor].games.items()}
                for failure in failures_of_seeds(last):
                    print(f"{game_name(strength)}: {failure}")
        plots.save_all({"tradeoff": figures.draw_tradeoff(of_factors)}, directory.figures)
        results = summary(of_factors, originals, trained, dataset)
        conclude(directory, results, make_claims(config, of_factors))


def check(config: Config) -> None:
    """Checks what a user asked for, before anything is loaded or compiled."""
    check_names("factors", list(map(str, config.factors)), list(map(str, FACTORS)))
    counts = ("features", "depth", "epochs", "adversarial_epochs", "batch_size", "seeds")
    least = {**dict.fromkeys((*counts, "judge_epochs"), 1), "samples": 20}
    check_least(config, {**least, "strengths": 0, "penalty": 0})
    names = [f"{of:g}" for of in config.strengths]  # by which games are told apart
    if not names or len(set(names)) < len(names):
        raise InputError(f"--strengths {' '.join(names)}: give one or more, each once")
    check_seed(config.seed, config.seeds)
    check_no_diagnostics(config)


def plan_of(config: Config, factor: int) -> Plan:
    """What is static in each run."""
    return Plan(
        factor,
        config.features,
        config.depth,
        config.epochs,
        config.adversarial_epochs,
        config.batch_size,
    )


def train_networks(
    config: Config, directory: Run, factor: int, dataset: data.Dataset, mesh: Mesh
) -> Trained:
    """All networks for a factor, from each seed."""
    sweep_fn = sweeps_of(directory, config, mesh, OF_NO_RUN, dataset_sha256=dataset.sha256)
    return training.measure(
        sweep_fn,
        plan_of(config, factor),
        config.strengths,
        dataset.train,
        penalty=config.penalty,
        seeds=config.seeds,
        seed=config.seed,
    )


def enlarged(
    config: Config, factor: int, trained: Trained, originals: np.ndarray
) -> dict[str, list[np.ndarray]]:
    """The originals, made small and enlarged again: by method, of each seed."""
    generator = training.players_of(plan_of(config, factor)).generator
    small = np.asarray(shrink(scale_pixels(jnp.asarray(originals)), factor))

    def made_by(networks: list[Params]) -> list[np.ndarray]:
        return [generators.make_samples(generator, Variables(of, {}), small) for of in networks]

    seeds = range(config.seeds)
    made = {
        BICUBIC: [np.asarray(generators.as_pixels(enlarge(jnp.asarray(small), factor)))],
        SQUARED_ERROR: made_by([part(trained.squared_error, n) for n in seeds]),
    }
    for place, strength in enumerate(config.strengths):
        networks = [part(part(trained.adversarial, n), place) for n in seeds]
        made[game_name(strength)] = made_by(networks)
    return made


def part(tree: Params, place: int) -> Params:
    """What leaves hold at a place along their first axis."""
    return jax.tree.map(lambda leaf: leaf[place], tree)


def game_name(strength: float) -> str:
    """What a game is called in tables and figures."""
    return f"game, strength {strength:g}"


def summary(
    of_factors: dict[int, Methods],
    originals: Originals,
    trained: dict[int, Trained],
    dataset: data.Dataset,
) -> dict[str, Any]:
    """What ``summary.json`` holds besides the claims."""
    return {
        "originals_read": originals.read,
        "scores": {
            f"factor_{factor}": {
                method: [dataclasses.asdict(of) for of in scores]
                for method, scores in methods.items()
            }
            for factor, methods in of_factors.items()
        },
        "last_loss": {f"factor_{n}": of.loss[:, -1].tolist() for n, of in trained.items()},
        "discriminator_accuracy": {
            f"factor_{n}": of.games["discriminator_accuracy"][..., -1].tolist()
            for n, of in trained.items()
        },
        "params_sha256": {
            f"factor_{n}": tree_sha256([of.squared_error, of.adversarial])
            for n, of in trained.items()
        },
        "dataset_sha256": dataset.sha256,
    }


def make_claims(config: Config, of_factors: dict[int, Methods]) -> list[Claim]:
    """What is claimed; of the quick form, only by how much it is better than interpolation."""
    claims = []
    if 2 in of_factors:
        least = QUICK_DECIBELS if config.quick else DECIBELS
        gains = gains_of(of_factors[2], SQUARED_ERROR, BICUBIC, "psnr")
        claims.append(
            Claim(
                f"from 14x14, squared error is {least:g} dB above bicubic interpolation",
                gains.mean() >= least,
                f"{write_interval(gains, '+.2f')} dB, expected at least {least:g}",
            )
        )
    if config.quick:
        return claims
    strongest = game_name(min(config.strengths))
    for factor, methods in of_factors.items():
        nearer = gains_of(methods, strongest, SQUARED_ERROR, "frechet_distance")
        lost = gains_of(methods, strongest, SQUARED_ERROR, "psnr")
        claims.append(
            Claim(
                f"from {SIZE // factor}x{SIZE // factor}, a game pays for likeness to real images "
                "with distortion",
                bool(np.all(nearer < 0) and np.all(lost < 0)),
                f"Frechet distance {write_interval(nearer, '+.2f')}, PSNR "
                f"{write_interval(lost, '+.2f')} dB against squared error; both below 0 with every "
                "seed",
            )
        )
    return claims


def gains_of(methods: Methods, one: str, other: str, name: str) -> np.ndarray:
    """By how much a method's score is above another's, of each seed."""
    return of_seeds(methods[one], name) - of_seeds(methods[other], name)
