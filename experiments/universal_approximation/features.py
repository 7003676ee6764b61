"""Hidden units drawn and left, and hidden units that learn: the error against their number."""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.universal_approximation.pieces import best_knots_error
from experiments.universal_approximation.targets import (
    EDGE,
    POINTS,
    TARGETS,
    Points,
    Target,
    Values,
    barron_bound,
    on_one_number,
    points_of,
    sine,
)
from jaxdl import losses, optim, plots, train
from jaxdl.claims import Claim
from jaxdl.gradients import mean_gradient
from jaxdl.optim import OptimizerConfig, ScheduleConfig
from jaxdl.statistics import geometric_interval, mean_and_interval
from jaxdl.sweep import sweep
from jaxdl.types import Examples, Model, Params, Static, Variables

BATCH = 256
OPTIMIZER = OptimizerConfig("adam", 0.01, schedule=ScheduleConfig("cosine"))
LEAST_UNITS, TOLERANCE = 32, 0.4
"""From which on errors are to fall as theory has it, and how far their powers may be off."""
COMPARED = 32
"""Units at which drawn ones and those that learn are compared, and shown."""

SMOOTH = [name for name, target in TARGETS.items() if np.isfinite(target.norm)]

Errors = dict[str, Float[np.ndarray, "seeds widths"]]
"""Mean squared errors of networks of the widths, by target."""


class Network(NamedTuple):
    """``c + v x + sum over units of a relu(w x + b)``; of many networks with leading axes.

    Attributes:
        directions: w, of length 1 at first ``(2, units)``.
        offsets: b ``(units,)``.
        outputs: c, both v, and all a ``(units + 3, targets)``, a column for each target.
    """

    directions: Array | np.ndarray
    offsets: Array | np.ndarray
    outputs: Array | np.ndarray


# --- networks ------------------------------------------------------------------------------------


def draw_network(key: Key[Array, ""], is_flat: Bool[Array, ""], units: int) -> Network:
    """Directions evenly from the circle, or from left and right alone; their kinks from the ball.

    The outputs are 0.
    """
    of_directions, of_offsets = jax.random.split(key)
    directions = jax.random.normal(of_directions, (2, units))
    directions = directions * jnp.stack([jnp.ones(()), jnp.where(is_flat, 0.0, 1.0)])[:, None]
    return Network(
        directions / jnp.linalg.norm(directions, axis=0, keepdims=True),
        jax.random.uniform(of_offsets, (units,), minval=-1, maxval=1),
        jnp.zeros((units + 3, 1)),
    )


def features(network: Network, points: Array) -> Float[Array, "points features"]:
    """What the outputs weigh: 1, both coordinates, and the units."""
    units = jax.nn.relu(points @ network.directions + network.offsets[None])
    return jnp.concatenate([jnp.ones_like(points[:, :1]), points, units], axis=1)


def network_model(units: int, is_flat: Bool[Array, ""]) -> Model:
    """As a model of the engine."""
    return Model(Partial(_draw, Static(units), is_flat), _apply)


def _draw(units: Static[int], is_flat, key, inputs) -> Variables:
    return Variables(draw_network(key, is_flat, units.value)._asdict(), {})


def _apply(params: Params, model_state, inputs, keys):
    network = Network(**params)
    return features(network, inputs) @ network.outputs, model_state


class Member(NamedTuple):
    """A target as a member of a sweep: its examples, and whether it is of one number."""

    examples: Examples
    is_flat: Array


def train_one(plan: Static[tuple[int, int]], key: Key[Array, ""], member: Member) -> Network:
    """The trained network; the plan is its units and the epochs."""
    units, epochs = plan.value
    model = network_model(units, member.is_flat)
    loss_fn = losses.supervised_loss(model, losses.squared_error)
    steps = epochs * train.steps_per_epoch(len(member.examples.targets), BATCH)
    optimizer = optim.make_optimizer(OPTIMIZER, total_steps=steps)
    update = train.make_update(mean_gradient(loss_fn), optimizer)
    state = train.init_state(key, model, optimizer, member.examples.inputs[:1])
    fitted, _ = train.fit(update, state, member.examples, epochs=epochs, batch_size=BATCH)
    return Network(**fitted.train.params)


