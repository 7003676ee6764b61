"""What the scales of the inputs cost: condition numbers, and the steps of descent that follow."""

import bisect
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int
from matplotlib.figure import Figure

from jaxdl import losses, plots
from jaxdl.claims import Claim
from jaxdl.data import EXAMS, PASSES, standardize_columns
from jaxdl.logistic import newton

LEVELS = np.array([1e-3, 1e-9])
"""Of what the loss has above its least at the start: steps are counted until no more is left."""
FEWER = 10_000
"""By which factor standardised inputs take fewer steps to least squares, at the least."""
RAW, STANDARDISED = "as they are", "standardised"

Table = Float[np.ndarray, "rows columns"]
Vector = Float[np.ndarray, " rows"]


class Scale(NamedTuple):
    """A descent on inputs in one form.

    Attributes:
        condition: the ratio of the curvatures, from which the steps follow.
        steps: to each of `LEVELS`.
        expected: of least squares, the steps to the last; of logistic regression, from the first.
        outputs: of the solution, for each row.
    """

    condition: float
    steps: Int[np.ndarray, " levels"]
    expected: float
    outputs: Vector


def forms(inputs: Table) -> dict[str, Table]:
    """Inputs in four forms by name, each with a column of ones before them."""
    found = {
        RAW: inputs,
        "divided by spread": inputs / inputs.std(axis=0),
        "centred": inputs - inputs.mean(axis=0),
        STANDARDISED: standardize_columns(inputs),
    }
    return {name: with_constant(of) for name, of in found.items()}


def with_constant(inputs: Table) -> Table:
    """The inputs behind a column of ones, whose weight is the constant."""
    return np.hstack([np.ones((len(inputs), 1)), inputs])


# --- the two problems ----------------------------------------------------------------------------


def measure_regression() -> dict[str, Scale]:
    """Least squares of the exam, at the best rate of each form, 2 over both extreme curvatures."""
    targets = EXAMS[:, 3]
    found = {}
    for name, inputs in forms(EXAMS[:, :3]).items():
        solution = np.linalg.lstsq(inputs, targets)[0]
        curvatures = np.linalg.eigvalsh(inputs.T @ inputs / len(inputs))
        low, high = curvatures[0], curvatures[-1]
        rate = 2 / (low + high)
        steps = count_steps(losses.half_squared_error, inputs, targets, solution, rate)
        expected = expected_steps(inputs, solution, rate)
        found[name] = Scale(high / low, steps, expected, inputs @ solution)
    return found


def measure_classes() -> dict[str, Scale]:
    """Logistic regression of passing, at 1 over the largest curvature anywhere.

    That is a quarter of the largest eigenvalue of the inputs' second moments, since no slope of
    the sigmoid is above 1/4. The condition number is this over the least curvature at the optimum.
    """
    targets = PASSES[:, 2]
    found = {}
    for name, inputs in forms(PASSES[:, :2]).items():
        optimum = newton(inputs, targets)
        high = np.linalg.eigvalsh(inputs.T @ inputs / len(inputs))[-1] / 4
        low = np.linalg.eigvalsh(optimum.hessian)[0]
        loss = losses.sigmoid_binary_cross_entropy
        steps = count_steps(loss, inputs, targets, optimum.weights, 1 / high)
        # Near the optimum the slowest part is left, of whose loss a step takes its square.
        expected = np.log(LEVELS[1] / LEVELS[0]) / (2 * np.log1p(-low / high))
        found[name] = Scale(high / low, steps, expected, inputs @ optimum.weights)
    return found


def count_steps(
    loss: Callable[[Array, Array], Array],
    inputs: Table,
    targets: Vector,
    solution: Vector,
    rate: float,
) -> Int[np.ndarray, " levels"]:
    """Steps of batch descent from weights of 0 to each of `LEVELS` of the loss above its least.

    Args:
        loss: ``(outputs, targets) -> (rows,)``, of `jaxdl.losses`.
        inputs: with their constant.
        targets: one for each row.
        solution: the weights of the least loss.
        rate: of descent.
    """
    return np.asarray(_count_steps(loss, inputs, targets[:, None], solution[:, None], rate))


@partial(jax.jit, static_argnames="loss")
def _count_steps(loss, inputs, targets, solution, rate) -> Array:
    def mean_loss(weights: Array) -> Array:
        return loss(inputs @ weights, targets).mean()

    start = jnp.zeros_like(solution)
    least = mean_loss(solution)
    levels = least + LEVELS * (mean_loss(start) - least)

    def goes_on(state) -> Array:
        return state[2] > levels[-1]

    def step(state):
        weights, steps, now = state
        weights = weights - rate * jax.grad(mean_loss)(weights)
        return weights, steps + (now > levels), mean_loss(weights)

    state = start, jnp.zeros(len(LEVELS), int), mean_loss(start)
    return lax.while_loop(goes_on, step, state)[1]


