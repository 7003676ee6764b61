"""The loss against the length of a problem, by cell, and the learning curves behind it."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from experiments.long_memory.problems import ADDING, COPYING, PARITY, Problem
from experiments.long_memory.training import LOOK, SOLVED, Found, Runs
from jaxdl import plots

STYLES: dict[str, dict[str, Any]] = {
    "rnn": {"color": plots.RED, "marker": "o"},
    "lstm": {"color": plots.BLUE, "marker": "s"},
    "gru": {"color": plots.GREEN, "marker": "^"},
    "gru_before": {"color": plots.ORANGE, "marker": "D"},
}
NAMES = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU", "gru_before": "GRU, reset before"}
TITLES = {
    ADDING: "adding two marked numbers",
    COPYING: "copying symbols",
    PARITY: "parity of signs",
}
LEAST, MOST = 0.06, 1.5
"""Losses, in those of a guess, between which curves are drawn."""


def by_name(found: Found) -> dict[str, list[Problem]]:
    """The problems of each name, as they grow."""
    names = dict.fromkeys(problem.name for problem in found)
    return {name: sorted(problem for problem in found if problem.name == name) for name in names}


@plots.styled
def draw_lengths(found: Found) -> Figure:
    """The loss at the end, means and intervals of the seeds, beside that of a guess."""
    problems = by_name(found)
    figure = Figure(figsize=(4.6 * len(problems), 4.2), layout="constrained")
    for axes, (name, of_name) in zip(
        figure.subplots(1, len(problems), squeeze=False)[0], problems.items(), strict=True
    ):
        draw_problem(axes, found, of_name)
        axes.set_title(TITLES[name])
    return figure


def draw_problem(axes: Axes, found: Found, problems: list[Problem]) -> None:
    """One problem at its lengths."""
    lengths = np.array([problem.length for problem in problems])
    guesses = np.array([problem.baseline() for problem in problems])
    cells = list(found[problems[0]])
    for place, cell in enumerate(cells):
        values = guesses * np.stack([found[problem][cell].last() for problem in problems], axis=1)
        beside = lengths * 1.04 ** (place - (len(cells) - 1) / 2)
        shown = np.minimum(values, 10 * guesses)  # a run that diverged has no finite loss
        plots.draw_errorbars(axes, beside, shown, label=NAMES[cell], **STYLES[cell])
    axes.plot(lengths, guesses, "--", color="black", lw=1, label="a guess")
    axes.plot(lengths, SOLVED * guesses, ":", color="black", lw=1, label="solved: the run ends")
    axes.set_xscale("log")
    axes.set_xticks(lengths, [str(length) for length in lengths])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(lengths[0] / 1.3, lengths[-1] * 1.3)
    axes.set(xlabel="length T", ylabel=f"test loss, {problems[0].unit()}")
    axes.set_ylim(0, MOST * guesses.max())
    axes.grid(True)
    axes.legend(fontsize=8, loc="upper left", ncols=2)


@plots.styled
def draw_curves(found: Found) -> Figure:
    """The test loss of every run, by updates: a row for each problem, a column for each length."""
    problems = by_name(found)
    columns = max(map(len, problems.values()))
    size = (max(2.6 * columns + 1.2, 5), 2.3 * len(problems) + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(problems), columns, squeeze=False, sharex=True, sharey=True)
    for row, of_name in zip(grid, problems.values(), strict=True):
        for axes in row[len(of_name) :]:
            axes.set_axis_off()
        for axes, problem in zip(row, of_name, strict=False):
            for cell, runs in found[problem].items():
                draw_runs(axes, cell, runs)
            axes.axhline(1, color="black", lw=0.9, ls="--")
            axes.axhline(SOLVED, color="black", lw=0.9, ls=":")
            axes.set_title(f"{problem.name}, T = {problem.length}")
            axes.grid(True)
        row[0].set_ylabel("test loss (a guess: 1)")
    plots.make_logarithmic(grid[0, 0].yaxis)
    grid[0, 0].set_ylim(0.05, MOST)
    for column in grid.T:
        lowest = [axes for axes in column if axes.axison][-1]
        lowest.set_xlabel("update")
        lowest.tick_params(labelbottom=True)
    cells = list(next(iter(found.values())))
    handles = [Line2D([], [], label=NAMES[cell], **STYLES[cell]) for cell in cells]
    handles += [
        Line2D([], [], color="black", lw=0.9, ls="--", label="a guess"),
        Line2D([], [], color="black", lw=0.9, ls=":", label="solved"),
    ]
    figure.legend(handles=handles, loc="outside right center")
    return figure


def draw_runs(axes: Axes, cell: str, runs: Runs) -> None:
    """A line for each run, with a marker where it has solved its problem."""
    color, marker = STYLES[cell]["color"], STYLES[cell]["marker"]
    for losses, is_solved in zip(runs.losses, runs.solved(), strict=True):
        seen = np.clip(losses[~np.isnan(losses)], LEAST, 2 * MOST)
        updates = LOOK * np.arange(1, len(seen) + 1)
        axes.plot(updates, seen, color=color, lw=0.9)
        if is_solved:
            axes.plot(updates[-1], seen[-1], marker, color=color)
