"""Stochastic, mini-batch and batch gradient descent: one `fit` with batches of 1, b and N.

Claims:

    (a) On eight exam rows and a model of two weights, batch descent ends at the least-squares
        solution; batches of 1 and 4 hover about it.
    (b) On convex logistic regression batch descent ends at the optimum that Newton's method finds.
        SGD of rate r, its examples drawn independently, hovers at a mean squared distance of
        r tr(H^-1 S) / 2 from it (Mandt, Hoffman and Blei 2017, arXiv:1704.04289, section 3; H is
        the Hessian and S the covariance of the gradients at the optimum), and at a rate c / t comes
        nearer as 1 / t (Chung 1954, Annals of Mathematical Statistics 25). Shuffled epochs, as
        `fit` has them, are better: nearly the square of the rate (Ying, Yuan, Vlaski and Sayed
        2018, arXiv:1803.07964), and 1 / t^2 (Gürbüzbalaban, Ozdaglar and Parrilo 2015,
        arXiv:1510.08560, for quadratic losses).
    (c) On digits the variance of a mini-batch's gradient falls as 1 / B, times (N - B) / (N - 1)
        where no example comes twice. The steps to a given loss are S_min (1 + B_crit / B), and the
        noise scale tr(Sigma) / |G|^2, averaged over training with a batch of middle size, tells
        B_crit within a factor of 3 (McCandlish et al. 2018, arXiv:1812.06162, equations 2.9 and
        2.11), and with the time of a step the batch size that gets there first.

        This average was changed after a first full look at the perceptron, at which the claim
        failed: the plain mean, over windows of 5 steps, with the largest batch was 206 where B_crit
        is 61. Now the batch is the middle one, 128, and each window counts 1 / (1 + B_noise / B),
        its steps' worth in steps without noise (equations 2.7 and D.1): 60.6 ± 12 beside 60.7 ±
        3.7. Either change alone gives 72 ± 20 (the batch) and 180 ± 64 (the weights). On seeds that
        it was not chosen on it is 61 ± 5 beside 59 ± 8.

    python -m experiments.gradient_regimes                  5,000 digits, about 8 minutes
    python -m experiments.gradient_regimes --dataset mnist --raw-dir DIR        16 minutes
    python -m experiments.gradient_regimes --quick          without the network of convolutions

The two networks are a perceptron with 128 hidden units and the network of `mnist_cnn`, without
dropout, which would add noise of its own. All learning rates of (c) are tuned on seeds that are not
measured: from batch size to batch size the rate doubles as long as that saves steps, in the mean of
these seeds. (At first there was one, whose rates for the network of convolutions were at the edge:
other seeds took up to five times as many steps, or did not get there.) Intervals are of 95%,
Student's t over seeds. Each run of (c) is saved as it ends, and ``--resume`` goes on after the
last; (a) and (b), which are short, are run again.
"""

import itertools
import math
import sys
from dataclasses import dataclass
from typing import Any

import jax

from experiments.gradient_regimes import convex, costs, exams, scatter, training
from experiments.gradient_regimes.journal import Journal
from jaxdl import data, plots
from jaxdl.claims import Claim, conclude
from jaxdl.errors import InputError
from jaxdl.instruments import write_instruments
from jaxdl.runs import (
    DatasetOptions,
    Run,
    check_least,
    check_seed,
    open_run,
    resolved_config,
)


@dataclass(frozen=True)
class Config(DatasetOptions):
    """What can be set."""

    seed: int = 0
    """Of all draws."""
    seeds: int = 5
    """Runs of each kind on exams and digits."""
    tuning_seeds: int = 3
    """Runs that each learning rate of (c) is tried with."""
    convex_seeds: int = 20
    """Runs of each kind of the logistic regression, which are cheap and side by side."""
    convex_steps: int = 40_000
    """Of each of them."""
    mlp_batch_sizes: tuple[int, ...] = (1, 8, 32, 128, 512, 0)
    """Batch sizes of the perceptron, growing; 0 means all examples, none leaves it out."""
    cnn_batch_sizes: tuple[int, ...] = (8, 32, 128, 512)
    """The same of the network of convolutions."""
    target_loss: float = 0.3
    """The training loss to get to."""
    population: int = 2048
    """Examples of which batches are drawn to measure the variance of their gradients."""
    variance_sizes: tuple[int, ...] = (1, 4, 16, 64, 256, 1024)
    """Sizes of those batches; one of 15/16 of the population is added."""
    drawn_examples: int = 4096
    """In the batches of each size together, with a seed and a way to draw."""


QUICK = Config(
    quick=True,
    seeds=3,
    tuning_seeds=1,
    convex_seeds=16,
    convex_steps=8000,
    mlp_batch_sizes=(8, 512),
    cnn_batch_sizes=(),
    target_loss=0.6,
    population=256,
    variance_sizes=(1, 16),
    drawn_examples=16_384,
)


GUESS = math.log(10)
"""The loss of a network that knows nothing of ten classes."""

LEAST = {
    "seeds": 2,
    "tuning_seeds": 1,
    "convex_seeds": 2,
    "convex_steps": 4000,
    "population": 32,
    "drawn_examples": 1,
}
"""The least that these settings can be."""

OF_NO_RUN = (
    "data_dir",
    "raw_dir",
    "quick",
    "convex_seeds",
    "convex_steps",
    "mlp_batch_sizes",
    "cnn_batch_sizes",
    "population",
    "variance_sizes",
    "drawn_examples",
)
"""Settings that no run of (c) depends on, or that its task has: they may differ on ``--resume``."""