def members(targets: dict[str, Target]) -> Member:
    """All targets."""
    points = [points_of(target.dimensions) for target in targets.values()]
    values = [
        target.function(of)[:, None] for target, of in zip(targets.values(), points, strict=True)
    ]
    examples = Examples(*(jnp.asarray(np.stack(of), jnp.float32) for of in (points, values)))
    return Member(examples, jnp.asarray(on_one_number(targets)))


# --- errors --------------------------------------------------------------------------------------


def measure_drawn(widths: tuple[int, ...], *, draws: int, seed: int) -> Errors:
    """Of networks whose units stay as they are drawn, the same for targets alike in dimensions."""
    keys = jax.random.split(jax.random.key(seed), draws)
    errors = {name: np.zeros((draws, len(widths))) for name in TARGETS}
    for (place, units), dimensions in itertools.product(enumerate(widths), (1, 2)):
        alike = {name: of for name, of in TARGETS.items() if of.dimensions == dimensions}
        drawn = jax.vmap(draw_network, (0, None, None))(keys, jnp.asarray(dimensions == 1), units)
        each = [errors_of(of, *alike.values()) for of in unstack(jax.tree.map(np.asarray, drawn))]
        for name, of in zip(alike, np.transpose(each), strict=True):
            errors[name][:, place] = of
    return errors


def measure_trained(
    widths: tuple[int, ...], *, seeds: int, epochs: int, seed: int
) -> tuple[Errors, dict[int, list[Network]]]:
    """Of networks that are trained; and these, by width, the first seed's of each target."""
    keys = jax.random.split(jax.random.key(seed), seeds)
    errors = {name: np.zeros((seeds, len(widths))) for name in TARGETS}
    kept = {}
    for place, units in enumerate(widths):
        run = Partial(train_one, Static((units, epochs)))
        # So small that the arithmetic of a step is not what it costs: side by side is faster.
        trained = unstack(sweep(run, keys, members(TARGETS), in_turn=False))
        for (name, target), of_target in zip(TARGETS.items(), trained, strict=True):
            errors[name][:, place] = [errors_of(of, target)[0] for of in unstack(of_target)]
        kept[units] = [unstack(of_target)[0] for of_target in trained]
    return errors, kept


def unstack(networks: Network) -> list[Network]:
    """Each of many, along their first axis."""
    return [Network(*of) for of in zip(*networks, strict=True)]


def solve(network: Network, *targets: Target) -> Network:
    """The network with the best outputs for its units: least squares, in float64.

    Args:
        network: its outputs are not looked at.
        targets: of the same dimensions.
    """
    # Imported here because it takes a quarter of a second.
    from scipy.linalg import lstsq

    points = points_of(targets[0].dimensions)
    values = np.stack([target.function(points) for target in targets], axis=1)
    columns = float64_features(network, points)
    # What is left of it by a QR decomposition is as good, and in no time solved: it is square.
    left = np.linalg.qr(np.hstack([columns, values]), mode="r")[: columns.shape[1]]
    square, sides = np.split(left, [columns.shape[1]], axis=1)
    found = lstsq(square, sides, lapack_driver="gelsy")
    return network._replace(outputs=found[0])  # pyright: ignore[reportOptionalSubscript]


def float64_features(network: Network, points: Points) -> Float[np.ndarray, "points features"]:
    """`features` by NumPy."""
    directions, offsets = (np.asarray(of, np.float64) for of in network[:2])
    units = np.maximum(points @ directions + offsets, 0)
    return np.hstack([np.ones((len(points), 1)), points, units])


def predict(network: Network, points: Points) -> Float[np.ndarray, "points targets"]:
    """What the network says of the points, in float64."""
    return float64_features(network, points) @ network.outputs


