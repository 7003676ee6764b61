"""Rosenblatt's perceptron: a neuron that learns its weights and its threshold from its mistakes.

    output = step(weights . (inputs, 1));  weights += rate * (target - output) * (inputs, 1)

(Rosenblatt, "The Perceptron", 1958). The step is to 0 and 1, or to -1 and 1, and is up at 0.

Claims:

    - It learns the 14 functions of two inputs that one neuron makes, with either step; XOR and XNOR
      it does not: its weights go round in a cycle (Minsky and Papert, "Perceptrons", 1969).
    - Where a plane parts the classes it makes at most (R / gamma)^2 mistakes, R the length of the
      longest input and gamma the widest margin, the bias counted in (Novikoff, "On Convergence
      Proofs on Perceptrons", 1962).
    - From weights of zero the rate changes nothing but their length: the mistakes are the same.
      From other weights a small rate takes longer to forget them.
    - Where no plane parts them it never ends: accuracy on test data rises in the first passes, by 2
      points, then goes up and down, within a run with a standard deviation of 2.3 points; on the
      average it neither rises nor falls any more. The weights with the fewest mistakes so far, kept
      in a pocket (Gallant, "Perceptron-Based Learning Algorithms", 1990), do better than the last,
      by 3 points, and are steadier.

    python -m experiments.perceptron            seconds
    python -m experiments.perceptron --quick    fewer draws

Examples come in the same order in each pass. That test accuracy falls from its best pass is true of
any numbers that go up and down; so it is windows of passes that are compared, fixed beforehand.
Intervals are of 95% over draws (Student's t).
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int
from matplotlib.figure import Figure

from jaxdl import cli, plots
from jaxdl.claims import Claim, conclude
from jaxdl.runs import (
    ExperimentOptions,
    check_least,
    check_no_diagnostics,
    check_seed,
    open_run,
)
from jaxdl.separability import corners, labellings, separating_plane, widest_margin
from jaxdl.statistics import is_above_zero, mean_and_interval, write_interval

CORNERS = corners(2).astype(np.float32)
PASSES_OF_CORNERS, SHOWN = 40, 20
GAPS = (0.3, 0.1, 0.03, 0.01)
"""How wide the empty strip about the true line is, on each side."""
POINTS, COORDINATES = 100, 10
PASSES, FLIPPED, TESTED = 60, 0.1, 4000
"""On data that no plane parts: passes, the share of labels that are wrong, the test points."""
SETTLED = 10
"""Passes after which it is not to get any better."""
TREND = 0.01
"""Of test accuracy, what it may change by from the first half of the other passes to the second."""
RATES = (1.0, 0.25, 1 / 16)
START_LENGTH = 5.0
"""Standard deviation of the other weights to start from."""

Weights = Float[Array, " weights"]


@dataclass(frozen=True)
class Config(ExperimentOptions):
    """How much to do."""

    draws: int = 100
    """Data sets of each kind."""
    seed: int = 0
    """Of all draws."""


QUICK = Config(quick=True, draws=20)


def run(config: Config) -> None:
    """Learns, draws, and checks each claim."""
    check_no_diagnostics(config)
    check_least(config, {"draws": 2})
    check_seed(config.seed)
    with open_run("perceptron", config) as directory:
        learned = learn_functions()
        bounded = measure_bounds(config)
        rates = measure_rates(config)
        noisy = measure_noisy(config)
        drawn = {
            "mistakes": draw_mistakes(bounded),
            "noisy": draw_noisy(noisy),
            "functions": draw_functions(learned),
        }
        plots.save_all(drawn, directory.figures)
        results = {
            "mistakes": [of.mistakes.tolist() for of in bounded],
            "bounds": [of.bounds.tolist() for of in bounded],
            "xor_period": period_of(learned.weights[XOR, 1]),
            "test_accuracy": noisy.test[:, -1].mean(),
            "pocket_test_accuracy": noisy.pocket[:, -1].mean(),
        }
        claims = [*function_claims(learned), bound_claim(bounded), *rate_claims(rates)]
        conclude(directory, results, [*claims, *noisy_claims(noisy)])


# --- the rule ------------------------------------------------------------------------------------


class Learned(NamedTuple):
    """What learning left behind, pass by pass.

    Attributes:
        weights: at the end of each pass ``(passes, weights)``, the bias last.
        mistakes: in each pass ``(passes,)``.
    """

    weights: Array
    mistakes: Array


@partial(jax.jit, static_argnames=("passes", "low"))
def learn(
    inputs: Float[Array, "points coordinates"],
    labels: Bool[Array, " points"],
    start: Weights,
    rate: Float[Array, ""] | float,
    *,
    passes: int,
    low: int = -1,
) -> Learned:
    """Rosenblatt's rule, example after example.

    Args:
        inputs: without the 1 of the bias.
        labels: which of them are to be up.
        start: the first weights, the bias last.
        rate: of learning.
        passes: over all examples.
        low: what the step is below 0, -1 or 0; above it is 1.
    """
    targets = jnp.where(labels, 1.0, float(low))

    def see(weights: Weights, example: tuple[Array, Array]):
        values, target = example
        output = jnp.where(weights @ values >= 0, 1.0, float(low))
        return weights + rate * (target - output) * values, output != target

    def go_through(weights: Weights, _):
        weights, mistakes = lax.scan(see, weights, (with_one(inputs), targets))
        return weights, Learned(weights, jnp.sum(mistakes))

    return lax.scan(go_through, start, None, length=passes)[1]


def with_one(inputs: Float[Array, "points coordinates"]) -> Float[Array, "points weights"]:
    """With a 1 behind each, whose weight is the bias."""
    return jnp.concatenate([inputs, jnp.ones((len(inputs), 1))], axis=1)


def accuracy(
    weights: Float[Array, "passes weights"],
    inputs: Float[Array, "points coordinates"],
    labels: Bool[Array, " points"],
) -> Float[Array, " passes"]:
    """The share of points that each of the weights put right."""
    return jnp.mean((weights @ with_one(inputs).T >= 0) == labels[None], axis=1)


# --- functions of two inputs ---------------------------------------------------------------------

FUNCTIONS = labellings(4)
AND, XOR, XNOR = 1, 6, 9
"""Places of these among all functions."""
STEPS = (0, -1)
"""What the step is below 0."""


def learn_functions() -> Learned:
    """All sixteen, from zeros, with both steps: leaves have the axes function and step in front."""

    def one(labels: Array, low: int) -> Learned:
        return learn(CORNERS, labels, jnp.zeros(3), 1.0, passes=PASSES_OF_CORNERS, low=low)

    of_steps = [jax.vmap(partial(one, low=low))(jnp.asarray(FUNCTIONS)) for low in STEPS]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves, axis=1), *of_steps)


def period_of(weights: Float[Array, "passes weights"]) -> int:
    """After how many passes the last weights come again; 0 if they did not."""
    again = np.flatnonzero((weights[:-1] == weights[-1:]).all(axis=1))
    return int(len(weights) - 1 - again[-1]) if again.size else 0


def function_claims(learned: Learned) -> list[Claim]:
    """What it learns, and what it does not."""
    mistakes = np.asarray(learned.mistakes)
    is_learned, passes = mistakes[:, :, -1] == 0, (mistakes > 0).sum(axis=2)
    lacking = np.flatnonzero(~is_learned.all(axis=1)).tolist()
    most = passes[is_learned.all(axis=1)].max()
    periods = [
        period_of(learned.weights[which, step]) for which in (XOR, XNOR) for step in range(2)
    ]
    longest = np.abs(learned.weights[np.array([XOR, XNOR])]).max()
    return [
        Claim(
            "it learns the 14 functions of two inputs that one neuron makes",
            lacking == [XOR, XNOR] and not is_learned[lacking].any(),
            f"{is_learned[:, 0].sum()} with the step to 0 and 1, {is_learned[:, 1].sum()} with "
            f"that to -1 and 1, without a mistake after {most} passes at most; expected 14",
        ),
        Claim(
            "on XOR and XNOR its weights go round in a cycle",
            all(period > 0 for period in periods),
            f"the same weights again after passes: {', '.join(map(str, periods))} (each with both "
            f"steps), none above {longest:g}",
        ),
    ]


# --- how many mistakes ---------------------------------------------------------------------------


class Bounded(NamedTuple):
    """Of the data sets with one gap.

    Attributes:
        gap: its width on each side of the line.
        mistakes: until there were none.
        bounds: ``(R / gamma)^2``.
        is_done: whether a pass was without a mistake in the end.
    """

    gap: float
    mistakes: Int[np.ndarray, " draws"]
    bounds: Float[np.ndarray, " draws"]
    is_done: Bool[np.ndarray, " draws"]


def measure_bounds(config: Config) -> list[Bounded]:
    """Mistakes on points in the unit disc, of two classes with a gap between, beside the bound."""
    rng = np.random.default_rng(config.seed)
    found = []
    for gap in GAPS:
        sets = [points_with_gap(rng, gap) for _ in range(config.draws)]
        points, labels = (np.stack(of) for of in zip(*sets, strict=True))
        # A pass with a mistake makes one at least, so that the bound is one of passes too.
        bounds = np.array([bound_of(*of) for of in sets])
        passes = int(min(bounds.max(), PASSES_AT_MOST)) + 1
        learned = jax.vmap(partial(learn, start=jnp.zeros(3), rate=1.0, passes=passes))(
            jnp.asarray(points, jnp.float32), jnp.asarray(labels)
        )
        mistakes = np.asarray(learned.mistakes)
        found.append(Bounded(gap, mistakes.sum(axis=1), bounds, mistakes[:, -1] == 0))
    return found


PASSES_AT_MOST = 2000


def points_with_gap(
    rng: np.random.Generator, gap: float
) -> tuple[Float[np.ndarray, "points 2"], Bool[np.ndarray, " points"]]:
    """Points in the unit disc, none nearer than ``gap`` to a line, and on which side they are."""
    angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(-0.5, 0.5)
    points = rng.uniform(-1, 1, (50 * POINTS, 2))
    heights = points @ np.array([np.cos(angle), np.sin(angle)]) - offset
    chosen = np.flatnonzero((np.abs(heights) > gap) & (np.linalg.norm(points, axis=1) < 1))
    chosen = chosen[:POINTS]
    return points[chosen], heights[chosen] > 0


def bound_of(points: Float[np.ndarray, "points 2"], labels: Bool[np.ndarray, " points"]) -> float:
    """``(R / gamma)^2``, R and gamma those of the points with a 1 behind."""
    longest = np.sqrt(np.square(points).sum(axis=1).max() + 1)
    return float((longest / widest_margin(points, labels)[1]) ** 2)


def bound_claim(found: list[Bounded]) -> Claim:
    """None makes more."""
    shares = np.concatenate([of.mistakes / of.bounds for of in found])
    done = np.concatenate([of.is_done for of in found])
    return Claim(
        "on data that a plane parts it makes at most (R / gamma)^2 mistakes, and then none",
        bool((shares <= 1).all() and done.all()),
        f"{len(shares)} sets of {POINTS} points: {shares.min():.2g} to {shares.max():.2g} of the "
        f"bound, median {np.median(shares):.2g}; {done.sum()} ended",
    )


# --- the rate ------------------------------------------------------------------------------------


class Rates(NamedTuple):
    """Mistakes at each of `RATES`, ``(rates, draws)``.

    Attributes:
        from_zero: from weights of zero.
        from_others: from drawn ones.
        is_done: whether every run's last pass was without a mistake.
    """

    from_zero: Int[np.ndarray, "rates draws"]
    from_others: Int[np.ndarray, "rates draws"]
    is_done: bool


def measure_rates(config: Config) -> Rates:
    """Mistakes until there were none, on sets with a wide gap."""
    rng = np.random.default_rng([config.seed, 1])
    sets = [points_with_gap(rng, GAPS[0]) for _ in range(config.draws)]
    points, labels = (jnp.asarray(np.stack(of)) for of in zip(*sets, strict=True))
    points = points.astype(jnp.float32)
    starts = jnp.float32(rng.normal(scale=START_LENGTH, size=(config.draws, 3)))

    def mistakes(starts: Array) -> Int[np.ndarray, "rates draws passes"]:
        def of_rate(rate: Array) -> Array:
            of_each = jax.vmap(partial(learn, rate=rate, passes=PASSES_AT_MOST))
            return of_each(points, labels, starts).mistakes

        return np.asarray(lax.map(of_rate, jnp.float32(RATES)))

    from_zero, from_others = mistakes(jnp.zeros_like(starts)), mistakes(starts)
    is_done = not (from_zero[..., -1].any() or from_others[..., -1].any())
    return Rates(from_zero.sum(axis=2), from_others.sum(axis=2), is_done)


def rate_claims(rates: Rates) -> list[Claim]:
    """What a small rate does."""
    means = rates.from_others.mean(axis=1)
    slower = rates.from_others[-1] - rates.from_others[0]
    more, half = mean_and_interval(slower.astype(float))
    return [
        Claim(
            "from weights of zero the rate changes no mistake",
            rates.is_done and bool((rates.from_zero == rates.from_zero[:1]).all()),
            f"at rates {', '.join(f'{rate:g}' for rate in RATES)}: "
            f"{', '.join(map(str, rates.from_zero.sum(axis=1)))} mistakes in all",
        ),
        Claim(
            "from other weights a small rate makes more mistakes",
            rates.is_done and more > half and bool((np.diff(means) > 0).all()),
            f"on average {', '.join(f'{mean:.1f}' for mean in means)}; the smallest makes "
            f"{write_interval(slower, '.1f')} more than the largest",
        ),
    ]


# --- where no plane parts the classes ------------------------------------------------------------


class Noisy(NamedTuple):
    """Accuracies at the end of each pass, ``(draws, passes)``.

    Attributes:
        train: of the weights then, on the points that they learn.
        test: on others.
        pocket: on the same, of the weights with the best accuracy in training so far.
        mistakes: in each pass.
    """

    train: Float[np.ndarray, "draws passes"]
    test: Float[np.ndarray, "draws passes"]
    pocket: Float[np.ndarray, "draws passes"]
    mistakes: Int[np.ndarray, "draws passes"]


def measure_noisy(config: Config) -> Noisy:
    """Learns normal points of which some have the wrong label, and that no plane parts."""
    rng = np.random.default_rng([config.seed, 2])
    train, test = zip(*[noisy_points(rng) for _ in range(config.draws)], strict=True)
    (points, labels), (others, their_labels) = (
        tuple(jnp.asarray(np.stack(of)) for of in zip(*sets, strict=True)) for sets in (train, test)
    )
    start = jnp.zeros(COORDINATES + 1)
    learned = jax.vmap(partial(learn, start=start, rate=1.0, passes=PASSES))(points, labels)
    in_training = np.asarray(jax.vmap(accuracy)(learned.weights, points, labels))
    in_test = np.asarray(jax.vmap(accuracy)(learned.weights, others, their_labels))
    best = np.array([[of[: n + 1].argmax() for n in range(PASSES)] for of in in_training])
    pocket = np.take_along_axis(in_test, best, axis=1)
    return Noisy(in_training, in_test, pocket, np.asarray(learned.mistakes))


def noisy_points(rng: np.random.Generator):
    """Points and labels to learn, and others to test; those to learn are drawn until none parts."""
    normal = rng.normal(size=COORDINATES)

    def draw(count: int):
        points = rng.normal(size=(count, COORDINATES)).astype(np.float32)
        return points, (points @ normal > 0) ^ (rng.random(count) < FLIPPED)

    while True:
        train = draw(POINTS)
        if separating_plane(train[0].astype(float), train[1]) is None:
            return train, draw(TESTED)


def noisy_claims(noisy: Noisy) -> list[Claim]:
    """That it never ends, and what a pocket is good for."""
    late, late_pocket = noisy.test[:, SETTLED:], noisy.pocket[:, SETTLED:]
    former, latter = np.split(late, 2, axis=1)
    wander, of_pocket = late.std(axis=1, ddof=1), late_pocket.std(axis=1, ddof=1)
    rise = late.mean(axis=1) - noisy.test[:, 0]
    trend = latter.mean(axis=1) - former.mean(axis=1)
    gain = noisy.pocket[:, -1] - noisy.test[:, -1]
    trend_mean, trend_half = mean_and_interval(trend)
    return [
        Claim(
            "where no plane parts the classes it never ends: test accuracy rises, then goes up and "
            "down without end",
            bool((noisy.mistakes > 0).all())
            and is_above_zero(rise)
            and is_above_zero(wander - of_pocket)
            and abs(trend_mean) + trend_half < TREND,
            f"{noisy.mistakes[:, -1].mean():.0f} mistakes in the last of {PASSES} passes over "
            f"{POINTS} points, {noisy.mistakes.min()} at least in any; accuracy is higher by "
            f"{write_interval(rise, '.1%')} after the first {SETTLED} passes than after one, has "
            f"from then on a standard deviation of {write_interval(wander, '.1%')} within a run, "
            f"that of the pocket {write_interval(of_pocket, '.1%')}, and moves by "
            f"{write_interval(trend, '.2%')} from the former half of these passes to the latter, "
            f"expected within {TREND:.0%}",
        ),
        Claim(
            "the weights in the pocket do better than the last",
            is_above_zero(gain),
            f"on test points {write_interval(noisy.pocket[:, -1], '.1%')} and "
            f"{write_interval(noisy.test[:, -1], '.1%')}, better by "
            f"{write_interval(gain, '.1%')}; {FLIPPED:.0%} of the labels are wrong",
        ),
    ]


# --- pictures ------------------------------------------------------------------------------------


@plots.styled
def draw_mistakes(found: list[Bounded]) -> Figure:
    """The mistakes on each data set against the bound."""
    figure = Figure(figsize=(5.6, 4.6), layout="constrained")
    axes = figure.subplots()
    for of, colour, marker in zip(found, plots.COLOURS, "os^D", strict=False):
        axes.loglog(of.bounds, of.mistakes, marker, color=colour, label=f"gap {of.gap:g}")
    ends = np.array([min(of.bounds.min() for of in found), max(of.bounds.max() for of in found)])
    axes.loglog(ends, ends, "--", color="black", label="the bound")
    axes.set(xlabel="(R / gamma)$^2$", ylabel="mistakes until there are none")
    axes.set_title(f"Rosenblatt's rule on {POINTS} points that a line parts")
    axes.legend()
    return figure


@plots.styled
def draw_noisy(noisy: Noisy) -> Figure:
    """One run, and the mean of all."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    passes = np.arange(1, PASSES + 1)
    for axes, rows in ((left, slice(0, 1)), (right, slice(None))):
        for values, colour, style, label in (
            (noisy.train, plots.GREY, ":", "training points"),
            (noisy.test, plots.RED, "-", "test points"),
            (noisy.pocket, plots.BLUE, "--", "test points, weights in the pocket"),
        ):
            plots.draw_band(axes, passes, values[rows], color=colour, ls=style, label=label)
        axes.set(xlabel="pass over the training points")
        axes.axhline(1 - FLIPPED, color="black", ls="-.", lw=1, label="labels that are right")
    left.set(ylabel="accuracy", title="one data set that no plane parts")
    right.set_title(f"the mean of {len(noisy.test)}, 95% interval")
    right.legend(fontsize=8, loc="upper right", bbox_to_anchor=(1, 0.95))
    return figure


@plots.styled
def draw_functions(learned: Learned) -> Figure:
    """Its mistakes at AND, which end, and at XOR, which do not."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    passes = np.arange(1, SHOWN + 1)
    for axes, which, name in zip(figure.subplots(1, 2), (AND, XOR), ("AND", "XOR"), strict=True):
        axes.bar(passes, learned.mistakes[which, 1, :SHOWN], color=plots.BLUE)
        axes.set(title=name, xlabel="pass over the four corners", ylabel="mistakes", ylim=(0, 4.2))
        axes.set(xticks=[1, *range(5, SHOWN + 1, 5)], yticks=range(5))
    return figure


if __name__ == "__main__":
    cli.main(run, Config, quick=QUICK)
