"""Cover's theorem: how many of all labellings of some points a plane can part.

    C(N, d) = 2 sum over k < d of binomial(N - 1, k)

of the 2^N labellings of N points are parted by a plane with d weights, whatever the points are, as
long as no d of them lie on one plane (Cover, "Geometrical and Statistical Properties of Systems of
Linear Inequalities with Applications in Pattern Recognition", 1965, theorem 1).

Claims:

    - Of random labellings of random points the share that linear programming can part is
      C(N, d) / 2^N, for 2 to 20 weights; all of d points, half of 2 d points: a plane remembers two
      labels for each of its weights.
    - So what no line parts is likely parted with more coordinates, whatever they are: two rings
      never in the plane, with random non-linear features the more often the more there are.

    python -m experiments.cover            half a minute
    python -m experiments.cover --quick    fewer draws

A labelling is parted where `jaxdl.separability` finds a plane. Intervals are of 95%, Clopper and
Pearson's.
"""

from dataclasses import dataclass
from math import comb
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.figure import Figure

from jaxdl import cli, data, plots
from jaxdl.claims import Claim, conclude
from jaxdl.runs import (
    ExperimentOptions,
    check_least,
    check_no_diagnostics,
    check_seed,
    open_run,
)
from jaxdl.separability import separating_plane
from jaxdl.statistics import share_interval, write_share

WEIGHTS = (2, 3, 5, 10, 20)
RATIOS = (1.0, 1.4, 1.8, 2.0, 2.2, 2.6, 3.0)
"""Points for each weight."""
LEAST_DRAWS = 20
"""With fewer anything could be the theorem's."""
LEVEL = 0.9999
"""Of the intervals that are to hold what the theorem says: of all shares together 99.5% or more."""
MOST_SCORE = 4.0
"""Standard deviations that all shares together may be off."""
RING_POINTS = 60
"""On both together."""
FEATURES = (2, 4, 8, 16, 32)


@dataclass(frozen=True)
class Config(ExperimentOptions):
    """How much to do."""

    draws: int = 200
    """Labellings for each number of points, and features for each number of them."""
    seed: int = 0
    """Of all draws."""


QUICK = Config(quick=True, draws=40)


class Parted(NamedTuple):
    """Whether each draw was parted.

    Attributes:
        weights: of the plane.
        points: how many.
        happened: whether each labelling was parted.
    """

    weights: int
    points: int
    happened: Bool[np.ndarray, " draws"]

    @property
    def expected(self) -> float:
        """What the theorem says of the share."""
        return dichotomies(self.points, self.weights) / 2**self.points


def run(config: Config) -> None:
    """Parts, draws, and checks each claim."""
    check_no_diagnostics(config)
    check_least(config, {"draws": LEAST_DRAWS})
    check_seed(config.seed)
    with open_run("cover", config) as directory:
        found = measure_labellings(config)
        rings = measure_rings(config)
        drawn = {"theorem": draw_theorem(found), "rings": draw_rings(config.seed, rings)}
        plots.save_all(drawn, directory.figures)
        results = {
            "parted": [[of.weights, of.points, of.happened.mean(), of.expected] for of in found],
            "rings": {f"features_{n}": of.mean() for n, of in rings.items()},
        }
        conclude(directory, results, [theorem_claim(found), rings_claim(rings)])


# --- the theorem ---------------------------------------------------------------------------------


def dichotomies(points: int, weights: int) -> int:
    """How many labellings of the points a plane with so many weights parts.

    >>> dichotomies(4, 3)  # all labellings of four points in the plane but XOR and XNOR
    14
    """
    return 2 * sum(comb(points - 1, k) for k in range(weights))


def measure_labellings(config: Config) -> list[Parted]:
    """Random labels of normal points, one coordinate fewer than weights: the bias has one."""
    rng = np.random.default_rng(config.seed)
    found = []
    for weights in WEIGHTS:
        for points in sorted({round(ratio * weights) for ratio in RATIOS}):
            places = rng.normal(size=(config.draws, points, weights - 1))
            labels = rng.random((config.draws, points)) < 0.5
            happened = [
                separating_plane(*of) is not None for of in zip(places, labels, strict=True)
            ]
            found.append(Parted(weights, points, np.array(happened)))
    return found


