"""The moving average of the parameters against a NumPy loop."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl.optim import OptimizerConfig, average_parameters, averaged_params, make_optimizer
from jaxdl.types import as_pytree

START = {"w": jnp.array([1.0, -2.0]), "b": jnp.array(0.5)}


@functools.partial(jax.jit, static_argnames="steps")
def train(optimizer, steps):
    """The parameters after each of some steps on a quadratic, and the last state."""

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(params, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    (_, state), history = jax.lax.scan(step, (START, optimizer.init(START)), None, length=steps)
    return history, state


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_against_a_loop(decay):
    optimizer = make_optimizer(OptimizerConfig("sgd", 0.1, average=decay))
    for steps in (1, 7):
        history, state = train(optimizer, steps)
        for name in START:
            total = weight = 0.0
            for params in np.asarray(history[name], float):
                total = decay * total + (1 - decay) * params
                weight = decay * weight + (1 - decay)
            average = averaged_params(state, jax.tree.map(lambda leaf: leaf[-1], history))
            np.testing.assert_allclose(average[name], total / weight, rtol=1e-6)


def test_training_is_not_changed_and_the_first_average_is_the_first_step():
    plain, _ = train(make_optimizer(OptimizerConfig("sgd", 0.1)), 3)
    optimizer = make_optimizer(OptimizerConfig("sgd", 0.1, average=0.9))
    averaged, _ = train(optimizer, 3)
    jax.tree.map(np.testing.assert_array_equal, plain, averaged)
    state = optimizer.init(START)
    jax.tree.map(np.testing.assert_array_equal, averaged_params(state, START), START)


def test_it_stands_in_a_chain_of_ones_own():
    chain = optax.chain(optax.sgd(0.5), average_parameters(0.5))
    history, state = train(as_pytree(chain), 2)
    np.testing.assert_array_equal(history["b"], [0.25, 0.125])
    average = averaged_params(state, START)
    np.testing.assert_allclose(average["b"], (0.25 * 0.25 + 0.5 * 0.125) / 0.75, rtol=1e-6)
    with pytest.raises(ValueError, match="needs them"):
        chain.update(START, chain.init(START))


def test_schedule_free_optimizers_are_evaluated_at_their_own_average():
    optimizer = make_optimizer(OptimizerConfig("schedule_free_sgd", 0.1))
    history, state = train(optimizer, 3)
    params = jax.tree.map(lambda leaf: leaf[-1], history)
    theirs = optax.contrib.schedule_free_sgd(0.1)
    plain, their_state = train(as_pytree(theirs), 3)
    expected = optax.contrib.schedule_free_eval_params(their_state, params)
    actual = averaged_params(state, params)
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, 1e-6), actual, expected)
    assert not np.allclose(actual["w"], plain["w"][-1])


def test_small_moves_of_bfloat16_parameters_are_not_lost():
    params = {"w": jnp.array([1.0, 2.0], jnp.bfloat16)}
    state = average_parameters(0.999).init(params)
    assert state.average["w"].dtype == jnp.float32
