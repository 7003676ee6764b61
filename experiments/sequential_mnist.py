"""A recurrent network reads handwritten digits row by row, or pixel by pixel.

Claim: it reads them well, though it sees 28 pixels at a time and must remember the rest.

    python -m experiments.sequential_mnist                                 5,000 digits, no download
    python -m experiments.sequential_mnist --quick                         two epochs of them
    python -m experiments.sequential_mnist --cell gru                      or rnn, gru_before
    python -m experiments.sequential_mnist --recipe mnist --raw-dir DIR    256 units, all of MNIST
    python -m experiments.sequential_mnist --recipe pixels --raw-dir DIR   784 steps of one pixel

Expected test accuracy by rows, with three seeds, on the 5,000 digits after 10 epochs and on MNIST
after 20:

            5,000    MNIST
    lstm    95.7%    99.4%    (others with 256 units after 20 epochs: 98.9%)
    gru     94.8%    99.3%
    rnn     94.1%    98.9%    (--recurrent-dropout None --optimizer.learning-rate 0.001)

The layer has 128 units, for MNIST 256, its last state gives the logits; Adam with a one-cycle
learning rate of 0.002, for MNIST 0.004 with dropout 0.3 of the last state and 0.25 inside the cell,
and gradients clipped to norm 1. How that was chosen experiments/README.md tells. A figure shows
what the network believes while it reads.
"""

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from matplotlib.figure import Figure

from jaxdl import classifiers, cli, data, losses, models, plots, sessions, train
from jaxdl.claims import Claim, conclude
from jaxdl.classifiers import ClassifierOptions
from jaxdl.data import image_sequences
from jaxdl.instruments import write_instruments
from jaxdl.optim import ClipConfig, OptimizerConfig, ScheduleConfig
from jaxdl.runs import check_least, check_shares, differs, open_run
from jaxdl.sessions import CHANGE_NOTHING
from jaxdl.types import Examples, Model, Variables

READ = 500
"""Test digits that are read for the figure of what is believed step by step."""

STEPS = {"rows": "rows", "pixels": "pixels", "permuted": "pixels, in the drawn order,"}


@dataclass(frozen=True)
class Config(ClassifierOptions):
    """What can be set; the defaults are the recipe's."""

    recipe: Literal["mnist_5k", "mnist", "pixels"] = "mnist_5k"
    """Which defaults to start from: for the 5,000 digits, for MNIST by rows, or by pixels."""
    seeds: int = 3
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(
            "adam",
            2e-3,
            schedule=ScheduleConfig(name="one_cycle"),
            clip=ClipConfig(global_norm=1.0),
        )
    )
    cell: Literal["rnn", "lstm", "gru", "gru_before"] = "lstm"
    """The recurrent cell."""
    order: Literal["rows", "pixels", "permuted"] = "rows"
    """What a step is: a row, a pixel, or a pixel in an order drawn once."""
    units: tuple[int, ...] = (128,)
    """Of each recurrent layer."""
    bidirectional: bool = False
    """Also read from the last step to the first."""
    layer_norm: bool = False
    """Normalize inside the cells."""
    dropout: float | None = None
    """Dropout rate between layers and before the logits."""
    recurrent_dropout: float | None = None
    """Dropout rate of the hidden state, the same at all steps."""
    devices: int | None = None
    """Split each batch over so many devices; by default accelerators, or cores of a CPU."""


_MNIST = Config(
    recipe="mnist",
    dataset="mnist",
    units=(256,),
    epochs=20,
    batch_size=128,
    dropout=0.3,
    recurrent_dropout=0.25,
    optimizer=replace(Config().optimizer, learning_rate=4e-3),
)

RECIPES = {
    "mnist_5k": Config(),
    "mnist": _MNIST,
    "pixels": Config(
        recipe="pixels",
        dataset="mnist",
        order="pixels",
        cell="gru",
        units=(128,),
        epochs=5,
        batch_size=128,
    ),
}

QUICK = Config(quick=True, epochs=2, seeds=1)

EXPECTED = {
    ("mnist_5k", "lstm", "rows", 2): (0.88, 0.80),
    ("mnist_5k", "lstm", "rows", 10): (0.957, 0.94),
    ("mnist_5k", "gru", "rows", 10): (0.948, 0.93),
    ("mnist_5k", "rnn", "rows", 10): (0.941, 0.92),
    ("mnist", "lstm", "rows", 20): (0.9937, 0.989),
    ("mnist", "gru", "rows", 20): (0.993, 0.989),
}
"""Test accuracy by recipe, cell, order and epochs, and the least that its claim allows."""

