"""The Frechet distance of two sets of features, each taken for a Gaussian."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxdl.errors import InputError


class Moments(NamedTuple):
    """The mean of some features and their covariance, over n - 1, in float64."""

    mean: Float[np.ndarray, " features"]
    covariance: Float[np.ndarray, "features features"]


def moments(features: Float[np.ndarray, "examples features"]) -> Moments:
    """The mean and covariance of two examples or more.

    Raises:
        InputError: there are fewer.

    >>> moments(np.array([[0.0, 1.0], [2.0, 1.0]])).covariance.tolist()
    [[2.0, 0.0], [0.0, 0.0]]
    """
    if len(features) < 2:
        raise InputError(f"the covariance of {len(features)} example; give two or more")
    features = features.astype(np.float64)
    mean = features.mean(axis=0)
    features -= mean
    return Moments(mean, features.T @ features / (len(features) - 1))


def frechet_distance(first: Moments, second: Moments) -> float:
    """``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))``, 0 or more.

    The squared 2-Wasserstein distance of two Gaussians (Dowson and Landau 1982, Journal of
    Multivariate Analysis 12, pages 450 to 455), which Heusel et al. 2017 (arXiv:1706.08500) take of
    a network's features. With ``S = F F^T`` the trace of ``(S1 S2)^(1/2)`` is the sum of the
    singular values of ``F1^T F2``: there is no root of a product that is not symmetric, no root of
    small differences, and a covariance without full rank is like any other.

    Estimated moments make it too large, the more so the fewer examples there are: compare only
    distances of equally many.

    Raises:
        InputError: the moments are of different numbers of features.

    >>> one = Moments(np.zeros(2), np.diag([1.0, 4.0]))
    >>> round(frechet_distance(one, Moments(np.array([3.0, 0.0]), np.diag([4.0, 4.0]))), 12)
    10.0
    """
    if first.mean.shape != second.mean.shape:
        raise InputError(f"features of {first.mean.size} numbers against {second.mean.size}")
    between = _factor(first.covariance).T @ _factor(second.covariance)
    shared = np.linalg.svd(between, compute_uv=False).sum()
    apart = np.sum(np.square(first.mean - second.mean))
    spread = np.trace(first.covariance) + np.trace(second.covariance)
    return max(0.0, float(apart + spread - 2 * shared))


def _factor(
    covariance: Float[np.ndarray, "features features"],
) -> Float[np.ndarray, "features features"]:
    """``F`` with ``F F^T`` the covariance."""
    variances, axes = np.linalg.eigh(covariance)
    return axes * np.sqrt(np.maximum(variances, 0))  # rounding makes some a little negative
