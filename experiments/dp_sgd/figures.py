"""Figures: accuracy against epsilon, and what is spent and reached by epoch."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from experiments.dp_sgd.claims import OPACUS
from experiments.dp_sgd.training import Trained
from jaxdl import plots


@plots.styled
def draw_accuracy(table: Sequence[dict[str, Any]], *, dataset: str, delta: float) -> Figure:
    """Accuracy against epsilon with intervals, beside Opacus' table for MNIST."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    epsilons = np.array([row["epsilon"] for row in table])
    accuracies = np.stack([row["test_accuracy_of_seeds"] for row in table], axis=1)
    seeds = len(accuracies)
    label = f"ours, mean of {seeds} seeds, 95% interval" if seeds > 1 else "ours"
    plots.draw_errorbars(
        axes, epsilons, accuracies, fmt="o-", color=plots.BLUE, capsize=4, label=label
    )
    if dataset == "mnist":
        axes.plot(*zip(*OPACUS.items(), strict=True), "s--", color=plots.ORANGE, label="Opacus")
    axes.set_xscale("log")
    axes.set_xticks(epsilons, [f"{epsilon:g}" for epsilon in epsilons])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=1))
    axes.set(xlabel=f"epsilon, at delta {delta:g}", ylabel="test accuracy")
    axes.set_title(f"accuracy on {dataset} by privacy budget")
    axes.grid(True)
    axes.legend()
    return figure


@plots.styled
def draw_epochs(trained: Sequence[Trained], stopped: Trained) -> Figure:
    """What is spent and what is reached by the end of each epoch."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    spent, reached = figure.subplots(1, 2)
    epochs = np.arange(1 + len(stopped.steps))
    seeds = len(trained[0].history["test_accuracy"])
    lowest = min(runs.history["test_accuracy"].min() for runs in trained)
    for runs, colour in zip(trained, itertools.cycle(plots.COLOURS)):
        spent.axhline(runs.budget.epsilon, color=colour, linestyle=":", linewidth=1)
        label = f"epsilon {runs.budget.epsilon:g}"
        spent.plot(epochs, [0, *runs.rdp], color=colour, label=label)
        spent.plot(epochs, [0, *runs.pld], "--", color=colour)
        accuracy = runs.history["test_accuracy"]
        plots.draw_band(reached, epochs[1:], accuracy, color=colour, label=label)
    share = stopped.budget.noise_multiplier / trained[0].budget.noise_multiplier
    label = f"epsilon {stopped.budget.epsilon:g}, {share:.0%} of the noise: stops"
    spent.plot(epochs, [0, *stopped.rdp], color="black", lw=1.2, label=label)
    spent.set(xlabel="epoch", ylabel="epsilon", ylim=(0, None), xlim=(0, epochs[-1]))
    spent.set_title("spent: RDP solid, PLD dashed, budget dotted")
    figure.legend(*spent.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    reached.set(xlabel="epoch", ylabel="test accuracy", ylim=(max(0.0, lowest - 0.02), 1))
    reached.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    reached.set_title(f"of the averaged parameters, {seeds} seeds, 95% interval")
    reached.grid(True)
    for axes in (spent, reached):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure
