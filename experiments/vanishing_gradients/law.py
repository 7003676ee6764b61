"""By what factor a gradient changes from layer to layer: measured, as a product, and foretold."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.vanishing_gradients.networks import ACTIVATIONS, HE, XAVIER, network
from jaxdl import losses, plots
from jaxdl.claims import Claim
from jaxdl.models.deep_mlp import Layer, find_activation, signals
from jaxdl.models.mean_field import Expected, expected_signals
from jaxdl.statistics import geometric_mean, mean_and_interval, off_by, worst
from jaxdl.sweep import sweep
from jaxdl.types import Examples, Static, Variables

WIDTH = 128
GAINS = (0.5, XAVIER, HE, 4.0, 16.0)
LAYER_NORM, BATCH_NORM, RESIDUAL = "layer norm", "batch norm", "residual"
BOTH = "residual and batch norm"
CURES = {
    LAYER_NORM: Layer(normalization="layer"),
    BATCH_NORM: Layer(normalization="batch"),
    RESIDUAL: Layer(is_residual=True),
    BOTH: Layer(normalization="batch", is_residual=True),
}
HOMOGENEOUS = ("relu", RESIDUAL)
"""Whose outputs are those of its inputs times a number, if these are multiplied with it."""
TOLERANCE = 0.05
"""How far a layer's factor may be from the one foretold, which is that of endless width."""
STEEPEST = 0.25
"""Sigmoid's slope, where it is the steepest."""
HARDLY = 1e-3
"""What all layers together leave of a squared gradient that hardly vanishes."""
CURED, LEFT = 0.1, 0.25
"""How far from 1 its factor is where it is cured, and what it is below where it is not."""


class Seen(NamedTuple):
    """Of each gain and seed.

    Attributes:
        gradients: the mean square of the gradient by each layer's outputs, ``(..., depth)``.
        slopes: the mean square of the activation's slope in each layer, alike.
    """

    gradients: Any
    slopes: Any


class Found(NamedTuple):
    """Of one network.

    Attributes:
        gains: that it began with.
        seen: leaves ``(gains, seeds, depth)``.
        expected: of each gain.
    """

    gains: Sequence[float]
    seen: Seen
    expected: list[Expected]

    def kept(self) -> Float[np.ndarray, "gains seeds depth"]:
        """The mean squared gradient at each layer over that at the last."""
        return self.seen.gradients / self.seen.gradients[..., -1:]

    def factors(self) -> Float[np.ndarray, "gains seeds"]:
        """What a layer multiplies it by, the geometric mean of all."""
        return self.kept()[..., 0] ** (1 / (self.seen.gradients.shape[-1] - 1))

    def foretold(self) -> Float[np.ndarray, " gains"]:
        """The same as theory has it."""
        return np.array([of.gradients[0] ** (1 / len(of.factors)) for of in self.expected])

    def products(self) -> Float[np.ndarray, "gains seeds"]:
        """The same as gain times mean squared slope, of all layers but the first."""
        slopes = np.exp(np.log(self.seen.slopes[..., 1:]).mean(axis=-1))
        return np.array(self.gains)[:, None] * slopes


def measure(
    layers: Sequence[Layer],
    depth: int,
    gains: Sequence[float],
    digits: Examples,
    keys: Key[Array, " seeds"],
) -> list[Found]:
    """A network of each kind of layer at its start, in float64 for gradients of 1e-80.

    All are one program and have the same random numbers.

    Args:
        layers: what the hidden layers of each network do.
        depth: how many there are.
        gains: of the kernels, each with all seeds.
        digits: a batch.
        keys: one for each seed.
    """
    square = float(jnp.mean(jnp.square(digits.inputs)))
    with jax.enable_x64(True):
        digits = digits._replace(inputs=digits.inputs.astype(float))
        look_at = Partial(look, Static((tuple(layers), depth)), digits)
        all_seen = sweep(look_at, keys, jnp.array(gains))
        all_expected = [
            [expected_signals(layer, [gain] * depth, square) for gain in gains] for layer in layers
        ]
    return [Found(gains, *of) for of in zip(all_seen, all_expected, strict=True)]


def look(
    plan: Static[tuple[tuple[Layer, ...], int]],
    digits: Examples,
    key: Key[Array, ""],
    gain: Float[Array, ""],
) -> list[Seen]:
    """One draw of kernels, of all networks; those without a norm leave its numbers alone."""
    layers, depth = plan.value
    drawn = network(Layer(normalization="batch"), depth, WIDTH, gain).init(key, digits.inputs)
    return [look_at(layer, drawn, digits) for layer in layers]


