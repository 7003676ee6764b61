"""The figures of a network: rates tried, ranking, and test error by epoch."""

import itertools
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter, PercentFormatter

from experiments.optimizers.ranking import POINT, Outcome
from jaxdl import data, plots
from jaxdl.optim.classic import CLASSIC, FAMILIES
from jaxdl.statistics import mean_and_interval

STYLES = plots.family_styles(FAMILIES)


def name_families(figure: Figure, outcomes: Mapping[str, Outcome]) -> None:
    """Says below a figure which family each colour is."""
    handles = [
        Line2D([], [], color=STYLES[members[0]]["color"], label=family, lw=3)
        for family, members in FAMILIES.items()
        if {*members} & {*outcomes}
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))


def draw(
    network: str, dataset: data.Dataset, outcomes: Mapping[str, Outcome], target: float
) -> dict[str, Figure]:
    """The figures of a network by the names of their files."""
    epochs = next(iter(outcomes.values())).tuned.accuracy.shape[1]
    title = f"{network} on {dataset.name}, {epochs} epochs"
    return {
        f"{network}_rates": draw_rates_tried(title, outcomes),
        f"{network}_ranking": draw_ranking(title, outcomes),
        f"{network}_curves": draw_curves(title, outcomes, target),
    }


@plots.styled
def draw_rates_tried(title: str, outcomes: Mapping[str, Outcome]) -> Figure:
    """Validation accuracy against the rate: a panel for each optimizer, in the table's order."""
    shown = [name for name in CLASSIC if name in outcomes]
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    width = max(3 * columns, 9)  # that of the title
    figure = Figure(figsize=(width, 2.5 * rows + 0.9), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    accuracies = np.concatenate([outcomes[name].tuned.validation for name in shown])
    top = accuracies.max()
    bottom = max(accuracies.min(), top - 0.2)
    for axes, name in zip(grid, shown, strict=False):
        tuned = outcomes[name].tuned
        axes.plot(tuned.rates, np.maximum(tuned.validation, bottom), **STYLES[name])
        best = tuned.validation.max()
        axes.axhspan(best - POINT, best, color=plots.GREY, alpha=0.25, lw=0)
        axes.axvline(tuned.rate, color=plots.GREY, linestyle=":")
        axes.set(xscale="log", title=f"{name}, {tuned.rate:.2g} chosen")
        axes.set_ylim(bottom - 0.01, top + 0.01)
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(True)
    for axes in grid[max(0, len(shown) - columns) : len(shown)]:
        axes.set_xlabel("learning rate")
    for axes in grid[len(shown) :]:
        axes.set_axis_off()
    figure.supylabel("validation accuracy at the end", fontsize=10)
    figure.suptitle(
        f"{title}; band: within a point of the best; on the lower edge: {bottom:.0%} or less"
    )
    name_families(figure, outcomes)
    return figure


@plots.styled
def draw_ranking(title: str, outcomes: Mapping[str, Outcome]) -> Figure:
    """Final accuracy with its interval, and beside it which pairs are told apart."""
    count = len(outcomes)
    figure = Figure(figsize=(11.5, 0.4 * count + 2.2), layout="constrained")
    accuracy, pairs = figure.subplots(1, 2, sharey=True, width_ratios=(1, 1.25))
    if count > 1:
        draw_pairs(pairs, outcomes)
    else:
        pairs.set_axis_off()
    seeds = len(next(iter(outcomes.values())).tuned.final)
    for place, (name, outcome) in enumerate(outcomes.items()):
        final, (mean, half_width) = outcome.tuned.final, mean_and_interval(outcome.tuned.final)
        accuracy.plot(final, np.full(seeds, place), "|", color=plots.GREY, alpha=0.6, ms=8)
        accuracy.errorbar(mean, place, xerr=half_width, capsize=4, ms=7, **STYLES[name])
    accuracy.set_yticks(range(count), [f"{of.rank}  {name}" for name, of in outcomes.items()])
    accuracy.set(ylim=(count - 0.5, -0.5), xlabel=f"test accuracy at the end, {seeds} seeds")
    accuracy.set_title("mean and 95% interval; strokes: seeds")
    accuracy.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=1))
    accuracy.xaxis.set_major_locator(MaxNLocator(6, steps=(1, 2, 5, 10)))
    accuracy.grid(True)
    figure.suptitle(title)
    name_families(figure, outcomes)
    return figure


def draw_pairs(axes: Axes, outcomes: Mapping[str, Outcome]) -> None:
    """A cell for each pair: by how many points the row is better, and whether that is sure."""
    names = list(outcomes)
    means = {name: 100 * outcome.tuned.final.mean() for name, outcome in outcomes.items()}
    shade = np.full((len(names), len(names)), np.nan)
    for row, column in itertools.combinations(range(len(names)), 2):
        better, worse = names[row], names[column]
        apart = worse not in outcomes[better].like
        shade[row, column] = apart
        text = f"{means[better] - means[worse]:.1f}"
        colour = "white" if apart else "black"
        axes.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
    axes.imshow(shade, "Blues", vmin=-0.15, vmax=1.3, aspect="auto")
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_xlim(0.5, len(names) - 0.5)  # no row is better than the first
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title("points by which the row is better than the column;\ndark: told apart")


@plots.styled
def draw_curves(title: str, outcomes: Mapping[str, Outcome], target: float) -> Figure:
    """Test error by epoch, a panel for each family, the others pale behind it."""
    families = {
        family: [name for name in members if name in outcomes]
        for family, members in FAMILIES.items()
    }
    families = {family: members for family, members in families.items() if members}
    figure = Figure(figsize=(3.1 * len(families) + 0.8, 3.9), layout="constrained")
    panels = figure.subplots(1, len(families), sharey=True, squeeze=False)[0]
    for axes, (family, members) in zip(panels, families.items(), strict=True):
        for outcome in outcomes.values():
            axes.plot(*error_by_epoch(outcome), color="#CCCCCC", lw=0.8)
        for name in members:
            axes.plot(*error_by_epoch(outcomes[name]), label=name, **STYLES[name])
        axes.axhline(1 - target, color="black", lw=0.9, ls=":")
        axes.set(xlabel="epoch", title=family)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        plots.make_logarithmic(axes.yaxis, (1, 1.5, 2, 3, 4, 5, 6, 8))
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
        axes.grid(True)
        axes.legend()
    panels[0].set_ylabel("test error, mean of the seeds")
    figure.suptitle(f"{title}; dotted: {target:.0%} right; pale: the other optimizers")
    return figure


def error_by_epoch(outcome: Outcome) -> tuple[np.ndarray, np.ndarray]:
    """Epochs from 1 and the mean test error at their ends."""
    error = 1 - outcome.tuned.accuracy.mean(axis=0)
    return np.arange(1, len(error) + 1), error
