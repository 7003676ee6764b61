"""The learning rate: slow, good, too fast; a test that finds it; schedules that move it.

Claims:

    - On a quadratic with curvatures mu to L a step leaves max(|1 - rate mu|, |1 - rate L|) of the
      distance: slow below 1/L, zigzags above it, fewest steps at 2/(L + mu), and from 2/L on it
      diverges (Polyak, "Introduction to Optimization", 1987, section 1.4).
    - A network finds its way to where its loss curves by 2/rate and stays: the edge of stability
      (Cohen et al. 2021, arXiv:2103.00065).
    - On digits steps grow as 1/rate where it is slow; a tenth of the best rate still learns, ten
      times as much ends at a guess.
    - A range test (Smith 2017, arXiv:1506.01186, section 3.3) finds a peak for one-cycle that is as
      good as a grid's best.
    - From seed to seed the best constant rate ends in test losses that scatter more than those of
      one-cycle: 0.019 about their median, and 0.007. In so few steps a rate that falls early ends
      worse, and with a warm-up it may be larger.

    python -m experiments.learning_rate              a convolutional network, some minutes
    python -m experiments.learning_rate --quick      one hidden layer, two schedules
    python -m experiments.learning_rate --dataset mnist --raw-dir DIR --epochs 1

All runs are one program: a run is given a table of rates, one for each step. Each schedule has the
same peaks to choose from, four to a decade; the first seeds choose by the loss of validation
images, fresh ones are reported. Intervals are of 95% over seeds (Student's t).
"""

import dataclasses

from experiments.learning_rate import edge, quadratic, ranges, rates, schedules, training
from experiments.learning_rate.training import NETWORKS, OTHERS, PEAKS, RANGE_TEST, SCHEDULES
from jaxdl import cli, data, plots
from jaxdl.claims import conclude
from jaxdl.errors import InputError
from jaxdl.runs import (
    DatasetOptions,
    SweepOptions,
    check_least,
    check_names,
    check_no_diagnostics,
    check_seed,
    open_run,
)
from jaxdl.sweep import sweeps_of


@dataclasses.dataclass(frozen=True)
class Config(SweepOptions, DatasetOptions):
    """How much to do."""

    network: str = "cnn"
    """cnn, with tanh and 26,010 parameters, or mlp, with 64 rectified units."""
    schedules: tuple[str, ...] = tuple(SCHEDULES)
    """Which are compared; constant is always one of them."""
    epochs: int = 3
    """Of each run of the network."""
    batch_size: int = 32
    """Images in a step."""
    tuning_seeds: int = 3
    """Runs with each peak that choose it."""
    seeds: int = 10
    """Fresh runs with each peak, which are reported."""
    descent_steps: int = 2000
    """Steps of full-batch descent, from as many seeds as choose peaks."""
    seed: int = 0
    """Of all draws."""


QUICK = Config(
    quick=True,
    network="mlp",
    schedules=("constant", "one_cycle"),
    epochs=2,
    descent_steps=800,
)

LEAST = {"epochs": 1, "batch_size": 1, "tuning_seeds": 2, "seeds": 2, "descent_steps": 4}
"""The least that these settings can be."""
OF_NO_RUN = ("data_dir", "raw_dir", "quick", "devices", "descent_steps")
"""Settings that may differ on ``--resume``."""


def run(config: Config) -> None:
    """Measures, draws, and checks each claim."""
    check(config)
    mesh = cli.use_devices(config.devices)
    dataset = data.load(config.dataset, data_dir=config.data_dir, raw_dir=config.raw_dir)
    splits = training.split(dataset)
    plan = training.Plan(config.network, config.epochs, config.batch_size)
    steps = training.steps_of(plan, splits)
    if steps < rates.WINDOW:
        raise InputError(
            f"--epochs {config.epochs} --batch-size {config.batch_size}: {steps} steps with the "
            f"{len(splits.train.targets)} images to train on; give more epochs or smaller batches, "
            f"for {rates.WINDOW} steps or more, over which losses are averaged"
        )
    tables = training.make_tables(config.schedules, steps)
    with open_run("learning_rate", config) as directory:
        descents = quadratic.measure()
        at_edge = edge.measure(
            data.halve_pixels(dataset).train,
            steps=config.descent_steps,
            seeds=config.tuning_seeds,
            seed=config.seed,
            mesh=mesh,
        )
        sweep_fn = sweeps_of(directory, config, mesh, OF_NO_RUN, dataset_sha256=dataset.sha256)
        tried = training.train_all(
            sweep_fn,
            plan,
            splits,
            tables,
            seeds=config.tuning_seeds + config.seeds,
            seed=config.seed,
        )
        constants = rates.join(tried["constant"], tried[OTHERS])
        test = ranges.read(tried[RANGE_TEST], tables[RANGE_TEST])
        tuned = {
            name: schedules.tune(tried[name], config.tuning_seeds) for name in config.schedules
        }
        best = tuned["constant"].peak
        drawn = {
            "quadratic": quadratic.draw(descents),
            "edge": edge.draw(at_edge),
            "rates": rates.draw(constants, best),
            "range_test": ranges.draw(test, constants, tried.get("one_cycle")),
            "schedules": schedules.draw(tuned, PEAKS, steps),
        }
        plots.save_all(drawn, directory.figures)
        results = {
            "dataset_sha256": dataset.sha256,
            "quadratic": quadratic.summarize(descents),
            "edge": edge.summarize(at_edge),
            "rates": rates.summarize(constants),
            "range_test": ranges.summarize(test),
            "schedules": schedules.summarize(tuned),
        }
        claims = [
            *quadratic.claims(descents),
            edge.claim(at_edge),
            *rates.claims(constants, best),
            *ranges.claims(test, constants, tried.get("one_cycle")),
            *schedules.claims(tuned),
        ]
        conclude(directory, results, claims)


def check(config: Config) -> None:
    """Checks what a user gave, before anything is loaded or compiled."""
    check_no_diagnostics(config)
    check_names("network", [config.network], NETWORKS)
    check_names("schedules", config.schedules, SCHEDULES)
    check_least(config, LEAST)
    check_seed(config.seed)
    if "constant" not in config.schedules:
        shown = " ".join(config.schedules)
        raise InputError(f"--schedules {shown}: constant is what others are compared with; add it")