def look_at(layer: Layer, variables: Variables, digits: Examples) -> Seen:
    """One network."""
    loss = Partial(losses.softmax_cross_entropy, labels=digits.targets)
    seen = signals(layer, variables, digits.inputs, loss)
    ones = jnp.ones_like(seen.before)
    _, slopes = jax.jvp(find_activation(layer.activation), (seen.before,), (ones,))
    return Seen(*(jnp.mean(jnp.square(of), axis=(1, 2)) for of in (seen.gradients, slopes)))


def measure_plain(
    depths: Sequence[int], digits: Examples, keys: Key[Array, " seeds"]
) -> dict[tuple[str, int], Found]:
    """Of every activation and depth, at all `GAINS`."""
    layers = [Layer(activation) for activation in ACTIVATIONS]
    return {
        (activation, depth): found
        for depth in depths
        for activation, found in zip(
            ACTIVATIONS, measure(layers, depth, GAINS, digits, keys), strict=True
        )
    }


def measure_cured(
    depth: int, digits: Examples, keys: Key[Array, " seeds"]
) -> dict[tuple[str, str], Found]:
    """Of every activation and cure, at Xavier's gain."""
    names = list(itertools.product(ACTIVATIONS, CURES))
    layers = [CURES[cure]._replace(activation=activation) for activation, cure in names]
    return dict(zip(names, measure(layers, depth, [XAVIER], digits, keys), strict=True))


Plain = Mapping[tuple[str, int], Found]
"""By activation and depth."""
Cured = Mapping[tuple[str, str], Found]
"""By activation and cure, of the greatest depth."""


def deepest(plain: Plain) -> dict[str, Found]:
    """By activation."""
    depth = max(depth for _, depth in plain)
    return {activation: found for (activation, of), found in plain.items() if of == depth}


# --- what is claimed -----------------------------------------------------------------------------


def product_claim(plain: Plain) -> Claim:
    """The rule of a layer, with the slopes that are there and with those foretold."""
    by_product, by_theory = {}, {}
    for activation, found in deepest(plain).items():
        rows = zip(found.gains, found.factors(), found.products(), found.foretold(), strict=True)
        for gain, factors, products, foretold in rows:
            where = f"{activation} at gain {gain:g}"
            by_product[where] = off_by(factors / products)
            by_theory[where] = off_by(factors / foretold)
    (first, where_first), (second, where_second) = map(worst, (by_product, by_theory))
    return Claim(
        "going back, a layer multiplies squared gradients by n Var(w) times the mean squared slope "
        "of its activation",
        max(first, second) < TOLERANCE,
        f"off by {first:.1%} a layer at most ({where_first}) with the slopes measured, by "
        f"{second:.1%} ({where_second}) with those that theory foretells from the gain alone, "
        f"expected below {TOLERANCE:.0%}; {len(by_theory)} networks",
    )


def depth_claim(plain: Plain) -> Claim:
    """The slope of the logarithm over depths, at the gain that each activation is begun with."""
    depths = sorted({depth for _, depth in plain})
    rates, ends, misses, said = {}, {}, {}, []
    for activation in dict.fromkeys(activation for activation, _ in plain):
        of = [plain[activation, depth] for depth in depths]
        place = list(of[0].gains).index(ACTIVATIONS[activation])
        logarithms = np.stack([np.log(found.kept()[place, :, 0]) for found in of], axis=1)
        foretold = [np.log(found.expected[place].gradients[0]) for found in of]
        rate, expected = (
            np.exp(np.polyfit(depths, values, 1)[0])
            for values in (logarithms.T.mean(axis=1), foretold)
        )
        rates[activation], misses[activation] = rate, off_by(rate / expected)
        ends[activation] = np.exp(logarithms[:, -1].mean())
        said.append(
            f"{activation} {rate:.4f} (expected {expected:.4f}), at the first of {depths[-1]} "
            f"{ends[activation]:.1e}"
        )
    return Claim(
        "so the squared gradient of the first layer vanishes exponentially with depth under "
        "sigmoid, whose slope is 1/4 at most, and hardly under tanh and ReLU",
        max(misses.values()) < TOLERANCE
        and rates["sigmoid"] < STEEPEST**2
        and min(ends[name] for name in ("tanh", "relu")) > HARDLY,
        f"by each layer more: {'; '.join(said)}; expected below 1/16 a layer under sigmoid, above "
        f"{HARDLY:g} at the first layer under the others",
    )


