"""What the steps themselves look like: how long, in which direction, how far from the start."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial
from jaxtyping import Array, Float, PyTree

from jaxdl.optim.clipping import global_norm
from jaxdl.precision import widened
from jaxdl.types import Params, as_pytree

Scalar = Float[Array, ""]


class WatchState(NamedTuple):
    """What `watch_steps` keeps: twice the memory of the parameters, beside the inner state.

    Attributes:
        inner: the state of the optimizer that is watched.
        start: the parameters before the first step.
        previous: the step before, 0 at first.
        length: of the last step.
        cosine: between the last two steps; 0 where one of them is 0, as before the first.
        distance: of the parameters after the last step from ``start``.
    """

    inner: PyTree
    start: Params
    previous: Params
    length: Scalar
    cosine: Scalar
    distance: Scalar


def watch_steps(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """The same optimizer, measuring each step ``d_t`` that it takes.

    It is what is added to the parameters, before their own rounding: those of bfloat16 may move by
    less, or not at all, which ``distance_from_start`` sees.

    `jaxdl.optim.telemetry` then has, beside what the optimizer shows,

    - ``step_length``: ``|d_t|``;
    - ``step_cosine``: ``d_t . d_(t-1) / (|d_t| |d_(t-1)|)``: near 1 where the run goes straight on,
      near -1 where it goes back and forth across a valley; 0 at the first step;
    - ``distance_from_start``: ``|p_t - p_0|``.

    Norms are Euclidean over all parameters, in float32 at least. It goes around all that moves the
    parameters, such as `jaxdl.optim.make_optimizer`, and ``update`` needs the parameters.

    >>> optimizer = watch_steps(optax.sgd(0.5))
    >>> params = jnp.array([6.0, 8.0])
    >>> updates, state = optimizer.update(params, optimizer.init(params), params)
    >>> state.length, state.distance
    (Array(5., dtype=float32), Array(5., dtype=float32))
    """
    optimizer = as_pytree(optimizer)
    return optax.GradientTransformation(Partial(_init, optimizer), Partial(_update, optimizer))


def inner_product(first: PyTree, second: PyTree) -> Scalar:
    """The sum of the products of all entries, in float32 at least."""

    def product(a: Array, b: Array) -> Scalar:
        return jnp.vdot(widened(a), widened(b), precision="highest")

    return sum(jax.tree.leaves(jax.tree.map(product, first, second)), jnp.zeros(()))


def ratio_or_zero(
    numerator: Float[Array, "*shape"], denominator: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """The ratio of each entry; 0 where the denominator is 0, as for the cosine to no vector."""
    nothing = denominator == 0
    return jnp.where(nothing, 0.0, numerator / jnp.where(nothing, 1.0, denominator))


def _init(optimizer: optax.GradientTransformation, params: Params) -> WatchState:
    # A copy, for a state that shares no buffer with the parameters can be donated with them.
    start, nothing = jax.tree.map(jnp.copy, params), jax.tree.map(jnp.zeros_like, params)
    zeros = (jnp.zeros((), dtype=float) for _ in range(3))
    return WatchState(optimizer.init(params), start, nothing, *zeros)


def _update(
    optimizer: optax.GradientTransformation,
    gradients: PyTree,
    state: WatchState,
    params: Params | None = None,
) -> tuple[PyTree, WatchState]:
    if params is None:
        raise ValueError("to watch the steps takes the parameters: update(..., params)")
    updates, inner = optimizer.update(gradients, state.inner, params)
    step = jax.tree.map(lambda u, p: u.astype(p.dtype), updates, params)
    length = global_norm(step)
    way = jax.tree.map(
        lambda p, start: widened(p) - widened(start),
        optax.apply_updates(params, updates),
        state.start,
    )
    return updates, WatchState(
        inner,
        start=state.start,
        previous=step,
        length=length,
        cosine=ratio_or_zero(inner_product(step, state.previous), length * state.length),
        distance=global_norm(way),
    )
