"""A learning-rate range test, and what its suggestion is worth beside a grid of rates."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from experiments.learning_rate.rates import WINDOW, smoothed
from experiments.learning_rate.training import Table, Tried
from jaxdl import plots
from jaxdl.claims import Claim
from jaxdl.statistics import mean_and_interval, write_geometric

POINTS = 0.02
"""What a suggestion may cost of the accuracy."""


class RangeTest(NamedTuple):
    """Range tests, one for each seed.

    Attributes:
        rates: in the middle of each window of steps.
        losses: of training, means over the windows; infinite where a test has diverged.
    """

    rates: Float[np.ndarray, " windows"]
    losses: Float[np.ndarray, "seeds windows"]

    def suggestions(self) -> Float[np.ndarray, " seeds"]:
        """The rate at which each test's loss is least: from there on it is too fast.

        (Smith 2017, arXiv:1506.01186, section 3.3: where the accuracy begins to fall, as the
        largest rate of a schedule.)
        """
        return self.rates[self.losses.argmin(axis=1)]


def read(tried: Tried, table: Table) -> RangeTest:
    """The range tests of all seeds; ``table`` has their rates."""
    losses = smoothed(np.asarray(tried.runs.losses)[0])
    middles = np.exp(smoothed(np.log(table[0])))
    return RangeTest(middles, np.where(np.isfinite(losses), losses, np.inf))


def costs(tried: Tried, rates: Float[np.ndarray, " seeds"]) -> Float[np.ndarray, " seeds"]:
    """How much validation accuracy is lost with some rates, beside the best of those tried.

    The mean accuracy over seeds runs straight, over the logarithm of the rate, from one that was
    tried to the next.
    """
    accuracy = np.asarray(tried.runs.validation_accuracy).mean(axis=1)
    return accuracy.max() - np.interp(np.log(rates), np.log(tried.peaks), accuracy)


def claims(test: RangeTest, constants: Tried, cycles: Tried | None) -> list[Claim]:
    """As the peak of one-cycle, where that was tried, what a suggestion costs."""
    return [] if cycles is None else [peak_claim(test, constants, cycles)]


def peak_claim(test: RangeTest, constants: Tried, cycles: Tried) -> Claim:
    """Beside the best peak of the grid, and as a constant rate."""
    suggestions = test.suggestions()
    cost, spread = mean_and_interval(costs(cycles, suggestions))
    best = cycles.peaks[np.asarray(cycles.runs.validation_accuracy).mean(axis=1).argmax()]
    tenth = costs(constants, suggestions / 10).mean()
    return Claim(
        "one-cycle up to the rate where a range test's loss is least is as good as a grid's best",
        cost + spread <= POINTS,
        f"suggested {write_geometric(suggestions)}, "
        f"best of the grid {best:.2g}; it costs {100 * cost:.1f} ± {100 * spread:.1f} points of "
        f"accuracy, expected at most {100 * POINTS:g}; as a constant rate it costs "
        f"{100 * costs(constants, suggestions).mean():.1f}, and a tenth of it {100 * tenth:.1f}",
    )


def summarize(test: RangeTest) -> dict[str, Any]:
    """For ``summary.json``."""
    return {"suggestions": test.suggestions()}


@plots.styled
def draw(test: RangeTest, constants: Tried, cycles: Tried | None) -> Figure:
    """The tests' losses, and below the accuracy with each rate of the grids."""
    figure = Figure(figsize=(6.5, 6.5), layout="constrained")
    losses, accuracy = figure.subplots(2, 1, sharex=True)
    shown = np.where(np.isfinite(test.losses), test.losses, np.nan)
    for place, of_seed in enumerate(shown):
        label = f"{len(shown)} range tests" if place == 0 else None
        losses.plot(test.rates, of_seed, color=plots.GREY, lw=0.8, label=label)
    suggestions = test.suggestions()
    losses.plot(suggestions, test.losses.min(axis=1), "o", color=plots.RED, label="least loss")
    losses.set(ylabel=f"training loss (nats), mean of {WINDOW} steps", ylim=(0, 4))
    losses.set_title("the rate grows by the same factor at each step")
    losses.legend(loc="lower left")
    grids = [("constant", constants, plots.BLUE, "o-"), ("one-cycle", cycles, plots.GREEN, "s--")]
    for name, tried, colour, form in grids:
        if tried is not None:
            values = np.asarray(tried.runs.validation_accuracy).T
            plots.draw_errorbars(accuracy, tried.peaks, values, color=colour, fmt=form, label=name)
    low, high = suggestions.min(), suggestions.max()
    accuracy.axvspan(low, high, color=plots.RED, alpha=0.2, lw=0, label="suggested")
    accuracy.set(xscale="log", xlabel="learning rate, or its peak", ylabel="validation accuracy")
    accuracy.yaxis.set_major_formatter(PercentFormatter(1))
    accuracy.set_title("runs with each rate of a grid, 95% intervals over seeds")
    accuracy.legend(loc="lower left")
    for axes in (losses, accuracy):
        axes.grid(True)
    return figure
