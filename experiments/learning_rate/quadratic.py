"""A quadratic of known curvatures: what each step leaves of the distance, by the learning rate."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.tree_util import Partial
from jaxtyping import Array, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxdl import optim, plots
from jaxdl.claims import Claim
from jaxdl.optim import OptimizerConfig
from jaxdl.surfaces import on_grid, turned_quadratic

FLAT, STEEP = 1.0, 20.0
"""The curvatures of `turned_quadratic`: mu, along (1, 1), and L, along (-1, 1)."""
BEST = 2 / (STEEP + FLAT)
RATES = np.sort([*(np.arange(4.5, 44) * 0.05 / STEEP), BEST])
"""From slow to too fast; 1/L and 2/L lie between two of them."""
START = (0.0, 1.0)
"""As far from the minimum along the flat direction as along the steep one."""
STEPS, TAIL = 1300, 100
NEAR = 1e-6
"""What is left of the distance where steps are counted to."""
SHOWN = {
    "slow": 0.3,
    "to the valley's floor at once": 1.0,
    "best, zigzags": BEST * STEEP,
    "diverges": 2.05,
}
"""What descents do whose paths are drawn, and their rates in 1/L."""

Rates = Float[np.ndarray, " rates"]


class Descents(NamedTuple):
    """Descents on the quadratic, one for each rate.

    Attributes:
        rates: theirs.
        paths: points, the start first.
    """

    rates: Rates
    paths: Float[np.ndarray, "rates points 2"]

    def distances(self) -> Float[np.ndarray, "rates points"]:
        """From the minimum."""
        return np.linalg.norm(self.paths, axis=2)

    def factors(self) -> Rates:
        """What a step leaves of the distance, over the last `TAIL` steps."""
        distances = self.distances()
        return (distances[:, -1] / distances[:, -1 - TAIL]) ** (1 / TAIL)

    def steps(self) -> Rates:
        """Steps until `NEAR` of the distance is left; infinite where that never is."""
        distances = self.distances()
        is_near = distances <= NEAR * distances[:, :1]
        return np.where(is_near.any(axis=1), is_near.argmax(axis=1), np.inf)

    def crossings(self) -> Float[np.ndarray, " rates"]:
        """The share of the first 8 steps that cross the valley: the steep coordinate's sign turns.

        (Near 1/L it is soon lost in rounding.)
        """
        steep = (self.paths[:, :9] @ np.array([-1.0, 1.0])) > 0
        return (steep[:, 1:] != steep[:, :-1]).mean(axis=1)


@jax.jit
def descend(rates: Float[Array, " rates"]) -> Float[Array, "rates points 2"]:
    """Gradient descent from `START` with each of the rates, `STEPS` steps."""

    def one(rate):
        optimizer = optim.make_optimizer(OptimizerConfig("sgd", rate))

        def step(carry, _):
            point, state = carry
            gradient = jax.grad(turned_quadratic)(point, STEEP / FLAT)
            move, state = optimizer.update(gradient, state, point)
            return (point + move, state), point + move

        start = jnp.array(START)
        _, path = lax.scan(step, (start, optimizer.init(start)), length=STEPS)
        return jnp.concatenate([start[None], path])

    return jax.vmap(one)(rates)


def measure() -> Descents:
    """Descends with all rates, in float64: distances get as short as 1e-57."""
    with jax.enable_x64(True):
        return Descents(RATES, np.asarray(descend(jnp.asarray(RATES))))


def theory(rates: Rates) -> Rates:
    """``max(|1 - rate mu|, |1 - rate L|)``, what a step leaves of the distance in the end.

    (Polyak, "Introduction to Optimization", 1987, section 1.4.)
    """
    return np.maximum(np.abs(1 - rates * FLAT), np.abs(1 - rates * STEEP))


def expected_steps(rates: Rates) -> Rates:
    """`Descents.steps` by the solution: after t steps ``(1 - rate curvature)^t`` of each half."""
    steps = np.arange(STEPS + 1)[:, None]
    left = [(1 - rates * curvature) ** (2 * steps) for curvature in (FLAT, STEEP)]
    is_near = np.sqrt(np.mean(left, axis=0)) <= NEAR
    return np.where(is_near.any(axis=0), is_near.argmax(axis=0), np.inf)


# --- what is claimed -----------------------------------------------------------------------------


def claims(descents: Descents) -> list[Claim]:
    """The factor of each step, and what happens on both sides of 1/L and 2/L."""
    return [factor_claim(descents), regimes_claim(descents)]


def factor_claim(descents: Descents) -> Claim:
    """Against the theory, at every rate."""
    rates, factors, steps = descents.rates, descents.factors(), descents.steps()
    error = np.abs(factors - theory(rates)).max()
    wrong = int(np.sum(steps != expected_steps(rates)))
    best = rates[factors.argmin()]
    slow = steps[0] / steps.min()
    return Claim(
        "on a quadratic a step leaves max(|1 - rate mu|, |1 - rate L|) of the distance, the least "
        "at 2/(L + mu)",
        error < 1e-6 and wrong == 0 and best == BEST,
        f"at {len(rates)} rates off by at most {error:.0e}; the least, {factors.min():.6f} at "
        f"{best:.5f}, expected {(STEEP - FLAT) / (STEEP + FLAT):.6f} at {BEST:.5f}: "
        f"{steps.min():.0f} steps to a millionth, {slow:.1f} times as many at "
        f"{rates[0] * STEEP:.3f}/L; {wrong} of the step counts differ from the solution's",
    )


def regimes_claim(descents: Descents) -> Claim:
    """Crossing the valley from 1/L on, growing from 2/L on."""
    scaled, crossings, factors = descents.rates * STEEP, descents.crossings(), descents.factors()
    first = scaled[crossings > 0.5].min(initial=np.inf)
    grows = scaled[factors > 1].min(initial=np.inf)
    return Claim(
        "below 1/L no step crosses the valley, above it every one does, and above 2/L the distance "
        "grows",
        bool((crossings == (scaled > 1)).all() and ((factors > 1) == (scaled > 2)).all()),
        f"steps cross from {first:.3f}/L on, the first rate tried above 1/L; {factors[-1]:.4f} of "
        f"the distance after a step at {scaled[-1]:.3f}/L, expected {scaled[-1] - 1:.4f}; it grows "
        f"from {grows:.3f}/L on, the first rate tried above 2/L",
    )


def summarize(descents: Descents) -> dict[str, Any]:
    """For ``summary.json``."""
    return {
        "rates": descents.rates,
        "factors": descents.factors(),
        "factors_expected": theory(descents.rates),
        "steps": descents.steps(),
        "steps_expected": expected_steps(descents.rates),
    }


# --- the picture ---------------------------------------------------------------------------------


@plots.styled
def draw(descents: Descents) -> Figure:
    """Paths at four rates, what a step leaves, and how many steps it takes."""
    figure = Figure(figsize=(12, 7), layout="constrained")
    panels = figure.subplot_mosaic("0123;aabb")
    for place, (what, rate) in enumerate(SHOWN.items()):
        draw_path(panels[str(place)], rate / STEEP)
        panels[str(place)].set_title(f"{rate:.3g}/L: {what}")
    figure.suptitle(f"10 steps from the dot; across the valley it curves by L = {STEEP:g} μ")
    factors, steps = panels["a"], panels["b"]
    scaled, fine = descents.rates * STEEP, np.linspace(0.15, 2.2, 500)
    factors.plot(fine, theory(fine / STEEP), color="black", label="max(|1 − rate μ|, |1 − rate L|)")
    factors.plot(scaled, descents.factors(), "o", color=plots.BLUE, label="measured")
    factors.axhline(1, color=plots.GREY, ls=":", label="1: it comes no nearer")
    factors.set(xlabel="learning rate × L", ylabel="distance after a step / before it")
    factors.legend(loc="upper center")
    is_good, fine = np.isfinite(descents.steps()), fine[fine < 2]
    formula = np.log(NEAR) / np.log(theory(fine / STEEP))
    steps.plot(fine, formula, color="black", label="log 1e-6 / log of the factor")
    steps.plot(scaled[is_good], descents.steps()[is_good], "o", color=plots.BLUE, label="measured")
    steps.axvline(2, color=plots.RED, ls="--", label="2/L: never from here on")
    steps.axvline(BEST * STEEP, color=plots.GREEN, ls=":", label="2/(L + μ): fewest")
    steps.set(yscale="log", ylim=(80, 4000), xlim=factors.get_xlim())
    steps.set(xlabel="learning rate × L", ylabel="steps to a millionth of the distance")
    steps.legend(loc="upper center", bbox_to_anchor=(0.45, 1))
    for axes in (factors, steps):
        axes.grid(True)
    return figure


def draw_path(axes: Axes, rate: float) -> None:
    """The first steps with a rate, on lines of equal height."""
    region = (-1.0, 1.3, -0.8, 1.3)
    x, y, heights = on_grid(Partial(turned_quadratic, condition=STEEP / FLAT), region, 120)
    axes.contour(x, y, heights, np.geomspace(0.03, 20, 9), colors="#BBBBBB", linewidths=0.6)
    with jax.enable_x64(True):
        path = np.asarray(descend(jnp.array([rate])))[0, :11]
    axes.plot(*path.T, color=plots.BLUE, marker=".", ms=6, lw=1)
    axes.plot(*path[0], "o", color="black", ms=6)
    axes.plot(0, 0, "x", color="black", ms=7)
    axes.set(xlim=region[:2], ylim=region[2:], xticks=[], yticks=[], aspect="equal")