def theorem_claim(found: list[Parted]) -> Claim:
    """All shares are the theorem's, as far as chance lets one see."""
    off = [of for of in found if not within(of.expected, share_interval(of.happened, LEVEL))]
    full = [of for of in found if of.points == of.weights]
    draws = len(found[0].happened)
    expected = np.array([of.expected for of in found])
    parted = sum(int(of.happened.sum()) for of in found)
    # Of all draws together: a sum of independent ones.
    deviation = np.sqrt(draws * np.sum(expected * (1 - expected)))
    score = float((parted - draws * expected.sum()) / deviation)
    half = [of for of in found if of.points == 2 * of.weights]
    shares = ", ".join(f"{of.happened.mean():.1%} with {of.weights}" for of in half)
    farthest = max(found, key=lambda of: abs(of.happened.mean() - of.expected))
    return Claim(
        "a plane parts C(N, d) of the 2^N labellings of N points",
        not off and all(of.happened.all() for of in full) and abs(score) < MOST_SCORE,
        f"{len(found) - len(off)} of {len(found)} shares have the theorem's in their "
        f"{LEVEL:.2%} interval; the farthest from it is {write_share(farthest.happened, '.1%')} "
        f"for {farthest.expected:.1%}, of {farthest.points} points with {farthest.weights} "
        f"weights; of all {draws * len(found):,} labellings {parted:,} are parted, "
        f"expected {draws * expected.sum():,.0f} ({score:+.1f} standard deviations); of two points "
        f"for each weight {shares} weights, expected 50%",
    )


def within(value: float, interval: tuple[float, float]) -> bool:
    """Whether it is not outside."""
    return interval[0] <= value <= interval[1]


# --- two rings -----------------------------------------------------------------------------------


def make_rings(seed: int) -> tuple[Float[np.ndarray, "points 2"], Bool[np.ndarray, " points"]]:
    """Points, and which are of the outer ring."""
    return data.two_rings(np.random.default_rng([seed, 1]), RING_POINTS)


def random_features(
    rng: np.random.Generator, points: Float[np.ndarray, "points 2"], count: int
) -> Float[np.ndarray, "points features"]:
    """What a hidden layer of so many units with random weights makes of the points, by tanh."""
    weights, biases = rng.normal(size=(2, count)), rng.uniform(-2, 2, count)
    return np.tanh(2 * (points @ weights + biases))


def measure_rings(config: Config) -> dict[int, Bool[np.ndarray, " draws"]]:
    """Whether a plane parts the rings, by the number of random features; 0 for the points alone."""
    points, labels = make_rings(config.seed)
    rng = np.random.default_rng([config.seed, 2])
    found = {0: np.array([separating_plane(points, labels) is not None])}
    for count in FEATURES:
        drawn = (random_features(rng, points, count) for _ in range(config.draws))
        found[count] = np.array([separating_plane(of, labels) is not None for of in drawn])
    return found


def rings_claim(rings: dict[int, Bool[np.ndarray, " draws"]]) -> Claim:
    """From never to nearly always."""
    shares = [of.mean() for of in rings.values()]
    return Claim(
        "two rings, which no line parts, are parted with enough random features",
        shares[0] == 0 and bool((np.diff(shares) >= 0).all()) and shares[-1] > 0.9,
        f"{'parted' if shares[0] else 'not parted'} as they are, then of draws "
        + ", ".join(f"{write_share(of)} with {n} features" for n, of in list(rings.items())[1:])
        + "; expected not at first and 90% in the end",
    )


# --- pictures ------------------------------------------------------------------------------------


@plots.styled
def draw_theorem(found: list[Parted]) -> Figure:
    """Measured shares over the theorem's."""
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    for weights, colour, marker in zip(WEIGHTS, plots.COLOURS, "os^Dv", strict=True):
        of_these = [of for of in found if of.weights == weights]
        ratios = np.array([of.points / weights for of in of_these])
        happened = [of.happened for of in of_these]
        plots.draw_shares(
            axes, ratios, happened, fmt=marker, color=colour, label=f"{weights} weights"
        )
        counts = np.arange(weights, 3 * weights + 1)
        exact = [dichotomies(int(n), weights) / 2.0**n for n in counts]
        axes.plot(counts / weights, exact, color=colour, lw=1)
    axes.axvline(2, color="black", ls=":", lw=1)
    axes.set(xlabel="points for each weight", ylabel="share of labellings that a plane parts")
    axes.set_title("Cover's theorem (lines) and linear programming, 95% intervals")
    axes.legend()
    return figure


@plots.styled
def draw_rings(seed: int, rings: dict[int, Bool[np.ndarray, " draws"]]) -> Figure:
    """The rings, and how often random features part them."""
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    points, labels = make_rings(seed)
    for chosen, colour, marker in ((labels, plots.BLUE, "o"), (~labels, plots.RED, "^")):
        left.plot(*points[chosen].T, marker, color=colour)
    left.set(aspect="equal", xlabel="x", ylabel="y", title="no line parts these")
    counts = list(rings)[1:]
    happened = [rings[count] for count in counts]
    plots.draw_shares(right, np.array(counts), happened, fmt="o-", color=plots.BLUE)
    right.set_xscale("log", base=2)
    right.set_xticks(counts, map(str, counts))
    right.set(xlabel="random features tanh(w x + b)", ylim=(-0.05, 1.05))
    right.set(ylabel="share of draws that a plane parts", title="95% intervals")
    return figure


if __name__ == "__main__":
    cli.main(run, Config, quick=QUICK)
