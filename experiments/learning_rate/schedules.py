"""Schedules of equal length, their largest rates tuned alike."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from experiments.learning_rate.rates import LEARNS
from experiments.learning_rate.training import SCHEDULES, Tried, factors
from jaxdl import plots
from jaxdl.claims import Claim
from jaxdl.statistics import share_interval, write_interval

STYLES: Mapping[str, dict[str, Any]] = {
    "constant": {"color": "black", "marker": "o", "ls": "-", "label": "constant"},
    "step": {"color": plots.RED, "marker": "s", "ls": "-", "label": "step"},
    "exponential": {"color": plots.ORANGE, "marker": "^", "ls": "--", "label": "exponential"},
    "cosine": {"color": plots.BLUE, "marker": "D", "ls": "-", "label": "cosine"},
    "warmup_cosine": {"color": plots.BLUE, "marker": "v", "ls": "--", "label": "warm-up, cosine"},
    "one_cycle": {"color": plots.GREEN, "marker": "P", "ls": "-.", "label": "one-cycle"},
}


class Tuned(NamedTuple):
    """A schedule with the peak that its tuning runs chose.

    Attributes:
        peak: its largest rate.
        highest: the largest peak up to which every run of all seeds learns; 0 if none does.
        at_end: whether the chosen peak is an end of the grid.
        validation: the mean validation accuracy with each peak, over all seeds.
        test_loss: of the fresh seeds.
        test_accuracy: theirs.
    """

    peak: float
    highest: float
    at_end: bool
    validation: Float[np.ndarray, " peaks"]
    test_loss: Float[np.ndarray, " seeds"]
    test_accuracy: Float[np.ndarray, " seeds"]


def tune(tried: Tried, tuning_seeds: int) -> Tuned:
    """Chooses the peak of the lowest validation loss, by the first seeds; reports the others."""
    runs = tried.runs
    best = int(runs.validation_loss[:, :tuning_seeds].mean(axis=1).argmin())
    # Up to the first peak at which a run does not learn.
    learns = np.logical_and.accumulate(runs.validation_accuracy.min(axis=1) > LEARNS)
    fresh = (best, slice(tuning_seeds, None))
    return Tuned(
        peak=float(tried.peaks[best]),
        highest=float(tried.peaks[learns].max(initial=0)),
        at_end=best in (0, len(tried.peaks) - 1),
        validation=np.asarray(runs.validation_accuracy.mean(axis=1)),
        test_loss=np.asarray(runs.test_loss[fresh]),
        test_accuracy=np.asarray(runs.test_accuracy[fresh]),
    )


# --- what is claimed -----------------------------------------------------------------------------


def claims(tuned: Mapping[str, Tuned]) -> list[Claim]:
    """Those whose schedules are there."""
    found = [fair_claim(tuned)]
    if {"constant", "one_cycle"} <= set(tuned):
        found.append(scatter_claim(tuned))
    if {"cosine", "step", "exponential"} <= set(tuned):
        statement = "in so few steps a rate that falls early, by steps or exponentially, ends worse"
        found.append(lower_claim(statement, tuned, "cosine", ["step", "exponential"]))
    if {"cosine", "warmup_cosine"} <= set(tuned):
        found.append(warmup_claim(tuned))
    return found


def fair_claim(tuned: Mapping[str, Tuned]) -> Claim:
    """The peaks are the same, and none of the best is an end of them."""
    at_end = [STYLES[name]["label"] for name, of in tuned.items() if of.at_end]
    counts = {len(of.validation) for of in tuned.values()}
    return Claim(
        "all schedules were tuned alike, and no best peak is an end of the grid",
        len(counts) == 1 and not at_end,
        f"{' or '.join(map(str, counts))} peaks each, the best "
        + ", ".join(f"{STYLES[name]['label']} {of.peak:.2g}" for name, of in tuned.items())
        + (f"; at an end: {', '.join(at_end)}" if at_end else ""),
    )


def lower_claim(
    statement: str, tuned: Mapping[str, Tuned], better: str, worse: Sequence[str]
) -> Claim:
    """One schedule against others from the same fresh seeds: a sign test."""
    least = tuned[better]
    wins = {name: least.test_loss < tuned[name].test_loss for name in worse}
    lows = [share_interval(of)[0] for of in wins.values()]
    return Claim(
        statement,
        min(lows) > 0.5,
        f"test loss {write_interval(least.test_loss, '.3f')} "
        f"({write_interval(least.test_accuracy, '.1%')} right); "
        + "; ".join(
            f"{STYLES[name]['label']} {write_interval(tuned[name].test_loss, '.3f')} "
            f"({write_interval(tuned[name].test_accuracy, '.1%')}), higher from {of.sum()} of "
            f"{of.size} seeds"
            for name, of in wins.items()
        )
        + f"; shares at least {min(lows):.0%} with 95% confidence, expected above 50%",
    )


def scatter_claim(tuned: Mapping[str, Tuned]) -> Claim:
    """One-cycle against the best constant rate: distances from the median, by their ranks.

    (Mann and Whitney's test.)
    """
    from scipy.stats import mannwhitneyu  # it takes half a second

    cycles, constant = tuned["one_cycle"].test_loss, tuned["constant"].test_loss
    apart, of_constant = (np.abs(of - np.median(of)) for of in (cycles, constant))
    p_value = mannwhitneyu(of_constant, apart, alternative="greater").pvalue
    return Claim(
        "from seed to seed the test loss of the best constant rate scatters more than one-cycle's",
        p_value < 0.05,
        f"test losses of fresh seeds are {of_constant.mean():.3f} from their median with the best "
        f"constant rate, {apart.mean():.3f} with one-cycle, expected less (p = {p_value:.3f}); in "
        f"the mean {write_interval(constant, '.3f')} and {write_interval(cycles, '.3f')}, lower "
        f"with one-cycle from {(cycles < constant).sum()} of {cycles.size} seeds",
    )


def warmup_claim(tuned: Mapping[str, Tuned]) -> Claim:
    """The highest peaks at which every run learns."""
    without, with_it = tuned["cosine"].highest, tuned["warmup_cosine"].highest
    return Claim(
        "with a warm-up the network bears larger rates",
        with_it > without > 0,
        f"cosine learns from every seed up to {without:.2g}, with a warm-up over a tenth of the "
        f"run up to {with_it:.2g}",
    )


def summarize(tuned: Mapping[str, Tuned]) -> dict[str, Any]:
    """For ``summary.json``."""
    return {
        name: {
            "peak": of.peak,
            "highest_peak": of.highest,
            "validation_accuracy": of.validation,
            "test_loss": of.test_loss,
            "test_accuracy": of.test_accuracy,
        }
        for name, of in tuned.items()
    }


# --- the picture ---------------------------------------------------------------------------------


@plots.styled
def draw(tuned: Mapping[str, Tuned], peaks: Float[np.ndarray, " peaks"], steps: int) -> Figure:
    """The schedules at their best peaks, the accuracy by peak, and where the fresh runs end."""
    figure = Figure(figsize=(13, 4.4), layout="constrained")
    shapes, grid, ends = figure.subplots(1, 3)
    for place, (name, of) in enumerate(tuned.items()):
        style = STYLES[name]
        line = {"color": style["color"], "ls": style["ls"]}
        shapes.plot(1 + np.arange(steps), of.peak * factors(SCHEDULES[name], steps), **line)
        grid.plot(peaks, of.validation, ms=5, **style)
        values = of.test_loss[:, None]
        plots.draw_errorbars(ends, np.array([place]), values, ms=6, **{**style, "ls": ""})
    shapes.set(xlabel="step", ylabel="learning rate", title="each at its best peak")
    grid.set(xscale="log", xlabel="largest learning rate", ylabel="validation accuracy")
    grid.set_title("mean over seeds, by peak")
    grid.yaxis.set_major_formatter(PercentFormatter(1))
    names = [STYLES[name]["label"] for name in tuned]
    ends.set_xticks(range(len(tuned)), names, rotation=30, ha="right", rotation_mode="anchor")
    ends.set(ylabel="test loss (nats)", xlim=(-0.5, len(tuned) - 0.5))
    ends.set_title("at the best peak, fresh seeds, 95% intervals")
    handles, labels = grid.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(tuned))
    for axes in (shapes, grid, ends):
        axes.grid(True)
    return figure
