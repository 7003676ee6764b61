"""Why batch norm scales and shifts: without, a sigmoid is held in its linear part."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxdl import data, losses, models, nn, optim, plots, train
from jaxdl.claims import Claim
from jaxdl.gradients import mean_gradient
from jaxdl.models.deep_mlp import DeepParams, Layer
from jaxdl.models.dense_norms import Dense
from jaxdl.optim import OptimizerConfig
from jaxdl.statistics import mean_and_interval, write_interval
from jaxdl.sweep import sweep
from jaxdl.types import Batch, Examples, Keys, Model, ModelState, Number, Static

WIDTH, POINTS = 16, 120
RATE, MOMENTUM = 0.1, 0.9
PARTS = {"neither": (0, 0), "scales": (1, 0), "shifts": (0, 1), "both": (1, 1)}
"""What batch norm learns: whether scales, and whether shifts."""
UNITS = 64
"""Of the layer whose sigmoids are looked at on digits."""
NEAR = 0.01
"""How near the linear share of these is to be to that of normal inputs."""


class Part(NamedTuple):
    """A run: its problem, 0 the rings and 1 the waves, and what batch norm learns, 0 or 1."""

    problem: Number
    scales: Number
    shifts: Number


class Learned(NamedTuple):
    """At the end; in front, of many runs, problems, parts and seeds.

    Attributes:
        loss: cross-entropy.
        logits: of the points.
    """

    loss: Float[Array | np.ndarray, "*runs"]
    logits: Float[Array | np.ndarray, "*runs points"]


# --- the linear part -----------------------------------------------------------------------------


def linear_share(inputs: Float[np.ndarray, "points inputs"], outputs: np.ndarray) -> float:
    """The share of the variance of the outputs ``(points,)`` that a linear fit explains."""
    with_one = np.c_[inputs, np.ones(len(inputs))]
    fit = np.linalg.lstsq(with_one, outputs, rcond=None)[0]
    return float(1 - np.var(outputs - with_one @ fit) / np.var(outputs))


def share_of_normal(scale: float, shift: float) -> float:
    """The same of ``sigmoid(scale z + shift)`` for standard normal z, by quadrature."""
    z = np.linspace(-12, 12, 4001)  # equal steps: as exact as any rule for what ends in zeros
    density = np.exp(-np.square(z) / 2)
    density /= density.sum()
    outputs = 1 / (1 + np.exp(-(scale * z + shift)))
    centred = outputs - density @ outputs
    return float((density @ (z * outputs)) ** 2 / (density @ np.square(centred)))


def shares_of_digits(images: Float[Array, "n height width channels"], seed: int) -> np.ndarray:
    """Of each unit of a layer of random weights: its sigmoid of what batch norm makes of it."""
    pixels = np.asarray(images).reshape(len(images), -1)
    weights = np.random.default_rng(seed).normal(size=(pixels.shape[1], UNITS))
    before = np.asarray(nn.standardize(jnp.float32(pixels @ weights), axes=0), np.float64)
    after = 1 / (1 + np.exp(-before))
    return np.array([linear_share(before[:, [k]], after[:, k]) for k in range(UNITS)])


def linear_claim(shares: Float[np.ndarray, " units"]) -> Claim:
    """The number."""
    expected, mean = share_of_normal(1, 0), float(shares.mean())
    return Claim(
        "a sigmoid of standardized inputs is next to linear",
        abs(mean - expected) < NEAR,
        f"a linear fit explains {write_interval(shares, '.2%')} of the variance of {UNITS} "
        f"sigmoids over digits, expected {expected:.2%} as of normal inputs; at a scale of 4 it "
        f"would be {share_of_normal(4, 0):.0%}, and {share_of_normal(1, 2):.0%} at a shift of 2",
    )


# --- what can be learned -------------------------------------------------------------------------


def make_problems(seed: int) -> Examples:
    """Rings and waves, ``(2, points, 2)`` and labels ``(2, points, 1)``.

    Each has with a point also its opposite: of the same label in the rings, of the other one in the
    waves, whose label is the sign of ``sin(2 pi x)``. So of a function that is odd the rings can
    have nothing, and the waves all, if it is not nearly a line.
    """
    rng = np.random.default_rng(seed)
    half_rings, is_outer = data.two_rings(rng, POINTS // 2)
    places = (np.arange(POINTS // 2) + 0.5) / (POINTS // 2)
    half_waves = np.stack([places, np.zeros(POINTS // 2)], axis=1)
    signs = np.sin(2 * np.pi * half_waves[:, 0]) > 0
    inputs = [np.r_[half, -half] for half in (half_rings, half_waves)]
    labels = [np.r_[is_outer, is_outer], np.r_[signs, ~signs]]
    return Examples(jnp.float32(np.stack(inputs)), jnp.float32(np.stack(labels))[..., None])


def with_parts(model: Model, scales: Number, shifts: Number) -> Model:
    """A network with batch norm whose scales stay 1, and whose shifts 0, where they are told 0."""
    return Model(model.init, Partial(_apply_with_parts, scales, shifts, model.apply))


def _apply_with_parts(
    scales, shifts, apply, params: DeepParams, model_state: ModelState, inputs: Array, keys: Keys
) -> tuple[Array, ModelState]:
    def held(dense: Dense) -> Dense:
        scale, shift = dense.learned
        return dense._replace(learned=nn.ScaleAndShift(1 + scales * (scale - 1), shifts * shift))

    held_params = params._replace(first=held(params.first), hidden=held(params.hidden))
    return apply(held_params, model_state, inputs, keys)


def learn_one(steps: Static[int], problems: Examples, key: Key[Array, ""], part: Part) -> Learned:
    """One hidden layer of sigmoids, by gradient descent on all points."""
    network = models.deep_mlp(1, WIDTH, classes=1, layer=Layer("sigmoid", "batch"))
    model = with_parts(network, part.scales, part.shifts)
    inputs, targets = (of[part.problem] for of in problems)
    batch = Batch(inputs, targets, jnp.ones(POINTS))
    loss_fn = losses.supervised_loss(model, losses.sigmoid_binary_cross_entropy)
    optimizer = optim.make_optimizer(OptimizerConfig("sgd", RATE, {"momentum": MOMENTUM}))
    update = train.make_update(mean_gradient(loss_fn), optimizer)
    state = train.init_state(key, model, optimizer, inputs)
    state, _ = lax.scan(lambda state, _: update(state, batch), state, length=steps.value)
    keys = train.example_keys(state, POINTS)
    logits, _ = model.apply(state.params, state.model_state, inputs, keys)
    return Learned(losses.sigmoid_binary_cross_entropy(logits, targets).mean(), logits[:, 0])


def learn(problems: Examples, *, seeds: int, steps: int, seed: int) -> Learned:
    """Both problems with all parts, each from every seed."""
    members = [(p, *flags) for p in range(2) for flags in PARTS.values()]
    parts = Part(*(jnp.array(of) for of in zip(*members, strict=True)))
    keys = jax.random.split(jax.random.key(seed), seeds)
    found = sweep(Partial(learn_one, Static(steps), problems), keys, parts, in_turn=False)
    return jax.tree.map(lambda of: of.reshape(2, len(PARTS), *of.shape[1:]), found)


def shifts_claim(learned: Learned) -> Claim:
    """Without them the network is odd."""
    loss = dict(zip(PARTS, learned.loss[0], strict=True))
    least = min(float(loss[part].min()) for part in ("neither", "scales"))
    most = float(loss["both"].max())
    return Claim(
        "without shifts sigmoids behind batch norm are odd, and learn nothing of two rings",
        least > np.log(2) - 1e-3 and most < np.log(2) / 4,
        f"least loss of {len(loss['both'])} seeds {least:.4f} without shifts, expected a guess's "
        f"log 2 = {np.log(2):.4f}; with scales and shifts {most:.4f} at most, expected below a "
        "quarter of that",
    )


def scales_claim(learned: Learned, problems: Examples) -> Claim:
    """Without them the network is nearly a line."""
    inputs, labels = (np.asarray(of[1], np.float64) for of in problems)
    loss = dict(zip(PARTS, learned.loss[1], strict=True))
    shares = {
        part: np.array([linear_share(inputs[:, :1], of) for of in logits])
        for part, logits in zip(PARTS, learned.logits[1], strict=True)
    }
    line = line_loss(inputs[:, 0], labels[:, 0])
    held = [part for part in PARTS if not PARTS[part][0]]
    least_share = min(float(shares[part].min()) for part in held)
    least_loss = min(float(loss[part].min()) for part in held)
    mean, half = mean_and_interval(loss["both"])
    return Claim(
        "without scales they learn hardly more of waves than a line",
        least_share > 0.95 and least_loss > 0.9 * line and mean + half < line / 2,
        f"a linear fit explains {least_share:.1%} of the logits' variance or more without scales, "
        f"expected 95%, and {write_interval(shares['both'], '.0%')} with; least loss without "
        f"{least_loss:.3f}, expected above 90% of the best line's, {line:.3f}; with scales and "
        f"shifts {write_interval(loss['both'], '.3f')}, expected below half of that (worst seed "
        f"{loss['both'].max():.3f})",
    )


def line_loss(inputs: Float[np.ndarray, " points"], labels: Float[np.ndarray, " points"]) -> float:
    """The least cross-entropy of logits ``a x + b``."""
    from scipy.optimize import minimize  # here because it takes a quarter of a second

    signs = 2 * labels - 1
    return float(
        minimize(lambda w: np.logaddexp(0, -signs * (w[0] * inputs + w[1])).mean(), np.zeros(2)).fun
    )


# --- pictures ------------------------------------------------------------------------------------


@plots.styled
def draw(shares: Float[np.ndarray, " units"], learned: Learned, problems: Examples) -> Figure:
    """The linear share, the losses, and what becomes of waves."""
    figure = Figure(figsize=(12, 3.9), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    draw_shares(left, shares)
    draw_losses(middle, learned)
    draw_waves(right, learned, problems)
    return figure


def draw_shares(axes: Axes, shares: Float[np.ndarray, " units"]) -> None:
    """Against the scale."""
    scales = np.geomspace(0.25, 16, 60)
    for shift, colour, ls in zip((0, 2, 4), plots.COLOURS, ("-", "--", "-."), strict=False):
        curve = [share_of_normal(scale, shift) for scale in scales]
        axes.plot(scales, curve, ls, color=colour, label=f"shift {shift}, normal inputs")
    mean, half = mean_and_interval(shares)
    axes.errorbar(1, mean, half, fmt="o", color="black", label="no scale, no shift, digits")
    plots.make_logarithmic(axes.xaxis, (1,))
    axes.set(xlabel="scale", ylabel="share of a sigmoid's variance\nthat a line explains")
    axes.set_ylim(0, 1.02)
    axes.legend(loc="lower left")


def draw_losses(axes: Axes, learned: Learned) -> None:
    """Of each problem, by what is learned."""
    for loss, name, colour, marker in zip(
        learned.loss, ("rings", "waves"), (plots.BLUE, plots.RED), "os", strict=True
    ):
        places = np.arange(len(PARTS))
        plots.draw_errorbars(axes, places, loss.T, fmt=marker, color=colour, label=name, ms=6)
    axes.axhline(np.log(2), color="black", ls=":", lw=1, label="a guess")
    plots.make_logarithmic(axes.yaxis)
    axes.set(ylabel="cross-entropy in the end", xlabel="what batch norm learns")
    axes.set_xticks(range(len(PARTS)), list(PARTS))
    axes.legend(loc="lower left")


def draw_waves(axes: Axes, learned: Learned, problems: Examples) -> None:
    """What the network of the first seed makes of them."""
    inputs, labels = np.asarray(problems.inputs[1, :, 0]), np.asarray(problems.targets[1, :, 0])
    order = np.argsort(inputs)
    axes.plot(inputs[order], labels[order], ".", color=plots.GREY, ms=3, label="labels")
    for part, colour, ls in (("neither", plots.RED, "--"), ("both", plots.BLUE, "-")):
        logits = learned.logits[1, list(PARTS).index(part), 0]
        axes.plot(inputs[order], 1 / (1 + np.exp(-logits[order])), ls, color=colour, label=part)
    axes.set(xlabel="x of waves", ylabel="probability of 1", ylim=(-0.05, 1.5), yticks=[0, 0.5, 1])
    axes.legend(loc="upper center", ncols=3, title="what is learned", handlelength=1.5)
