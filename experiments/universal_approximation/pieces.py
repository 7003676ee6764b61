"""Functions of one number that are linear in pieces: how many, and how good so many can be."""

import numpy as np
from jaxtyping import Float

from jaxdl.types import Params

NEAR = 1e-9
"""Bends that are no further from each other are one."""
ALIKE = 1e-6
"""Of the steepest slope: slopes that differ by no more are one."""

Grid = Float[np.ndarray, " points"]
Layers = list[tuple[Float[np.ndarray, "inputs units"], Float[np.ndarray, " units"]]]
"""Kernels and biases, first layer first."""


def count_pieces(params: Params, low: float = 0.0, high: float = 1.0) -> int:
    """Linear pieces between two points of a ReLU network of one input and one output.

    A unit bends where its sum crosses 0. Between neighbouring bends of the layers before it the sum
    is linear, so that its values at these tell where. Layer by layer that finds all bends; those
    where the slope of the output stays count for nothing.

    Args:
        params: of `jaxdl.models.mlp`.
        low: where to begin.
        high: where to end.
    """
    layers, bends = layers_of(params), np.array([low, high])
    for depth in range(1, len(layers)):
        sums = sums_of(layers[:depth], bends)
        before, after = sums[:-1], sums[1:]
        at, unit = np.nonzero(before * after < 0)
        share = before[at, unit] / (before - after)[at, unit]
        bends = np.sort(np.append(bends, bends[at] + share * np.diff(bends)[at]))
        bends = bends[np.append(True, np.diff(bends) > NEAR)]
    slopes = np.diff(sums_of(layers, bends)[:, 0]) / np.diff(bends)
    return 1 + int(np.sum(np.abs(np.diff(slopes)) > ALIKE * np.abs(slopes).max()))


def layers_of(params: Params) -> Layers:
    """Those of a multilayer perceptron, in float64."""
    dense = [params[f"Dense_{place}"] for place in range(len(params))]
    return [(np.asarray(of["kernel"], float), np.asarray(of["bias"], float)) for of in dense]


def sums_of(layers: Layers, points: Grid) -> Float[np.ndarray, "points units"]:
    """What the units of the last layer sum up, before any ReLU of theirs."""
    kernel, bias = layers[0]
    sums = points[:, None] * kernel + bias
    for kernel, bias in layers[1:]:
        sums = np.maximum(sums, 0) @ kernel + bias
    return sums


def best_errors(points: Grid, values: Grid, most: int) -> Float[np.ndarray, " most"]:
    """Mean squared errors of the best functions that are linear in 1, 2, ... ``most`` pieces.

    They may jump between pieces, so no continuous one is better: no network of ``most - 1`` hidden
    ReLU units, however it is trained. Exact, by dynamic programming (Bellman, "On the Approximation
    of Curves by Line Segments Using Dynamic Programming", 1961).

    Args:
        points: ascending.
        values: of the function there.
        most: pieces.
    """
    costs = costs_of_pieces(points, values)
    best = costs[0]
    errors = [best[-1]]
    for _ in range(1, most):
        best = (best[:, None] + costs).min(axis=0)
        errors.append(best[-1])
    return np.array(errors) / len(points)


def best_knots_error(bends: Grid, pieces: Float[np.ndarray, " many"]) -> Grid:
    """The mean squared error of the best such function on ``[-1, 1]``, of many pieces.

    ``(integral of |f''|^(2/5))^5 / (720 n^4)``, over the length (de Boor, "Good Approximation by
    Splines with Variable Knots", 1973).

    Args:
        bends: second derivatives of what is approximated, at points that lie evenly.
        pieces: numbers of them.
    """
    length = 2.0
    whole = length * np.mean(np.abs(bends) ** 0.4)
    return whole**5 / (720 * pieces**4) / length


def costs_of_pieces(points: Grid, values: Grid) -> Float[np.ndarray, "ends ends"]:
    """The squared error of the best line through the points from one up to another, left out."""
    products = (np.ones_like(points), points, values, points**2, points * values, values**2)
    sums = [np.append(0.0, np.cumsum(of)) for of in products]
    count, x, y, xx, xy, yy = (of[None] - of[:, None] for of in sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        across = xx - x**2 / count
        costs = yy - y**2 / count - np.where(count > 1, (xy - x * y / count) ** 2 / across, 0)
    return np.where(count > 0, np.maximum(costs, 0), np.where(count == 0, 0, np.inf))
