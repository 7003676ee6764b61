"""What several figures draw into their axes: means of seeds with intervals, logarithms, images."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Array, Bool, Float, Num
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.ticker import LogLocator, NullFormatter

from jaxdl.statistics import mean_and_interval, share_interval

AnyArray = Array | np.ndarray


def draw_band(
    axes: Axes,
    x: Num[AnyArray, " points"],
    values: Num[AnyArray, "seeds points"],
    *,
    color: str,
    **style: Any,
) -> None:
    """Draws the mean over seeds as a line and its 95% interval (Student's t) as a pale band.

    Of a single seed there is no band. ``style`` are options of ``Axes.plot`` for the line.
    """
    means, halves = _means_and_halves(values)
    if len(values) > 1:
        axes.fill_between(x, means - halves, means + halves, color=color, alpha=0.2, lw=0)
    axes.plot(x, means, color=color, **style)


def draw_errorbars(
    axes: Axes,
    x: Num[AnyArray, " points"],
    values: Num[AnyArray, "seeds points"],
    *,
    capsize: float | int = 3,
    **style: Any,
) -> None:
    """Draws the mean over seeds and its 95% interval (Student's t) as a bar at each point.

    Of a single seed there are no bars. ``capsize`` (points) and ``style`` are options of
    ``Axes.errorbar``.
    """
    means, halves = _means_and_halves(values)
    bars = halves if len(values) > 1 else None
    axes.errorbar(x, means, bars, capsize=capsize, **style)


def draw_shares(
    axes: Axes,
    x: Num[AnyArray, " points"],
    happened: Sequence[Bool[AnyArray, " runs"]],
    *,
    capsize: float | int = 3,
    **style: Any,
) -> None:
    """Draws in how many runs something happened, and the 95% interval (Clopper and Pearson's).

    Args:
        axes: to draw into.
        x: a point for each share.
        happened: whether it did in each run, at each point.
        capsize: of the bars, in points.
        **style: more options of ``Axes.errorbar``.
    """
    shares = np.array([np.mean(of) for of in happened])
    lows, highs = np.array([share_interval(np.asarray(of)) for of in happened]).T
    bars = np.maximum([shares - lows, highs - shares], 0)
    axes.errorbar(x, shares, bars, capsize=capsize, **style)


def _means_and_halves(
    values: Num[AnyArray, "seeds points"],
) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
    """The mean at each point and the half width of its interval."""
    points = np.asarray(values, np.float64).T
    means, halves = np.transpose([mean_and_interval(of_seeds) for of_seeds in points])
    return means, halves


def make_logarithmic(axis: Axis, multiples: Sequence[float | int] = (1, 2, 5)) -> None:
    """Makes ``axes.xaxis`` or ``axes.yaxis`` logarithmic, with plain numbers on it.

    The numbers are the powers of ten times ``multiples``. Over more than about three decades (two
    on an x-axis, whose numbers lie side by side) they run into each other: give ``(1,)`` there.
    """
    set_scale = axis.axes.set_xscale if isinstance(axis, XAxis) else axis.axes.set_yscale
    set_scale("log")
    axis.set_major_locator(LogLocator(subs=multiples))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def show_image(axes: Axes, image: Num[AnyArray, "height width channels"]) -> None:
    """Shows an image of 1 channel in grey or of 3 in colour, without ticks."""
    image = np.asarray(image)
    axes.imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap="gray")
    axes.set(xticks=[], yticks=[])
