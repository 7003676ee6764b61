"""The types that everything passes around, and the signatures of the functions that do the work.

A *pure function with numbers* is a `jax.tree_util.Partial`: the function is static, the numbers
bound to it (a learning rate, a dropout rate, a penalty's strength) are leaves of a pytree. Such a
function can be an argument of a jitted program, so changing a number recompiles nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, Key, PyTree

Value = TypeVar("Value", covariant=True)

Number = float | int | Array
"""A number that may be traced, such as a learning rate: a leaf of a pytree, never static."""

Params = PyTree
ModelState = PyTree
"""What a model carries besides its parameters: running statistics, say. ``{}`` for most."""

MEMORY = "memory"
"""The name, in a model state, of what belongs to the places of a batch, a row for each of them.

It holds the rows of the batch on all devices, of which a model takes those of its own examples.
"""

Keys = Key[Array, " batch"] | None
"""One random key per example while training; None to evaluate (nothing is drawn)."""

Metrics = dict[str, Array]


class Examples(NamedTuple):
    """Inputs ``(n, ...)``, images as uint8, and targets ``(n, ...)``, on the device."""

    inputs: Array
    targets: Array


class Batch(NamedTuple):
    """Some examples with a weight each: 1, or 0 for padding that must not count."""

    inputs: Array
    targets: Array
    weights: Float[Array, " batch"]


class Variables(NamedTuple):
    """What `Model.init` draws."""

    params: Params
    model_state: ModelState


class Model(NamedTuple):
    """A model is two pure functions.

    Attributes:
        init: ``(key, inputs) -> Variables``; ``inputs`` is an example batch of any size.
        apply: ``(params, model_state, inputs, keys) -> (outputs, model_state)``. With ``keys``
            (one per example) the model trains: it drops out and moves its running statistics.
            With ``keys=None`` it evaluates. On a mesh it is given a device's share of the batch,
            and a state that it moves must come out alike on all (`jaxdl.parallel`).
    """

    init: Callable[[Key[Array, ""], Array], Variables]
    apply: Callable[[Params, ModelState, Array, Keys], tuple[Array, ModelState]]


class Players(NamedTuple):
    """Something of each of the two players of an adversarial game (`jaxdl.adversarial`)."""

    generator: Any
    discriminator: Any


class LossAux(NamedTuple):
    """What a loss saw on its way: the new model state, and per-example metrics ``(batch,)``."""

    model_state: ModelState
    metrics: Metrics


class GradientAux(NamedTuple):
    """What a gradient function saw on its way: the new model state, and metrics, scalars."""

    model_state: ModelState
    metrics: Metrics


class TrainState(NamedTuple):
    """All that a training step reads and writes.

    ``key`` is the run's key and never changes: each step folds it with ``step``.
    """

    step: Int[Array, ""]
    params: Params
    model_state: ModelState
    opt_state: PyTree
    key: Key[Array, ""]


class Observation(NamedTuple):
    """What one backward pass shows of every example, for instruments (`jaxdl.diagnostics`).

    Attributes:
        batch: this device's share; its weights are 0 for padding.
        losses: of each example.
        gradient: of the weighted mean loss, over all devices.
        layer_norms: the norm of each example's gradient in each layer, by the layer's path (kernel
            and bias together); 0 where the weight is 0.
        norms: the same over all layers.
    """

    batch: Batch
    losses: Float[Array, " batch"]
    gradient: Params
    layer_norms: dict[str, Float[Array, " batch"]]
    norms: Float[Array, " batch"]


Instruments = Callable[[Observation], Metrics]
"""What to make of an `Observation`: scalars by name, which join the metrics of a step."""

LossFn = Callable[[Params, ModelState, Batch, Keys], tuple[Float[Array, " batch"], LossAux]]
"""One loss per example, so that means, weights and per-example gradients need no second loss.

Examples keep their places: the model is given them in the order of the batch.
"""

GradientFn = Callable[[Params, ModelState, Batch, Keys], tuple[Params, GradientAux]]
"""The gradient an optimizer is given, and what was seen on the way."""

Update = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


@jax.tree_util.register_static
@dataclass(frozen=True)
class Static(Generic[Value]):
    """A hashable value as part of a pytree's structure: another one is another program."""

    value: Value


def as_pytree(tree: Any) -> Any:
    """Makes every leaf of ``tree`` one that a jitted program can take as an argument.

    A bare function becomes a `Partial`, and a Python number bound to one a floating array: 0.5, 1
    and an array are the same program.
    """

    def convert(leaf):
        if callable(leaf):
            return Partial(leaf)
        is_plain_number = isinstance(leaf, float | int | np.number) and not isinstance(leaf, bool)
        return jnp.asarray(leaf, dtype=float) if is_plain_number else leaf

    return jax.tree.map(convert, tree)
