"""XOR: what one layer cannot do, two layers learn, if they are not linear.

Claims:

    - A network without activations learns it at no depth, since a product of matrices is a matrix.
    - Two layers with sigmoid, tanh or ReLU learn it from some starts already with two hidden units,
      the fewest that can (Rumelhart, Hinton and Williams, "Learning Internal Representations by
      Error Propagation", 1986), and from ever more starts with more: of 100 with 2, 4 and 16 units
      sigmoid from 73, 100 and 100, tanh from 58, 100 and 100, ReLU from 17, 59 and 100.

    python -m experiments.xor            a minute
    python -m experiments.xor --quick    fewer seeds and widths

Gradient descent with momentum on the four corners, cross-entropy of one logit. A network has learnt
XOR when it gives the right side of each corner a probability above 0.9. All seeds and
activations of a network are one program. Intervals are of 95%, Clopper and Pearson's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxdl import cli, losses, models, nn, optim, plots, train
from jaxdl.claims import Claim, conclude
from jaxdl.gradients import mean_gradient
from jaxdl.models.deep_mlp import Layer
from jaxdl.optim import OptimizerConfig
from jaxdl.runs import (
    ExperimentOptions,
    check_ascending,
    check_least,
    check_no_diagnostics,
    check_seed,
    open_run,
)
from jaxdl.statistics import share_interval, write_share
from jaxdl.sweep import sweep
from jaxdl.types import Examples, Model, Number, Static


class Network(NamedTuple):
    """A perceptron with one logit.

    Attributes:
        activation: of its hidden layers, by name.
        widths: of these.
    """

    activation: str
    widths: tuple[int, ...]


CORNERS = Examples(
    jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]),
    jnp.array([[0.0], [1.0], [1.0], [0.0]]),
)
ACTIVATIONS = ("sigmoid", "tanh", "relu")
LINEAR = [Network("linear", widths) for widths in ((), (4,), (4, 4, 4))]
LEARNT = 0.9
"""The probability that each corner's side must have."""
RATE, MOMENTUM = 0.3, 0.9
SIDE = 101
"""Points along each axis of a picture."""


def linear(widths: tuple[int, ...], activation: Number) -> Model:
    """Without activations."""
    return models.mlp(widths, classes=1, activation="linear")


def two_layers(widths: tuple[int, ...], activation: Number) -> Model:
    """With the activation of this number, of `ACTIVATIONS`: one program for all."""
    (width,) = widths
    layer = Layer(nn.one_of([nn.activation(name) for name in ACTIVATIONS], activation))
    return models.deep_mlp(1, width, classes=1, layer=layer, kernel_initializer="glorot_uniform")


@dataclass(frozen=True)
class Config(ExperimentOptions):
    """How much to do."""

    seeds: int = 100
    """Starts of each network."""
    widths: tuple[int, ...] = (2, 3, 4, 8, 16)
    """Hidden units of the networks, ascending."""
    steps: int = 2000
    """Of gradient descent."""
    seed: int = 0
    """Of all starts."""


QUICK = Config(quick=True, seeds=30, widths=(2, 16))


class Learned(NamedTuple):
    """Of each seed.

    Attributes:
        is_learnt: whether each corner has more than `LEARNT` on its side in the end.
        loss: at each step.
        logits: on a grid about the corners, ``(SIDE, SIDE)``, rows from below.
    """

    is_learnt: Any
    loss: Any
    logits: Any


Found = dict[Network, Learned]


def run(config: Config) -> None:
    """Trains, draws, and checks each claim."""
    check(config)
    with open_run("xor", config) as directory:
        found = measure(config)
        drawn = {
            "shares": draw_shares(found, config.widths),
            "regions": draw_regions(found, config.widths[-1]),
        }
        plots.save_all(drawn, directory.figures)
        results = {"learned": {name_of(of): summarize(seen) for of, seen in found.items()}}
        conclude(directory, results, [linear_claim(found), layers_claim(found, config.widths)])


def check(config: Config) -> None:
    """Checks what a user gave, before anything compiles."""
    check_no_diagnostics(config)
    check_least(config, {"seeds": 1, "steps": 1, "widths": 1})
    check_seed(config.seed)
    check_ascending(config, {"widths": 2})


def name_of(network: Network) -> str:
    """For ``summary.json``.

    >>> name_of(Network("relu", (4, 2)))
    'relu_4_2'
    """
    return "_".join([network.activation, *map(str, network.widths)])


def summarize(seen: Learned) -> dict[str, Any]:
    """For ``summary.json``: of one network."""
    return {"share": seen.is_learnt.mean(), "interval": share_interval(seen.is_learnt)}


def measure(config: Config) -> Found:
    """All networks, each from every seed."""
    keys = jax.random.split(jax.random.key(config.seed), config.seeds)
    kinds = [(linear, of.widths, (of.activation,)) for of in LINEAR]
    kinds += [(two_layers, (width,), ACTIVATIONS) for width in config.widths]
    found = {}
    for make, widths, activations in kinds:
        learn = Partial(learn_one, Static((partial(make, widths), config.steps)))
        # So small that the arithmetic of a step is not what it costs: side by side is faster.
        seen = sweep(learn, keys, jnp.arange(len(activations)), in_turn=False)
        for place, activation in enumerate(activations):
            found[Network(activation, widths)] = Learned(*(of[place] for of in seen))
    return found


