"""The output layer for numbers, for two classes and for many, and what goes wrong with others."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key, PyTree
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.activations.digits import HEADS, LINEAR, NUMBER, SIGMOIDS, SOFTMAX, Read
from jaxdl import losses, models, nn, optim, plots
from jaxdl.claims import Claim
from jaxdl.nn import ACTIVATIONS
from jaxdl.statistics import lowest_mean, write_interval
from jaxdl.sweep import sweep
from jaxdl.types import Examples, Number, Static

HIDDEN = (16,)
STEPS, RATE = 3000, 0.02
HEIGHT = 3.0
"""Of the sine that is to be learned."""
NEAR = 0.1
"""By how much a network may miss the best that its outputs can reach, in parts of that."""
FAR = 12
"""Points of the second class that are far on the right side."""


class Member(NamedTuple):
    """The problem's place among those of a program, and that of the output layer."""

    problem: Number
    output: Number


class Fitted(NamedTuple):
    """Of runs.

    Attributes:
        outputs: of the points.
        slope: the largest of the loss by a parameter, in any step.
    """

    outputs: Float[Array | np.ndarray, "*runs points"]
    slope: Float[Array | np.ndarray, "*runs"]


Column = Float[Array, "points 1"]


def _softmax(values: Column) -> Column:
    return jax.nn.softmax(values, axis=-1)


def _squares_of(function: Callable[[Array], Array]) -> Callable[[Column, Column], Array]:
    """The squared error of what a function makes of the last layer's values."""

    def loss(values: Column, targets: Column) -> Float[Array, " points"]:
        return losses.squared_error(function(values), targets)

    return loss


OF_NUMBERS = {
    name: (function, _squares_of(function))
    for name, function in {
        "linear": ACTIVATIONS["linear"],
        "sigmoid": jax.nn.sigmoid,
        "tanh": jax.nn.tanh,
        "ReLU": jax.nn.relu,
        "softmax": _softmax,
    }.items()
}
"""Output layers of one number, each with squared error: the layer, and the loss before it."""
ENDS = {"sigmoid": (0, 1), "tanh": (-1, 1), "ReLU": (0, np.inf), "softmax": (1, 1)}
"""Of what they can put out."""
OF_CLASSES = {
    "sigmoid, cross-entropy": (jax.nn.sigmoid, losses.sigmoid_binary_cross_entropy),
    "linear, squared error": OF_NUMBERS["linear"],
    "softmax of one, cross-entropy": (_softmax, losses.softmax_cross_entropy),
}
"""Of one number that tells of two classes."""


def fit_one(
    plan: Static[tuple[tuple[int, ...], tuple]],
    examples: Examples,
    key: Key[Array, ""],
    output: Number,
) -> Fitted:
    """A perceptron by Adam on all points, with one of some output layers."""
    widths, kinds = plan.value
    layer, loss = (nn.one_of(of, output) for of in zip(*kinds, strict=True))
    model = models.mlp(widths, classes=1, activation="tanh")
    start, _ = model.init(key, examples.inputs)
    optimizer = optim.make_optimizer(optim.OptimizerConfig("adam", RATE))

    def values(params) -> Column:
        return model.apply(params, {}, examples.inputs, None)[0]

    def step(state, _):
        params, moments = state
        slopes = jax.grad(lambda params: loss(values(params), examples.targets).mean())(params)
        updates, moments = optimizer.update(slopes, moments, params)
        return (jax.tree.map(jnp.add, params, updates), moments), largest(slopes)

    (end, _), slopes = lax.scan(step, (start, optimizer.init(start)), length=STEPS)
    return Fitted(layer(values(end))[:, 0], slopes.max())


def largest(tree: PyTree[Array]) -> Float[Array, ""]:
    """In size, of all numbers."""
    return jnp.max(jnp.stack([jnp.abs(leaf).max() for leaf in jax.tree.leaves(tree)]))


def fit_all(
    widths: tuple[int, ...], outputs: Mapping[str, tuple], examples: Examples, keys: Array
) -> dict[str, Fitted]:
    """Of each output layer, runs ``(seeds,)``; one program."""
    plan = Static((widths, tuple(outputs.values())))
    found = sweep(Partial(fit_one, plan, examples), keys, jnp.arange(len(outputs)), in_turn=False)
    return {name: jax.tree.map(lambda of, k=k: of[k], found) for k, name in enumerate(outputs)}


# --- numbers -------------------------------------------------------------------------------------


