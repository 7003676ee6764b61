"""Softmax: what differences of logits say, its slopes, and where its formula overflows."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from matplotlib.figure import Figure

from jaxdl import plots
from jaxdl.claims import Claim

RATIO = 30.0
CLASSES = 10
DRAWS = 1000
EXACT = 1e-12
"""How far two ways to a number in float64 may be apart, relative to it."""
FORMATS = ("float16", "bfloat16", "float32", "float64")
LARGEST = {"float16": 11.0898, "bfloat16": 88.7189, "float32": 88.7228, "float64": 709.7827}
"""The logarithms of their largest numbers."""
LARGE = (0.0, 50.0, 85.0, 90.0, 100.0, 1e3, 1e4, 1e38)
"""What is added to logits between -1 and 1, in float32."""


def naive(logits: Float[Array, "... classes"]) -> Float[Array, "... classes"]:
    """``exp(z_k) / sum_j exp(z_j)`` as it is written."""
    powers = jnp.exp(logits)
    return powers / jnp.sum(powers, axis=-1, keepdims=True)


# --- what it says --------------------------------------------------------------------------------


class Said(NamedTuple):
    """Of random logits in float64, the largest relative differences from what is expected.

    Attributes:
        ratio: of two probabilities whose logits differ by ``log 30``, from 30.
        shift: of all probabilities, after one number is added to all logits.
        slopes: of the matrix of derivatives, from ``diag(p) - p p^T``, in parts of the largest.
        steepest: the largest slope of a probability by its own logit.
        log_sum: of ``log sum exp``, from the logit less the logarithm of its probability.
    """

    ratio: float
    shift: float
    slopes: float
    steepest: float
    log_sum: float


def ask(seed: int) -> Said:
    """Many logits."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=3, size=(DRAWS, CLASSES))
    logits[:, 1] = logits[:, 0] + np.log(RATIO)
    moved = logits + rng.normal(scale=100, size=(DRAWS, 1))

    @jax.jit
    def see(logits: Array, moved: Array):
        p, p_moved = jax.nn.softmax(logits), jax.nn.softmax(moved)
        return (
            p,
            p_moved,
            jax.vmap(jax.jacobian(jax.nn.softmax))(logits),
            jax.nn.logsumexp(logits, 1),
        )

    p, p_moved, slopes, log_sum = map(np.asarray, see(jnp.asarray(logits), jnp.asarray(moved)))
    expected = p[:, :, None] * np.eye(CLASSES) - p[:, :, None] * p[:, None, :]
    return Said(
        float(np.abs(p[:, 1] / p[:, 0] / RATIO - 1).max()),
        float(np.abs(p_moved / p - 1).max()),
        float(np.abs(slopes - expected).max() / np.abs(expected).max()),
        float(np.diagonal(slopes, axis1=1, axis2=2).max()),
        float(np.abs((logits[:, 0] - np.log(p[:, 0])) / log_sum - 1).max()),
    )


def ratio_claim(said: Said) -> Claim:
    """Differences of logits are logarithms of ratios."""
    return Claim(
        f"a logit that is higher by log {RATIO:g} makes a class {RATIO:g} times as likely",
        max(said.ratio, said.shift, said.slopes, said.log_sum) < EXACT and said.steepest < 0.25,
        f"{np.log(RATIO):.4f} more among {CLASSES} logits, {DRAWS:,} draws: ratio off by "
        f"{said.ratio:.0e} of {RATIO:g}; a number added to all changes probabilities by "
        f"{said.shift:.0e}; derivatives are diag(p) - p p^T to {said.slopes:.0e}, the steepest "
        f"{said.steepest:.3f}, expected below 1/4; log-sum-exp is a logit less its log-probability "
        f"to {said.log_sum:.0e}; expected below {EXACT:.0e}",
    )


# --- where it can be computed --------------------------------------------------------------------


class Overflow(NamedTuple):
    """Where exponentials end.

    Attributes:
        largest: by number format, the largest logit whose naive softmax is finite.
        naive: the share of numbers that are finite, at each of `LARGE`.
        stable: the same of ours.
        off: how far ours is from float64's, relative, at most.
    """

    largest: dict[str, float]
    naive: Float[np.ndarray, " shifts"]
    stable: Float[np.ndarray, " shifts"]
    off: float