def learn_one(
    plan: Static[tuple[Callable[[Number], Model], int]], key: Key[Array, ""], activation: Number
) -> Learned:
    """One network from one start."""
    make, steps = plan.value
    model = make(activation)
    loss_fn = losses.supervised_loss(model, losses.sigmoid_binary_cross_entropy)
    optimizer = optim.make_optimizer(OptimizerConfig("sgd", RATE, {"momentum": MOMENTUM}))
    update = train.make_update(mean_gradient(loss_fn), optimizer)
    state = train.init_state(key, model, optimizer, CORNERS.inputs)
    fitted, history = train.fit(update, state, CORNERS, epochs=steps, batch_size=4, in_order=True)
    params = fitted.train.params
    logits, _ = model.apply(params, {}, CORNERS.inputs, None)
    around, _ = model.apply(params, {}, grid().reshape(-1, 2), None)
    is_learnt = jnp.all(jnp.abs(jax.nn.sigmoid(logits) - CORNERS.targets) < 1 - LEARNT)
    return Learned(is_learnt, history.epochs["loss"], around.reshape(SIDE, SIDE))


def grid() -> Float[Array, "side side 2"]:
    """Points about the corners."""
    axis = jnp.linspace(-0.5, 1.5, SIDE)
    return jnp.stack(jnp.meshgrid(axis, axis), axis=-1)


# --- what is claimed -----------------------------------------------------------------------------


def linear_claim(found: Found) -> Claim:
    """Never."""
    learnt = {len(of.widths): found[of].is_learnt for of in LINEAR}
    least = min(float(found[of].loss[:, -1].min()) for of in LINEAR)
    return Claim(
        "without activations XOR is learnt at no depth",
        not np.any(list(learnt.values())) and abs(least - np.log(2)) < 1e-3,
        f"with {', '.join(map(str, learnt))} hidden layers from "
        f"{', '.join(map(write_share, learnt.values()))} of {len(found[LINEAR[0]].is_learnt)} "
        f"seeds; the least loss is {least:.4f}, a guess's log 2 = {np.log(2):.4f}",
    )


def layers_claim(found: Found, widths: Sequence[int]) -> Claim:
    """From some starts, and from more with more units."""
    learnt = {
        activation: [found[Network(activation, (width,))].is_learnt for width in widths]
        for activation in ACTIVATIONS
    }
    shares = np.array([[of.mean() for of in by_width] for by_width in learnt.values()])
    few, many = shares[:, 0], shares[:, -1]
    return Claim(
        f"two layers learn it from some starts with {widths[0]} hidden units, from more with more",
        bool((few > 0).all() and (few < many).all() and (many >= 0.95).all())
        and bool((np.diff(shares, axis=1) >= 0).all()),
        "; ".join(
            f"{activation} {', '.join(map(write_share, by_width))}"
            for activation, by_width in learnt.items()
        )
        + f" of seeds with {', '.join(map(str, widths))} units, expected 95% with the last",
    )


# --- pictures ------------------------------------------------------------------------------------


@plots.styled
def draw_shares(found: Found, widths: Sequence[int]) -> Figure:
    """From how many starts each network learns it."""
    figure = Figure(figsize=(5.6, 3.8), layout="constrained")
    axes = figure.subplots()
    for place, (activation, colour, marker) in enumerate(
        zip(ACTIVATIONS, plots.COLOURS, "os^", strict=False)
    ):
        places = np.array(widths) + 0.12 * (place - 1)
        happened = [found[Network(activation, (width,))].is_learnt for width in widths]
        plots.draw_shares(axes, places, happened, fmt=f"{marker}-", color=colour, label=activation)
    most = max(float(found[network].is_learnt.mean()) for network in LINEAR)
    label = f"no activation, {len(LINEAR[0].widths)} to {len(LINEAR[-1].widths)} hidden layers"
    axes.axhline(most, ls="--", color="black", label=label)
    axes.set(xlabel="hidden units", ylabel="share of starts that learn XOR", xticks=widths)
    axes.set_title("95% intervals")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 0.06))
    return figure


@plots.styled
def draw_regions(found: Found, width: int) -> Figure:
    """What networks of so many hidden units make of the plane, and one without activations."""
    shown = [LINEAR[1], *(Network(activation, (width,)) for activation in ACTIVATIONS)]
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    all_axes = figure.subplots(1, len(shown))
    for axes, network in zip(all_axes, shown, strict=True):
        place = int(np.argmax(found[network].is_learnt))  # the first that has, or the first of all
        draw_region(axes, np.asarray(found[network].logits)[place])
        verdict = "" if found[network].is_learnt[place] else ", not learnt"
        axes.set_title(f"{network.activation}{verdict}")
    figure.colorbar(all_axes[-1].images[0], ax=all_axes, label="probability of 1")
    return figure


def draw_region(axes: Axes, logits: Float[np.ndarray, "side side"]) -> None:
    """The probability of 1, and the corners, filled where it should be."""
    axes.imshow(
        1 / (1 + np.exp(-logits)),
        origin="lower",
        extent=(-0.5, 1.5, -0.5, 1.5),
        cmap="RdBu",
        vmin=0,
        vmax=1,
    )
    for point, target in zip(CORNERS.inputs, CORNERS.targets[:, 0], strict=True):
        axes.plot(*point, "o", ms=9, mfc="black" if target else "white", mec="black")
    axes.set(xticks=[0, 1], yticks=[0, 1], xlabel="A", ylabel="B")


if __name__ == "__main__":
    cli.main(run, Config, quick=QUICK)
