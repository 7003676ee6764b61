"""How well a student who was left out is foretold: by linear models, by a network."""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.exam_scores.scales import Table, Vector, with_constant
from jaxdl import losses, models, plots
from jaxdl.claims import Claim
from jaxdl.data import EXAM_COLUMNS, EXAMS
from jaxdl.optim import OptimizerConfig
from jaxdl.paths import follow
from jaxdl.statistics import mean_and_interval, root_mean_square
from jaxdl.sweep import sweep
from jaxdl.types import Examples, Model, Params, Static, as_pytree

INPUTS = EXAM_COLUMNS[:3]
SUBSETS = [names for size in range(4) for names in itertools.combinations(INPUTS, size)]
ALL, NONE = SUBSETS[-1], SUBSETS[0]
RATE, REFIT_STEPS = 0.1, 2000
"""Of descent to least squares."""
UNITS, ADAM_RATE = 8, 0.01
"""Hidden tanh units of the network, and its learning rate."""


class Errors(NamedTuple):
    """Root mean squared errors in points: of the students fitted to, and of those left out."""

    fitted: float
    left_out: float


class Folds(NamedTuple):
    """Each student left out in turn: members of a sweep.

    All but the spread is standardised by the seven alone.

    Attributes:
        inputs: of the seven ``(8, 7, 3)``.
        targets: of the seven ``(8, 7, 1)``.
        left_inputs: of the one left out ``(8, 1, 3)``.
        left_targets: of that one ``(8, 1, 1)``.
        spread: of the seven exams, in points ``(8,)``.
    """

    inputs: Array
    targets: Array
    left_inputs: Array
    left_targets: Array
    spread: Array


class LeftOut(NamedTuple):
    """What was foretold of whom.

    Attributes:
        linear: errors of least squares on each subset of the inputs, in closed form.
        closed: errors of least squares on all inputs on each student when left out, in points.
        refitted: the same by descent on the other seven.
        fitted: the network's error on the seven at each step, in points.
        left: its error on the one left out.
    """

    linear: dict[tuple[str, ...], Errors]
    closed: Vector
    refitted: Vector
    fitted: Float[np.ndarray, "seeds steps"]
    left: Float[np.ndarray, "seeds steps"]


def measure(*, seeds: int, steps: int, seed: int) -> LeftOut:
    """All of it."""
    folds = make_folds()
    keys = jax.random.split(jax.random.key(seed), seeds)
    fitted, left = sweep(Partial(train_network, Static(steps)), keys, folds)
    return LeftOut(
        linear={names: linear_errors(names) for names in SUBSETS},
        closed=left_out_residuals(design(ALL), EXAMS[:, 3])[1],
        refitted=np.asarray(jax.vmap(refit)(folds)),
        fitted=np.sqrt(fitted.mean(axis=0)),
        left=np.sqrt(left.mean(axis=0)),
    )


# --- linear models -------------------------------------------------------------------------------


def design(names: tuple[str, ...]) -> Table:
    """These inputs of the eight students, behind a column of ones."""
    return with_constant(EXAMS[:, [EXAM_COLUMNS.index(name) for name in names]])


def left_out_residuals(inputs: Table, targets: Vector) -> tuple[Vector, Vector]:
    """Target less prediction of least squares: of all rows fitted to, and each when left out.

    The latter is the former over ``1 - h``, ``h`` the diagonal of the matrix that makes fitted
    values of targets (Allen, "The Relationship between Variable Selection and Data Augmentation
    and a Method for Prediction", 1974).
    """
    basis = np.linalg.qr(inputs)[0]
    residuals = targets - basis @ (basis.T @ targets)
    return residuals, residuals / (1 - np.square(basis).sum(axis=1))


def linear_errors(names: tuple[str, ...]) -> Errors:
    """Of least squares on these inputs."""
    return Errors(*map(root_mean_square, left_out_residuals(design(names), EXAMS[:, 3])))


# --- by descent ----------------------------------------------------------------------------------


def make_folds() -> Folds:
    """Eight of them."""
    folds = []
    for place in range(len(EXAMS)):
        seven = np.delete(EXAMS, place, axis=0)
        centre, spread = seven.mean(axis=0), seven.std(axis=0)
        rows, left = (seven - centre) / spread, (EXAMS[[place]] - centre) / spread
        folds.append(Folds(rows[:, :3], rows[:, 3:], left[:, :3], left[:, 3:], spread[3]))
    return Folds(*map(jnp.asarray, map(np.stack, zip(*folds, strict=True))))


@jax.jit
def refit(fold: Folds) -> Float[Array, ""]:
    """The error of batch descent to least squares on the one left out, in points.

    Inputs and targets are about their means, so that there is no constant.
    """

    def mean_loss(weights: Array) -> Array:
        return losses.half_squared_error(fold.inputs @ weights, fold.targets).mean()

    def step(_, weights: Array) -> Array:
        return weights - RATE * jax.grad(mean_loss)(weights)

    weights = lax.fori_loop(0, REFIT_STEPS, step, jnp.zeros((3, 1)))
    return fold.spread * (fold.left_targets - fold.left_inputs @ weights)[0, 0]


