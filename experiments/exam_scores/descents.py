"""Batch, mini-batch and stochastic descent on the exam: each weight's way to least squares."""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.exam_scores.scales import Table, Vector
from jaxdl import losses, models, plots
from jaxdl.claims import Claim
from jaxdl.data import EXAM_COLUMNS, EXAMS, standardize_columns
from jaxdl.optim import OptimizerConfig
from jaxdl.paths import follow
from jaxdl.statistics import mean_and_interval
from jaxdl.surfaces import on_grid
from jaxdl.sweep import sweep
from jaxdl.types import Examples, Static

RATE = 0.1
BATCHES = {"batch, all 8": 8, "mini-batch, 4": 4, "stochastic, 1": 1}
COLOURS = (plots.BLUE, plots.ORANGE, plots.RED)
"""Of the three descents, and of the three weights."""
LEVEL = 0.999
"""Of the intervals that are to hold what all orders of the rows say."""
PATH_EPOCHS, DRAWN = 12, 60
"""Epochs of the paths on the surface, and of the weights by epoch."""

Paths = dict[str, Float[np.ndarray, "seeds steps weights"]]
"""The weights after each step, by name of the descent."""


class Descents(NamedTuple):
    """What the three did.

    Attributes:
        inputs: standardised.
        targets: exams in points about their mean, so that there is no constant.
        solution: of least squares.
        paths: see there.
    """

    inputs: Table
    targets: Vector
    solution: Vector
    paths: Paths


def measure(*, seeds: int, epochs: int, seed: int) -> Descents:
    """All three from weights of 0, with every seed."""
    inputs, targets = standardize_columns(EXAMS[:, :3]), EXAMS[:, 3] - EXAMS[:, 3].mean()
    keys = jax.random.split(jax.random.key(seed), seeds)
    paths = {
        name: follow_all(losses.half_squared_error, inputs, targets, RATE, size, epochs, keys)
        for name, size in BATCHES.items()
    }
    return Descents(inputs, targets, np.linalg.lstsq(inputs, targets)[0], paths)


def follow_all(
    loss, inputs: Table, targets: Vector, rate: float, batch_size: int, epochs: int, keys: Array
) -> Float[np.ndarray, "seeds steps weights"]:
    """The weights after each step of `fit` from 0, with every key."""
    examples = Examples(jnp.asarray(inputs), jnp.asarray(targets[:, None]))
    run = Partial(follow_one, Static((loss, batch_size, epochs)), examples)
    return sweep(run, keys, jnp.array([rate]))[0]


def follow_one(plan: Static, examples: Examples, key: Key[Array, ""], rate: Array) -> Array:
    """The same with one key; the plan is loss, batch size and epochs."""
    loss, batch_size, epochs = plan.value
    model = models.linear(jnp.zeros((examples.inputs.shape[1], 1)))
    return follow(
        model,
        losses.supervised_loss(model, loss),
        OptimizerConfig("sgd", rate),
        models.linear_weights,
        key,
        examples,
        epochs=epochs,
        batch_size=batch_size,
    )


# --- theory --------------------------------------------------------------------------------------


def expected_path(inputs: Table, solution: Vector, steps: int) -> Table:
    """Of batch descent: ``w(t) = w* + (1 - rate H)^t (w(0) - w*)``, a row for each step.

    By the eigenvectors of the Hessian ``H``.
    """
    curvatures, directions = np.linalg.eigh(inputs.T @ inputs / len(inputs))
    left = (1 - RATE * curvatures) ** np.arange(1, steps + 1)[:, None]
    return solution - (left * (directions.T @ solution)) @ directions.T


