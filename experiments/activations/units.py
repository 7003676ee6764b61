"""Which units of a trained network are flat, and which are dead."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from experiments.activations.digits import Read
from jaxdl import plots
from jaxdl.claims import Claim
from jaxdl.statistics import mean_and_interval, write_interval

USUAL, LARGE, TOO_LARGE = 0.1, 0.5, 1.0
"""Learning rates that claims are of."""
FLAT_NAMES, SATURATING = ("step", "sign"), ("sigmoid", "tanh")
FEW, MANY = 0.05, 0.25
"""Shares of dead units at the usual rate and at one that is too large."""
HALF = 0.03
"""How near to a half the flat share of ReLU is to be at the start."""

Found = Mapping[tuple[str, float], Read]
"""Of activations and rates: runs ``(seeds,)``, by the softmax."""


def still_claim(found: Found) -> Claim:
    """Without slopes nothing is learnt but by the last layer."""
    usual = {name: read for (name, rate), read in found.items() if rate == USUAL}
    others = [name for name in usual if name not in FLAT_NAMES]
    still = max(float(np.max(usual[name].moved)) for name in FLAT_NAMES)
    least = min(others, key=lambda name: usual[name].moved.min())
    accuracies = {name: read.accuracy for name, read in usual.items()}
    best_flat = max(accuracies[name].max() for name in FLAT_NAMES)
    return Claim(
        "behind step and sign the weights of hidden layers stay as they are, to the bit",
        bool(
            still == 0
            and usual[least].moved.min() > 0.01
            and min(accuracies[name].min() for name in others) > best_flat
        ),
        f"they change by {still:g} at the most, expected 0, and by {usual[least].moved.min():.3f} "
        f"or more behind the others (least: {least}), expected above 0.01; accuracy at rate "
        f"{USUAL:g} "
        + ", ".join(f"{name} {write_interval(of, '.1%')}" for name, of in accuracies.items())
        + ", expected less of step and sign than of any other from any seed",
    )


def dead_claim(found: Found) -> Claim:
    """ReLU's."""
    usual, too_large = (found["relu", rate].end.dead for rate in (USUAL, TOO_LARGE))
    others = {
        name: read.end.dead.max()
        for (name, rate), read in found.items()
        if rate == USUAL and name not in (*FLAT_NAMES, "relu")
    }
    return Claim(
        "steps that are too large kill units of ReLU: they are 0 whatever is shown",
        bool(usual.mean(axis=1).max() < FEW and too_large.mean(axis=1).min() > MANY),
        f"dead {write_interval(usual.mean(axis=1), '.1%')} of the units after rate {USUAL:g}, "
        f"{write_interval(found['relu', LARGE].end.dead.mean(axis=1), '.1%')} after {LARGE:g} and "
        f"{write_interval(too_large.mean(axis=1), '.1%')} after {TOO_LARGE:g}, expected below "
        f"{FEW:.0%} after the first and above {MANY:.0%} after the last from each seed; accuracy "
        f"{write_interval(found['relu', USUAL].accuracy, '.1%')} and "
        f"{write_interval(found['relu', TOO_LARGE].accuracy, '.1%')}; of other activations "
        f"{max(others.values()):.1%} of a layer or less after {USUAL:g}",
    )


def saturated_claim(found: Found) -> Claim:
    """Sigmoid and tanh are flat on both sides; ReLU on one."""
    shares = {
        name: [
            found[name, USUAL].start.flat[:, 0],
            *(found[name, rate].end.flat[:, 0] for rate in (USUAL, LARGE, TOO_LARGE)),
        ]
        for name in SATURATING
    }
    relu = found["relu", USUAL].start.flat
    return Claim(
        "training saturates sigmoid and tanh, the more the larger the steps; ReLU is flat for a "
        "half of what it sees",
        bool(
            all((np.diff(of, axis=0) > 0).all() for of in map(np.array, shares.values()))
            and abs(relu.mean() - 0.5) < HALF
        ),
        "slopes of the first layer below a twentieth of the steepest, at the start and after rates "
        f"{USUAL:g}, {LARGE:g} and {TOO_LARGE:g}: "
        + "; ".join(
            f"{name} " + ", ".join(write_interval(of, ".1%") for of in of_name)
            for name, of_name in shares.items()
        )
        + f", expected to grow from each seed; ReLU's of all layers at the start {relu.mean():.1%}"
        f", expected 50% within {HALF:.0%}",
    )


# --- pictures ------------------------------------------------------------------------------------

STYLES = {
    "sigmoid": {"color": plots.BLUE, "marker": "o"},
    "tanh": {"color": plots.ORANGE, "marker": "s", "ls": "--"},
    "relu": {"color": plots.RED, "marker": "^"},
    "leaky_relu": {"color": plots.GREEN, "marker": "v", "ls": "--"},
    "elu": {"color": plots.GREY, "marker": "D", "ls": "-."},
    "gelu": {"color": "black", "marker": "x", "ls": ":"},
    "silu": {"color": plots.BLUE, "marker": "*", "ls": ":"},
    "softplus": {"color": plots.ORANGE, "marker": "+", "ls": "-."},
}


@plots.styled
def draw(found: Found, rates: Sequence[float]) -> Figure:
    """Against the rate, of runs that end with a number."""
    figure = Figure(figsize=(12, 4.4), layout="constrained")
    all_axes = figure.subplots(1, 3)
    panels = {
        "units and examples with a flat slope\n(below 1/20 of the steepest)": lambda read: (
            read.end.flat.mean(axis=1)
        ),
        "dead units\n(slope below 1/1000 on every example)": lambda read: read.end.dead.mean(
            axis=1
        ),
        "test accuracy (0: no finite loss)": lambda read: read.accuracy,
    }
    for axes, (label, of_read) in zip(all_axes, panels.items(), strict=True):
        for name, style in STYLES.items():
            of_rates = np.array([of_read(found[name, rate]) for rate in rates])
            means, halves = np.array([mean_and_interval(of) for of in of_rates]).T
            axes.errorbar(rates, means, halves, capsize=3, label=name, **style)
        plots.make_logarithmic(axes.xaxis, (1, 2, 5))
        axes.set(xlabel="learning rate", ylabel=label, ylim=(-0.03, 1.03))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    handles, labels = all_axes[0].get_legend_handles_labels()
    title = (
        "two hidden layers after training, means of seeds and 95% intervals; "
        "the first two without rates at which a run fails"
    )
    figure.legend(handles, labels, loc="outside lower center", ncols=8, title=title)
    return figure
