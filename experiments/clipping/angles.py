"""The angle by which clipping turns a network's gradient."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float
from matplotlib.figure import Figure

from experiments.clipping.methods import LAYER, METHODS, NORM, STYLES, VALUE
from jaxdl import data, losses, models, optim, plots, train
from jaxdl.claims import Claim
from jaxdl.gradients import mean_gradient
from jaxdl.optim import ClipConfig, OptimizerConfig, clip_gradients
from jaxdl.statistics import mean_and_interval
from jaxdl.types import Batch, Examples, LossFn, Model, Params

TIME_STYLES = (
    {"color": plots.BLUE, "marker": "o"},
    {"color": plots.GREEN, "marker": "s"},
    {"color": plots.ORANGE, "marker": "D"},
    {"color": plots.RED, "marker": "^"},
)
"""Of the times at which gradients are looked at."""

BATCH = 128
MOST_BATCHES = 31
"""Of the 4,000 training digits, none twice."""
BOUNDS = np.logspace(0, -6, 31)
"""Bounds on a gradient, in its norms: from those that clip nothing to those that clip all."""
ROUNDING = 1e-3
"""Degrees by which a direction may move in float32; some 1e-5 are seen."""


class Turn(NamedTuple):
    """What clipping did to gradients, leaves ``(times, networks, batches, bounds)``.

    Attributes:
        angle: between the gradient and the clipped one, in degrees.
        entries: the fraction of those entries that are not 0 that was clipped.
        norm: that is left, as a part of the norm that was.
    """

    angle: Array
    entries: Array
    norm: Array


def measure(*, networks: int, times: Sequence[int], batches: int, seed: int) -> dict[str, Turn]:
    """Clips the gradients of perceptrons in training, by each method at all of `BOUNDS`."""
    examples = data.load("mnist_5k").train
    model = models.mlp([128, 64], classes=10)
    loss_fn = losses.classification_loss(model)
    keys = jax.random.split(jax.random.key(seed), networks)
    params = networks_in_training(keys, times, model, loss_fn, examples)
    rows = np.random.default_rng(seed).choice(
        len(examples.targets), (batches, BATCH), replace=False
    )
    chosen = Batch(examples.inputs[rows], examples.targets[rows], jnp.ones(rows.shape))
    found = gradients(loss_fn, params, chosen)
    shape = (len(times), networks, batches, len(BOUNDS))
    return {
        name: jax.tree.map(lambda of: np.reshape(of, shape).astype(float), turns(found, clip(1.0)))
        for name, clip in METHODS.items()
    }


def networks_in_training(
    keys: Array, times: Sequence[int], model: Model, loss_fn: LossFn, examples: Examples
) -> Params:
    """The parameters of each network at each time: leaves ``(times * networks, ...)``."""
    optimizer = optim.make_optimizer(OptimizerConfig("sgd", 0.1))
    update = train.make_update(mean_gradient(loss_fn), optimizer)
    init = jax.vmap(lambda key: train.init_state(key, model, optimizer, examples.inputs[:1]))
    state = jax.jit(init)(keys)
    found = {0: state.params}
    segments = train.fit_in_segments(update, state, examples, epochs=max(times), batch_size=BATCH)
    for epoch, segment in enumerate(segments, start=1):
        if epoch in times:
            # A copy, since the next segment takes the buffers.
            found[epoch] = jax.tree.map(jnp.copy, segment.state.train.params)
    return jax.tree.map(lambda *of: jnp.concatenate(of), *(found[time] for time in times))


@jax.jit
def gradients(loss_fn: LossFn, params: Params, batches: Batch) -> Params:
    """Of each batch with each of ``(networks, ...)``: leaves ``(networks * batches, ...)``."""

    def of_network(params: Params) -> Params:
        return lax.map(lambda batch: mean_gradient(loss_fn)(params, {}, batch, None)[0], batches)

    return jax.tree.map(jnp.concatenate, lax.map(of_network, params))


@jax.jit
def turns(gradients: Params, unit: ClipConfig) -> Turn:
    """The `turn` of gradients ``(n, ...)`` at each of `BOUNDS`: leaves ``(n, bounds)``.

    Args:
        gradients: of any network.
        unit: how to clip them at a bound of 1.
    """

    def of_gradient(gradient: Params) -> Turn:
        def at(bound: Array) -> Turn:
            return turn(jax.tree.map(lambda of_unit: bound * of_unit, unit), gradient)

        bounds = optim.global_norm(gradient) * jnp.asarray(BOUNDS, jnp.float32)
        found = lax.map(at, bounds)
        return found._replace(entries=found.entries / fraction_not_0(gradient))

    return lax.map(of_gradient, gradients)


def fraction_not_0(gradient: Params) -> Float[Array, ""]:
    """Of the entries of a gradient. Those of a pixel that is black in all images are 0."""
    leaves = jax.tree.leaves(gradient)
    return jnp.sum(jnp.stack([jnp.sum(of != 0) for of in leaves])) / sum(of.size for of in leaves)


def turn(config: ClipConfig, gradient: Params) -> Turn:
    """What clipping does to one gradient."""
    clipping = clip_gradients(config)
    clipped, state = clipping.update(gradient, clipping.init(gradient))
    seen = optim.telemetry(state)
    left = seen["clipped_gradient_norm"] / seen["gradient_norm"]
    return Turn(angle_between(gradient, clipped), seen["clipped_entries"], left)


def angle_between(first: Params, second: Params) -> Float[Array, ""]:
    """In degrees; exact for small angles too, which an arc cosine would round to some 0.03.

    ``2 atan2(|u - v|, |u + v|)`` of the unit vectors (Kahan, "How Futile are Mindless Assessments
    of Roundoff in Floating-Point Computation?", 2006, section 12).
    """
    scales = [1 / optim.global_norm(of) for of in (first, second)]

    def apart(sign: int) -> Array:
        one, other = scales
        mixed = jax.tree.map(lambda u, v: one * u + sign * other * v, first, second)
        return optim.global_norm(mixed)

    return jnp.degrees(2 * jnp.arctan2(apart(-1), apart(1)))


def angle_where(found: Turn, axis: str, places: Float[np.ndarray, " places"]) -> np.ndarray:
    """The angle where ``entries`` or ``norm`` has given values ``(..., places)``, interpolated."""
    flat = [np.reshape(of, (-1, len(BOUNDS))) for of in (getattr(found, axis), found.angle)]
    # Bounds fall, so the fraction of entries grows and the norm falls.
    order = 1 if axis == "entries" else -1
    rows = [np.interp(places, x[::order], y[::order]) for x, y in zip(*flat, strict=True)]
    return np.reshape(rows, (*found.angle.shape[:-1], len(places)))


def at_half(found: Turn, axis: str) -> np.ndarray:
    """The angles where half of the entries are clipped, or half of the norm is left."""
    return angle_where(found, axis, np.array([0.5]))[..., 0]


def normal_turn(fraction: np.ndarray) -> np.ndarray:
    """The angle at which clipping that fraction of them by value turns many normal entries.

    Clipped at c, ``E[g clip(g)] = P(|g| < c)`` (Stein 1981, lemma 1), and ``E[clip(g)^2]`` is
    ``P(|g| < c) - 2 c phi(c) + c^2 P(|g| > c)``; the cosine is the former over the root of the
    latter.
    """
    from scipy.special import ndtri

    c, kept = -ndtri(fraction / 2), 1 - fraction
    density = np.exp(-(c**2) / 2) / np.sqrt(2 * np.pi)
    return np.degrees(np.arccos(kept / np.sqrt(kept - 2 * c * density + c**2 * fraction)))


def time_name(epochs: int) -> str:
    """In words."""
    return f"after {epochs} epoch{'s' * (epochs > 1)}" if epochs else "at the start"


def claims(found: dict[str, Turn], times: Sequence[int]) -> list[Claim]:
    """By norm not at all, by value much, by layer norm a little."""
    normal = float(normal_turn(np.array(0.5)))
    by_norm_at_most = found[NORM].angle.max()
    half = at_half(found[VALUE], "entries")
    by_time = ", ".join(
        f"{of.mean():.1f} {time_name(time)}" for time, of in zip(times, half, strict=True)
    )
    value, layer, norm = (at_half(of, "norm") for of in (found[VALUE], found[LAYER], found[NORM]))
    return [
        Claim(
            "clipping by norm keeps the direction of the gradient, whatever the bound",
            bool(by_norm_at_most <= ROUNDING),
            f"turned by {by_norm_at_most:.1e} degrees at most, rounding allows {ROUNDING:g}; "
            f"{found[NORM].angle.size:,} clippings",
        ),
        Claim(
            "clipping half of the entries by value turns a network's gradient by more than it "
            "turns one of normal entries",
            bool(half.min() > normal),
            f"degrees at the least {half.min():.1f}, expected above {normal:.1f}; on average "
            f"{by_time}",
        ),
        Claim(
            "where half of the norm is left, by layer norm turns the gradient less than by value",
            bool((norm < layer).all() and (layer < value).all()),
            "degrees on average, least and most: "
            + ", ".join(
                f"{name} {of.mean():.2g} ({of.min():.2g} to {of.max():.2g})"
                for name, of in ((NORM, norm), (LAYER, layer), (VALUE, value))
            ),
        ),
    ]


def summarize(found: dict[str, Turn], times: Sequence[int]) -> dict[str, Any]:
    """For ``summary.json``: degrees by method and time, means and intervals over the networks."""

    def at(of: Turn, axis: str) -> dict[str, Any]:
        rows = [mean_and_interval(row) for row in at_half(of, axis).mean(axis=-1)]
        return {str(time): row for time, row in zip(times, rows, strict=True)}

    return {
        name: {
            "most": of.angle.max(),
            "half_of_norm_left": at(of, "norm"),
            **({"half_of_entries_clipped": at(of, "entries")} if name == VALUE else {}),
        }
        for name, of in found.items()
    }


@plots.styled
def draw(found: dict[str, Turn], times: Sequence[int]) -> Figure:
    """By value against the entries clipped, at each time; all methods against the norm left."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    by_entries, by_left = figure.subplots(1, 2, sharey=True)
    entries = np.logspace(-3, -0.02, 40)
    by_time = angle_where(found[VALUE], "entries", entries).mean(axis=2)
    for time, angles, style in zip(times, by_time, TIME_STYLES, strict=False):
        label = time_name(time)
        plots.draw_band(by_entries, entries, angles, markevery=5, label=label, **style)
    by_entries.plot(entries, normal_turn(entries), "--", color="black", label="normal entries")
    by_entries.set(xscale="log", xlabel="entries clipped, of those that are not 0")
    by_entries.set(ylabel="angle (degrees)", title="by value, means of networks and batches")
    by_entries.legend()

    left = np.logspace(-2, -0.01, 40)
    for name, of in found.items():
        angles = angle_where(of, "norm", left).reshape(-1, len(left))
        by_left.plot(left, angles.mean(axis=0), markevery=5, label=name, **STYLES[name])
        colour = STYLES[name]["color"]
        by_left.fill_between(left, angles.min(axis=0), angles.max(axis=0), color=colour, alpha=0.15)
    by_left.set(xscale="log", xlim=(1.05, 0.009), xlabel="norm that is left")
    by_left.set_title("all methods: mean, least and most of all gradients")
    by_left.legend()
    for axes in (by_entries, by_left):
        axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:g}%")
        axes.grid(True)
    return figure
