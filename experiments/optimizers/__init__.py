"""Eleven optimizers train two networks, their learning rates tuned alike.

Claims, of each network:

    - The tuning is fair: every optimizer has the same number of learning rates, at the same places
      of a range equally wide, and the best one is not at the end of its range.
    - It is fine enough: every optimizer stays within a point of its best validation accuracy over
      more decades of the rate than lie between two rates tried.
    - Tuned alike, momentum, Nesterov and the variants of Adam end within a point of each other by
      their means over seeds, which are point estimates: no interval enters (Schmidt, Schneider and
      Hennig 2021, "Descending through a Crowded Valley", arXiv:2007.01547: no optimizer dominates).
    - In batches as small as these, gradient descent at ten times the rate goes as momentum 0.9
      does: over all rates up to the best the two reach the same accuracy, within two points in the
      mean (Shallue et al. 2019, "Measuring the Effects of Data Parallelism on Neural Network
      Training", arXiv:1811.03600: momentum helps in large batches only).

    python -m experiments.optimizers                    5,000 digits, about 50 minutes on two cores
    python -m experiments.optimizers --networks mlp     the same without convolutions, 2 minutes
    python -m experiments.optimizers --dataset mnist --raw-dir DIR --networks mlp      21 minutes
    python -m experiments.optimizers --dataset mnist --raw-dir DIR        a night, or a GPU
    python -m experiments.optimizers --quick            gradient descent and momentum, seconds

The networks are `mlp`, a perceptron with 128 hidden units, and `cnn`, that of `mnist_cnn` with its
dropout. Rates are constant. Each optimizer tries `--rates` of them: one drawn log-uniformly from
each of as many equal parts of four decades, whose middle is the rate that it is commonly begun with
(`jaxdl.optim.classic`); its other numbers are the usual ones. A quarter of the training examples
chooses the rate: that of the highest accuracy at the end, a mean of `--tuning-seeds` runs, then of
the lowest loss. With it fresh seeds train on all training examples; they alone are reported. Seeds
are shared: the same seed gives every optimizer the same first parameters, order and dropout. So
differences are tested by the paired t-test over seeds, adjusted for all pairs by Holm (5%); a pair
that this does not tell apart is named so. Intervals are of 95%, Student's t over seeds, and do not
hold the luck of the tuning. A run that diverges counts as 0% right. Epochs are counted to 97% on
MNIST; mnist_5k does not take every optimizer there, and has 92% (`mlp`) and 95% (`cnn`) instead.

How wide the range of rates is, the batch size, the epochs and the number of tuning runs, and the
fourth claim, were settled on pilot runs of the perceptron on mnist_5k, none of the network of
convolutions or on MNIST. There are twenty rates, since at first there were ten, at which momentum
on mnist_5k was within a point of its best over less (0.39 and 0.26 decades) than lay between two
rates (0.40). One claim does not hold on mnist_5k: experiments/README.md has the numbers.
"""

import dataclasses
from typing import Any

from jax.sharding import Mesh

from experiments.optimizers.claims import network_claims
from experiments.optimizers.figures import draw
from experiments.optimizers.networks import NETWORKS
from experiments.optimizers.ranking import rank, report, table_row
from experiments.optimizers.runs import Trainer
from experiments.optimizers.tuning import tune_and_train
from jaxdl import cli, data, plots, train
from jaxdl.claims import Claim, conclude
from jaxdl.errors import InputError
from jaxdl.optim.classic import CLASSIC
from jaxdl.runs import (
    DatasetOptions,
    Run,
    SweepOptions,
    check_least,
    check_names,
    check_seed,
    open_run,
)
from jaxdl.sweep import sweeps_of
from jaxdl.types import Examples


