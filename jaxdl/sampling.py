"""Drawing tokens from a model of language: by temperature, among the likeliest, in the nucleus."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Integer, Key, PyTree

from jaxdl.types import Number

Read = Callable[
    [Integer[Array, "batch time"], PyTree], tuple[Float[Array, "batch time tokens"], PyTree]
]
"""Reads tokens on from a state; gives the logits after each, and the state after the last."""


class Taste(NamedTuple):
    """Which of the likely tokens to take; numbers that may be traced.

    Attributes:
        temperature: logits are divided by it; towards 0 the likeliest token is taken, and at 0.
        top_k: only so many of the likeliest tokens are taken; more than there are for all.
        top_p: only the nucleus is: the fewest of the likeliest tokens that have this probability
            together (Holtzman et al. 2020, arXiv:1904.09751, section 3.1); 1 for all.
    """

    temperature: Number = 1.0
    top_k: Number = 2**31 - 1
    top_p: Number = 1.0


class Cursor(NamedTuple):
    """Where a text has come to: the logits of the next token, and the model's state."""

    logits: Float[Array, "batch tokens"]
    state: PyTree


def restrict(logits: Float[Array, "*batch tokens"], taste: Taste) -> Float[Array, "*batch tokens"]:
    """The logits over the temperature, minus infinity for tokens that are not to be taken.

    The nucleus is that of the distribution at this temperature. The likeliest token always stays;
    of equally likely ones the first do.

    >>> restrict(jnp.log(jnp.array([0.1, 0.6, 0.3])), Taste(top_k=2)) > -jnp.inf
    Array([False,  True,  True], dtype=bool)
    """
    temperature = jnp.asarray(taste.temperature, logits.dtype)
    is_greedy = temperature <= 0
    scaled = logits / jnp.where(is_greedy, 1, temperature)
    order = jnp.argsort(scaled, axis=-1, descending=True, stable=True)
    ranks = jnp.argsort(order, axis=-1)
    sorted_probabilities = jax.nn.softmax(jnp.take_along_axis(scaled, order, axis=-1), axis=-1)
    before = jnp.cumsum(sorted_probabilities, axis=-1) - sorted_probabilities
    is_in_nucleus = jnp.take_along_axis(before, ranks, axis=-1) < taste.top_p
    is_in_nucleus |= jnp.asarray(taste.top_p) >= 1  # though the sum of the others be rounded to 1
    is_taken = (ranks < jnp.where(is_greedy, 1, taste.top_k)) & is_in_nucleus
    return jnp.where(is_taken | (ranks == 0), scaled, -jnp.inf)


@partial(jax.jit, static_argnames="length")
def generate(
    read: Read, cursor: Cursor, key: Key[Array, ""], taste: Taste, *, length: int
) -> tuple[Int[Array, "batch length"], Cursor]:
    """Draws ``length`` tokens, each read before the next is drawn.

    Args:
        read: a `jax.tree_util.Partial`, its parameters bound.
        cursor: where to go on, as it is returned, or after a prompt has been read.
        key: consumed; each row draws for itself.
        taste: see `Taste`.
        length: static.
    """

    def step(cursor: Cursor, key):
        tokens = jax.random.categorical(key, restrict(cursor.logits, taste))
        logits, state = read(tokens[:, None], cursor.state)
        return Cursor(logits[:, -1], state), tokens

    cursor, tokens = lax.scan(step, cursor, jax.random.split(key, length))
    return tokens.T, cursor
