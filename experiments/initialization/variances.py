"""The variance of activations and gradients by layer, measured and foretold; and densities."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.initialization.starts import (
    RANDOM,
    STARTS,
    Start,
    begin,
    gains,
    network,
    stack,
)
from jaxdl import losses, plots
from jaxdl.claims import Claim
from jaxdl.models.deep_mlp import Layer, signals
from jaxdl.models.mean_field import Expected, expected_signals, moments
from jaxdl.statistics import geometric_mean, mean_and_interval, off_by, worst
from jaxdl.sweep import sweep
from jaxdl.types import Examples, Static

WIDTH = 128
TOLERANCE = 0.05
"""How far a layer's factor may be from the one foretold, which is that of endless width."""


class Seen(NamedTuple):
    """Of each start and seed.

    Attributes:
        before: the mean square of the pre-activations of each layer ``(..., depth)``.
        outputs: of its outputs.
        gradients: of the gradient of an example's loss by its outputs.
        shown: the outputs of `shown_layers`, ``(..., layers, outputs)``.
    """

    before: Any
    outputs: Any
    gradients: Any
    shown: Any

    def kept(self) -> np.ndarray:
        """The mean squared gradient at each layer over that at the last."""
        return self.gradients / self.gradients[..., -1:]


class Found(NamedTuple):
    """Of one activation: what is seen of the starts of `RANDOM`, and what is expected of each."""

    seen: Seen
    expected: list[Expected]


def measure(
    activations: Sequence[str], depth: int, digits: Examples, keys: Key[Array, " seeds"]
) -> dict[str, Found]:
    """All random starts from every seed, in float64 for gradients of 1e-80, by one program.

    Args:
        activations: of the networks.
        depth: how many hidden layers they have.
        digits: a batch.
        keys: one for each seed.
    """
    square = float(jnp.mean(jnp.square(digits.inputs)))
    fans = [digits.inputs[0].size, *[WIDTH] * depth]

    def expected(activation: str) -> list[Expected]:
        all_gains = [gains(STARTS[name], activation, fans, square) for name in RANDOM]
        return [expected_signals(Layer(activation), of, square) for of in all_gains]

    with jax.enable_x64(True):
        digits = digits._replace(inputs=digits.inputs.astype(float))
        look_at = Partial(look, Static((tuple(activations), depth)), digits)
        all_seen = sweep(look_at, keys, stack([STARTS[name] for name in RANDOM]))
        return {
            activation: Found(seen, expected(activation))
            for activation, seen in zip(activations, all_seen, strict=True)
        }


def look(
    plan: Static[tuple[tuple[str, ...], int]],
    digits: Examples,
    key: Key[Array, ""],
    start: Start,
) -> list[Seen]:
    """One draw of kernels, with each activation."""
    activations, depth = plan.value
    drawn = network(depth, WIDTH, start).init(key, digits.inputs)
    loss = Partial(losses.softmax_cross_entropy, labels=digits.targets)
    shown = np.array(shown_layers(depth)) - 1

    def look_at(layer: Layer) -> Seen:
        variables = begin(layer, start, drawn, digits.inputs)
        seen = signals(layer, variables, digits.inputs, loss)
        squares = (
            jnp.mean(jnp.square(of), axis=(1, 2))
            for of in (seen.before, seen.outputs, seen.gradients)
        )
        return Seen(*squares, shown=seen.outputs[shown].reshape(len(shown), -1))

    return [look_at(Layer(activation)) for activation in activations]


def shown_layers(depth: int) -> list[int]:
    """Their numbers.

    >>> shown_layers(50)
    [1, 3, 7, 19, 50]
    """
    return np.unique(np.rint(np.geomspace(1, depth, 5)).astype(int)).tolist()


# --- what is claimed -----------------------------------------------------------------------------


