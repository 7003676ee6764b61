"""From a configuration to an Optax transformation, and what can be read from its state."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, PyTree

from jaxdl.errors import InputError
from jaxdl.optim.averaging import average_parameters
from jaxdl.optim.clipping import ClipState, clip_gradients
from jaxdl.optim.config import OptimizerConfig, check_names
from jaxdl.optim.fields import as_arrays
from jaxdl.optim.library import arguments_of, build
from jaxdl.optim.schedules import ends, learning_rate_factor
from jaxdl.optim.watching import WatchState
from jaxdl.types import Metrics, Number, Params

Scalar = Float[Array, ""]


class OptimizerState(NamedTuple):
    """The steps behind, the learning rate of the last one (or the first), and Optax's state."""

    step: Int[Array, ""]
    learning_rate: Scalar
    chain: PyTree


def make_optimizer(
    config: OptimizerConfig, total_steps: Number | None = None
) -> optax.GradientTransformation:
    """The Optax transformation a configuration describes.

    It clips, lets the optimizer take its step at the schedule's learning rate, takes off
    ``learning_rate * weight_decay * p`` (decoupled weight decay, Loshchilov and Hutter 2019,
    arXiv:1711.05101, algorithm 2: every parameter ``p``, the schedule included; it takes the place
    of a weight decay that Optax gives the optimizer by default), and averages the parameters.

    ``init`` and ``update`` are `jax.tree_util.Partial` of the numbers: the result is a pytree that
    a jitted function can take as an argument, and another learning rate recompiles nothing. The
    numbers may themselves be traced, so that ``jax.vmap`` can run over them. What is checked here
    is names; `check` looks at numbers too, where a user gives them.

    Args:
        config: see there. ``update`` needs the parameters.
        total_steps: the length of the run, for a schedule that ends with it; may be traced.

    Raises:
        InputError: an unknown name, or a schedule that needs ``total_steps``.

    >>> optimizer = make_optimizer(OptimizerConfig("sgd", learning_rate=0.5))
    >>> params = jnp.array([4.0])
    >>> updates, state = optimizer.update(params, optimizer.init(params), params)
    >>> updates
    Array([-2.], dtype=float32)
    """
    check_names(config)
    if total_steps is None:
        if ends(config.schedule):
            needed_by = "a warm-up" if config.schedule.warmup is not None else config.schedule.name
            raise InputError(f"the length of the run is needed by {needed_by}: give total_steps")
        total_steps = jnp.inf
    numbers = as_arrays((_with_float_arguments(config), total_steps))
    return optax.GradientTransformation(Partial(_init, *numbers), Partial(_update, *numbers))


def telemetry(opt_state: PyTree) -> Metrics:
    """What the optimizer saw at its last step, scalars; empty for a chain that keeps none of it.

    - ``gradient_norm``, ``clipped_gradient_norm``: the global norm before and after clipping.
    - ``clipped_steps``: 1 where anything was clipped, else 0; its mean is the fraction of steps.
    - ``clipped_entries``: the fraction of the gradient's entries that were clipped, or scaled down.
    - ``learning_rate``: the schedule's.
    - ``step_length``, ``step_cosine``, ``distance_from_start``: see `jaxdl.optim.watch_steps`.

    `make_optimizer` gives all but the last three, which `watch_steps` gives around any optimizer;
    `clip_gradients`, in a chain of one's own, gives the first four.
    """
    metrics = {}
    kinds = (OptimizerState, ClipState, WatchState)
    for node in jax.tree.leaves(opt_state, is_leaf=lambda node: isinstance(node, kinds)):
        if isinstance(node, OptimizerState):
            metrics |= {**telemetry(node.chain), "learning_rate": node.learning_rate}
        elif isinstance(node, ClipState):
            metrics |= {
                "gradient_norm": node.norm,
                "clipped_gradient_norm": node.clipped_norm,
                "clipped_steps": node.clipped_steps,
                "clipped_entries": node.clipped_entries,
            }
        elif isinstance(node, WatchState):
            metrics |= {
                **telemetry(node.inner),
                "step_length": node.length,
                "step_cosine": node.cosine,
                "distance_from_start": node.distance,
            }
    return metrics


def _with_float_arguments(config: OptimizerConfig) -> OptimizerConfig:
    """The arguments that are numbers as floats, for ``1`` would be static and ``1.0`` is not."""
    known = arguments_of(config.name)
    arguments = {
        key: float(value) if known[key].kind is float and isinstance(value, int) else value
        for key, value in config.arguments.items()
    }
    return dataclasses.replace(config, arguments=arguments)


def _init(config: OptimizerConfig, total_steps: Scalar, params: Params) -> OptimizerState:
    step = jnp.int32(0)
    rate, chain = _chain(config, total_steps, step)
    # Some of Optax's states hold the very parameters; a copy can be donated together with them.
    return OptimizerState(step, rate, jax.tree.map(jnp.copy, chain.init(params)))


def _update(
    config: OptimizerConfig,
    total_steps: Scalar,
    gradients: PyTree,
    state: OptimizerState,
    params: Params | None = None,
) -> tuple[PyTree, OptimizerState]:
    rate, chain = _chain(config, total_steps, state.step)
    updates, inner = chain.update(gradients, state.chain, params)
    # A float32 hyper-parameter must not widen a bfloat16 state between two steps.
    inner = jax.tree.map(lambda new, old: new.astype(old.dtype), inner, state.chain)
    return updates, OptimizerState(state.step + 1, rate, inner)


def _chain(
    config: OptimizerConfig, total_steps: Scalar, step: Int[Array, ""]
) -> tuple[Scalar, optax.GradientTransformation]:
    """The learning rate at ``step``, and Optax's chain with that number in it.

    Optax's own schedules would each count steps of their own, and not every optimizer takes one.
    """
    factor = learning_rate_factor(config.schedule, step, total_steps)
    rate = config.learning_rate * factor
    arguments = dict(config.arguments)
    if (adam_rate := arguments.get("adam_learning_rate")) is not None:
        arguments["adam_learning_rate"] = adam_rate * factor  # Muon's, for all but matrices
    if config.weight_decay is not None and "weight_decay" in arguments_of(config.name):
        arguments["weight_decay"] = 0.0
    parts = [clip_gradients(config.clip), build(config.name, rate, arguments)]
    if config.weight_decay is not None:
        parts.append(optax.add_decayed_weights(-rate * config.weight_decay))
    if config.average is not None:
        parts.append(average_parameters(config.average))
    return rate, optax.chain(*parts)
