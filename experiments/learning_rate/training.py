"""Networks that read digits, each run with a learning rate for every step, all as one program."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key

from jaxdl import data, losses, models, train
from jaxdl.gradients import mean_gradient
from jaxdl.optim import ScheduleConfig
from jaxdl.optim.schedules import learning_rate_factor
from jaxdl.sweep import SweepFn, cpu_piece
from jaxdl.types import Examples, Model, Static

NETWORKS: Mapping[str, Callable[[], Model]] = {
    "cnn": models.small_cnn,
    "mlp": partial(models.mlp, (64,), classes=10, kernel_initializer="he_uniform"),
}
SCHEDULES: Mapping[str, ScheduleConfig] = {
    "constant": ScheduleConfig(),
    "step": ScheduleConfig("step"),
    "exponential": ScheduleConfig("exponential"),
    "cosine": ScheduleConfig("cosine"),
    "warmup_cosine": ScheduleConfig("cosine", warmup=0.1),
    "one_cycle": ScheduleConfig("one_cycle"),
}
OTHERS, RANGE_TEST = "other constant rates", "range test"
PEAKS = 10 ** (np.arange(-5, 2) / 4)
"""The largest rates that every schedule is tried with, four to a decade."""
FURTHER = 10 ** (np.array([-10, -8, -7, -6, 2, 4]) / 4)
"""Constant rates that are too slow or too fast to be chosen from."""
LOWEST, HIGHEST = 1e-3, 10.0
"""Rates at the start and at the end of a range test."""

CLASSES = 10

AnyArray = Array | np.ndarray
Table = Float[np.ndarray, "members steps"]


class Plan(NamedTuple):
    """What is static in a run.

    Attributes:
        network: of `NETWORKS`.
        epochs: its length.
        batch_size: of its steps.
    """

    network: str
    epochs: int
    batch_size: int


class Splits(NamedTuple):
    """Images to train on, to choose by, and to report."""

    train: Examples
    validation: Examples
    test: Examples


class Runs(NamedTuple):
    """Runs, with leading axes of members and seeds; one that diverges ends as a guess.

    Attributes:
        losses: of each step's batch; NaN after a run diverged.
        validation_loss: at the end, in nats.
        validation_accuracy: there.
        test_loss: there.
        test_accuracy: there.
    """

    losses: Float[AnyArray, "*runs steps"]
    validation_loss: Float[AnyArray, "*runs"]
    validation_accuracy: Float[AnyArray, "*runs"]
    test_loss: Float[AnyArray, "*runs"]
    test_accuracy: Float[AnyArray, "*runs"]


class Tried(NamedTuple):
    """A schedule with each of its peaks.

    Attributes:
        peaks: its largest rates, growing.
        runs: with axes of peaks and seeds.
    """

    peaks: Float[np.ndarray, " peaks"]
    runs: Runs


def split(dataset: data.Dataset) -> Splits:
    """A quarter of the training images is to choose by."""
    return Splits(*data.split_validation(dataset.train, 0.25), dataset.test)


def steps_of(plan: Plan, splits: Splits) -> int:
    """How many a run has."""
    return plan.epochs * train.steps_per_epoch(len(splits.train.targets), plan.batch_size)


def factors(schedule: ScheduleConfig, steps: int) -> Float[np.ndarray, " steps"]:
    """What a schedule multiplies the rate by at each step."""
    of_step = jax.vmap(partial(learning_rate_factor, schedule), in_axes=(0, None))
    return np.asarray(of_step(jnp.arange(steps), jnp.float32(steps)))


def make_tables(schedules: Sequence[str], steps: int) -> dict[str, Table]:
    """The rates of each step, by schedule, a row for each peak; then `OTHERS` and `RANGE_TEST`."""
    rising = ScheduleConfig("exponential", arguments={"end": HIGHEST / LOWEST})
    return {
        **{name: PEAKS[:, None] * factors(SCHEDULES[name], steps) for name in schedules},
        OTHERS: FURTHER[:, None] * np.ones(steps),
        RANGE_TEST: LOWEST * factors(rising, steps)[None],
    }


def train_all(
    sweep_fn: SweepFn,
    plan: Plan,
    splits: Splits,
    tables: Mapping[str, Table],
    *,
    seeds: int,
    seed: int,
) -> dict[str, Tried]:
    """A run with each row of each table from every seed, all by one compiled program.

    Args:
        sweep_fn: `jaxdl.sweep.sweep_in_run` of this run.
        plan: of each run.
        splits: see there.
        tables: the rates of each step, by schedule (`make_tables`).
        seeds: runs with each row.
        seed: of all.
    """
    runs = sweep_fn(
        Partial(train_one, Static(plan), splits),
        jax.random.split(jax.random.key(seed), seeds),
        jnp.asarray(np.concatenate(list(tables.values())), float),
        piece_size=cpu_piece(100),
    )
    tried, first = {}, 0
    for name, table in tables.items():
        members = slice(first, first + len(table))
        tried[name] = Tried(table.max(axis=1), Runs(*(of[members] for of in runs)))
        first = members.stop
    return tried


def train_one(
    plan: Static[Plan], splits: Splits, key: Key[Array, ""], rates: Float[Array, " steps"]
) -> Runs:
    """Stochastic gradient descent with a rate for each step."""
    network, epochs, batch_size = plan.value
    model = NETWORKS[network]()
    loss_fn = losses.classification_loss(model)
    optimizer = optax.sgd(lambda step: rates[step])
    update = train.make_update(mean_gradient(loss_fn), optimizer)
    state = train.init_state(key, model, optimizer, splits.train.inputs[:1])
    fitted, history = train.fit(update, state, splits.train, epochs=epochs, batch_size=batch_size)

    def end(unseen: Examples) -> tuple[Array, Array]:
        seen = train.evaluate(loss_fn, fitted.train.params, {}, unseen)
        has_failed = fitted.failed_step != train.NEVER
        return (
            jnp.where(has_failed, jnp.log(CLASSES), seen["loss"]),
            jnp.where(has_failed, 1 / CLASSES, seen["accuracy"]),
        )

    return Runs(history.steps["loss"].ravel(), *end(splits.validation), *end(splits.test))
