"""A moving average of the parameters, kept by the optimizer while it trains."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial
from jaxtyping import Array, Float, PyTree

from jaxdl.optim.fields import as_arrays
from jaxdl.precision import wide_dtype
from jaxdl.types import Number, Params, Players


class AverageState(NamedTuple):
    """The average so far, and the weight ``1 - decay^t`` of what it has seen."""

    weight: Float[Array, ""]
    average: Params


def average_parameters(decay: Number) -> optax.GradientTransformation:
    """Keeps the exponential moving average of the parameters; last in a chain, it changes nothing.

    After ``t`` steps the average is ``sum_i decay^(t-i) p_i / sum_i decay^(t-i)`` over the
    parameters ``p_1 .. p_t`` after each step (the bias correction of Kingma and Ba 2015,
    arXiv:1412.6980, section 3): the first average is ``p_1``, not the initial parameters, so no
    warm-up of ``decay`` is needed. It is kept in float32 at least.

    Args:
        decay: from 0 (the parameters themselves) to below 1.
    """
    return optax.GradientTransformation(Partial(_init), Partial(_update, as_arrays(decay)))


def averaged_params(opt_state: PyTree, params: Params) -> Params:
    """The average of the parameters that ``opt_state`` keeps; ``params`` where it keeps none.

    It is what to evaluate with. Schedule-free optimizers keep one of their own (Defazio et al.
    2024, arXiv:2405.15682), which is given where there is no other. Of `Players`, each has its own.
    """
    if isinstance(opt_state, Players):
        return Players(*map(averaged_params, opt_state, params))
    kinds = (AverageState, optax.contrib.ScheduleFreeState)
    nodes = jax.tree.leaves(opt_state, is_leaf=lambda node: isinstance(node, kinds))
    for node in nodes:
        if isinstance(node, AverageState):
            return jax.tree.map(lambda a, p: a.astype(p.dtype), node.average, params)
    for node in nodes:
        if isinstance(node, optax.contrib.ScheduleFreeState):
            return optax.contrib.schedule_free_eval_params(node, params)
    return params


def _init(params: Params) -> AverageState:
    # A copy, for a state that shares no buffer with the parameters can be donated with them.
    average = jax.tree.map(lambda p: jnp.array(p, dtype=wide_dtype(p), copy=True), params)
    return AverageState(jnp.zeros((), dtype=float), average)


def _update(
    decay: Float[Array, ""], updates: PyTree, state: AverageState, params: Params | None = None
) -> tuple[PyTree, AverageState]:
    if params is None:
        raise ValueError("a moving average of the parameters needs them: update(..., params)")
    weight = decay * state.weight + (1 - decay)
    share = (1 - decay) / weight
    average = jax.tree.map(
        lambda a, p: (1 - share) * a + share * p.astype(a.dtype),
        state.average,
        optax.apply_updates(params, updates),
    )
    return updates, AverageState(weight, average)
