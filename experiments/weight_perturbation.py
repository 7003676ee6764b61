"""Learning without back-propagation: weights are disturbed and what it does to the loss is seen.

Three ways to lower the same loss, paid for in forward passes, each of which gives its value. The
loss is a quadratic of n weights and has no examples; a network's pass would be over all of its own.

    back-propagation     all slopes at once, for three passes (`experiments.backpropagation`)
    one at a time        each weight moved by a little, its slope from the difference, and changed
                         before the next: 2 n passes for all (Jabri and Flower, "Weight
                         Perturbation", 1992)
    all at once          all weights moved together by noise, there and back; the weights follow the
                         noise, times the rise or fall that it caused, for two passes
                         (Cauwenberghs, "A Fast Stochastic Error-Descent Algorithm for Supervised
                         Learning and Optimization", 1993; Alspector et al., "A Parallel Gradient
                         Descent Method for Learning in Analog VLSI Neural Networks", 1993; Spall,
                         "Multivariate Stochastic Approximation Using a Simultaneous Perturbation
                         Gradient Approximation", 1992)

Claims:

    - To reach a loss, one at a time costs as many passes as there are weights, times a constant;
      so does all at once, whose slopes are free but as noisy as there are weights. Steps of
      back-propagation do not grow. On the quadratic the counts of the first two are known exactly;
      of all at once it is known when the mean loss gets there. The mean count is less, by a share
      of about 1 / n, and is asked at the largest size alone. With 1,024 weights 12, 8,192 and
      9,521 ± 123 passes, expected 12, 8,192 and 9,445.
    - Noise that is kept where it helps fails late: at distance r from the minimum of a quadratic in
      n dimensions a move of length s helps with the probability that a random direction is nearer
      than the angle whose cosine is s / 2r to the way there, which falls to 0 as r comes to s / 2.

    python -m experiments.weight_perturbation            a minute
    python -m experiments.weight_perturbation --quick    fewer sizes

The quadratic is ``|w|^2 / 2``, from a random point of length 1 to a hundredth of its loss.
Intervals are of 95% over draws (Student's t).
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key
from matplotlib.figure import Figure

from jaxdl import cli, plots
from jaxdl.claims import Claim, conclude
from jaxdl.runs import (
    ExperimentOptions,
    check_ascending,
    check_least,
    check_no_diagnostics,
    check_seed,
    open_run,
)
from jaxdl.statistics import share_interval

TARGET = 0.01
"""Of the loss at the start."""
RATE = 0.5
"""Of back-propagation, and of one weight at a time."""
SMALL = 1e-3
"""How far weights are moved to see slopes."""
PASSES_OF_BACKPROPAGATION = 3
DIMENSIONS, LENGTH = 100, 0.1
"""Of the moves that are kept where they help."""
DISTANCES = np.array([0.051, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 4.0])
LEVEL = 0.999
"""Of the intervals that are to hold what geometry says."""

Weights = Float[Array, " weights"]


@dataclass(frozen=True)
class Config(ExperimentOptions):
    """How much to do."""

    sizes: tuple[int, ...] = (4, 16, 64, 256, 1024)
    """Numbers of weights, ascending."""
    draws: int = 10
    """Starts of each."""
    moves: int = 20_000
    """At each distance, to see how many help."""
    seed: int = 0
    """Of all draws."""


QUICK = Config(quick=True, sizes=(4, 16, 64, 256), draws=5, moves=4000)


class Passes(NamedTuple):
    """Forward passes until the loss was reached, ``(sizes, draws)``."""

    backpropagation: Int[np.ndarray, "sizes draws"]
    one_at_a_time: Int[np.ndarray, "sizes draws"]
    all_at_once: Int[np.ndarray, "sizes draws"]


def run(config: Config) -> None:
    """Learns, counts, draws, and checks each claim."""
    check_no_diagnostics(config)
    check_least(config, {"sizes": 2, "draws": 2, "moves": 100})
    check_seed(config.seed)
    check_ascending(config, {"sizes": 2})
    with jax.enable_x64(True), open_run("weight_perturbation", config) as directory:
        passes = measure_passes(config)
        helped = measure_moves(config)
        drawn = {"passes": draw_passes(config.sizes, passes), "moves": draw_moves(helped)}
        plots.save_all(drawn, directory.figures)
        results = {
            "passes": {name: of.mean(axis=1) for name, of in passes._asdict().items()},
            "moves_that_help": helped.mean(axis=1),
        }
        claims = [law_claim(config.sizes, passes), late_claim(helped)]
        conclude(directory, results, claims)


# --- three ways to learn -------------------------------------------------------------------------


def loss(weights: Weights) -> Float[Array, ""]:
    """Half the square of their length."""
    return jnp.sum(jnp.square(weights)) / 2


def by_backpropagation(weights: Weights, key: Key[Array, ""]) -> Weights:
    """A step down the gradient."""
    return weights - RATE * jax.grad(loss)(weights)


def one_at_a_time(weights: Weights, key: Key[Array, ""]) -> Weights:
    """Each weight in turn down the slope that moving it has shown."""

    def move(place: Array, weights: Weights) -> Weights:
        moved = weights.at[place].add(SMALL)
        slope = (loss(moved) - loss(weights)) / SMALL
        return weights.at[place].add(-RATE * slope)

    return lax.fori_loop(0, weights.size, move, weights)


def all_at_once(weights: Weights, key: Key[Array, ""]) -> Weights:
    """Along the noise, as it has raised or lowered the loss; the best rate is one over n + 2."""
    noise = jax.random.normal(key, weights.shape)
    rise = (loss(weights + SMALL * noise) - loss(weights - SMALL * noise)) / (2 * SMALL)
    return weights - rise * noise / (weights.size + 2)


@partial(jax.jit, static_argnames=("step", "size"))
def steps_to_target(step, size: int, key: Key[Array, ""]) -> Int[Array, ""]:
    """From a random start of length 1."""
    of_start, of_steps = jax.random.split(key)
    start = jax.random.normal(of_start, (size,))
    start = start / jnp.linalg.norm(start)

    def go_on(state) -> Array:
        return loss(state[0]) > TARGET * loss(start)

    def go(state):
        weights, steps = state
        return step(weights, jax.random.fold_in(of_steps, steps)), steps + 1

    return lax.while_loop(go_on, go, (start, jnp.zeros((), int)))[1]


def measure_passes(config: Config) -> Passes:
    """Of each way, at each size, from each start."""
    keys = jax.random.split(jax.random.key(config.seed), config.draws)

    def steps(step, size: int) -> np.ndarray:
        return np.asarray(jax.vmap(partial(steps_to_target, step, size))(keys))

    sizes = np.array(config.sizes)[:, None]
    return Passes(
        PASSES_OF_BACKPROPAGATION * np.stack([steps(by_backpropagation, n) for n in config.sizes]),
        # Two for each weight: where it stands is new, since the weight before it has changed.
        2 * sizes * np.stack([steps(one_at_a_time, n) for n in config.sizes]),
        2 * np.stack([steps(all_at_once, n) for n in config.sizes]),
    )


def expected_passes(sizes: tuple[int, ...]) -> dict[str, Float[np.ndarray, " sizes"]]:
    """What the quadratic makes of them; of noise the number by which the mean loss gets there.

    A step of descent leaves ``(1 - rate)^2`` of the loss, one along noise ``1 - 1 / (n + 2)``.
    """
    n = np.array(sizes, float)
    steps = np.ceil(np.log(TARGET) / np.log((1 - RATE) ** 2))
    noisy = np.log(TARGET) / np.log1p(-1 / (n + 2))
    return {
        "backpropagation": PASSES_OF_BACKPROPAGATION * steps * np.ones(len(n)),
        "one_at_a_time": 2 * n * steps,
        "all_at_once": 2 * noisy,
    }


def law_claim(sizes: tuple[int, ...], passes: Passes) -> Claim:
    """Powers of the number of weights, and the counts.

    These from each start at each size where they are exact. All at once is asked at the largest
    alone: the mean count is less than that of the mean loss where weights are few, since the
    logarithm of the loss falls by more, in the mean, than that of the mean loss (Jensen).
    """
    expected = expected_passes(sizes)
    powers = {
        name: float(np.polyfit(np.log(sizes), np.log(of.mean(axis=1)), 1)[0])
        for name, of in passes._asdict().items()
    }
    is_exact = np.stack(
        [
            getattr(passes, name) == expected[name][:, None]
            for name in ("backpropagation", "one_at_a_time")
        ]
    )
    noisy = passes.all_at_once[-1].mean() / expected["all_at_once"][-1]
    return Claim(
        "without back-propagation the passes to reach a loss grow as the number of weights",
        abs(powers["backpropagation"]) < 0.05
        and all(abs(powers[name] - 1) < 0.1 for name in ("one_at_a_time", "all_at_once"))
        and bool(is_exact.all())
        and bool(abs(noisy - 1) < 0.15),
        "; ".join(
            f"{name.replace('_', ' ')}: {passes._asdict()[name][-1].mean():,.0f} with {sizes[-1]} "
            f"weights, expected {expected[name][-1]:,.0f}, power {power:.2f}"
            for name, power in powers.items()
        )
        + f"; expected powers 0, 1, 1; of the first two {is_exact.sum()} of {is_exact.size} counts "
        "are the expected ones, from each start at each size",
    )


# --- moves that are kept where they help ---------------------------------------------------------


def measure_moves(config: Config) -> Bool[np.ndarray, "distances moves"]:
    """Whether random moves of one length bring nearer, at each distance from the minimum."""
    rng = np.random.default_rng(config.seed)
    moves = rng.normal(size=(config.moves, DIMENSIONS))
    moves *= LENGTH / np.linalg.norm(moves, axis=1, keepdims=True)
    # The minimum is as far along the first axis as it is from anywhere.
    starts = DISTANCES[:, None, None] * np.eye(DIMENSIONS)[0]
    before = np.square(DISTANCES)[:, None]
    return np.square(starts + moves[None]).sum(axis=2) < before


def expected_share(distance: float) -> float:
    """The share of directions within the angle whose cosine is ``LENGTH / 2 distance``.

    Half a regularized incomplete beta function (Li, "Concise Formulas for the Area and Volume of a
    Hyperspherical Cap", 2011, equation 2).
    """
    from scipy.special import betainc  # here because it takes a quarter of a second

    cosine = LENGTH / (2 * distance)
    return float(betainc((DIMENSIONS - 1) / 2, 0.5, 1 - cosine**2) / 2) if cosine < 1 else 0.0


def late_claim(helped: Bool[np.ndarray, "distances moves"]) -> Claim:
    """Geometry, and that the end is hopeless."""
    expected = [expected_share(distance) for distance in DISTANCES]
    intervals = [share_interval(of, LEVEL) for of in helped]
    inside = [low <= of <= high for of, (low, high) in zip(expected, intervals, strict=True)]
    shares = helped.mean(axis=1)
    return Claim(
        "moves that are kept where they help fail late",
        all(inside) and bool(shares[-1] > 0.3 and shares[0] < 0.001),
        f"of moves of length {LENGTH:g} in {DIMENSIONS} dimensions {shares[-1]:.1%} help at "
        f"distance {DISTANCES[-1]:g}, expected {expected[-1]:.1%}, {shares[4]:.2%} at "
        f"{DISTANCES[4]:g}, expected {expected[4]:.2%}, {shares[0]:.2%} at {DISTANCES[0]:g}; "
        f"{sum(inside)} of {len(inside)} shares within their {LEVEL:.1%} interval",
    )


# --- pictures ------------------------------------------------------------------------------------


@plots.styled
def draw_passes(sizes: tuple[int, ...], passes: Passes) -> Figure:
    """Against the number of weights, measured and expected."""
    figure = Figure(figsize=(5.8, 4.2), layout="constrained")
    axes = figure.subplots()
    expected = expected_passes(sizes)
    for (name, of), colour, marker in zip(
        passes._asdict().items(), (plots.BLUE, plots.GREEN, plots.RED), "os^", strict=True
    ):
        label = name.replace("_", " ").replace("backpropagation", "back-propagation")
        plots.draw_errorbars(
            axes, np.array(sizes), of.T, color=colour, marker=marker, ls="", label=label
        )
        axes.plot(sizes, expected[name], color=colour, lw=1)
    axes.set(xscale="log", yscale="log", xlabel="weights")
    axes.set(ylabel=f"forward passes to {TARGET:.0%} of the loss")
    axes.set_title("measured (marks) and expected (lines) on a quadratic")
    axes.legend()
    return figure


@plots.styled
def draw_moves(helped: Bool[np.ndarray, "distances moves"]) -> Figure:
    """Against the distance that is left."""
    figure = Figure(figsize=(5.8, 4.2), layout="constrained")
    axes = figure.subplots()
    shares = helped.mean(axis=1)
    axes.plot(DISTANCES, shares, "o", color=plots.BLUE, label="random moves")
    fine = np.geomspace(DISTANCES[0], DISTANCES[-1], 200)
    axes.plot(fine, [expected_share(of) for of in fine], color="black", label="share of directions")
    axes.axvline(LENGTH / 2, color=plots.RED, ls="--", label="half a move: none can help")
    axes.set(xscale="log", xlabel="distance from the minimum", ylabel="share of moves that help")
    axes.set_title(f"moves of length {LENGTH:g} in {DIMENSIONS} dimensions")
    axes.legend()
    return figure


if __name__ == "__main__":
    cli.main(run, Config, quick=QUICK)
