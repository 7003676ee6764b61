"""What is seen of the steps, against a NumPy loop over the parameters of a run."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl.optim import (
    OptimizerConfig,
    averaged_params,
    make_optimizer,
    telemetry,
    watch_steps,
)
from jaxdl.types import as_pytree

START = {"w": jnp.array([1.0, -2.0]), "b": jnp.array(0.5)}
SEEN = ("step_length", "step_cosine", "distance_from_start")


@functools.partial(jax.jit, static_argnames="steps")
def train(optimizer, steps):
    """Parameters and telemetry after each of some steps down ``3 w1^2 + w2^2 + b^2 / 2``."""

    def loss(params):
        return params["w"] @ (jnp.array([3.0, 1.0]) * params["w"]) + params["b"] ** 2 / 2

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), (params, telemetry(state))

    (_, state), history = jax.lax.scan(step, (START, optimizer.init(START)), None, length=steps)
    return *history, state


def in_numpy(history):
    """Length, cosine and distance of each step from the parameters after it."""
    flat = np.concatenate([np.asarray(history["w"]), np.asarray(history["b"])[:, None]], axis=1)
    flat = np.concatenate([[[1.0, -2.0, 0.5]], flat]).astype(np.float64)
    steps = np.diff(flat, axis=0)
    length = np.linalg.norm(steps, axis=1)
    cosine = np.sum(steps[1:] * steps[:-1], axis=1) / (length[1:] * length[:-1])
    return length, np.append(0, cosine), np.linalg.norm(flat[1:] - flat[0], axis=1)


def assert_close(actual, expected):
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, 1e-5, 1e-7), actual, expected)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_against_a_loop(name):
    optimizer = watch_steps(make_optimizer(OptimizerConfig(name, 0.3, average=0.9)))
    history, seen, state = train(optimizer, 6)
    for key, expected in zip(SEEN, in_numpy(history), strict=True):
        np.testing.assert_allclose(seen[key], expected, rtol=1e-4, atol=1e-6, err_msg=key)
    assert name == "adam" or np.min(seen["step_cosine"]) < 0  # back and forth across the valley

    # The optimizer within is what it was, and so are its telemetry and its average.
    plain_history, plain_seen, plain_state = train(
        make_optimizer(OptimizerConfig(name, 0.3, average=0.9)), 6
    )
    assert_close(history, plain_history)
    assert {*seen} == {*plain_seen, *SEEN}
    last = jax.tree.map(lambda leaf: leaf[-1], history)
    assert_close(averaged_params(state, last), averaged_params(plain_state, last))


def test_any_optimizer_can_be_watched_and_the_learning_rate_swept():
    def distances(optimizer):
        return train(as_pytree(watch_steps(optimizer)), 4)[1]["distance_from_start"]

    rates = jnp.array([0.01, 0.2])
    swept = jax.vmap(lambda rate: distances(make_optimizer(OptimizerConfig("sgd", rate))))(rates)
    np.testing.assert_allclose(swept, [distances(optax.sgd(r)) for r in rates], rtol=1e-5)


def test_another_learning_rate_is_the_same_program():
    built = [watch_steps(make_optimizer(OptimizerConfig("sgd", rate))) for rate in (0.1, 0.2)]
    assert jax.tree.structure(built[0]) == jax.tree.structure(built[1])


def test_bfloat16_parameters_are_measured_in_float32_and_kept_as_they_are():
    params = {"w": jnp.full(300, 1.0, jnp.bfloat16)}
    optimizer = watch_steps(optax.sgd(1.0))
    state = optimizer.init(params)
    after = optimizer.update({"w": jnp.ones(300)}, state, params)[1]
    shapes = [jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), s) for s in (state, after)]
    assert shapes[0] == shapes[1]
    assert after.length.dtype == jnp.float32
    np.testing.assert_allclose(after.length, np.sqrt(300), rtol=1e-6)
    np.testing.assert_allclose(after.distance, np.sqrt(300), rtol=1e-6)


def test_steps_are_watched_with_the_parameters_alone():
    optimizer = watch_steps(optax.sgd(0.5))
    with pytest.raises(ValueError, match="takes the parameters"):
        optimizer.update(START, optimizer.init(START))
