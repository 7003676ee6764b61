"""Part (a): eight exam rows, a model of two weights, and batches of 1, 4 and all 8 rows."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float
from matplotlib.figure import Figure

from jaxdl import losses, models, plots
from jaxdl.claims import Claim
from jaxdl.data import EXAMS, standardize_columns
from jaxdl.optim import OptimizerConfig
from jaxdl.paths import follow
from jaxdl.statistics import root_mean_square
from jaxdl.types import Examples

BATCHES = {"SGD, batch 1": 1, "mini-batch, 4": 4, "batch, 8": 8}
RATE, EPOCHS = 0.1, 400
DRAWN = 15
"""Epochs of the paths that are drawn as lines."""


class Paths(NamedTuple):
    """Where the steps led.

    Attributes:
        examples: the exam rows, see `exam_examples`.
        solution: of least squares.
        weights: by batch size, after each step.
    """

    examples: Examples
    solution: Float[np.ndarray, " 2"]
    weights: dict[str, Float[np.ndarray, "seeds steps 2"]]

    def distances(self, name: str) -> Float[np.ndarray, "seeds steps"]:
        """From the solution, after each step."""
        return np.linalg.norm(self.weights[name] - self.solution, axis=-1)


def exam_examples() -> Examples:
    """Study and quiz in their standard deviations, the exam in points about its mean."""
    exam = EXAMS[:, 3:]
    inputs = standardize_columns(EXAMS[:, (0, 2)])
    return Examples(jnp.asarray(inputs), jnp.asarray(exam - exam.mean()))


def measure(*, seeds: int, seed: int) -> Paths:
    """Three paths on one surface, for each seed."""
    examples, model = exam_examples(), models.linear(jnp.zeros((2, 1)))
    loss_fn = losses.supervised_loss(model, losses.half_squared_error)
    optimizer = OptimizerConfig("sgd", RATE)

    def path(batch_size, key):
        run = {"epochs": EPOCHS, "batch_size": batch_size}
        return follow(model, loss_fn, optimizer, models.linear_weights, key, examples, **run)

    keys = jax.random.split(jax.random.key(seed), seeds)
    weights = {
        name: np.asarray(jax.lax.map(Partial(path, batch_size), keys))
        for name, batch_size in BATCHES.items()
    }
    solution = np.linalg.lstsq(np.asarray(examples.inputs), np.asarray(examples.targets))[0][:, 0]
    return Paths(examples, solution, weights)


def hovering(paths: Paths) -> dict[str, tuple[float, float]]:
    """How far away SGD and mini-batches are in the third quarter of the run, and in the last."""
    quarters = {name: np.array_split(paths.distances(name), 4, axis=1) for name in BATCHES}
    return {
        name: (root_mean_square(quarters[name][2]), root_mean_square(quarters[name][3]))
        for name in ("SGD, batch 1", "mini-batch, 4")
    }


def summarize(paths: Paths) -> dict[str, Any]:
    """For ``summary.json``."""
    last = {name: fourth for name, (_, fourth) in hovering(paths).items()}
    return {"exam_solution": paths.solution, "exam_hovering": last}


def claims(paths: Paths) -> list[Claim]:
    """Where batch descent ends, and that the others hover."""
    last = paths.distances("batch, 8")[:, -1].max()
    return [
        Claim(
            "batch descent on the exam rows ends at the least-squares solution",
            last < 1e-6,
            f"{last:.1e} points away, expected below 1e-6",
        ),
        *(
            Claim(
                f"{name} hovers about the solution of the exam rows",
                fourth > 0.1 and 0.5 < fourth / third < 2,
                f"{third:.2f} points away in the third quarter of the run, {fourth:.2f} in the "
                "last; expected above 0.1 and neither half nor twice as much",
            )
            for name, (third, fourth) in hovering(paths).items()
        ),
    ]


@plots.styled
def draw(paths: Paths) -> Figure:
    """The paths of the first seed on the surface of the cost, and their ends from near."""
    figure = Figure(figsize=(10.5, 4.6), layout="constrained")
    wide, close = figure.subplots(1, 2)
    examples, solution = paths.examples, paths.solution
    spans = (np.array([-2, -3]), solution + 6), (solution - 3.6, solution + 3.6)
    for axes, ((left, low), (right, high)) in zip((wide, close), spans, strict=True):
        grid = np.meshgrid(np.linspace(left, right, 100), np.linspace(low, high, 100))
        predictions = np.asarray(examples.inputs) @ np.stack([of.ravel() for of in grid])
        cost = np.sum(np.square(predictions - np.asarray(examples.targets)), axis=0) / 2
        levels = cost.min() + np.ptp(cost) * np.linspace(0, 1, 12)[1:] ** 2
        lines = axes.contour(*grid, cost.reshape(100, 100), levels, colors="#BBBBBB", linewidths=1)
        axes.clabel(lines, fontsize=7, fmt="%.0f")
        axes.set(xlim=(left, right), ylim=(low, high), xlabel="weight of study")
    colours = (plots.BLUE, plots.ORANGE, plots.RED)
    for (name, of), colour in zip(paths.weights.items(), colours, strict=True):
        per_epoch = of.shape[1] // EPOCHS
        path = np.vstack([np.zeros(2), of[0, : DRAWN * per_epoch]])
        late = of[0, -100 * per_epoch :]
        wide.plot(*path.T, ".-", color=colour, lw=1, ms=2.5, label=name)
        close.plot(*late.T, ".", color=colour, ms=3)
    for axes in (wide, close):
        axes.plot(*solution, "k*", ms=9, mfc="white", label="least squares")
    wide.plot(0, 0, "ko", ms=5)
    wide.annotate("start", (0, 0), textcoords="offset points", xytext=(-6, -14))
    wide.set(ylabel="weight of quiz", title=f"the first {DRAWN} epochs")
    close.set(title=f"where the steps of the last 100 of {EPOCHS} epochs end")
    wide.legend(loc="lower right", frameon=True, framealpha=0.9)
    figure.suptitle("lines of equal cost C = Σ (prediction − exam)² / 2", fontsize=9)
    return figure