@dataclasses.dataclass(frozen=True)
class Config(SweepOptions, DatasetOptions):
    """What can be set."""

    networks: tuple[str, ...] = tuple(NETWORKS)
    """mlp, cnn, or both."""
    optimizers: tuple[str, ...] = tuple(CLASSIC)
    """Which of the eleven."""
    epochs: int = 6
    """Of each run."""
    batch_size: int = 32
    """Examples in a step."""
    rates: int = 20
    """Learning rates that each optimizer tries."""
    tuning_seeds: int = 2
    """Runs with each of them."""
    validation_fraction: float = 0.25
    """Share of the training examples that choose the rate."""
    seeds: int = 10
    """Fresh runs of each optimizer at its chosen rate."""
    target: float | None = None
    """Test accuracy to count the epochs to, with every network; by default each has its own for the
    data set, 0.87 to 0.97."""
    seed: int = 0
    """Of the rates and all runs."""


QUICK = Config(
    quick=True,
    networks=("mlp",),
    optimizers=("GD", "momentum"),
    epochs=4,
    rates=5,
    seeds=5,
)

LEAST = {"epochs": 1, "batch_size": 1, "rates": 3, "tuning_seeds": 1, "seeds": 2}
"""The least that these settings can be."""

OF_NO_RUN = ("data_dir", "raw_dir", "quick", "devices", "networks", "optimizers", "target")
"""Settings that may differ when a run goes on, since what each of its runs does is the same."""


def run(config: Config) -> None:
    """Tunes, trains the fresh seeds, draws, and checks each claim."""
    check(config)
    mesh = cli.use_devices(config.devices)
    dataset = data.load(config.dataset, data_dir=config.data_dir, raw_dir=config.raw_dir)
    split = data.split_validation(dataset.train, config.validation_fraction)
    train.steps_per_epoch(len(split[0].targets), config.batch_size)
    results, claims = {}, []
    with open_run("optimizers", config) as directory:
        trainer = make_trainer(config, dataset, directory, mesh)
        for network in config.networks:
            results[network], of_network = run_network(config, network, dataset, split, trainer)
            claims += of_network
        conclude(directory, {"dataset_sha256": dataset.sha256, **results}, claims)


def make_trainer(config: Config, dataset: data.Dataset, directory: Run, mesh: Mesh) -> Trainer:
    """What trains all runs of the experiment."""
    sweep_fn = sweeps_of(directory, config, mesh, OF_NO_RUN, dataset_sha256=dataset.sha256)
    return Trainer(directory, sweep_fn, config.epochs, config.batch_size, config.quiet)


def run_network(
    config: Config,
    network: str,
    dataset: data.Dataset,
    split: tuple[Examples, Examples],
    trainer: Trainer,
) -> tuple[dict[str, Any], list[Claim]]:
    """Tunes and trains one network with all optimizers, and draws what came out."""
    tuned = {
        optimizer: tune_and_train(
            trainer,
            network,
            optimizer,
            dataset,
            split,
            rates=config.rates,
            tuning_seeds=config.tuning_seeds,
            seeds=config.seeds,
            seed=config.seed,
            watched=config.diagnostics,
        )
        for optimizer in config.optimizers
    }
    target = target_accuracy(network, config)
    outcomes = rank(tuned, target)
    report(network, dataset, outcomes, target)
    plots.save_all(draw(network, dataset, outcomes, target), trainer.directory.figures)
    rows = {optimizer: table_row(of, dataset) for optimizer, of in outcomes.items()}
    claims = network_claims(network, outcomes, quick=config.quick)
    return {"target": target, "optimizers": rows}, claims


def target_accuracy(network: str, config: Config) -> float:
    """The accuracy that a network's epochs are counted to."""
    return NETWORKS[network].targets[config.dataset] if config.target is None else config.target


def check(config: Config) -> None:
    """Checks what a user gave, before anything is loaded or compiled."""
    check_names("networks", config.networks, NETWORKS)
    check_names("optimizers", config.optimizers, CLASSIC)
    check_least(config, LEAST)
    check_seed(config.seed)
    if config.target is not None and not 0 < config.target <= 1:
        raise InputError(f"--target {config.target}: give a share of 1, such as 0.97")
