"""Clipping of gradients: what it turns, what it saves, and how small the clip norm may be.

Claims:

    - Clipping by norm keeps a gradient's direction, to rounding. By value it turns it: where half
      of the entries are clipped by more than the 24 degrees of normal entries, on a network's
      gradients by 40 to 51. By layer norm lies between the two.
    - At a cliff one step of gradient descent throws the parameters off. Clipped by norm, no step is
      longer than the rate times the bound, and every descent ends in the minimum (Pascanu, Mikolov
      and Bengio 2013, arXiv:1211.5063, section 3.2 and figure 6; Goodfellow, Bengio and Courville,
      "Deep Learning", 2016, figures 8.3 and 10.17).
    - A recurrent network whose recurrent weights are 1.4 times an orthogonal matrix diverges at a
      learning rate at which it trains with clipping. At the fastest rate at which every seed trains
      without, training takes longer than at the fastest with.
    - The clip norm may vary by a factor of 10 and more: smaller ones, which clip every step, are
      slow; larger ones do not save.

    python -m experiments.clipping             about 1 minute on two CPU cores
    python -m experiments.clipping --quick     seconds, without speed and range

The gradients are those of a perceptron on batches of 128 digits of mnist_5k, at the start and
through training. The cliff is `jaxdl.surfaces.cliff`. The recurrent network has 32 units (ELU) and
reads 30 steps of noise, the first of which marks one of four classes, which it is to tell at the
end: the latch problem of Bengio, Simard and Frasconi 1994 with four classes. Its learning rates and
clip norms times seeds are one compiled program (`jaxdl.sweep`). Intervals are of 95%: Student's t
over seeds for means, Clopper and Pearson (1934) for shares. After a first look, the claim of speed
was taken out of the quick form, whose 150 steps are too few for it, and rates from 0.0001 to 0.001
were added, which changes no number of a claim.
"""

import math
import sys
from dataclasses import dataclass
from functools import partial

import numpy as np

from experiments.clipping import angles, cliff, clip_norms, rates, recurrent
from jaxdl import cli, plots
from jaxdl.claims import Claim, conclude
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


def decades(low: int, high: int, each: int) -> tuple[float, ...]:
    """From ten to the ``low`` to ten to the ``high``, so many to a factor of ten."""
    return tuple(np.logspace(low, high, (high - low) * each + 1).tolist())


@dataclass(frozen=True)
class Config(SweepOptions, ResumableOptions, ExperimentOptions):
    """How much to do."""

    networks: int = 5
    """Perceptrons whose gradients are clipped, each trained from a seed of its own."""
    times: tuple[int, ...] = (0, 1, 5, 20)
    """Epochs of their training after which gradients are looked at: four at most."""
    batches: int = 4
    """Batches whose gradients are clipped, at each time of each perceptron."""
    starts: int = 16
    """Descents at the cliff."""
    cliff_steps: int = 2000
    """Steps of each."""
    seeds: int = 16
    """Runs of the recurrent network at each rate and clip norm."""
    epochs: int = 10
    """Passes of each over its 1,600 sequences."""
    rates: tuple[float, ...] = decades(-4, 0, each=2)
    """Learning rates of the recurrent network, with clipping and without; 0.1 is added. Fewer than
    by default show no range, and speed is not claimed."""
    clip_norms: tuple[float, ...] = decades(-2, 2, each=3)
    """Clip norms, at learning rate 0.1; 0.01, 1 and infinity are added. Fewer than by default show
    no range, and none is claimed."""
    seed: int = 0
    """Of all draws."""


QUICK = Config(
    quick=True,
    networks=3,
    times=(0,),
    cliff_steps=1000,
    seeds=10,
    epochs=3,
    rates=(),
    clip_norms=(100.0,),
)

LEAST = {
    "networks": 1,
    "batches": 1,
    "starts": 2,
    "cliff_steps": 1,
    "seeds": 6,  # of fewer, all may diverge and the interval of their share still holds a half
    "epochs": 1,
}
"""The least that these settings can be."""


def run(config: Config) -> None:
    """Measures, draws, and checks each claim."""
    check(config)
    mesh = cli.use_devices(config.devices)

    def show(part: str) -> None:
        if not config.quiet:
            print(part, file=sys.stderr, flush=True)

    with open_run("clipping", config) as directory:
        show("clipping the gradients of perceptrons")
        turns = angles.measure(
            networks=config.networks, times=config.times, batches=config.batches, seed=config.seed
        )
        show("descending at the cliff")
        falls = cliff.measure(starts=config.starts, steps=config.cliff_steps, seed=config.seed)
        show("training the recurrent network")
        sweep_fn = partial(
            sweep_in_run, directory, resume=config.resume, quiet=config.quiet, mesh=mesh
        )
        runs = recurrent.measure(
            sweep_fn,
            rates=config.rates,
            clip_norms=config.clip_norms,
            seeds=config.seeds,
            epochs=config.epochs,
            seed=config.seed,
        )
        show("drawing")
        figures = {
            "angles": angles.draw(turns, config.times),
            "cliff": cliff.draw(falls),
            "recurrent": rates.draw(runs),
            "clip_norm": clip_norms.draw(runs),
        }
        plots.save_all(figures, directory.figures)
        if config.diagnostics:
            show("watching the recurrent network")
            lengths = {"seeds": config.seeds, "epochs": config.epochs}
            for name, seen in recurrent.watch(**lengths, seed=config.seed).items():
                write_instruments(directory, f"recurrent_{name}", seen, unit="step")
        results = {
            "angles": angles.summarize(turns, config.times),
            "cliff": cliff.summarize(falls),
            "recurrent": recurrent.summarize(runs),
        }
        claims = [
            *angles.claims(turns, config.times),
            *cliff.claims(falls),
            *recurrent_claims(runs, config),
        ]
        conclude(directory, results, claims)


def recurrent_claims(runs: recurrent.Runs, config: Config) -> list[Claim]:
    """What clipping saves, what it is worth, and what the clip norm may be."""
    swept = runs.at_rate(recurrent.RATE)
    claims = [rates.divergence_claim(runs), clip_norms.telemetry_claim(swept)]
    # A few steps do not show a range of rates, or of clip norms; nor does a part of one.
    if not config.quick and set(config.rates) >= set(Config.rates):
        claims.append(rates.speed_claim(runs))
    if not config.quick and set(config.clip_norms) >= set(Config.clip_norms):
        claims.append(clip_norms.range_claim(swept))
    return claims


def check(config: Config) -> None:
    """Checks what a user gave, before anything compiles."""
    check_least(config, LEAST)
    check_seed(config.seed)
    if config.batches > angles.MOST_BATCHES:
        raise InputError(f"--batches {config.batches}: give {angles.MOST_BATCHES} at most")
    most = len(angles.TIME_STYLES)
    if not 1 <= len(config.times) <= most or min(config.times) < 0:
        shown = " ".join(["--times", *map(str, config.times)])
        raise InputError(f"{shown}: give one to {most} numbers, 0 or more")
    for name in ("rates", "clip_norms"):
        values = getattr(config, name)
        if not all(math.isfinite(value) and value > 0 for value in values):
            shown = " ".join(map(str, values))
            raise InputError(f"--{name.replace('_', '-')} {shown}: give finite numbers above 0")
