"""Four functions of one and two numbers, and the points where they are looked at."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

Points = Float[np.ndarray, "points 2"]
Values = Float[np.ndarray, " points"]

POINTS = 4096
"""That stand for the interval or the disc."""
WIDTH, EDGE = 0.4, 0.3
"""Of the bump, in standard deviations, and of the step."""
GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))


class Target(NamedTuple):
    """A function on the interval or the disc of radius 1 about 0.

    Attributes:
        function: of points; where it is of one number, that is the first coordinate.
        dimensions: 1 or 2.
        norm: its Barron norm, the integral of ``|w| |F(w)|``, ``F`` the Fourier transform.
        theory: what the squared error with drawn units is to be, but for a factor, by their number.
        least: the squared error that points so far apart cannot tell from none.
    """

    function: Callable[[Points], Values]
    dimensions: int
    norm: float
    theory: Callable[[Values], Values]
    least: float = 0.0


def sine(points: Points) -> Values:
    """A period, ``sin(pi x)``."""
    return np.sin(np.pi * points[:, 0])


def step(points: Points) -> Values:
    """From 0 to 1 at `EDGE`."""
    return np.where(points[:, 0] > EDGE, 1.0, 0.0)


def bump(points: Points) -> Values:
    """A normal density, but for its constant."""
    return np.exp(-np.square(points).sum(axis=1) / (2 * WIDTH**2))


def product(points: Points) -> Values:
    """``sin(pi x) sin(pi y)``: two waves across each other."""
    return np.sin(np.pi * points[:, 0]) * np.sin(np.pi * points[:, 1])


def gaps_to_the(units: Values, power: int) -> Values:
    """The mean of the sum of this power of the gaps that so many random points leave.

    But for a factor ``1 / ((n + 2) (n + 3) ... (n + power))``, as gaps between uniform points have
    it (David and Nagaraja, "Order Statistics", 2003, section 6.4).
    """
    return 1 / np.prod([units + of for of in range(2, power + 1)], axis=0)


def smooth_in_the_plane(units: Values) -> Values:
    """``n^(-(d + 3) / d)`` for ``d = 2`` (Siegel and Xu 2022, arXiv:2101.12365, for ReLU)."""
    return units**-2.5


TARGETS = {
    # A line is off by the square of the gap that it crosses: the fourth power, along the gap.
    "sine": Target(sine, dimensions=1, norm=np.pi, theory=partial(gaps_to_the, power=5)),
    # Off along the gap that the edge is in, which a long one is the likelier to be. A line from one
    # point to the next is off by 1/12, but at no point.
    "step": Target(
        step,
        dimensions=1,
        norm=np.inf,
        theory=partial(gaps_to_the, power=2),
        least=1 / (12 * POINTS),
    ),
    # The norm: the mean length of a normal vector in the plane, of deviation 1 / WIDTH.
    "bump": Target(bump, dimensions=2, norm=np.sqrt(np.pi / 2) / WIDTH, theory=smooth_in_the_plane),
    "product": Target(product, dimensions=2, norm=np.pi * 2**0.5, theory=smooth_in_the_plane),
}


def points_of(dimensions: int, count: int = POINTS) -> Points:
    """Points that share the interval or the disc evenly.

    On the interval ``(x, 0)``, on the disc a sunflower's (Vogel, "A Better Way to Construct the
    Sunflower Head", 1979).
    """
    places = (np.arange(count) + 0.5) / count
    if dimensions == 1:
        return np.stack([2 * places - 1, np.zeros(count)], axis=1)
    angles = GOLDEN_ANGLE * np.arange(count)
    return np.sqrt(places)[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def barron_bound(norm: float, units: Float[np.ndarray, " widths"]) -> Float[np.ndarray, " widths"]:
    """What the squared error of the best network need not be above, on a ball of radius 1.

    ``(2 norm)^2 / n`` with n sigmoids (Barron, "Universal Approximation Bounds for Superpositions
    of a Sigmoidal Function", 1993, theorem 1). A ramp is one, and made of two ReLUs.
    """
    sigmoids = units // 2
    return np.where(sigmoids > 0, (2 * norm) ** 2 / np.maximum(sigmoids, 1), np.inf)


def on_one_number(targets: dict[str, Target]) -> Bool[np.ndarray, " targets"]:
    """Which they are."""
    return np.array([target.dimensions == 1 for target in targets.values()])
