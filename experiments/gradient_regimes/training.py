"""Part (c), the runs: networks trained to a loss with batches of many sizes, at tuned rates."""

from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from matplotlib.figure import Figure

from experiments.gradient_regimes.journal import Journal
from experiments.gradient_regimes.style import batch_colours, logarithmic
from jaxdl import losses, models, plots
from jaxdl.errors import InputError
from jaxdl.optim import OptimizerConfig
from jaxdl.statistics import mean_and_interval
from jaxdl.tradeoff import Descent, train_to_target, tune_rate
from jaxdl.types import Examples, Model

EVALUATED = 1000
"""Training examples whose mean loss is meant by the loss of a network."""


class Task(NamedTuple):
    """A network to train, with which batch sizes, and the rate that the tuning begins at."""

    name: str
    model: Model
    batch_sizes: tuple[int, ...]
    first_rate: float


def make_tasks(count: int, *, mlp: tuple[int, ...], cnn: tuple[int, ...]) -> list[Task]:
    """The networks that are to be trained.

    Args:
        count: of the training examples, meant by a batch size of 0.
        mlp: batch sizes of the perceptron; none leaves it out.
        cnn: the same of the network of convolutions.
    """
    networks = [
        ("mlp", models.mlp([128], classes=10), mlp, 0.01),
        ("cnn", models.lenet(dropout_rates=(0.0, 0.0)), cnn, 0.005),
    ]
    # Small batches allow rates in proportion to their size.
    return [
        Task(name, model, tuple(size or count for size in sizes), rate * sizes[0])
        for name, model, sizes, rate in networks
        if sizes
    ]


def train(
    task: Task,
    examples: Examples,
    *,
    target: float,
    seeds: int,
    tuning_seeds: int,
    seed: int,
    journal: Journal,
    watched_classes: int | None = None,
) -> dict[int, list[Descent]]:
    """Runs of every batch size and seed to the target, at rates tuned on seeds of their own.

    Args:
        task: what to train.
        examples: to train on.
        target: the loss to get to.
        seeds: runs of each batch size at its rate.
        tuning_seeds: runs that a rate is tried with.
        seed: of all of them.
        journal: takes each run as it ends, and has those of an earlier sitting.
        watched_classes: as in `jaxdl.tradeoff.train_to_target`.

    Raises:
        InputError: a batch size does not get to the target, or needs no training to.
        Interrupted: a signal arrived, and the runs are saved.
    """
    loss_fn = losses.classification_loss(task.model)
    looked_at = jax.tree.map(lambda leaf: leaf[:EVALUATED], examples)
    tuning_key, key = jax.random.split(jax.random.key(seed))
    tuning_keys = jax.random.split(tuning_key, tuning_seeds)
    keys = jax.random.split(key, seeds)

    def attempt(what, batch_size, rate, key, most_steps) -> Descent:
        run = partial(
            train_to_target,
            task.model,
            loss_fn,
            OptimizerConfig("sgd", rate),
            key,
            examples,
            batch_size=batch_size,
            target=target,
            most_steps=most_steps,
            looked_at=looked_at,
            watched_classes=watched_classes,
        )
        return journal.take(f"{task.name}, batch {batch_size}, rate {rate:g}, {what}", run)

    def steps_at(batch_size, rate, most_steps) -> float:
        """The mean of the tuning seeds; infinity as soon as it must be above ``most_steps``."""
        left = tuning_seeds * most_steps
        for number, key in enumerate(tuning_keys, start=1):
            what = f"tuning {number} of {tuning_seeds}"
            left -= attempt(what, batch_size, rate, key, left).steps_to(target)
            if left <= 0:
                return np.inf
        return most_steps - left / tuning_seeds

    runs, rate = {}, task.first_rate
    most_steps = 20 * len(examples.targets) / task.batch_sizes[0]
    for batch_size in task.batch_sizes:
        rate, steps = tune_rate(partial(steps_at, batch_size), rate, most_steps)
        if not np.isfinite(steps):
            raise InputError(
                f"--target-loss {target} is not reached by the {task.name} with batches of "
                f"{batch_size}; give a higher one"
            )
        runs[batch_size] = [
            attempt(f"seed {number} of {seeds}", batch_size, rate, key, 10 * steps)
            for number, key in enumerate(keys, start=1)
        ]
        if not all(np.isfinite(of.steps_to(target)) for of in runs[batch_size]):
            raise InputError(
                f"the {task.name} with batches of {batch_size} at rate {rate:g} gets to the loss "
                f"of {target:g} with some seeds only; give more --tuning-seeds"
            )
        most_steps = 1.5 * steps
    return runs


@plots.styled
def draw(runs: dict[int, list[Descent]], target: float, count: int) -> Figure:
    """The loss against iterations, examples, epochs and seconds, a line for each batch size.

    Args:
        runs: of a network, from `train`.
        target: the loss that they were to get to.
        count: of the training examples.
    """
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    for size, colour in batch_colours(list(runs)).items():
        shortest = min(len(of.steps) for of in runs[size])
        steps = runs[size][0].steps[1:shortest]
        looked = np.log([of.losses[1:shortest] for of in runs[size]])
        means, halves = np.array([mean_and_interval(each) for each in looked.T]).T
        seconds = np.median([of.seconds_per_step for of in runs[size]])
        for axes, scale in zip(panels, (1, size, seconds), strict=True):
            low, high = np.exp(means - halves), np.exp(means + halves)
            axes.fill_between(steps * scale, low, high, color=colour, alpha=0.2, lw=0)
            axes.plot(steps * scale, np.exp(means), color=colour, label=f"{size}")
    for axes, name in zip(panels, ("iterations", "examples", "seconds"), strict=True):
        axes.set(xlabel=name, ylim=(0.85 * target, 3))
        logarithmic(axes)
        axes.axhline(target, color=plots.GREY, lw=0.9, ls=":")
        axes.grid(True)
    panels[0].set_ylabel(f"loss of {EVALUATED} training examples")
    panels[2].legend(title="batch size", fontsize=8)
    epochs = panels[1].secondary_xaxis("top", functions=(lambda x: x / count, lambda x: x * count))
    epochs.set_xlabel("epochs")
    return figure
