"""Training that is differentially private: what a privacy budget costs in accuracy.

Claims:

    Within the budget, at delta 1e-5, a network of 26,010 parameters reads more of MNIST's test
    digits than the table of Opacus' own MNIST example, whose network has the same size:

        epsilon             1.16     2.91     6.86
        Opacus            94.63%   96.78%   97.09%

    What is above is the lower end of the seeds' 95% interval; one seed has none, and claims nothing
    of this.
    No run spends more than its budget: one whose noise is too weak for its epochs stops before the
    step that would. Renyi accounting (RDP) never says less than privacy loss distributions (PLD).
    Whatever an example is (mislabelled, not finite, enormous, one of many copies), it moves the sum
    of clipped gradients by the clip norm at most, and some move it by that much.
    The small recipe does as well on the 5,000 digits as when it was last recorded: a regression
    test on the default seeds.

    python -m experiments.dp_sgd                                   5,000 digits, 80 seconds
    python -m experiments.dp_sgd --quick                           a few epochs of them
    python -m experiments.dp_sgd --recipe full --raw-dir DIR       MNIST, 13 minutes
    python -m experiments.dp_sgd --recipe full --dataset fashion_mnist --raw-dir DIR

Expected test accuracy, 5 seeds:

    mnist_5k            84.1%    90.0%    92.1%
    mnist               96.8%    97.6%    97.9%
    fashion_mnist       84.1%    85.9%    86.9%

The recipe: each example joins a step by itself with probability 1 / (steps of an epoch), gradients
are clipped one by one, noise is added, momentum; tanh (Papernot et al. 2021, arXiv:2007.14191),
large batches and a moving average of the parameters (De et al. 2022, arXiv:2204.13650). The noise
is the least with which the planned steps stay within epsilon by RDP, as in Opacus' table. The
guarantee is for adding or removing an example, and holds for the parameters of every step
(`jaxdl.privacy`). The recipe's numbers were chosen on a tenth of MNIST's training examples, held
out; that this choice has seen the data too is not accounted for, here as elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
from jax.sharding import Mesh

from experiments.dp_sgd import budgets, canaries, claims, figures, norms, results, training
from jaxdl import cli, data, optim, plots
from jaxdl.claims import Claim, conclude
from jaxdl.errors import InputError
from jaxdl.instruments import write_instruments
from jaxdl.optim import OptimizerConfig, ScheduleConfig
from jaxdl.runs import (
    DatasetOptions,
    Run,
    SweepOptions,
    check_least,
    check_seed,
    open_run,
    resolved_config,
)
from jaxdl.sweep import sweeps_of
from jaxdl.types import Examples

CHANGE_NOTHING = ("data_dir", "raw_dir", "quick", "devices")
"""Settings that may differ when a run goes on, since no number depends on them."""

OF_EXPECTED = ("dataset", "seed", "seeds", "diagnostics", *CHANGE_NOTHING)
"""Settings that leave the recipe what it is."""


def momentum(rate: float, average: float) -> OptimizerConfig:
    """Momentum with a learning rate that falls to 0, and a moving average of the parameters."""
    return OptimizerConfig(
        "sgd", rate, {"momentum": 0.9}, schedule=ScheduleConfig("cosine"), average=average
    )


@dataclass(frozen=True)
class Config(SweepOptions, DatasetOptions):
    """What can be set; the defaults are the recipe's."""

    recipe: Literal["small", "full"] = "small"
    """Which defaults to start from: for thousands of examples, or for all of MNIST."""
    epsilons: tuple[float, ...] = (1.16, 2.91, 6.86)
    """Privacy budgets; each is trained for."""
    delta: float = 1e-5
    """Of each budget."""
    epochs: int = 20
    """Of as many steps each as see every example once on average."""
    steps_per_epoch: int = 10
    """One over the probability with which an example joins a step."""
    max_norm: float = 0.1
    """What each example's gradient is clipped to."""
    optimizer: OptimizerConfig = field(default_factory=lambda: momentum(rate=4.5, average=0.9))
    """How the parameters move. The learning rate is that at noise multiplier 1: a run's own is in
    inverse proportion to its noise, which so moves the parameters alike at every budget."""
    validation_fraction: float = 0.0
    """Share of the training examples to hold out and measure on, in place of the test examples."""
    seed: int = 0
    """Of parameters, samples and noise."""
    seeds: int = 5
    """How many, from --seed on."""


RECIPES = {
    "small": Config(),
    "full": Config(
        recipe="full",
        dataset="mnist",
        steps_per_epoch=60,
        optimizer=momentum(rate=5.5, average=0.95),
    ),
}

