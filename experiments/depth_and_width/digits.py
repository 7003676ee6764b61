"""Perceptrons of equal parameters that read digits."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from experiments.depth_and_width import training
from experiments.depth_and_width.networks import Perceptron
from experiments.depth_and_width.training import Ends, Member, Splits, Tune, Tuned
from jaxdl import data, losses, plots
from jaxdl.claims import Claim
from jaxdl.statistics import is_above_zero, mean_and_interval, write_interval
from jaxdl.types import Static

PIXELS, CLASSES = 14 * 14, 10
BATCH = 50
RATES = (1e-3, 3e-3, 1e-2, 3e-2)
POINT = 0.01
"""Of the test digits: the first hidden layer is to buy more, further ones less."""

Read = dict[Perceptron, Tuned]
"""By network, from the shallowest on; tests are accuracies."""


def measure(tune: Tune, networks: Sequence[Perceptron], dataset: data.Dataset, epochs: int) -> Read:
    """Each network's rate chosen by the loss of a quarter of the digits to train on."""
    small = data.standardize_pixels(data.halve_pixels(dataset))
    splits = Splits(*data.split_validation(small.train, 0.25), small.test)

    def of(network: Perceptron) -> Tuned:
        run = Partial(learn, Static((network, epochs)), splits)
        return tune(f"digits_{network.depth}", run, [0], RATES)[0]

    return {network: of(network) for network in networks}


def learn(
    plan: Static[tuple[Perceptron, int]], splits: Splits, key: Key[Array, ""], member: Member
) -> Ends:
    """One run."""
    network, epochs = plan.value
    model = network.model()
    validation, test = training.fit(
        model,
        losses.classification_loss(model),
        splits,
        jax.random.fold_in(key, member.draw),
        member.rate,
        epochs=epochs,
        batch_size=BATCH,
    )
    return Ends(validation["loss"], test["accuracy"])


# --- what is claimed -----------------------------------------------------------------------------


def by_depth(read: Read) -> dict[int, Float[np.ndarray, " runs"]]:
    """Accuracies."""
    return {network.depth: tuned.test for network, tuned in read.items()}


def claims(read: Read) -> list[Claim]:
    """Of the first hidden layer, where there is a network without, and of further ones."""
    further = further_claim(read)
    return [first_claim(read), further] if 0 in by_depth(read) else [further]


def first_claim(read: Read) -> Claim:
    """What a hidden layer buys."""
    accuracies = by_depth(read)
    gain = accuracies[1] - accuracies[0]
    parameters = {network.depth: network.parameters() for network in read}
    return Claim(
        "on digits the first hidden layer buys more than a point",
        is_above_zero(gain - POINT),
        f"{write_interval(accuracies[1], '.2%')} of the test digits right with one "
        f"({parameters[1]:,} parameters), {write_interval(accuracies[0], '.2%')} with none "
        f"({parameters[0]:,}): more by {write_interval(gain, '.2%')}, expected more than "
        f"{POINT:.0%}",
    )


def further_claim(read: Read) -> Claim:
    """That more of them gain less than a point, with confidence; they may lose."""
    accuracies = by_depth(read)
    gains = {depth: of - accuracies[1] for depth, of in accuracies.items() if depth > 1}
    intervals = [mean_and_interval(of) for of in gains.values()]
    return Claim(
        "on digits further hidden layers buy no point at equal parameters",
        all(mean + half < POINT for mean, half in intervals),
        f"{write_interval(accuracies[1], '.2%')} of the test digits right with one; with "
        + ", ".join(f"{depth} {write_interval(of, '+.2%')}" for depth, of in gains.items())
        + f", expected less than {POINT:+.0%}; parameters "
        + " ".join(f"{network.parameters():,}" for network in read if network.depth),
    )


def summarize(read: Read) -> dict[str, Any]:
    """For ``summary.json``."""
    return {
        f"{network.depth} hidden layers": {
            "width": network.width,
            "parameters": network.parameters(),
            "rate": tuned.rate,
            "validation_loss": tuned.validation.mean(axis=1),
            "test_accuracy": mean_and_interval(tuned.test),
        }
        for network, tuned in read.items()
    }


# --- the picture ---------------------------------------------------------------------------------


@plots.styled
def draw(read: Read) -> Figure:
    """Accuracy on test digits by the number of hidden layers, at equal parameters."""
    figure = Figure(figsize=(5.8, 4), layout="constrained")
    axes = figure.subplots()
    depths = [network.depth for network in read]
    accuracies = np.stack([tuned.test for tuned in read.values()], axis=1)
    for place, depth in enumerate(depths):
        shift = 0.12 * np.linspace(-1, 1, len(accuracies))
        axes.plot(depth + shift, accuracies[:, place], "o", color=plots.GREY, ms=3, alpha=0.6)
    plots.draw_errorbars(
        axes, np.array(depths), accuracies, color=plots.BLUE, marker="o", ls="", ms=7
    )
    names = [
        f"{network.depth}\n{f'{network.width} wide' if network.depth else 'linear'}"
        f"\n{network.parameters():,}"
        for network in read
    ]
    axes.set_xticks(depths, names)
    axes.set(xlabel="hidden layers, their width, parameters", ylabel="accuracy on test digits")
    axes.set_title("digits of 14 x 14 pixels: runs (grey), mean and 95% interval")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    axes.grid(True, axis="y")
    return figure
