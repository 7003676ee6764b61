"""What is looked at in each step: the inputs of the middle layer, and the gradient."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxdl import optim
from jaxdl.models.deep_mlp import DeepParams
from jaxdl.models.dense_norms import Dense
from jaxdl.nn import Moments, ScaleAndShift
from jaxdl.types import ModelState, Number


class Seen(NamedTuple):
    """What is seen of a batch at some parameters.

    Attributes:
        gradient: of the mean loss.
        loss: the mean.
        model_state: after the batch.
        moments: of each input of the middle layer over the batch.
    """

    gradient: DeepParams
    loss: Float[Array, ""]
    model_state: ModelState
    moments: Moments


class Watched(NamedTuple):
    """Of a step.

    Attributes:
        moments: of each input of the middle layer, before and after it, of the same batch: leaves
            ``(2, width)``.
        layer_change: by how much the gradient of the middle layer's kernel changes as the layers
            before it take the step, in its own norm: the internal covariate shift as Santurkar et
            al. 2018 (arXiv:1805.11604) define it, definition 2.1.
        cosine: of the angle between the gradients before and after the step.
        share: of the fall that the gradient promises, its square times the rate, how much the loss
            of the batch falls.
    """

    moments: Moments
    layer_change: Float[Array, "*looks"]
    cosine: Float[Array, "*looks"]
    share: Float[Array, "*looks"]


def watch(
    middle: int, rate: Number, before: Seen, partly: Seen, after: Seen, in_other_noise: Seen
) -> Watched:
    """Compares what is seen of a batch before a step of plain gradient descent and after it.

    Args:
        middle: the number of the middle layer, 1 or more.
        rate: of the step.
        before: the step.
        partly: after it, where only the layers before the middle one have taken it.
        after: it.
        in_other_noise: after it, in the next step's noise.
    """
    kernel, changed = (of.gradient.hidden.kernel[middle - 1] for of in (before, partly))
    length, length_after = (optim.global_norm(of.gradient) for of in (before, after))
    return Watched(
        jax.tree.map(lambda *of: jnp.stack(of), before.moments, in_other_noise.moments),
        jnp.linalg.norm(changed - kernel) / jnp.linalg.norm(kernel),
        jnp.asarray(optax.tree.vdot(before.gradient, after.gradient)) / (length * length_after),
        (before.loss - after.loss) / (rate * jnp.square(length)),
    )


def first_layers_moved(middle: int, before: DeepParams, after: DeepParams) -> DeepParams:
    """Parameters of which only the layers before the middle one have taken the step."""

    def joined(old: Array, new: Array) -> Array:
        return jnp.concatenate([new[: middle - 1], old[middle - 1 :]])

    hidden = jax.tree.map(joined, before.hidden, after.hidden)
    return before._replace(first=after.first, hidden=hidden)


def add_noise(params: DeepParams, noise: Float[Array, "2 layers width"]) -> DeepParams:
    """Adds to scales and shifts."""

    def disturbed(dense: Dense, noise: Float[Array, "2 *layers width"]) -> Dense:
        learned = [
            jax.tree.map(jnp.add, of, ScaleAndShift(*noise))
            if isinstance(of, ScaleAndShift)
            else of
            for of in dense.learned
        ]
        return dense._replace(learned=tuple(learned))

    first, hidden = disturbed(params.first, noise[:, 0]), disturbed(params.hidden, noise[:, 1:])
    return params._replace(first=first, hidden=hidden)
