"""Whether a plane parts two classes of points, and how widely.

A plane is given by weights, one for each coordinate and the bias last: it puts a point ``x`` into
the class True where ``weights . (x, 1) > 0``.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxdl.errors import InputError

Points = Float[np.ndarray, "points coordinates"]
Labels = Bool[np.ndarray, " points"]
Weights = Float[np.ndarray, " weights"]

FOUND, INFEASIBLE = 0, 2
"""What SciPy's linear programming says."""


def corners(inputs: int) -> Int[np.ndarray, "corners inputs"]:
    """All inputs of zeros and ones, the last changing first.

    >>> corners(2).tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    return np.array(list(np.ndindex(*(2,) * inputs)))


def labellings(points: int) -> Bool[np.ndarray, "labellings points"]:
    """All that there are of so many points, in the order of `corners`."""
    return corners(points).astype(bool)


def separating_plane(points: Points, labels: Labels) -> Weights | None:
    """A plane with all points of each class strictly on its own side, or None where there is none.

    A linear program: find weights by which each point is at least 1 on its side. Classes whose gap
    is less than about 1e-7 of their extent are told to be inseparable.

    >>> separating_plane(corners(2).astype(float), np.array([False, True, True, False]))  # XOR

    Raises:
        InputError: the solver gave up.
    """
    # Imported here because it takes a quarter of a second.
    from scipy.optimize import linprog

    # Of points about 0 at a distance of about 1, lest the solver's tolerances decide.
    middle, scale = points.mean(axis=0), np.maximum(points.std(axis=0), 1e-300)
    rows = signed_rows((points - middle) / scale, labels)
    found = linprog(
        np.zeros(rows.shape[1]), A_ub=-rows, b_ub=-np.ones(len(rows)), bounds=(None, None)
    )
    if found.status == INFEASIBLE:
        return None
    if found.status != FOUND:
        raise InputError(f"no plane was found, nor that there is none: {found.message}")
    slopes = found.x[:-1] / scale
    return np.append(slopes, found.x[-1] - slopes @ middle)


def widest_margin(points: Points, labels: Labels) -> tuple[Weights, float]:
    """The plane that is furthest from the points ``(x, 1)``, as a unit vector, and how far it is.

    The shortest weights by which each point is at least 1 on its side, one over whose length is the
    distance: a problem of least distance, solved by non-negative least squares (Lawson and Hanson,
    "Solving Least Squares Problems", 1974, section 23.4).

    Raises:
        InputError: no plane parts them, or their margin is below what float64 can tell.

    >>> weights, margin = widest_margin(np.array([[-1.0], [3.0]]), np.array([False, True]))
    >>> (weights / weights[0]).round(6).tolist(), round(margin, 6)
    ([1.0, -1.0], 1.414214)
    """
    # Imported here because it takes a quarter of a second.
    from scipy.optimize import nnls

    rows = signed_rows(points, labels)
    wanted = np.zeros(rows.shape[1] + 1)
    wanted[-1] = 1
    matrix = np.concatenate([rows.T, np.ones((1, len(rows)))])
    multipliers, distance = nnls(matrix, wanted)
    if distance < 1e-9:
        raise InputError("no plane parts these points; ask separating_plane first")
    weights = rows.T @ multipliers
    length = np.linalg.norm(weights)
    if not (length > 0 and (rows @ weights > 0).all()):
        raise InputError("the margin is too narrow for these coordinates: shift and scale them")
    return weights / length, float((rows @ weights).min() / length)


def signed_rows(points: Points, labels: Labels) -> Float[np.ndarray, "points weights"]:
    """Each point with a 1 behind, times 1 or -1 for its class: the plane is right where above 0."""
    signs = np.where(labels, 1.0, -1.0)[:, None]
    return signs * np.concatenate([points, np.ones((len(points), 1))], axis=1)
