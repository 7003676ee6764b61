"""The gradient through time: how it vanishes and explodes, by which law, and what cures it.

Claims:

    - A vanilla recurrent network whose tanh is linear multiplies the gradient by the spectral
      radius of its recurrent kernel at each step back: exactly where the kernel is a multiple of an
      orthogonal one, within a few per cent for normal entries (Bengio, Simard and Frasconi 1994,
      "Learning Long-Term Dependencies with Gradient Descent is Difficult", section IV).
    - Where tanh bends, by the radius times the root mean square of tanh', and not its mean, which
      is too small.
    - The largest singular value only bounds the gradient: below 1 it vanishes, but it does so too
      at twice that value (Pascanu, Mikolov and Bengio 2013, arXiv:1211.5063, section 2.1).
    - Before training, an orthogonal kernel (Saxe et al. 2014, arXiv:1312.6120) and the gates of an
      LSTM with forget bias 1 (Jozefowicz et al. 2015) keep what a small kernel loses; with layer
      normalization (Ba et al. 2016, arXiv:1607.06450) the gain of the kernel does not matter.
    - Where the gradient explodes, training without clipping ends with units so saturated that none
      comes back; with clipping by norm (Pascanu et al. 2013, section 3.2) it stays alive.
    - Gates learn to keep the gradient: a GRU's begin by losing it. With them the adding problem is
      learnt from every seed; with layer normalization nearly; by most vanilla networks of a small
      or a large gain not at all, clipped or not.

    python -m experiments.gradient_through_time             about a minute on two CPU cores
    python -m experiments.gradient_through_time --quick     seconds, before training alone

A distance of k is that of the state k steps before the last; the gradient is that of an example's
loss by the whole state (the hidden one and an LSTM's memory), its norm the mean of the examples.
One backward pass has all distances. The law is of 64 units and 150 steps, in float64, its rate that
of distances 50 to 130. The networks that learn have 32 units and read 30 steps of the adding
problem (`jaxdl.data.memory_problems`), new ones at every update, by gradient descent with momentum
0.9 at rate 0.03. Intervals are of 95% over draws or seeds (Student's t), those of norms of their
logarithms, those of shares Clopper and Pearson's. After two looks, of 3,000 updates from other
seeds too, updates were made more and the last claim was put in shares of seeds.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from experiments.gradient_through_time import cures, law, training
from experiments.gradient_through_time.networks import NETWORKS
from jaxdl import cli, plots
from jaxdl.claims import conclude
from jaxdl.errors import InputError
from jaxdl.instruments import write_instruments
from jaxdl.runs import (
    ExperimentOptions,
    ResumableOptions,
    SweepOptions,
    check_least,
    check_seed,
    open_run,
)
from jaxdl.sweep import sweep_in_run


@dataclass(frozen=True)
class Config(SweepOptions, ResumableOptions, ExperimentOptions):
    """How much to do."""

    gains: tuple[float, ...] = (0.5, 0.7, 0.9, 1.0, 1.1, 1.3, 1.5)
    """What the recurrent kernels are multiplied by, where the law is measured."""
    draws: int = 5
    """Kernels at each gain."""
    units: int = 64
    """Of the networks whose law is measured."""
    length: int = 30
    """Steps of the sequences of the networks that learn."""
    steps: int = 4000
    """Updates of each, 0 for the start alone; of fewer than by default nothing is claimed."""
    seeds: int = 5
    """Runs of each."""
    seed: int = 0
    """Of all draws."""


QUICK = Config(quick=True, gains=(0.5, 0.7, 1.5), draws=2, steps=0, seeds=2)

LEAST = {"draws": 2, "units": 2, "length": 2, "steps": 0, "seeds": 2}
"""The least that these settings can be."""


def run(config: Config) -> None:
    """Measures, draws, and checks each claim."""
    check(config)
    mesh = cli.use_devices(config.devices)
    with open_run("gradient_through_time", config) as directory:
        laws = law.measure(
            gains=config.gains, units=config.units, draws=config.draws, seed=config.seed
        )
        sweep_fn = partial(
            sweep_in_run, directory, resume=config.resume, quiet=config.quiet, mesh=mesh
        )
        found = training.measure(
            sweep_fn,
            NETWORKS,
            length=config.length,
            steps=config.steps,
            seeds=config.seeds,
            seed=config.seed,
            is_watched=config.diagnostics,
        )
        figures = {
            "law": law.draw(config.gains, laws),
            "cures": cures.draw(found, config.steps),
        }
        plots.save_all(figures, directory.figures)
        if config.diagnostics and config.steps:
            for name, seen in found.items():
                write_instruments(directory, name.replace(", ", "_"), seen.steps, unit="step")
        results = {
            "law": law.summarize(config.gains, laws),
            "networks": cures.summarize(found),
        }
        claims = [*law.claims(laws), *cures.start_claims(found)]
        if config.steps >= Config.steps and config.length == Config.length:
            claims += cures.trained_claims(found)
        conclude(directory, results, claims)


def check(config: Config) -> None:
    """Checks what a user gave, before anything compiles."""
    check_least(config, LEAST)
    check_seed(config.seed, 2)  # the next one is that of the test sequences
    if config.steps % training.LOOKS:
        raise InputError(f"--steps {config.steps}: give a multiple of {training.LOOKS}")
    if not config.gains or not all(np.isfinite(gain) and gain > 0 for gain in config.gains):
        shown = " ".join(["--gains", *map(str, config.gains)])
        raise InputError(f"{shown}: give finite numbers above 0")
