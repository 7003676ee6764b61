"""Constant rates on a network: slow, good, too fast."""

from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from experiments.learning_rate.training import CLASSES, Runs, Tried
from jaxdl import plots
from jaxdl.claims import Claim

LEVEL = 1.5
"""The training loss, in nats, that steps are counted to."""
WINDOW = 10
"""Steps over which a training loss is averaged."""
SLOW = 8
"""So many times slower than the rate of the fewest steps a rate is slow."""
LEARNS = 0.5
"""The validation accuracy above which a run has learnt."""
GUESSES = 2.0
"""The validation loss, in nats, above which it guesses: log 10 is 2.303."""


def join(*parts: Tried) -> Tried:
    """What was tried in several parts as one, its peaks growing."""
    peaks = np.concatenate([part.peaks for part in parts])
    order = np.argsort(peaks)
    leaves = zip(*(part.runs for part in parts), strict=True)
    return Tried(peaks[order], Runs(*(np.concatenate(of)[order] for of in leaves)))


def smoothed(losses: Float[np.ndarray, "*runs steps"]) -> Float[np.ndarray, "*runs windows"]:
    """Means over windows of `WINDOW` steps, each beginning a step later."""
    return np.lib.stride_tricks.sliding_window_view(losses, WINDOW, axis=-1).mean(axis=-1)


def steps_to_level(tried: Tried) -> Float[np.ndarray, " rates"]:
    """Steps until the mean of all seeds' training losses is `LEVEL`; infinite where it never is.

    Counted to the middle of the first window that is there.
    """
    losses = smoothed(np.asarray(tried.runs.losses).mean(axis=1))
    is_there = losses <= LEVEL
    return np.where(is_there.any(axis=1), is_there.argmax(axis=1) + (WINDOW + 1) / 2, np.inf)


# --- what is claimed -----------------------------------------------------------------------------


def claims(tried: Tried, best: float) -> list[Claim]:
    """What slow rates cost, and what fast ones."""
    return [slow_claim(tried), cliff_claim(tried, best)]


def slow_claim(tried: Tried) -> Claim:
    """Steps as the reciprocal of the rate."""
    statement = "far below the fastest rate a network takes steps as 1/rate"
    steps = steps_to_level(tried)
    fastest = tried.peaks[steps.argmin()]
    is_slow = np.isfinite(steps) & (tried.peaks <= fastest / SLOW)
    rates, slow = tried.peaks[is_slow], steps[is_slow]
    if len(rates) < 2:
        return Claim(statement, False, f"{len(rates)} slow rates get to a loss of {LEVEL:g}")
    power = float(np.polyfit(np.log(rates), np.log(slow), 1)[0])
    return Claim(
        statement,
        abs(power + 1) <= 0.1,
        f"to a training loss of {LEVEL:g} {slow[0]:.0f} steps at {rates[0]:.2g}, {slow[-1]:.0f} "
        f"at {rates[-1]:.2g}: power {power:.3f}, expected -1 within 0.1; fewest, "
        f"{steps.min():.0f}, at {fastest:.2g}",
    )


def cliff_claim(tried: Tried, best: float) -> Claim:
    """A tenth of the best rate, and ten times as much, or the next slower and faster rates."""
    slow = np.flatnonzero(tried.peaks <= best / 10 * 1.01)[-1:]
    fast = np.flatnonzero(tried.peaks >= best * 10 / 1.01)[:1]
    accuracy, loss = map(np.asarray, (tried.runs.validation_accuracy, tried.runs.validation_loss))
    least = accuracy[slow].min(initial=1)
    return Claim(
        "a tenth of the best rate still learns, ten times as much ends at a guess, from every seed",
        bool(slow.size and fast.size and least > LEARNS and loss[fast].min() > GUESSES),
        f"validation accuracy {accuracy[tried.peaks == best].mean():.1%} in the mean at "
        f"{best:.2g}, the best, at least {least:.1%} at {listed(tried.peaks[slow])}, expected "
        f"above {LEARNS:.0%}; at {listed(tried.peaks[fast])} the loss is at least "
        f"{loss[fast].min(initial=np.inf):.2f}, expected above {GUESSES:g}, of a guess "
        f"{np.log(CLASSES):.2f}",
    )


