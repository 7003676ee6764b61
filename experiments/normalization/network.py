"""Deep networks that differ in numbers, that of their norm among them: one program trains all."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int, Key

from experiments.normalization.watch import Seen, Watched, add_noise, first_layers_moved, watch
from jaxdl import losses, models
from jaxdl.gradients import mean_gradient
from jaxdl.models.deep_mlp import DeepParams, Layer, hidden_outputs
from jaxdl.models.dense_norms import NORMS, Dense, Norm, one_norm_of
from jaxdl.nn import Moments
from jaxdl.types import (
    Batch,
    Examples,
    Keys,
    Metrics,
    Model,
    ModelState,
    Number,
    Static,
    Variables,
)

DEPTH, WIDTH, CLASSES = 8, 32, 10
MIDDLE = DEPTH // 2
"""The layer that is watched, counted from 0."""
BATCH = 256
"""Examples of a step, whatever the groups that batch norm has its statistics of."""
COMPARED = 1024
"""Training examples by which training and evaluation are compared at the end."""
STRIDE = 10
"""Steps from one look at a run to the next."""
DRAW = 1
"""Folded into a run's key, lest its draws be those of its start."""


class Kind(NamedTuple):
    """What normalizes a network.

    Attributes:
        norm: by name (`jaxdl.models.dense_norms.NORMS`).
        size: of what batch norm and batch renorm have their statistics of, a divisor of `BATCH`.
        noise: deviation of what is added, anew at each step, to each scale and shift of batch norm.
    """

    norm: str
    size: int = BATCH
    noise: float = 0.0

    @property
    def name(self) -> str:
        """To be read.

        >>> Kind("batch", noise=0.4).name, Kind("batch", 2).name
        ('batch norm with noise', 'batch norm of 2')
        """
        norm = {"none": "no norm", "renorm": "batch renorm"}.get(self.norm, f"{self.norm} norm")
        of_size = "" if self.size == BATCH else f" of {self.size}"
        return norm + of_size + (" with noise" if self.noise else "")


class Setting(NamedTuple):
    """In what runs of one program differ: numbers.

    Attributes:
        norm: its place among those of the program.
        noise: see `Kind`.
        rate: of gradient descent.
        is_watched: whether to look at it on the way.
    """

    norm: Number
    noise: Number
    rate: Number
    is_watched: bool | Array


class Plan(NamedTuple):
    """What is static in a run.

    Attributes:
        norms: among which a setting chooses: names and sizes, see `Kind`.
        steps: of gradient descent.
    """

    norms: tuple[tuple[str, int], ...]
    steps: int


class Trained(NamedTuple):
    """What is seen of a run: ``loss`` and ``accuracy`` at its end, and its steps.

    Attributes:
        in_training: of `COMPARED` training examples, by the statistics of groups.
        in_evaluation: of the same, by running averages.
        test: of the test examples, likewise.
        watched: of each `STRIDE`th step from the first on; means nothing if it is not watched.
    """

    in_training: Metrics
    in_evaluation: Metrics
    test: Metrics
    watched: Watched


def arrange(members: Sequence[tuple[Kind, float, bool]], steps: int) -> tuple[Plan, Setting]:
    """The program and the settings of runs: of each its kind, rate and whether it is watched."""
    norms = tuple(dict.fromkeys((kind.norm, kind.size) for kind, *_ in members))
    rows = [
        Setting(norms.index((kind.norm, kind.size)), kind.noise, rate, is_watched)
        for kind, rate, is_watched in members
    ]
    return Plan(norms, steps), Setting(*(jnp.array(of) for of in zip(*rows, strict=True)))


class Draws(NamedTuple):
    """Of steps.

    Attributes:
        rows: of the examples in the batch.
        noise: on scales and shifts of batch norm.
    """

    rows: Int[Array, "*steps batch"]
    noise: Float[Array, "*steps 2 layers width"]


