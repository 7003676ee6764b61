"""Logistic regression's optimum, by Newton's method: what descents on it are compared with."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Optimum(NamedTuple):
    """Where the mean loss is least, and what it is like there.

    Attributes:
        weights: of the optimum.
        hessian: of the mean loss.
        covariance: of the examples' gradients, by their number (not one less).
    """

    weights: Float[np.ndarray, " features"]
    hessian: Float[np.ndarray, "features features"]
    covariance: Float[np.ndarray, "features features"]


def newton(
    inputs: Float[np.ndarray, "examples features"],
    targets: Float[np.ndarray, " examples"],
    l2_strength: float | int = 0.0,
    *,
    steps: int = 20,
) -> Optimum:
    """The optimum of the cross-entropy with ``l2_strength * |w|^2``, from weights of zero.

    Args:
        inputs: a column of ones makes a constant, which is penalised like any weight.
        targets: 0 or 1.
        l2_strength: without it the classes must overlap: else there is no optimum.
        steps: of Newton's method, which doubles the right digits with each.

    >>> overlapping = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 1.0], [1.0, 1.0]])
    >>> newton(overlapping, np.array([0.0, 0.0, 1.0, 0.0, 1.0])).weights  # log 1/2, log 2
    array([-0.69314718,  0.69314718])
    """

    def derivatives(weights):
        chances = 1 / (1 + np.exp(-inputs @ weights))
        gradients = inputs * (chances - targets)[:, None] + 2 * l2_strength * weights
        hessian = (inputs.T * (chances * (1 - chances))) @ inputs / len(targets)
        return gradients, hessian + 2 * l2_strength * np.eye(len(weights))

    weights = np.zeros(inputs.shape[1])
    for _ in range(steps):
        gradients, hessian = derivatives(weights)
        weights = weights - np.linalg.solve(hessian, gradients.mean(axis=0))
    gradients, hessian = derivatives(weights)
    return Optimum(weights, hessian, np.cov(gradients.T, bias=True))
