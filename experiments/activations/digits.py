"""Networks that read digits and differ in numbers, those of activation and output among them."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, Key

from jaxdl import losses, models, nn
from jaxdl.data import Dataset
from jaxdl.models.deep_mlp import DeepParams, Layer, find_activation, signals
from jaxdl.nn import ACTIVATIONS
from jaxdl.sweep import sweep
from jaxdl.types import Examples, Number, Static, Variables

DEPTH, WIDTH, CLASSES, BATCH = 2, 64, 10, 50
LOOKED_AT = 1000
"""Training examples by which units are judged."""
FLAT, DEAD = 0.05, 1e-3
"""Slopes below these, in parts of the steepest, are called flat and dead."""
STEEPEST = {"sigmoid": 0.25}
"""Of those activations whose steepest slope is not about 1."""
NAMES = tuple(ACTIVATIONS)

Labels = Int[Array, " batch"]
Outputs = Float[Array, "batch classes"]


def _one_hot(labels: Labels) -> Outputs:
    return jax.nn.one_hot(labels, CLASSES)


def _by_sigmoids(outputs: Outputs, labels: Labels) -> Float[Array, " batch"]:
    return losses.sigmoid_binary_cross_entropy(outputs, _one_hot(labels))


def _by_squares(outputs: Outputs, labels: Labels) -> Float[Array, " batch"]:
    return losses.squared_error(outputs, _one_hot(labels))


def _by_number(outputs: Outputs, labels: Labels) -> Float[Array, " batch"]:
    return losses.squared_error(outputs[:, :1], labels[:, None].astype(outputs.dtype))


def _largest(outputs: Outputs) -> Labels:
    return jnp.argmax(outputs, axis=1)


def _nearest(outputs: Outputs) -> Labels:
    return jnp.clip(jnp.round(outputs[:, 0]), 0, CLASSES - 1).astype(int)


def _linear(outputs: Outputs) -> Outputs:
    return outputs


SOFTMAX, SIGMOIDS, LINEAR, NUMBER = (
    "softmax, cross-entropy",
    "ten sigmoids, binary cross-entropy",
    "ten linear outputs, squared error",
    "one linear output: the class as a number",
)
HEADS = {
    SOFTMAX: (losses.softmax_cross_entropy, _largest, jax.nn.softmax),
    SIGMOIDS: (_by_sigmoids, _largest, jax.nn.sigmoid),
    LINEAR: (_by_squares, _largest, _linear),
    NUMBER: (_by_number, _nearest, _linear),
}
"""Output layers: the loss of what comes before them, the class that is told, what they put out."""


class Setting(NamedTuple):
    """In what runs differ.

    Attributes:
        activation: its place among `NAMES`.
        head: among `HEADS`.
        rate: of gradient descent.
    """

    activation: Number
    head: Number
    rate: Number


class Units(NamedTuple):
    """Of hidden layers, ``(..., depth)``.

    Attributes:
        flat: the share of units and examples where the slope is flat.
        dead: the share of units whose slope is dead on every example.
    """

    flat: Float[Array | np.ndarray, "*runs depth"]
    dead: Float[Array | np.ndarray, "*runs depth"]


class Read(NamedTuple):
    """Of a run; NaN where its loss is no number in the end, and its accuracy 0.

    Attributes:
        loss: of the last epoch's steps, the mean.
        accuracy: on the test set.
        start: of its units before training.
        end: after it.
        moved: the largest change of a weight of a hidden layer.
        off: how far what is put out for a test example sums up to from 1, the mean.
        outside: the share of what is put out for test examples that is below 0 or above 1.
    """

    loss: Float[Array | np.ndarray, "*runs"]
    accuracy: Float[Array | np.ndarray, "*runs"]
    start: Units
    end: Units
    moved: Float[Array | np.ndarray, "*runs"]
    off: Float[Array | np.ndarray, "*runs"]
    outside: Float[Array | np.ndarray, "*runs"]


def train_all(
    dataset: Dataset,
    members: Sequence[tuple[str, str, float]],
    *,
    epochs: int,
    keys: Key[Array, " seeds"],
) -> Read:
    """Runs ``(members, seeds)`` by one program.

    Args:
        dataset: digits, standardized.
        members: the activation, the output layer and the rate of each, by name.
        epochs: of each.
        keys: one for each seed.
    """
    heads = list(HEADS)
    rows = [Setting(NAMES.index(name), heads.index(head), rate) for name, head, rate in members]
    settings = Setting(*(jnp.array(of) for of in zip(*rows, strict=True)))
    run = Partial(train_one, Static(epochs), dataset.train, dataset.test)
    return sweep(run, keys, settings)


def train_one(
    epochs: Static[int],
    examples: Examples,
    unseen: Examples,
    key: Key[Array, ""],
    setting: Setting,
) -> Read:
    """Plain gradient descent; the batches of an epoch are in the order of the data."""
    activation = nn.one_of(list(ACTIVATIONS.values()), setting.activation)
    layer = Layer(activation)
    loss, told, put_out = (nn.one_of(of, setting.head) for of in zip(*HEADS.values(), strict=True))
    model = models.deep_mlp(DEPTH, WIDTH, classes=CLASSES, layer=layer)
    start = model.init(key, examples.inputs[:1])

    def step(params: DeepParams, batch: Examples) -> tuple[DeepParams, Array]:
        def mean_loss(params: DeepParams) -> Array:
            return loss(model.apply(params, {}, batch.inputs, None)[0], batch.targets).mean()

        value, slopes = jax.value_and_grad(mean_loss)(params)
        return jax.tree.map(lambda w, slope: w - setting.rate * slope, params, slopes), value

    in_batches = jax.tree.map(lambda of: of.reshape(-1, BATCH, *of.shape[1:]), examples)
    params, of_steps = lax.scan(
        lambda params, _: lax.scan(step, params, in_batches), start.params, length=epochs.value
    )
    looked_at = examples.inputs[:LOOKED_AT]
    steepest = jnp.array([STEEPEST.get(name, 1.0) for name in NAMES])[setting.activation]
    units = [look(layer, steepest, Variables(of, {}), looked_at) for of in (start.params, params)]
    outputs, _ = model.apply(params, {}, unseen.inputs, None)
    shown, last = put_out(outputs), of_steps[-1].mean()
    has_failed = ~jnp.isfinite(last)
    read = Read(
        last,
        jnp.mean(told(outputs) == unseen.targets),
        *units,
        moved=largest_change(start.params, params),
        off=jnp.abs(shown.sum(axis=1) - 1).mean(),
        outside=jnp.mean((shown < 0) | (shown > 1)),
    )
    or_nan = jax.tree.map(lambda of: jnp.where(has_failed, jnp.nan, of), read)
    return or_nan._replace(accuracy=jnp.where(has_failed, 0, read.accuracy), start=read.start)


def look(
    layer: Layer, steepest: Float[Array, ""], variables: Variables, inputs: Float[Array, "n ..."]
) -> Units:
    """Where the units of a network are flat."""
    before = signals(layer, variables, inputs, lambda logits: logits[:, 0]).before
    _, slopes = jax.jvp(find_activation(layer.activation), (before,), (jnp.ones_like(before),))
    parts = jnp.abs(slopes) / steepest
    return Units((parts < FLAT).mean(axis=(1, 2)), (parts < DEAD).all(axis=1).mean(axis=1))


def largest_change(before: DeepParams, after: DeepParams) -> Float[Array, ""]:
    """Of the kernels of hidden layers."""
    pairs = (before.first, after.first), (before.hidden, after.hidden)
    return jnp.max(jnp.array([jnp.abs(new.kernel - old.kernel).max() for old, new in pairs]))
