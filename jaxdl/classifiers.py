"""A classifier trained with one seed, or with several side by side, and what is said of it.

What the experiments that train classifiers on a data set share, around `jaxdl.sessions`.
"""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from jaxdl import sessions, train
from jaxdl.claims import Claim
from jaxdl.data import Dataset, split_validation
from jaxdl.errors import InputError
from jaxdl.runs import DatasetOptions, check_least, check_shares
from jaxdl.sessions import Trained, TrainingOptions
from jaxdl.statistics import mean_and_interval
from jaxdl.train import VALIDATION
from jaxdl.types import Examples, LossFn, Model, Params, Variables


@dataclass(frozen=True)
class ClassifierOptions(TrainingOptions, DatasetOptions):
    """Those of an experiment that trains a classifier on a data set of one's choice."""

    validation_fraction: float = 0.0
    """Share of the training examples to hold out; the parameters of its lowest loss are kept."""
    seeds: int = 1
    """Train so many seeds, from --seed on, and report mean and 95% interval."""


def check(config: ClassifierOptions) -> None:
    """Checks what a user asked of the training, before anything is loaded or compiled.

    Raises:
        InputError: something that cannot be.
    """
    check_least(config, {"seeds": 1})
    check_shares(config, ["validation_fraction"])
    sessions.check(config, seeds=config.seeds)
    if config.patience is not None and not config.validation_fraction:
        raise InputError("--patience needs --validation-fraction, 0.1 say")


def split(config: ClassifierOptions, dataset: Dataset) -> tuple[Examples, dict[str, Examples]]:
    """The examples to train on, and by name those to evaluate at each epoch's end.

    Raises:
        InputError: a batch would be larger than all that there is to train on.
    """
    examples, evaluations = dataset.train, {"test": dataset.test}
    if config.validation_fraction:
        examples, held_out = split_validation(examples, config.validation_fraction)
        evaluations[VALIDATION] = held_out
    train.steps_per_epoch(len(examples.targets), config.batch_size)
    return examples, evaluations


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

    inputs = np.asarray(examples.inputs)
    parts = np.array_split(inputs, min(10, len(inputs)))
    return np.concatenate([probabilities(part) for part in parts])


def summary(
    results: dict[str, list[float]], params: Params, dataset: Dataset, trained: Trained
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
        **sessions.summary(trained, params),
        "dataset_sha256": dataset.sha256,
    }


def accuracy_claim(
    what: str, results: dict[str, list[float]], *, expected: float, least: float
) -> Claim:
    """That the mean accuracy of the seeds is not below the least that is claimed.

    >>> results = {"accuracy": [0.93, 0.95]}
    >>> accuracy_claim("it reads digits", results, expected=0.95, least=0.93).numbers
    '94.00%, expected 95.0%, at least 93.00%'
    """
    accuracy, _ = mean_and_interval(results["accuracy"])
    numbers = f"{accuracy:.2%}, expected {expected:.1%}, at least {least:.2%}"
    return Claim(what, accuracy >= least, numbers)


def report(results: dict[str, list[float]], trained: Trained) -> None:
    """Prints the accuracy in a line, and before it whether the run failed."""
    sessions.report_failure(trained)
    mean, half_width = mean_and_interval(results["accuracy"])
    best = np.atleast_1d(trained.best.get("best_epoch", [])).tolist()
    chosen = f", parameters of epoch {', '.join(map(str, best))}" if best else ""
    seeds, epochs = len(results["accuracy"]), trained.epochs["loss"].shape[-1]
    spread = f" ± {half_width:.2%} (95% interval, {seeds} seeds)" if seeds > 1 else ""
    print(
        f"test accuracy {mean:.2%}{spread} after {epochs} epoch{'s' * (epochs > 1)}{chosen}; "
        f"{trained.seconds_compiling:.0f} s to compile, {trained.seconds_running:.0f} s to run"
    )
