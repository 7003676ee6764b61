"""L2 in the loss beside decay of the weights, by gradient descent and by Adam."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure

from experiments.regularization.remedies import DECAY, L2, NOTHING, RATES, Trials
from jaxdl import losses, optim, plots
from jaxdl.claims import Claim
from jaxdl.optim import OptimizerConfig
from jaxdl.statistics import write_interval

SCALES = np.array([0.1, 0.3, 1.0, 3.0, 10.0])
"""Of the noise that the gradient of a weight is, beside the penalty."""
REPLICAS = 100
"""Weights of each scale."""
STRENGTH = 0.005
"""Of L2; decay is twice that, for the slope of ``w^2`` is ``2 w``."""
RATE, STEPS = 1e-3, 2000
NOTHING_LEFT = 0.1
"""The share of their norm that weights may have left and be called gone."""


class Seen(NamedTuple):
    """What a step takes off a weight, over rate and decay: 1 where it is decoupled.

    Attributes:
        apart: how far L2 and decay come apart by gradient descent, at most.
        l2: with L2 by Adam, at each of `SCALES`.
        decay: with decay by Adam.
    """

    apart: float
    l2: Float[np.ndarray, " scales"]
    decay: Float[np.ndarray, " scales"]


def measure(seed: int) -> Seen:
    """Of weights that begin at 1 and whose gradients are nothing but noise, alike in all runs."""
    nothing, l2, decay = (0.0, 0.0), (STRENGTH, 0.0), (0.0, 2 * STRENGTH)
    descent = [walk(seed, "sgd", *of) for of in (l2, decay)]
    free, *held = (walk(seed, "adam", *of).mean(axis=0) for of in (nothing, l2, decay))
    taken_off = [-np.log(of / free) / (2 * STRENGTH * RATE * STEPS) for of in held]
    return Seen(float(np.abs(descent[0] - descent[1]).max()), *taken_off)


def walk(
    seed: int, name: str, strength: float, decay: float
) -> Float[np.ndarray, "replicas scales"]:
    """Where an optimizer has brought the weights in the end, with so much L2 and decay."""
    optimizer = optim.make_optimizer(OptimizerConfig(name, RATE, weight_decay=decay))
    penalty = Partial(losses.l2, strength=jnp.asarray(strength))
    start = jnp.ones((REPLICAS, len(SCALES)))
    keys = jax.random.split(jax.random.key(seed), STEPS)
    return np.asarray(_walk(optimizer, penalty, start, keys))


@jax.jit
def _walk(
    optimizer: optax.GradientTransformation,
    penalty: Partial,
    start: Float[Array, "replicas scales"],
    keys: Key[Array, " steps"],
) -> Float[Array, "replicas scales"]:
    def step(carry, key: Key[Array, ""]):
        weights, state = carry
        noise = jnp.asarray(SCALES)[None] * jax.random.normal(key, weights.shape)
        updates, state = optimizer.update(noise + jax.grad(penalty)(weights), state, weights)
        return (weights + updates, state), None

    (weights, _), _ = lax.scan(step, (start, optimizer.init(start)), keys)
    return weights


# --- what is claimed -----------------------------------------------------------------------------


def law_claim(seen: Seen) -> Claim:
    """The same by gradient descent; by Adam weighed by the size of the gradient."""
    power = float(np.polyfit(np.log(SCALES), np.log(seen.l2), 1)[0])
    expected = 1 / SCALES
    off = [float(np.abs(of).max()) for of in (seen.l2 / expected - 1, seen.decay - 1)]
    return Claim(
        "L2 is decay by gradient descent; by Adam it holds weights the less, the larger their "
        "gradients are",
        seen.apart < 1e-12 and max(off) < 0.05,
        f"by descent apart by {seen.apart:.0e}; by Adam L2 takes off {seen.l2[0]:.2f} to "
        f"{seen.l2[-1]:.3f} of what decay is to, expected 1 / size, {expected[0]:g} to "
        f"{expected[-1]:g} (power {power:.3f}); decay {seen.decay.min():.3f} to "
        f"{seen.decay.max():.3f}, expected 1",
    )


def network_claim(
    by_descent: Mapping[str, Trials], by_adam: Mapping[str, Trials], updates: int
) -> Claim:
    """Weights that only a penalty moves, at each strength; and what the loss says of either."""
    of_descent, l2, decay = by_descent[L2], by_adam[L2], by_adam[DECAY]
    left = [np.asarray(of.found.blank).mean(axis=1) for of in (of_descent, l2, decay)]
    expected = [expected_left(of_descent, "sgd", updates), expected_left(decay, "adam", updates)]
    off = [float(np.abs(of / to - 1).max()) for of, to in zip(left[::2], expected, strict=True)]
    alone, with_l2, with_decay = (
        np.asarray(by_adam[name].chosen().test) for name in (NOTHING, L2, DECAY)
    )
    return Claim(
        "in the network, of weights from blank pixels L2 leaves nothing by Adam, however weak it "
        "is; by descent it leaves what decay does",
        bool((left[1] < NOTHING_LEFT).all()) and max(off) < 0.01,
        f"by Adam with strengths {shown(l2.strengths)} L2 leaves {shown(left[1])} of their norm, "
        f"expected below {NOTHING_LEFT}; by descent {shown(left[0])}, and decay by Adam "
        f"{shown(left[2])}, expected (1 - rate decay)^updates, off by {max(off):.1e} of it; the "
        f"test loss by Adam, {write_interval(alone, '.3f')}, is lowered by "
        f"{write_interval(alone - with_l2, '.3f')} with L2, by "
        f"{write_interval(alone - with_decay, '.3f')} with decay",
    )


def expected_left(of: Trials, optimizer: str, updates: int) -> Float[np.ndarray, " strengths"]:
    """Of weights that decay alone moves; L2 by descent is decay of twice its strength."""
    decay = of.strengths * (2 if optimizer == "sgd" else 1)
    return (1 - RATES[optimizer] * decay) ** updates


def shown(values: Iterable[float]) -> str:
    """To be read.

    >>> shown(np.array([0.12345, 1.0]))
    '0.12, 1'
    """
    return ", ".join(f"{value:.2g}" for value in values)


# --- pictures ------------------------------------------------------------------------------------


@plots.styled
def draw(seen: Seen) -> Figure:
    """The law."""
    figure = Figure(figsize=(5.6, 4), layout="constrained")
    axes = figure.subplots()
    axes.loglog(SCALES, 1 / SCALES, color="black", lw=1, label="1 / size")
    axes.axhline(1, color="black", ls="--", lw=1, label="1: as by gradient descent")
    axes.loglog(SCALES, seen.l2, "o", color=plots.RED, label="L2 in the loss, Adam")
    axes.loglog(SCALES, seen.decay, "s", color=plots.BLUE, label="decoupled decay, Adam")
    axes.set(xlabel="size of a weight's gradient", ylabel="taken off a weight / (rate x decay x w)")
    axes.legend()
    return figure


@plots.styled
def draw_network(by_adam: Mapping[str, Trials], updates: int) -> Figure:
    """What is left of weights from blank pixels, and the loss, against the strength."""
    figure = Figure(figsize=(9.6, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    expected = expected_left(by_adam[DECAY], "adam", updates)
    places = by_adam[DECAY].strengths / by_adam[DECAY].strength()
    left.plot(places, expected, color="black", lw=1, label="(1 - rate decay)^updates")
    right.axhline(
        float(by_adam[NOTHING].chosen().test.mean()), color="black", ls="--", lw=1, label="neither"
    )
    for name, colour, style in ((L2, plots.RED, "o"), (DECAY, plots.BLUE, "s")):
        of = by_adam[name]
        # Each about its own best, since a strength of the one means nothing for the other.
        places = of.strengths / of.strength()
        for axes, values, line in ((left, of.found.blank, ""), (right, of.found.test, "-")):
            plots.draw_errorbars(
                axes, places, values.T, marker=style, ls=line, color=colour, label=name
            )
    for axes in (left, right):
        axes.set(xscale="log", xlabel="strength / the one that validation chose")
        axes.legend()
    left.set(ylabel="norm of weights from blank pixels / that at first")
    low, high = right.get_ylim()
    right.set(ylabel="test loss (nats)", ylim=(low, high + 0.4 * (high - low)))  # for the legend
    figure.suptitle("Adam, 95% intervals over seeds")
    return figure
