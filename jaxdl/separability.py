"""Whether a plane parts two classes of points, and how widely.

A plane is given by weights, one for each coordinate and the bias last: it puts a point ``x`` into
the class True where ``weights . (x, 1) > 0``.
"""

import numpy as np
from jaxtyping import Bool, Float

from jaxdl.errors import InputError

Points = Float[np.ndarray, "points coordinates"]
Labels = Bool[np.ndarray, " points"]
Weights = Float[np.ndarray, " weights"]


def separating_plane(points: Points, labels: Labels) -> Weights | None:
    """A plane with all points of each class strictly on its own side, or None where there is none.

    A linear program: find weights by which each point is at least 1 on its side.

    >>> corners = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    >>> separating_plane(corners, np.array([False, True, True, False])) is None  # XOR
    True
    """
    # Imported here because it takes a quarter of a second.
    from scipy.optimize import linprog

    rows = signed_rows(points, labels)
    found = linprog(
        np.zeros(rows.shape[1]), A_ub=-rows, b_ub=-np.ones(len(rows)), bounds=(None, None)
    )
    return found.x if found.status == 0 else None


def widest_margin(points: Points, labels: Labels) -> tuple[Weights, float]:
    """The plane that is furthest from the points ``(x, 1)``, as a unit vector, and how far it is.

    The shortest weights by which each point is at least 1 on its side, one over whose length is the
    distance: a problem of least distance, solved by non-negative least squares (Lawson and Hanson,
    "Solving Least Squares Problems", 1974, section 23.4).

    Raises:
        InputError: no plane parts them.

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
    residual = matrix @ multipliers - wanted
    weights = -residual[:-1] / residual[-1]
    length = np.linalg.norm(weights)
    return weights / length, float(1 / length)


def signed_rows(points: Points, labels: Labels) -> Float[np.ndarray, "points weights"]:
    """Each point with a 1 behind, times 1 or -1 for its class: the plane is right where above 0."""
    signs = np.where(labels, 1.0, -1.0)[:, None]
    return signs * np.concatenate([points, np.ones((len(points), 1))], axis=1)
