"""Passing from lectures and hours on the project: logistic regression of made-up students."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.exam_scores.descents import Paths, draw_paths, follow_all
from experiments.exam_scores.scales import Table, Vector, with_constant
from jaxdl import losses, plots
from jaxdl.claims import Claim
from jaxdl.data import PASS_LAW, PASSES, standardize_columns
from jaxdl.logistic import newton
from jaxdl.statistics import mean_and_interval
from jaxdl.surfaces import on_grid

RATE = 1.0
BATCHES = {"batch, all 40": 40, "mini-batch, 8": 8, "stochastic, 1": 1}
DRAWN = 8
"""Epochs of the paths that are drawn."""


class Passing(NamedTuple):
    """The descents and what is known.

    Attributes:
        solution: the likeliest weights of standardised inputs, by Newton's method.
        paths: of the descents.
        fitted: the mean loss of the solution.
        left_out: the mean loss of each student when the weights are fitted to the others.
        guess: the same of the share of the others that passed.
    """

    solution: Vector
    paths: Paths
    fitted: float
    left_out: float
    guess: float


def measure(*, seeds: int, epochs: int, seed: int) -> Passing:
    """All of it."""
    inputs, targets = with_constant(standardize_columns(PASSES[:, :2])), PASSES[:, 2]
    keys = jax.random.split(jax.random.key(seed), seeds)
    loss = losses.sigmoid_binary_cross_entropy
    solution = newton(inputs, targets).weights
    return Passing(
        solution,
        {
            name: follow_all(loss, inputs, targets, RATE, size, epochs, keys)
            for name, size in BATCHES.items()
        },
        fitted=float(cross_entropy(inputs @ solution, targets).mean()),
        left_out=float(left_out_losses(inputs, targets).mean()),
        guess=float(left_out_losses(inputs[:, :1], targets).mean()),
    )


def cross_entropy(logits: Vector, targets: Vector) -> Vector:
    """Of each student, in nats."""
    columns = jnp.asarray(logits)[:, None], jnp.asarray(targets)[:, None]
    return np.asarray(losses.sigmoid_binary_cross_entropy(*columns))


def left_out_losses(inputs: Table, targets: Vector) -> Vector:
    """Of each student by the weights that are likeliest for all others.

    The others' logits do not depend on how the inputs are scaled, so nothing is known of the one
    left out.
    """
    logits = []
    for place in range(len(targets)):
        others = np.delete(inputs, place, axis=0), np.delete(targets, place)
        logits.append(inputs[place] @ newton(*others).weights)
    return cross_entropy(np.array(logits), targets)


# --- what is claimed -----------------------------------------------------------------------------


def claims(seen: Passing) -> list[Claim]:
    """Where the descents end, and what the solution foretells."""
    return [descents_claim(seen), left_out_claim(seen)]


def squares(seen: Passing, name: str) -> Float[np.ndarray, " seeds"]:
    """The mean squared distance at the ends of the last half of the epochs."""
    per_epoch = len(PASSES) // BATCHES[name]
    ends = seen.paths[name][:, per_epoch - 1 :: per_epoch]
    distances = np.square(ends - seen.solution).sum(axis=-1)
    return distances[:, distances.shape[1] // 2 :].mean(axis=1)


def descents_claim(seen: Passing) -> Claim:
    """Batch descent to the optimum, the others about it."""
    last = float(np.linalg.norm(seen.paths["batch, all 40"][0, -1] - seen.solution))
    (few, few_half), (one, one_half) = (
        mean_and_interval(squares(seen, name)) for name in ("mini-batch, 8", "stochastic, 1")
    )
    return Claim(
        "batch descent on passing ends at the likeliest weights; smaller batches hover, one by one "
        "the farthest",
        last < 1e-6 and few > few_half and few + few_half < one - one_half,
        f"{last:.0e} away, expected below 1e-6; mean squared distances {few:.4f} ± {few_half:.4f} "
        f"with batches of 8, {one:.4f} ± {one_half:.4f} one by one",
    )


def left_out_claim(seen: Passing) -> Claim:
    """Three weights of forty rows are foretelling, unlike four of eight."""
    return Claim(
        "lectures and hours foretell who passes better than the share that passed",
        seen.fitted < seen.left_out < seen.guess,
        f"cross-entropy of students left out {seen.left_out:.3f}, expected below the share's "
        f"{seen.guess:.3f} and above the {seen.fitted:.3f} of those fitted to",
    )


# --- pictures ------------------------------------------------------------------------------------


@plots.styled
def draw(seen: Passing) -> Figure:
    """The students with the probability of passing, and the surface with three paths."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    students, ground = figure.subplots(1, 2, width_ratios=(1.1, 1))
    draw_students(students, seen.solution)
    draw_ground(ground, seen)
    return figure


