"""The optimizers in order of their accuracy on a network, and the table of them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from experiments.optimizers.tuning import Tuned
from jaxdl import data
from jaxdl.statistics import compare_pairs, mean_and_interval

POINT = 0.01
"""What is still as good as the best: a point of accuracy."""
LEVEL = 0.05
"""Of the tests."""


class Outcome(NamedTuple):
    """An optimizer among the others on a network.

    Attributes:
        tuned: what it did.
        rank: from 1, by the mean test accuracy at the end.
        p_values: adjusted, that it ends as each of the others does.
        epochs: ``(seeds,)``, to the target; NaN where a run does not reach it.
        width: in decades, how much of its range is within a `POINT` of its best.
    """

    tuned: Tuned
    rank: int
    p_values: dict[str, float]
    epochs: Float[np.ndarray, " seeds"]
    width: float

    @property
    def like(self) -> list[str]:
        """The others that it cannot be told apart from."""
        return [name for name, p_value in self.p_values.items() if p_value >= LEVEL]

    @property
    def reached(self) -> Float[np.ndarray, " some"]:
        """Epochs to the target, of the seeds that get there alone."""
        return self.epochs[~np.isnan(self.epochs)]


def rank(tuned: Mapping[str, Tuned], target: float) -> dict[str, Outcome]:
    """The optimizers in order, the most accurate first; epochs are counted to ``target``."""
    order = sorted(tuned, key=lambda name: -tuned[name].final.mean())
    pairs = compare_pairs({name: tuned[name].final for name in order})
    outcomes = {}
    for place, name in enumerate(order, start=1):
        result = tuned[name]
        outcomes[name] = Outcome(
            result,
            place,
            {other: p for pair, p in pairs.items() if name in pair for other in {*pair} - {name}},
            epochs_to(target, result.accuracy),
            width_within(POINT, result.rates, result.validation),
        )
    return outcomes


def epochs_to(
    target: float, accuracy: Float[np.ndarray, "seeds epochs"]
) -> Float[np.ndarray, " seeds"]:
    """The first epoch, from 1, at whose end each run has ``target``; NaN if none."""
    there = accuracy >= target
    return np.where(there.any(axis=1), there.argmax(axis=1) + 1.0, np.nan)


def width_within(
    margin: float, rates: Float[np.ndarray, " rates"], accuracy: Float[np.ndarray, " rates"]
) -> float:
    """Over how many decades of the rates the accuracy is within ``margin`` of the best.

    The accuracy runs straight, over the logarithm of the rate, from one rate to the next.
    """
    fine = np.linspace(np.log10(rates[0]), np.log10(rates[-1]), 10_001)
    between = np.interp(fine, np.log10(rates), accuracy)
    return float(np.mean(between >= accuracy.max() - margin) * (fine[-1] - fine[0]))


def table_row(outcome: Outcome, dataset: data.Dataset) -> dict[str, Any]:
    """An optimizer's row for ``summary.json``; means to the target are of the seeds that got there.

    NaN where none did.
    """
    tuned, count = outcome.tuned, len(dataset.train.targets)
    accuracy, accuracy_interval = mean_and_interval(tuned.final)
    there = outcome.reached
    epochs, epochs_interval = mean_and_interval(there) if there.size else (np.nan, np.nan)
    return {
        "rank": outcome.rank,
        "learning_rate": tuned.rate,
        "test_accuracy": accuracy,
        "test_accuracy_interval": accuracy_interval,
        "test_accuracy_of_seeds": tuned.final,
        "test_accuracy_of_epochs": tuned.accuracy.mean(axis=0),
        "not_told_apart_from": outcome.like,
        "p_values": outcome.p_values,
        "reached_target": there.size,
        "epochs_to_target": epochs,
        "epochs_to_target_interval": epochs_interval,
        "examples_to_target": epochs * count,
        "diverged": int((tuned.final == 0).sum()),
        "rates": tuned.rates,
        "validation_accuracy_of_rates": tuned.validation,
        "decades_within_a_point": outcome.width,
    }


def report(
    network: str, dataset: data.Dataset, outcomes: Mapping[str, Outcome], target: float
) -> None:
    """Prints the table of a network."""
    seeds, epochs = next(iter(outcomes.values())).tuned.accuracy.shape
    print(f"{network} on {dataset.name}: {epochs} epochs, {seeds} seeds")
    for name, outcome in outcomes.items():
        mean, half_width = mean_and_interval(outcome.tuned.final)
        there = outcome.reached
        time = f"after {there.mean():.1f} epochs" if there.size else "never"
        seen = "all seeds" if there.size == seeds else f"{there.size} of {seeds} seeds"
        print(
            f"{outcome.rank:4}  {name:9} {mean:.2%} ± {half_width:.2%}  "
            f"rate {outcome.tuned.rate:<8.2g} {target:.0%} {time} ({seen})  "
            f"within a point over {outcome.width:.1f} decades  "
            f"not told apart from: {', '.join(outcome.like) or 'none'}"
        )
