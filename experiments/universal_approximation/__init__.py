"""Universal approximation: how near networks come to functions, by width, by learning, by depth.

Claims:

    - Hidden ReLU units that stay as they are drawn, with the best outputs, have a squared error
      that falls as a power of their number n: smooth functions of d numbers as ``n^(-(d + 3) / d)``
      (the rate of the best for a class of functions: Siegel and Xu 2022, arXiv:2101.12365), a step
      as ``1 / n``, since one of n gaps has to cross it.
    - Units that learn come nearer to smooth functions. A step two units make, but training does
      not find it: with 32 units it leaves 2e-3. (In the figure of the full form it does so from 16
      units on, and from 128 on units as they are drawn come nearer.)
    - k layers of two units make a sawtooth of ``2^k`` linear pieces; one layer needs ``2^k - 1``
      units (Telgarsky 2016, arXiv:1602.04485, and 2015, arXiv:1509.08101).
    - Training does not find it: networks that have units enough learn the first sawtooth from most
      starts and the last from none. Deep ones get no further than shallow ones.

Not claimed, but in the figure: Barron's bound for the best network, ``(2 C)^2 / n`` with n sigmoids
on a ball of radius 1 where the function's norm C is finite (Barron 1993, theorem 1). It is loose in
one or two dimensions, where the powers above are far steeper, and a constant passes it: with 32
ReLUs it is 2.47 for the sine, whose variance is 0.5, and with 512 still 0.308 for the product,
whose variance is 0.298.

    python -m experiments.universal_approximation            about 5 minutes
    python -m experiments.universal_approximation --quick    fewer widths, seeds and steps

Networks have one hidden layer, and besides it a constant and the inputs themselves, so that in one
dimension they are all continuous functions with n bends. They are asked on many even points, to
which they are fitted: it is not told what they make of new ones, but how near they can be. With
drawn and with learnt units alike, the outputs are then the least squares', in float64. Means are
geometric; intervals are of 95% over seeds (Student's t), of shares Clopper and Pearson's.
"""

from dataclasses import dataclass

from experiments.universal_approximation import features, sawtooth
from experiments.universal_approximation.features import COMPARED, LEAST_UNITS
from jaxdl import plots
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


@dataclass(frozen=True)
class Config(ExperimentOptions):
    """How much to do."""

    widths: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
    """Hidden units of networks whose units stay as they are drawn, ascending."""
    draws: int = 20
    """Of each of them."""
    trained_widths: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
    """Hidden units of networks that learn."""
    seeds: int = 4
    """Of each of them."""
    epochs: int = 200
    """That these learn for, of 16 steps."""
    doublings: tuple[int, ...] = (1, 2, 3, 4, 5)
    """Sawtooths to be learnt: how often each doubles its pieces."""
    starts: int = 30
    """Networks of each kind for each sawtooth."""
    steps: int = 5000
    """That these are trained for."""
    seed: int = 0
    """Of all draws."""


QUICK = Config(
    quick=True,
    widths=(32, 64, 128, 256),
    draws=32,
    trained_widths=(32,),
    epochs=80,
    doublings=(1, 5),
    starts=20,
    steps=700,
)

LEAST = {
    "widths": 1,
    "draws": 2,
    "trained_widths": 1,
    "seeds": 2,
    "epochs": 1,
    "doublings": 1,
    "starts": 2,
    "steps": 1,
}
"""The least that these settings can be."""


def run(config: Config) -> None:
    """Measures, draws, and checks each claim."""
    check(config)
    with open_run("universal_approximation", config) as directory:
        drawn = features.measure_drawn(config.widths, draws=config.draws, seed=config.seed)
        trained, networks = features.measure_trained(
            config.trained_widths, seeds=config.seeds, epochs=config.epochs, seed=config.seed
        )
        measured = features.Measured(config.widths, drawn, config.trained_widths, trained)
        found = sawtooth.measure(
            config.doublings, seeds=config.starts, steps=config.steps, seed=config.seed
        )
        figures = {
            "errors": features.draw(measured),
            "fits": features.draw_fits(networks[COMPARED], config.seed),
            "sawtooth": sawtooth.draw(found),
        }
        plots.save_all(figures, directory.figures)
        results = {
            "drawn": features.summarize(config.widths, drawn),
            "trained": features.summarize(config.trained_widths, trained),
            "sawtooth_floor": found.floor,
            "sawtooth_deep": found.deep._asdict(),
            "sawtooth_shallow": found.shallow._asdict(),
        }
        conclude(directory, results, [*features.claims(measured), *sawtooth.claims(found)])


def check(config: Config) -> None:
    """Checks what a user gave, before anything compiles."""
    check_no_diagnostics(config)
    check_least(config, LEAST)
    check_seed(config.seed)
    check_ascending(config, {"widths": 1, "trained_widths": 1, "doublings": 1})
    for name, needed in (
        ("widths", {COMPARED, LEAST_UNITS, 2 * LEAST_UNITS}),
        ("trained_widths", {COMPARED}),
        ("doublings", {1, sawtooth.HARDEST}),
    ):
        given = getattr(config, name)
        flag = f"--{name.replace('_', '-')} {' '.join(map(str, given))}"
        if not needed <= set(given):
            raise InputError(f"{flag}: give {' and '.join(map(str, sorted(needed)))} among them")
    if config.doublings[-1] > sawtooth.HARDEST:
        raise InputError(
            f"--doublings {config.doublings[-1]}: give {sawtooth.HARDEST} at most, for networks "
            f"are trained on {len(sawtooth.GRID)} points"
        )
