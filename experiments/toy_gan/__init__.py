"""Games of generator against discriminator in the plane, where all can be seen.

Claims:

    - Against a fixed generator the discriminator learns p / (p + q) within 0.02, where 99.6% of the
      samples fall, and the value of the game is then -log 4 + 2 JSD(p, q) within 0.002, -log 4
      where the generator is exact (Goodfellow et al. 2014, arXiv:1406.2661, proposition 1 and
      theorem 1).
    - As it gets better, the gradient of the minimax form rises at first and then vanishes, to below
      a tenth of its start, and that of the non-saturating form grows (section 3 there).
    - With a penalty on the discriminator's gradient at the data (R1, Mescheder et al. 2018,
      arXiv:1801.04406) the non-saturating form covers all 8 modes of a ring from every seed, and
      all 25 of a grid.

    python -m experiments.toy_gan             the ring, all objectives
    python -m experiments.toy_gan --mixtures grid --steps 8000
    python -m experiments.toy_gan --quick     the ring by the default objective

Each player takes one step in turn, Wasserstein's critic too, whose gradient penalty is 0.1
(Gulrajani et al. 2017, arXiv:1704.00028, use five steps and 10).
Both players are perceptrons: of two layers of 64 on the ring, of three of 128 on the grid, which is
harder. A sample is good within three standard deviations of a centre (Srivastava et al. 2017,
arXiv:1705.07761), and 20 good ones of 2,500 cover a mode.
Samples are those of a moving average of the generator's parameters. Intervals are of 95% over seeds
(Student's t).
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from experiments.toy_gan import figures, theory, training
from experiments.toy_gan.mixtures import MIXTURES, coverage
from experiments.toy_gan.training import Kind, Played
from jaxdl import cli, plots
from jaxdl.adversarial import failures_of_seeds
from jaxdl.claims import Claim, conclude
from jaxdl.errors import InputError
from jaxdl.objectives import OBJECTIVES
from jaxdl.runs import (
    ExperimentOptions,
    ResumableOptions,
    SweepOptions,
    check_least,
    check_names,
    check_no_diagnostics,
    check_seed,
    open_run,
)
from jaxdl.statistics import mean_and_interval, write_interval
from jaxdl.sweep import sweep_in_run

DEFAULT = "non_saturating"


@dataclass(frozen=True)
class Config(SweepOptions, ResumableOptions, ExperimentOptions):
    """How much to do."""

    mixtures: tuple[str, ...] = ("ring",)
    """Which mixtures of Gaussians: ring of 8, grid of 25."""
    objectives: tuple[str, ...] = (DEFAULT, *(name for name in OBJECTIVES if name != DEFAULT))
    """Which of minimax, non_saturating, least_squares, wasserstein and hinge."""
    penalty: float = 1.0
    """Strength of R1; Wasserstein's gradient penalty has a tenth."""
    unpenalized: bool = True
    """Also play the default objective without a penalty."""
    steps: int = 4000
    """Updates of each game."""
    seeds: int = 10
    """Games of each kind."""
    seed: int = 0
    """Of all draws."""

    def kinds(self) -> list[Kind]:
        """All games."""
        kinds = [
            Kind(mixture, objective) for mixture in self.mixtures for objective in self.objectives
        ]
        if self.unpenalized:
            kinds += [Kind(mixture, DEFAULT, is_penalized=False) for mixture in self.mixtures]
        return kinds


QUICK = Config(quick=True, objectives=(DEFAULT,), unpenalized=False, steps=3000, seeds=2)


def run(config: Config) -> None:
    """Plays, measures, draws, and checks each claim."""
    check(config)
    mesh = cli.use_devices(config.devices)
    with open_run("toy_gan", config) as directory:
        seen = theory.measure(config.seed, mesh)
        sweep_fn = partial(
            sweep_in_run, directory, resume=config.resume, quiet=config.quiet, mesh=mesh
        )
        found = training.measure(
            sweep_fn,
            config.kinds(),
            steps=config.steps,
            penalty=config.penalty,
            seeds=config.seeds,
            seed=config.seed,
        )
        drawn = {
            "samples": figures.draw_samples(found),
            "curves": figures.draw_curves(found, config.steps),
            "theory": figures.draw_theory(seen),
        }
        plots.save_all(drawn, directory.figures)
        first = next(iter(found))
        pictures = figures.animate(first, found[first], config.steps)
        plots.save_animation(pictures, directory.figures / "game.gif")
        print(table(found))
        claims = [*theory.claims(seen), *mode_claims(found)]
        conclude(directory, summarize(found), claims)


def check(config: Config) -> None:
    """Checks what a user gave, before anything compiles."""
    check_names("mixtures", config.mixtures, MIXTURES)
    check_names("objectives", config.objectives, OBJECTIVES)
    check_least(config, {"penalty": 0, "steps": training.LOOKS, "seeds": 2})
    check_seed(config.seed)
    check_no_diagnostics(config)
    if config.steps % training.LOOKS:
        raise InputError(f"--steps {config.steps}: give a multiple of {training.LOOKS}")


def mode_claims(found: dict[Kind, Played]) -> list[Claim]:
    """That the default objective covers each mixture."""
    return [
        mode_claim(kind, played)
        for kind, played in found.items()
        if kind.objective == DEFAULT and kind.is_penalized
    ]


def mode_claim(kind: Kind, played: Played) -> Claim:
    """That a game covers all modes from each seed."""
    mixture = MIXTURES[kind.mixture]
    seen = coverage(mixture, np.asarray(played.samples)[:, -1])
    modes = len(mixture.centres)
    return Claim(
        f"the non-saturating form with R1 covers all {modes} modes of the {mixture.name}",
        bool((seen.modes == modes).all()),
        f"modes covered from each seed: {' '.join(map(str, seen.modes))}; good samples "
        f"{write_interval(seen.good, '.1%')}",
    )


def table(found: dict[Kind, Played]) -> str:
    """A line for each game, and one for each of its failures."""
    lines = [f"{'':34}{'modes covered':>16}{'good samples':>18}"]
    for kind, played in found.items():
        seen = coverage(MIXTURES[kind.mixture], np.asarray(played.samples)[:, -1])
        modes, good = write_interval(seen.modes, ".1f"), write_interval(seen.good, ".1%")
        lines.append(f"{f'{kind.mixture}, {kind}':34}{modes:>16}{good:>18}")
        last = {name: of[:, -1] for name, of in played.metrics.items()}
        lines += [f"    {failure}" for failure in failures_of_seeds(last)]
    return "\n".join(lines)


def summarize(found: dict[Kind, Played]) -> dict[str, Any]:
    """For ``summary.json``: an entry for each game, and the modes that the first one covers."""
    games = []
    for kind, played in found.items():
        seen = coverage(MIXTURES[kind.mixture], np.asarray(played.samples)[:, -1])
        games.append(
            {
                **kind._asdict(),
                "modes_covered": seen.modes,
                "good_samples": seen.good,
                "modes_interval": mean_and_interval(seen.modes.astype(float)),
                "good_interval": mean_and_interval(seen.good),
                "spread": np.asarray(played.metrics["spread"])[:, -1],
            }
        )
    return {"modes_covered": int(games[0]["modes_covered"].min()), "games": games}
