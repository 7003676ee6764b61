"""Two rings: points of two classes that no line parts."""

import numpy as np
from jaxtyping import Bool, Float

RADII, SPREAD = (1.0, 1.6), 0.05
"""Of the inner and the outer one, and the standard deviation of a point's own radius."""


def two_rings(
    rng: np.random.Generator, count: int
) -> tuple[Float[np.ndarray, "count 2"], Bool[np.ndarray, " count"]]:
    """Points near two circles about 0, one of each in turn, and which are of the outer one.

    >>> points, is_outer = two_rings(np.random.default_rng(0), 4)
    >>> is_outer.tolist(), np.linalg.norm(points, axis=1).round(1).tolist()
    ([False, True, False, True], [1.0, 1.6, 1.0, 1.6])
    """
    is_outer = np.arange(count) % 2 == 1
    radii = np.where(is_outer, RADII[1], RADII[0]) + rng.normal(scale=SPREAD, size=count)
    angles = rng.uniform(0, 2 * np.pi, count)
    return radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1), is_outer
