"""Initialization: what each start does to signals and gradients, and which networks learn from it.

Claims:

    - A layer of n inputs multiplies the variance of pre-activations by n Var(w) and by what the
      activation leaves: ReLU half (Glorot and Bengio 2010, "Understanding the difficulty of
      training deep feedforward neural networks", equation 5; He et al. 2015, arXiv:1502.01852,
      equations 8 and 9). Of the weights nothing but their variance matters.
    - Squared gradients follow the same law on their way back, with the mean square of the
      activation's slope (Glorot and Bengio, equation 6; He et al., equation 12).
    - Of a convolution fan-in is window times channels and fan-out window times features; a stride
      divides the latter by its square.
    - Units of a layer that start alike, by zeros or any constant, stay alike to the bit.
    - What theory foretells of the gradient tells which networks learn: with 50 layers those of ReLU
      from He's start (56%) and from LSUV (76%; Mishkin and Matas 2016, arXiv:1511.06422), those of
      tanh from Xavier's too (82% to 85%), those of sigmoid from none (10%; Schoenholz et al. 2017,
      arXiv:1611.01232: networks can be trained where information can travel through them).

The first two within 5% a layer; measured 1.1% and 2.2% at most, where 50 layers together change a
variance by up to 10^133.

    python -m experiments.initialization            5,000 digits, minutes on two cores
    python -m experiments.initialization --quick    ReLU alone, fewer seeds and depths
    python -m experiments.initialization --dataset mnist --raw-dir DIR

===========================  ================================================================
start                        weights, with n inputs (fan-in) and m outputs (fan-out)
===========================  ================================================================
zero, constant 0.01          all the same
U(±0.01), U(±1)              uniform, whatever n is
normal, sd 0.02              normal, whatever n is
U(±1/√n)                     variance 1 / 3n: PyTorch's default, and the old one
Xavier, fan-in               variance 1 / n; uniform and normal
Xavier, fan-avg              variance 2 / (n + m); uniform (Keras' default) and normal
orthogonal                   rows or columns orthogonal, of length 1 (Saxe et al. 2014)
He                           variance 2 / n, normal
LSUV                         orthogonal; then each layer's pre-activations of a batch are brought to
                             variance 1, from the first layer to the last
===========================  ================================================================

Signals are those of 100 digits in networks of 128 units, in float64. Networks that learn have 64
units; gradient descent with momentum 0.9 in batches of 50 at two rates, of which the one with the
lowest training loss counts. Test accuracy above 30% is called learning; a guess has 10%. Pixels
are standardized. Intervals are of 95% over seeds or draws (Student's t). Rates and what change of
the gradient is called kept (10^4) and lost (10^6) were settled on pilot runs of one seed.
"""

from dataclasses import dataclass

import jax

from experiments.initialization import convolutions, training, variances
from jaxdl import cli, data, plots
from jaxdl.claims import conclude
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
"""Whose signals are looked at."""


@dataclass(frozen=True)
class Config(SweepOptions, DatasetOptions):
    """How much to do."""

    activations: tuple[str, ...] = ("sigmoid", "tanh", "relu")
    """Of the networks: some of these."""
    depth: int = 50
    """Hidden layers of those whose signals are looked at."""
    depths: tuple[int, ...] = (5, 20, 50)
    """Of those that are trained, ascending."""
    epochs: int = 10
    """Of training."""
    seeds: int = 5
    """Of everything."""
    seed: int = 0
    """Of all draws."""


QUICK = Config(quick=True, activations=("relu",), depth=20, depths=(10,), epochs=2, seeds=2)

OF_NO_RUN = ("data_dir", "raw_dir", "quick", "devices", "activations", "depth", "depths")
"""Settings that may differ when a run goes on, since what each of its runs does is the same."""


def run(config: Config) -> None:
    """Measures, trains, draws, and checks each claim."""
    check(config)
    mesh = cli.use_devices(config.devices)
    dataset = data.load(config.dataset, data_dir=config.data_dir, raw_dir=config.raw_dir)
    dataset = data.standardize_pixels(dataset)
    keys = jax.random.split(jax.random.key(config.seed), config.seeds)
    with open_run("initialization", config) as directory:
        digits = Examples(*(of[:DIGITS] for of in dataset.train))
        seen = variances.measure(config.activations, config.depth, digits, keys)
        windows = convolutions.measure(keys[0])
        sweep_fn = sweeps_of(directory, config, mesh, OF_NO_RUN, dataset_sha256=dataset.sha256)
        learned = training.measure(
            sweep_fn,
            config.activations,
            config.depths,
            dataset,
            epochs=config.epochs,
            keys=keys,
        )
        outcomes = training.outcomes(learned, inputs=digits.inputs[0].size)
        figures = {
            "variances": variances.draw_variances(seen),
            "densities": variances.draw_densities(seen, config.depth),
            "convolutions": convolutions.draw(windows),
            "training": training.draw(learned),
            "foretold": training.draw_foretold(outcomes),
        }
        plots.save_all(figures, directory.figures)
        results = {
            "dataset_sha256": dataset.sha256,
            "variances": variances.summarize(seen),
            "convolutions": convolutions.summarize(windows),
            "training": training.summarize(outcomes),
        }
        claims = [
            *variances.claims(seen),
            convolutions.claim(windows),
            training.alike_claim(learned),
            training.foretold_claim(outcomes),
        ]
        conclude(directory, results, claims)


def check(config: Config) -> None:
    """Checks what a user gave, before anything is loaded or compiled."""
    check_no_diagnostics(config)
    check_names("activations", config.activations, Config.activations)
    check_least(config, {"depth": 2, "depths": 2, "epochs": 1, "seeds": 2})
    check_seed(config.seed)
    check_ascending(config, {"depths": 1})