QUICK = Config(quick=True, epsilons=(2.91, 6.86), epochs=3, seeds=2)


def run(config: Config) -> None:
    """Trains with each budget, measures, draws, and says what came out."""
    check(config)
    mesh = cli.use_devices(config.devices)
    dataset = data.load(config.dataset, data_dir=config.data_dir, raw_dir=config.raw_dir)
    examples, measured = dataset.train, dataset.test
    if config.validation_fraction:
        examples, measured = data.split_validation(dataset.train, config.validation_fraction)
    with open_run("dp_sgd", config) as directory:
        plan = make_plan(config, len(examples.targets))
        runs = train(config, directory, plan, examples, measured, dataset.sha256, mesh)
        *trained, stopped = runs
        params = trained[0].params
        shifts = canaries.measure(examples, params, max_norm=config.max_norm)
        lengths = norms.measure(examples, params, seed=config.seed)
        results.record(directory, trained)
        table = results.tabulate(trained)
        pages = {
            "accuracy": figures.draw_accuracy(table, dataset=config.dataset, delta=config.delta),
            "epochs": figures.draw_epochs(trained, stopped),
            "norms": norms.draw(lengths, config.max_norm),
        }
        plots.save_all(pages, directory.figures)
        if config.diagnostics:
            for of in trained:
                write_instruments(directory, f"epsilon_{of.budget.epsilon:g}", of.history)
        results.report(table, held_out=config.validation_fraction > 0)
        found = {
            "budgets": table,
            "hasty": results.tabulate([stopped])[0],
            "canaries": shifts,
            "sampling": plan.sampling._asdict(),
            "dataset_sha256": dataset.sha256,
        }
        all_claims = [
            *accuracy_claims(config, table),
            claims.budget_claim(terms_of(config), trained, stopped),
            claims.accountants_claim(runs),
            claims.sensitivity_claim(shifts),
        ]
        conclude(directory, found, all_claims)


def terms_of(config: Config) -> budgets.Terms:
    """What the config says of all budgets."""
    return budgets.Terms(config.delta, config.epochs, config.steps_per_epoch)


def make_plan(config: Config, count: int) -> training.Plan:
    """The static shape of a run on ``count`` examples."""
    most = max(config.epsilons)
    return training.make_plan(terms_of(config), count, epsilon=most, watched=config.diagnostics)


def train(
    config: Config,
    directory: Run,
    plan: training.Plan,
    examples: Examples,
    measured: Examples,
    sha256: str,
    mesh: Mesh,
) -> list[training.Trained]:
    """The runs of each budget, and last those of the hasty one."""
    terms = terms_of(config)
    planned = budgets.plan_all(terms, config.epsilons)
    sweep_fn = sweeps_of(directory, config, mesh, CHANGE_NOTHING, dataset_sha256=sha256)
    outcomes = training.train_all(
        sweep_fn,
        plan,
        examples,
        measured,
        planned,
        optimizer=config.optimizer,
        max_norm=config.max_norm,
        seed=config.seed,
        seeds=config.seeds,
    )
    return list(map(partial(training.spend, terms), planned, outcomes))


def accuracy_claims(config: Config, table: Sequence[dict[str, Any]]) -> list[Claim]:
    """What is claimed of the recipe's accuracy: nothing where it is not known what to expect."""
    same, recipe = (
        resolved_config(of, without=OF_EXPECTED) for of in (config, RECIPES[config.recipe])
    )
    if same != recipe:
        return []
    of = {"dataset": config.dataset, "seeds": config.seeds}
    return [*claims.opacus_claims(table, **of), *claims.regression_claims(table, **of)]


def check(config: Config) -> None:
    """Checks what a user gave, before anything is loaded or compiled."""
    check_least(config, {"epochs": 1, "steps_per_epoch": 1, "seeds": 1})
    check_seed(config.seed, config.seeds)
    if not config.epsilons:
        raise InputError("--epsilons: give one budget or more")
    for name, value in (
        *(("epsilons", epsilon) for epsilon in config.epsilons),
        ("max-norm", config.max_norm),
    ):
        if not 0 < value < np.inf:
            raise InputError(f"--{name} {value}: give a finite number above 0")
    if not 0 < config.delta < 1:
        raise InputError(f"--delta {config.delta}: give a probability, 1e-5 say")
    if not 0 <= config.validation_fraction < 1:
        raise InputError(f"--validation-fraction {config.validation_fraction}: give 0 to below 1")
    optim.check(config.optimizer)
