"""A network by full-batch gradient descent: the rate decides how sharply the loss may curve."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxdl import losses, models, plots
from jaxdl.claims import Claim
from jaxdl.statistics import mean_and_interval, write_interval
from jaxdl.sweep import sweep
from jaxdl.types import Examples, Model, Number, Static

WIDTHS = (20, 20, 20)
IMAGES = 200
WARM_UP = 50
"""Power iterations before the first step; each step is one more."""
RATES = (0.02, 0.1, 0.14, 0.2)
"""The first is too small for so few steps to get to the edge."""
WITHIN = 0.05


class Runs(NamedTuple):
    """Descents of a network on all examples at once, with leading axes of rates and seeds.

    Attributes:
        loss: before each step.
        sharpness: the largest curvature there: the eigenvalue of the Hessian with the largest
            magnitude.
    """

    loss: Float[Array, "*runs steps"]
    sharpness: Float[Array, "*runs steps"]


def measure(images: Examples, *, steps: int, seeds: int, seed: int, mesh: Mesh) -> Runs:
    """Descends with each of `RATES` from every seed, on the first `IMAGES` of some images."""
    network = models.mlp(WIDTHS, classes=10, activation="tanh", kernel_initializer="lecun_normal")
    keys = jax.random.split(jax.random.key(seed), seeds)
    run = Partial(descend, Static(steps), network, centred(images))
    return jax.tree.map(np.asarray, sweep(run, keys, jnp.array(RATES), mesh=mesh))


def centred(images: Examples) -> Examples:
    """The first `IMAGES`, less their mean; classes as one-hot vectors."""
    pixels = images.inputs[:IMAGES]
    classes = jax.nn.one_hot(images.targets[:IMAGES], 10)
    return Examples(pixels - pixels.mean(axis=0, keepdims=True), classes)


def descend(
    steps: Static[int], model: Model, examples: Examples, key: Key[Array, ""], rate: Number
) -> Runs:
    """One descent by the mean squared error, watched by power iteration.

    Parameters move little in a step, so that one product with the Hessian at each of them keeps up
    with its leading eigenvector, once the first `WARM_UP` at the start have found it.
    """
    of_params, of_direction = jax.random.split(key)
    start, unravel = ravel_pytree(model.init(of_params, examples.inputs[:1]).params)

    def loss(params: Float[Array, " params"]) -> Float[Array, ""]:
        outputs, _ = model.apply(unravel(params), {}, examples.inputs, None)
        return losses.squared_error(outputs, examples.targets).mean()

    def step(carry, rate):
        params, direction = carry
        there, along = jax.jvp(jax.value_and_grad(loss), (params,), (direction,))
        (value, gradient), (_, turned) = there, along
        seen = Runs(value, direction @ turned)
        return (params - rate * gradient, turned / jnp.linalg.norm(turned)), seen

    direction = jax.random.normal(of_direction, start.shape)
    rates = jnp.concatenate([jnp.zeros(WARM_UP), jnp.full(steps.value, rate)])
    _, seen = lax.scan(step, (start, direction / jnp.linalg.norm(direction)), rates)
    return jax.tree.map(lambda of: of[WARM_UP:], seen)


# --- what is claimed -----------------------------------------------------------------------------


def products(runs: Runs, part: slice) -> Float[np.ndarray, "rates seeds"]:
    """Sharpness times half the rate, 1 at the edge: the mean over a part of the steps."""
    halves = np.array(RATES)[:, None] / 2
    return np.asarray(runs.sharpness)[:, :, part].mean(axis=2) * halves


def claim(runs: Runs) -> Claim:
    """From below and from above to 2/rate."""
    steps = runs.loss.shape[-1]
    at_first, at_last = products(runs, slice(1)), products(runs, slice(steps - steps // 4, steps))
    lasts = [mean_and_interval(of) for of in at_last[1:]]
    ends = np.asarray(runs.loss)[1:, :, -1]
    is_there = all(abs(mean - 1) + half <= WITHIN for mean, half in lasts)
    has_learnt = bool((ends < np.asarray(runs.loss)[1:, :, 0] / 2).all())
    return Claim(
        "the curvature of a network's loss comes to 2/rate, from below and from above, and stays",
        is_there and has_learnt and at_first[1:].min() < 0.9 and at_first.max() > 1.1,
        f"rate x largest curvature / 2 is {at_first[1:].min():.2f} to {at_first.max():.2f} at the "
        f"start, in the last quarter of {steps} steps "
        + ", ".join(
            f"{write_interval(of, '.3f')} at {rate:g}"
            for of, rate in zip(at_last[1:], RATES[1:], strict=True)
        )
        + f", expected 1 within {WITHIN:g}; at {RATES[0]:g}, too slow to get there, "
        f"{write_interval(at_last[0], '.2f')}",
    )


def summarize(runs: Runs) -> dict[str, Any]:
    """For ``summary.json``."""
    steps = runs.loss.shape[-1]
    return {
        "rates": RATES,
        "start": products(runs, slice(1)),
        "last_quarter": products(runs, slice(steps - steps // 4, steps)),
        "loss": np.asarray(runs.loss)[:, :, -1],
    }


# --- the picture ---------------------------------------------------------------------------------


@plots.styled
def draw(runs: Runs) -> Figure:
    """The loss and its largest curvature by step, of one seed, with 2/rate."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    loss, sharpness = figure.subplots(1, 2)
    steps = 1 + np.arange(runs.loss.shape[-1])
    for place, (rate, colour) in enumerate(zip(RATES, plots.COLOURS, strict=False)):
        loss.plot(steps, runs.loss[place, 0], color=colour, lw=1)
        sharpness.plot(steps, runs.sharpness[place, 0], color=colour, lw=1)
        name_line(loss, f"rate {rate:g}", float(runs.loss[place, 0, -1]), colour)
        if place == 0:
            name_line(sharpness, f"rate {rate:g}", float(runs.sharpness[place, 0, -1]), colour)
        else:
            sharpness.axhline(2 / rate, color=colour, ls="--", lw=1)
            name_line(sharpness, f"2/{rate:g}", 2 / rate, colour)
    loss.set(yscale="log", xlabel="step", ylabel="mean squared error")
    loss.set_title(f"a tanh network on {IMAGES} digits, full-batch descent")
    sharpness.set(xlabel="step", ylabel="largest curvature of the loss", ylim=(0, None))
    sharpness.set_title("dashed: 2/rate, above which a quadratic diverges")
    return figure


def name_line(axes: Axes, name: str, height: float, colour: str) -> None:
    """Writes a line's name to the right of the axes."""
    where: Any = ("axes fraction", "data")
    shift: Any = {"xytext": (3, 0), "textcoords": "offset points"}
    axes.annotate(name, (1, height), xycoords=where, va="center", color=colour, **shift)
