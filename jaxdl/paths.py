"""The path of a run: what is seen of the parameters after each of its steps."""

from collections.abc import Callable
from typing import Any

import jax
from jax.tree_util import Partial
from jaxtyping import Array, Key, PyTree

from jaxdl import optim, train
from jaxdl.gradients import mean_gradient
from jaxdl.optim import OptimizerConfig
from jaxdl.types import Batch, Examples, LossFn, Model, Params, TrainState, Update, as_pytree


def follow(
    model: Model,
    loss_fn: LossFn,
    optimizer: OptimizerConfig,
    look: Callable[[Params], PyTree],
    key: Key[Array, ""],
    examples: Examples,
    *,
    epochs: int,
    batch_size: int,
) -> PyTree:
    """What ``look`` makes of the parameters after each step of a run of `jaxdl.train.fit`.

    Args:
        model: draws the parameters at the start.
        loss_fn: of the model.
        optimizer: its numbers may be traced.
        look: ``params -> arrays``; numbers bound to it by `Partial` recompile nothing.
        key: of the run.
        examples: to train on.
        epochs: over them.
        batch_size: the last batch of an epoch may be smaller.

    Returns:
        What was seen, with a leading axis of all steps.
    """
    chain = optim.make_optimizer(optimizer)
    gradient_fn = mean_gradient(loss_fn)
    update = Partial(_watched, train.make_update(gradient_fn, chain), as_pytree(look))
    state = train.init_state(key, model, chain, examples.inputs[:1])
    _, history = train.fit(update, state, examples, epochs=epochs, batch_size=batch_size)
    return jax.tree.map(lambda seen: seen.reshape(-1, *seen.shape[2:]), history.steps["seen"])


def _watched(update: Update, look, state: TrainState, batch: Batch) -> tuple[TrainState, Any]:
    state, metrics = update(state, batch)
    kept = {name: metrics[name] for name in ("loss", "examples")}
    return state, {**kept, "seen": look(state.params)}
