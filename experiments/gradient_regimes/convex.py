"""Part (b): logistic regression, whose optimum and noise theory knows."""

import itertools
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float
from matplotlib.figure import Figure

from experiments.gradient_regimes.exponents import is_near, plus_minus, slopes
from experiments.gradient_regimes.style import WAY_STYLES, logarithmic
from jaxdl import losses, models, noise, plots
from jaxdl.claims import Claim
from jaxdl.logistic import newton
from jaxdl.optim import OptimizerConfig, ScheduleConfig
from jaxdl.paths import follow
from jaxdl.statistics import mean_and_interval
from jaxdl.types import Examples, LossFn

WAYS = ("independent", "shuffled")
"""How the examples of SGD are drawn."""
RATES = (0.005, 0.01, 0.02, 0.04, 0.08)
"""Constant ones."""
FIRST_RATE = 0.2
"""Of the steps that shrink as 1 / t."""
L2_STRENGTH = 0.05
BATCH_EPOCHS = 40
"""Of batch descent."""


class Problem(NamedTuple):
    """A logistic regression, its optimum and what theory needs there, by NumPy in float64."""

    examples: Examples
    loss_fn: LossFn
    optimum: Float[np.ndarray, " features"]
    hessian: Float[np.ndarray, "features features"]
    covariance: Float[np.ndarray, "features features"]


def logistic_problem(digits: Examples, each: int = 100, components: int = 4) -> Problem:
    """Fours against nines, by their first principal components, whitened, and a constant."""
    labels = np.asarray(digits.targets)
    chosen = np.concatenate([np.flatnonzero(labels == digit)[:each] for digit in (4, 9)])
    pixels = np.asarray(digits.inputs)[chosen].astype(np.float64).reshape(len(chosen), -1)
    left = np.linalg.svd(pixels - pixels.mean(axis=0), full_matrices=False)[0]
    whitened = left[:, :components] * np.sqrt(len(chosen))
    inputs = np.hstack([whitened, np.ones((len(chosen), 1))])
    targets = (labels[chosen] == 9).astype(np.float64)
    model = models.linear(jnp.zeros((components + 1, 1)))
    loss_fn = losses.with_penalty(
        losses.supervised_loss(model, losses.sigmoid_binary_cross_entropy),
        Partial(losses.l2, strength=L2_STRENGTH),
    )
    examples = Examples(jnp.asarray(inputs), jnp.asarray(targets[:, None]))
    return Problem(examples, loss_fn, *newton(inputs, targets, L2_STRENGTH))


class Distances(NamedTuple):
    """Squared distances from the optimum, and what theory says of independent examples.

    Attributes:
        batch: after each step of batch descent.
        hover: by way to draw, means over a run ``(seeds, rates)``.
        hover_theory: by rate.
        decay: by way to draw ``(seeds, steps)``.
        decay_theory: times the step.
    """

    batch: np.ndarray
    hover: dict[str, np.ndarray]
    hover_theory: np.ndarray
    decay: dict[str, np.ndarray]
    decay_theory: float