def cures_claim(cured: Cured) -> Claim:
    """Norms and residual connections."""
    misses = {
        f"{activation}, {cure}": off_by(found.factors() / found.foretold()[:, None])
        for (activation, cure), found in cured.items()
        if (activation, cure) != HOMOGENEOUS
    }
    miss, where = worst(misses)
    of_sigmoid = {cure: found for (name, cure), found in cured.items() if name == "sigmoid"}
    factors = {cure: geometric_mean(found.factors()) for cure, found in of_sigmoid.items()}
    said = [
        f"{cure} {factors[cure]:.3f} (expected {found.foretold()[0]:.3f})"
        for cure, found in of_sigmoid.items()
    ]
    return Claim(
        "theory foretells what norms and residual connections make of it: under sigmoid batch norm "
        "cures, layer norm does not",
        miss < TOLERANCE and off_by(factors[BATCH_NORM]) < CURED and factors[LAYER_NORM] < LEFT,
        f"off by {miss:.1%} a layer at most ({where}), expected below {TOLERANCE:.0%}; a layer of "
        f"sigmoid multiplies squared gradients by: {'; '.join(said)}; with batch norm expected "
        f"within {CURED:.0%} of 1, with layer norm below {LEFT:g}",
    )


def growth_claim(cured: Cured) -> Claim:
    """What batch norm costs, and what residual connections save."""
    alone = {
        name: geometric_mean(of.factors())
        for (name, cure), of in cured.items()
        if cure == BATCH_NORM
    }
    ends = {cure: geometric_mean(cured["relu", cure].kept()[..., 0]) for cure in (BATCH_NORM, BOTH)}
    foretold = {cure: cured["relu", cure].expected[0].gradients[0] for cure in ends}
    limit = np.pi / (np.pi - 1)
    return Claim(
        "batch norm makes gradients grow exponentially with depth, under ReLU by pi / (pi - 1) a "
        "layer; residual connections make a power of depth of it",
        min(alone.values()) > 1
        and off_by(alone["relu"] / limit) < TOLERANCE
        and ends[BOTH] < ends[BATCH_NORM] ** 0.5,
        "a layer multiplies squared gradients by "
        + ", ".join(f"{factor:.3f} ({name})" for name, factor in alone.items())
        + f", expected above 1, and {limit:.3f} of ReLU; at the first layer they are those at the "
        f"last times {ends[BATCH_NORM]:.1e}, expected {foretold[BATCH_NORM]:.1e}, with residual "
        f"connections {ends[BOTH]:.0f}, expected {foretold[BOTH]:.0f}",
    )


def homogeneous_claim(cured: Cured) -> Claim:
    """Where gradients do depend on the slopes: of the first third of the layers."""
    found, third = cured[HOMOGENEOUS], cured[HOMOGENEOUS].kept().shape[-1] // 3
    kept, expected = found.kept()[0], found.expected[0]
    measured = geometric_mean(kept[:, 0] / kept[:, third]) ** (1 / third)
    outputs = (expected.outputs[third] / expected.outputs[0]) ** (1 / third)
    independent = (expected.gradients[0] / expected.gradients[third]) ** (1 / third)
    return Claim(
        "in a residual network of ReLU squared gradients grow as squared outputs do, faster than "
        "if they did not depend on the slopes",
        off_by(measured / outputs) < TOLERANCE,
        f"by {measured:.2f} a layer in the first third, expected {outputs:.2f} as the outputs, "
        f"{independent:.2f} if independent",
    )


def summarize(plain: Plain, cured: Cured) -> dict[str, Any]:
    """For ``summary.json``: factors of a layer, measured and foretold, by network and gain."""

    def of_network(found: Found) -> dict[str, Any]:
        rows = zip(found.gains, found.factors(), found.foretold(), found.kept(), strict=True)
        return {
            f"gain {gain:g}": {
                "factor": mean_and_interval(factors),
                "factor_foretold": foretold,
                "first_over_last": geometric_mean(kept[:, 0]),
            }
            for gain, factors, foretold, kept in rows
        }

    return {
        "plain": {f"{name}, {depth} layers": of_network(of) for (name, depth), of in plain.items()},
        "cured": {f"{name}, {cure}": of_network(of) for (name, cure), of in cured.items()},
    }


# --- pictures ------------------------------------------------------------------------------------