OF_EXPECTED = (
    *("cell", "order", "epochs", "seed", "seeds", "diagnostics", "curvature"),
    *CHANGE_NOTHING,
)
"""Settings that leave a recipe what it is."""


def run(config: Config) -> None:
    """Trains, tests, draws, and says what came out."""
    check(config)
    mesh = cli.use_devices_for_batches(config.devices, config.batch_size)
    dataset = data.load(config.dataset, data_dir=config.data_dir, raw_dir=config.raw_dir)
    sequences = in_order(dataset, config.order)
    examples, evaluations = classifiers.split(config, sequences)
    with open_run("sequential_mnist", config) as directory:
        model = build_model(config, dataset)
        loss_fn = losses.classification_loss(model)
        trained = sessions.fit(
            directory,
            config,
            model,
            loss_fn,
            examples,
            evaluations,
            of_data={"dataset_sha256": dataset.sha256},
            seeds=config.seeds,
            classes=len(dataset.classes),
            mesh=mesh,
        )
        variables = Variables(*train.final_params(trained.state))
        results = classifiers.test(loss_fn, variables, sequences.test, seeds=config.seeds)
        first = classifiers.first_seed(variables, seeds=config.seeds)
        draw(config, first, dataset, trained.epochs, directory.figures)
        if config.diagnostics:
            write_instruments(directory, config.cell, trained.epochs)
        classifiers.report(results, trained)
        summary = classifiers.summary(results, variables.params, dataset, trained)
        conclude(directory, summary, accuracy_claims(config, results))
    if trained.failed_step is not None:
        sys.exit(1)


def check(config: Config) -> None:
    """Checks what a user gave, before anything is loaded or compiled."""
    classifiers.check(config)
    check_least(config, {"units": 1})
    check_shares(config, ["dropout", "recurrent_dropout"])


def in_order(dataset: data.Dataset, order: str) -> data.Dataset:
    """The data set with sequences for images."""
    train, test = (image_sequences(part, order) for part in (dataset.train, dataset.test))
    return replace(dataset, train=train, test=test)


def build_model(config: Config, dataset: data.Dataset) -> Model:
    """The network; its dropout rates are numbers, so another rate is no other program."""
    return models.sequence_classifier(
        config.cell,
        config.units,
        classes=len(dataset.classes),
        is_bidirectional=config.bidirectional,
        is_normalized=config.layer_norm,
        dropout_rate=config.dropout,
        recurrent_dropout_rate=config.recurrent_dropout,
    )


def accuracy_claims(config: Config, results: dict[str, list[float]]) -> list[Claim]:
    """What is claimed of the accuracy: nothing where it is not known what to expect."""
    case = (config.recipe, config.cell, config.order, config.epochs)
    if case not in EXPECTED or differs(config, RECIPES[config.recipe], without=OF_EXPECTED):
        return []
    expected, least = EXPECTED[case]
    what = (
        f"{config.cell} reads {expected:.1%} of the test digits of {config.dataset} by "
        f"{config.order} after {config.epochs} epochs"
    )
    return [classifiers.accuracy_claim(what, results, expected=expected, least=least)]


def draw(
    config: Config,
    variables: Variables,
    dataset: data.Dataset,
    epochs: dict[str, np.ndarray],
    folder: Path,
) -> None:
    """Draws what was learned, on the test examples."""
    tests = image_sequences(dataset.test, config.order)
    images, truths = (np.asarray(of) for of in dataset.test)
    probabilities = classifiers.predict(build_model(config, dataset), variables, tests)
    figures = {}
    if not config.bidirectional:
        figures["reading"] = reading(config, variables.params, dataset)
    figures |= {
        "learning_curves": plots.learning_curves(epochs),
        "worst_mistakes": plots.worst_mistakes(images, probabilities, truths, dataset.classes),
        "confusion": plots.confusion_matrix(truths, probabilities.argmax(axis=-1), dataset.classes),
    }
    plots.save_all(figures, folder)


def reading(config: Config, params: Any, dataset: data.Dataset) -> Figure:
    """How sure the network is of its digit, step by step, had the sequence ended there."""
    tests = image_sequences(dataset.test, config.order)
    some = Examples(tests.inputs[:READ], tests.targets[:READ])
    logits = models.logits_at_each_step(
        config.cell, params, some.inputs, is_normalized=config.layer_norm
    )
    return plots.reading(
        np.asarray(jax.nn.softmax(logits)),
        np.asarray(some.targets),
        np.asarray(dataset.test.inputs[:READ]),
        what=STEPS[config.order],
    )


if __name__ == "__main__":
    cli.main(run, Config, recipes=RECIPES, quick=QUICK)