def expected_square(inputs: Table, targets: Vector, solution: Vector, batch_size: int) -> float:
    """The mean square of the distance from the solution at the ends of shuffled epochs, exactly.

    An epoch is an affine map ``d -> A d + b`` of the distance, whose ``A`` and ``b`` follow from
    the order of the rows. Each of all ``8!`` orders is as likely as any other, in every epoch anew,
    so the mean ``m`` and the second moments ``S`` that no epoch changes solve
    ``m = E[A] m + E[b]`` and ``S = E[A S A' + A m b' + b m' A' + b b']``.
    """
    one = np.eye(inputs.shape[1])
    errors = targets - inputs @ solution
    orders = np.array(list(itertools.permutations(range(len(inputs)))))
    a, b = np.broadcast_to(one, (len(orders), *one.shape)), np.zeros((len(orders), len(one)))
    for rows in np.split(orders, len(inputs) // batch_size, axis=1):
        x, e = inputs[rows], errors[rows]
        step = one - RATE * np.swapaxes(x, 1, 2) @ x / batch_size
        a = step @ a
        b = np.einsum("nij,nj->ni", step, b) + RATE * np.einsum("nri,nr->ni", x, e) / batch_size
    mean = np.linalg.solve(one - a.mean(axis=0), b.mean(axis=0))
    cross = np.einsum("nij,j,nk->ik", a, mean, b) / len(orders)
    known = cross + cross.T + b.T @ b / len(orders)
    both_sides = np.einsum("nij,nkl->ikjl", a, a, optimize=True) / len(orders)
    moments = np.linalg.solve(np.eye(one.size) - both_sides.reshape(one.size, -1), known.ravel())
    return float(np.trace(moments.reshape(one.shape)))


# --- what is claimed -----------------------------------------------------------------------------


def squares(descents: Descents, name: str) -> Float[np.ndarray, " seeds"]:
    """The mean square of the distance at the ends of the later three quarters of the epochs."""
    per_epoch = len(descents.inputs) // BATCHES[name]
    ends = descents.paths[name][:, per_epoch - 1 :: per_epoch]
    distances = np.square(ends - descents.solution).sum(axis=-1)
    return distances[:, distances.shape[1] // 4 :].mean(axis=1)


def expected_squares(descents: Descents) -> dict[str, float]:
    """What all orders of the rows say of those."""
    of = descents.inputs, descents.targets, descents.solution
    return {name: expected_square(*of, size) for name, size in BATCHES.items() if size < len(EXAMS)}


def claims(descents: Descents) -> list[Claim]:
    """The way of the weights, and where the steps do not end."""
    return [path_claim(descents), hover_claim(descents, expected_squares(descents))]


def path_claim(descents: Descents) -> Claim:
    """Each weight as the closed form has it at every step, and so to least squares."""
    path, solution = descents.paths["batch, all 8"][0], descents.solution
    off = np.abs(path - expected_path(descents.inputs, solution, len(path))).max()
    last = np.abs(path[-1] - solution).max()
    weights = ", ".join(
        f"{name} {weight:+.3f}" for name, weight in zip(EXAM_COLUMNS, path[-1], strict=False)
    )
    return Claim(
        "batch descent moves each weight as the closed form says, to the least squares",
        bool(off < 1e-8 and last < 1e-8),
        f"at {len(path):,} steps at most {off:.0e} points away, in the end {last:.0e}, expected "
        f"below 1e-8; a standard deviation of {weights} points",
    )


def hover_claim(descents: Descents, expected: dict[str, float]) -> Claim:
    """As far away as all orders of the rows say."""
    texts, holds = [], []
    for name, square in expected.items():
        mean, half = mean_and_interval(squares(descents, name), LEVEL)
        holds.append(abs(mean - square) <= half <= 0.1 * square)
        texts.append(f"{name}: {mean:.4f} ± {half:.4f}, expected {square:.4f}")
    return Claim(
        "smaller batches hover about the solution as far as all 40,320 orders of eight rows say",
        all(holds),
        f"mean squared distance in points, {LEVEL:.1%} interval: {'; '.join(texts)}",
    )


# --- pictures ------------------------------------------------------------------------------------


@plots.styled
def draw(descents: Descents) -> Figure:
    """The surface of two weights with three paths, and all weights by epoch."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    ground, ways = figure.subplots(1, 2, width_ratios=(1, 1.15))
    draw_ground(ground, descents)
    draw_weights(ways, descents)
    return figure


def draw_ground(axes: Axes, descents: Descents) -> None:
    """Lines of equal loss over two weights, that of sleep being the solution's, and the paths."""
    study, sleep, quiz = descents.solution
    region = (-2.5, study + 4.5, -1.0, quiz + 4.0)
    value = Partial(slice_loss, *map(jnp.asarray, (descents.inputs, descents.targets, sleep)))
    x, y, values = on_grid(value, region, 80)
    levels = values.min() + np.ptp(values) * np.linspace(0, 1, 12)[1:] ** 2
    lines = axes.contour(x, y, values, levels, colors="#BBBBBB", linewidths=1)
    axes.clabel(lines, fontsize=7, fmt="%.0f")
    steps = {name: PATH_EPOCHS * len(EXAMS) // size for name, size in BATCHES.items()}
    draw_paths(axes, descents.paths, steps, weights=(0, 2))
    axes.plot(study, quiz, "k*", ms=12, mfc="white", label="least squares")
    axes.set(xlim=region[:2], ylim=region[2:], xlabel="weight of study (points per deviation)")
    axes.set(ylabel="weight of quiz (points per deviation)")
    axes.set_title(
        f"{PATH_EPOCHS} epochs at rate {RATE:g} on lines of equal loss, half the mean square"
    )
    axes.legend(loc="lower right", frameon=True, framealpha=0.9)


def draw_paths(axes: Axes, paths: Paths, steps: dict[str, int], weights: tuple[int, int]) -> None:
    """The first steps of each descent by the first seed, batch descent on top, and the start."""
    for (name, path), colour in reversed(list(zip(paths.items(), COLOURS, strict=True))):
        drawn = np.vstack([np.zeros(path.shape[-1]), path[0, : steps[name]]])[:, weights]
        axes.plot(*drawn.T, ".-", color=colour, lw=0.8, ms=3, label=name)
    axes.plot(0, 0, "ko", ms=6, label="start")


def slice_loss(inputs: Array, targets: Array, sleep: Array, point: Array) -> Array:
    """Half the mean squared error where study and quiz have the weights of ``point``."""
    weights = jnp.stack([point[0], sleep, point[1]])
    return jnp.mean(jnp.square(inputs @ weights - targets)) / 2


def draw_weights(axes: Axes, descents: Descents) -> None:
    """The three weights against epochs: batch descent and stochastic descent."""
    batch, single = (
        np.vstack([np.zeros(3), descents.paths[name][0, : DRAWN * len(EXAMS) // size]]).T
        for name, size in BATCHES.items()
        if name != "mini-batch, 4"
    )
    for place, colour in enumerate(COLOURS):
        label = f"$w_{place + 1}$, {EXAM_COLUMNS[place]}"
        axes.plot(np.arange(DRAWN * 8 + 1) / 8, single[place], color=colour, lw=0.6, alpha=0.6)
        axes.plot(np.arange(DRAWN + 1), batch[place], color=colour, label=label)
        axes.axhline(descents.solution[place], color=colour, ls="--", lw=1)
    axes.set(xlabel="epoch", ylabel="points of the exam per standard deviation", xlim=(0, DRAWN))
    axes.set_title("thick: batch, thin: stochastic, dashed: closed form")
    axes.legend(loc="center right", frameon=True, framealpha=0.9)
