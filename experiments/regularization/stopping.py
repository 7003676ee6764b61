"""Early stopping beside L2 on a quadratic, direction by direction."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxdl import plots
from jaxdl.claims import Claim

DIRECTIONS = 64
CURVATURES = np.geomspace(1e-3, 1, DIRECTIONS)
"""Of the loss along its directions."""
RATE = 0.01
STEPS = np.unique(np.geomspace(1, 200_000, 28).round().astype(int))
"""At which descent is looked at."""
INSIDE = slice(14, 20)
"""Of them, those at which the directions that are being learnt are amid all others."""


class Seen(NamedTuple):
    """Shares of the minimum that have been reached, ``(steps, directions)``.

    Attributes:
        early: by descent from 0.
        ridge: by the minimum with L2 of the strength of `alike`.
        nearest: the strength whose minimum is nearest to where descent is, ``(steps,)``.
    """

    early: Float[np.ndarray, "steps directions"]
    ridge: Float[np.ndarray, "steps directions"]
    nearest: Float[np.ndarray, " steps"]


@jax.jit
def descend(
    hessian: Float[Array, "weights weights"],
    minimum: Float[Array, " weights"],
    start: Float[Array, " weights"],
    steps: Int[Array, ""],
) -> Float[Array, " weights"]:
    """Gradient descent on ``(w - minimum)^T H (w - minimum) / 2``."""

    def loss(weights: Array) -> Array:
        return (weights - minimum) @ hessian @ (weights - minimum) / 2

    return lax.fori_loop(
        0, steps, lambda _, weights: weights - RATE * jax.grad(loss)(weights), start
    )


def alike(steps: Int[np.ndarray, " steps"]) -> Float[np.ndarray, " steps"]:
    """The strength of L2 that is nearly descent of so many steps.

    With ``strength |w|^2``, whose curvature is twice the strength.
    """
    return 1 / (2 * RATE * steps)


def measure(seed: int) -> Seen:
    """Of a loss whose directions are drawn, in float64; each is as far from its minimum."""
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.normal(size=(DIRECTIONS, DIRECTIONS)))
    hessian = basis * CURVATURES @ basis.T
    ends = rng.choice([-1.0, 1.0], DIRECTIONS)
    minimum = basis @ ends
    weights, early = jnp.zeros(DIRECTIONS), []
    for steps in np.diff(STEPS, prepend=0):
        weights = descend(hessian, minimum, weights, steps)
        early.append(basis.T @ np.asarray(weights) / ends)

    def ridge(strength: float) -> Float[np.ndarray, " directions"]:
        curved = hessian + 2 * strength * np.eye(DIRECTIONS)
        solution = np.linalg.solve(curved, hessian @ minimum)
        return basis.T @ solution / ends

    return Seen(
        np.array(early),
        np.array([ridge(strength) for strength in alike(STEPS)]),
        np.array([nearest_strength(of) for of in early]),
    )


def nearest_strength(early: Float[np.ndarray, " directions"]) -> float:
    """Of L2, that whose minimum is nearest to where descent has come to."""

    def distance(logarithm: float) -> float:
        shares = CURVATURES / (CURVATURES + 2 * np.exp(logarithm))
        return float(np.square(early - shares).sum())

    return float(np.exp(place_of_least(distance, -20, 20)))


def largest_ratio() -> float:
    """The maximum of ``(1 - exp(-x)) / (x / (1 + x))``, early over ridge where x is t curvature.

    Its square, 1.69, bounds the ratio of the risks (Ali, Kolter and Tibshirani, "A Continuous-Time
    View of Early Stopping for Least Squares", 2019, arXiv:1810.10082).
    """
    x = np.linspace(1, 3, 200_001)
    return float((-np.expm1(-x) * (1 + x) / x).max())


def nearest_ratio() -> float:
    """The strength of the nearest ridge over `alike`, where curvatures are of all sizes.

    The c that makes ``(1 - exp(-x) - x / (x + c))^2`` least, summed over the logarithm of x.
    """
    logarithms = np.linspace(-15, 15, 3001)
    x = np.exp(logarithms)

    def distance(c: float) -> float:
        return float(np.square(-np.expm1(-x) - x / (x + c)).sum())

    return place_of_least(distance, 0.1, 10)


def place_of_least(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function with one minimum has it."""
    from scipy.optimize import OptimizeResult, minimize_scalar  # here because it takes a while

    found = minimize_scalar(function, bounds=(low, high), method="bounded")
    assert isinstance(found, OptimizeResult)
    return float(found.x)


# --- what is claimed -----------------------------------------------------------------------------


def claims(seen: Seen) -> list[Claim]:
    """Direction by direction, and as a whole."""
    return [directions_claim(seen), nearest_claim(seen)]


def directions_claim(seen: Seen) -> Claim:
    """The two filters, and how far they are apart at most."""
    x = RATE * STEPS[:, None] * CURVATURES[None]
    filters = 1 - (1 - RATE * CURVATURES[None]) ** STEPS[:, None]
    off = max(np.abs(seen.early - filters).max(), np.abs(seen.ridge - x / (1 + x)).max())
    ratio = seen.early / seen.ridge
    return Claim(
        "of each direction early stopping reaches what L2 of strength 1 / (2 rate steps) does, or "
        "up to 1.30 times as much",
        off < 1e-9 and ratio.min() > 1 - 1e-9 and abs(ratio.max() / largest_ratio() - 1) < 0.005,
        "1 - (1 - rate curvature)^steps and curvature / (curvature + 2 strength), off by "
        f"{off:.0e}; {ratio.min():.4f} to {ratio.max():.4f} times as much, expected 1 to "
        f"{largest_ratio():.4f} for short steps",
    )


def nearest_claim(seen: Seen) -> Claim:
    """What the strength is whose minimum is nearest."""
    ratios = seen.nearest / alike(STEPS)
    expected = nearest_ratio()
    power = float(np.polyfit(np.log(STEPS[INSIDE]), np.log(seen.nearest[INSIDE]), 1)[0])
    return Claim(
        "the nearest strength of L2 falls as 1 / (2 rate steps)",
        abs(ratios[0] - 1) < 0.01
        and abs(power + 1) < 0.03
        and bool((np.abs(ratios[INSIDE] / expected - 1) < 0.03).all()),
        f"{ratios[0]:.4f} of that while nothing is learnt yet, expected 1; "
        f"{ratios[INSIDE].min():.3f} to {ratios[INSIDE].max():.3f} of it amid learning, expected "
        f"{expected:.3f} where curvatures are of all sizes; power {power:.3f}, expected -1",
    )


# --- pictures ------------------------------------------------------------------------------------


@plots.styled
def draw(seen: Seen) -> Figure:
    """Both filters, and the nearest strength."""
    figure = Figure(figsize=(9.6, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_filters(left, seen)
    right.loglog(STEPS, seen.nearest, "o", color=plots.BLUE, label="nearest strength of L2")
    right.loglog(STEPS, alike(STEPS), color="black", lw=1, label="1 / (2 rate steps)")
    label = f"{nearest_ratio():.2f} / (2 rate steps)"
    amid = STEPS[INSIDE]
    right.loglog(amid, nearest_ratio() * alike(amid), color=plots.RED, lw=1, label=label)
    right.set(xlabel="steps until it is stopped", ylabel="strength")
    right.legend()
    return figure


def draw_filters(axes: Axes, seen: Seen) -> None:
    """How much of a direction's minimum is reached."""
    x = (RATE * STEPS[:, None] * CURVATURES[None]).ravel()
    order = np.argsort(x)[:: len(x) // 120]
    for values, colour, marker, label in (
        (seen.early, plots.BLUE, "o", "early stopping"),
        (seen.ridge, plots.RED, "^", "L2 of strength 1 / (2 rate steps)"),
    ):
        axes.semilogx(x[order], values.ravel()[order], marker, color=colour, ms=3, label=label)
    axes.set(
        xlabel="rate x steps x curvature of the direction", ylabel="share of the way to the minimum"
    )
    axes.legend()