@plots.styled
def draw_depth(plain: Plain) -> Figure:
    """The gradient of the first layer against depth, at each gain."""
    depths = sorted({depth for _, depth in plain})
    figure = Figure(figsize=(13, 4), layout="constrained")
    panels = figure.subplots(1, len(ACTIVATIONS), sharey=True)
    for axes, activation in zip(panels, ACTIVATIONS, strict=True):
        of = [plain[activation, depth] for depth in depths]
        for place, (gain, colour, marker) in enumerate(
            zip(GAINS, plots.shades(len(GAINS)), "os^Dv", strict=True)
        ):
            first = np.stack([found.kept()[place, :, 0] for found in of], axis=1)
            foretold = [np.sqrt(found.expected[place].gradients[0]) for found in of]
            means = np.exp(np.log(first).mean(axis=0) / 2)
            axes.plot(depths, means, marker, color=colour, ms=6, label=f"gain {gain:g}")
            axes.plot(depths, foretold, ":", color=colour, lw=1.4)
        axes.plot([], [], ":", color="black", lw=1.4, label="foretold")
        axes.set(title=activation, xlabel="hidden layers", xticks=depths)
        axes.grid(True)
    panels[0].set_yscale("log")
    panels[0].set_ylabel("gradient norm at the first layer\n(at the last: 1)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", reverse=True)
    return figure


STYLES: dict[str, dict[str, Any]] = {
    "plain": {"color": "black", "marker": "v"},
    LAYER_NORM: {"color": plots.GREY, "marker": "D"},
    BATCH_NORM: {"color": plots.RED, "marker": "^"},
    RESIDUAL: {"color": plots.BLUE, "marker": "s"},
    BOTH: {"color": plots.GREEN, "marker": "o"},
}


@plots.styled
def draw_cures(plain: Plain, cured: Cured) -> Figure:
    """The gradient by layer, without a cure and with each."""
    figure = Figure(figsize=(13.4, 4.2), layout="constrained")
    panels = figure.subplots(1, len(ACTIVATIONS), sharey=True)
    for axes, activation in zip(panels, ACTIVATIONS, strict=True):
        draw_by_layer(axes, "plain", deepest(plain)[activation], GAINS.index(XAVIER))
        for (of, cure), found in cured.items():
            if of == activation:
                draw_by_layer(axes, cure, found, 0)
        axes.plot([], [], ":", color="black", lw=1.4, label="foretold")
        axes.set(title=activation, xlabel="layer")
        axes.grid(True)
    panels[0].set(yscale="log", ylim=(1e-12, 1e6))
    panels[0].set_ylabel("gradient norm by outputs (last layer: 1)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center")
    return figure


def draw_by_layer(axes: Axes, label: str, found: Found, gain: int) -> None:
    """At one of its gains."""
    norms = np.exp(np.log(found.kept()[gain]).mean(axis=0) / 2)
    layers = np.arange(1, len(norms) + 1)
    style = {**STYLES[label], "lw": 1.2, "markevery": max(1, len(norms) // 10)}
    axes.plot(layers, norms, label=label, **style)
    axes.plot(layers, np.sqrt(found.expected[gain].gradients), ":", color="black", lw=1.4)


@plots.styled
def draw_factors(plain: Plain, cured: Cured) -> Figure:
    """The factor of a layer, measured against foretold, of all networks of the greatest depth."""
    figure = Figure(figsize=(6.6, 5), layout="constrained")
    axes = figure.subplots()
    found = {(activation, "plain"): of for activation, of in deepest(plain).items()} | {**cured}
    for (activation, cure), of in found.items():
        colour = dict(zip(ACTIVATIONS, plots.COLOURS, strict=False))[activation]
        measured = np.exp(np.log(of.factors()).mean(axis=1))
        marker = STYLES[cure]["marker"]
        axes.plot(of.foretold(), measured, marker, color=colour, ms=6, mfc="none", mew=1.4)
    for activation, colour in zip(ACTIVATIONS, plots.COLOURS, strict=False):
        axes.plot([], [], "-", color=colour, lw=4, label=activation)
    for cure in dict.fromkeys(cure for _, cure in found):
        label = f"plain, gain {GAINS[0]:g} to {GAINS[-1]:g}" if cure == "plain" else cure
        axes.plot([], [], STYLES[cure]["marker"], color="black", mfc="none", label=label)
    ends = np.array(axes.get_xlim())
    axes.plot(ends, ends, "--", color="black", lw=0.9, zorder=0)
    plots.make_logarithmic(axes.xaxis)
    plots.make_logarithmic(axes.yaxis)
    axes.set(xlabel="foretold factor of the squared gradient, a layer", ylabel="measured factor")
    axes.grid(True)
    figure.legend(loc="outside right center")
    return figure