def draw_students(axes: Axes, solution: Vector) -> None:
    """Who passed, and lines of equal probability, fitted and by the law that made the rows."""
    columns, passed = PASSES[:, :2], PASSES[:, 2] == 1
    lectures, hours = np.meshgrid(np.linspace(-0.5, 14.5, 60), np.linspace(-1, 41, 60))
    places = np.stack([lectures.ravel(), hours.ravel()], axis=1)
    logits = with_constant((places - columns.mean(axis=0)) / columns.std(axis=0)) @ solution
    chances = 1 / (1 + np.exp(-logits.reshape(lectures.shape)))
    lines = axes.contour(lectures, hours, chances, [0.1, 0.5, 0.9], colors="black", linewidths=1)
    axes.clabel(lines, fmt=lambda p: f"{p:.0%}", fontsize=8)
    law = (with_constant(places) @ np.array(PASS_LAW)).reshape(lectures.shape)
    axes.contour(lectures, hours, law, [0.0], colors=[plots.GREY], linestyles="--", linewidths=1)
    axes.plot([], [], "--", color=plots.GREY, lw=1, label="50% by the law they are drawn from")
    axes.plot([], [], "-", color="black", lw=1, label="probability of passing, fitted")
    axes.plot(*columns[passed].T, "o", color=plots.BLUE, ms=6, label="passed")
    axes.plot(*columns[~passed].T, "X", color=plots.RED, ms=7, label="failed")
    axes.set(xlabel="lectures attended", ylabel="hours on the project", ylim=(-1, 53))
    axes.set_title("forty made-up students")
    axes.legend(loc="upper center", ncols=2, fontsize=8)


def draw_ground(axes: Axes, seen: Passing) -> None:
    """Lines of equal loss over two weights, the constant being the solution's, and three paths."""
    inputs, targets = with_constant(standardize_columns(PASSES[:, :2])), PASSES[:, 2]
    region = (-1.0, 6.0, -1.5, 4.5)
    value = Partial(slice_loss, *map(jnp.asarray, (inputs, targets, seen.solution[0])))
    x, y, values = on_grid(value, region, 80)
    levels = values.min() + np.ptp(values) * np.linspace(0, 1, 14)[1:] ** 3
    lines = axes.contour(x, y, values, levels, colors="#BBBBBB", linewidths=1)
    axes.clabel(lines, fontsize=7, fmt="%.2f")
    steps = {name: DRAWN * len(PASSES) // size for name, size in BATCHES.items()}
    draw_paths(axes, seen.paths, steps, weights=(1, 2))
    axes.plot(*seen.solution[1:], "k*", ms=12, mfc="white", label="likeliest weights")
    axes.set(xlim=region[:2], ylim=region[2:], xlabel="weight of lectures (logit per deviation)")
    axes.set(ylabel="weight of hours (logit per deviation)")
    axes.set_title(f"{DRAWN} epochs at rate {RATE:g}; lines: mean cross-entropy (nats)")
    axes.legend(loc="lower right", frameon=True, framealpha=0.9)


def slice_loss(inputs: Array, targets: Array, constant: Array, point: Array) -> Array:
    """The mean cross-entropy with these two weights."""
    logits = inputs @ jnp.concatenate([constant[None], point])
    return losses.sigmoid_binary_cross_entropy(logits[:, None], targets[:, None]).mean()