def misses(activation: str, found: Found) -> tuple[Float[np.ndarray, "starts seeds"], ...]:
    """By what factor layers are off what was foretold, in the mean of all, forwards and back.

    Each layer's variance is foretold from the one measured in the layer before. From the start on,
    that of a bounded activation would settle near its fixed point, wherever it came from.
    """
    forwards = [
        forward_misses(activation, seen, expected)
        for seen, expected in zip(found.seen.before, found.expected, strict=True)
    ]
    gradients = np.array([of.gradients[0] for of in found.expected])[:, None]
    layers = found.seen.before.shape[-1] - 1
    return np.array(forwards), (found.seen.kept()[..., 0] / gradients) ** (1 / layers)


def forward_misses(
    activation: str, before: Float[np.ndarray, "seeds depth"], expected: Expected
) -> Float[np.ndarray, " seeds"]:
    """Of one start."""
    kernels = expected.before[1:] / expected.outputs[:-1]  # inputs times variance of the weights
    squares = [moments(activation, geometric_mean(of)).square for of in before[:, :-1].T]
    foretold = np.append(expected.before[0], kernels * squares)
    return np.exp(np.log(before / foretold).mean(axis=1))


def claims(all_found: Mapping[str, Found]) -> list[Claim]:
    """The theory's numbers, and the half that ReLU leaves."""
    off = {name: misses(name, found) for name, found in all_found.items()}
    forwards, back = ({name: of[way] for name, of in off.items()} for way in (0, 1))
    last = np.stack([of.seen.before[..., -1] for of in all_found.values()])
    first = np.stack([of.seen.kept()[..., 0] for of in all_found.values()])
    made = [
        law_claim("a layer changes the variance of pre-activations as foretold", forwards, last),
        law_claim("it changes squared gradients, on their way back, as foretold", back, first),
    ]
    return [*made, half_claim(all_found["relu"])] if "relu" in all_found else made


def law_claim(
    statement: str, off: Mapping[str, Float[np.ndarray, "starts seeds"]], ends: np.ndarray
) -> Claim:
    """Of the worst start of all."""
    miss, where = worst(
        {
            f"{activation}, {name}": off_by(of_seeds)
            for activation, of in off.items()
            for name, of_seeds in zip(RANDOM, of, strict=True)
        }
    )
    return Claim(
        statement,
        miss < TOLERANCE,
        f"off by {miss:.1%} a layer at most ({where}), expected below {TOLERANCE:.0%}, where all "
        f"layers together make {ends.min():.0e} to {ends.max():.0e} of 1",
    )


def half_claim(found: Found) -> Claim:
    """He's half, and the two starts that differ by it."""
    halves = (found.seen.outputs / found.seen.before).mean(axis=(0, 2))
    mean, half_width = mean_and_interval(halves)
    rates = {
        name: float(np.exp(np.log(of[:, -1] / of[:, 0]).mean() / (of.shape[1] - 1)))
        for name, of in zip(RANDOM, found.seen.before, strict=True)
    }
    xavier, he = rates["Xavier normal, fan-in"], rates["He"]
    return Claim(
        "ReLU leaves half of the variance, for which He's start makes up and Xavier's does not",
        abs(mean - 0.5) < 0.01 and abs(xavier / 0.5 - 1) < TOLERANCE and abs(he - 1) < TOLERANCE,
        f"{mean:.4f} ± {half_width:.4f} of it, expected 0.5; a layer multiplies the variance by "
        f"{xavier:.3f} from Xavier's start, expected 0.5, by {he:.3f} from He's, expected 1",
    )


def summarize(all_found: Mapping[str, Found]) -> dict[str, Any]:
    """For ``summary.json``: the factor of a layer, by activation and start."""

    def of_start(found: Found, place: int) -> dict[str, Any]:
        seen, expected = found.seen, found.expected[place]
        layers = len(expected.before) - 1
        before, back = seen.before[place], seen.gradients[place, :, ::-1]
        return {
            "variance": mean_and_interval((before[:, -1] / before[:, 0]) ** (1 / layers)),
            "variance_foretold": (expected.before[-1] / expected.before[0]) ** (1 / layers),
            "squared_gradient": mean_and_interval((back[:, -1] / back[:, 0]) ** (1 / layers)),
            "squared_gradient_foretold": expected.gradients[0] ** (1 / layers),
        }

    return {
        activation: {name: of_start(found, place) for place, name in enumerate(RANDOM)}
        for activation, found in all_found.items()
    }


