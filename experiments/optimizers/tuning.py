"""The learning rate of an optimizer chosen, and fresh runs with it."""

import itertools
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Key

from experiments.optimizers.runs import Trainer
from jaxdl import data
from jaxdl.instruments import write_instruments
from jaxdl.optim.classic import CLASSIC
from jaxdl.spaces import LogUniform, sample
from jaxdl.types import Examples, Number

DECADES = 4.0
"""The width of the range that an optimizer's learning rates are drawn from."""


class Tuned(NamedTuple):
    """What an optimizer did with a network.

    Attributes:
        rates: ``(rates,)``, those tried, growing.
        validation: ``(rates,)``, the accuracy at the end with each; 0 for one that diverged.
        best: the place of the chosen one.
        accuracy: ``(seeds, epochs)`` on the test examples, of fresh seeds with the chosen rate; 0
            in all epochs of a run that diverged.
    """

    rates: Float[np.ndarray, " rates"]
    validation: Float[np.ndarray, " rates"]
    best: int
    accuracy: Float[np.ndarray, "seeds epochs"]

    @property
    def rate(self) -> float:
        """The chosen rate."""
        return float(self.rates[self.best])

    @property
    def final(self) -> Float[np.ndarray, " seeds"]:
        """The test accuracy at the end."""
        return self.accuracy[:, -1]


def tune_and_train(
    trainer: Trainer,
    network: str,
    optimizer: str,
    dataset: data.Dataset,
    split: tuple[Examples, Examples],
    *,
    rates: int,
    tuning_seeds: int,
    seeds: int,
    seed: int,
    watched: bool,
) -> Tuned:
    """Chooses an optimizer's rate on a validation split, then trains the fresh seeds with it.

    Args:
        trainer: trains the runs.
        network: of `NETWORKS`.
        optimizer: of `CLASSIC`.
        dataset: for the fresh seeds.
        split: its training examples parted in those that tuning trains on and those that choose.
        rates: how many are tried.
        tuning_seeds: runs with each of them.
        seeds: fresh runs with the chosen one.
        seed: of the rates and all runs, the same for every optimizer.
        watched: whether to write what gradients and steps of the fresh runs look like.
    """
    rate_key, tuning_key, fresh_key = jax.random.split(jax.random.key(seed), 3)
    tried = draw_rates(rate_key, CLASSIC[optimizer].learning_rate, rates)
    tuning_keys = jax.random.split(tuning_key, tuning_seeds)
    *tuning, _ = trainer.train(network, optimizer, "tuning", *split, tuning_keys, tried)
    accuracy, loss = (of[..., -1].mean(axis=1) for of in tuning)
    best = best_place(accuracy, loss)
    fresh, _, seen = trainer.train(
        network,
        optimizer,
        "training",
        dataset.train,
        dataset.test,
        jax.random.split(fresh_key, seeds),
        tried[best : best + 1],
        len(dataset.classes) if watched else None,
    )
    if watched:
        history = {name: of[0] for name, of in seen.items()}
        write_instruments(trainer.directory, f"{network}_{optimizer}", history)
    return Tuned(tried, accuracy, best, fresh[0])


def best_place(accuracy: Float[np.ndarray, " rates"], loss: Float[np.ndarray, " rates"]) -> int:
    """Which has the highest accuracy and, of those, the lowest loss."""
    return int(np.lexsort((loss, -accuracy))[0])


def draw_rates(key: Key[Array, ""], middle: Number, count: int) -> Float[np.ndarray, " rates"]:
    """Growing rates, one from each of as many equal parts of `DECADES` about ``middle``.

    Each is log-uniform in its part. The same key gives the same places in another range.
    """
    ends = middle * 10 ** (DECADES * np.linspace(-0.5, 0.5, count + 1))
    stretches = [LogUniform(low, high) for low, high in itertools.pairwise(ends.tolist())]
    return np.concatenate(sample(stretches, key, 1))