def train_network(
    steps: Static[int], key: Key[Array, ""], fold: Folds
) -> tuple[Float[Array, " steps"], Float[Array, " steps"]]:
    """Mean squared errors of a network on the seven and on the one left out, at each step."""
    model = models.mlp([UNITS], classes=1, activation="tanh")
    students = jnp.concatenate([fold.inputs, fold.left_inputs])
    outputs = follow(
        model,
        losses.supervised_loss(model, losses.squared_error),
        OptimizerConfig("adam", ADAM_RATE),
        Partial(outputs_of, as_pytree(model), students),
        key,
        Examples(fold.inputs, fold.targets),
        epochs=steps.value,
        batch_size=len(fold.targets),
    )
    targets = jnp.concatenate([fold.targets, fold.left_targets])[:, 0]
    squares = jnp.square(fold.spread * (targets[None] - outputs))
    return squares[:, :-1].mean(axis=1), squares[:, -1]


def outputs_of(model: Model, inputs: Array, params: Params) -> Float[Array, " 8"]:
    """Nothing drawn."""
    return model.apply(params, {}, inputs, None)[0][:, 0]


# --- what is claimed -----------------------------------------------------------------------------


def claims(seen: LeftOut) -> list[Claim]:
    """The closed form, what more inputs do, and what a network does."""
    return [closed_form_claim(seen), inputs_claim(seen.linear), network_claim(seen)]


def closed_form_claim(seen: LeftOut) -> Claim:
    """Eight descents say the same as one matrix."""
    off = np.abs(seen.closed - seen.refitted).max()
    return Claim(
        "leave-one-out errors are residual / (1 - leverage), as eight descents to seven rows say",
        bool(off < 1e-6),
        f"within {off:.0e} points of each other, expected below 1e-6; root mean square "
        f"{root_mean_square(seen.closed):.3f}, of {seen.linear[ALL].fitted:.3f} where nobody is "
        "left out",
    )


def inputs_claim(linear: dict[tuple[str, ...], Errors]) -> Claim:
    """Each more helps to fit, and all three foretell worse than none."""
    falls = all(
        linear[more].fitted <= linear[fewer].fitted
        for more, fewer in itertools.product(SUBSETS, SUBSETS)
        if set(fewer) < set(more)
    )
    best = min(linear, key=lambda names: linear[names].left_out)
    return Claim(
        "each input more fits better, and all of them foretell worse than the mean alone",
        falls and linear[ALL].left_out > linear[NONE].left_out > linear[best].left_out,
        f"left out and fitted, in points: no input {of_errors(linear[NONE])}, all "
        f"{of_errors(linear[ALL])}, best {' and '.join(best)} {of_errors(linear[best])}; the "
        f"mean's is expected at 8/7 of the deviation, {8 / 7 * EXAMS[:, 3].std():.2f}",
    )


def of_errors(errors: Errors) -> str:
    """To be read."""
    return f"{errors.left_out:.2f} and {errors.fitted:.2f}"


def network_claim(seen: LeftOut) -> Claim:
    """It learns seven by heart."""
    fitted, (left, half) = seen.fitted[:, -1], mean_and_interval(seen.left[:, -1])
    alone = seen.linear[("study",)].left_out
    return Claim(
        f"a network of {UNITS} hidden units learns seven students by heart, and foretells the "
        "eighth worse than a line through study alone",
        bool(fitted.max() < 1 and left - half > alone),
        f"the seven within {fitted.max():.2f} points from each of {len(fitted)} seeds, expected "
        f"below 1; the eighth {left:.2f} ± {half:.2f}, expected above {alone:.2f}; at its best, "
        f"after {1 + seen.left.mean(axis=0).argmin()} steps, {seen.left.mean(axis=0).min():.2f}",
    )


# --- pictures ------------------------------------------------------------------------------------


@plots.styled
def draw(seen: LeftOut) -> Figure:
    """Linear models by their inputs, and the network by its steps."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    draw_linear(left, seen.linear)
    draw_network(right, seen)
    return figure


def draw_linear(axes: Axes, linear: dict[tuple[str, ...], Errors]) -> None:
    """Both errors of each subset."""
    names = ["\n".join(of) or "none" for of in linear]
    for which, colour, marker, label in (
        ("left_out", plots.RED, "o", "of those left out"),
        ("fitted", plots.BLUE, "s", "of those fitted to"),
    ):
        errors = [getattr(of, which) for of in linear.values()]
        axes.plot(names, errors, marker, color=colour, ms=7, label=label)
    axes.axhline(linear[NONE].left_out, color=plots.GREY, ls=":", lw=1)
    axes.set(ylim=(0, 27), xlabel="inputs of the linear model")
    axes.set(ylabel="root mean squared error (points of the exam)")
    axes.legend(loc="lower left")


def draw_network(axes: Axes, seen: LeftOut) -> None:
    """Both errors of the network at each step."""
    steps = 1 + np.arange(seen.fitted.shape[1])
    plots.draw_band(axes, steps, seen.left, color=plots.RED, label="of those left out")
    plots.draw_band(axes, steps, seen.fitted, color=plots.BLUE, ls="--", label="of the seven")
    axes.axhline(seen.linear[NONE].left_out, color=plots.GREY, ls=":", lw=1, label="the mean's")
    axes.set(xscale="log", xlabel="steps of Adam")
    axes.set_title(f"network of {UNITS} hidden units, mean of {len(seen.left)} seeds, 95% interval")
    axes.legend(loc="lower left")