def make_sine() -> Examples:
    """A period, higher and lower than 1 and -1."""
    x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
    return Examples(jnp.asarray(x), jnp.asarray(HEIGHT * np.sin(np.pi * x)))


def reachable(targets: Float[np.ndarray, " points"], name: str) -> float:
    """The least mean squared error of outputs between the `ENDS` of a layer."""
    low, high = ENDS[name]
    return float(np.square(targets - np.clip(targets, low, high)).mean())


def numbers_claim(found: Mapping[str, Fitted], targets: Float[np.ndarray, " points"]) -> Claim:
    """All but the linear one miss what they cannot reach."""
    errors = {name: np.square(of.outputs - targets).mean(axis=1) for name, of in found.items()}
    least = {name: reachable(targets, name) for name in ENDS}
    square = float(np.square(targets).mean())
    reached = {name: np.min(errors[name]) for name in ENDS}
    return Claim(
        "for numbers the output layer is linear: others miss all that is beyond their range",
        bool(
            errors["linear"].max() < 0.01 * square
            and all((1 - 1e-5) * least[name] <= reached[name] for name in ENDS)
            and all(reached[name] <= (1 + NEAR) * least[name] for name in ENDS)
        ),
        f"mean squared error of a sine of height {HEIGHT:g} (mean square {square:.2f}): linear "
        f"{write_interval(errors['linear'], '.4f')}, expected below 1% of that; "
        + "; ".join(
            f"{name} {write_interval(errors[name], '.3f')}, best {reached[name]:.3f}, where the "
            f"range alone costs {least[name]:.3f}"
            for name in ENDS
        )
        + f"; expected of the best that and at most {NEAR:.0%} more",
    )


# --- two classes ---------------------------------------------------------------------------------


def make_classes() -> Examples:
    """A line with a class on each side of 0, and more of the second far from it."""
    left, right = np.linspace(-2, -0.2, 20), np.linspace(0.2, 2, 20)
    x = np.concatenate([left, right, np.linspace(10, 14, FAR)])
    labels = np.repeat([0, 1, 1], [20, 20, FAR])
    return Examples(jnp.float32(x)[:, None], jnp.float32(labels)[:, None])


def least_squares(examples: Examples) -> Float[np.ndarray, " points"]:
    """What the best line by squared error puts out, solved."""
    x, y = (np.asarray(of, np.float64)[:, 0] for of in examples)
    with_one = np.stack([x, np.ones_like(x)], axis=1)
    return with_one @ np.linalg.lstsq(with_one, y, rcond=None)[0]


def classes_claim(found: Mapping[str, Fitted], examples: Examples) -> Claim:
    """What each makes of points that lie on the right side."""
    labels, solved = np.asarray(examples.targets)[:, 0], least_squares(examples)
    _, linear, softmax = found.values()
    right = {name: ((of.outputs > 0.5) == labels).mean(axis=1) for name, of in found.items()}
    off = float(np.abs(linear.outputs - solved).max())
    by_solver = float(((solved > 0.5) == labels).mean())
    return Claim(
        "for two classes it is a sigmoid with cross-entropy: by squared error points that are far "
        "on the right side move the border, and a softmax of one output learns nothing",
        bool(
            right["sigmoid, cross-entropy"].min() == 1
            and by_solver < 0.95
            and off < 1e-3
            and linear.outputs.max() > 1.05
            and softmax.slope.max() == 0
            and (softmax.outputs == 1).all()
        ),
        f"a line and {len(labels)} points, {FAR} of them far on the right side: told right "
        + ", ".join(f"{of.min():.0%} with {name}" for name, of in right.items())
        + "; expected all, then less than 95% as by least squares solved "
        f"({by_solver:.0%}, outputs off by {off:.0e}, expected below 0.001); that "
        f"puts out up to {linear.outputs.max():.2f} for a probability, expected above 1.05; of "
        f"softmax the output is {softmax.outputs.min():g} and slopes {softmax.slope.max():g}, "
        "expected 1 and 0",
    )


# --- many classes --------------------------------------------------------------------------------


