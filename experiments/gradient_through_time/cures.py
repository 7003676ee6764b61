"""What keeps the gradient of networks that learn: claims, summary and figure."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.gradient_through_time.networks import (
    CLIP_NORM,
    CLIPPED,
    EXPLODING,
    GRU,
    LARGE,
    LSTM,
    NETWORKS,
    NORMALIZED,
    NORMALIZED_LARGE,
    ORTHOGONAL,
    SMALL,
    VANISHING,
)
from experiments.gradient_through_time.training import LOOKS, Seen, step_numbers
from jaxdl import plots
from jaxdl.claims import Claim
from jaxdl.data.memory_problems import ADDING_BASELINE
from jaxdl.statistics import mean_and_interval, share_interval

SMALLEST = 1e-30
"""What a norm of 0 counts as, where there are logarithms."""
DEAD, ALIVE, WHOLE = 1e-6, 1e-4, 0.1
"""Parts of the gradient at the last state that come back to the first one."""
LEARNT, HALF = 0.1, 0.5
"""Losses, in those of a guess: of a problem that is learnt, and of one that is about to be."""
MOST = 10.0
"""A loss, in those of a guess, above which none is drawn."""


def start_claims(found: dict[str, Seen]) -> list[Claim]:
    """Of the networks before they learn."""
    ends = {name: interval_of_kept(seen, 0) for name, seen in found.items()}
    first, other = (found[name].norms[:, 0] for name in (NORMALIZED, NORMALIZED_LARGE))
    apart = np.abs(first / other - 1).max()
    plain = found[VANISHING].kept()[:, 0] / found[CLIPPED].kept()[:, 0]
    keepers = (ORTHOGONAL, LSTM)
    shown = (VANISHING, EXPLODING, *keepers, GRU)
    return [
        Claim(
            f"before training the gradient vanishes at gain {SMALL:g} and explodes at gain "
            f"{LARGE:g}; an orthogonal kernel and an LSTM's gates keep far more of it than the "
            "former",
            bool(
                ends[VANISHING][2] < DEAD
                and ends[EXPLODING][1] > 1
                and all(1 > ends[name][1] > 100 * ends[VANISHING][2] for name in keepers)
            ),
            "norm at the first state over that at the last: "
            + ", ".join(f"{name} {in_words(ends[name])}" for name in shown),
        ),
        Claim(
            "with layer normalization the gain does not matter",
            bool(apart < 0.01 and plain.max() < 0.01),
            f"gradients at gains {SMALL:g} and {LARGE:g} differ by {apart:.1e} at most, expected "
            f"below 1%; without it by a factor of {1 / plain.max():.1e} at least",
        ),
    ]


def trained_claims(found: dict[str, Seen]) -> list[Claim]:
    """Of the networks at the end of their training."""
    free, clipped = (np.nan_to_num(found[name].kept()[:, -1]) for name in (EXPLODING, CLIPPED))
    gated = {name: found[name].kept()[:, -1] for name in (LSTM, GRU)}
    left = {name: relative_loss(seen)[:, -1] for name, seen in found.items()}
    ends = {name: mean_and_interval(of) for name, of in left.items()}
    helped = (NORMALIZED, NORMALIZED_LARGE)
    poor = np.concatenate([left[name] > HALF for name in (VANISHING, EXPLODING, CLIPPED)])
    low, high = share_interval(poor)
    return [
        Claim(
            f"without clipping, training at gain {LARGE:g} ends with a gradient that no early "
            f"state gets; clipped to {CLIP_NORM:g} it stays alive",
            bool(free.max() < DEAD and clipped.min() > ALIVE),
            f"of the gradient at the last state {free.max():.0e} at most come back to the first, "
            f"expected below {DEAD:g}; clipped, {clipped.min():.1e} at least, expected above "
            f"{ALIVE:g}",
        ),
        Claim(
            "gates learn to keep the gradient",
            all(bool(of.min() > WHOLE) for of in gated.values()),
            "; ".join(
                f"{name} from {in_words(interval_of_kept(found[name], 0))} to "
                f"{in_words(interval_of_kept(found[name], -1))}, at the least {of.min():.2f}"
                for name, of in gated.items()
            )
            + f", expected above {WHOLE:g}",
        ),
        Claim(
            "gates learn the adding problem and layer normalization helps to; most vanilla "
            f"networks of gain {SMALL:g} or {LARGE:g} do not, clipped or not",
            bool(
                max(left[name].max() for name in gated) < LEARNT
                and all(sum(ends[name]) < HALF for name in helped)
                and low > 0.5
            ),
            f"test loss at the end, in those of a guess (seeds of LSTM and GRU {LEARNT:g} at most, "
            f"intervals of the normalized below {HALF:g}): "
            + ", ".join(f"{name} {mean:.2f} ± {half:.2f}" for name, (mean, half) in ends.items())
            + f"; above {HALF:g} are {poor.sum()} of {poor.size} of the first three (share "
            f"{low:.0%} to {high:.0%}, expected above 50%)",
        ),
    ]


def interval_of_kept(seen: Seen, look: int) -> tuple[float, float, float]:
    """The geometric mean of `Seen.kept` over seeds, and its interval."""
    kept = np.log(np.maximum(np.nan_to_num(seen.kept()[:, look]), SMALLEST))
    mean, half = mean_and_interval(kept)
    return float(np.exp(mean)), float(np.exp(mean - half)), float(np.exp(mean + half))


def in_words(interval: tuple[float, float, float]) -> str:
    """A mean and its interval."""
    mean, low, high = interval
    return f"{mean:.2g} ({low:.2g} to {high:.2g})"


def relative_loss(seen: Seen) -> np.ndarray:
    """The test loss at each look, in those of a guess."""
    return np.nan_to_num(seen.losses / ADDING_BASELINE, nan=np.inf)


def summarize(found: dict[str, Seen]) -> dict[str, Any]:
    """For ``summary.json``: by network, at each look."""
    return {
        name: {
            "gain": NETWORKS[name].gain,
            "clip_norm": NETWORKS[name].clip_norm,  # null for infinity
            "kept_mean_low_high": [
                interval_of_kept(seen, look) for look in range(seen.losses.shape[1])
            ],
            "test_loss": seen.losses,
            "norms_at_start": seen.norms[:, 0],
            "norms_at_end": seen.norms[:, -1],
        }
        for name, seen in found.items()
    }


@plots.styled
def draw(found: dict[str, Seen], steps: int) -> Figure:
    """Norm against distance before, during and after training; and the loss by step."""
    looks = (0, 1, LOOKS) if steps else (0,)
    numbers = step_numbers(steps)
    figure = Figure(figsize=(13, 8) if steps else (8, 4.5), layout="constrained")
    panels = figure.subplots(2, 2).ravel() if steps else [figure.subplots()]
    for axes, look in zip(panels, looks, strict=False):
        draw_norms(axes, found, look)
        axes.set_title(f"after {numbers[look]:,} updates" if look else "before training")
    if steps:
        draw_losses(panels[-1], found, numbers)
    handles = [Line2D([], [], label=label_of(name), **NETWORKS[name].style) for name in found]
    figure.legend(handles=handles, loc="outside right center", fontsize=9)
    return figure


def draw_losses(axes: Axes, found: dict[str, Seen], numbers: Sequence[int]) -> None:
    """Means of the seeds at each look."""
    for name, seen in found.items():
        losses = np.minimum(relative_loss(seen), MOST).mean(axis=0)
        axes.plot(numbers, losses, **NETWORKS[name].style)
    axes.axhline(1, color="black", lw=0.9, ls=":")
    beside = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": 8}
    axes.annotate("a\nguess", (1.01, 1), **beside)
    plots.make_logarithmic(axes.yaxis)
    axes.set(xlabel="update", ylabel="test loss (a guess: 1)", ylim=(None, MOST))
    axes.set_title("loss on the adding problem, means of the seeds")
    axes.grid(True)


def label_of(name: str) -> str:
    """What a line is of, in full."""
    kind, gain, clip_norm, _ = NETWORKS[name]
    cell = kind.cell.upper() + " with layer norm" * kind.is_normalized
    gained = f", gain {gain:g}" if kind.cell == "rnn" else ""
    clipped = "clipped" if np.isfinite(clip_norm) else "not clipped"
    return f"{cell}{gained}\n{clipped}"


def draw_norms(axes: Axes, found: dict[str, Seen], look: int) -> None:
    """Medians of the seeds, their least and most."""
    for name, seen in found.items():
        norms = seen.norms[:, look] / seen.norms[:, look, :1]
        norms = np.maximum(np.nan_to_num(norms), SMALLEST)
        distances = np.arange(norms.shape[1])
        style = NETWORKS[name].style
        first = 2 if name == EXPLODING else 0  # before training it is the same as when clipped
        axes.plot(distances, np.median(norms, axis=0), markevery=(first, 4), **style)
        axes.fill_between(
            distances, norms.min(axis=0), norms.max(axis=0), color=style["color"], alpha=0.1, lw=0
        )
    axes.set(yscale="log", ylim=(1e-10, 1e4), xlabel="steps back from the loss")
    axes.set_ylabel("gradient norm (at the last state: 1)")
    axes.grid(True)
