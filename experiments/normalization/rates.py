"""The largest learning rate at which a network trains, by its norm."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from experiments.normalization.network import Kind
from experiments.normalization.style import style
from jaxdl import plots
from jaxdl.claims import Claim
from jaxdl.statistics import write_geometric

TRAINS = 0.5
"""Accuracy on training examples from which a network is said to train; chance is a tenth."""
LEAST = 5.0
"""How many times the rate of no norm batch norm is to tolerate: as often as Ioffe and Szegedy 2015
raised it first (section 4.2.2, "BN-x5")."""


class Rates(NamedTuple):
    """Accuracy on training examples after all steps, by running averages.

    Attributes:
        kinds: of norms.
        rates: of gradient descent, growing.
        accuracy: ``(kinds, rates, seeds)``.
    """

    kinds: Sequence[Kind]
    rates: Sequence[float]
    accuracy: Float[np.ndarray, "kinds rates seeds"]

    def largest(self) -> dict[Kind, Float[np.ndarray, " seeds"]]:
        """The largest rate with which each kind trains from each seed; NaN where none does."""
        trains = self.accuracy >= TRAINS
        rates = np.where(trains, np.array(self.rates)[:, None], np.nan)
        # Not np.nanmax, which warns where there is no number.
        return dict(zip(self.kinds, np.fmax.reduce(rates, axis=1), strict=True))


def ratio_to_none(found: Rates, kind: Kind) -> float:
    """The least, over seeds, of the largest rate of this kind over that of no norm."""
    largest = found.largest()
    return float(np.min(largest[kind] / largest[Kind("none")]))


def rates_claim(found: Rates) -> Claim:
    """More than without a norm, and more than with those of single examples or of weights."""
    largest, ratio = found.largest(), ratio_to_none(found, Kind("batch"))
    others = {kind: of for kind, of in largest.items() if kind.norm in ("layer", "rms", "weight")}
    return Claim(
        "with batch norm a deep network trains at rates far beyond those of one without",
        ratio >= LEAST and all((largest[Kind("batch")] > of).all() for of in others.values()),
        "largest rates "
        + ", ".join(f"{kind.name} {write_geometric(of)}" for kind, of in largest.items())
        + f"; batch norm's is that of no norm times {ratio:.3g} or more from each seed, expected "
        f"{LEAST:g} or more, and above those of {', '.join(kind.name for kind in others)}",
    )


@plots.styled
def draw(found: Rates) -> Figure:
    """Accuracy over the rate."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for kind, of_kind in zip(found.kinds, found.accuracy, strict=True):
        plots.draw_band(axes, np.array(found.rates), of_kind.T, **style(kind))
    axes.axhline(TRAINS, color="black", ls=":", lw=1)
    plots.make_logarithmic(axes.xaxis, (1, 3))
    axes.set(xlabel="learning rate", ylabel="accuracy on training examples", ylim=(0, 1))
    axes.set_title("mean of seeds and 95% interval; a network trains above the dotted line")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
