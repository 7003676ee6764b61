"""Newton's method against scikit-learn's solver and finite differences."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from jaxdl.logistic import newton


def problem():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(60, 3))
    return inputs, (inputs[:, 0] + rng.logistic(size=60) > 0).astype(float)


@pytest.mark.parametrize("strength", [0.0, 0.1])
def test_the_optimum(strength):
    inputs, targets = problem()
    inverse = 1 / (2 * strength * len(targets)) if strength else np.inf
    solver = LogisticRegression(C=inverse, fit_intercept=False, tol=1e-12, max_iter=1000)
    expected = solver.fit(inputs, targets).coef_[0]
    np.testing.assert_allclose(newton(inputs, targets, strength).weights, expected, atol=1e-6)


def test_hessian_and_covariance():
    inputs, targets = problem()
    found = newton(inputs, targets)

    def gradients(weights):
        return inputs * (1 / (1 + np.exp(-inputs @ weights)) - targets)[:, None]

    steps = 1e-5 * np.eye(3)
    slopes = [
        (gradients(found.weights + step) - gradients(found.weights - step)).mean(axis=0) / 2e-5
        for step in steps
    ]
    np.testing.assert_allclose(found.hessian, slopes, atol=1e-8)
    at_optimum = gradients(found.weights)
    np.testing.assert_allclose(found.covariance, at_optimum.T @ at_optimum / 60, atol=1e-12)
