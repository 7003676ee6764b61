"""Activations: their curves, softmax, units that are flat or dead, and the output layer.

Claims:

    - Slope, range, steepest point and flat sides of eleven activations are those of the textbook.
    - A logit that is higher by log 30 makes a class 30 times as likely, whatever the others are;
      softmax is the same if a number is added to all logits, and its derivatives are
      ``diag(p) - p p^T`` (Bridle 1990).
    - As it is written, ``exp(z_k) / sum_j exp(z_j)``, it overflows above the logarithm of the
      largest number: 88.7 in float32. Less the largest logit it never does.
    - Behind step and sign, whose slope is 0, gradient descent leaves hidden layers as they are.
    - Steps that are too large kill units of ReLU (Maas, Hannun and Ng 2013, "Rectifier
      Nonlinearities Improve Neural Network Acoustic Models").
    - Training saturates sigmoid and tanh, the more the larger the steps (Glorot and Bengio 2010).
    - The output layer is linear for numbers, with squared error; a sigmoid for two classes and a
      softmax for many, with cross-entropy (Bishop 2006, "Pattern Recognition and Machine Learning",
      section 5.2). What goes wrong with others has numbers: outputs miss what is beyond their range
      by as much as the range says, squared error is moved by points that are far on the right side
      (there, section 4.1.3), a softmax of one output is always 1, and classes are no numbers.

    python -m experiments.activations            5,000 digits
    python -m experiments.activations --quick    fewer rates, epochs and seeds

The networks that read digits have 2 layers of 64 units from He's start, and learn by plain gradient
descent on batches of 50. Intervals are of 95%, Student's t over seeds.
"""

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np

from experiments.activations import curves, digits, outputs, softmax, units
from experiments.activations.digits import HEADS, NAMES, Read
from jaxdl import data, plots
from jaxdl.claims import conclude
from jaxdl.errors import InputError
from jaxdl.runs import (
    ExperimentOptions,
    check_ascending,
    check_least,
    check_no_diagnostics,
    check_seed,
    open_run,
)

HEAD_RATES = (0.1, 0.03, 0.01, 0.003)
"""Of each output layer the one with the lowest loss counts."""
NEEDED = (units.USUAL, units.LARGE, units.TOO_LARGE)


@dataclass(frozen=True)
class Config(ExperimentOptions):
    """How much to do."""

    seeds: int = 5
    """Runs of each network."""
    epochs: int = 10
    """Of the networks that read digits."""
    rates: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
    """Learning rates of these; 0.1, 0.5 and 1 among them."""
    seed: int = 0
    """Of all draws."""


QUICK = Config(quick=True, seeds=3, epochs=3, rates=NEEDED)


def run(config: Config) -> None:
    """Measures, draws, and checks each claim."""
    check(config)
    dataset = data.standardize_pixels(data.halve_pixels(data.load("mnist_5k")))
    with open_run("activations", config) as directory:
        with jax.enable_x64(True):
            shapes, said = curves.measure(), softmax.ask(config.seed)
            overflow = softmax.overflow(config.seed)
        trained = train(config, dataset)
        keys = jax.random.split(jax.random.key(config.seed), config.seeds)
        sine, points = outputs.make_sine(), outputs.make_classes()
        numbers = outputs.fit_all(outputs.HIDDEN, outputs.OF_NUMBERS, sine, keys)
        classes = outputs.fit_all((), outputs.OF_CLASSES, points, keys)
        drawn = {
            "curves": curves.draw(shapes),
            "softmax": softmax.draw(overflow),
            "units": units.draw(trained.by_activation, config.rates),
            "outputs": outputs.draw(numbers, sine, classes, points, trained.by_head),
        }
        plots.save_all(drawn, directory.figures)
        results = {
            "largest_logits": overflow.largest,
            "units": {
                f"{name}, rate {rate:g}": {
                    "flat": read.end.flat,
                    "dead": read.end.dead,
                    "accuracy": read.accuracy,
                }
                for (name, rate), read in trained.by_activation.items()
            },
            "outputs": {head: read.accuracy for head, read in trained.by_head.items()},
        }
        claims = [
            curves.curves_claim(shapes),
            softmax.ratio_claim(said),
            softmax.overflow_claim(overflow),
            units.still_claim(trained.by_activation),
            units.dead_claim(trained.by_activation),
            units.saturated_claim(trained.by_activation),
            outputs.numbers_claim(numbers, np.asarray(sine.targets)[:, 0]),
            outputs.classes_claim(classes, points),
            outputs.digits_claim(trained.by_head),
        ]
        conclude(directory, results, claims)


def check(config: Config) -> None:
    """Checks what a user gave, before anything is loaded or compiled."""
    check_no_diagnostics(config)
    check_least(config, {"seeds": 2, "epochs": 1})
    check_seed(config.seed)
    check_ascending(config, {"rates": 1})
    missing = [rate for rate in NEEDED if rate not in config.rates]
    shown = " ".join(map(str, config.rates))
    if missing:
        raise InputError(f"--rates {shown}: give {', '.join(map(str, missing))} as well")
    if not config.rates[0] > 0:  # nor NaN
        raise InputError(f"--rates {shown}: give numbers above 0")


class Trained(NamedTuple):
    """Networks that read digits.

    Attributes:
        by_activation: with a softmax, at every rate.
        by_head: of ReLU, at the best rate of each output layer.
    """

    by_activation: dict[tuple[str, float], Read]
    by_head: dict[str, Read]


def train(config: Config, dataset: data.Dataset) -> Trained:
    """All of them, by one program."""
    cases = list(itertools.product(NAMES, config.rates))
    members = [(name, digits.SOFTMAX, rate) for name, rate in cases]
    members += [("relu", head, rate) for head, rate in itertools.product(HEADS, HEAD_RATES)]
    keys = jax.random.split(jax.random.key(config.seed), config.seeds)
    read = digits.train_all(dataset, members, epochs=config.epochs, keys=keys)
    by_activation = {
        case: jax.tree.map(lambda of, k=k: of[k], read) for k, case in enumerate(cases)
    }
    of_heads = jax.tree.map(lambda of: of[len(cases) :], read)
    return Trained(by_activation, outputs.at_best_rates(list(HEADS), of_heads, len(HEAD_RATES)))
