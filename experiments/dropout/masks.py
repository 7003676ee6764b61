"""All masks of small networks, one by one, beside the network that is scaled instead."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxdl import plots
from jaxdl.claims import Claim
from jaxdl.nn import dropout
from jaxdl.statistics import root_mean_square

WEIGHTS, INPUTS = np.array([0.7, -1.9]), np.array([1.5, 0.4])
"""Of the unit with two inputs."""
KEPT = 0.5
"""The probability with which a unit is kept."""
UNITS, OUTPUTS, EXAMPLES = 10, 3, 20
"""Of the small network, whose hidden units have 2^10 masks."""
SCALES = 2.0 ** -np.arange(6)
"""Factors of its weights, the first 1."""
DRAWS = 4 ** np.arange(7)
"""Of masks at random."""
REPEATS = 200
"""Of each number of draws."""
KEYS = 2**16
"""For which the layer that networks use draws masks of two inputs."""
LEVEL = 0.001
"""Of the test of how often it draws each: the probability to fail where nothing is wrong."""


class Seen(NamedTuple):
    """What was measured; errors and scatter are root mean squares over examples and outputs.

    Attributes:
        of_two: the unit's output with each of its four masks.
        inverted: the same with masks divided by `KEPT`.
        by_layer: what `jaxdl.nn.dropout` makes of the two inputs, for each of `KEYS`.
        linear: how far the scaled linear network is off the mean of all masks, at most.
        geometric: how far its softmax is off the normalized geometric mean of all masks'.
        arithmetic: and off their mean.
        tanh: with tanh behind the masks, how far it is off the mean, at each of `SCALES`.
        curvature: the same as half the curvature of tanh times the variance foretells it.
        scatter: what one mask is off by.
        drawn: what the mean of each of `DRAWS` random masks is off by, at scale 1.
    """

    of_two: Float[np.ndarray, " masks"]
    inverted: Float[np.ndarray, " masks"]
    by_layer: Float[np.ndarray, "keys 2"]
    linear: float
    geometric: float
    arithmetic: float
    tanh: Float[np.ndarray, " scales"]
    curvature: Float[np.ndarray, " scales"]
    scatter: Float[np.ndarray, " scales"]
    drawn: Float[np.ndarray, " draws"]


def all_masks(units: int) -> Float[np.ndarray, "masks units"]:
    """Every choice of kept units.

    >>> all_masks(2).tolist()
    [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    """
    return np.array(list(np.ndindex(*(2,) * units)), float)


def chances(units: int) -> Float[np.ndarray, " masks"]:
    """Of each of `all_masks`.

    >>> chances(2).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    return np.where(all_masks(units) == 1, KEPT, 1 - KEPT).prod(axis=1)


def measure(seed: int) -> Seen:
    """Of weights and inputs that are drawn, in float64."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(EXAMPLES, UNITS))
    weights = rng.normal(size=(UNITS, OUTPUTS)) / np.sqrt(UNITS)
    sums = np.einsum("mu,eu,uo->meo", all_masks(UNITS), hidden, weights)
    scaled = KEPT * hidden @ weights
    variance = KEPT * (1 - KEPT) * np.square(hidden) @ np.square(weights)
    log_p = log_softmax(sums)
    of_scaled = np.exp(log_softmax(scaled))
    by_scale = [behind_tanh(s * sums, s * scaled, s**2 * variance) for s in SCALES]
    tanh, curvature, scatter = np.transpose(by_scale)
    return Seen(
        of_two=all_masks(2) @ (WEIGHTS * INPUTS),
        inverted=all_masks(2) / KEPT @ (WEIGHTS * INPUTS),
        by_layer=drop_inputs(seed),
        linear=float(np.abs(sums.mean(axis=0) - scaled).max()),
        geometric=float(np.abs(np.exp(log_softmax(log_p.mean(axis=0))) - of_scaled).max()),
        arithmetic=float(np.abs(np.exp(log_p).mean(axis=0) - of_scaled).max()),
        tanh=tanh,
        curvature=curvature,
        scatter=scatter,
        drawn=off_by_draws(rng, np.tanh(sums)),
    )


def behind_tanh(
    sums: Float[np.ndarray, "masks examples outputs"],
    scaled: Float[np.ndarray, "examples outputs"],
    variance: Float[np.ndarray, "examples outputs"],
) -> tuple[float, float, float]:
    """Off the mean of all masks: the scaled network, as its curvature foretells it, one mask."""
    bent, of_scaled = np.tanh(sums), np.tanh(scaled)
    curvature = -2 * of_scaled * (1 - np.square(of_scaled))
    mean = bent.mean(axis=0)
    return (
        root_mean_square(of_scaled - mean),
        root_mean_square(curvature * variance / 2),
        root_mean_square(bent - mean),
    )


def off_by_draws(
    rng: np.random.Generator, bent: Float[np.ndarray, "masks examples outputs"]
) -> Float[np.ndarray, " draws"]:
    """How far means of random masks are off that of all: of how often each mask was drawn."""
    flat = bent.reshape(len(bent), -1)
    shares = [rng.multinomial(n, np.full(len(bent), 1 / len(bent)), REPEATS) / n for n in DRAWS]
    return np.array([root_mean_square(of @ flat - flat.mean(axis=0)) for of in shares])


def drop_inputs(seed: int) -> Float[np.ndarray, "keys 2"]:
    """Those of the unit with two, by the layer that networks use."""
    keys = jax.random.split(jax.random.key(seed), KEYS)
    inputs = jnp.broadcast_to(jnp.float32(INPUTS), (KEYS, 2))
    return np.asarray(dropout(inputs, 1 - KEPT, keys))


def log_softmax(sums: Float[np.ndarray, "... outputs"]) -> Float[np.ndarray, "... outputs"]:
    """Of the last axis; the sums are small."""
    return sums - np.log(np.exp(sums).sum(axis=-1, keepdims=True))


# --- what is claimed -----------------------------------------------------------------------------


def claims(seen: Seen) -> list[Claim]:
    """What the masks say."""
    return [
        two_inputs_claim(seen),
        layer_claim(seen),
        exact_claim(seen),
        curvature_claim(seen),
        draws_claim(seen),
    ]


def two_inputs_claim(seen: Seen) -> Claim:
    """Of all masks, each with its probability."""
    whole = float(WEIGHTS @ INPUTS)
    means = [float(chances(2) @ of) for of in (seen.of_two, seen.inverted)]
    return Claim(
        "the mean over the four masks of two inputs is half of w1 x1 + w2 x2, inverted all of it",
        abs(means[0] - KEPT * whole) < 1e-15 and abs(means[1] - whole) < 1e-15,
        "; ".join(
            f"{' '.join(f'{value:.2f}' for value in of)}: mean {mean:.4f}, expected {expected:.4f}"
            for of, mean, expected in zip(
                (seen.of_two, seen.inverted), means, (KEPT * whole, whole), strict=True
            )
        ),
    )


def layer_claim(seen: Seen) -> Claim:
    """Nothing but the four, and each as often as it is to be: Pearson's chi-squared test.

    To the bit, since 1 / `KEPT` is a power of 2.
    """
    from scipy.special import chdtrc  # here because it takes a quarter of a second

    inverted = np.float32(all_masks(2) / KEPT * INPUTS)
    counts = (seen.by_layer[:, None] == inverted).all(axis=2).sum(axis=0)
    expected = len(seen.by_layer) * chances(2)
    p_value = float(chdtrc(len(counts) - 1, np.sum(np.square(counts - expected) / expected)))
    return Claim(
        "the layer of networks draws these four inverted masks, and each as often",
        bool(counts.sum() == len(seen.by_layer)) and p_value > LEVEL,
        f"of {len(seen.by_layer):,} keys {', '.join(f'{of:,}' for of in counts)} give the four "
        f"masks' inputs, to the bit, expected {', '.join(f'{of:,.0f}' for of in expected)} (p = "
        f"{p_value:.3f} by chi-squared, expected above {LEVEL:g}), and "
        f"{len(seen.by_layer) - counts.sum()} others, expected 0",
    )


def exact_claim(seen: Seen) -> Claim:
    """What scaling does without error."""
    return Claim(
        "scaled by 1/2 a linear network is the mean over its masks, a softmax their geometric mean",
        max(seen.linear, seen.geometric) < 1e-12 < seen.arithmetic,
        f"{2**UNITS:,} masks: off by {seen.linear:.0e} and {seen.geometric:.0e} at most, expected "
        f"0; the mean of the softmax is another one, by up to {seen.arithmetic:.3f}",
    )


def curvature_claim(seen: Seen) -> Claim:
    """What it does with one, and how large that is."""
    ratio = seen.tanh / seen.curvature
    order = float(np.polyfit(np.log(SCALES[2:]), np.log(seen.tanh[2:]), 1)[0])
    return Claim(
        "behind tanh it is off the mean by half the curvature times the variance of the sum",
        abs(ratio[-1] - 1) < 0.01 and abs(order - 3) < 0.1 and bool(seen.tanh[0] < seen.scatter[0]),
        f"{ratio[-1]:.4f} of that with weights of {SCALES[-1]:.3f}, expected 1 as they get "
        f"smaller, falling as their power {order:.2f}, expected 3; with weights of 1 "
        f"{seen.tanh[0]:.3f}, where one mask is off by {seen.scatter[0]:.3f}",
    )


def draws_claim(seen: Seen) -> Claim:
    """Monte Carlo."""
    ratios = seen.drawn * np.sqrt(DRAWS) / seen.scatter[0]
    return Claim(
        "the mean over N random masks is off by what one is, over the root of N",
        bool((np.abs(ratios - 1) < 0.1).all()),
        f"{ratios.min():.2f} to {ratios.max():.2f} of that with {DRAWS[0]} to {DRAWS[-1]:,} masks, "
        f"expected 1; so the one pass of the scaled network is worth "
        f"{np.square(seen.scatter[0] / seen.tanh[0]):.0f} masks here",
    )


# --- pictures ------------------------------------------------------------------------------------


@plots.styled
def draw(seen: Seen) -> Figure:
    """How far the scaled network is off, and how many masks that is worth."""
    figure = Figure(figsize=(9.6, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_scales(left, seen)
    draw_draws(right, seen)
    figure.suptitle(f"{UNITS} units, each kept with probability 1/2, before tanh")
    return figure


def draw_scales(axes: Axes, seen: Seen) -> None:
    """Against the size of the weights."""
    axes.loglog(SCALES, seen.scatter, "s:", color=plots.GREY, label="one mask")
    axes.loglog(SCALES, seen.tanh, "o", color=plots.RED, label="scaled network")
    label = "half the curvature times the variance"
    axes.loglog(SCALES, seen.curvature, color="black", lw=1, label=label)
    axes.set_xscale("log", base=2)
    axes.set(xlabel="factor of the weights", ylabel=f"off the mean of all {2**UNITS:,} masks (RMS)")
    axes.legend(loc="lower right")


def draw_draws(axes: Axes, seen: Seen) -> None:
    """Against the number of masks."""
    axes.loglog(DRAWS, seen.drawn, "o", color=plots.BLUE, label="mean of random masks")
    label = "one mask's / root of their number"
    axes.loglog(DRAWS, seen.scatter[0] / np.sqrt(DRAWS), color="black", lw=1, label=label)
    axes.axhline(seen.tanh[0], color=plots.RED, ls="--", label="scaled network, one pass")
    axes.set(xlabel="masks", ylabel=f"off the mean of all {2**UNITS:,} masks (RMS)")
    axes.legend()