def errors_of(network: Network, *targets: Target) -> list[float]:
    """The mean squared error for each of some targets, with the best outputs, as of `solve`."""
    points = points_of(targets[0].dimensions)
    found = predict(solve(network, *targets), points)
    return [
        max(target.least, float(np.mean(np.square(of - target.function(points)))))
        for of, target in zip(found.T, targets, strict=True)
    ]


# --- what is claimed -----------------------------------------------------------------------------


class Measured(NamedTuple):
    """Errors by width.

    Attributes:
        widths: of the networks that stay as they are drawn.
        drawn: their errors.
        trained_widths: of those that are trained.
        trained: theirs.
    """

    widths: tuple[int, ...]
    drawn: Errors
    trained_widths: tuple[int, ...]
    trained: Errors


def claims(measured: Measured) -> list[Claim]:
    """How fast errors fall, and what learning gives."""
    return [slope_claim(measured), learning_claim(measured), step_claim(measured)]


def slopes(widths: tuple[int, ...], errors: Float[np.ndarray, "seeds widths"]) -> Values:
    """The powers at which the errors of each seed fall, from `LEAST_UNITS` on."""
    units = np.array(widths)
    far = units >= LEAST_UNITS
    return np.polyfit(np.log(units[far]), np.log(errors[:, far]).T, 1)[0]


def expected_slope(widths: tuple[int, ...], target: Target) -> float:
    """What theory says of them."""
    return float(slopes(widths, target.theory(np.array(widths, float))[None])[0])


def slope_claim(measured: Measured) -> Claim:
    """Those of drawn units."""
    found = {
        name: mean_and_interval(slopes(measured.widths, errors))
        for name, errors in measured.drawn.items()
    }
    expected = {name: expected_slope(measured.widths, of) for name, of in TARGETS.items()}
    return Claim(
        "with units as they are drawn the squared error falls as a power of their number",
        all(
            abs(slope - expected[name]) < TOLERANCE and half < TOLERANCE
            for name, (slope, half) in found.items()
        ),
        "; ".join(
            f"{name} {slope:.2f} ± {half:.2f}, expected {expected[name]:.2f}"
            for name, (slope, half) in found.items()
        )
        + f"; within {TOLERANCE:g}",
    )


def at(
    widths: tuple[int, ...], errors: Float[np.ndarray, "seeds widths"], units: int
) -> tuple[float, float, float]:
    """The geometric mean over seeds, and the ends of its 95% interval."""
    return geometric_interval(errors[:, widths.index(units)])


def learning_claim(measured: Measured) -> Claim:
    """Where something can be learnt by small moves."""
    texts, holds = [], []
    for name in SMOOTH:
        drawn, low, _ = at(measured.widths, measured.drawn[name], COMPARED)
        trained, _, high = at(measured.trained_widths, measured.trained[name], COMPARED)
        holds.append(high < low)
        texts.append(f"{name} {trained:.1e} against {drawn:.1e}, {drawn / trained:.1f} times less")
    return Claim(
        f"{COMPARED} units that learn come nearer to smooth functions than drawn ones",
        all(holds),
        f"{'; '.join(texts)}; expected less, with 95% intervals apart",
    )


def step_claim(measured: Measured) -> Claim:
    """Two bends at the edge are enough, and too far from where bends are drawn."""
    target, away = TARGETS["step"], 1 / POINTS
    two = Network(
        directions=jnp.array([[1.0, 1.0], [0.0, 0.0]]),
        offsets=jnp.array([away - EDGE, -away - EDGE]),
        outputs=jnp.zeros((5, 1)),
    )
    (made,) = errors_of(two, target)
    trained, low, high = at(measured.trained_widths, measured.trained["step"], COMPARED)
    return Claim(
        f"two units make the step, and training does not find them among {COMPARED}",
        bool(made < 1e-4 and low > 10 * made),
        f"{made:.1e} by two, expected below 1e-4; by training {trained:.1e}, 95% interval "
        f"{low:.1e} to {high:.1e}, expected above ten times as much",
    )


def summarize(widths: tuple[int, ...], errors: Errors) -> dict[str, dict[str, float]]:
    """Geometric means by function and width, for ``summary.json``."""
    return {
        name: {str(units): at(widths, of, units)[0] for units in widths}
        for name, of in errors.items()
    }


