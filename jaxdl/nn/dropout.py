"""Dropout whose draws belong to the example."""

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key, UInt16

from jaxdl.types import Keys, Number

LEVELS = 2**16


def dropout(
    inputs: Float[Array, "..."],
    rate: Number,
    keys: Keys,
    *,
    layer: int = 0,
    batch_axis: int = 0,
) -> Float[Array, "..."]:
    """Sets each number to zero with probability ``rate`` and scales the others to make up for it.

    "Inverted" dropout (Srivastava et al. 2014, JMLR 15, section 10): the expected output is the
    input. An example's draws follow from its own key, whatever batch it is in. They have 16 bits,
    half the work of uniform floats: ``rate`` is rounded to a multiple of 2^-16, and the scale is
    one over the rounded rate's chance to keep, so that the expectation stays exact.

    Args:
        inputs: with a batch axis.
        rate: traced. 0 gives the inputs exactly, 1 gives zeros.
        keys: one per example, or None to evaluate: the inputs as they are.
        layer: another number for each dropout layer of a model, lest they draw the same.
        batch_axis: of the inputs.

    >>> keys = jax.random.split(jax.random.key(0), 2)
    >>> jnp.unique(dropout(jnp.ones((2, 10)), 0.75, keys))
    Array([0., 4.], dtype=float32)
    """
    if keys is None:
        return inputs
    shape = inputs.shape[:batch_axis] + inputs.shape[batch_axis + 1 :]
    keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, layer)
    draws = _draw_16_bits(keys, math.prod(shape)).reshape(*shape, -1)
    draws = jnp.moveaxis(draws, -1, batch_axis)
    dropped = jnp.round(jnp.asarray(rate, jnp.float32) * LEVELS).astype(jnp.int32)
    kept = LEVELS - dropped
    scale = jnp.where(kept > 0, LEVELS / jnp.maximum(kept, 1), 0).astype(inputs.dtype)
    threshold = jnp.minimum(dropped, LEVELS - 1).astype(jnp.uint16)
    return jnp.where(draws >= threshold, inputs * scale, 0)


def _draw_16_bits(keys: Key[Array, " batch"], count: int) -> UInt16[Array, "{count} batch"]:
    """Two draws from each 32-bit word: JAX itself would spend a word on every draw."""
    draw = functools.partial(jax.random.bits, shape=(-(-count // 2),), dtype=jnp.uint32)
    words = jax.vmap(draw, out_axes=1)(keys)
    halves = [words, lax.shift_right_logical(words, jnp.uint32(16))]
    return jnp.concatenate([half.astype(jnp.uint16) for half in halves])[:count]
