"""Dropout: units left out at random while a network trains, and all of them kept when it is used.

Claims:

    - Of a unit with two inputs, each kept with probability 1/2, the mean over its four masks is
      (w1 x1 + w2 x2) / 2: that of the unit that keeps all and is scaled by 1/2 at test. Of masks
      divided by 1/2 ("inverted") it is w1 x1 + w2 x2, and nothing is scaled at test. These four
      `jaxdl.nn.dropout` draws, to the bit, and each as often.
    - A linear network scaled by 1/2 is the mean over all of its 2^n masks, and a softmax behind
      them their normalized geometric mean, exactly (Baldi and Sadowski, "The Dropout Learning
      Algorithm", 2014, section 4); tanh behind them is off by half its curvature times the variance
      of its input.
    - The mean over N random masks is off by what one mask is, over the root of N.
    - A network that is too large for its data does better with it (Srivastava et al., "Dropout: A
      Simple Way to Prevent Neural Networks from Overfitting", 2014, figure 4), in loss also where
      both are stopped at their best epoch.
    - Of too few digits it is not enough: the network learns them by heart with all of the noise
      (figure 10 there).
    - A network that was trained so is an ensemble: its accuracy averaged over ever more masks rises
      to that of the scaled network, which costs one pass (figure 11 there).

    python -m experiments.dropout            10 minutes
    python -m experiments.dropout --quick    fewer digits, units and seeds; not too few digits
    python -m experiments.dropout --dataset mnist --raw-dir DIR --sizes 1000 10000 60000

Of 1,000 and 4,000 digits about 0.03 nats less at the best epoch, and 0.8 and 0.4 points more right
in the end; of 250 the loss ends 0.125 above the best without. 91.80% right with one mask, 94.07%
with fifty, and 94.15% scaled.

One hidden layer, trained by Adam for as many updates whatever the number of digits; dropout is that
of the paper, of 0.2 of the inputs and half of the hidden units. Each seed draws digits of its own,
the same with dropout and without. Intervals are of 95% over seeds (Student's t).
"""

from dataclasses import dataclass

from experiments.dropout import masks, training
from jaxdl import cli, data, plots
from jaxdl.claims import conclude
from jaxdl.errors import InputError
from jaxdl.runs import (
    DatasetOptions,
    SweepOptions,
    check_ascending,
    check_least,
    check_no_diagnostics,
    check_seed,
    open_run,
)
from jaxdl.sweep import sweeps_of


@dataclass(frozen=True)
class Config(SweepOptions, DatasetOptions):
    """How much to do."""

    sizes: tuple[int, ...] = (250, 1000, 4000)
    """Digits to train on, ascending."""
    width: int = 512
    """Of the hidden layer."""
    epochs: int = 12
    """Passes over as many digits as the last size has; from fewer there are as many updates."""
    passes: tuple[int, ...] = (1, 2, 5, 10, 20, 50)
    """Masks that are averaged, ascending."""
    seeds: int = 10
    """Runs of each kind."""
    seed: int = 0
    """Of all draws."""


QUICK = Config(quick=True, sizes=(1000,), width=256, epochs=25, passes=(1, 5, 30), seeds=6)

OF_NO_RUN = ("data_dir", "raw_dir", "quick", "devices")
"""Settings that may differ on ``--resume``."""


def run(config: Config) -> None:
    """Enumerates, trains, draws, and checks each claim."""
    check(config)
    mesh = cli.use_devices(config.devices)
    dataset = data.load(config.dataset, data_dir=config.data_dir, raw_dir=config.raw_dir)
    if config.sizes[-1] > len(dataset.train.targets):
        raise InputError(
            f"--sizes {config.sizes[-1]}: give at most the {len(dataset.train.targets)} digits of "
            f"{config.dataset}"
        )
    plan = training.Plan(config.width, config.sizes[-1], config.epochs, config.passes)
    with open_run("dropout", config) as directory:
        seen = masks.measure(config.seed)
        sweep_fn = sweeps_of(directory, config, mesh, OF_NO_RUN)
        found = training.measure(
            sweep_fn,
            dataset,
            plan,
            config.sizes,
            seeds=config.seeds,
            seed=config.seed,
        )
        drawn = {
            "masks": masks.draw(seen),
            "sizes": training.draw_sizes(plan, found),
            "ensemble": training.draw_ensemble(plan, found),
        }
        plots.save_all(drawn, directory.figures)
        results = {"of_digits": {size: training.summary(pair) for size, pair in found.items()}}
        conclude(directory, results, [*masks.claims(seen), *training.claims(plan, found)])


def check(config: Config) -> None:
    """Checks what a user gave, before anything is loaded or compiled."""
    check_no_diagnostics(config)
    counts = ("sizes", "width", "epochs", "passes")
    check_least(config, {**dict.fromkeys(counts, 1), "seeds": 2})
    check_seed(config.seed)
    check_ascending(config, {"sizes": 1, "passes": 1})
    if config.sizes[-1] < training.BATCH:
        raise InputError(f"--sizes {config.sizes[-1]}: give one of {training.BATCH} or more")
