"""The figures: accuracies, the confusion of classes, and the words that tell them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from experiments.text_classification.readings import Reading, Readings, guess
from jaxdl import plots
from jaxdl.statistics import mean_and_interval

SHOWN, COLUMNS = 8, 4
"""Words of each class, and classes in a row."""


@plots.styled
def draw_accuracies(readings: Readings, truths: Int[np.ndarray, " test"]) -> Figure:
    """The test accuracy of each model, the best by validation on top."""
    names = sorted(readings, key=lambda name: -readings[name].validation_accuracy.mean())
    figure = Figure(figsize=(7.5, 0.5 * len(names) + 1.6), layout="constrained")
    axes = figure.subplots()
    for place, name in enumerate(names):
        of_seeds = readings[name].accuracy(truths)
        mean, half_width = mean_and_interval(of_seeds)
        axes.plot(of_seeds, np.full(of_seeds.size, place), "|", color=plots.GREY, ms=10)
        bar = half_width if of_seeds.size > 1 else None
        axes.errorbar(mean, place, xerr=bar, fmt="o", color=plots.BLUE, capsize=4, ms=6)
        label = f"{mean:.1%}"
        axes.annotate(label, (mean, place), (0, 8), textcoords="offset points", ha="center")
    axes.set_yticks(range(len(names)), names)
    axes.set(ylim=(len(names) - 0.5, -0.7), xlabel="test accuracy")
    seeds = len(readings[names[0]].classes)
    axes.set_title(
        f"{truths.size} test documents, a guess gets {guess(truths):.1%}; "
        f"mean and 95% interval, strokes: {seeds} seeds"
    )
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=(1, 2, 5, 10)))
    axes.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
    axes.grid(True, axis="x")
    return figure


@plots.styled
def draw_confusion(
    name: str, reading: Reading, truths: Int[np.ndarray, " test"], classes: Sequence[str]
) -> Figure:
    """Which classes a model takes for which, over all its seeds."""
    seeds = len(reading.classes)
    figure = plots.confusion_matrix(np.tile(truths, seeds), reading.classes.ravel(), classes)
    figure.axes[0].set_title("")
    figure.suptitle(
        f"{name}, {reading.accuracy(truths).mean():.1%} right:\n"
        f"{truths.size} test documents, each read with {seeds} seeds"
    )
    return figure


@plots.styled
def draw_words(
    weights: Float[np.ndarray, "vocabulary classes"],
    words: Sequence[str],
    classes: Sequence[str],
) -> Figure:
    """The words of the largest weights of each class."""
    columns = min(COLUMNS, len(classes))
    rows = -(-len(classes) // columns)
    figure = Figure(figsize=(3 * columns, 2.1 * rows + 0.6), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    for axes, name, column in zip(grid, classes, weights.T, strict=False):
        largest = np.argsort(-column, kind="stable")[:SHOWN]
        axes.barh(range(largest.size), column[largest], color=plots.BLUE)
        shown: list[int] = largest.tolist()
        axes.set_yticks(range(largest.size), [shortened(words[word]) for word in shown])
        axes.set(title=name, ylim=(SHOWN - 0.4, -0.6))
        axes.tick_params(axis="y", length=0, labelsize=9)
    for axes in grid[len(classes) :]:
        axes.set_axis_off()
    for axes in grid[max(0, len(classes) - columns) : len(classes)]:
        axes.tick_params(labelbottom=True)
    figure.suptitle("the words of the largest weights in the softmax regression on TF-IDF")
    figure.supxlabel("weight, mean of the seeds", fontsize=10)
    return figure


def shortened(word: str, most: int = 20) -> str:
    """A word, its end cut off where it is long."""
    return word if len(word) <= most else f"{word[: most - 1]}…"
