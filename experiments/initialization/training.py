"""Networks trained from each start: which learn, and in which all units of a layer stay alike."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from experiments.initialization.starts import (
    ALIKE,
    CLASSES,
    RANDOM,
    STARTS,
    Start,
    begin,
    gains,
    network,
    stack,
)
from jaxdl import losses, optim, plots, train
from jaxdl.claims import Claim
from jaxdl.data import Dataset
from jaxdl.gradients import mean_gradient
from jaxdl.models.deep_mlp import DeepParams, Layer
from jaxdl.models.mean_field import expected_signals
from jaxdl.optim import OptimizerConfig
from jaxdl.statistics import lowest_mean, mean_and_interval
from jaxdl.sweep import SweepFn
from jaxdl.types import Examples, Static, Variables

WIDTH, BATCH, MOMENTUM = 64, 50, 0.9
RATES = {"sigmoid": (0.1, 0.01), "tanh": (0.01, 0.001), "relu": (0.01, 0.001)}
"""By activation; of each start the one with the lowest training loss counts."""
LEARNT = 0.3
"""Test accuracy; a guess has 0.1."""
KEPT, LOST = 4, 6
"""Powers of ten by which a squared gradient may change, and by which it may not."""
MOST_SHOWN = 20
"""Of them."""
MARKERS = "os^Dv"
"""Of depths."""


class Plan(NamedTuple):
    """What makes a compiled program of its own."""

    activation: str
    depth: int
    epochs: int


class Learned(NamedTuple):
    """Of each run.

    Attributes:
        loss: of the last epoch; NaN where the run has failed.
        accuracy: on the test set.
        difference: the largest between weights of units of a layer from the same input.
    """

    loss: Any
    accuracy: Any
    difference: Any


Case = tuple[str, int]
"""An activation and a depth."""


def measure(
    sweep_fn: SweepFn,
    activations: Sequence[str],
    depths: Sequence[int],
    dataset: Dataset,
    *,
    epochs: int,
    keys: Key[Array, " seeds"],
) -> dict[Case, Learned]:
    """Runs of every start and seed, ``(starts, rates, seeds)``; all of a case are one program.

    Args:
        sweep_fn: `jaxdl.sweep.sweep_in_run` of this run.
        activations: of the networks.
        depths: of the networks with each.
        dataset: its images are standardized.
        epochs: of each run.
        keys: one for each seed.
    """
    found = {}
    for activation, depth in itertools.product(activations, depths):
        plan = Static(Plan(activation, depth, epochs))
        starts, rates = zip(*itertools.product(STARTS.values(), RATES[activation]), strict=True)
        learned = sweep_fn(
            Partial(learn, plan, dataset.train, dataset.test),
            keys,
            (stack(list(starts)), jnp.array(rates)),
            name=f"{activation}_{depth}",
        )
        shape = (len(STARTS), -1, len(keys))
        found[activation, depth] = Learned(*(of.reshape(shape).astype(float) for of in learned))
    return found


def learn(
    plan: Static[Plan],
    examples: Examples,
    tests: Examples,
    key: Key[Array, ""],
    member: tuple[Start, Float[Array, ""]],
) -> Learned:
    """One run, by gradient descent with momentum."""
    activation, depth, epochs = plan.value
    start, rate = member
    layer, some = Layer(activation), examples.inputs[:BATCH]
    model = network(depth, WIDTH, start, layer)
    loss_fn = losses.classification_loss(model)
    optimizer = optim.make_optimizer(OptimizerConfig("sgd", rate, {"momentum": MOMENTUM}))
    update = train.make_update(mean_gradient(loss_fn), optimizer)
    state = train.init_state(key, model, optimizer, some)
    variables = begin(layer, start, Variables(state.params, state.model_state), some)
    state = state._replace(params=variables.params)
    fitted, history = train.fit(update, state, examples, epochs=epochs, batch_size=BATCH)
    params = fitted.train.params
    accuracy = train.evaluate(loss_fn, params, {}, tests)["accuracy"]
    return Learned(history.epochs["loss"][-1], accuracy, largest_difference(params))


def largest_difference(params: DeepParams) -> Float[Array, ""]:
    """Between weights that lead from one input to two units of a hidden layer."""
    kernels = (params.first.kernel, params.hidden.kernel)
    return jnp.max(jnp.stack([jnp.max(jnp.ptp(kernel, axis=-1)) for kernel in kernels]))


def best_accuracy(learned: Learned) -> Float[np.ndarray, "starts seeds"]:
    """At the rate of each start with the lowest loss, the mean of its seeds."""
    return learned.accuracy[np.arange(len(learned.loss)), lowest_mean(learned.loss)]


# --- what is claimed -----------------------------------------------------------------------------


def alike_claim(found: Mapping[Case, Learned]) -> Claim:
    """To the bit, in all runs."""

    def of(names: Sequence[str], values: str) -> Float[np.ndarray, " runs"]:
        places = [list(STARTS).index(name) for name in names]
        return np.concatenate([getattr(of, values)[places].ravel() for of in found.values()])

    alike, others = of(ALIKE, "difference"), of(RANDOM, "difference")
    return Claim(
        "units of a layer that start alike stay alike, to the bit",
        bool(alike.max() == 0 and others.min() > 0),
        f"from zeros and from one constant the largest difference between the weights of two units "
        f"of a layer is {alike.max():g} in {alike.size} runs, expected 0, and "
        f"{of(ALIKE, 'accuracy').max():.0%} is the best test accuracy; from other starts "
        f"{others.min():.2g} or more and {of(RANDOM, 'accuracy').max():.0%}",
    )


class Outcome(NamedTuple):
    """Of a random start in one case.

    Attributes:
        activation: of the network.
        depth: of it.
        start: by name.
        change: see `change_foretold`.
        accuracy: of each seed.
    """

    activation: str
    depth: int
    start: str
    change: float
    accuracy: Float[np.ndarray, " seeds"]

    @property
    def learns(self) -> bool:
        """By the mean of its seeds."""
        return bool(self.accuracy.mean() > LEARNT)


def outcomes(found: Mapping[Case, Learned], inputs: int) -> list[Outcome]:
    """All that is to be foretold, of networks with so many inputs."""
    return [
        Outcome(*case, name, change_foretold(*case, name, inputs), accuracy)
        for case, learned in found.items()
        for name, accuracy in zip(STARTS, best_accuracy(learned), strict=True)
        if name in RANDOM
    ]


def change_foretold(activation: str, depth: int, name: str, inputs: int) -> float:
    """From the last layer to the first, as the power of ten that multiplies a squared gradient."""
    fans = [inputs, *[WIDTH] * depth]
    of_layers = gains(STARTS[name], activation, fans, square=1.0)
    return float(np.log10(expected_signals(Layer(activation), of_layers).gradients[0]))


def foretold_claim(seen: Sequence[Outcome]) -> Claim:
    """Of starts that keep the gradient by theory, and of starts that do not."""
    kept = [of for of in seen if abs(of.change) < KEPT]
    lost = [of for of in seen if abs(of.change) > LOST]
    deepest = max(of.depth for of in seen)
    learnt = {
        activation: [of.start for of in seen if of.learns and of[:2] == (activation, deepest)]
        for activation in dict.fromkeys(of.activation for of in seen)
    }
    return Claim(
        "networks learn from the starts by which theory keeps the gradient, and from no other",
        bool(kept and lost) and all(of.learns for of in kept) and not any(of.learns for of in lost),
        f"where a squared gradient is to change by less than 10^{KEPT} from end to end "
        f"{write_learning(kept, min, 'least')}; where by more than 10^{LOST} "
        f"{write_learning(lost, max, 'most')}; with {deepest} layers "
        + "; ".join(f"{name} from {', '.join(of) or 'none'}" for name, of in learnt.items()),
    )


def write_learning(
    seen: Sequence[Outcome], end: Callable[[Iterable[float]], float], named: str
) -> str:
    """How many learn, and the end of their accuracies, to be read."""
    if not seen:
        return "there are none, expected some"
    accuracy = end(of.accuracy.mean() for of in seen)
    return f"{sum(of.learns for of in seen)} of {len(seen)} learn, to {accuracy:.0%} at the {named}"


def summarize(seen: Sequence[Outcome]) -> list[dict[str, Any]]:
    """For ``summary.json``."""
    return [
        {**of._asdict(), "accuracy": mean_and_interval(of.accuracy), "learns": of.learns}
        for of in seen
    ]


# --- pictures ------------------------------------------------------------------------------------


@plots.styled
def draw(found: Mapping[Case, Learned]) -> Figure:
    """Test accuracy by start, depth and activation."""
    activations = list(dict.fromkeys(activation for activation, _ in found))
    depths = list(dict.fromkeys(depth for _, depth in found))
    figure = Figure(figsize=(3.4 * len(activations) + 2.6, 5.4), layout="constrained")
    panels = figure.subplots(1, len(activations), squeeze=False, sharex=True, sharey=True)[0]
    places = np.arange(len(STARTS))
    for axes, activation in zip(panels, activations, strict=True):
        for row, (depth, colour, marker) in enumerate(
            zip(depths, itertools.cycle(plots.COLOURS), itertools.cycle(MARKERS), strict=False)
        ):
            accuracy = best_accuracy(found[activation, depth])
            means, halves = np.transpose([mean_and_interval(of) for of in accuracy])
            y = places + 0.2 * (row - (len(depths) - 1) / 2)
            label = f"{depth} hidden layers"
            axes.errorbar(
                means, y, xerr=halves, fmt=marker, color=colour, ms=5, capsize=2, label=label
            )
        axes.axvline(1 / CLASSES, color="black", ls=":", lw=1, label="a guess")
        axes.set(title=activation, xlabel="test accuracy", xlim=(0, 1))
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.grid(True, axis="x")
    panels[0].set_yticks(places, list(STARTS))
    panels[0].invert_yaxis()
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure


@plots.styled
def draw_foretold(seen: Sequence[Outcome]) -> Figure:
    """Test accuracy against what theory foretells of the gradient."""
    figure = Figure(figsize=(7.4, 4.2), layout="constrained")
    axes = figure.subplots()
    depths = sorted({of.depth for of in seen})
    for activation, colour in zip(
        dict.fromkeys(of.activation for of in seen), plots.COLOURS, strict=False
    ):
        for depth, marker in zip(depths, itertools.cycle(MARKERS), strict=False):
            points = [of for of in seen if of[:2] == (activation, depth)]
            x = [np.clip(of.change, -MOST_SHOWN, MOST_SHOWN) for of in points]
            means, halves = np.transpose([mean_and_interval(of.accuracy) for of in points])
            label = f"{activation}, {depth} layers"
            axes.errorbar(x, means, halves, fmt=marker, color=colour, ms=5, capsize=2, label=label)
    axes.axvspan(-KEPT, KEPT, color=plots.GREEN, alpha=0.12, lw=0)
    for side in (-1, 1):
        axes.axvspan(side * LOST, side * (MOST_SHOWN + 1), color=plots.GREY, alpha=0.12, lw=0)
    axes.axhline(1 / CLASSES, color="black", ls=":", lw=1, label="a guess")
    ticks = np.arange(-MOST_SHOWN, MOST_SHOWN + 1, 4)
    labels = [f"$10^{{{tick}}}$" for tick in ticks]
    labels[0], labels[-1] = f"below\n{labels[0]}", f"above\n{labels[-1]}"
    axes.set_xticks(ticks, labels)
    axes.set(xlim=(-MOST_SHOWN - 1, MOST_SHOWN + 1), ylim=(0, 1), ylabel="test accuracy")
    axes.set_xlabel("foretold: squared gradient at the first layer over that at the last")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    figure.legend(loc="outside right center", fontsize=9)
    return figure
