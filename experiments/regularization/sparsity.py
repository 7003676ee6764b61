"""L1 by proximal steps and by its slope: which of them makes weights 0."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.tree_util import Partial
from jaxtyping import Array, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.regularization.remedies import L1, L1_IN_LOSS, Trials
from jaxdl import losses, optim, plots
from jaxdl.claims import Claim
from jaxdl.optim import OptimizerConfig

WEIGHTS = 40
CURVATURES = np.geomspace(0.1, 1, WEIGHTS)
"""Of a quadratic along each weight."""
STRENGTH, RATE, STEPS = 0.1, 0.5, 1000
CLOSE = 0.03
"""How far shares of weights, and losses, may be apart and be called alike."""


class Seen(NamedTuple):
    """Where the weights of the quadratic come to lie.

    Attributes:
        exact: by the formula.
        proximal: by proximal steps.
        slope: by the slope of L1.
    """

    exact: Float[np.ndarray, " weights"]
    proximal: Float[np.ndarray, " weights"]
    slope: Float[np.ndarray, " weights"]


def measure(seed: int) -> Seen:
    """The minimum of ``sum_i h_i (w_i - m_i)^2 / 2 + strength |w_i|`` in three ways, in float64.

    Each weight's is ``sign(m) max(|m| - strength / h, 0)`` (Goodfellow, Bengio and Courville 2016,
    equation 7.23).
    """
    minimum = np.random.default_rng(seed).normal(size=WEIGHTS)
    exact = np.sign(minimum) * np.maximum(np.abs(minimum) - STRENGTH / CURVATURES, 0)
    return Seen(exact, descend(minimum, proximal=STRENGTH), descend(minimum, in_loss=STRENGTH))


def descend(
    minimum: Float[np.ndarray, " weights"], *, proximal: float = 0.0, in_loss: float = 0.0
) -> Float[np.ndarray, " weights"]:
    """Where gradient descent comes to with so much L1, of either form."""
    optimizer = optim.proximal(
        optim.make_optimizer(OptimizerConfig("sgd", RATE)),
        Partial(losses.soft_threshold, threshold=RATE * proximal),
    )
    penalty = Partial(losses.l1, strength=jnp.asarray(in_loss))
    # Penalties are of arrays of two axes.
    return np.asarray(_descend(optimizer, penalty, jnp.asarray(minimum)[None])[0])


@jax.jit
def _descend(
    optimizer: optax.GradientTransformation, penalty: Partial, minimum: Float[Array, "1 weights"]
) -> Float[Array, "1 weights"]:
    def loss(weights: Array) -> Array:
        return CURVATURES @ jnp.square(weights - minimum)[0] / 2 + penalty(weights)

    def step(carry, _):
        weights, state = carry
        updates, state = optimizer.update(jax.grad(loss)(weights), state, weights)
        return (weights + updates, state), None

    start = (minimum, optimizer.init(minimum))
    (weights, _), _ = lax.scan(step, start, None, length=STEPS)
    return weights


# --- what is claimed -----------------------------------------------------------------------------


def claims(seen: Seen, trials: Mapping[str, Trials]) -> list[Claim]:
    """Of the quadratic, and of the network."""
    return [exact_claim(seen), network_claim(trials)]


def exact_claim(seen: Seen) -> Claim:
    """Against the formula."""
    zeros = [int(np.sum(of == 0)) for of in seen]
    off = [float(np.abs(of - seen.exact).max()) for of in seen]
    return Claim(
        "proximal steps come to the minimum with L1, zeros and all; steps by its slope do not",
        bool(np.array_equal(seen.proximal == 0, seen.exact == 0))
        and zeros[0] > 0
        and zeros[2] == 0
        and off[1] < 1e-12
        and 0.1 * RATE * STRENGTH < off[2] < 2 * RATE * STRENGTH,
        f"of {WEIGHTS} weights {zeros[1]} are 0, by the formula the same {zeros[0]}, and all are "
        f"off by {off[1]:.0e}; by slope {zeros[2]}, off by up to {off[2]:.3f}, expected about a "
        f"step, rate times strength = {RATE * STRENGTH:g}",
    )


def network_claim(trials: Mapping[str, Trials]) -> Claim:
    """At each strength."""
    proximal, slope = (trials[name].found for name in (L1, L1_IN_LOSS))
    zeros, none, near = (of.mean(axis=1) for of in (proximal.zeros, slope.zeros, slope.near))
    apart = (proximal.test - slope.test).mean(axis=1)
    place = trials[L1].best()
    return Claim(
        "in the network too L1 makes weights 0 by proximal steps alone, at the same loss",
        bool(none.max() < 1e-4)
        and bool((zeros > 0.01).all())
        and bool((np.abs(zeros - near) < CLOSE).all())
        and bool((np.abs(apart[: place + 1]) < CLOSE * proximal.test.mean()).all()),
        f"with strengths {', '.join(f'{of:.2g}' for of in trials[L1].strengths)} "
        f"{', '.join(f'{of:.1%}' for of in zeros)} of the weights, by slope at most "
        f"{none.max():.3%}; within a step of 0 there {', '.join(f'{of:.1%}' for of in near)}; the "
        f"test loss is apart by {', '.join(f'{of:+.4f}' for of in apart)}",
    )


# --- pictures ------------------------------------------------------------------------------------


@plots.styled
def draw(seen: Seen, trials: Mapping[str, Trials]) -> Figure:
    """Weights of the quadratic; zeros of the network."""
    figure = Figure(figsize=(9.6, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_weights(left, seen)
    draw_zeros(right, trials)
    return figure


def draw_weights(axes: Axes, seen: Seen) -> None:
    """Those nearest to 0, as far from it as they are."""
    order = np.argsort(np.abs(seen.exact), kind="stable")[:20]
    axes.plot(np.abs(seen.exact[order]), "_", color="black", ms=10, label="by the formula")
    axes.plot(np.abs(seen.proximal[order]), "o", color=plots.BLUE, label="proximal steps")
    axes.plot(np.abs(seen.slope[order]), "^", color=plots.RED, label="by the slope of L1")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="weights of a quadratic, the smallest first", ylabel="|w| in the end")
    axes.legend()


def draw_zeros(axes: Axes, trials: Mapping[str, Trials]) -> None:
    """Shares of all weights against the strength."""
    strengths = trials[L1].strengths
    proximal, slope = (trials[name].found for name in (L1, L1_IN_LOSS))
    for values, colour, style, label in (
        (proximal.zeros, plots.BLUE, "o-", "proximal steps: 0"),
        (slope.near, plots.RED, "^:", "by slope: within a step of 0"),
        (slope.zeros, plots.RED, "^--", "by slope: 0"),
    ):
        plots.draw_errorbars(axes, strengths, 100 * values.T, fmt=style, color=colour, label=label)
    axes.set(xscale="log", xlabel="strength of L1", ylabel="weights of the network (%)")
    axes.legend()
