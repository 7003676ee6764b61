"""A network trained once, and rates chosen on other seeds than those that are reported."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxdl import optim, train
from jaxdl.gradients import mean_gradient
from jaxdl.optim import OptimizerConfig, ScheduleConfig
from jaxdl.sweep import SweepFn
from jaxdl.types import Examples, LossFn, Metrics, Model, Number


class Splits(NamedTuple):
    """Examples to train on, to choose by, and to report."""

    train: Examples
    validation: Examples
    test: Examples


class Member(NamedTuple):
    """Numbers of a run.

    Attributes:
        task: which of a network's tasks it learns.
        rate: of Adam.
        draw: which of the draws from a key it is.
    """

    task: Number
    rate: Number
    draw: Number


class Ends(NamedTuple):
    """What a run ends with: the loss that rates are chosen by, and the measure that is reported."""

    validation: Array
    test: Array


class Tuned(NamedTuple):
    """A network on one task.

    Attributes:
        rate: that was chosen.
        validation: losses by which it was.
        test: of fresh runs with it; those of several networks belong together by their place.
    """

    rate: float
    validation: Float[np.ndarray, "rates seeds"]
    test: Float[np.ndarray, " runs"]


Tune = Callable[..., list[Tuned]]
"""`tune` of a run."""


def fit(
    model: Model,
    loss_fn: LossFn,
    splits: Splits,
    key: Key[Array, ""],
    rate: Number,
    *,
    epochs: int,
    batch_size: int,
) -> tuple[Metrics, Metrics]:
    """Trains by Adam; the metrics of validation and test examples in the end."""
    steps = epochs * train.steps_per_epoch(len(splits.train.targets), batch_size)
    config = OptimizerConfig("adam", rate, schedule=ScheduleConfig("cosine"))
    optimizer = optim.make_optimizer(config, steps)
    update = train.make_update(mean_gradient(loss_fn), optimizer)
    state = train.init_state(key, model, optimizer, splits.train.inputs[:1])
    fitted, _ = train.fit(update, state, splits.train, epochs=epochs, batch_size=batch_size)
    params = fitted.train.params
    return (
        train.evaluate(loss_fn, params, {}, splits.validation),
        train.evaluate(loss_fn, params, {}, splits.test),
    )


def tune(
    sweep_fn: SweepFn,
    name: str,
    run: Callable[[Key[Array, ""], Member], Ends],
    tasks: Sequence[int],
    rates: Sequence[float],
    *,
    seeds: int,
    seed: int,
) -> list[Tuned]:
    """Chooses a network's rate for each task, and reports as many fresh runs as that took.

    As many, so that both sweeps are of the same shapes and the same compiled program.

    Args:
        sweep_fn: `jaxdl.sweep.sweep_in_run` of this run.
        name: of the network.
        run: of one key and one member.
        tasks: by number.
        rates: to choose from.
        seeds: runs with each rate.
        seed: of all.
    """
    of_task, of_rate = (of.ravel() for of in np.indices((len(tasks), len(rates))))
    keys = jax.random.split(jax.random.key(seed), seeds)

    def measure(stage: str, rate: Float[np.ndarray, " members"], draw: np.ndarray) -> Ends:
        members = Member(jnp.array(tasks)[of_task], jnp.array(rate, float), jnp.array(draw))
        return sweep_fn(run, keys, members, name=f"{name}_{stage}")

    tried = measure("tuning", np.array(rates)[of_rate], 0 * of_rate)
    validation = tried.validation.reshape(len(tasks), len(rates), seeds)
    best = np.array(rates)[validation.mean(axis=2).argmin(axis=1)]
    fresh = measure("fresh", best[of_task], 1 + of_rate).test.reshape(len(tasks), -1)
    return [
        Tuned(float(rate), *of)
        for rate, *of in zip(best, validation.astype(float), fresh.astype(float), strict=True)
    ]
