"""Norms: batch norm by its equations, what its scales are for, batches, rates, and the shift.

    x_hat = (x - mean) / sqrt(variance + epsilon),    y = gamma x_hat + beta

with mean and variance of a feature over the batch (N, or N, H, W of images) in training, and by
running averages of these in evaluation (Ioffe and Szegedy 2015, arXiv:1502.03167). What other norms
have their means of is told in `jaxdl.nn.normalization`.

Claims:

    - All norms by their equations are Flax's layers to the rounding of float64, batch norm also in
      evaluation, in its running averages, and by the paper's own formulas of its gradient.
    - The scale of weights behind a norm changes nothing, and their gradient falls as its inverse
      (there, section 3.3): so steps that are too large make the next ones smaller.
    - Standardized inputs hold a sigmoid in its linear part (there, section 3): a line explains 98%
      of its variance. Without shifts (beta) a network of them is odd and learns nothing of two
      rings, without scales (gamma) hardly more of waves than a line.
    - Batch norm fails where it has its statistics of a few examples, and is then another function
      in training than in evaluation; batch renorm (Ioffe 2017, arXiv:1702.03275) is nearly the
      same, layer norm does not know of batches.
    - With batch norm a deep network trains at rates far beyond those of one without, or with layer,
      RMS or weight norm.
    - With it, the inputs of a middle layer stay where they are: less internal covariate shift, as
      Ioffe and Szegedy say. But that is not why: noise behind batch norm that moves these inputs as
      much as they move without a norm leaves it training at large rates (Santurkar, Tsipras, Ilyas
      and Madry 2018, arXiv:1805.11604, section 2.1). What goes with it is that the gradient after a
      step is more like that before (there, section 3.1).

    python -m experiments.normalization            5,000 digits, 8 minutes on two cores
    python -m experiments.normalization --quick    fewer norms, sizes, rates and seeds

The deep network has 8 layers of 32 ReLU units from He's start, and reads digits at half their side;
plain gradient descent on 256 examples a step, of which batch norm has its statistics in groups. A
rate is tolerated if half of the training examples are told right in the end. Intervals are of 95%,
Student's t over seeds.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np
from jax.tree_util import Partial

from experiments.normalization import batches, equations, rates, shift, sigmoids
from experiments.normalization.network import BATCH, Kind, Trained, arrange, train_one
from experiments.normalization.watch import Watched
from jaxdl import data, plots
from jaxdl.claims import conclude
from jaxdl.errors import InputError
from jaxdl.models.dense_norms import NORMS
from jaxdl.runs import (
    ExperimentOptions,
    check_ascending,
    check_least,
    check_names,
    check_no_diagnostics,
    check_seed,
    open_run,
)
from jaxdl.sweep import sweep
from jaxdl.types import Static

RATE = 0.1
"""Of the runs that are watched and of those by the size of batches: all norms train at it."""
NOISY = Kind("batch", noise=0.4)
"""Batch norm, noise behind it."""
NEEDED = ("none", "batch", "layer")
"""Norms that claims are of."""


@dataclass(frozen=True)
class Config(ExperimentOptions):
    """How much to do."""

    seeds: int = 5
    """Runs of each deep network."""
    steps: int = 200
    """Of each."""
    norms: tuple[str, ...] = tuple(NORMS)
    """Of the deep networks; none, batch and layer among them."""
    rates: tuple[float, ...] = (0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8)
    """Learning rates, growing."""
    sizes: tuple[int, ...] = (2, 4, 8, 16, 32, 64, 128, BATCH)
    """How many examples batch norm has its statistics of, growing to 256, each a divisor of it."""
    sigmoid_seeds: int = 20
    """Starts of the networks of sigmoids."""
    sigmoid_steps: int = 2000
    """Of each."""
    seed: int = 0
    """Of all draws."""


QUICK = Config(
    quick=True,
    seeds=3,
    steps=150,
    norms=NEEDED,
    rates=(0.1, 0.3, 1.6),
    sizes=(4, BATCH),
    sigmoid_seeds=5,
    sigmoid_steps=1000,
)


def run(config: Config) -> None:
    """Measures, draws, and checks each claim."""
    check(config)
    dataset = data.halve_pixels(data.load("mnist_5k"))
    with open_run("normalization", config) as directory:
        with jax.enable_x64(True):
            off, scaled = equations.compare(config.seed), equations.scale_weights(config.seed)
        shares = sigmoids.shares_of_digits(dataset.train.inputs, config.seed)
        problems = sigmoids.make_problems(config.seed)
        learned = sigmoids.learn(
            problems, seeds=config.sigmoid_seeds, steps=config.sigmoid_steps, seed=config.seed
        )
        tolerated, watched, by_size = train_all(config, dataset)
        moved = shift.measure(tolerated.kinds, watched)
        drawn = {
            "sigmoids": sigmoids.draw(shares, learned, problems),
            "batches": batches.draw(config.sizes, by_size),
            "rates": rates.draw(tolerated),
            "shift": shift.draw(moved),
        }
        plots.save_all(drawn, directory.figures)
        results = {
            "off": off,
            "scaled": {name: of._asdict() for name, of in scaled.items()},
            "linear_share": shares,
            "largest_rates": {kind.name: of for kind, of in tolerated.largest().items()},
            "batches": {norm: of._asdict() for norm, of in by_size.of_batches.items()},
            "layer_norm": by_size.layer._asdict(),
            "shift": {kind.name: of._asdict() for kind, of in moved.items()},
        }
        claims = [
            equations.equations_claim(off),
            equations.scale_claim(scaled),
            sigmoids.linear_claim(shares),
            sigmoids.shifts_claim(learned),
            sigmoids.scales_claim(learned, problems),
            batches.size_claim(config.sizes, by_size),
            batches.gap_claim(config.sizes, by_size),
            rates.rates_claim(tolerated),
            shift.moved_claim(moved),
            shift.noise_claim(NOISY, moved, tolerated),
            shift.gradient_claim(moved),
        ]
        if batches.RENORM in config.norms:
            claims.append(batches.renorm_claim(config.sizes, by_size))
        conclude(directory, results, claims)


def check(config: Config) -> None:
    """Checks what a user gave, before anything is loaded or compiled."""
    check_no_diagnostics(config)
    check_least(
        config, {"seeds": 2, "steps": 2, "sizes": 2, "sigmoid_seeds": 2, "sigmoid_steps": 1}
    )
    check_seed(config.seed)
    check_names("norms", config.norms, NORMS)
    missing = [norm for norm in NEEDED if norm not in config.norms]
    if missing:
        raise InputError(f"--norms {' '.join(config.norms)}: give {', '.join(missing)} as well")
    check_ascending(config, {"rates": 1, "sizes": 2})
    if not config.rates[0] > 0:  # nor NaN
        raise InputError(f"--rates {config.rates[0]}: give numbers above 0")
    if config.sizes[-1] != BATCH or any(BATCH % size for size in config.sizes):
        shown = " ".join(map(str, config.sizes))
        raise InputError(f"--sizes {shown}: give divisors of {BATCH}, {BATCH} itself the last")


class Runs(NamedTuple):
    """Of all deep networks, what each part is of.

    Attributes:
        tolerated: at all rates.
        watched: at `RATE`, ``(kinds, seeds)``.
        by_size: at `RATE`, of those of `batches.NORMS` with statistics of each size.
    """

    tolerated: rates.Rates
    watched: Watched
    by_size: batches.Found


def train_all(config: Config, dataset: data.Dataset) -> Runs:
    """All deep networks, by one program."""
    kinds = [*(Kind(norm) for norm in config.norms), NOISY]
    of_batches = [norm for norm in batches.NORMS if norm in config.norms]
    sized = [Kind(norm, size) for norm in of_batches for size in config.sizes]
    swept = [(kind, rate, False) for kind in kinds for rate in config.rates]
    looked_at = [(kind, RATE, True) for kind in kinds]
    members = [*swept, *looked_at, *((kind, RATE, False) for kind in sized)]
    plan, settings = arrange(members, config.steps)
    keys = jax.random.split(jax.random.key(config.seed), config.seeds)
    run = Partial(train_one, Static(plan), dataset.train, dataset.test)
    trained = sweep(run, keys, settings)

    def part(start: int, *shape: int) -> Trained:
        """Some members, with these axes before that of seeds."""
        chosen = slice(start, start + math.prod(shape))
        return jax.tree.map(lambda of: of[chosen].reshape(*shape, *of.shape[1:]), trained)

    accuracy = part(0, len(kinds), len(config.rates)).in_evaluation["accuracy"]
    of_sizes = part(len(swept) + len(kinds), len(of_batches), len(config.sizes))
    of_layer = part(len(swept) + kinds.index(Kind("layer")), 1, 1)
    return Runs(
        rates.Rates(kinds, config.rates, np.asarray(accuracy)),
        part(len(swept), len(kinds)).watched,
        batches.gather(of_batches, of_sizes, of_layer),
    )
