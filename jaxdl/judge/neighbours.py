"""What the nearest neighbours of samples tell: are they real, are all kinds there, are they copies.

Squared distances are ``|x|^2 + |y|^2 - 2 x . y``, a matrix product for each block of pairs, so that
memory does not grow with the number of points. The difference is taken in float64: in float32 it is
wrong by ``1e-7 |x|^2``, in which the small distances of copies would drown.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxdl.errors import InputError
from jaxdl.statistics import share_interval

BLOCK_ROWS, BLOCK_COLUMNS = 1000, 4000
"""Pairs in a block: 32 MB."""


def nearest_distances(
    points: Float[np.ndarray, "points features"],
    others: Float[np.ndarray, "others features"],
    k: int = 1,
) -> Float[np.ndarray, "points k"]:
    """The Euclidean distances of each point to its ``k`` nearest others, ascending, in float64.

    Those of a set to itself begin with the distance 0 of each point to itself.

    Raises:
        InputError: there are fewer than ``k`` others.

    >>> nearest_distances(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 1.0]]), k=2).tolist()
    [[1.0, 5.0]]
    """
    return np.sqrt(_nearest_squares(points, others, k))


# --- real, and of all kinds ----------------------------------------------------------------------


def precision_recall(
    samples: Float[np.ndarray, "samples features"],
    real: Float[np.ndarray, "real features"],
    k: int = 3,
) -> tuple[float, float]:
    """Improved precision and recall (Kynkaanniemi et al. 2019, arXiv:1904.06991).

    A set's manifold is the union of the balls about its points that reach to their k-th nearest
    neighbours, edges included.

    One odd real example has a ball so large that there may be all kinds of noise in it: noise can
    have a precision of nearly 1, which `density_coverage` tells from real examples.

    Args:
        samples: features of what is judged.
        real: those of real examples.
        k: 3 in the paper.

    Returns:
        Precision, the share of samples in the manifold of the real ones, and recall, the share of
        real ones in that of the samples.

    Raises:
        InputError: a set has no more than ``k`` points.

    >>> real = np.array([[0.0], [1.0], [2.0]])
    >>> precision_recall(np.array([[0.5], [9.0]]), real, k=1)
    (0.5, 1.0)
    """
    sample_radii, real_radii = _squared_radii(samples, k), _squared_radii(real, k)
    is_precise, is_recalled = np.zeros(len(samples), bool), np.zeros(len(real), bool)
    for rows, columns, squares in _blocks(samples, real):
        is_precise[rows] |= (squares <= real_radii[columns]).any(axis=1)
        is_recalled[columns] |= (squares <= sample_radii[rows, None]).any(axis=0)
    return float(is_precise.mean()), float(is_recalled.mean())


def density_coverage(
    samples: Float[np.ndarray, "samples features"],
    real: Float[np.ndarray, "real features"],
    k: int = 5,
) -> tuple[float, float]:
    """Density and coverage (Naeem et al. 2020, arXiv:2002.09797).

    Both look only at the balls about real points, so that no single odd sample, about which there
    is a large ball, can cover all that is real.

    Args:
        samples: features of what is judged.
        real: those of real examples.
        k: 5 in the paper.

    Returns:
        Density, in how many balls a sample is on average, over ``k``: 1 is expected of real
        examples, and more where samples keep to where the real ones are densest. Coverage, the
        share of balls with a sample in them: ``1 - (n - 1) ... (n - k) / ((2 n - 1) ... (2 n -
        k))``, 0.97 with k = 5, is expected of n real examples against n.

    Raises:
        InputError: the real set has no more than ``k`` points.

    >>> real = np.array([[0.0], [1.0], [3.0]])
    >>> density_coverage(np.array([[0.5], [9.0]]), real, k=1)  # in the balls about 0 and 1
    (1.0, 0.6666666666666666)
    """
    radii = _squared_radii(real, k)
    balls, is_covered = 0, np.zeros(len(real), bool)
    for _, columns, squares in _blocks(samples, real):
        is_inside = squares <= radii[columns]
        balls += np.count_nonzero(is_inside)
        is_covered[columns] |= is_inside.any(axis=0)
    return float(balls / (k * len(samples))), float(is_covered.mean())


# --- copies --------------------------------------------------------------------------------------


class TrainingDistances(NamedTuple):
    """How near points are to the training examples.

    Attributes:
        distance: to the nearest of them.
        ratio: the same over the distance to the nearest held-out example.
    """

    distance: Float[np.ndarray, " points"]
    ratio: Float[np.ndarray, " points"]


def training_distances(
    points: Float[np.ndarray, "points features"],
    train: Float[np.ndarray, "train features"],
    held_out: Float[np.ndarray, "held_out features"],
) -> TrainingDistances:
    """How near samples are to the training examples, and for comparison to the held-out ones."""
    return _distances(nearest_distances(points, train), nearest_distances(points, held_out))


def held_out_distances(
    held_out: Float[np.ndarray, "held_out features"], train: Float[np.ndarray, "train features"]
) -> TrainingDistances:
    """The same of the held-out examples themselves, each compared with the others of them."""
    own = nearest_distances(held_out, held_out, k=2)[:, 1:]
    return _distances(nearest_distances(held_out, train), own)


class Nearness(NamedTuple):
    """A measure of samples beside the same of held-out examples: is it smaller?

    Attributes:
        median: of the samples.
        held_out_median: of the held-out examples.
        share: of samples that are below the 1st percentile of the held-out ones; 0.01 is expected.
        interval: of that share, 95%, the percentile taken for exact.
        p_value: how probable measures so small are if they are as those of held-out examples: the
            one-sided test of Mann and Whitney (1947, Annals of Mathematical Statistics 18, pages 50
            to 60). It takes samples for independent; where they crowd about a few places, and so
            have the same neighbours, it is too small, and ``share`` is what to trust.
    """

    median: float
    held_out_median: float
    share: float
    interval: tuple[float, float]
    p_value: float


class Copying(NamedTuple):
    """Whether samples are copies of training examples.

    Attributes:
        distance: to the nearest training example (Meehan, Chaudhuri and Dasgupta 2020,
            arXiv:2004.05675, the test without its cells). Smaller for copies, but for samples that
            are smoother or plainer than real ones too: a blurred image is near to everything.
        ratio: to that over the distance to the nearest held-out example. What brings a sample near
            to all that is real is in both and cancels: smaller for copies alone.
    """

    distance: Nearness
    ratio: Nearness


def copying(samples: TrainingDistances, held_out: TrainingDistances) -> Copying:
    """Compares samples with held-out examples, which nobody can have copied.

    >>> rng = np.random.default_rng(0)
    >>> train, held_out = rng.normal(size=(500, 8)), rng.normal(size=(400, 8))
    >>> of_held_out = held_out_distances(held_out, train)
    >>> copying(training_distances(train[:50] + 1e-3, train, held_out), of_held_out).ratio.share
    1.0
    """
    return Copying(*(_nearness(*pair) for pair in zip(samples, held_out, strict=True)))


def _distances(
    train: Float[np.ndarray, "points 1"], held_out: Float[np.ndarray, "points 1"]
) -> TrainingDistances:
    # A copy of a held-out example has no finite ratio; any large number will do.
    return TrainingDistances(train[:, 0], train[:, 0] / np.maximum(held_out[:, 0], 1e-12))


def _nearness(
    samples: Float[np.ndarray, " samples"], held_out: Float[np.ndarray, " held_out"]
) -> Nearness:
    from scipy.stats import mannwhitneyu  # here because it takes a second and a half

    is_below = samples < np.quantile(held_out, 0.01)
    return Nearness(
        median=float(np.median(samples)),
        held_out_median=float(np.median(held_out)),
        share=float(is_below.mean()),
        interval=share_interval(is_below),
        p_value=float(mannwhitneyu(samples, held_out, alternative="less").pvalue),
    )


# --- blocks of distances -------------------------------------------------------------------------


def _squared_radii(
    points: Float[np.ndarray, "points features"], k: int
) -> Float[np.ndarray, " points"]:
    """The squared distance of each point to its k-th nearest neighbour, itself not counted."""
    return _nearest_squares(points, points, k + 1)[:, k]


def _nearest_squares(
    points: Float[np.ndarray, "points features"],
    others: Float[np.ndarray, "others features"],
    k: int,
) -> Float[np.ndarray, "points k"]:
    if not 1 <= k <= len(others):
        raise InputError(f"{k} nearest of {len(others)} points: give more points or a smaller k")
    nearest = np.full((len(points), k), np.inf)
    for rows, _, squares in _blocks(points, others):
        if k == 1:
            best = squares.min(axis=1, keepdims=True)  # much faster than to part them
        else:
            best = np.partition(squares, min(k, squares.shape[1]) - 1, axis=1)[:, :k]
        nearest[rows] = np.sort(np.hstack([nearest[rows], best]), axis=1)[:, :k]
    return nearest


def _blocks(
    points: Float[np.ndarray, "points features"], others: Float[np.ndarray, "others features"]
) -> Iterator[tuple[slice, slice, Float[np.ndarray, "rows columns"]]]:
    """Which points, which others, and the squared distances of these."""
    for columns in _slices(len(others), BLOCK_COLUMNS):
        right = others[columns].astype(np.float64)
        right_squares = np.square(right).sum(axis=1)
        for rows in _slices(len(points), BLOCK_ROWS):
            left = points[rows].astype(np.float64)
            squares = left @ (-2 * right.T)
            squares += np.square(left).sum(axis=1)[:, None]
            squares += right_squares
            yield rows, columns, np.maximum(squares, 0, out=squares)


def _slices(count: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, count, size))
