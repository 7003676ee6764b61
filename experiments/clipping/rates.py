"""The recurrent network by learning rate, with clipping and without."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, PercentFormatter

from experiments.clipping.methods import NONE, NORM, STYLES
from experiments.clipping.recurrent import (
    CLIP_NORM,
    GUESS,
    RATE,
    TARGET,
    WINDOW,
    Runs,
    running_mean,
)
from jaxdl import plots
from jaxdl.claims import Claim
from jaxdl.statistics import mean_and_interval, share_interval

WELL = 0.95
"""The test accuracy of a network that trains well."""


def divergence_claim(runs: Runs) -> Claim:
    """At one rate, with and without clipping: the intervals do not share a half."""
    free, clipped = runs.at_norm(np.inf).at_rate(RATE), runs.at_norm(CLIP_NORM).at_rate(RATE)
    lost, lost_clipped = free.diverged().ravel(), clipped.diverged().ravel()
    (free_low, free_high), (low, high) = share_interval(lost), share_interval(lost_clipped)
    accuracy, half_width = mean_and_interval(clipped.test_accuracy.ravel())
    return Claim(
        f"at rate {RATE:g} the recurrent network diverges without clipping, and trains when its "
        f"gradient is clipped to {CLIP_NORM:g}",
        free_low > 0.5 > high and accuracy > WELL,
        f"{lost.sum()} of {lost.size} runs diverge without (share "
        f"{free_low:.0%} to {free_high:.0%}), {free.failed.sum()} of them to no finite number; "
        f"{lost_clipped.sum()} with (share {low:.0%} to {high:.0%}), whose test accuracy is "
        f"{accuracy:.1%} ± {half_width:.1%}, expected above {WELL:.0%}",
    )


def speed_claim(runs: Runs) -> Claim:
    """The fastest rate at which every seed trains, with clipping and without."""
    free, clipped = (fastest(runs.at_norm(norm)) for norm in (np.inf, CLIP_NORM))
    statement = "at the fastest rate that is safe without clipping, training takes longer than with"
    if free is None or clipped is None:
        without = "without" if free is None else "with"
        return Claim(statement, False, f"{without} clipping no rate trains every seed")
    mean, half_width = mean_and_interval(np.log(free.steps()[0] / clipped.steps()[0]))
    return Claim(
        statement,
        mean - half_width > 0,
        f"steps to a training loss of {TARGET:g}: {free.steps().mean():.0f} at rate "
        f"{free.rates[0]:.2g} without, {clipped.steps().mean():.0f} at {clipped.rates[0]:.2g} "
        f"with; ratio {np.exp(mean):.2f} ({np.exp(mean - half_width):.2f} to "
        f"{np.exp(mean + half_width):.2f}), expected above 1",
    )


def fastest(runs: Runs) -> Runs | None:
    """The member whose seeds all train, and in the fewest steps."""
    safe = runs.where(runs.all_train())
    if not len(safe.rates):
        return None
    return safe.where(np.array([safe.steps().mean(axis=1).argmin()]))


@plots.styled
def draw(runs: Runs) -> Figure:
    """By learning rate, with and without clipping: runs lost, steps taken; and losses by step."""
    figure = Figure(figsize=(13, 4), layout="constrained")
    lost, taken, by_step = figure.subplots(1, 3)
    labels = {np.inf: (NONE, "not clipped"), CLIP_NORM: (NORM, f"clipped to {CLIP_NORM:g}")}
    for norm, (style, label) in labels.items():
        of = runs.at_norm(norm)
        x = of.rates * (1.03 if norm == CLIP_NORM else 0.97)  # beside each other
        options = {**STYLES[style], "label": label, "capsize": 3}
        plots.draw_shares(lost, x, list(of.lost()), **options)
        safe = of.where(of.all_train())
        if len(safe.rates):
            plots.draw_errorbars(taken, safe.rates, safe.steps().T, **options)
    lost.set(
        xscale="log", xlabel="learning rate", title="share of runs that end no better than a guess"
    )
    lost.yaxis.set_major_formatter(PercentFormatter(1))
    taken.set(xscale="log", xlabel="learning rate", xlim=lost.get_xlim())
    taken.set_title(f"steps to a training loss of {TARGET:g}, if every seed gets there")
    taken.set_ylim(0, None)
    if np.ptp(runs.rates) == 0:
        for axes in (lost, taken):
            axes.set_xticks(runs.rates[:1], [f"{runs.rates[0]:g}"])
            axes.xaxis.set_minor_formatter(NullFormatter())
    draw_losses(by_step, runs)
    for axes in (lost, taken, by_step):
        axes.grid(True)
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
    return figure


def draw_losses(axes: Axes, runs: Runs) -> None:
    """The losses of each run at `RATE`, and at the fastest rate that is safe without clipping."""
    drawn = {f"clipped, rate {RATE:g}": (runs.at_norm(CLIP_NORM).at_rate(RATE), plots.BLUE)}
    if (free := fastest(runs.at_norm(np.inf))) is not None:
        drawn[f"not clipped, rate {free.rates[0]:.2g}"] = (free, plots.GREEN)
    for label, (of, colour) in drawn.items():
        smooth = running_mean(of.losses[0])
        steps = WINDOW + np.arange(smooth.shape[1])
        first, *_ = axes.plot(steps, smooth.T, color=colour, lw=0.8)
        first.set_label(label)
    lost = runs.at_norm(np.inf).at_rate(RATE).losses[0]
    first, *_ = axes.plot(1 + np.arange(lost.shape[1]), lost.T, color="black", lw=0.8)
    first.set_label(f"not clipped, rate {RATE:g}")
    axes.axhline(GUESS, color=plots.GREY, linestyle="--", label="a guess")
    axes.set(xscale="log", yscale="log", ylim=(1e-3, 1e8), xlabel="step")
    axes.set_title(f"training loss of each run; colours: means of {WINDOW}")
