"""The path of a run against a plain loop."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import losses, models
from jaxdl.optim import OptimizerConfig
from jaxdl.paths import follow
from jaxdl.types import Examples


def test_each_step_of_a_linear_model_in_float64():
    rng = np.random.default_rng(0)
    inputs, targets = rng.normal(size=(5, 2)), rng.normal(size=(5, 1))
    start, rate = np.array([[1.0], [-2.0]]), 0.1
    weights, expected = start, []
    for _ in range(3):
        weights = weights - rate * inputs.T @ (inputs @ weights - targets) / 5
        expected.append(weights[:, 0])
    with jax.enable_x64(True):
        model = models.linear(jnp.asarray(start))
        path = follow(
            model,
            losses.supervised_loss(model, losses.half_squared_error),
            OptimizerConfig("sgd", rate),
            models.linear_weights,
            jax.random.key(0),
            Examples(jnp.asarray(inputs), jnp.asarray(targets)),
            epochs=3,
            batch_size=5,
        )
    np.testing.assert_allclose(path, expected, rtol=1e-12)
