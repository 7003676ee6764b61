"""The recurrent network by clip norm, at one learning rate."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, PercentFormatter

from experiments.clipping.recurrent import GUESS, RATE, TARGET, Runs
from jaxdl import plots
from jaxdl.claims import Claim
from jaxdl.statistics import share_interval

WIDE = 10
"""A factor between clip norms at which every seed trains."""


def telemetry_claim(runs: Runs) -> Claim:
    """What the optimizer tells of its clipping. Members are clip norms, the last one infinite."""
    shares = np.nanmean(runs.clipped, axis=(1, 2))
    longest = np.nanmax(runs.clipped_norms / runs.clip_norms[:, None, None])
    return Claim(
        "no gradient is longer than the clip norm; the smallest clips every step, infinity none",
        bool(longest <= 1 + 1e-5 and shares[0] == 1 and shares[-1] == 0),
        f"at most {longest:.7f} clip norms, rounding allows 1.00001; {shares[0]:.1%} of the steps "
        f"are clipped at {runs.clip_norms[0]:g}, {shares[-1]:.1%} at infinity",
    )


def range_claim(runs: Runs) -> Claim:
    """How much the clip norm may vary. Members are clip norms, the last one infinite."""
    low, high = widest_range(runs.clip_norms, runs.all_train())
    slow = ~np.isfinite(runs.steps()[0])
    lost = runs.diverged()[-1]
    return Claim(
        f"at rate {RATE:g} the clip norm may vary by a factor of {WIDE}; a smaller one is slow, "
        "and infinity diverges",
        bool(high / low >= WIDE and slow.all() and share_interval(lost)[0] > 0.5),
        f"every seed trains from {low:.2g} to {high:.2g}; at {runs.clip_norms[0]:g} {slow.sum()} "
        f"of {slow.size} do not come to a training loss of {TARGET:g}; at infinity {lost.sum()} of "
        f"{lost.size} diverge",
    )


def widest_range(norms: np.ndarray, good: np.ndarray) -> tuple[float, float]:
    """The ends of the widest stretch of growing norms that are all good; NaN if there is none."""
    stretches, start = [(np.nan, np.nan)], None
    for norm, is_good in zip(norms, good, strict=True):
        start = (norm if start is None else start) if is_good else None
        if start is not None:
            stretches.append((start, norm))
    return max(stretches, key=lambda ends: np.nan_to_num(ends[1] / ends[0]))


@plots.styled
def draw(runs: Runs) -> Figure:
    """By clip norm: the loss of each run, the fraction of its steps clipped, gradient norms."""
    runs = runs.at_rate(RATE)
    figure = Figure(figsize=(13, 4), layout="constrained")
    loss, clipped, norms = figure.subplots(1, 3)
    last = 10 * runs.clip_norms[-2]  # where infinity is drawn
    x = np.where(np.isfinite(runs.clip_norms), runs.clip_norms, last)
    each = np.broadcast_to(x[:, None], runs.test_loss.shape)
    gone, top = runs.lost(), 10.0
    loss.plot(each[~gone], runs.test_loss[~gone], "o", color=plots.BLUE, alpha=0.6, label="a run")
    label = f"no better than a guess (at {top:g}: beyond)"
    shown = np.where(runs.failed, np.inf, runs.test_loss).clip(max=top)
    loss.plot(each[gone], shown[gone], "x", color=plots.RED, markersize=6, label=label)
    loss.axhline(GUESS, color=plots.GREY, linestyle="--", label="a guess")
    loss.set(yscale="log", title=f"test loss at the end, rate {RATE:g}")
    loss.set_ylim(bottom=shown.min() / 1000)  # room for the legend

    shares = np.nanmean(runs.clipped, axis=2)
    plots.draw_errorbars(clipped, x, shares.T, color=plots.BLUE, marker="o")
    clipped.set_title("share of steps that are clipped")
    clipped.yaxis.set_major_formatter(PercentFormatter(1))

    for name, of, colour, marker in (
        ("before", runs.gradient_norms, plots.ORANGE, "s"),
        ("after", runs.clipped_norms, plots.BLUE, "o"),
    ):
        low, middle, high = np.nanquantile(of, (0.05, 0.5, 0.95), axis=(1, 2))
        norms.plot(x, middle, color=colour, marker=marker, label=f"{name} clipping")
        norms.fill_between(x, low, high, color=colour, alpha=0.15)
    norms.plot(x[:-1], x[:-1], ":", color=plots.GREY, label="the clip norm")
    norms.set(yscale="log", title="gradient norm: median and middle 90% of steps")
    for axes in (loss, clipped, norms):
        axes.set(xscale="log", xlabel="clip norm")
        powers = 10.0 ** np.arange(np.ceil(np.log10(x[0])), np.log10(x[-2]) + 1e-6)
        axes.set_xticks([*powers, last], [*(f"{power:g}" for power in powers), "∞"])
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(True)
    loss.legend(loc="lower left", fontsize=8)
    norms.legend()
    return figure
