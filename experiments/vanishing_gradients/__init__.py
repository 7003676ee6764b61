"""Vanishing gradients in deep networks: by which factor a layer, and what each cure makes of it.

Claims:

    - Going back, a layer multiplies squared gradients by n Var(w) times the mean squared slope of
      its activation: by the slopes that are measured, and by those that theory foretells from the
      gain alone (Poole et al. 2016, arXiv:1606.05340; Schoenholz et al. 2017, arXiv:1611.01232).
    - Sigmoid's slope is 1/4 at most: begun by Xavier's rule, a layer takes 15/16 of the squared
      gradient or more, and the first layer's vanishes exponentially with depth.
    - Batch norm cures this and layer norm does not; but batch norm by itself makes gradients grow,
      of ReLU by pi / (pi - 1) a layer (Yang et al. 2019, arXiv:1902.08129), of which residual
      connections make a power of depth (De and Smith 2020, arXiv:2002.10444).
    - Residual connections of ReLU alone make a network homogeneous, so the product of outputs and
      gradients is the same in all layers (Euler), and squared gradients grow as squared outputs do.
    - Under sigmoid only the weights of the last layers move, and nothing is learnt; in cured
      networks all move.
    - Where the gradient explodes no usual rate learns; clipped by its norm it does.

    python -m experiments.vanishing_gradients            5,000 digits, minutes on two cores
    python -m experiments.vanishing_gradients --quick    fewer depths and cures, no clipping
    python -m experiments.vanishing_gradients --dataset mnist --raw-dir DIR

Gain is n Var(w), with n inputs and normal weights: 1 is Xavier's rule, 2 is He's. Gradients are
those of an example's loss by the outputs of each layer, of 100 digits in networks of 128 units, in
float64; cures are at gain 1. A factor is of squared gradients, its root that of their norms.
Networks that learn have 10 hidden layers of 64 units; gradient descent with momentum 0.9 in batches
of 100 at three rates, of which the one with the lowest training loss counts. Intervals are of 95%
over seeds: Student's t, of shares Clopper and Pearson's. The gain that explodes and the rates were
settled on pilot runs of two seeds. What recurrence makes of gradients `experiments.clipping` and
`experiments.gradient_through_time` have.
"""

from dataclasses import dataclass

import jax

from experiments.vanishing_gradients import law, training
from jaxdl import cli, data, plots
from jaxdl.claims import conclude
from jaxdl.errors import InputError
from jaxdl.runs import (
    DatasetOptions,
    SweepOptions,
    check_ascending,
    check_least,
    check_names,
    check_no_diagnostics,
    check_seed,
    open_run,
)
from jaxdl.sweep import sweeps_of
from jaxdl.types import Examples

DIGITS = 100
"""Whose gradients are looked at."""


@dataclass(frozen=True)
class Config(SweepOptions, DatasetOptions):
    """How much to do."""

    depths: tuple[int, ...] = (5, 10, 20, 50)
    """Hidden layers, ascending; cures are looked at with the most."""
    trained: tuple[str, ...] = tuple(training.CASES)
    """Networks that learn; the first two at least."""
    epochs: int = 8
    """Of training."""
    seeds: int = 5
    """Of everything."""
    seed: int = 0
    """Of all draws."""


QUICK = Config(quick=True, depths=(10, 50), trained=tuple(training.CASES)[:2], epochs=3, seeds=2)

OF_NO_RUN = ("data_dir", "raw_dir", "quick", "devices", "depths", "trained")
"""Settings that may differ when a run goes on, since what each of its runs does is the same."""


def run(config: Config) -> None:
    """Measures, trains, draws, and checks each claim."""
    check(config)
    mesh = cli.use_devices(config.devices)
    dataset = data.load(config.dataset, data_dir=config.data_dir, raw_dir=config.raw_dir)
    dataset = data.standardize_pixels(dataset)
    keys = jax.random.split(jax.random.key(config.seed), config.seeds)
    with open_run("vanishing_gradients", config) as directory:
        digits = Examples(*(of[:DIGITS] for of in dataset.train))
        plain = law.measure_plain(config.depths, digits, keys)
        cured = law.measure_cured(config.depths[-1], digits, keys)
        sweep_fn = sweeps_of(directory, config, mesh, OF_NO_RUN, dataset_sha256=dataset.sha256)
        learned = training.measure(
            sweep_fn,
            config.trained,
            dataset,
            epochs=config.epochs,
            keys=keys,
        )
        figures = {
            "depth": law.draw_depth(plain),
            "cures": law.draw_cures(plain, cured),
            "factors": law.draw_factors(plain, cured),
            "moved": training.draw_moved(learned),
        }
        claims = [
            law.product_claim(plain),
            law.depth_claim(plain),
            law.cures_claim(cured),
            law.growth_claim(cured),
            law.homogeneous_claim(cured),
            training.moved_claim(learned),
        ]
        if set(training.EXPLODING_CASES) <= set(config.trained):
            figures["clipping"] = training.draw_clipping(learned)
            claims.append(training.clipping_claim(learned))
        plots.save_all(figures, directory.figures)
        results = {
            "dataset_sha256": dataset.sha256,
            **law.summarize(plain, cured),
            "training": training.summarize(learned),
        }
        conclude(directory, results, claims)


def check(config: Config) -> None:
    """Checks what a user gave, before anything is loaded or compiled."""
    check_no_diagnostics(config)
    check_least(config, {"depths": 2, "epochs": 1, "seeds": 2})
    check_names("trained", config.trained, training.CASES)
    check_seed(config.seed)
    check_ascending(config, {"depths": 2})
    needed = [name for name in tuple(training.CASES)[:2] if name not in config.trained]
    if needed:
        raise InputError(f"--trained: give {' and '.join(map(repr, needed))} too")