class Point(NamedTuple):
    """Where the gradient is looked at.

    Attributes:
        params: of the network.
        model_state: its.
        draws: of the step.
        noise: under which the inputs of the middle layer are looked at; it may be another step's.
    """

    params: DeepParams
    model_state: ModelState
    draws: Draws
    noise: Float[Array, "2 layers width"]


class Last(NamedTuple):
    """Where the last gradient was looked at, and what was seen."""

    point: Point
    seen: Seen


def train_one(
    plan: Static[Plan],
    examples: Examples,
    unseen: Examples,
    key: Key[Array, ""],
    setting: Setting,
) -> Trained:
    """A run: plain gradient descent on batches that are drawn with replacement."""
    norms, steps = plan.value
    layer = Layer("relu", one_norm_of([in_groups(*norm) for norm in norms], setting.norm))
    model = models.deep_mlp(DEPTH, WIDTH, classes=CLASSES, layer=layer)
    params, model_state = model.init(key, examples.inputs[:1])
    draws = draw(key, steps, len(examples.targets), setting.noise)
    first = jax.tree.map(lambda of: of[0], draws)
    look = partial(see, layer, model, examples, setting.is_watched)

    def move(last: Last) -> DeepParams:
        """Down the last gradient."""
        params, gradient = last.point.params, last.seen.gradient
        return jax.tree.map(lambda w, slope: w - setting.rate * slope, params, gradient)

    def step(last: Last, now: tuple[Draws, Array]) -> tuple[Last, Watched]:
        draws, is_due = now
        before, params = last.point, move(last)
        here = Point(params, last.seen.model_state, draws, draws.noise)
        # By the batch of the step before: the first layers moved, all moved, and in other noise.
        partly = before._replace(params=first_layers_moved(MIDDLE, before.params, params))
        moved = before._replace(params=params)
        points = here, partly, moved, moved._replace(noise=draws.noise)
        is_wanted = jnp.array([True, *[is_due & setting.is_watched] * 3])
        seen, *others = look_at(look, points, is_wanted)
        return Last(here, seen), watch(MIDDLE, setting.rate, last.seen, *others)

    start = Point(params, model_state, first, first.noise)
    # A step of nothing leads to the start.
    stood = nothing(look, start)._replace(model_state=model_state)
    is_due = jnp.arange(steps) % STRIDE == 1
    last, watched = lax.scan(step, Last(start, stood), (draws, is_due))
    metrics = compare(model, move(last), last.seen.model_state, examples, unseen)
    return Trained(*metrics, jax.tree.map(lambda of: of[1::STRIDE], watched))


def see(
    layer: Layer, model: Model, examples: Examples, is_watched: bool | Array, point: Point
) -> Seen:
    """The gradient of a batch, and the inputs of the middle layer if the run is watched."""
    params, model_state, draws, noise = point
    batch = take(examples, draws.rows)
    gradient_fn = mean_gradient(losses.classification_loss(with_noise(model, draws.noise)))
    gradient, aux = gradient_fn(params, model_state, batch, no_keys(BATCH))

    def moments(params: DeepParams) -> Moments:
        variables = Variables(add_noise(params, noise), model_state)
        inputs = hidden_outputs(layer, variables, batch.inputs)[MIDDLE - 1]
        return Moments(inputs.mean(axis=0), inputs.var(axis=0))

    def none(params: DeepParams) -> Moments:
        return Moments(jnp.zeros(WIDTH), jnp.zeros(WIDTH))

    of_inputs = lax.cond(is_watched, moments, none, params)
    return Seen(gradient, aux.metrics["loss"], aux.model_state, of_inputs)


def nothing(look: Callable[[Point], Seen], point: Point) -> Seen:
    """Zeros in place of what would be seen."""
    return jax.tree.map(lambda of: jnp.zeros(of.shape, of.dtype), jax.eval_shape(look, point))


