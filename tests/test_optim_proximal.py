"""Proximal steps against scikit-learn's solver, and what they do to parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial
from sklearn.linear_model import ElasticNet, Lasso

from jaxdl import losses
from jaxdl.optim import OptimizerConfig, make_optimizer, proximal, telemetry

RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(40, 12))
TARGETS = INPUTS[:, :3] @ np.array([2.0, -1.0, 0.5]) + 0.1 * RNG.normal(size=40)
RATE, STEPS = 0.1, 2000
TRACES = []


@jax.jit
def solve(optimizer, ridge):
    """Weights that begin at 0, on half the mean squared error and ``ridge |w|^2``."""
    TRACES.append(None)

    def loss(weights):
        residuals = jnp.asarray(INPUTS) @ weights[0] - jnp.asarray(TARGETS)
        return jnp.mean(jnp.square(residuals)) / 2 + losses.l2(weights, ridge)

    def step(carry, _):
        weights, state = carry
        updates, state = optimizer.update(jax.grad(loss)(weights), state, weights)
        return (weights + updates, state), None

    start = jnp.zeros((1, INPUTS.shape[1]))
    (weights, state), _ = jax.lax.scan(step, (start, optimizer.init(start)), None, length=STEPS)
    return weights[0], telemetry(state)


def with_l1(strength):
    descent = make_optimizer(OptimizerConfig("sgd", RATE))
    return proximal(descent, Partial(losses.soft_threshold, threshold=RATE * strength))


@pytest.fixture(autouse=True)
def in_float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("strength", [0.05, 0.5])
def test_it_is_the_lasso(strength):
    weights, _ = solve(with_l1(strength), 0.0)
    expected = Lasso(strength, fit_intercept=False, tol=1e-12, max_iter=100_000)
    expected = expected.fit(INPUTS, TARGETS).coef_
    np.testing.assert_allclose(weights, expected, atol=1e-8)
    assert np.array_equal(weights == 0, expected == 0)
    assert 0 < np.sum(weights == 0) < weights.size


def test_with_l2_in_the_loss_it_is_the_elastic_net():
    l1, l2 = 0.2, 0.15
    weights, _ = solve(with_l1(l1), l2)
    # scikit-learn's: alpha ratio |w| + alpha (1 - ratio) |w|^2 / 2.
    alpha = l1 + 2 * l2
    model = ElasticNet(alpha, l1_ratio=l1 / alpha, fit_intercept=False, tol=1e-12, max_iter=100_000)
    expected = model.fit(INPUTS, TARGETS).coef_
    np.testing.assert_allclose(weights, expected, atol=1e-8)
    assert np.array_equal(weights == 0, expected == 0)


def test_another_number_is_the_same_program_and_telemetry_is_found():
    solve(with_l1(0.3), 0.0)
    traces = len(TRACES)
    _, seen = solve(with_l1(0.4), 0.1)
    assert len(TRACES) == traces
    assert float(seen["learning_rate"]) == RATE


def test_a_projection():
    optimizer = proximal(optax.sgd(1.0), lambda params: jnp.maximum(params, 0.0))
    params = jnp.array([1.0, 1.0])
    updates, _ = optimizer.update(jnp.array([0.25, 3.0]), optimizer.init(params), params)
    np.testing.assert_array_equal(optax.apply_updates(params, updates), [0.75, 0.0])


def test_it_takes_the_parameters():
    optimizer = proximal(optax.sgd(1.0), jnp.abs)
    params = jnp.ones(2)
    with pytest.raises(ValueError, match="takes the parameters"):
        optimizer.update(params, optimizer.init(params))