# --- pictures ------------------------------------------------------------------------------------


@plots.styled
def draw(measured: Measured) -> Figure:
    """Errors by units, a panel for each function."""
    figure = Figure(figsize=(11, 8), layout="constrained")
    for axes, (name, target) in zip(figure.subplots(2, 2).flat, TARGETS.items(), strict=True):
        draw_errors(axes, measured, name, target)
    named = figure.axes[0].get_legend_handles_labels()  # the first function has all lines
    figure.legend(*named, loc="outside lower center", ncols=3)
    figure.suptitle("geometric means over draws, 95% intervals")
    return figure


def draw_errors(axes: Axes, measured: Measured, name: str, target: Target) -> None:
    """Those of one function, with the powers and bounds of theory."""
    units = np.array(measured.widths)
    for widths, errors, colour, marker, label in (
        (measured.widths, measured.drawn[name], plots.ORANGE, "s", "units as drawn"),
        (measured.trained_widths, measured.trained[name], plots.BLUE, "o", "units that learn"),
    ):
        mean, low, high = np.transpose([at(widths, errors, of) for of in widths])
        axes.fill_between(widths, low, high, color=colour, alpha=0.2, lw=0)
        axes.plot(widths, mean, f"{marker}-", color=colour, label=label)
    start = at(measured.widths, measured.drawn[name], LEAST_UNITS)[0]
    far = units[units >= LEAST_UNITS].astype(float)
    theory = target.theory(far)
    theory = 4 * start * theory / theory[0]
    axes.plot(far, theory, "--", color="black", lw=1, label="theory's slope for units as drawn")
    bound = barron_bound(target.norm, units)
    axes.plot(units, bound, ":", color=plots.RED, label="Barron's bound for the best")
    best = np.full(len(far), np.nan)
    if target.function is sine:
        best = best_knots_error(np.pi**2 * sine(points_of(1)), far + 1)
    axes.plot(far, best, "-.", color=plots.GREEN, lw=1, label="the best there is")
    axes.set_xscale("log", base=2)
    axes.set_xticks(units, map(str, units))
    axes.set(yscale="log", xlabel="hidden units", ylabel="mean squared error")
    axes.set_title(f"{name}, in {('one dimension', 'two dimensions')[target.dimensions - 1]}")
    axes.grid(True)


@plots.styled
def draw_fits(trained: list[Network], seed: int) -> Figure:
    """What few units make of the functions of one number, as they are drawn and as they learn."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    flat = {name: target for name, target in TARGETS.items() if target.dimensions == 1}
    units = trained[0].offsets.shape[0]
    drawn = draw_network(jax.random.key(seed), jnp.asarray(True), units)
    for axes, (name, target), network in zip(
        figure.subplots(1, len(flat)), flat.items(), trained, strict=False
    ):
        points = points_of(1)
        axes.plot(points[:, 0], target.function(points), color=plots.GREY, lw=4, alpha=0.5)
        for of, colour, style, height in (
            (drawn, plots.ORANGE, "--", 0.02),
            (network, plots.BLUE, "-", 0.05),
        ):
            axes.plot(points[:, 0], predict(solve(of, target), points), style, color=colour, lw=1.2)
            bends = -np.asarray(of.offsets) / np.asarray(of.directions)[0]
            inside = bends[np.abs(bends) < 1]
            heights = np.full(len(inside), height)
            axes.plot(inside, heights, "|", color=colour, transform=axes.get_xaxis_transform())
        axes.set(xlabel="x", ylabel="output", title=f"{name}, {units} units", xlim=(-1, 1))
        axes.margins(y=0.15)
    for colour, style, label in (
        (plots.GREY, "-", "function"),
        (plots.ORANGE, "--", "units as drawn"),
        (plots.BLUE, "-", "units that learn"),
    ):
        figure.axes[0].plot([], [], style, color=colour, label=label)
    figure.axes[0].plot([], [], "|", color="black", label="where units bend")
    figure.axes[0].legend(loc="upper left", fontsize=8)
    return figure
