"""Width against depth: a sawtooth that a deep network makes with few units, and training misses.

The tent ``2 relu(x) - 4 relu(x - 1/2)`` goes from 0 up to 1 and back to 0 over the unit interval.
Put into itself k times it has ``2^k`` linear pieces.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.universal_approximation.pieces import (
    Grid,
    best_errors,
    count_pieces,
    layers_of,
    sums_of,
)
from jaxdl import losses, models, optim, plots, train
from jaxdl.claims import Claim
from jaxdl.gradients import mean_gradient
from jaxdl.optim import OptimizerConfig, ScheduleConfig
from jaxdl.statistics import share_interval
from jaxdl.sweep import sweep
from jaxdl.types import Examples, Model, Params, Static, Variables

MOST_DOUBLINGS = 10
"""Of the construction."""
GRID = (np.arange(256) + 0.5) / 256
"""The points on which networks are trained."""
HARDEST = 5
"""Doublings of the last sawtooth that they are trained on: 8 of these points to a piece."""
OPTIMIZER = OptimizerConfig("adam", 0.01, schedule=ScheduleConfig("cosine"))
LEARNT = 1e-3
"""The mean squared error from which on a network has learnt a sawtooth, whose variance is 1/12."""
DEEP, SHALLOW = (8,) * 5, (104,)
"""Hidden layers of the networks that are trained: 313 parameters each."""


def sawtooth(points: Grid, doublings: int) -> Grid:
    """The tent put into itself: ``2^doublings`` pieces between 0 and 1."""
    values = points
    for _ in range(doublings):
        values = np.minimum(2 * values, 2 - 2 * values)
    return values


def construct(doublings: int) -> Params:
    """The sawtooth as a network of ``doublings`` layers of two units (Telgarsky 2016).

    For ``jaxdl.models.mlp((2,) * doublings, classes=1)``. All its numbers are short binary
    fractions, and so is all that it makes of such: it is exact.
    """
    bias = jnp.array([0.0, -0.5])
    outputs = jnp.array([[2.0], [-4.0]])
    first = {"kernel": jnp.ones((1, 2)), "bias": bias}
    later = {"kernel": outputs @ jnp.ones((1, 2)), "bias": bias}
    last = {"kernel": outputs, "bias": jnp.zeros(1)}
    layers = [first, *[later] * (doublings - 1), last]
    return {f"Dense_{place}": layer for place, layer in enumerate(layers)}


def sawtooth_model(widths: tuple[int, ...]) -> Model:
    """A ReLU perceptron of one input, the bends of its first layer drawn evenly from 0 to 1.

    With biases of 0 all of these would lie at 0, the edge of what it is to learn.
    """
    model = models.mlp(widths, classes=1, kernel_initializer="he_normal")
    return model._replace(init=Partial(_spread_bends, model.init))


def _spread_bends(init, key, inputs) -> Variables:
    of_rest, of_bends = jax.random.split(key)
    variables = init(of_rest, inputs)
    first = variables.params["Dense_0"]
    bends = jax.random.uniform(of_bends, first["bias"].shape)
    first = {**first, "bias": -first["kernel"][0] * bends}
    return variables._replace(params={**variables.params, "Dense_0": first})


class Trained(NamedTuple):
    """Networks of the same widths, trained on sawtooths from many starts.

    Attributes:
        errors: mean squared ones ``(sawtooths, seeds)``.
        pieces: linear ones between 0 and 1.
    """

    errors: Float[np.ndarray, "sawtooths seeds"]
    pieces: Int[np.ndarray, "sawtooths seeds"]


def examples_of(doublings: int) -> Examples:
    """A sawtooth."""
    values = sawtooth(GRID, doublings)
    return Examples(*(jnp.asarray(of[:, None], jnp.float32) for of in (GRID, values)))


def train_all(
    widths: tuple[int, ...], doublings: tuple[int, ...], *, seeds: int, steps: int, seed: int
) -> Trained:
    """On each sawtooth, from every start."""
    keys = jax.random.split(jax.random.key(seed), seeds)
    members = jax.tree.map(lambda *of: jnp.stack(of), *map(examples_of, doublings))
    # So small that the arithmetic of a step is not what it costs: side by side is faster.
    params = sweep(Partial(train_one, Static((widths, steps))), keys, members, in_turn=False)
    each = [
        [jax.tree.map(lambda leaf, p=place, s=start: leaf[p, s], params) for start in range(seeds)]
        for place in range(len(doublings))
    ]
    errors = [
        [mean_squared_error(of, k) for of in row] for row, k in zip(each, doublings, strict=True)
    ]
    return Trained(np.array(errors), np.array([[count_pieces(of) for of in row] for row in each]))


def mean_squared_error(params: Params, doublings: int) -> float:
    """On the points, in float64."""
    outputs = sums_of(layers_of(params), GRID)[:, 0]
    return float(np.mean(np.square(outputs - sawtooth(GRID, doublings))))


def train_one(
    plan: Static[tuple[tuple[int, ...], int]], key: Key[Array, ""], examples: Examples
) -> Params:
    """The parameters in the end; the plan is widths and steps."""
    widths, steps = plan.value
    model = sawtooth_model(widths)
    loss_fn = losses.supervised_loss(model, losses.squared_error)
    optimizer = optim.make_optimizer(OPTIMIZER, total_steps=steps)
    update = train.make_update(mean_gradient(loss_fn), optimizer)
    state = train.init_state(key, model, optimizer, examples.inputs[:1])
    fitted, _ = train.fit(
        update, state, examples, epochs=steps, batch_size=len(GRID), in_order=True
    )
    return fitted.train.params


# --- what is claimed -----------------------------------------------------------------------------


class Found(NamedTuple):
    """What networks are to sawtooths.

    Attributes:
        exact: whether the construction is right at each point, by its doublings from 1 on.
        made: its linear pieces.
        doublings: of the sawtooths that networks are trained on.
        floor: the least error that one layer can have on the last of these, by its units from 0 on.
        deep: trained networks of `DEEP`.
        shallow: the same of `SHALLOW`.
    """

    exact: list[bool]
    made: list[int]
    doublings: tuple[int, ...]
    floor: Float[np.ndarray, " units"]
    deep: Trained
    shallow: Trained


def measure(doublings: tuple[int, ...], *, seeds: int, steps: int, seed: int) -> Found:
    """All of it."""
    last = doublings[-1]
    how = {"seeds": seeds, "steps": steps, "seed": seed}
    return Found(
        exact=[is_exact(k) for k in range(1, MOST_DOUBLINGS + 1)],
        made=[count_pieces(construct(k)) for k in range(1, MOST_DOUBLINGS + 1)],
        doublings=doublings,
        floor=best_errors(GRID, sawtooth(GRID, last), 2**last + 1),
        deep=train_all(DEEP, doublings, **how),
        shallow=train_all(SHALLOW, doublings, **how),
    )


def is_exact(doublings: int) -> bool:
    """Whether in float32 the construction is the sawtooth, to the bit, at multiples of 2^-13."""
    points = np.arange(2**13 + 1) / 2**13
    model = models.mlp((2,) * doublings, classes=1)
    inputs = jnp.asarray(points[:, None], jnp.float32)
    outputs, _ = model.apply(construct(doublings), {}, inputs, None)
    return bool((np.asarray(outputs)[:, 0] == sawtooth(points, doublings)).all())


def claims(found: Found) -> list[Claim]:
    """What depth makes, what width cannot, what training does not find."""
    return [construction_claim(found), floor_claim(found), training_claim(found)]


def construction_claim(found: Found) -> Claim:
    """Two units a layer."""
    expected = [2**k for k in range(1, MOST_DOUBLINGS + 1)]
    return Claim(
        "k layers of two units make a sawtooth of 2^k linear pieces",
        all(found.exact) and found.made == expected,
        f"for k = 1 to {MOST_DOUBLINGS} right to the bit at {sum(found.exact)} of "
        f"{len(found.exact)}; pieces {', '.join(map(str, found.made))}, expected 2^k",
    )


def floor_claim(found: Found) -> Claim:
    """One layer of as many units, and as many units as it takes."""
    last = found.doublings[-1]
    left, enough = found.floor / found.floor[0], 2**last - 1
    return Claim(
        "one layer makes a linear piece more with each unit: of fewer than it takes none will do",
        bool(left[2 * last] > 0.5 and left[enough - 1] > 1e-3 and left[enough] < 1e-12),
        f"on {2**last} pieces it leaves, however trained, of a constant's error "
        f"{left[2 * last]:.0%} with the {2 * last} units that are enough in {last} layers, "
        f"expected above half, {left[enough - 1]:.1%} with {enough - 1}, expected above 0.1%, none "
        f"with {enough}",
    )


def training_claim(found: Found) -> Claim:
    """Not from where it starts."""
    both = {"deep": found.deep, "shallow": found.shallow}
    ends = [
        [share_interval(trained.errors[place] < LEARNT) for place in (0, -1)]
        for trained in both.values()
    ]
    shares = [
        f"{name} {', '.join(f'{of:.0%}' for of in (trained.errors < LEARNT).mean(axis=1))}"
        for name, trained in both.items()
    ]
    pieces = ", ".join(str(2**k) for k in found.doublings)
    return Claim(
        "training finds few pieces from most starts and many from none, deep or shallow",
        all(first[0] > 0.5 and last[1] < 0.2 for first, last in ends),
        f"{pieces} pieces are learnt from, of {found.deep.errors.shape[1]} starts, "
        f"{'; '.join(shares)}; expected above 50% at first, below 20% in the end, by 95% "
        f"intervals; instead of the last it makes {found.deep.pieces[-1].mean():.0f} pieces with "
        f"{sum(DEEP)} units in {len(DEEP)} layers, {found.shallow.pieces[-1].mean():.0f} with "
        f"{sum(SHALLOW)} in one",
    )


# --- pictures ------------------------------------------------------------------------------------


@plots.styled
def draw(found: Found) -> Figure:
    """The construction, what one layer leaves, and what training finds."""
    figure = Figure(figsize=(13, 4), layout="constrained")
    made, left, learnt = figure.subplots(1, 3)
    draw_construction(made)
    draw_floor(left, found)
    draw_learnt(learnt, found)
    return figure


def draw_construction(axes: Axes) -> None:
    """The first three."""
    points = np.linspace(0, 1, 257)
    for doublings, colour, style in zip((1, 2, 3), plots.COLOURS, ("--", "-.", "-"), strict=False):
        label = f"{doublings} × 2 units: {2**doublings} pieces"
        outputs = sums_of(layers_of(construct(doublings)), points)[:, 0]
        axes.plot(points, outputs, style, color=colour, label=label)
    axes.set(xlabel="x", ylabel="output of the network", ylim=(-0.02, 1.42), yticks=[0, 0.5, 1])
    axes.set_title("layers of two units, each as the one before")
    axes.legend(loc="upper center")


def draw_floor(axes: Axes, found: Found) -> None:
    """What is left of the error of a constant, by units."""
    last, variance = found.doublings[-1], found.floor[0]
    units = np.append(np.arange(len(found.floor)), sum(SHALLOW))  # and none is left with more
    left = np.append(found.floor, 0.0) / variance
    axes.plot(units, left, color="black", label="one layer, the best there is")
    axes.plot(2 * last, 0, "*", color=plots.GREEN, ms=13, label=f"{last} layers, constructed")
    for trained, widths, colour, marker, name in networks(found):
        errors = trained.errors[-1] / variance
        label = f"{name}, trained, {len(errors)} starts"
        axes.plot(np.full(len(errors), sum(widths)), errors, marker, color=colour, label=label)
    axes.set(xlabel="hidden units", ylabel="squared error, over that of a constant")
    axes.set(xlim=(0, 1.08 * sum(SHALLOW)), ylim=(-0.03, 1.6), yticks=np.linspace(0, 1, 6))
    axes.set_title(f"sawtooth of {2**last} pieces")
    axes.legend(loc="upper right")


def draw_learnt(axes: Axes, found: Found) -> None:
    """From how many starts."""
    pieces = 2.0 ** np.array(found.doublings)
    for trained, widths, colour, marker, name in networks(found):
        places = pieces * (1.03 if name == "one layer" else 0.97)
        label = f"{name}, {sum(widths)} units"
        is_learnt = list(trained.errors < LEARNT)
        plots.draw_shares(axes, places, is_learnt, fmt=f"{marker}-", color=colour, label=label)
    axes.set_xscale("log", base=2)
    axes.set_xticks(pieces, [f"{of:g}" for of in pieces])
    axes.set(xlabel="linear pieces of the sawtooth", ylim=(-0.05, 1.05))
    axes.set(ylabel=f"share of starts with an error below {LEARNT:g}")
    axes.set_title("trained, 313 parameters each, 95% intervals")
    axes.legend(loc="lower left")


def networks(found: Found) -> list[tuple[Trained, tuple[int, ...], str, str, str]]:
    """Both kinds with their widths, colours, markers and names."""
    return [
        (found.deep, DEEP, plots.BLUE, "o", f"{len(DEEP)} layers"),
        (found.shallow, SHALLOW, plots.RED, "^", "one layer"),
    ]