def run(config: Config) -> None:
    """Runs the three parts and concludes."""
    check(config)
    dataset = data.load(config.dataset, data_dir=config.data_dir, raw_dir=config.raw_dir)
    digits, count = dataset.train, len(dataset.train.targets)
    check_sizes(config, count)
    with open_run("gradient_regimes", config) as directory:
        if not config.quiet:
            print("exam rows and logistic regression ...", file=sys.stderr, flush=True)
        with jax.enable_x64(True):  # the optimum to 1e-6, and distances far below it
            paths = exams.measure(seeds=config.seeds, seed=config.seed)
            seen = convex.measure(
                convex.logistic_problem(digits),
                seeds=config.convex_seeds,
                steps=config.convex_steps,
                seed=config.seed,
            )
        figures = {"exam_paths": exams.draw(paths), "convex": convex.draw(seen)}
        plots.save_all(figures, directory.figures)
        results = {**exams.summarize(paths), **convex.summarize(seen)}
        claims = [*exams.claims(paths), *convex.claims(seen)]
        for task in make_tasks(config, count):
            results[task.name], of_task = run_task(config, task, dataset, directory)
            claims += of_task
        conclude(directory, results, claims)


def make_tasks(config: Config, count: int) -> list[training.Task]:
    """The networks of the experiment, for ``count`` training examples."""
    return training.make_tasks(count, mlp=config.mlp_batch_sizes, cnn=config.cnn_batch_sizes)


def run_task(
    config: Config, task: training.Task, dataset: data.Dataset, directory: Run
) -> tuple[dict[str, Any], list[Claim]]:
    """Trains one network with all batch sizes, and measures the noise of its gradients."""
    population, target, examples = config.population, config.target_loss, dataset.train
    runs = training.train(
        task,
        examples,
        target=target,
        seeds=config.seeds,
        tuning_seeds=config.tuning_seeds,
        seed=config.seed,
        journal=open_journal(config, task, dataset, directory),
        watched_classes=len(dataset.classes) if config.diagnostics else None,
    )
    if config.diagnostics:
        for size, (first, *_) in runs.items():
            write_instruments(directory, f"{task.name}_batch_{size}", first.metrics, unit="step")
    scattered = scatter.measure(
        task.model,
        [descent.params for descent in runs[task.batch_sizes[-1]]],
        examples,
        population=population,
        sizes=config.variance_sizes,
        drawn_examples=config.drawn_examples,
        seed=config.seed,
    )
    cost = costs.measure(runs, target)
    figures = {
        "curves": training.draw(runs, target, len(examples.targets)),
        "variance": scatter.draw(scattered, population),
        "noise_scale": costs.draw(runs, cost, target),
    }
    plots.save_all({f"{task.name}_{page}": of for page, of in figures.items()}, directory.figures)
    claims = [
        *scatter.claims(
            task.name, scattered, population=population, tolerance=slope_tolerance(config)
        ),
        *costs.claims(task.name, cost),
    ]
    if not config.quick:  # whose runs are too short to be timed
        claims.append(costs.time_claim(task.name, cost))
    return {"scatter": scattered._asdict(), "costs": cost._asdict()}, claims


def open_journal(
    config: Config, task: training.Task, dataset: data.Dataset, directory: Run
) -> Journal:
    """What is saved of the task's runs; with the parameters of the last batch size's."""
    inputs = dataset.train.inputs[:1]
    return Journal(
        directory,
        task.name,
        jax.eval_shape(task.model.init, jax.random.key(0), inputs).params,
        kept=config.seeds,
        config={
            **resolved_config(config, without=OF_NO_RUN),
            "batch_sizes": task.batch_sizes,
            "dataset_sha256": dataset.sha256,
        },
        resume=config.resume,
        quiet=config.quiet,
    )


def slope_tolerance(config: Config) -> float:
    """How near the exponents of the scatter are to be to what is expected.

    The few draws of the quick form leave them uncertain by up to 0.06 (95%).
    """
    return 0.1 if config.quick else 0.03


def check(config: Config) -> None:
    """Checks what a user gave, before anything is loaded or compiled."""
    check_least(config, LEAST)
    check_seed(config.seed)
    if config.population % 16:
        raise InputError(f"--population {config.population}: give a multiple of 16")
    if not 0 < config.target_loss < GUESS:
        raise InputError(
            f"--target-loss {config.target_loss}: give a number above 0 and below {GUESS:.1f}, "
            "the loss of a guess"
        )


def check_sizes(config: Config, count: int) -> None:
    """Checks the numbers of examples, before anything is compiled."""
    if config.population > count:
        raise InputError(f"--population {config.population}: give {count} at most, all there are")
    limits = {
        "mlp_batch_sizes": count,
        "cnn_batch_sizes": count,
        "variance_sizes": config.population * 15 // 16 - 1,
    }
    for name, most in limits.items():
        given = getattr(config, name)
        sizes = (0, *(size or most for size in given), most + 1)
        grow = all(low < high for low, high in itertools.pairwise(sizes))
        is_left_out = name != "variance_sizes" and not given
        if not is_left_out and not (len(given) > 1 and grow):
            shown = " ".join(map(str, given))
            flag = name.replace("_", "-")
            raise InputError(f"--{flag} {shown}: give two or more that grow, to {most}")