def look_at(
    look: Callable[[Point], Seen], points: Sequence[Point], is_wanted: Bool[Array, " points"]
) -> list[Seen]:
    """What is seen at those points where that is wanted; compiled once for all of them."""

    def one(of: tuple[Array, Point]) -> Seen:
        return lax.cond(of[0], look, partial(nothing, look), of[1])

    stacked = jax.tree.map(lambda *of: jnp.stack(of), *points)
    seen = lax.map(one, (is_wanted, stacked))
    return [jax.tree.map(lambda of, k=k: of[k], seen) for k in range(len(points))]


def compare(
    model: Model,
    params: DeepParams,
    model_state: ModelState,
    examples: Examples,
    unseen: Examples,
) -> tuple[Metrics, Metrics, Metrics]:
    """The first three of `Trained`."""
    loss_fn = losses.classification_loss(model)
    compared = take(examples, jnp.arange(COMPARED))
    _, in_training = loss_fn(params, model_state, compared, no_keys(COMPARED))
    inputs = jnp.concatenate([compared.inputs, unseen.inputs])
    targets = jnp.concatenate([compared.targets, unseen.targets])
    both = Batch(inputs, targets, jnp.ones(len(targets)))
    _, in_evaluation = loss_fn(params, model_state, both, None)
    return (
        jax.tree.map(jnp.mean, in_training.metrics),
        jax.tree.map(lambda of: of[:COMPARED].mean(), in_evaluation.metrics),
        jax.tree.map(lambda of: of[COMPARED:].mean(), in_evaluation.metrics),
    )


def draw(key: Key[Array, ""], steps: int, count: int, deviation: Number) -> Draws:
    """All draws of a run."""
    of_rows, of_noise = jax.random.split(jax.random.fold_in(key, DRAW))
    rows = jax.random.randint(of_rows, (steps, BATCH), 0, count)
    return Draws(rows, deviation * jax.random.normal(of_noise, (steps, 2, DEPTH, WIDTH)))


def take(examples: Examples, rows: Int[Array, " batch"]) -> Batch:
    """Those of the examples, each of weight 1."""
    return Batch(examples.inputs[rows], examples.targets[rows], jnp.ones(len(rows)))


def no_keys(count: int) -> Key[Array, " count"]:
    """Keys that say that a model trains; nothing is drawn by them."""
    return jnp.broadcast_to(jax.random.key(0), (count,))


# --- norms and models made of others -------------------------------------------------------------


def in_groups(name: str, size: int) -> Norm:
    """The norm, in training with statistics of groups of a batch.

    So the size of what is normalized together changes, and nothing else: gradients are of as many
    examples (Hoffer et al. 2017, arXiv:1705.08741, "ghost batch norm"). The running averages are
    the mean of what the groups make of them.

    Args:
        name: of the norm.
        size: of the groups, a divisor of the batches.
    """
    norm = NORMS[name]
    return norm._replace(apply=partial(_apply_in_groups, norm.apply, size))


def _apply_in_groups(
    apply: Callable, size: int, inputs: Array, dense: Dense, running, *, trains: bool
) -> tuple[Array, Any]:
    if not trains or size == len(inputs):
        return apply(inputs, dense, running, trains=trains)

    def of_group(inputs: Array) -> tuple[Array, Any]:
        return apply(inputs, dense, running, trains=trains)

    outputs, moved = jax.vmap(of_group)(inputs.reshape(-1, size, inputs.shape[1]))
    return outputs.reshape(len(inputs), -1), jax.tree.map(lambda of: of.mean(axis=0), moved)


def with_noise(model: Model, noise: Float[Array, "2 layers width"]) -> Model:
    """The network, in training with noise on the scales and shifts of batch norm.

    Drawn anew at each step, it moves mean and variance of what goes on to the next layer.
    """
    return Model(model.init, Partial(_apply_with_noise, noise, model.apply))


def _apply_with_noise(
    noise, apply, params: DeepParams, model_state: ModelState, inputs: Array, keys: Keys
) -> tuple[Array, ModelState]:
    if keys is not None:
        params = add_noise(params, noise)
    return apply(params, model_state, inputs, keys)