# --- pictures ------------------------------------------------------------------------------------

STYLES: dict[str, dict[str, Any]] = {
    "U(±1)": {"color": plots.RED, "marker": "^"},
    "He": {"color": plots.ORANGE, "marker": "o"},
    "LSUV": {"color": plots.ORANGE, "marker": "x", "ls": "--"},
    "Xavier normal, fan-in": {"color": plots.GREEN, "marker": "s"},
    "orthogonal": {"color": plots.GREEN, "marker": "x", "ls": "--"},
    "U(±1/√n)": {"color": plots.BLUE, "marker": "D"},
    "normal, sd 0.02": {"color": plots.GREY, "marker": "v"},
    "U(±0.01)": {"color": plots.GREY, "marker": "x", "ls": "--"},
}
"""The starts that differ where all layers are of one width."""
LIMITS = (1e-20, 1e20)
RANGES = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "relu": (0.0, 3.0)}
"""Of the densities that are drawn."""


@plots.styled
def draw_variances(all_found: Mapping[str, Found]) -> Figure:
    """By layer, measured and foretold: of pre-activations, and of gradients."""
    figure = Figure(figsize=(4 * len(all_found) + 2.6, 7), layout="constrained")
    grid = figure.subplots(2, len(all_found), squeeze=False, sharex=True, sharey=True)
    for column, (activation, found) in enumerate(all_found.items()):
        forwards, back = grid[:, column]
        draw_by_layer(forwards, found.seen.before, [of.before for of in found.expected])
        draw_by_layer(back, found.seen.kept(), [of.gradients for of in found.expected])
        forwards.set_title(activation)
        back.set_xlabel("layer")
    grid[0, 0].set_ylabel("variance of pre-activations")
    grid[1, 0].set_ylabel("mean squared gradient by outputs\n(last layer: 1)")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center")
    return figure


def draw_by_layer(
    axes: Axes,
    measured: Float[np.ndarray, "starts seeds depth"],
    expected: list[Float[np.ndarray, " depth"]],
) -> None:
    """Geometric means of the seeds, and what was foretold."""
    layers = np.arange(1, measured.shape[-1] + 1)
    every = max(1, len(layers) // 10)
    for name, style in STYLES.items():
        place = RANDOM.index(name)
        means = np.exp(np.log(measured[place]).mean(axis=0))
        axes.plot(layers, means, markevery=every, lw=1.2, label=name, **style)
        axes.plot(layers, expected[place], ":", color="black", lw=1)
    axes.plot([], [], ":", color="black", lw=1, label="foretold")
    axes.set(yscale="log", ylim=LIMITS)
    axes.grid(True)


@plots.styled
def draw_densities(all_found: Mapping[str, Found], depth: int) -> Figure:
    """Of the outputs of some layers, the first seed's."""
    layers = shown_layers(depth)
    colours = plots.shades(len(layers))
    shown = ("U(±1/√n)", "Xavier normal, fan-in", "He", "LSUV", "U(±1)")
    figure = Figure(
        figsize=(2.6 * len(shown) + 1.4, 2.3 * len(all_found) + 0.6), layout="constrained"
    )
    grid = figure.subplots(len(all_found), len(shown), squeeze=False, sharex="row", sharey="row")
    for row, (activation, found) in zip(grid, all_found.items(), strict=True):
        edges = np.linspace(*RANGES[activation], 41)
        for axes, name in zip(row, shown, strict=True):
            outputs = found.seen.shown[RANDOM.index(name), 0]
            for values, layer, colour in zip(outputs, layers, colours, strict=True):
                # By all outputs, also by those that are not within the edges.
                density = np.histogram(values, edges)[0] / (len(values) * np.diff(edges))
                axes.stairs(density, edges, color=colour, label=str(layer))
            axes.set(ylim=(0, 4 / np.ptp(edges)))
        row[0].set_ylabel(f"{activation}\ndensity")
    for axes, name in zip(grid[0], shown, strict=True):
        axes.set_title(name)
    for axes in grid[-1]:
        axes.set_xlabel("output of a unit")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", title="layer")
    return figure
