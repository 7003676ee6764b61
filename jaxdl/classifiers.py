"""A classifier trained with one seed, or with several side by side, and what is said of it.

What the experiments that train classifiers on a data set share, around `jaxdl.sessions`.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from jaxdl import data, train
from jaxdl.digest import tree_sha256
from jaxdl.sessions import Trained
from jaxdl.statistics import mean_and_interval
from jaxdl.types import Examples, LossFn, Model, Params, TrainState, Variables


def init_states(
    seed: int,
    seeds: int,
    model: Model,
    optimizer: optax.GradientTransformation,
    inputs: Array,
) -> TrainState:
    """The state before the first step; with several seeds, ``seed`` and up, along a leading axis.

    Args:
        seed: of the first.
        seeds: how many.
        model: see `jaxdl.train.init_state`, like the next two.
        optimizer: see there.
        inputs: see there.
    """

    def init(key):
        return train.init_state(key, model, optimizer, inputs)

    keys = jax.vmap(jax.random.key)(seed + jnp.arange(seeds))
    return jax.jit(jax.vmap(init))(keys) if seeds > 1 else jax.jit(init)(keys[0])


def test(
    loss_fn: LossFn, variables: Variables, examples: Examples, *, seeds: int
) -> dict[str, list[float]]:
    """Each metric on the test examples, of each seed.

    Args:
        loss_fn: of the classifier.
        variables: with several seeds they have a leading axis.
        examples: to test on.
        seeds: how many.
    """

    def evaluate(variables: Variables):
        return train.evaluate(loss_fn, *variables, examples)

    seen = jax.vmap(evaluate)(variables) if seeds > 1 else evaluate(variables)
    return {name: np.atleast_1d(value).tolist() for name, value in seen.items()}


def first_seed(variables: Variables, *, seeds: int) -> Variables:
    """The variables to keep for predictions and figures."""
    return jax.tree.map(lambda leaf: leaf[0], variables) if seeds > 1 else variables


def predict(
    model: Model, variables: Variables, examples: Examples
) -> Float[np.ndarray, "examples classes"]:
    """The probabilities of each class."""

    @jax.jit
    def probabilities(inputs):
        return jax.nn.softmax(model.apply(*variables, inputs, None)[0])

    parts = np.array_split(np.asarray(examples.inputs), 10)
    return np.concatenate([probabilities(part) for part in parts])


def failed_step(trained: Trained) -> int | None:
    """The first step of any seed whose loss or gradient was not finite."""
    first = int(trained.state.failed_step.min())
    return None if first == train.NEVER else first


def summary(
    results: dict[str, list[float]], params: Params, dataset: data.Dataset, trained: Trained
) -> dict[str, Any]:
    """What ``summary.json`` holds besides where it comes from.

    Args:
        results: from `test`.
        params: tested, of all seeds.
        dataset: of the run.
        trained: with which history.
    """
    means = {f"test_{name}": mean_and_interval(seeds) for name, seeds in results.items()}
    return {
        **{name: mean for name, (mean, _) in means.items()},
        **{f"{name}_interval": half_width for name, (_, half_width) in means.items()},
        **{f"test_{name}_of_seeds": seeds for name, seeds in results.items()},
        "epochs": trained.epochs["loss"].shape[-1],
        "failed_step": failed_step(trained),
        **trained.best,
        "params_sha256": tree_sha256(params),
        "dataset_sha256": dataset.sha256,
        "seconds_compiling": trained.seconds_compiling,
        "seconds_running": trained.seconds_running,
    }


def report(results: dict[str, list[float]], trained: Trained) -> None:
    """Prints the accuracy in a line, and before it whether the run failed."""
    if (failed := failed_step(trained)) is not None:
        print(f"stopped early: loss or gradient were not finite at step {failed}")
    mean, half_width = mean_and_interval(results["accuracy"])
    best = np.atleast_1d(trained.best.get("best_epoch", [])).tolist()
    chosen = f", parameters of epoch {', '.join(map(str, best))}" if best else ""
    seeds, epochs = len(results["accuracy"]), trained.epochs["loss"].shape[-1]
    spread = f" ± {half_width:.2%} (95% interval, {seeds} seeds)" if seeds > 1 else ""
    print(
        f"test accuracy {mean:.2%}{spread} after {epochs} epoch{'s' * (epochs > 1)}{chosen}; "
        f"{trained.seconds_compiling:.0f} s to compile, {trained.seconds_running:.0f} s to run"
    )
