"""Canaries: how far a single example, whatever it is, moves the sum of clipped gradients."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from experiments.dp_sgd.training import CLASSES, MICROBATCH
from jaxdl import losses, models, privacy
from jaxdl.gradients import clipped_gradient
from jaxdl.types import Batch, Examples, GradientFn, Params

COMPANY = 2 * MICROBATCH
"""Examples in the batches with a canary, which is one of them."""


class Shift(NamedTuple):
    """How far one example moves the sum of a batch's gradients, in clip norms."""

    clipped: float
    unclipped: float


def measure(examples: Examples, params: Params, *, max_norm: float) -> dict[str, Shift]:
    """How far each canary moves the sum of the very gradients that the runs were trained by.

    Args:
        examples: of which the canaries are made, and the batches that they join.
        params: of several seeds, the first of which counts.
        max_norm: the clip norm.
    """
    first = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), params)
    batches = make_batches(examples)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *batches.values())
    loss_fn, found = losses.classification_loss(models.small_cnn()), []
    for bound in (max_norm, jnp.inf):
        gradient_fn = clipped_gradient(
            loss_fn, bound, expected_examples=1.0, microbatch_size=MICROBATCH
        )
        found.append((shifts(gradient_fn, first, stacked) / max_norm).tolist())
    return dict(zip(batches, map(Shift, *found), strict=True))


def make_batches(examples: Examples) -> dict[str, Batch]:
    """Batches whose last example is one that an adversary may have made."""
    batch = Batch(
        examples.inputs[:COMPANY].astype(jnp.float32) / 255,
        examples.targets[:COMPANY],
        jnp.ones(COMPANY),
    )
    image, label = batch.inputs[-1], batch.targets[-1]
    wrong = (label + 1) % CLASSES

    def with_last(image: Array, label: Array) -> Batch:
        return batch._replace(
            inputs=batch.inputs.at[-1].set(image), targets=batch.targets.at[-1].set(label)
        )

    mislabelled = with_last(image, wrong)
    return {
        "an ordinary example": batch,
        "mislabelled": mislabelled,
        "mislabelled, a thousand times as bright": with_last(1e3 * image, wrong),
        "pixels of 1e30": with_last(jnp.full_like(image, 1e30), wrong),
        "infinite pixels": with_last(jnp.full_like(image, jnp.inf), wrong),
        "NaN pixels": with_last(jnp.full_like(image, jnp.nan), wrong),
        f"one of {COMPANY} copies, all mislabelled": jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf[-1], leaf.shape), mislabelled
        ),
    }


@jax.jit
def shifts(gradient_fn: GradientFn, params: Params, batches: Batch) -> Float[Array, " canaries"]:
    """The norm of what each batch's last example adds to its gradient."""
    return jax.lax.map(lambda batch: privacy.influence(gradient_fn, params, batch), batches)