def digits_claim(found: Mapping[str, Read]) -> Claim:
    """Of `HEADS`, each at its best rate."""
    lost = found[SOFTMAX].accuracy - found[NUMBER].accuracy
    return Claim(
        "for many classes it is a softmax: ten sigmoids do not sum to 1, linear outputs are no "
        "probabilities, and a class is no number",
        bool(
            found[SOFTMAX].off.max() < 1e-5
            and found[SIGMOIDS].off.min() > 0.01
            and found[LINEAR].outside.min() > 0.1
            and lost.min() > 0.1
        ),
        "accuracy on digits "
        + ", ".join(f"{write_interval(of.accuracy, '.1%')} by {name}" for name, of in found.items())
        + f"; sums are off 1 by {found[SOFTMAX].off.max():.0e} at most of softmax, expected below "
        f"1e-05, and by {write_interval(found[SIGMOIDS].off, '.3f')} of sigmoids, expected above "
        f"0.01; {write_interval(found[LINEAR].outside, '.0%')} of the linear outputs are below 0 "
        f"or above 1, expected above 10%; the number loses {write_interval(lost, '.1%')} to "
        "softmax, expected above 10%; each from every seed",
    )


def at_best_rates(heads: Sequence[str], read: Read, count: int) -> dict[str, Read]:
    """Of runs ``(heads and rates, seeds)``, of each output layer those with the lowest loss."""
    best = lowest_mean(np.asarray(read.loss).reshape(len(heads), count, -1))
    places = best + count * np.arange(len(heads))
    return {
        head: jax.tree.map(lambda of, k=k: np.asarray(of)[k], read)
        for head, k in zip(heads, places, strict=True)
    }


# --- pictures ------------------------------------------------------------------------------------

STYLES = {
    "linear": {"color": plots.BLUE},
    "sigmoid": {"color": plots.RED, "ls": "--"},
    "tanh": {"color": plots.ORANGE, "ls": "-."},
    "ReLU": {"color": plots.GREEN, "ls": (0, (5, 1))},
    "softmax": {"color": "black", "ls": ":"},
}


@plots.styled
def draw(
    numbers: Mapping[str, Fitted],
    sine: Examples,
    classes: Mapping[str, Fitted],
    points: Examples,
    digits: Mapping[str, Read],
) -> Figure:
    """A problem in each part."""
    figure = Figure(figsize=(13, 4.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    x, y = (np.asarray(of)[:, 0] for of in sine)
    left.plot(x, y, ".", color=plots.GREY, label="to be learned")
    for name, of in numbers.items():
        best = np.square(of.outputs - y).mean(axis=1).argmin()
        left.plot(x, of.outputs[best], **STYLES[name], label=name)
    left.set(xlabel="input", ylabel="output", title="numbers: the best seed", ylim=(-3.4, 5.8))
    left.legend(loc="upper center", ncols=2)
    draw_classes(middle, classes, points)
    draw_digits(right, digits)
    return figure


def draw_classes(axes: Axes, found: Mapping[str, Fitted], points: Examples) -> None:
    """What the first seed makes of the points."""
    x, labels = (np.asarray(of)[:, 0] for of in points)
    axes.plot(x, labels, ".", color=plots.GREY, label="the class")
    for (name, of), colour, ls in zip(
        found.items(), (plots.BLUE, plots.RED, "black"), ("-", "--", ":"), strict=True
    ):
        axes.plot(x, of.outputs[0], ls, color=colour, label=name)
    axes.axhline(0.5, color="black", lw=0.6)
    axes.set(xlabel="input", ylabel="output", title="two classes: told apart at 1/2")
    axes.set_ylim(-0.1, 2.3)
    axes.legend(loc="upper left")


def draw_digits(axes: Axes, found: Mapping[str, Read]) -> None:
    """Accuracy, a row for each output layer."""
    shown = {
        SOFTMAX: "softmax,\ncross-entropy",
        SIGMOIDS: "ten sigmoids,\nbinary\ncross-entropy",
        LINEAR: "ten linear,\nsquared error",
        NUMBER: "one linear:\nthe class\nas a number",
    }
    places = np.arange(len(HEADS))
    accuracies = np.stack([found[head].accuracy for head in HEADS], axis=1)
    plots.draw_errorbars(axes, places, accuracies, fmt="o", color=plots.BLUE, ms=7)
    axes.axhline(0.1, color="black", ls=":", lw=1)
    axes.annotate("a guess", (-0.3, 0.12))
    axes.set_xticks(places, [shown[head] for head in HEADS], fontsize=8)
    axes.set(ylabel="test accuracy (mean of seeds, 95% interval)", title="many classes: digits")
    axes.set(ylim=(0, 1), xlim=(-0.5, len(HEADS) - 0.5))