def listed(rates: Float[np.ndarray, " rates"]) -> str:
    """One rate, or that none was tried.

    >>> listed(np.array([0.0316])), listed(np.array([]))
    ('0.032', 'no rate')
    """
    return ", ".join(f"{rate:.2g}" for rate in rates) or "no rate"


def summarize(tried: Tried) -> dict[str, Any]:
    """For ``summary.json``."""
    return {
        "rates": tried.peaks,
        "steps_to_level": steps_to_level(tried),
        "validation_accuracy": np.asarray(tried.runs.validation_accuracy).mean(axis=1),
    }


# --- the picture ---------------------------------------------------------------------------------


@plots.styled
def draw(tried: Tried, best: float) -> Figure:
    """The loss by step at four rates; steps and accuracy by rate."""
    figure = Figure(figsize=(13, 4), layout="constrained")
    by_step, steps, accuracy = figure.subplots(1, 3)
    draw_losses(by_step, tried, best)
    draw_steps(steps, tried)
    plots.draw_errorbars(
        accuracy,
        tried.peaks,
        np.asarray(tried.runs.validation_accuracy).T,
        color=plots.BLUE,
        marker="o",
    )
    accuracy.axhline(1 / CLASSES, color=plots.GREY, ls="--", label="a guess")
    accuracy.set(xscale="log", xlabel="learning rate", ylabel="validation accuracy")
    accuracy.set_title(f"after {tried.runs.losses.shape[-1]} steps, 95% intervals")
    accuracy.yaxis.set_major_formatter(PercentFormatter(1))
    accuracy.legend(loc="center")
    for axes in (by_step, steps, accuracy):
        axes.grid(True)
    return figure


def draw_steps(axes: Axes, tried: Tried) -> None:
    """Of the rates that get to `LEVEL`, which in few steps none may."""
    counts = steps_to_level(tried)
    is_there = np.isfinite(counts)
    peaks, there = tried.peaks[is_there], counts[is_there]
    axes.plot(peaks, there, "o", color=plots.BLUE, label="measured", ms=6)
    if there.size:
        line = peaks[0] * there[0] / tried.peaks
        axes.plot(tried.peaks, line, color="black", lw=1, label="1 / rate")
        axes.set(yscale="log", ylim=(0.7 * there.min(), 1.5 * there.max()))
    axes.set(xscale="log", xlim=(tried.peaks[0] / 1.3, tried.peaks[-1] * 1.3))
    axes.set(xlabel="learning rate", ylabel=f"steps to a training loss of {LEVEL:g} nats")
    axes.set_title("slow rates take longer, too fast ones never get there")
    axes.legend()


def draw_losses(axes: Axes, tried: Tried, best: float) -> None:
    """Of all seeds, at a slow rate, at the best and at two that are too fast."""
    places = [np.abs(np.log(tried.peaks / (best * times))).argmin() for times in (0.1, 1, 3.2, 10)]
    names = ("slow", "good", "fast", "too fast")
    for place, name, colour, style in zip(
        places, names, (plots.BLUE, plots.GREEN, plots.ORANGE, plots.RED), ("-", "--", "-.", ":"),
        strict=True,
    ):  # fmt: skip
        losses = smoothed(np.asarray(tried.runs.losses)[place])
        label = f"{tried.peaks[place]:.2g}: {name}"
        plots.draw_band(
            axes,
            np.arange(losses.shape[1]) + WINDOW / 2,
            losses,
            color=colour,
            ls=style,
            label=label,
        )
    axes.set(xlabel="step", ylabel="training loss (nats)", ylim=(0, 4))
    axes.set_title(f"means over {WINDOW} steps, 95% intervals over seeds")
    axes.legend(title="learning rate")