def measure(problem: Problem, *, seeds: int, steps: int, seed: int) -> Distances:
    """All runs of the logistic regression, and theory."""
    zero, count = np.zeros_like(problem.optimum), len(problem.examples.targets)
    curvatures = np.linalg.eigvalsh(problem.hessian)
    keys = jax.random.split(jax.random.key(seed), seeds)
    numerator = 2 / curvatures[0]  # c of the rate c / t

    # One lane at each constant rate, from the optimum, and a last one at c / t, from 0.
    starts = jnp.asarray([problem.optimum] * len(RATES) + [zero])
    rates = jnp.asarray([*RATES, FIRST_RATE])
    timescales = jnp.asarray([np.inf] * len(RATES) + [numerator / FIRST_RATE])

    def shuffled(key, lane):
        return squared_distances(problem, *lane, key, epochs=steps // count)

    def independent(key, lane):
        rows = jax.random.randint(jax.random.fold_in(key, 2), (steps,), 0, count)
        stream = jax.tree.map(lambda leaf: leaf[rows], problem.examples)
        return squared_distances(problem, *lane, key, examples=stream)

    hover, decay = {}, {}
    for way, sgd in zip(WAYS, (independent, shuffled), strict=True):
        # Lanes in turn: side by side, as the seeds are, they would take twice as long to compile.
        seen = np.asarray(jax.lax.map(Partial(_of_seeds, sgd, keys), (starts, rates, timescales)))
        hover[way] = seen[:-1, :, steps // 4 :].mean(axis=-1).T
        decay[way] = seen[-1]
    run = {"epochs": BATCH_EPOCHS, "batch_size": count}
    batch = squared_distances(problem, zero, 1 / curvatures[-1], np.inf, keys[0], **run)
    at_optimum = (problem.hessian, problem.covariance)
    return Distances(
        np.asarray(batch),
        hover,
        np.array([noise.hovering_distance(*at_optimum, rate) for rate in RATES]),
        decay,
        noise.approaching_distance(*at_optimum, numerator),
    )


def _of_seeds(sgd, keys, lane):
    return jax.vmap(sgd, (0, None))(keys, lane)


@partial(jax.jit, static_argnames=("epochs", "batch_size"))
def squared_distances(
    problem: Problem, start, rate, timescale, key, *, examples=None, epochs=1, batch_size=1
) -> Float[Array, " steps"]:
    """Squared distances from the optimum after each step of a run of `fit`.

    The rate is ``rate / (1 + step / timescale)``, constant where the time scale is infinite. The
    examples are the problem's, or an independent sample of them: one epoch over such a sample is
    SGD whose examples are drawn independently.
    """
    schedule = ScheduleConfig("inverse_time", arguments={"timescale": timescale})
    return follow(
        models.linear(jnp.asarray(start)[:, None]),
        problem.loss_fn,
        OptimizerConfig("sgd", rate, schedule=schedule),
        Partial(_squared_distance, jnp.asarray(problem.optimum)),
        key,
        examples or problem.examples,
        epochs=epochs,
        batch_size=batch_size,
    )


def _squared_distance(optimum, params) -> Float[Array, ""]:
    return jnp.sum(jnp.square(models.linear_weights(params) - optimum))


def window_means(values: Float[np.ndarray, "seeds steps"], windows: int = 12):
    """Means over windows that lengthen as the steps do, of the last 39 fortieths of a run."""
    ends = np.geomspace(values.shape[1] / 40, values.shape[1], windows + 1).astype(int)
    means = [values[:, a:b].mean(axis=1) for a, b in itertools.pairwise(ends)]
    return np.sqrt(ends[:-1] * ends[1:]), np.stack(means, axis=1)


def exponents(seen: Distances) -> dict[str, np.ndarray]:
    """Of the distance by rate and by step, for each way to draw and each seed."""
    hover = {f"{way}_hover": slopes(RATES, seen.hover[way]) for way in WAYS}
    return hover | {f"{way}_decay": slopes(*window_means(seen.decay[way])) for way in WAYS}


def hover_over_theory(seen: Distances) -> Float[np.ndarray, " rates"]:
    """How far independent draws hover, over what theory says."""
    return seen.hover["independent"].mean(axis=0) / seen.hover_theory


def summarize(seen: Distances) -> dict[str, Any]:
    """For ``summary.json``."""
    return {
        "convex_exponents": {name: mean_and_interval(of) for name, of in exponents(seen).items()},
        "convex_hover_over_theory": hover_over_theory(seen),
    }


def claims(seen: Distances) -> list[Claim]:
    """Batch descent to the optimum; SGD that hovers; SGD whose steps shrink as 1 / t."""
    last, found, level = float(np.sqrt(seen.batch[-1])), exponents(seen), hover_over_theory(seen)
    nearer = seen.hover["shuffled"].mean(axis=0) / seen.hover["independent"].mean(axis=0)
    return [
        Claim(
            "batch descent on the logistic regression ends at the optimum of Newton's method",
            last < 1e-6,
            f"{last:.1e} away, expected below 1e-6",
        ),
        Claim(
            "SGD hovers at a mean squared distance proportional to its rate, as theory has it",
            is_near(found["independent_hover"], 1, 0.1) and bool(np.all(np.abs(level - 1) < 0.2)),
            f"exponent {plus_minus(found['independent_hover'])}, expected 1 within 0.1; "
            f"{level.min():.2f} to {level.max():.2f} of theory's, expected 1 within 0.2",
        ),
        Claim(
            "SGD at the rate c / t converges as 1 / t",
            is_near(found["independent_decay"], -1, 0.15),
            f"exponent {plus_minus(found['independent_decay'])}, expected -1 within 0.15",
        ),
        Claim(
            "shuffled epochs hover nearer, and converge as 1 / t^2",
            nearer.max() < 1
            and found["shuffled_hover"].mean() > 1.5
            and is_near(found["shuffled_decay"], -2, 0.2),
            f"at {nearer.min():.3f} to {nearer.max():.3f} of the squared distance of independent "
            f"draws, expected below 1; exponents {plus_minus(found['shuffled_hover'])}, expected "
            f"above 1.5, and {plus_minus(found['shuffled_decay'])}, expected -2 within 0.2",
        ),
    ]


@plots.styled
def draw(seen: Distances) -> Figure:
    """Batch descent, SGD at constant rates and SGD at a rate of c / t."""
    figure = Figure(figsize=(12, 3.9), layout="constrained")
    batch, hover, decay = figure.subplots(1, 3)
    batch.plot(np.arange(1, len(seen.batch) + 1), np.sqrt(seen.batch), color=plots.RED)
    batch.axhline(1e-6, color=plots.GREY, lw=1, ls=":")
    batch.annotate("1e-6", (len(seen.batch), 2e-6), color=plots.GREY, ha="right")
    batch.set(yscale="log", xlabel="epoch", ylabel="distance from the optimum")
    batch.set_title("batch descent")
    for way in WAYS:
        plots.draw_errorbars(hover, np.array(RATES), seen.hover[way], lw=1, **WAY_STYLES[way])
        plots.draw_errorbars(decay, *window_means(seen.decay[way]), lw=1, **WAY_STYLES[way])
    theory: dict[str, Any] = {"color": "black", "lw": 1, "ls": "--", "label": "theory"}
    hover.plot(RATES, seen.hover_theory, **theory)
    times, _ = window_means(seen.decay["independent"])
    decay.plot(times, seen.decay_theory / times, **theory)
    hover.set(xlabel="learning rate", ylabel="mean squared distance")
    hover.set_title("SGD at a constant rate")
    decay.set(xlabel="step t", ylabel="mean squared distance")
    decay.set_title("SGD at the rate c / t")
    for axes in (hover, decay):
        logarithmic(axes)
        axes.legend()
    for axes in (batch, hover, decay):
        axes.grid(True)
    return figure