def expected_steps(inputs: Table, solution: Vector, rate: float) -> int:
    """Those to the last level for least squares, from the eigenvectors of its Hessian.

    Along that of curvature ``l`` a step leaves ``1 - rate l`` of the distance ``d``, and the loss
    above its least is half the sum of ``l d^2``.
    """
    curvatures, directions = np.linalg.eigh(inputs.T @ inputs / len(inputs))
    distances = directions.T @ solution

    def excess(steps: int) -> float:
        return np.sum(curvatures * (distances * (1 - rate * curvatures) ** steps) ** 2) / 2

    def is_there(steps: int) -> bool:
        return bool(excess(steps) <= LEVELS[-1] * excess(0))

    return bisect.bisect_left(range(10**9), True, key=is_there)


# --- what is claimed -----------------------------------------------------------------------------


def claims(regression: dict[str, Scale], classes: dict[str, Scale]) -> list[Claim]:
    """Same solutions, other costs."""
    return [same_claim(regression, classes), steps_claim(regression), late_claim(classes)]


def same_claim(regression: dict[str, Scale], classes: dict[str, Scale]) -> Claim:
    """Scales change weights and nothing that they say."""
    points, logits = (
        max(np.abs(scale.outputs - found[RAW].outputs).max() for scale in found.values())
        for found in (regression, classes)
    )
    return Claim(
        "whatever the scales of the inputs, the solutions say the same of each student",
        bool(points < 1e-8 and logits < 1e-8),
        f"within {points:.0e} points of the exam and {logits:.0e} of the logit of passing, "
        "expected below 1e-8",
    )


def steps_claim(found: dict[str, Scale]) -> Claim:
    """As the eigenvalues say, and, standardised, more than `FEWER` times fewer."""
    off = max(abs(of.steps[-1] / of.expected - 1) for of in found.values())
    raw, standard = found[RAW], found[STANDARDISED]
    return Claim(
        "descent to least squares takes the steps that the Hessian's eigenvalues say, of "
        f"standardised inputs more than {FEWER:,} times fewer",
        bool(off < 1e-4 and FEWER * standard.steps[-1] < raw.steps[-1]),
        f"to {LEVELS[-1]:g} of the loss above its least: inputs as they are {raw.steps[-1]:,}, "
        f"expected {raw.expected:,}, at a condition number of {raw.condition:,.0f}; standardised "
        f"{standard.steps[-1]}, expected {standard.expected}, at {standard.condition:.2f}: "
        f"{raw.steps[-1] / standard.steps[-1]:,.0f} times fewer",
    )


def late_claim(found: dict[str, Scale]) -> Claim:
    """Near its optimum logistic regression is as a quadratic."""
    late = {name: int(of.steps[-1] - of.steps[0]) for name, of in found.items()}
    allowed = {name: 1 + 0.02 * of.expected for name, of in found.items()}
    raw, standard = found[RAW], found[STANDARDISED]
    return Claim(
        "near its optimum logistic regression takes the steps that the least curvature says",
        all(abs(late[name] - of.expected) < allowed[name] for name, of in found.items()),
        f"from {LEVELS[0]:g} to {LEVELS[-1]:g}: as they are {late[RAW]:,}, expected "
        f"{raw.expected:,.0f}, standardised {late[STANDARDISED]}, expected "
        f"{standard.expected:.0f}; in all four forms within a step and 2%",
    )


@plots.styled
def draw(regression: dict[str, Scale], classes: dict[str, Scale]) -> Figure:
    """Steps over condition numbers."""
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    problems = (
        ("the exam, least squares", regression, plots.BLUE, "-"),
        ("passing, logistic regression", classes, plots.RED, "--"),
    )
    markers = dict(zip(regression, "os^D", strict=True))
    for label, found, colour, style in problems:
        conditions = np.array([of.condition for of in found.values()])
        steps = np.array([of.steps[-1] for of in found.values()])
        constant = np.exp(np.mean(np.log(steps / conditions)))
        ends = np.array([conditions.min() / 2, conditions.max() * 2])
        text = f"{label}: {constant:.1f} × condition number"
        axes.plot(ends, constant * ends, style, color=colour, lw=1, label=text)
        for name, of in found.items():
            axes.plot(of.condition, of.steps[-1], markers[name], mfc="none", color=colour, ms=8)
    for name, marker in markers.items():
        axes.plot([], [], marker, mfc="none", color="black", ms=8, label=f"inputs {name}")
    axes.set(xscale="log", yscale="log", xlabel="condition number of the Hessian")
    axes.set(ylabel="steps to a billionth of the loss above its least")
    axes.legend(loc="lower right", fontsize=8, frameon=True, framealpha=0.9)
    axes.grid(True)
    return figure
