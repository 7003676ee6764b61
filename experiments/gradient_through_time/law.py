"""The rate at which the gradient of a vanilla network shrinks or grows, measured and foretold."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from matplotlib.typing import FillStyleType

from experiments.gradient_through_time.distances import norm_by_distance, rate
from jaxdl import plots
from jaxdl.claims import Claim
from jaxdl.nn import find_cell, recur
from jaxdl.nn.cells import Weights
from jaxdl.statistics import mean_and_interval

STEPS, EXAMPLES, INPUTS = 150, 16, 4
AMONG = slice(50, 130)
"""Distances of which the rate is taken: far from the loss, and from where the states begin at 0."""
ORTHOGONAL, NORMAL = "orthogonal", "normal"
"""Kernels: a gain times an orthogonal matrix, or times normal entries of variance 1 / units."""
LINEAR, TANH = "linear", "tanh"
"""Inputs of 0, at which tanh is its own tangent, or normal ones of variance 1."""


class Law(NamedTuple):
    """Networks of one kind of kernel and input, with leading axes ``(gains, draws)``.

    Attributes:
        norms: of the gradient at each distance ``(..., distances)``.
        radius: the spectral radius of the recurrent kernel.
        singular: its largest singular value.
        mean_slope: the mean of tanh' over units, examples and the steps of `AMONG`.
        rms_slope: its root mean square.
    """

    norms: np.ndarray
    radius: np.ndarray
    singular: np.ndarray
    mean_slope: np.ndarray
    rms_slope: np.ndarray

    def rate(self) -> np.ndarray:
        """Of change at each step back."""
        return rate(self.norms, AMONG)

    def foretold(self) -> np.ndarray:
        """The rate as spectral radius times root mean square of tanh'."""
        return self.radius * self.rms_slope


def measure(*, gains: Sequence[float], units: int, draws: int, seed: int) -> dict[str, dict]:
    """A `Law` of each kernel and input, in float64, by the names of the kernel and the input."""
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(seed), draws)
        found = {}
        for kernel in (ORTHOGONAL, NORMAL):
            weights = jax.vmap(partial(draw_weights, kernel, units))(keys)
            matrices = np.asarray(weights["recurrent_kernel"])
            radius = np.multiply.outer(gains, np.abs(np.linalg.eigvals(matrices)).max(axis=1))
            singular = np.multiply.outer(gains, np.linalg.norm(matrices, 2, axis=(1, 2)))
            found[kernel] = {}
            for name, scale in ((LINEAR, 0.0), (TANH, 1.0)):
                seen = look(weights, jnp.asarray(gains), keys, scale)
                norms, mean, square = map(np.asarray, seen)
                found[kernel][name] = Law(norms, radius, singular, mean, np.sqrt(square))
    return found


def draw_weights(kernel: str, units: int, key: Array) -> Weights:
    """Of a network of gain 1."""
    weights = find_cell("rnn").init(key, INPUTS, units)
    if kernel == NORMAL:
        entries = jax.random.normal(jax.random.fold_in(key, 1), (units, units))
        weights["recurrent_kernel"] = entries / np.sqrt(units)
    return jax.tree.map(lambda of: of.astype(float), weights)


@jax.jit
def look(
    weights: Weights, gains: Float[Array, " gains"], keys: Array, scale: float
) -> tuple[Array, Array, Array]:
    """Of each gain and draw: norms by distance, mean and mean square of tanh'."""

    def of_network(weights: Weights, key: Array, gain: Array):
        weights = {**weights, "recurrent_kernel": gain * weights["recurrent_kernel"]}
        of_inputs, of_loss = jax.random.split(jax.random.fold_in(key, 2))
        inputs = scale * jax.random.normal(of_inputs, (STEPS, EXAMPLES, INPUTS))
        units = weights["recurrent_kernel"].shape[0]
        directions = jax.random.normal(of_loss, (EXAMPLES, units))
        cell = find_cell("rnn")

        def loss_of(last: Array) -> Array:
            return jnp.sum(last * directions, axis=1)

        norms = norm_by_distance(cell, weights, inputs, loss_of)
        hidden, _ = recur(cell, weights, inputs)
        slopes = 1 - jnp.square(hidden[::-1][AMONG])
        return norms, jnp.mean(slopes), jnp.mean(jnp.square(slopes))

    def of_gain(gain: Array):
        return lax.map(lambda row: of_network(row[0], row[1], gain), (weights, keys))

    return lax.map(of_gain, gains)


