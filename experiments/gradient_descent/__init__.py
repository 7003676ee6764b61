"""Gradient descent: its laws measured, and eleven optimizers on eight surfaces.

Claims:

    - Descent on x^4 - 3 x^3 + 2 from 6 at rate 0.01, until a step is below 1e-5, ends at 2.249965
      in a compiled loop as in a plain Python one, step for step; the minimum is 9/4.
    - It converges below the learning rate 2/L and not above, L the curvature at the minimum
      (Polyak, "Introduction to Optimization", 1987, section 1.4; Nesterov 2004, section 1.2.3).
    - The rule "stop at small steps" takes the inflection at 0 for a minimum.
    - On a quadratic of condition k its steps grow as k, those of momentum as the square root of k
      (Polyak 1964; Goh, "Why Momentum Really Works", Distill 2017).
    - Begun on the line that leads into a saddle it ends there; beside that line it leaves, in steps
      that grow as the logarithm of the nearness (Lee et al. 2016, arXiv:1602.04915).
    - What scales each coordinate (AdaGrad) is cured of ill-conditioning along the axes, not of the
      same turned by 45 degrees (Duchi, Hazan and Singer 2011, section 1.1).
    - At a cliff one step throws gradient descent off (Pascanu et al. 2013, arXiv:1211.5063); no
      step of Adam or Lion is longer than a multiple of the rate (Kingma and Ba 2015, section 2.1).

    python -m experiments.gradient_descent             about 1 minute on two CPU cores
    python -m experiments.gradient_descent --quick     five optimizers, seconds

Eleven optimizers descend eight surfaces (`jaxdl.surfaces`). All are tuned alike: the same grid of
learning rates, four to a decade from 1e-5 to 1e3, the same budget of steps, other numbers as Optax
has them (momentum 0.9; Lion without decay). Half of the starts, drawn about the surface's own,
choose the rate: that of the fewest steps, in the median, after which the loss stays within 1e-4 of
the way from start to minimum. The other half give the result, a mean with its 95% interval. All is
in float64.
"""

from dataclasses import dataclass

import jax

from experiments.gradient_descent import (
    cliff,
    conditioning,
    learning_rates,
    paths,
    saddle,
    steps,
    tuning,
)
from jaxdl import plots
from jaxdl.claims import conclude
from jaxdl.errors import InputError
from jaxdl.instruments import write_instruments
from jaxdl.optim.classic import CLASSIC
from jaxdl.runs import ExperimentOptions, check_least, check_names, check_seed, open_run


@dataclass(frozen=True)
class Config(ExperimentOptions):
    """How much to do."""

    optimizers: tuple[str, ...] = tuple(CLASSIC)
    """Which optimizers descend the surfaces."""
    steps: int = 2000
    """Steps of each descent on a surface."""
    rates_per_decade: int = 4
    """Learning rates tried, to a decade."""
    starts: int = 16
    """Starts on each surface: half choose the learning rate, the others give the result."""
    largest_condition: float = 1e4
    """Condition number up to which the steps of descent and momentum are counted."""
    frames: int = 72
    """Pictures in the animation."""
    seed: int = 0
    """Of the starts."""


QUICK = Config(
    quick=True,
    optimizers=("GD", "momentum", "AdaGrad", "Adam", "Lion"),
    steps=400,
    rates_per_decade=2,
    starts=8,
    largest_condition=1e3,
    frames=16,
)

LEAST = {"steps": 1, "rates_per_decade": 1, "starts": 4, "frames": 2}
"""The least that these settings can be."""


def run(config: Config) -> None:
    """Measures, draws, and checks each claim."""
    check(config)
    with jax.enable_x64(True), open_run("gradient_descent", config) as directory:
        laws = learning_rates.measure()
        counted = conditioning.measure(config.largest_condition)
        escapes = saddle.measure()
        tuned = tuning.measure(
            config.optimizers,
            rates_per_decade=config.rates_per_decade,
            starts=config.starts,
            steps=config.steps,
            seed=config.seed,
            quiet=config.quiet,
        )
        figures = {
            "learning_rates": learning_rates.draw(laws),
            "conditioning": conditioning.draw(counted),
            "saddle": saddle.draw(escapes),
            "paths": paths.draw(tuned, config.steps),
            "steps": tuning.draw(tuned, config.steps),
        }
        if {"GD", "Adam"} <= set(tuned):
            figures["cliff"] = cliff.draw(tuned)
        plots.save_all(figures, directory.figures)
        if config.diagnostics:
            for name, seen in steps.watch(tuned):
                write_instruments(directory, name, seen, unit="step")
        plots.save_animation(paths.animate(tuned, config.frames), directory.figures / "paths.gif")
        results = {
            **learning_rates.summarize(laws),
            "conditioning": counted._asdict(),
            "saddle": saddle.summarize(escapes),
            "surfaces": tuning.summarize(tuned, config.steps),
        }
        claims = [
            *learning_rates.claims(laws),
            conditioning.claim(counted),
            saddle.claim(escapes),
            *tuning.claims(tuned),
            *cliff.claims(tuned),
        ]
        conclude(directory, results, claims)


def check(config: Config) -> None:
    """Checks what a user gave, before anything compiles."""
    check_names("optimizers", config.optimizers, CLASSIC)
    check_least(config, LEAST)
    check_seed(config.seed)
    if not 100 <= config.largest_condition <= 1e5:
        raise InputError(
            f"--largest-condition {config.largest_condition}: give 100 to 100,000, "
            "for descent takes 7 steps for each unit of it"
        )
