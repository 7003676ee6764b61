"""What a classifier of sequences says while it reads."""

import numpy as np
from jaxtyping import Float, Integer, Num
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from jaxdl.plots.axes import AnyArray, show_image
from jaxdl.plots.style import BLUE, styled

SHOWN = 6


@styled
def reading(
    probabilities: Float[AnyArray, "count time classes"],
    truths: Integer[AnyArray, " count"],
    images: Num[AnyArray, "count height width channels"],
    what: str,
) -> Figure:
    """Draws the accuracy after each step, and what is believed of some images, step by step.

    Args:
        probabilities: of each class, had the sequence ended at each step.
        truths: the classes.
        images: what was read; the first few are shown.
        what: a step is, in the plural, such as ``"rows"``.
    """
    probabilities, truths = np.asarray(probabilities), np.asarray(truths)
    steps = np.arange(1, probabilities.shape[1] + 1)
    figure = Figure(figsize=(9.6, 6.4), layout="constrained")
    shown = min(SHOWN, len(truths))
    grid = figure.add_gridspec(3, shown, height_ratios=(1.6, 1, 1))
    curve = figure.add_subplot(grid[0, :])
    right = probabilities.argmax(axis=-1) == truths[:, None]
    curve.plot(steps, right.mean(axis=0), color=BLUE)
    curve.set(xlabel=f"{what} read", ylabel="accuracy", xlim=(steps[0], steps[-1]), ylim=(0, 1))
    curve.yaxis.set_major_formatter(PercentFormatter(1))
    curve.set_title(f"accuracy on {len(truths):,} test images, had they ended there")
    for place in range(shown):
        show_image(figure.add_subplot(grid[1, place]), np.asarray(images)[place])
        axes = figure.add_subplot(grid[2, place])
        _show_belief(axes, probabilities[place])
        axes.set_xlabel(f"{what} read")
        if place == 0:
            axes.set(ylabel="class believed\n(darker: surer)")
    return figure


def _show_belief(axes: Axes, probabilities: Float[np.ndarray, "time classes"]) -> None:
    """A row for each class, darker where it is believed more."""
    time, classes = probabilities.shape
    extent = (0.5, time + 0.5, -0.5, classes - 0.5)
    axes.imshow(
        probabilities.T,
        aspect="auto",
        cmap="Blues",
        vmin=0,
        vmax=1,
        origin="lower",
        extent=extent,
    )
    axes.set_yticks(range(0, classes, 3))
