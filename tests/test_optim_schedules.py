"""Schedules against numbers by hand and Optax's own."""

import jax
import numpy as np
import optax
import pytest

from jaxdl.optim import ScheduleConfig
from jaxdl.optim.schedules import learning_rate_factor

HALF_WAY = (1 + np.cos(np.pi / 4)) / 2  # a cosine a quarter of its way down


@jax.jit
def jitted_factors(config, steps, total_steps):
    return jax.vmap(learning_rate_factor, in_axes=(None, 0, None))(config, steps, total_steps)


def factors(config, steps, total_steps):
    return jitted_factors(config, np.asarray(steps), np.float32(total_steps))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (ScheduleConfig(), {0: 1, 5: 1, 99: 1}),
        (ScheduleConfig("inverse_time"), {0: 1, 1: 1 / 2, 9: 1 / 10}),
        (ScheduleConfig("inverse_time", None, {"timescale": 4.0}), {0: 1, 4: 1 / 2, 12: 1 / 4}),
        (ScheduleConfig("inverse_sqrt"), {0: 1, 3: 1 / 2, 8: 1 / 3}),
        (ScheduleConfig("step"), {0: 1, 2: 1, 3: 0.1, 5: 0.1, 6: 0.01, 9: 0.001, 50: 0.001}),
        (ScheduleConfig("step", None, {"every": 0.1, "factor": 0.5}), {1: 0.5, 3: 1 / 8, 7: 2**-7}),
        (ScheduleConfig("exponential"), {0: 1, 5: 0.1, 10: 0.01, 11: 0.01}),
        (ScheduleConfig("cosine"), {0: 1, 5: 0.5, 10: 0, 11: 0}),
        (ScheduleConfig("cosine", None, {"end": 0.5}), {0: 1, 5: 0.75, 10: 0.5, 99: 0.5}),
        (ScheduleConfig("one_cycle", None, {"rise": 0.5}), {0: 0.04, 5: 1, 10: 4e-6, 11: 4e-6}),
        (ScheduleConfig(warmup=0.4), {0: 0.25, 1: 0.5, 3: 1, 4: 1, 9: 1}),
        (ScheduleConfig(warmup=0.0), {0: 1, 9: 1}),
        (ScheduleConfig("cosine", 0.2), {0: 0.5, 1: 1, 2: 1, 4: HALF_WAY, 6: 0.5, 10: 0}),
        (ScheduleConfig("inverse_sqrt", 0.4, {"timescale": 4.0}), {1: 0.5, 4: 1, 16: 0.5}),
    ],
)
def test_numbers_by_hand_over_ten_steps(config, expected):
    actual = factors(config, list(expected), 10)
    np.testing.assert_allclose(actual, list(expected.values()), rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("config", "reference"),
    [
        (
            ScheduleConfig("cosine", arguments={"end": 0.1}),
            optax.cosine_decay_schedule(1.0, 1000, alpha=0.1),
        ),
        (
            ScheduleConfig("exponential", arguments={"end": 100.0}),
            optax.exponential_decay(1.0, 1000, 100.0),
        ),
        (
            ScheduleConfig("one_cycle", arguments={"rise": 0.2}),
            optax.cosine_onecycle_schedule(1000, 1.0, pct_start=0.2),
        ),
        (
            ScheduleConfig("step", arguments={"every": 0.25, "factor": 0.3}),
            optax.piecewise_constant_schedule(1.0, {250: 0.3, 500: 0.3, 750: 0.3}),
        ),
    ],
)
def test_the_same_as_optax(config, reference):
    steps = np.arange(1000)
    expected = jax.jit(jax.vmap(reference))(steps)
    np.testing.assert_allclose(factors(config, steps, 1000), expected, 1e-4, 2e-7)


def test_drops_fall_on_their_step_at_any_length():
    """0.1 is no binary fraction: the k-th drop is at step k * total_steps / 10 all the same."""
    for total_steps in (10, 50, 1230, 100_000):
        drops = np.arange(1, 10) * total_steps // 10
        config = ScheduleConfig("step", arguments={"every": 0.1, "factor": 0.5})
        at, before = factors(config, drops, total_steps), factors(config, drops - 1, total_steps)
        np.testing.assert_allclose(at, 0.5 ** np.arange(1, 10), rtol=1e-6)
        np.testing.assert_allclose(before, 0.5 ** np.arange(0, 9), rtol=1e-6)
