"""How many examples batch norm needs: training and evaluation, by the size of batches."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from experiments.normalization.network import Kind, Trained
from experiments.normalization.style import style
from jaxdl import plots
from jaxdl.claims import Claim
from jaxdl.statistics import write_interval

RENORM = "renorm"
NORMS = ("batch", RENORM)
"""Those with statistics of batches."""
LOST = 0.1
"""Of accuracy, what batch norm is to lose at least in the smallest batches."""
LEAST = 0.1
"""The largest gap that batch norm is to have at least, in nats."""
GAP = 0.2
"""Of batch norm's largest gap, what is called a small one."""

Seeds = Float[np.ndarray, "sizes seeds"]


class Batches(NamedTuple):
    """Of a norm.

    Attributes:
        in_training: loss of training examples, by the statistics of batches.
        in_evaluation: of the same, by running averages.
        test: of test examples, by these.
        accuracy: on test examples.
    """

    in_training: Seeds
    in_evaluation: Seeds
    test: Seeds
    accuracy: Seeds

    def gap(self) -> Seeds:
        """What the loss of the same examples is higher by in training than in evaluation."""
        return self.in_training - self.in_evaluation

    def overfit(self) -> Seeds:
        """What the loss of test examples is higher by than that of training examples."""
        return self.test - self.in_evaluation


class Found(NamedTuple):
    """Of the norms with statistics of batches by their size, and of layer norm, of one size."""

    of_batches: dict[str, Batches]
    layer: Batches


def gather(norms: Sequence[str], of_batches: Trained, layer: Trained) -> Found:
    """From runs ``(norms, sizes, seeds)``; those of layer norm ``(1, 1, seeds)``."""

    def measured(runs: Trained, place: int) -> Batches:
        in_training, in_evaluation, test, _ = runs
        losses = (of["loss"] for of in (in_training, in_evaluation, test))
        return Batches(*(np.asarray(of[place]) for of in (*losses, test["accuracy"])))

    by_norm = {norm: measured(of_batches, place) for place, norm in enumerate(norms)}
    return Found(by_norm, measured(layer, 0))


# --- what is claimed -----------------------------------------------------------------------------


def size_claim(sizes: Sequence[int], found: Found) -> Claim:
    """Few are too few."""
    accuracy = {norm: of.accuracy for norm, of in found.of_batches.items()}
    small, whole = accuracy["batch"][0], accuracy["batch"][-1]
    lost, less = whole - small, found.layer.accuracy[0] - small
    return Claim(
        "batch norm fails in small batches, where layer norm does not",
        bool((lost > LOST).all() and (less > LOST).all()),
        f"test accuracy with statistics of {', '.join(map(str, sizes))} examples: "
        + "; ".join(
            f"{Kind(norm).name} {', '.join(write_interval(of, '.1%') for of in of_norm)}"
            for norm, of_norm in accuracy.items()
        )
        + f"; layer norm {write_interval(found.layer.accuracy[0], '.1%')}; in the smallest "
        f"batches batch norm has {write_interval(lost, '.1%')} less than in the largest and "
        f"{write_interval(less, '.1%')} less than layer norm, expected {LOST:.0%} or more from "
        "each seed",
    )


def gap_claim(sizes: Sequence[int], found: Found) -> Claim:
    """Two functions in one."""
    gaps = found.of_batches["batch"].gap()
    means, small = np.abs(gaps.mean(axis=1)), small_gap(found)
    return Claim(
        "in small batches batch norm is another function in training than in evaluation",
        bool(means.max() > LEAST and means[-1] < small)
        and float(np.abs(found.layer.gap()).max()) < 1e-4,
        f"losses of training examples in training less those in evaluation {write_gaps(gaps)} "
        f"with statistics of {', '.join(map(str, sizes))} examples, layer norm "
        f"{write_gaps(found.layer.gap())}; expected of batch norm a mean above {LEAST:g} with "
        f"some, and with the last less than {GAP:.0%} of the largest, {small:.3f}; of layer norm 0",
    )


def renorm_claim(sizes: Sequence[int], found: Found) -> Claim:
    """What brings the two together."""
    gaps, small = found.of_batches[RENORM].gap(), small_gap(found)
    return Claim(
        "batch renorm is nearly the same function in training and in evaluation",
        bool((np.abs(gaps.mean(axis=1)) < small).all()),
        f"losses of training examples in training less those in evaluation {write_gaps(gaps)} "
        f"with statistics of {', '.join(map(str, sizes))} examples, expected with any less than "
        f"{GAP:.0%} of batch norm's largest, {small:.3f}",
    )


def small_gap(found: Found) -> float:
    """A part of the largest gap that batch norm has, a mean over seeds."""
    return GAP * float(np.abs(found.of_batches["batch"].gap().mean(axis=1)).max())


def write_gaps(gaps: Seeds) -> str:
    """Of each size."""
    return ", ".join(write_interval(of, "+.3f") for of in gaps)


# --- pictures ------------------------------------------------------------------------------------


@plots.styled
def draw(sizes: Sequence[int], found: Found) -> Figure:
    """Against the size."""
    figure = Figure(figsize=(12, 4.4), layout="constrained")
    all_axes = figure.subplots(1, 3)
    panels = {
        "test accuracy": lambda of: of.accuracy,
        "loss of training examples:\nin training less in evaluation (nats)": Batches.gap,
        "loss in evaluation:\ntest less training examples (nats)": Batches.overfit,
    }
    for axes, (label, of_batches) in zip(all_axes, panels.items(), strict=True):
        for place, (norm, of) in enumerate(found.of_batches.items()):
            beside = np.array(sizes) * 1.06**place  # lest bars lie on each other
            plots.draw_errorbars(axes, beside, of_batches(of).T, **style(Kind(norm)))
        everywhere = np.repeat(of_batches(found.layer), len(sizes), axis=0).T
        plots.draw_band(axes, np.array(sizes), everywhere, **{**style(Kind("layer")), "marker": ""})
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, map(str, sizes))
        axes.set(xlabel="examples normalized together", ylabel=label)
    all_axes[0].set_ylim(0, 1)
    all_axes[0].legend(title="mean of seeds, 95% interval")
    return figure
