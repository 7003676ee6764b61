"""Internal covariate shift: how the inputs of a middle layer move, and whether that matters."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from experiments.normalization.network import STRIDE, Kind
from experiments.normalization.rates import LEAST, Rates, ratio_to_none
from experiments.normalization.style import style
from experiments.normalization.watch import Watched
from jaxdl import plots
from jaxdl.claims import Claim
from jaxdl.nn import Moments
from jaxdl.statistics import write_interval

MOST = 0.2
"""Of the way that the inputs go without a norm, how much they may go with batch norm."""

Looks = Float[np.ndarray, "seeds looks"]


class Shift(NamedTuple):
    """What was watched of a kind of norm.

    How far means and deviations move is a sum over units of distances over the sum of their
    deviations, since dead units have none.

    Attributes:
        by_step: how far the means move in a step.
        mean_moved: how far they are from where they were before the first step.
        deviation_moved: the same of the deviations.
        layer_change: see `Watched`.
        cosine: there.
        share: there.
    """

    by_step: Looks
    mean_moved: Looks
    deviation_moved: Looks
    layer_change: Looks
    cosine: Looks
    share: Looks


Found = dict[Kind, Shift]


def measure(kinds: Sequence[Kind], watched: Watched) -> Found:
    """Of each kind, from what was watched ``(kinds, seeds, looks, ...)``."""
    by_kind = {
        kind: jax.tree.map(lambda of, k=k: np.asarray(of[k]), watched)
        for k, kind in enumerate(kinds)
    }
    return {
        kind: Shift(*distances(of.moments), of.layer_change, of.cosine, of.share)
        for kind, of in by_kind.items()
    }


def distances(moments: Moments) -> tuple[Looks, Looks, Looks]:
    """The first three of a `Shift`, from moments before and after steps ``(..., 2, units)``."""
    means, deviations = np.asarray(moments.mean), np.sqrt(moments.variance)

    def moved(before: np.ndarray, after: np.ndarray, scale: np.ndarray) -> Looks:
        return np.abs(after - before).sum(axis=-1) / scale.sum(axis=-1)

    start = deviations[:, :1, 0]
    return (
        moved(means[:, :, 0], means[:, :, 1], deviations[:, :, 0]),
        moved(means[:, :1, 0], means[:, :, 1], start),
        moved(start, deviations[:, :, 1], start),
    )


# --- what is claimed -----------------------------------------------------------------------------


def moved_claim(found: Found) -> Claim:
    """Ioffe and Szegedy's: they stay."""
    none, batch = (found[Kind(norm)].mean_moved[:, -1] for norm in ("none", "batch"))
    return Claim(
        "with batch norm the inputs of a middle layer stay where they are",
        bool((batch < MOST * none).all()),
        "in the end their means are off by "
        + ", ".join(
            f"{write_interval(of.mean_moved[:, -1])} with {kind.name}" for kind, of in found.items()
        )
        + " deviations, and their deviations by "
        + ", ".join(write_interval(of.deviation_moved[:, -1]) for of in found.values())
        + f"; expected, from each seed, with batch norm at most {MOST:.0%} of no norm's",
    )


def noise_claim(noisy: Kind, found: Found, rates: Rates) -> Claim:
    """Santurkar et al.'s: that is not why it trains."""
    none, shaken = (found[kind].by_step.mean(axis=1) for kind in (Kind("none"), noisy))
    ratio = ratio_to_none(rates, noisy)
    return Claim(
        "batch norm still trains at large rates where noise moves these inputs as much",
        bool((shaken > none).all()) and ratio >= LEAST,
        f"in a step their means move by {write_interval(shaken)} deviations with noise of "
        f"{noisy.noise:g} behind each batch norm, {write_interval(none)} without a norm and "
        f"{write_interval(found[Kind('batch')].by_step.mean(axis=1), '.4f')} with batch norm "
        f"alone, expected most with noise from each seed; the largest rate with noise is that of "
        f"no norm times {ratio:.3g} or more from each seed, expected {LEAST:g} or more",
    )


def gradient_claim(found: Found) -> Claim:
    """What Santurkar et al. have instead: the gradient tells more."""
    none, batch = (found[Kind(norm)].cosine.mean(axis=1) for norm in ("none", "batch"))

    def told(name: str) -> str:
        return ", ".join(
            f"{write_interval(getattr(of, name).mean(axis=1))} with {kind.name}"
            for kind, of in found.items()
        )

    return Claim(
        "with batch norm the gradient after a step is more like that before it",
        bool((batch > none).all()),
        f"cosine {told('cosine')}, difference of the first two {write_interval(batch - none)}, "
        "expected above 0 from each seed; of the fall that the gradient promises there comes "
        f"{told('share')}; the step of the layers before it changes a middle layer's gradient, in "
        f"its own norm, by {told('layer_change')}",
    )


# --- pictures ------------------------------------------------------------------------------------


@plots.styled
def draw(found: Found) -> Figure:
    """Against steps."""
    figure = Figure(figsize=(11, 7.5), layout="constrained")
    all_axes = figure.subplots(2, 2).ravel()
    panels = {
        "by_step": "means of a middle layer's inputs:\nmoved in a step (deviations)",
        "mean_moved": "means of a middle layer's inputs:\nmoved since the start (deviations)",
        "cosine": "cosine of the gradients\nbefore and after a step",
        "layer_change": "relative change of its gradient\nby the step of the layers before",
    }
    for axes, (name, label) in zip(all_axes, panels.items(), strict=True):
        for kind, of in found.items():
            # Means alone: a band is no picture on a logarithmic axis, where it comes to 0.
            means = getattr(of, name).mean(axis=0)
            axes.plot(STRIDE * np.arange(len(means)), means, **{**style(kind), "marker": ""})
        axes.set(xlabel="step", ylabel=label)
    for axes in all_axes[:2]:
        axes.set_yscale("log")
    all_axes[2].axhline(0, color="black", lw=0.8)
    handles, labels = all_axes[0].get_legend_handles_labels()
    title = "means over seeds"
    figure.legend(handles, labels, loc="outside lower center", ncols=4, title=title)
    return figure
