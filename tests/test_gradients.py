"""Gradient functions against a loop over examples in NumPy float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy import examples, linear_model

from jaxdl import losses
from jaxdl.errors import InputError
from jaxdl.gradients import mean_gradient, per_example_gradients
from jaxdl.types import Batch

PARAMS = {"w": jnp.asarray(np.random.default_rng(1).normal(size=(5, 3)), jnp.float32)}
PARAMS["b"] = jnp.array([0.1, -0.2, 0.3])


def numpy_gradients(batch):
    """``x (p - y)^T`` for each example: softmax regression, written out."""
    gradients = []
    w, b = (np.asarray(PARAMS[name], np.float64) for name in ("w", "b"))
    for x, y in zip(np.asarray(batch.inputs, np.float64), batch.targets, strict=True):
        p = np.exp(x @ w + b)
        p /= p.sum()
        p[y] -= 1
        gradients.append({"w": np.outer(x, p), "b": p})
    return gradients


@pytest.mark.parametrize("microbatch_size", [None, 1, 3])
def test_per_example_gradients(microbatch_size):
    batch = Batch(*examples(6), jnp.ones(6))
    loss_fn = losses.classification_loss(linear_model())
    gradients = per_example_gradients(
        loss_fn, PARAMS, {}, batch, None, microbatch_size=microbatch_size
    )
    for place, expected in enumerate(numpy_gradients(batch)):
        for name, value in expected.items():
            np.testing.assert_allclose(gradients[name][place], value, atol=1e-6)


def test_mean_gradient_is_weighted():
    weights = np.array([1, 0.5, 0, 2, 1, 1])
    batch = Batch(*examples(6), jnp.asarray(weights, jnp.float32))
    loss_fn = losses.classification_loss(linear_model())
    gradient, aux = mean_gradient(loss_fn)(PARAMS, {}, batch, None)
    singles = numpy_gradients(batch)
    for name, value in gradient.items():
        expected = sum(w * g[name] for w, g in zip(weights, singles, strict=True)) / weights.sum()
        np.testing.assert_allclose(value, expected, atol=1e-6)
    assert float(aux.metrics["examples"]) == weights.sum()


def test_draws_are_the_same_however_the_gradient_is_taken():
    """Dropout on: the mean of per-example gradients, in any microbatch, is the mean gradient."""
    batch = Batch(*examples(6), jnp.ones(6))
    keys = jax.random.split(jax.random.key(0), 6)
    loss_fn = losses.classification_loss(linear_model(dropout_rate=0.5))
    mean, _ = mean_gradient(loss_fn)(PARAMS, {}, batch, keys)
    for size in (None, 1, 3):
        single = per_example_gradients(loss_fn, PARAMS, {}, batch, keys, microbatch_size=size)
        for name, value in mean.items():
            np.testing.assert_allclose(single[name].mean(0), value, atol=1e-6)


def test_a_nan_of_weight_0_does_not_count():
    data = examples(4)
    batch = Batch(data.inputs.at[2].set(jnp.nan), data.targets, jnp.array([1.0, 1, 0, 1]))
    _, aux = mean_gradient(losses.classification_loss(linear_model()))(PARAMS, {}, batch, None)
    assert np.isfinite(float(aux.metrics["loss"]))


def test_a_microbatch_that_does_not_divide_is_refused():
    batch = Batch(*examples(6), jnp.ones(6))
    loss_fn = losses.classification_loss(linear_model())
    with pytest.raises(InputError, match="4 does not divide a batch of 6"):
        per_example_gradients(loss_fn, PARAMS, {}, batch, None, microbatch_size=4)


def test_a_model_whose_state_each_batch_moves_is_refused():
    """Batch norm of one example is 0, and so would be its gradient."""
    batch = Batch(*examples(6), jnp.ones(6))
    loss_fn = losses.classification_loss(linear_model())
    with pytest.raises(InputError, match="group or layer norm"):
        per_example_gradients(loss_fn, PARAMS, {"mean": jnp.zeros(5)}, batch, None)