def overflow(seed: int) -> Overflow:
    """Each format, and logits far from 0 in float32."""
    rng = np.random.default_rng([seed, 1])
    logits = np.float32(rng.uniform(-1, 1, size=(DRAWS, CLASSES)))
    shifted = logits + np.array(LARGE, np.float32)[:, None, None]
    both = jax.jit(lambda z: (naive(z), jax.nn.softmax(z)))
    as_written, ours = map(np.asarray, both(jnp.asarray(shifted)))
    # Of the logits as float32 has them, which is all that a softmax is given.
    wide = np.float64(shifted) - np.float64(shifted).max(axis=-1, keepdims=True)
    exact = np.exp(wide) / np.exp(wide).sum(axis=-1, keepdims=True)
    return Overflow(
        {name: largest_logit(name) for name in FORMATS},
        np.isfinite(as_written).mean(axis=(1, 2)),
        np.isfinite(ours).mean(axis=(1, 2)),
        float(np.abs(ours / exact - 1).max()),
    )


def largest_logit(name: str) -> float:
    """The largest in this format, by bisection, beside which 0 still has a naive softmax."""
    is_finite = jax.jit(lambda z: jnp.isfinite(naive(jnp.stack([z, jnp.zeros_like(z)]))).all())
    low, high = 0.0, 1000.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if is_finite(jnp.asarray(middle, name)) else (low, middle)
    return float(jnp.asarray(low, name))


def spacing(name: str) -> float:
    """How far apart numbers of a format are where its exponentials end."""
    return float(jnp.finfo(name).eps) * LARGEST[name]


def overflow_claim(found: Overflow) -> Claim:
    """At the logarithm of the largest number."""
    near = all(abs(found.largest[name] - LARGEST[name]) < spacing(name) + 1e-4 for name in FORMATS)
    breaks = np.array(LARGE) > LARGEST["float32"]
    sizes = ", ".join(f"{of:g}" for of in LARGE)
    return Claim(
        "as it is written softmax overflows above a logit of 88.7; less the largest logit it never "
        "does",
        near
        and not found.naive[breaks].any()
        and bool((found.naive[~breaks] == 1).all() and (found.stable == 1).all())
        and found.off < 1e-6,
        "the largest logit is "
        + ", ".join(f"{found.largest[name]:.4g} in {name}" for name in FORMATS)
        + ", expected "
        + ", ".join(f"{LARGEST[name]:.4g}" for name in FORMATS)
        + f" or the next number below; in float32, of logits near {sizes}, "
        f"{', '.join(f'{share:.0%}' for share in found.naive)} of the probabilities are finite as "
        f"it is written, {found.stable.min():.0%} or more less the largest logit, off by "
        f"{found.off:.0e} of float64's, expected below 1e-06",
    )


# --- pictures ------------------------------------------------------------------------------------


@plots.styled
def draw(found: Overflow) -> Figure:
    """Ratios, a class among others, and what overflows."""
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    differences = np.linspace(-1, 5, 200)
    left.semilogy(differences, np.exp(differences), color=plots.BLUE)
    left.plot(np.log(RATIO), RATIO, "o", color=plots.RED, ms=6)
    left.annotate("log 30 = 3.40: 30 times", (np.log(RATIO), RATIO), (-0.8, 60))
    left.set(xlabel="difference of two logits", ylabel="ratio of their probabilities")
    logits = np.linspace(-6, 12, 300)
    for others, colour, ls in zip((1, 9, 999), plots.COLOURS, ("-", "--", "-."), strict=False):
        p = 1 / (1 + others * np.exp(-logits))
        label = f"beside {others} logit{'s' * (others > 1)} of 0"
        middle.plot(logits, p, ls, color=colour, label=label)
        middle.plot(logits, p * (1 - p), ls, color=colour, lw=0.9, alpha=0.7)
    middle.axhline(0.25, color="black", ls=":", lw=1, label="1/4")
    middle.set(xlabel="logit", ylabel="probability; thin: its slope", ylim=(0, 1.45))
    middle.legend(loc="upper left")
    places = np.arange(len(LARGE))
    right.plot(places, found.naive, "o--", color=plots.RED, ms=7, label="as it is written")
    right.plot(places, found.stable, "s-", color=plots.BLUE, label="less the largest logit")
    right.set_xticks(places, [f"{of:g}" for of in LARGE], rotation=30)
    right.set(
        xlabel="size of the logits", ylabel="share of probabilities\nthat are finite in float32"
    )
    right.set_ylim(-0.05, 1.3)
    right.legend(loc="upper right")
    return figure