def claims(found: dict[str, dict[str, Law]]) -> list[Claim]:
    """The law where tanh is linear, where it is not, and what the largest singular value says."""
    still, normal = found[ORTHOGONAL][LINEAR], found[NORMAL][LINEAR]
    exact, near = (np.abs(of.rate() / of.radius - 1).max() for of in (still, normal))
    moved = found[ORTHOGONAL][TANH]
    miss = np.abs(moved.rate() / moved.foretold() - 1).max()
    by_mean = np.abs(moved.rate() / (moved.radius * moved.mean_slope) - 1).max(axis=1)
    excess = max(of.rate().max() for of in (still, moved))
    everything = [law for of_kernel in found.values() for law in of_kernel.values()]
    above = max(longest_above_bound(law) for law in everything)
    spared = (normal.singular > 1) & (normal.radius < 1)
    rates = normal.rate()[spared]
    found_claims = [
        Claim(
            "where tanh is linear, each step back multiplies the gradient by the spectral radius",
            bool(exact < 1e-6 and near < 0.03),
            f"off by {exact:.1e} at most for multiples of an orthogonal kernel, expected below "
            f"1e-6; by {near:.1%} for normal kernels of {still.norms.shape[1]} draws, expected "
            "below 3%",
        ),
        Claim(
            "where it is not, by the spectral radius times the root mean square of tanh', and not "
            "its mean",
            bool(miss < 0.02 and by_mean.max() > 0.05),
            f"off by {miss:.1%} at most for multiples of an orthogonal kernel, expected below 2%; "
            f"with the mean by up to {by_mean.max():.1%}, expected above 5%; rates up to "
            f"{excess:.2f}",
        ),
    ]
    if not spared.any():
        return found_claims
    return [
        *found_claims,
        Claim(
            "the largest singular value bounds the gradient and does not foretell it",
            bool(above <= 1 + 1e-9 and rates.max() < 1),
            f"at most {above:.3f} of the bound; {len(rates)} normal kernels have a largest "
            "singular value above 1 and a spectral radius below, and the gradients of all "
            f"vanish: rates {rates.min():.2f} to {rates.max():.2f}",
        ),
    ]


def longest_above_bound(law: Law) -> float:
    """The longest gradient, in products of the largest singular value, from distance 1 on."""
    distances = np.arange(1, law.norms.shape[-1])
    bounds = law.norms[..., :1] * law.singular[..., None] ** distances
    return float((law.norms[..., 1:] / bounds).max())


def summarize(gains: Sequence[float], found: dict[str, dict[str, Law]]) -> dict[str, Any]:
    """For ``summary.json``: means and intervals over the draws, by kernel, input and gain."""

    def of_gain(law: Law, place: int) -> dict[str, Any]:
        columns = {
            "rate": law.rate(),
            "spectral_radius": law.radius,
            "largest_singular_value": law.singular,
            "mean_slope": law.mean_slope,
            "rms_slope": law.rms_slope,
        }
        return {name: mean_and_interval(of[place]) for name, of in columns.items()}

    return {
        kernel: {
            name: {str(gain): of_gain(law, place) for place, gain in enumerate(gains)}
            for name, law in of_kernel.items()
        }
        for kernel, of_kernel in found.items()
    }


@plots.styled
def draw(gains: Sequence[float], found: dict[str, dict[str, Law]]) -> Figure:
    """Norm against distance, linear and not, beside the law; and all rates against the foretold."""
    figure = Figure(figsize=(14, 4.6), layout="constrained")
    linear, moved, rates = figure.subplots(1, 3)
    titles = {
        LINEAR: "gain x orthogonal kernel, inputs 0 (tanh is linear)",
        TANH: "gain x orthogonal kernel, inputs of variance 1",
    }
    for axes, (name, title) in zip((linear, moved), titles.items(), strict=True):
        draw_norms(axes, gains, found[ORTHOGONAL][name])
        axes.set_title(title)
    draw_rates(rates, found)
    return figure


def draw_norms(axes: Axes, gains: Sequence[float], law: Law) -> None:
    """The first draw of each gain, measured and foretold."""
    distances = np.arange(law.norms.shape[-1])
    for place, (gain, color) in enumerate(zip(gains, plots.shades(len(gains)), strict=True)):
        norms = law.norms[place, 0] / law.norms[place, 0, 0]
        axes.plot(distances, norms, color=color, label=f"{gain:g}")
        foretold = law.foretold()[place, 0] ** distances
        axes.plot(distances, foretold, "--", color="black", lw=0.9)
    axes.plot([], [], "--", color="black", lw=0.9, label="foretold")
    axes.set(
        yscale="log", xlabel="steps back from the loss", ylabel="gradient norm (at the loss: 1)"
    )
    axes.yaxis.set_major_locator(LogLocator(1e10))
    axes.grid(True)
    axes.legend(title="gain", fontsize=8, ncols=2, reverse=True)


def draw_rates(axes: Axes, found: dict[str, dict[str, Law]]) -> None:
    """The measured rate of every network against what is to foretell it."""
    linear, moved = found[ORTHOGONAL][LINEAR], found[ORTHOGONAL][TANH]
    normal = found[NORMAL][LINEAR]
    of_mean = moved.radius * moved.mean_slope
    good: FillStyleType = "full"
    bad: FillStyleType = "none"
    for law, foretold, color, marker, filling, label in (
        (linear, linear.radius, plots.BLUE, "o", good, "orthogonal, linear: spectral radius"),
        (normal, normal.radius, plots.GREEN, "s", good, "normal, linear: spectral radius"),
        (moved, moved.foretold(), plots.RED, "^", good, "orthogonal: radius x rms tanh'"),
        (moved, of_mean, plots.ORANGE, "D", bad, "orthogonal: radius x mean tanh'"),
        (normal, normal.singular, plots.GREY, "v", bad, "normal, linear: largest singular value"),
    ):
        places = foretold.ravel(), law.rate().ravel()
        axes.plot(*places, marker, color=color, fillstyle=filling, label=label)
    ends = np.array([0, 1.1 * normal.rate().max()])
    axes.plot(ends, ends, "--", color="black", lw=0.9)
    axes.set(xlabel="foretold rate", ylabel="measured rate, a step back", ylim=ends)
    axes.set_title("all networks: on the line where foretold")
    axes.grid(True)
    axes.legend(fontsize=8, loc="lower right", frameon=True, title="foretold by", edgecolor="none")
