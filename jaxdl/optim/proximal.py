"""Steps that end in a proximal operator: of penalties with a kink, and of constraints."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial
from jaxtyping import PyTree

from jaxdl.types import Params, as_pytree


def proximal(
    optimizer: optax.GradientTransformation, operator: Callable[[Params], Params]
) -> optax.GradientTransformation:
    """The same optimizer, its parameters put through ``operator`` after each step.

    With gradient descent of rate ``r`` and the proximal operator of ``r`` times a penalty this is
    proximal gradient descent (Beck and Teboulle, "A Fast Iterative Shrinkage-Thresholding
    Algorithm", 2009, section 1: ISTA): the loss is descended, the penalty is minimized exactly, so
    that where it has a kink, as `jaxdl.losses.l1` has at 0, parameters come to lie in it. With a
    projection it is projected gradient descent.

    Args:
        optimizer: any Optax chain; ``update`` needs the parameters.
        operator: of the parameters; numbers bound with `jax.tree_util.Partial` are traced.

    >>> from jaxdl.losses import soft_threshold
    >>> optimizer = proximal(optax.sgd(0.5), Partial(soft_threshold, threshold=0.5))
    >>> params = jnp.array([[4.0, 0.8]])
    >>> updates, _ = optimizer.update(params, optimizer.init(params), params)
    >>> optax.apply_updates(params, updates)
    Array([[1.5, 0. ]], dtype=float32)
    """
    optimizer, operator = as_pytree(optimizer), as_pytree(operator)
    return optax.GradientTransformation(optimizer.init, Partial(_update, optimizer, operator))


def _update(
    optimizer: optax.GradientTransformation,
    operator: Callable[[Params], Params],
    gradients: PyTree,
    state: PyTree,
    params: Params | None = None,
) -> tuple[PyTree, PyTree]:
    if params is None:
        raise ValueError("a proximal step takes the parameters: update(..., params)")
    updates, state = optimizer.update(gradients, state, params)
    moved = operator(optax.apply_updates(params, updates))
    # What is added to a parameter to make it 0 is its negative, and the sum exactly 0.
    return jax.tree.map(jnp.subtract, moved, params), state
